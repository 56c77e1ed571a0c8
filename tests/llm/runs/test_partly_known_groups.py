"""Files that know the groups of some annotators: what is found is compared with these, and nobody is in a group ""."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from tiny_llm import tiny, write_pairs  # noqa: F401

from llm.runs.evaluation import evaluate, known_groups
from llm.runs.open_run import open_run
from llm.runs.run_settings import RunSettings
from llm.runs.train_run import train_run
from pluralign.commands.llm_eval import eval_text
from sim.settings import read_settings

FAST = ["threads=1", "training.rate=2e-3", "training.batch=16", "training.epochs=2", "lora.rank=4", "groups.rounds=1",
        "device=cpu", "sampling.max_new_tokens=4"]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):  # noqa: F811
    """(folder, summary) of a run in which of a0, a1, ... those with an odd number have no group, null or empty."""
    folder = tmp_path_factory.mktemp("partly")
    path = write_pairs(folder / "p.jsonl", annotators=12, answers=24, unseen=6)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if int(row["annotator_id"][1:]) % 2:
            row["group_id"] = "" if int(row["annotator_id"][1:]) % 4 == 1 else None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = read_settings(RunSettings, None, [*FAST, f"model={tiny}", f"data.train={path}", "method=em-dpo"])
    return folder / "run", train_run(settings, folder / "run")


def test_the_index_is_of_those_whose_group_is_known(finished):
    folder, summary = finished
    assert summary.adjusted_rand_index == pytest.approx(1.0)
    assert any("6 of 12 training annotators have no group_id" in note for note in summary.notes)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = [row["adjusted_rand_index"] for row in rows if row["phase"] in ("heads", "round")]
    assert (found[0], found[-1]) == (1.0, 1.0), "of the linear heads, and of the last round"


def test_people_without_a_group_are_evaluated_in_the_group_they_answer_like(finished):
    run = open_run(finished[0])
    found = evaluate(run, {}, prompts=2)
    # a12, a13, ..., a17, of whom every other has no group.
    assert {group.name for group in found.groups} == {"good", "bad"}
    assert sum(group.n_annotators for group in found.groups) == 6
    assert found.groups_from.endswith("3 of 6 annotators have none: inferred from half of each annotator's answers")
    assert "()" not in eval_text({**found.as_json()})
    some = next(iter(found.policies.values())).groups
    assert sum(row.n_pairs for row in some) == 3 * 24 + 3 * 12, "half the answers of those who are inferred are used"


def test_an_adapter_that_no_known_group_is_matched_to_has_a_name(finished, monkeypatch):
    run = open_run(finished[0])
    names, gamma = known_groups(run)
    monkeypatch.setattr("llm.runs.evaluation.known_groups", lambda run: (tuple(n and "good" for n in names), gamma))
    unseen = run.preferences().unseen
    answers = replace(unseen, group=tuple(name and "good" for name in unseen.group))
    called = [group.name for group in evaluate(run, {}, answers=answers, prompts=2).groups]
    assert sorted(called, key=len) == ["good", f"group {1 - called.index('good')}"]
