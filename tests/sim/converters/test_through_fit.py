"""Every public set goes from its own schema through `convert` and `fit`, with what its answers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim.converters.converter import find_converter
from sim.files.answer_files import write_answers
from sim.files.preference_files import read_pairs
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings

SETS = Path(__file__).parents[3] / "examples" / "sets"
# Files of each set, the kind of its answers, and their likelihood.
CASES = {
    "community-alignment": (["community_alignment.jsonl"], "choices", "plackett-luce"),
    "collective-alignment": (
        ["collective_alignment_comparisons.jsonl", "collective_alignment_annotators.jsonl"], "rankings",
        "plackett-luce",
    ),
    "prism": (["prism_conversations.jsonl", "prism_survey.jsonl"], "ratings", "davidson"),
    "multipref": (["multipref.jsonl"], "pairs", "cumulative-logit"),
    "tldr": (["tldr.jsonl"], "pairs", "bradley-terry"),
    "helpsteer3": (["helpsteer3.jsonl"], "pairs", "cumulative-logit"),
    "ultrafeedback": (["ultrafeedback.jsonl"], "pairs", "davidson"),
    "arena": (["arena.jsonl"], "pairs", "davidson"),
    "oasst": (["oasst.jsonl"], "rankings", "plackett-luce"),
    "dices": (["dices.csv"], "grades", "cumulative-logit"),
    "hh": (["hh.jsonl"], "pairs", "bradley-terry"),
    "shp": (["shp.jsonl"], "pairs", "bradley-terry"),
    "choices": (["choices_long.csv"], "choices", "plackett-luce"),
    "preflib": (["council.toi"], "rankings", "plackett-luce"),
}  # fmt: skip


def _with_features(rows):
    """The same people's answers a dozen times, each time to other responses, with numbers as an embedding has them."""
    draw = np.random.default_rng(0)
    known: dict[tuple[str, int], list[float]] = {}

    def numbers(response, again):
        return known.setdefault((str(response), again), draw.normal(size=2).tolist())

    out = []
    for again in range(12):
        for row in rows:
            row = dict(row)
            if "chosen" in row:
                row["chosen_features"] = numbers(row["chosen"], again)
                row["rejected_features"] = numbers(row["rejected"], again)
            elif "responses" in row:
                row["features"] = [numbers(response, again) for response in row["responses"]]
            else:
                row["features"] = numbers(row["response"], again)
            out.append({**row, "prompt": f"{row.get('prompt')} {again}"})
    return out


@pytest.mark.parametrize("name", CASES)
def test_a_set_is_converted_and_fitted(name, tmp_path):
    files, kind, likelihood = CASES[name]
    made = find_converter(name).answers([SETS / file for file in files], name, {}, skip_bad=False)
    path = tmp_path / "answers.jsonl"
    write_answers(path, _with_features(made.rows), made.kind)
    table = read_pairs(path)
    assert table.answers == kind
    report = fit(table, FitSettings("pooled", ridge=0.1, hold_out="answers"))
    assert report.prepared.likelihood == likelihood
    assert np.isfinite(report.prepared.weights).all()
    assert report.prepared.weights.sum() > 0
