"""Train, MinMax and generate from the command line, on a random model of every architecture."""

import json

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402
from tiny_architectures import CONFIGURATIONS, save_architecture  # noqa: E402
from tiny_llm import write_pairs  # noqa: E402

from pluralign.__main__ import command  # noqa: E402

FAST = [
    "--set", "threads=1", "--set", "lora.rank=2", "--set", "groups.rounds=1", "--set", "groups.types=2",
    "--set", "training.gradient_checkpointing=true", "--set", "sampling.max_new_tokens=3", "--device", "cpu",
]  # fmt: skip


def _run(*arguments):
    result = CliRunner().invoke(command, ["llm", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_the_whole_way(architecture, tmp_path, monkeypatch):
    # Intervals of weights are the same whatever the architecture, and are most of the time.
    monkeypatch.setattr("llm.runs.minmax_runs._DRAWS", 4)
    folder = save_architecture(architecture, tmp_path / "model")
    pairs = write_pairs(tmp_path / "pairs.jsonl", annotators=3, answers=4, unseen=1)
    run = tmp_path / "run"
    said = _run("train", "--model", folder, "--data", pairs, "--method", "em-dpo", "--out", run, *FAST).stderr
    assert said.count("note: adapters on ") == 1
    assert said.index("note: adapters on ") < said.index("round 0")
    assert (run / "group_1" / "adapter_model.safetensors").is_file()
    found = json.loads(_run("minmax", run, "--priorities", "1,1", "--prompts", 4, "--device", "cpu", "--json").stdout)
    assert sum(found["tuples"][0]["weights"]) == pytest.approx(1.0)
    options = ["--prompt", "The film", "--samples", 2, "--group", "group_0", "--max-new-tokens", 3, "--device", "cpu"]
    assert len(json.loads(_run("generate", run, *options, "--json").stdout)["responses"]) == 2
