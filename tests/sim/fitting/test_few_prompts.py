"""Prompts held out where there are few: something is left on either side, or it is said that nothing was chosen."""

import numpy as np
import pytest

from sim.files.preference_files import table_of_rows
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings
from sim.fitting.splits import hold_out
from sim.streams import Stream

NOTHING = "could be held out"


def _rows(prompts, people=6, answers=12, texts=False):
    stream, found = Stream(1, "few-prompts"), []
    words = ("good", "bad", "long", "dull")
    for i in range(people):
        own = stream.at(replicate=i)
        z, wins = own.child("z").normals((answers, 2, 2)).round(3), own.child("wins").uniforms(answers)
        for j in range(answers):
            better, worse = z[j] if wins[j] < 1 / (1 + np.exp(z[j, 1, 0] - z[j, 0, 0])) else z[j, ::-1]
            row = {"annotator_id": f"p{i}", "prompt": f"q{(i + j) % prompts}"}
            if texts:
                row |= {"chosen": f"{words[j % 4]} {i}", "rejected": f"{words[(j + 1) % 4]} {i}"}
            else:
                row |= {"chosen": better.tolist(), "rejected": worse.tolist()}
            found.append(row)
    return found


def _table(tmp_path, prompts, **kinds):
    return table_of_rows(_rows(prompts, **kinds), tmp_path / "pairs.jsonl")


@pytest.mark.parametrize("prompts", [2, 3, 6])
def test_something_is_on_either_side_and_whole_draws_stay(tmp_path, prompts):
    table = _table(tmp_path, prompts)
    rows, redrawn = np.ones(len(table), dtype=bool), 0
    for seed in range(40):
        stream = Stream(seed)
        kept, held = hold_out(table, rows, 1 / 3, stream, "prompts")
        uniform = stream.uniforms(prompts)
        below = uniform < 1 / 3
        if below.all() or not below.any():
            redrawn += 1
            # The third of the prompts, by count, with the least uniforms: 1 of 2, 1 of 3, 2 of 6.
            below = uniform <= np.sort(uniform)[{2: 0, 3: 0, 6: 1}[prompts]]
        assert (held == below[table.prompt]).all()
        assert (kept == ~held).all()
    assert 0 < redrawn < 40


def test_only_prompts_that_are_answered_among_the_rows_count(tmp_path):
    """Two of six prompts train: a draw of the four others is none."""
    table = _table(tmp_path, 6)
    rows = table.prompt < 2
    for seed in range(20):
        kept, held = hold_out(table, rows, 1 / 3, Stream(seed), "prompts")
        assert len(np.unique(table.prompt[kept])) == len(np.unique(table.prompt[held])) == 1
        assert ((kept | held) == rows).all()
    rows = table.prompt == 0
    kept, held = hold_out(table, rows, 0.9, Stream(0), "prompts")
    assert (kept == rows).all()
    assert not held.any()


def test_with_three_prompts_sizes_and_ridges_are_chosen(tmp_path):
    table, chosen = _table(tmp_path, 3), 0
    for seed in range(6):
        report = fit(table, FitSettings("pooled", hold_out="prompts", seed=seed))
        trained = len(np.unique(report.prepared.table.prompt[report.prepared.train]))
        scores = [c["held_out"] for c in report.as_json()["selection"]["candidates"]]
        assert (None not in scores) == (trained > 1)
        assert any(NOTHING in warning for warning in report.warnings) == (trained == 1)
        chosen += trained > 1
    assert chosen > 2


@pytest.mark.parametrize("texts", [False, True])
def test_where_one_prompt_trains_it_is_said_that_nothing_was_chosen(tmp_path, texts):
    table = _table(tmp_path, 2, texts=texts)
    report = fit(table, FitSettings("pooled", hold_out="prompts", features="words" if texts else "columns"))
    assert sum(NOTHING in warning for warning in report.warnings) == 1
    summary = report.as_json()
    assert summary["selection"]["by"].startswith("nothing: no prompts of training answers could be held out")
    assert {c["held_out"] for c in summary["selection"]["candidates"]} == {None}
    else_where = fit(table, FitSettings("pooled", hold_out="answers", features="words" if texts else "columns"))
    assert not any(NOTHING in warning for warning in else_where.warnings)
    assert else_where.as_json()["selection"]["by"].startswith("mean log-likelihood of held-out answers")
