"""`eval` says whose answers it evaluates on, also where nobody is left to whom a run is new; and runs on one prompt."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from tiny_architectures import save_architecture
from tiny_llm import write_pairs

from llm.data.answer_sets import asked_responses
from llm.runs.evaluated_answers import NOBODY_TRAINED_ON, evaluated_answers, training_responsibilities
from llm.runs.evaluation import evaluate
from llm.runs.minmax_runs import direct_run, minmax_run
from llm.runs.open_run import open_run
from llm.runs.run_figures import bars
from llm.runs.run_settings import RunSettings
from llm.runs.train_run import train_run
from llm.runs.twin_of_run import twin_of
from llm.training.direct_saddle_point import SaddleSettings
from pluralign.commands.llm_eval import eval_text
from sim.errors import InputError
from sim.settings import read_settings

FAST = ["threads=1", "training.rate=2e-3", "training.batch=16", "training.epochs=1", "lora.rank=2", "groups.rounds=0",
        "groups.start=random", "device=cpu", "sampling.max_new_tokens=3", "method=em-dpo", "data.unseen=0"]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_architecture("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def trained(model, tmp_path_factory):
    """A run on the tiny model's pairs, their rows changed by `edit`."""

    def make(edit, *settings):
        folder = tmp_path_factory.mktemp("run")
        path = write_pairs(folder / "p.jsonl", annotators=6, answers=8, unseen=0)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            del row["split"], row["group_id"]
        path.write_text("".join(json.dumps(edit(j, row)) + "\n" for j, row in enumerate(rows)))
        asked = read_settings(RunSettings, None, [*FAST, f"model={model}", f"data.train={path}", *settings])
        train_run(asked, folder / "run")
        return open_run(folder / "run")

    return make


@pytest.fixture(scope="module")
def shared(trained):
    """Prompts that several answer, and nobody who is unseen."""
    return trained(lambda j, row: {**row, "prompt": f"The film was {'long' if j % 2 else 'short'}."})


def test_held_out_answers_of_training_annotators_are_called_so(shared):
    whose = "held-out answers of training annotators, which chose the round"
    held_out = shared.preferences().held_out
    found = evaluate(shared, {}, prompts=2)
    assert found.answers_from == whose
    assert found.groups_from == "the run's responsibilities", "their training answers say who they are"
    groups = {name: int(gamma.argmax()) for name, gamma in training_responsibilities(shared).items()}
    told = [groups[name] for name in held_out.annotators]
    assert [group.n_annotators for group in found.groups] == [told.count(0), told.count(1)]
    some = next(iter(found.policies.values())).groups
    assert sum(row.n_pairs for row in some) == len(held_out), "no answer is spent on finding them again"
    content = found.as_json()
    assert content["answers_from"] == whose
    assert f"accuracy on {whose}\n" in eval_text(content)
    assert f"H{whose[1:]}, after clustering" in bars(content, clustered=True).get_suptitle()


def test_answers_held_out_with_their_prompts_are_evaluated_on_where_there_are_no_others(trained):
    run = trained(lambda j, row: {**row, "prompt": f"The film was number {j}."}, "data.new_prompts=0.25")
    data = run.preferences()
    assert (len(data.held_out), len(data.new_prompts) > 0) == (0, True)
    found = evaluate(run, {}, prompts=2)
    assert found.answers_from.startswith("held-out answers of training annotators to new prompts")
    assert sum(row.n_pairs for row in next(iter(found.policies.values())).groups) == len(data.new_prompts)


def test_answers_given_are_of_people_nobody_trained_on_or_it_is_said_of_how_many_not(shared):
    given = shared.preferences().held_out
    assert evaluated_answers(shared, given).whose == "annotators of whom 6 of 6 were trained on"
    strangers = type(given)(given.pairs, tuple(f"s{i}" for i in range(6)), given.group)
    found = evaluate(shared, {}, answers=strangers, prompts=2)
    assert found.answers_from == NOBODY_TRAINED_ON
    assert found.groups_from == "inferred from half of each annotator's answers"


def test_one_prompt_needs_several_responses_and_these_are_the_units(trained):
    run = trained(lambda j, row: {**row, "prompt": "The film was long.", "rejected": " The end was weak."})
    for command in (minmax_run, direct_run):
        given = ([[1.0, 1.0]],) if command is minmax_run else (SaddleSettings(steps=1, prompts=2, samples=2), None)
        with pytest.raises(InputError, match="all answers are to one prompt: a single response"):
            command(run, *given)
    with pytest.raises(InputError, match="sample several to it"):
        evaluate(run, {}, progress=lambda text: pytest.fail(f"began before: {text}"))
    report = minmax_run(run, [[1.0, 1.0]], samples=6)
    assert (report.prompts, report.samples) == (1, 6)
    assert np.isfinite(report.discrepancy_standard_error).all()
    direct = direct_run(run, SaddleSettings(steps=1, prompts=2, samples=2), None, samples=6)
    assert np.isfinite(direct.regret_standard_error).all()
    evaluated = evaluate(run, {}, samples=6)
    twins = twin_of(run, {}, evaluated, 1, 0, lambda text: None)
    asked = asked_responses(run.preferences().held_out.observations)
    assert twins is not None
    assert twins.ratios.responses == len(asked[0]) > len(np.unique(asked[1])), "what was written twice counts twice"
    found = evaluated.as_json()
    json.dumps(found, allow_nan=False)
    assert (found["n_prompts"], found["samples"]) == (1, 6)
    low, high = found["sampled"]["reference"]["worst_regret/implicit"]["interval"]
    assert low < high
