"""The whole way in miniature, through the command line: sft, make-imdb, train, minmax, eval, generate, report."""

import html
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")


from click.testing import CliRunner  # noqa: E402
from tiny_llm import corpus, score, tiny, write_pairs  # noqa: E402, F401

from pluralign.__main__ import command, main  # noqa: E402
from sim.errors import InputError  # noqa: E402

FAST = [
    "--set", "threads=1", "--set", "training.rate=2e-3", "--set", "training.batch=16", "--set", "training.epochs=2",
    "--set", "lora.rank=4", "--set", "groups.rounds=2",
]  # fmt: skip
SHORT = ["--set", "sampling.max_new_tokens=10", "--device", "cpu"]


def _run(*arguments):
    result = CliRunner().invoke(command, ["llm", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def _json(*arguments):
    return json.loads(_run(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):  # noqa: F811
    """A folder with em-dpo, cluster-dpo and dpo runs on template pairs."""
    folder = tmp_path_factory.mktemp("runs")
    pairs = write_pairs(folder / "pairs.jsonl", annotators=12, answers=24)
    for method in ("em-dpo", "cluster-dpo", "dpo"):
        common = ["--model", tiny, "--data", pairs, "--method", method, "--out", folder / method]
        _run("train", *common, *FAST, *SHORT, "--set", "groups.rounds=3")
    return folder


def test_em_finds_the_groups(runs):
    summary = json.loads((runs / "em-dpo" / "run.json").read_text())
    assert summary["adjusted_rand_index"] == pytest.approx(1.0)
    assert sorted(summary["mixture"]) == pytest.approx([4 / 12, 8 / 12], abs=0.02)
    rows = [json.loads(line) for line in (runs / "em-dpo" / "metrics.jsonl").read_text().splitlines()]
    assert {"heads", "fit", "fit_end", "round"} == {row["phase"] for row in rows}
    likelihood = [row["log_likelihood"] for row in rows if row["phase"] == "round"]
    assert all(b >= a - 1e-6 * abs(a) for a, b in itertools.pairwise(likelihood)), "the guard failed"


def test_files_of_a_run(runs):
    import pyarrow.parquet as pq

    folder = runs / "em-dpo"
    table = pq.read_table(folder / "responsibilities.parquet").to_pydict()
    assert np.array(table["group_0"]) + np.array(table["group_1"]) == pytest.approx(np.ones(12))
    mixture = json.loads((folder / "mixture.json").read_text())
    assert mixture["adapters"] == ["group_0", "group_1"]
    assert sum(mixture["mixture"]) == pytest.approx(1.0)
    assert (folder / "group_1" / "adapter_model.safetensors").is_file()
    assert not (folder / "journal").exists()
    assert not [path for path in folder.rglob("*") if path.suffix in (".pt", ".bin", ".pkl", ".pth")]
    assert json.loads((folder / "config.json").read_text())["groups"]["rounds"] == 3


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_any_group_loads_with_three_lines_of_peft(runs, tiny):  # noqa: F811
    """The three lines of the README."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = runs / "em-dpo"
    base = AutoModelForCausalLM.from_pretrained(tiny)
    model = PeftModel.from_pretrained(base, run / "group_0")
    tokenizer = AutoTokenizer.from_pretrained(tiny)

    from llm.runs.open_run import open_run

    opened = open_run(run)
    ids = tokenizer("The film", return_tensors="pt").input_ids
    with torch.no_grad(), opened.base.using("group_0") as own:
        assert torch.allclose(model(ids).logits, own(ids).logits, atol=1e-5)


def test_minmax_eval_and_report(runs):
    content = _json("minmax", runs / "em-dpo", "--priorities", "1,1", "--priorities", "1,4", "--prompts", 24)
    even, tilted = content["tuples"]
    assert even["value"] - even["lp_value"] <= even["gap"] + 1e-9
    assert tilted["weights"][1] >= even["weights"][1], "a larger priority must not lower the group's weight"
    assert json.loads((runs / "em-dpo" / "mixture.json").read_text())["weights"] == even["weights"]
    found = _json(
        "eval", runs / "em-dpo", "--against", runs / "dpo", "--against", runs / "cluster-dpo", "--prompts", 24,
        "--twin", 2,
        "--scorer", "group_0=length", "--scorer", "group_1=length",
    )  # fmt: skip
    name = {g["group"]: g["name"] for g in found["groups"]}
    assert set(name.values()) == {"good", "bad"}
    for k in range(2):
        own = found["policies"][f"em-dpo/group_{k}"]
        limits = own[f"rewards/accuracies_interval/group_{k}"]  # None where a few annotators have one accuracy
        assert limits is None or limits[0] <= own[f"rewards/accuracies/group_{k}"] <= limits[1]
        low, high = own[f"rewards/margins_interval/group_{k}"]
        assert low <= own[f"rewards/margins/group_{k}"] <= high
        assert own[f"rewards/accuracies/group_{k}"] > 0.7, "a group's policy must agree with its own people"
        assert own[f"rewards/accuracies/group_{1 - k}"] < 0.4
    gain = {row["group"]: row["accuracy"] for row in found["own_group"]}
    # Fits of one pass: the larger group, which pooled DPO serves, may lose a tenth by the draw of its adapter.
    answers = {k: found["policies"]["dpo"][f"n_pairs/group_{k}"] for k in gain}
    assert sum(gain[k] * answers[k] for k in gain) > 0.1 * sum(answers.values())
    assert max(gain.values()) > 0.2
    mixture, average = (found["policies"][f"em-dpo minmax(1,1){text}"] for text in ("", " component average"))
    assert mixture["rewards/margins/group_0"] != average["rewards/margins/group_0"]
    sampled = found["sampled"]["em-dpo minmax(1,1)"]
    assert sampled["worst_regret/implicit"]["mean"] == pytest.approx(
        max(row["mean"] for row in sampled["regret/implicit"])
    )
    policies = {"reference", "em-dpo/group_0", "em-dpo/group_1", "dpo", "cluster-dpo/group_0", "cluster-dpo/group_1"}
    assert len(found["examples"]) == 8
    for row in found["examples"]:
        assert set(row["responses"]) == policies, "what every policy wrote to one prompt"
    words = [len(row["responses"]["reference"].split()) for row in found["examples"]]
    assert len({row["prompt"] for row in found["examples"]}) == 8
    assert sum(words) > 0
    assert found["twin"]["comparison"]["run_weights"] == even["weights"]
    ratios = found["twin"]["ratios"]
    assert sum(ratios["weights"]) == pytest.approx(1.0)
    assert set(ratios["regrets"]) == set(ratios["welfare"]) == {"pooled", "minmax"}
    assert 0 < min(ratios["effective_responses"].values()) <= ratios["responses"] + 1e-9
    assert -1 <= ratios["kendall_tau"] <= 1
    for figure in ("training", "after_clustering", "after_aggregation", "worst_regret"):
        assert (runs / "em-dpo" / "figures" / f"{figure}.png").stat().st_size > 10_000
    shown = CliRunner().invoke(command, ["report", str(runs / "em-dpo")], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "minmax(1,1)" in shown.output
    page = (runs / "em-dpo" / "report.html").read_text(encoding="utf-8")
    assert found["examples"][0]["responses"]["dpo"][:20] in html.unescape(page)


def test_direct_saddle_point_command(runs):
    content = _json("minmax", runs / "em-dpo", "--prompts", 16, "--direct", "--set", "steps=4", "--set", "prompts=4")
    assert len(content["direct"]["record"]) == 4
    assert (runs / "em-dpo" / "direct" / "adapter_model.safetensors").is_file()


def test_generate(runs):
    options = ["--prompt", "The film", "--samples", 60, "--seed", 3]
    rows = _json("generate", runs / "em-dpo", *options)["responses"]
    assert len(rows) == 60
    mixture = json.loads((runs / "em-dpo" / "mixture.json").read_text())
    weights = mixture["weights"] or mixture["mixture"]
    share = np.mean([row["policy"] == "group_0" for row in rows])
    assert share == pytest.approx(weights[0], abs=0.25), "an ensemble draws its member by the weights"
    assert _json("generate", runs / "em-dpo", *options)["responses"] == rows
    # Which words a policy this small ends up writing is not this test's business; that its group matters is.
    texts = [
        [row["response"] for row in _json("generate", runs / "em-dpo", *options, "--group", name)["responses"]]
        for name in ("group_0", "group_1")
    ]
    assert sum(a != b for a, b in zip(*texts, strict=True)) > 30
    assert all(row["policy"] == "reference" for row in
               _json("generate", runs / "em-dpo", *options, "--group", "reference")["responses"])  # fmt: skip


def test_types_are_chosen_by_held_out_answers(tiny, tmp_path):  # noqa: F811
    pairs = write_pairs(tmp_path / "pairs.jsonl", annotators=16, answers=30)
    common = ["--model", tiny, "--data", pairs, "--types", "auto", "--set", "groups.max_types=2", *FAST, *SHORT]
    summary = _json("train", *common, "--out", tmp_path / "run", "--set",
                    "data.held_out=0.2", "--set", "groups.rounds=2")  # fmt: skip
    assert summary["n_types"] == 2
    assert summary["candidates"]["2"] > summary["candidates"]["1"]
    assert (tmp_path / "run" / "group_1").is_dir()
    assert not (tmp_path / "run" / "group_2").exists()


@pytest.mark.parametrize("estep", ["hard", "crossfit"])
def test_other_e_steps(tiny, tmp_path, estep):  # noqa: F811
    pairs = write_pairs(tmp_path / "pairs.jsonl", annotators=12, answers=24)
    summary = _json("train", "--model", tiny, "--data", pairs, "--out", tmp_path / "run", *FAST, *SHORT, "--set",
                    f"groups.estep={estep}", "--set", "groups.rounds=2",
                    "--set", "training.epochs=6")  # fmt: skip
    assert summary["adjusted_rand_index"] > 0.6


# Half a minute; each step's own restart is a test beside it in the everyday command.
@pytest.mark.slow
def test_kill_and_restart_gives_the_same_run(tiny, tmp_path):  # noqa: F811
    """kill -9 in the middle, twice, then again to the end: every file as in a run nobody touched."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", annotators=10, answers=40)
    options = ["--model", str(tiny), "--data", str(pairs), *FAST, *SHORT, "--set", "training.checkpoint_steps=3"]

    def arguments(out):
        return [sys.executable, "-m", "pluralign", "llm", "train", *options, "--out", str(out)]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    from places import ROOT as root

    subprocess.run(arguments(tmp_path / "whole"), check=True, capture_output=True, cwd=root, env=environment)
    cut = tmp_path / "cut"
    for pieces in (2, 6):
        process = subprocess.Popen(
            arguments(cut), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root, env=environment
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list((cut / "journal").glob("*.safetensors"))) >= pieces:
                break
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (cut / "run.json").exists()
    done = subprocess.run(arguments(cut), check=True, capture_output=True, text=True, cwd=root, env=environment)
    assert "round 2" in done.stderr
    for name in ("run.json", "mixture.json", "metrics.jsonl", "group_0/adapter_model.safetensors",
                 "group_0/adapter_config.json",
                 "group_1/adapter_model.safetensors", "responsibilities.parquet", "reference.safetensors"):  # fmt: skip
        assert (cut / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_finished_run_is_not_repeated_and_not_overwritten(runs, tiny, capsys, monkeypatch):  # noqa: F811
    common = [
        "train",
        "--model",
        tiny,
        "--data",
        runs / "pairs.jsonl",
        "--method",
        "dpo",
        "--out",
        runs / "dpo",
        *FAST,
        *SHORT,
    ]
    assert "nothing to do" in _run(*common, "--set", "groups.rounds=3").stderr
    with pytest.raises(InputError, match=r"other settings \(groups\)"):
        _run(*common, "--set", "groups.rounds=4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "no model"),
        (["train", "--model", "nowhere"], "no such folder"),
        (["train", "--set", "training.rate=-1"], "training.rate must be positive"),
        (["train", "--set", "trainin.rate=1"], "unknown key 'trainin'; did you mean 'training'?"),
        (["train", "--types", "many"], "expected a number or auto"),
        (["minmax", "nowhere"], "holds no mixture.json"),
        (["eval", "nowhere"], "holds no mixture.json"),
        (["generate", "nowhere", "--prompt", "x"], "holds no mixture.json"),
        (["make-imdb"], "needs data and model"),
        (["sft", "--data", "nowhere.jsonl"], "no such file"),
        (["sft", "--size", "huge"], "unknown size 'huge'"),
        (["plan", "--size", "huge"], "unknown size 'huge'"),
        (["plan", "--set", "types=0"], "types must be at least 1"),
        (["trian"], "did you mean 'train'?"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pluralign", "llm", *arguments])
    assert main() == 2
    shown = capsys.readouterr().err.strip().splitlines()
    assert len(shown) == 1
    assert message in shown[0]
    assert not list(tmp_path.iterdir())


def test_another_base_is_refused(runs, tiny, tmp_path):  # noqa: F811
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(tiny, moved)
    assert _json("minmax", runs / "dpo", "--model", moved, "--prompts", 4)["tuples"][0]["weights"] == [1.0]
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    with pytest.raises(InputError, match="is not the one this run was trained on"):
        _run("minmax", runs / "dpo", "--model", moved)


def test_make_imdb_in_miniature(tiny, tmp_path):  # noqa: F811
    reviews = tmp_path / "reviews.jsonl"
    texts = corpus(400, seed=5)
    joined = [" ".join(texts[j : j + 3]) for j in range(380)]
    labelled = [{"text": text, "label": "pos" if score(text) > 0 else "neg"} for text in joined]
    reviews.write_text("".join(json.dumps(row) + "\n" for row in labelled))
    options = ["--data", reviews, "--model", tiny, "--scenario", "opposed", "--device", "cpu"]
    for setting in (
        "annotators=6",
        "unseen=3",
        "pairs=10",
        "pool=40",
        "test_pool=30",
        "prompt_tokens=11",
        "new_tokens=10",
    ):
        options += ["--set", setting]
    made = _json("make-imdb", *options, "--out", tmp_path / "made")
    rows = [json.loads(line) for line in (tmp_path / "made" / "pairs.jsonl").read_text().splitlines()]
    assert made["n_pairs"] == len(rows) == 90
    groups = {row["annotator_id"]: row["group_id"] for row in rows if row["split"] == "train"}
    assert sorted(groups.values()) == ["negative"] * 2 + ["positive"] * 4
    right = [(score(row["chosen"]) - score(row["rejected"])) * (1 if row["group_id"] == "positive" else -1)
             for row in rows if score(row["chosen"]) != score(row["rejected"])]  # fmt: skip
    assert np.mean(np.array(right) > 0) > 0.8, "the classifier should agree with the words it was taught"
    prompts = {split: {row["prompt"] for row in rows if row["split"] == split} for split in ("train", "unseen")}
    assert not prompts["train"] & prompts["unseen"]
    again = _run("make-imdb", *options, "--out", tmp_path / "again")
    assert "pairs and configuration" in again.output
    assert (tmp_path / "again" / "pairs.jsonl").read_bytes() == (tmp_path / "made" / "pairs.jsonl").read_bytes()
    run = _json(
        "train", "--config", tmp_path / "made" / "train.yaml", "--out", tmp_path / "run", *FAST, "--device", "cpu"
    )
    assert run["n_types"] == 2
