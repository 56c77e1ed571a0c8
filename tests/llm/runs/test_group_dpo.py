"""`llm train --method group-dpo`: whom it serves, that it resumes, what it refuses, and where its runs are taken."""
# ruff: noqa: F811  # fixtures are imported

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402
from saved_runs import FAST, contents, interrupted, refused, train_command  # noqa: E402, F401
from test_kinds_of_answers import _write as write_answers  # noqa: E402
from tiny_llm import tiny, write_pairs  # noqa: E402, F401

from llm.base.folder_format import read_stamped, stamped  # noqa: E402
from llm.runs.margins import margins_of  # noqa: E402
from llm.runs.open_run import open_run  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from pluralign.__main__ import command  # noqa: E402
from pluralign.commands.llm_eval import eval_text  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.files.atomic import write_json  # noqa: E402
from sim.policies.protocol import choice_log_likelihood  # noqa: E402
from sim.settings import read_settings  # noqa: E402

SERVES = [
    "threads=1", "device=cpu", "training.rate=5e-3", "training.batch=16", "lora.rank=4", "groups.rounds=2",
    "training.epochs=4", "sampling.max_new_tokens=4",
]  # fmt: skip


def _run(*arguments):
    result = CliRunner().invoke(command, [str(word) for word in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """Eight annotators who prefer good words, four who prefer bad ones; by pooled, group-robust and EM-DPO."""
    folder = tmp_path_factory.mktemp("robust")
    pairs = write_pairs(folder / "pairs.jsonl", annotators=12, answers=24)
    for method in ("dpo", "group-dpo", "em-dpo"):
        chosen = [*SERVES, f"model={tiny}", f"data.train={pairs}", f"method={method}"]
        train_run(read_settings(RunSettings, None, chosen), folder / method)
    return folder


def _losses(folder):
    """Mean nats an answer that nobody trained on, by group: those held out, and unseen annotators'."""
    run = open_run(folder)
    data = run.preferences()
    each = {"good": [], "bad": []}
    for answers in (data.held_out, data.new_prompts, data.unseen):
        found = -choice_log_likelihood(run.policies[0], answers.observations)
        for loss, who in zip(found, answers.pairs.annotator, strict=True):
            each[answers.group[who]].append(loss)
    assert min(map(len, each.values())) > 60
    return {name: np.mean(losses) for name, losses in each.items()}


def test_the_worst_group_loses_less_than_under_pooled_dpo(tiny, tmp_path):
    """One fit of each, of as many passes: no round is chosen that happens to serve the worst group."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", annotators=12, answers=24)
    for method in ("dpo", "group-dpo"):
        # Of more passes so small a model remembers its answers, and whom it serves then hangs on rounding.
        one = ["groups.rounds=0", "training.epochs=3", "training.settled=0", "seed=2", f"method={method}"]
        chosen = [*SERVES, f"model={tiny}", f"data.train={pairs}", *one]
        train_run(read_settings(RunSettings, None, chosen), tmp_path / method)
    pooled, robust = _losses(tmp_path / "dpo"), _losses(tmp_path / "group-dpo")
    assert max(pooled, key=pooled.get) == "bad", "pooled DPO serves the larger group"
    assert max(robust.values()) < max(pooled.values()) - 0.03
    assert abs(robust["bad"] - robust["good"]) < 0.5 * abs(pooled["bad"] - pooled["good"])


def test_what_is_kept_of_the_weights(runs):
    summary = json.loads((runs / "group-dpo" / "run.json").read_text())
    assert [own["name"] for own in summary["groups"]] == ["bad", "good"]
    assert sum(own["weight"] for own in summary["groups"]) == pytest.approx(1.0)
    assert (summary["method"], summary["n_types"], summary["mixture"]) == ("group-dpo", 1, [1.0])
    rows = [json.loads(line) for line in (runs / "group-dpo" / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if row["phase"] == "fit"]
    assert {tuple(row["group_weights"]) for row in steps} == {("bad", "good")}
    assert len({row["group_weights"]["bad"] for row in steps}) > 0.9 * len(steps), "they move at every step"
    rounds = [row for row in rows if row["phase"] == "round"]
    # Weights go on from fit to fit: the first step of a second fit is a small one.
    cut = next(j for j, row in enumerate(steps) if row["round"] == 1)
    jump = abs(np.log(steps[cut]["group_weights"]["bad"] / rounds[0]["groups"][0]["weight"]))
    assert 0 < jump < 0.15
    best = rounds[summary["best_round"]]["groups"]
    assert best == summary["groups"]
    worst = [min(own["held_out_log_likelihood"] for own in row["groups"]) for row in rounds]
    assert summary["best_round"] == int(np.argmax(worst)), "the round of the best worst group is kept"
    assert "groups" not in json.loads((runs / "dpo" / "run.json").read_text())


def test_the_run_is_taken_where_a_run_of_dpo_is(runs):
    beside = ["--against", runs / "group-dpo", "--prompts", 4, "--twin", 0, "--device", "cpu", "--json"]
    found = json.loads(_run("llm", "eval", runs / "em-dpo", *beside, "--against", runs / "dpo").stdout)
    assert found["against"] == ["group-dpo", "dpo"]
    small = next(group["group"] for group in found["groups"] if group["name"] == "bad")
    right = {name: found["policies"][name][f"rewards/accuracies/group_{small}"] for name in ("dpo", "group-dpo")}
    assert right["group-dpo"] > right["dpo"] + 0.05
    assert {row["against"] for row in found["own_group"]} == {"group-dpo", "dpo"}
    alone = json.loads(_run("llm", "eval", runs / "group-dpo", "--prompts", 4, "--twin", 0, "--json").stdout)
    assert next(iter(alone["policies"])) == "group-dpo"
    table = json.loads(_run("llm", "minmax", runs / "group-dpo", "--prompts", 4, "--device", "cpu", "--json").stdout)
    assert table["tuples"][0]["weights"] == [1.0]
    told = _run("report", runs / "group-dpo").stdout
    assert "group bad: weight" in told
    assert (runs / "group-dpo" / "figures" / "group_weights.png").is_file()
    assert "in each of 1 adapters" in _run("llm", "plan", "--size", "mini", "--types", 1, "--data",
                                           runs / "pairs.jsonl", "--set", "training.batch=4").stdout  # fmt: skip


@pytest.fixture(scope="module")
def settings(tiny, tmp_path_factory):
    pairs = write_pairs(tmp_path_factory.mktemp("answers") / "pairs.jsonl", annotators=6, answers=20, unseen=3)
    return read_settings(
        RunSettings, None, [*FAST, f"model={tiny}", f"data.train={pairs}", "method=group-dpo", "groups.weight_step=0.5"]
    )


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """The files of a run that nothing happens to."""
    folder = tmp_path_factory.mktemp("whole")
    train_run(settings, folder / "run")
    return contents(folder / "run")


@pytest.mark.parametrize(("kind", "times"), [("part", 2), ("fit", 1), ("part", 3)])
def test_a_killed_run_ends_in_the_same_bytes(settings, whole, tmp_path, monkeypatch, kind, times):
    interrupted(settings, tmp_path / "cut", monkeypatch, kind, times)
    pieces = list((tmp_path / "cut" / "journal").glob(f"{kind}-*.safetensors"))
    assert pieces
    train_run(settings, tmp_path / "cut")
    assert contents(tmp_path / "cut") == whole


def test_damaged_weights_are_not_believed(settings, whole, tmp_path, monkeypatch):
    """A byte of the weights in a piece of the journal: the fit begins again, and ends in the same bytes."""
    interrupted(settings, tmp_path / "cut", monkeypatch, "part", 2)
    (piece,) = (tmp_path / "cut" / "journal").glob("part-*.safetensors")
    content = bytearray(piece.read_bytes())
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    begin, end = header["beside/log_weights"]["data_offsets"]
    assert (header["beside/log_weights"]["dtype"], end - begin) == ("F64", 16)
    content[8 + int.from_bytes(content[:8], "little") + begin] ^= 1
    piece.write_bytes(content)
    said = []
    train_run(settings, tmp_path / "cut", said.append)
    assert any("was damaged" in text and "computed again" in text for text in said)
    assert contents(tmp_path / "cut") == whole


def test_a_run_from_before_a_setting_is_taken_up(runs, tiny, tmp_path):
    """A finished run of dpo whose settings know no step of weights."""
    old = shutil.copytree(runs / "dpo", tmp_path / "old")
    content = read_stamped(old / "run.json", "")
    del content["settings"]["groups"]["weight_step"]
    write_json(old / "run.json", stamped(content))
    chosen = [*SERVES, f"model={tiny}", f"data.train={runs / 'pairs.jsonl'}", "method=dpo"]
    said = []
    train_run(read_settings(RunSettings, None, chosen), old, said.append)
    assert said == [f"{old} is finished; nothing to do"]
    with pytest.raises(InputError, match=r"other settings \(groups\)"):
        train_run(read_settings(RunSettings, None, [*chosen, "groups.weight_step=0.2"]), old)


def _changed(settings, path, change):
    with open(settings.data.train, encoding="utf-8") as rows:
        path.write_text("".join(json.dumps(change(json.loads(line))) + "\n" for line in rows))
    return replace(settings, data=replace(settings.data, train=str(path)))


def _nobody(row):
    return {key: value for key, value in row.items() if key != "group_id"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_nobody, "answers.jsonl, field 'group_id': method group-dpo needs known groups, and there are none; give"),
        (lambda row: {**row, "group_id": None}, "field 'group_id': method group-dpo needs known groups, and there are"),
        (lambda row: row if row["annotator_id"] != "a2" else _nobody(row),
         "answers.jsonl, row 41, field 'group_id': method group-dpo needs everybody's group, and annotator a2 has"),
        (lambda row: row if row["group_id"] != "bad" else _nobody(row),
         "row 41, field 'group_id': method group-dpo needs everybody's group, and annotator a2 has none (nor have 1 "),
        (lambda row: {**row, "group_id": "all"}, "needs two groups, and everybody who trains is of 'all'; give"),
        (lambda row: {**row, "group_id": f"{row['group_id']} {row['prompt'][:4]}"}, "was in group good"),
    ],
)  # fmt: skip
def test_groups_that_are_not_known_are_one_line(settings, tmp_path, refused, change, message):
    own = _changed(settings, tmp_path / "answers.jsonl", change)
    said = refused(*train_command(own, tmp_path / "run"), "--method", "group-dpo")
    assert message in said
    assert not list((tmp_path / "run").glob("*.json"))


@pytest.mark.parametrize("step", ["-0.1", ".inf", "much"])
def test_a_step_that_is_none_is_refused(settings, tmp_path, refused, step):
    said = refused(*train_command(settings, tmp_path / "run"), "--set", f"groups.weight_step={step}")
    assert "groups" in said
    assert "weight_step" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["ties", "rankings"])
def test_answers_that_are_not_pairs(tiny, tmp_path, kind):
    data = write_answers(tmp_path / "answers.jsonl", kind)
    chosen = [*SERVES, "groups.rounds=1", f"model={tiny}", f"data.train={data}", "method=group-dpo"]
    summary = train_run(read_settings(RunSettings, None, chosen), tmp_path / "run")
    assert list(summary.constants) == (["tie"] if kind == "ties" else [])
    assert all(np.isfinite([own.weight, own.log_likelihood]).all() for own in summary.groups)
    assert summary.groups[0].weight != pytest.approx(0.5, abs=1e-4)
    again = train_run(read_settings(RunSettings, None, chosen), tmp_path / "run")
    assert again == summary, "a finished run is read as it was written"


def test_eval_tells_of_each_known_group_that_shares_the_policy(runs):
    """Both were one row, 'bad, good', whose accuracy was said to be the worst group's."""
    _run("llm", "eval", runs / "group-dpo", "--against", runs / "dpo", "--prompts", 4, "--twin", 0)
    found = json.loads((runs / "group-dpo" / "eval.json").read_text())
    assert [(row["group"], row["name"], row["adapter"]) for row in found["groups"]] == [
        (0, "bad", "group_0"), (1, "good", "group_0"),
    ]  # fmt: skip
    run = open_run(runs / "group-dpo")
    answers = run.preferences().unseen
    right = margins_of(run.policies[0], answers) > 0
    of_row = np.array(answers.group)[answers.pairs.annotator]
    row = found["policies"]["group-dpo"]
    wanted = [right[of_row == name].mean() for name in ("bad", "good")]
    assert [row[f"rewards/accuracies/group_{g}"] for g in (0, 1)] == pytest.approx(wanted)
    assert row["worst_group_accuracy"] == min(row[f"rewards/accuracies/group_{g}"] for g in (0, 1))
    assert [gap["group"] for gap in found["own_group"]] == [0, 1]
    assert "regret against the run's one policy" in eval_text(found)
