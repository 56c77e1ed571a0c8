"""quantecon is imported by one process at a time: it keeps pairs of files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.compiled.jit import cache_in_use

fcntl = pytest.importorskip("fcntl")


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="waits for a process to stand in /proc/locks")
def test_an_import_waits_for_another_process_that_imports():
    place = Path(cache_in_use())
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".importing").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code = "import sim.compiled.simplex; print('imported')"
        places = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
        process = subprocess.Popen([sys.executable, "-c", code], env=places, stdout=subprocess.PIPE, text=True)
        number = f":{os.fstat(file.fileno()).st_ino} "
        while process.poll() is None and not any(
            "->" in line and number in line for line in Path("/proc/locks").read_text().splitlines()
        ):
            os.sched_yield()
        assert process.poll() is None
        fcntl.flock(file, fcntl.LOCK_UN)
    assert process.communicate()[0] == "imported\n"
