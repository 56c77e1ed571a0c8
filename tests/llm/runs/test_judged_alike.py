"""`eval`: runs beside each other are judged on answers that are new to all of them, and everybody's answers count."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from click.testing import CliRunner
from tiny_architectures import save_architecture
from tiny_llm import write_pairs

from llm.base.tokens import TokenStore
from llm.data.preference_text import DataSettings, load_answers, load_preferences
from llm.runs.evaluated_answers import NOBODY_TRAINED_ON, evaluated_answers
from llm.runs.evaluation import evaluate
from llm.runs.minmax_runs import direct_run, minmax_run
from llm.runs.open_run import open_run
from llm.runs.run_folder import read_annotators
from llm.runs.run_settings import RunSettings
from llm.runs.sampled_prompts import contexts_of_prompts, sampled_prompts
from llm.runs.table_rows import distinct_priorities, table_rows
from llm.runs.train_run import train_run
from llm.training.direct_saddle_point import SaddleSettings
from llm.training.group_training import GroupSettings, fit_groups
from pluralign.__main__ import command
from sim.errors import InputError
from sim.settings import read_settings
from sim.streams import Stream

FAST = ["threads=1", "training.rate=2e-3", "training.batch=16", "training.epochs=1", "lora.rank=2", "groups.rounds=0",
        "groups.start=random", "device=cpu", "sampling.max_new_tokens=3"]  # fmt: skip
PEOPLE = 10


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_architecture("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """A file of ten people about two prompts, and a way to write it changed."""
    folder = tmp_path_factory.mktemp("answers")
    path = write_pairs(folder / "p.jsonl", annotators=PEOPLE, answers=6, unseen=0)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for j, row in enumerate(rows):
        del row["split"], row["group_id"]
        row["prompt"] = f"The film was {'long' if j % 2 else 'short'}."

    def write(name, edit):
        place = folder / name
        place.write_text("".join(json.dumps(edit(j, dict(row))) + "\n" for j, row in enumerate(rows)))
        return place

    return write


@pytest.fixture(scope="module")
def trained(model, answers, tmp_path_factory):
    """Folder of a run on that file, or another, with these settings."""

    def make(*settings, data=None):
        folder = tmp_path_factory.mktemp("run") / "run"
        data = data or answers("plain.jsonl", lambda j, row: row)
        train_run(read_settings(RunSettings, None, [*FAST, f"model={model}", f"data.train={data}", *settings]), folder)
        return folder

    return make


@pytest.fixture(scope="module")
def run(trained):
    """Three of ten annotators unseen."""
    return open_run(trained("method=em-dpo", "data.unseen=0.3"))


def beside(run, folder):
    return open_run(folder, beside=run, prefix=f"beside{folder.parent.name}_")


def test_annotators_whom_another_run_was_trained_on_are_left_out_and_it_is_said(run, trained):
    unseen = set(run.preferences().unseen.annotators)
    same = beside(run, trained("method=dpo", "data.unseen=0.3"))
    assert evaluated_answers(run, None, {"dpo": same}).whose == NOBODY_TRAINED_ON
    # The unseen annotators are drawn by the seed: of these seeds one that leaves some of the run's unseen.
    for seed in range(1, 9):
        folder = trained("method=dpo", "data.unseen=0.5", f"seed={seed}")
        both = unseen - set(read_annotators(folder))
        if 2 <= len(both) < len(unseen):
            break
    other = beside(run, folder)
    found = evaluated_answers(run, None, {"dpo": same, "other": other})
    assert set(found.answers.annotators) == both
    left = len(unseen) - len(both)
    assert found.whose == f"{NOBODY_TRAINED_ON} ({left} of {len(unseen)} left out: other was trained on them)"
    whole = run.preferences().unseen
    kept = np.array([name in both for name in whole.annotators])[whole.pairs.annotator]
    assert (found.answers.pairs.chosen == whole.pairs.chosen[kept]).all()
    names = np.array(found.answers.annotators)[found.answers.pairs.annotator]
    assert (names == np.array(whole.annotators)[whole.pairs.annotator][kept]).all()
    assert evaluate(run, {"other": other}, prompts=2).answers_from == found.whose
    with pytest.raises(InputError, match=rf"--against: all was trained on {len(unseen)} of the {len(unseen)} annot"):
        evaluated_answers(run, None, {"all": beside(run, trained("method=dpo", "data.unseen=0"))})


def test_a_run_of_another_tokenizer_is_refused(run, trained, model, tmp_path):
    """The same weights under another order of words: the base's hash is the same, and every text is other tokens."""
    other = shutil.copytree(model, tmp_path / "other")
    content = json.loads((other / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    words = sorted((own for own in vocabulary if vocabulary[own] > 2), key=vocabulary.get)
    content["model"]["vocab"] |= {word: vocabulary[words[j - 1]] for j, word in enumerate(words)}
    (other / "tokenizer.json").write_text(json.dumps(content))
    folder = trained("method=dpo", "data.unseen=0.3", f"model={other}")
    with pytest.raises(InputError, match=f"trained with another tokenizer than {run.folder}") as refused:
        beside(run, folder)
    assert str(folder) in str(refused.value)


def test_a_run_that_reads_texts_otherwise_is_judged_with_a_note(run, trained):
    def said(*settings):
        folder, notes = trained("method=dpo", "data.unseen=0.3", *settings), []
        open_run(folder, beside=run, prefix="noted_", progress=notes.append)
        return [note.replace(str(folder), "it") for note in notes]

    assert said() == []
    assert said("data.append_end=false", "data.window=60") == [
        f"note: it is judged on texts as {run.folder} reads them: append_end true (its own is false), window "
        f"{run.mixture.window} (its own is 60)"
    ]


def test_answers_that_another_run_did_not_hold_out_are_refused(trained):
    run = open_run(trained("method=em-dpo", "data.unseen=0"))
    same = beside(run, trained("method=dpo", "data.unseen=0", "sampling.max_new_tokens=2"))
    assert evaluated_answers(run, None, {"dpo": same}).whose.startswith("held-out answers of training annotators")
    for settings in (["seed=5"], ["data.held_out=0.2"]):
        other = beside(run, trained("method=dpo", "data.unseen=0", *settings))
        with pytest.raises(InputError, match="or may have been on these answers of theirs, and 0 are left"):
            evaluated_answers(run, None, {"dpo": other})


def test_answers_given_are_not_those_another_run_was_trained_on(run, trained, answers):
    data = answers("others.jsonl", lambda j, row: {**row, "annotator_id": f"other{row['annotator_id']}"})
    given = load_answers(str(data), run.settings.data, run.tokenizer, run.base.store, run.mixture.window)
    assert evaluated_answers(run, given).whose == NOBODY_TRAINED_ON
    own = beside(run, trained("method=dpo", "data.unseen=0.3", data=data))
    found = evaluated_answers(run, given, {"dpo": own})
    assert set(found.answers.annotators) == set(given.annotators) - set(read_annotators(own.folder))
    assert found.whose.startswith(f"{NOBODY_TRAINED_ON} (7 of 10 left out: dpo")


def test_all_runs_are_sampled_alike_and_all_rows_of_a_file_are_evaluated_on(run, trained, answers, monkeypatch):
    seen = []

    def spied(opened, others, **named):
        seen.extend(policy.sampling for own in (opened, *others.values()) for policy in own.policies)
        return evaluate(opened, others, **named)

    monkeypatch.setattr("llm.runs.evaluation.evaluate", spied)
    longer = trained("method=dpo", "data.unseen=0.3", "sampling.max_new_tokens=24", "sampling.temperature=0.5")
    data = answers("split.jsonl", lambda j, row: {
        **row, "annotator_id": f"new{row['annotator_id']}",
        # Of one person the first answers, as files for training have it; the others are unseen.
        "split": "train" if j < 6 else "unseen",
    })  # fmt: skip
    result = CliRunner().invoke(
        command, ["llm", "eval", str(run.folder), "--against", str(longer), "--data", str(data), "--prompts", "2",
                  "--twin", "0", "--device", "cpu", "--json"], catch_exceptions=False,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert sum(group["n_annotators"] for group in found["groups"]) == PEOPLE
    assert [(own.max_new_tokens, own.temperature) for own in seen] == [(3, 1.0)] * 3
    assert f"{longer} is sampled as {run.folder} is: max_new_tokens 3, temperature 1 (its own are 24 and 0.5)" in (
        " ".join(result.stderr.split())
    )


@pytest.mark.parametrize("which", ["evaluate", "minmax"])
def test_samples_at_another_temperature_are_said_to_be(trained, which):
    for temperature in (1.0, 0.5):
        own = open_run(trained("method=dpo", "data.unseen=0.3", f"sampling.temperature={temperature}"), device="cpu")
        said = []
        if which == "evaluate":
            evaluate(own, {}, prompts=2, progress=said.append)
        else:
            minmax_run(own, [(1.0,) * len(own.policies)], prompts=2, progress=said.append)
        noted = [text for text in said if text.startswith(f"note: responses are drawn at temperature {temperature:g} ")]
        assert len(noted) == (temperature != 1.0)


def test_a_file_of_unseen_annotators_alone_is_evaluated_on(run, answers):
    data = answers("unseen.jsonl", lambda j, row: {**row, "split": "unseen"})
    given = load_answers(str(data), run.settings.data, run.tokenizer, run.base.store, run.mixture.window)
    assert len(given) == 6 * PEOPLE
    dropped = replace(run.settings.data, too_long="drop", append_end=True)
    with pytest.raises(InputError, match=r"no answers are left to evaluate on.*dropped"):
        load_answers(str(data), dropped, run.tokenizer, TokenStore(), 3)


def test_unseen_annotators_of_a_group_of_their_own_are_inferred(trained, answers):
    """With a name of their own each, as files have it that know of no groups."""
    data = answers("own.jsonl", lambda j, row: {**row, "group_id": row["annotator_id"]})
    run = open_run(trained("method=em-dpo", "data.unseen=0.3", data=data))
    found = evaluate(run, {}, prompts=2)
    none = "3 of 3 annotators have none that is in training: inferred from half of each annotator's answers"
    assert found.groups_from == none
    assert sum(group.n_annotators for group in found.groups) == 3
    with pytest.raises(InputError, match="is not in the training data"):
        evaluate(run, {}, answers=run.preferences().unseen, prompts=2)


@pytest.fixture(scope="module")
def cut(model, tmp_path_factory):
    """One long prompt of which answers of six lengths leave six beginnings: the file, and settings that read it so."""
    path = tmp_path_factory.mktemp("cut") / "one.jsonl"
    prompt = " ".join(["The film was long."] * 8)
    rows = [
        {"prompt": prompt, "chosen": " The plot was great." * (1 + j), "rejected": " The cast was awful.",
         "annotator_id": f"a{i}"} for i in range(4) for j in range(6)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_prompt_that_is_cut_for_its_answers_is_one_prompt(trained, cut):
    window = 48
    run = open_run(trained("method=em-dpo", "data.unseen=0.3", "data.too_long=truncate", f"data.window={window}",
                           data=cut))  # fmt: skip
    data = run.preferences()
    assert len(np.unique(data.unseen.pairs.contexts)) > 1
    assert len(np.unique(data.unseen.prompts)) == 1
    contexts = contexts_of_prompts(data.unseen, run.base.store)
    lengths = run.base.store.lengths(data.unseen.pairs.contexts)
    assert run.base.store.lengths(contexts).tolist() == [lengths.max()], "least of it was cut"
    with pytest.raises(InputError, match="all answers are to one prompt"):
        sampled_prompts(contexts, 256, 1, Stream(0))
    with pytest.raises(InputError, match="all answers are to one prompt"):
        evaluate(run, {})
    with pytest.raises(InputError, match="all answers are to one prompt"):
        minmax_run(run, [[1.0, 1.0]])
    with pytest.raises(InputError, match="all answers are to one prompt"):
        direct_run(run, SaddleSettings(steps=1, prompts=2, samples=2), None)


def test_types_laws_are_of_prompts_however_they_were_cut(run, cut, monkeypatch):
    settings = DataSettings(str(cut), unseen=0.0, held_out=0.0, new_prompts=0.0, too_long="truncate", window=48)
    data = load_preferences(settings, run.tokenizer, TokenStore(), 48, Stream(0))
    assert len(np.unique(data.train.pairs.contexts)) > 1
    seen = []

    class Enough(Exception):
        pass

    def em_dpo(*arguments, prompts, **named):
        seen.append(prompts.n_prompts)
        raise Enough

    monkeypatch.setattr("llm.training.group_training.em_dpo", em_dpo)
    with pytest.raises(Enough):
        fit_groups("em-dpo", [None, None], data, GroupSettings(start="random", prompt_laws=2.0), Stream(1),
                   features=None)  # fmt: skip
    assert seen == [1]


def test_answers_said_twice_are_in_one_half_of_a_cross_fit(run, answers, tmp_path, monkeypatch):
    plain = answers("plain.jsonl", lambda j, row: row).read_text()
    data = tmp_path / "twice.jsonl"
    data.write_text(plain + plain)
    settings = DataSettings(str(data), unseen=0.0, held_out=0.0, new_prompts=0.0)
    train = load_preferences(settings, run.tokenizer, TokenStore(), 120, Stream(0))
    seen = []

    class Enough(Exception):
        pass

    def em_dpo(*arguments, start, **named):
        seen.append(start.answer_weights.sum(axis=1) > 0)
        raise Enough

    monkeypatch.setattr("llm.training.group_training.em_dpo", em_dpo)
    with pytest.raises(Enough):
        fit_groups("em-dpo", [None, None], train, GroupSettings(start="random", estep="crossfit"), Stream(1),
                   features=None)  # fmt: skip
    first, again = seen[0].reshape(2, -1)
    assert (first == again).all()
    assert first.sum() == 3 * PEOPLE


def test_priorities_given_twice_are_one_game():
    assert distinct_priorities([(1, 4), (1.0, 4.0), (4, 1)]) == [(1.0, 4.0), (4.0, 1.0)]
    with pytest.raises(InputError, match=r"--priorities: two tuples differ too little .* both are minmax\(1,4\)"):
        distinct_priorities([(1.0, 4.0), (1.0, 4.0000001)])


def test_a_run_whose_priorities_were_given_twice_is_evaluated(run, monkeypatch):
    twice = [SimpleNamespace(priorities=(1.0, 1.0), weights=(0.5, 0.5))] * 2
    monkeypatch.setattr("llm.runs.table_rows.read_tuples", lambda folder: twice)
    _, ensembles, _ = table_rows(run, {})
    assert [own.kind for own in ensembles] == ["minmax", "shares"]


def _asked(*words):
    result = CliRunner().invoke(command, ["llm", *map(str, words), "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), " ".join(result.stderr.split())


def test_rows_of_a_file_that_are_left_out_are_told(run, answers, trained):
    """Half of the rows were too long and were dropped without a word."""
    dropping = trained("method=dpo", "data.unseen=0.3", "data.too_long=drop", "data.window=60")
    data = answers("long.jsonl", lambda j, row: {
        **row, "annotator_id": f"new{row['annotator_id']}", "chosen": row["chosen"] * (20 if j % 4 < 2 else 1),
    })  # fmt: skip
    found, told = _asked("eval", dropping, "--data", data, "--prompts", 2, "--twin", 0, "--json")
    # Half of those that are left are judged on: the others say whose group is whose.
    assert found["policies"]["dpo"]["n_pairs/group_0"] == 3 * PEOPLE // 2
    assert len(found["notes"]) == 1
    assert f"{3 * PEOPLE} " in found["notes"][0]
    assert f"note: {' '.join(found['notes'][0].split())}" in told


@pytest.mark.parametrize("group", [[], ["--group", "group_0"]], ids=["mixture", "group"])
def test_a_response_is_the_same_whatever_else_is_asked(run, group):
    """It belonged to its place in the list, and with more tokens was another one."""

    def generated(*words):
        asked = ["generate", run.folder, *group, "--json", "--max-new-tokens", 3, *words]
        return [(row["policy"], row["response"]) for row in _asked(*asked)[0]["responses"]]

    first, second = ["--prompt", "The film was long."], ["--prompt", "The film was short."]
    alone = generated(*second, "--samples", 4)
    assert len(set(alone)) > 1
    assert generated(*first, *second, "--samples", 4)[4:] == alone
    assert generated(*second, "--samples", 2) == alone[:2]
    assert generated(*second, *first, *second)[::2] == alone[:2], "asked twice it is answered twice"
    longer = generated(*second, "--samples", 4, "--max-new-tokens", 8)
    for (member, text), (own, more) in zip(alone, longer, strict=True):
        assert member == own
        assert more.startswith(text)
    assert generated(*second, "--samples", 4, "--seed", 1) != alone
