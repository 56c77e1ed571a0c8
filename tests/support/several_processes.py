"""Processes that torchrun starts on this machine, over gloo on the loopback device, bounded in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from places import ROOT

SECONDS = 150
ENVIRONMENT = {
    **os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PLURALIGN_WAIT": "60", "PYTHONWARNINGS": "error",
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}",
}  # fmt: skip


def launched(n, *command, **environment):
    """torchrun of `command` (a script, or -m and a module, with arguments), begun; a session of its own."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    return subprocess.Popen(
        [*run, "--nproc-per-node", str(n), *map(str, command)], cwd=ROOT, env={**ENVIRONMENT, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def ended(process):
    """(exit code, standard output, standard error) of one that ends in time; otherwise it is killed."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        # Its workers are in its session; those that ended are not there any more.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, out, err


def workers(process):
    """Numbers of the processes that torchrun started, by their own number among them."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    found = {}
    for child in map(int, children):
        content = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        said = dict(entry.split(b"=", 1) for entry in content if b"=" in entry)
        if b"LOCAL_RANK" in said:
            found[int(said[b"LOCAL_RANK"])] = child
    return found


def until(happened, process):
    """Until something is so, while the process runs."""
    began = time.monotonic()
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < SECONDS, "it did not come about in time"
        time.sleep(0.02)


def errors(text):
    """Lines of ours in what processes and their launcher wrote."""
    return [line for line in text.splitlines() if line.startswith("pluralign: error")]
