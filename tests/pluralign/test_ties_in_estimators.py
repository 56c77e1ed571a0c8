"""The papers' estimators take no ties: whichever item of one is called chosen, numbers are those without it."""

import numpy as np
import pytest
from looks import looks

import pluralign as pl
from sim.streams import Stream

ESTIMATORS = {
    "bradley_terry": lambda answers: pl.bradley_terry(answers, ridge=1.0),
    "em_dpo": lambda answers: pl.em_dpo(answers, 2, ridge=0.1, restarts=2),
    "cluster_dpo": lambda answers: pl.cluster_dpo(answers, 2, ridge=0.1),
    "shared_rewards": lambda answers: pl.shared_rewards(answers, 1, ridge=1.0),
    "low_rank_rewards": lambda answers: pl.low_rank_rewards(answers, 1, ridge=0.1),
}


@pytest.fixture(scope="module")
def answers():
    """Everybody likes much of x; in every second answer neither is better, and the one with less is called chosen."""
    x = np.sort(Stream(1).normals((8, 12, 2, 2)), axis=2)
    return [
        {
            "annotator_id": f"p{i}", "chosen": f"a{i},{q}", "rejected": f"b{i},{q}", "tie": q % 2 == 0,
            "chosen_features": dict(zip("xy", x[i, q, q % 2].tolist(), strict=True)),
            "rejected_features": dict(zip("xy", x[i, q, 1 - q % 2].tolist(), strict=True)),
            "annotator_features": [1.0, float(i % 2)], "group_id": "even" if i % 2 == 0 else "odd",
        }
        for i in range(8) for q in range(12)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_ties_are_left_out_and_counted(answers, name, tmp_path):
    # One more who finds everything equal: nothing is known of her.
    silent = [{**row, "annotator_id": "silent", "tie": True, "group_id": "even"} for row in answers[:3]]
    found = ESTIMATORS[name]([*silent, *answers])
    plain = ESTIMATORS[name]([{k: v for k, v in row.items() if k != "tie"} for row in answers if not row["tie"]])
    assert found.theta == pytest.approx(plain.theta, rel=1e-6)
    assert found.left_out == found.as_dict()["left_out"] == {"that are ties": 51}
    assert "left out: 51 rows that are ties" in str(found)
    assert plain.left_out == {}
    assert "left out" not in str(plain)
    if name in ("em_dpo", "cluster_dpo"):
        assert found.annotators == plain.annotators
    looks(found, tmp_path)


def test_answers_that_are_all_ties_are_refused(answers):
    ties = [row for row in answers if row["tie"]]
    for fit in ESTIMATORS.values():
        with pytest.raises(pl.InputError, match=r"field 'tie': every answer is a tie.*"):
            fit(ties)


def test_a_table_gives_no_algorithm_a_tie_for_a_win(answers):
    table = pl.read_pairs(answers)
    with pytest.raises(pl.InputError, match=r"48 answers are ties.*table\.select\(~table\.tie\)"):
        table.pairs()
    assert len(table.select(~table.tie).pairs()) == 48
