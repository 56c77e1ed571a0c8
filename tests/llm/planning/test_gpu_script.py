"""benchmarks/gpu.py, in small on a CPU: it runs from a checkout, and its JSON holds what it promises."""

import json
import os
import subprocess
import sys

import pytest
from places import ROOT

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")


@pytest.mark.slow
def test_the_script_writes_one_json_of_rounds(tmp_path):
    out = tmp_path / "gpu.json"
    words = ["--small", "--no-trl", "--types", "2", "--pairs", "16", "--tokens", "32", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/gpu.py"), *words], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert (found["pairs"], found["tokens"], list(found["rounds"])) == (16, 32, ["2"])
    ours = found["rounds"]["2"]["ours"]
    # The plan's memory against counted bytes, of the whole of it: base, adapters, steps and scores.
    assert ours["planned_gib"] == pytest.approx(ours["peak_memory"]["gib"], rel=0.15)
    assert ours["planned"] == "fits"
    assert 0 < ours["model_flops_utilisation"] < 1
    # 32 + 2 x 32 tokens a pair in training, 64 a response in scoring: 32 of them under reference and groups, twice.
    assert ours["tokens_per_second"] * ours["seconds"] == pytest.approx(2 * 2 * 16 * 96 + 32 * 64 * (1 + 2 * 2))
    refused = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/gpu.py")], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith("no CUDA device: give --small")
