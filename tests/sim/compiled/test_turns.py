"""Two processes that need a kernel at the same time compile it once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fcntl")

KERNEL = """
import numpy as np
from numba import njit
from sim.compiled.jit import JIT

@njit(**JIT)
def total(values):
    out = 0.0
    for value in np.sort(values):
        out += value
    return out
"""
# Both start together: each says that it is ready, and goes once the other is, too.
RUN = """
import sys, time
from pathlib import Path
import numpy as np
import slow_kernel
here = Path(sys.argv[1])
(here / sys.argv[2]).touch()
while not ((here / "one").exists() and (here / "two").exists()):
    time.sleep(0.001)
value = slow_kernel.total(np.array([3.0, 1.0, 2.0]))
print(value, sum(slow_kernel.total.stats.cache_misses.values()), sum(slow_kernel.total.stats.cache_hits.values()))
"""


def run(folder, *names):
    env = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
    }
    started = [
        subprocess.Popen([sys.executable, "-c", RUN, str(folder), name], env=env, stdout=subprocess.PIPE, text=True)
        for name in names
    ]
    return sorted(tuple(map(float, process.communicate(timeout=120)[0].split())) for process in started)


def test_one_compiles_and_the_other_loads(tmp_path):
    (tmp_path / "slow_kernel.py").write_text(KERNEL)
    # value, compiled, loaded
    assert run(tmp_path, "one", "two") == [(6.0, 0.0, 1.0), (6.0, 1.0, 0.0)]


def test_a_lock_that_nobody_gives_back_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    import fcntl

    from numba import config, njit

    from sim.compiled import turns
    from sim.compiled.jit import JIT

    # A folder of its own: what an earlier run kept would be loaded, and nothing waited for.
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(turns.TakingTurns, "PATIENCE", 0.2)

    @njit(**JIT)
    def doubled(value):
        return 2.0 * value

    cache = doubled._cache
    assert isinstance(cache, turns.TakingTurns)
    place = Path(cache._cache_path)
    assert place.is_relative_to(tmp_path)
    place.mkdir(parents=True, exist_ok=True)
    with (place / f"{cache._impl.filename_base}.lock").open("ab") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX)
        began = time.monotonic()
        assert doubled(np.float64(2.5)) == 5.0
        assert time.monotonic() - began >= 0.2


LOADED = """
import sys
import numpy as np
import slow_kernel
from numba import njit

def knows():
    return "numba.np.arraymath" in sys.modules

value = slow_kernel.total(np.array([3.0, 1.0, 2.0]))
loaded = knows()
solved = njit(lambda a, b: np.linalg.solve(a, b))(np.array([[2.0, 0.0], [0.0, 4.0]]), np.ones(2))
print(value, sum(slow_kernel.total.stats.cache_hits.values()), int(loaded), int(knows()), *solved)
"""


def test_what_is_loaded_needs_no_functions_of_numbas_and_what_is_compiled_then_has_them(tmp_path):
    """Importing them takes half a second of every run."""
    (tmp_path / "slow_kernel.py").write_text(KERNEL.replace("np.sort(values)", "np.sort(np.dot(np.eye(3), values))"))
    env = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }
    said = [
        subprocess.run([sys.executable, "-c", LOADED], env=env, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert [list(map(float, line.split())) for line in said] == [
        [6.0, 0.0, 1.0, 1.0, 0.5, 0.25], [6.0, 1.0, 0.0, 1.0, 0.5, 0.25],
    ]  # fmt: skip
