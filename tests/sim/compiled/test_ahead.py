"""Which kernels an experiment calls is known, and who waits for one of them compiles another."""

import json
import os
import subprocess
import sys
import threading
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from numba import types
from places import ROOT

from sim.compiled import ahead, first_use, structs, turns
from sim.compiled.signatures import as_kept, from_kept
from sim.studies.registry import _OURS

TABLE = types.Array(types.float64, 2, "C")
CALLED = [
    types.float64, types.boolean, types.none, TABLE, types.Array(types.int64, 1, "F"), types.UniTuple(types.int64, 2),
    types.Tuple((types.int64, TABLE)), types.NamedTuple((TABLE, TABLE, types.int64), structs.Limits),
    types.NamedUniTuple(TABLE, 2, structs.Factors),
]  # fmt: skip


@pytest.mark.parametrize("kind", CALLED, ids=str)
def test_a_type_is_the_same_again(kind):
    assert from_kept(json.loads(json.dumps(as_kept(kind)))) == kind


@pytest.mark.parametrize(
    "kind",
    [types.Array(types.float64, 1, "C", readonly=True), types.unicode_type, types.ListType(types.int64)],
    ids=str,
)
def test_a_type_that_would_come_back_as_another_is_refused(kind):
    with pytest.raises(ValueError, match=r"kept|keep"):
        as_kept(kind)


def test_every_experiment_of_ours_that_calls_kernels_is_known():
    known = ahead._kept()["work"]
    assert set(known) <= set(_OURS)
    # Its kernels are those of `fit`, which depend on what it is asked to fit.
    assert set(_OURS) - set(known) == {"tastes"}
    for kernel in ahead._kept()["kernels"]:
        assert isinstance(ahead.dispatcher_of(kernel)._cache, turns.TakingTurns)
        assert ahead.signature_of(kernel)


STUDIES = {"pessimism": "pessimism_map", "bandit": "section_5_1"}
MORE = {
    "attributes": "attributes", "best_of_n": "best_of_n", "low_rank": "scenarios", "profiles": "welfare_profiles",
    "prompts": "prompts_by_type", "representation": "sharing_gain", "reward_free": "reward_free",
    "scaling": "party_scaling", "types": "types",
}  # fmt: skip


@pytest.mark.parametrize(
    ("experiment", "study"),
    [*STUDIES.items(), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in MORE.items())],
)
def test_what_stands_there_is_what_the_experiment_calls(tmp_path, experiment, study):
    """Otherwise: python benchmarks/kernels_ahead.py."""
    words = [
        "study",
        study,
        "--set",
        "replicates=1",
        "--workers",
        "1",
        "--engine",
        "local",
        "--out",
        str(tmp_path / "o"),
    ]
    if experiment == "bandit":
        words += ["--set", "backend=log_linear"]
    told = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "kernels_called.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    called = {kernel: types for kernel, (_, types) in json.loads(told.stdout.splitlines()[-1]).items()}
    kept = ahead._kept()["kernels"]
    assert called == {kernel: kept[kernel] for kernel in called}
    assert set(called) <= set(ahead.kernels_of(experiment))


KERNELS = """
from numba import njit
from sim.compiled.jit import JIT

@njit(**JIT)
def first(value):
    return value + 1.0

@njit(**JIT)
def second(values):
    return values[0] + 2.0

@njit(**JIT)
def third(value):
    return value + 3.0
"""


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    (tmp_path / "kernels_ahead_of_time.py").write_text(KERNELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(turns.TakingTurns, "PATIENCE", 20.0)
    monkeypatch.setattr(first_use, "expected", "something")
    names = [f"kernels_ahead_of_time.{name}" for name in ("third", "first", "second")]
    known = {"work": {"something": names}, "kernels": {
        names[0]: ["float64"], names[1]: ["float64"], names[2]: [["array", "float64", 1, "C"]],
    }}  # fmt: skip
    monkeypatch.setattr(ahead, "_kept", lambda: known)
    import kernels_ahead_of_time as module

    for name in ("first", "second", "third"):
        getattr(module, name)._cache._cache_path = str(tmp_path)
    yield module
    del sys.modules["kernels_ahead_of_time"]


def test_who_waits_compiles_what_nobody_compiles_and_then_what_it_waited_for(kernels):
    import fcntl

    def locked(kernel):
        file = FileIO(Path(kernel._cache._cache_path, f"{kernel._cache._impl.filename_base}.lock"), "a")
        fcntl.flock(file, fcntl.LOCK_EX)
        return file

    # Two that others have in hand.
    one, other = locked(kernels.first), locked(kernels.third)
    answers = []
    waits = threading.Thread(target=lambda: answers.append(kernels.first(1.0)))
    waits.start()
    waits.join(1.5)
    assert waits.is_alive(), "it waits for the first"
    assert kernels.second.overloads
    assert not kernels.third.overloads
    other.close()
    waits.join(1.5)
    assert waits.is_alive()
    assert kernels.third.overloads, "once nobody has it in hand"
    one.close()
    waits.join(60)
    assert answers == [2.0]
    assert kernels.second(np.array([1.0])) == 3.0
    assert len(kernels.second.overloads) == 1, "compiled for what it is called with"


def test_who_waits_for_nobody_compiles_nothing_else(kernels):
    assert kernels.first(1.0) == 2.0
    assert not kernels.second.overloads
    assert not kernels.third.overloads
