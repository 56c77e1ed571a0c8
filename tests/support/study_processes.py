"""`pluralign study` as processes of their own, which tests kill, stop, starve and wait for."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from places import ROOT

from sim.studies.results import Results

PATIENCE = 120.0


def study_file(folder: Path, replicates: int = 8, what: str = "", at: tuple[int, ...] = (), cells: int = 2) -> Path:
    """A study of `slow_study`, with its module beside it."""
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("slow_study.py"), folder)
    path = folder / "slow.yaml"
    path.write_text(
        f"experiment: slow_study:SLOW\nseed: 3\nreplicates: {replicates}\ngrid: {{n: {list(range(1, cells + 1))}}}\n"
        f"settings: {{folder: {folder}, what: {what!r}, at: {list(at)}}}\n"
    )
    return path


def started(*words: object, limits: str = "pass", **environment: str) -> subprocess.Popen:
    """A process in a group of its own, killed after `PATIENCE` seconds whatever the test waits for."""
    code = f"import sys; {limits}; from pluralign.__main__ import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    watch = threading.Timer(PATIENCE, _kill, [process.pid])
    watch.daemon = True
    watch.start()
    return process


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def until(true, what: str) -> None:
    """Waits for an event, however busy the machine is."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def begun(folder: Path) -> list[int]:
    """The processes that came to a replicate out of `at`."""
    path = folder / "begun"
    return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def left(process: subprocess.Popen) -> list[int]:
    """Living processes of the session it was the first of."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == process.pid and state != "Z":
                    found.append(int(entry.name))
    return found


def numbers(folder: Path) -> list[dict]:
    """What does not depend on the machine, of a folder's results."""
    rows = Results.read(folder / "results.parquet").rows()
    return [{name: value for name, value in row.items() if name != "wall_s"} for row in rows]


def edited(path, **changes):
    """A JSON file's keys otherwise (`...`: without them), and without its checksum, as of an earlier version."""
    content = {**json.loads(path.read_text()), **changes, "checksum": ...}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))
