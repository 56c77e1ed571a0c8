"""How much of a rating is right: by hand, and in work that grows with its comparisons alone."""

from itertools import combinations

import numpy as np
import pytest

import sim.fitting.outcomes
from sim.files.preference_files import table_of_rows
from sim.fitting.outcomes import right_of
from sim.fitting.prepare import prepare
from sim.streams import Stream

THETA = np.array([1.0, -0.5])


@pytest.fixture(scope="module")
def rated():
    """(rows, their answers as prepared): 30 ratings of two or three responses and one of twelve; scores tie, too."""
    rows = []
    for j in range(31):
        size = 12 if j == 7 else 2 + j % 2
        x = np.round(Stream(3, "x", replicate=j).normals((size, 2)), 1)
        scores = np.round(x @ [1.0, 0.0] + Stream(3, "noise", replicate=j).normals(size))
        scores[0] = scores[1] + 1.0  # else some would have no comparison
        rows.append({"annotator_id": f"p{j % 5}", "prompt": f"q{j}", "responses": [f"{j},{a}" for a in range(size)],
                     "features": x.tolist(), "scores": scores.tolist()})  # fmt: skip
    prepared = prepare(table_of_rows(rows, "t"), Stream(0), likelihood="bradley-terry")
    return rows, prepared.answers(np.ones(len(rows), dtype=bool)), prepared.scales


def _score(answers):
    # Answers as their table has them, which a score that looks at the table must find in its place, too.
    np.testing.assert_array_equal(answers.table.differences[answers.rows], answers.differences)
    return answers.events.folded(answers.events.rows @ THETA)


@pytest.mark.parametrize("together", [1, 1 << 14])
def test_of_a_rating_the_share_of_its_comparisons(rated, together, monkeypatch):
    monkeypatch.setattr(sim.fitting.outcomes, "_TOGETHER", together)
    rows, answers, scales = rated
    expected = []
    for row in rows:
        utility = scales.standard("features", np.array(row["features"])) @ THETA
        right = [
            0.5 + 0.5 * np.sign(utility[a] - utility[b]) * np.sign(row["scores"][a] - row["scores"][b])
            for a, b in combinations(range(len(utility)), 2) if row["scores"][a] != row["scores"][b]
        ]  # fmt: skip
        expected.append(np.mean(right))
    assert right_of(_score, answers, _score(answers)) == pytest.approx(expected, abs=1e-12)
    assert 0.3 < np.mean(expected) < 0.9


def test_a_long_rating_is_no_work_for_the_others(rated):
    _, answers, _ = rated
    scored = []

    def score(own):
        scored.append(len(own))
        return _score(own)

    right_of(score, answers, _score(answers))
    assert sum(scored) == 2 * len(answers.events.answer)  # as it was and turned round, each once
