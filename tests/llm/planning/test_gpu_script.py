"""benchmarks/gpu.py, in small on a CPU: it runs from a checkout, and its JSON holds what it promises."""

import importlib.util
import json
import os
import subprocess
import sys
import warnings

import pytest
from places import ROOT

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")


@pytest.fixture
def script(monkeypatch):
    """The script as a module; it sets the environment of its process."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, os.environ.get(name, {"HF_HUB_OFFLINE": "1"}.get(name, "false")))
    import gpu

    return gpu


def test_both_halves_run_in_small(script, tmp_path, monkeypatch):
    """Every line that a CPU can reach, TRL's half with it: nothing else runs the script from one GPU to the next."""
    pytest.importorskip("trl")
    pytest.importorskip("datasets")
    # What the processor makes of matrix products takes a third of a second to find out.
    monkeypatch.setattr(script, "measure_cpu", lambda: 1e12)
    monkeypatch.setattr(script, "plan", lambda settings, plan=script.plan: plan(settings, flops=1e12))
    out = tmp_path / "gpu.json"
    words = ["--small", "--types", "1", "--pairs", "4", "--tokens", "8", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    with warnings.catch_warnings():
        # Of other people's code.
        warnings.simplefilter("ignore")
        script.main()
    (row,) = json.loads(out.read_text())["rounds"].values()
    ours, trl = row["ours"], row["trl"]
    # 8 + 2 x 8 tokens a pair in training, 16 a response in scoring under reference and groups, twice.
    assert ours["tokens_per_second"] * ours["seconds"] == pytest.approx(2 * 4 * 24 + 8 * 16 * (1 + 2))
    assert row["ratio"] == pytest.approx(trl["seconds"] / ours["seconds"])
    assert min(trl["seconds"], ours["seconds"], trl["peak_memory"]["gib"], ours["peak_memory"]["gib"]) > 0


@pytest.mark.slow
def test_the_script_writes_one_json_of_rounds(tmp_path):
    out = tmp_path / "gpu.json"
    words = ["--small", "--types", "2", "--pairs", "16", "--tokens", "32", "--out", str(out)]
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
    if all(map(importlib.util.find_spec, ("trl", "datasets"))):
        assert found["rounds"]["2"]["ratio"] > 0
    assert 0 < ours["model_flops_utilisation"] < 1
    # 32 + 2 x 32 tokens a pair in training, 64 a response in scoring: 32 of them under reference and groups, twice.
    assert ours["tokens_per_second"] * ours["seconds"] == pytest.approx(2 * 2 * 16 * 96 + 32 * 64 * (1 + 2 * 2))
    refused = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/gpu.py")], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith("no CUDA device: give --small")
