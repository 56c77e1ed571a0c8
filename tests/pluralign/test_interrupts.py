"""Ctrl-C ends with one line and 130 wherever a command is; a reader that goes away ends it quietly."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from places import ROOT

from pluralign.interrupts import LINE, insistent_interrupts

SLOW = """
import time
from dataclasses import dataclass
from sim.studies.experiment import Experiment, Measurement

@dataclass(frozen=True)
class Setting:
    n: int = 1

def run(setting, stream, backends):
    print("begun", flush=True)
    time.sleep(60)
    return [Measurement("m", "x", 0.0)]

SLOW = Experiment(Setting, run, {})
"""


def _start(*arguments, **environment):
    """A process in a group of its own, which is killed after five minutes, whatever the test waits for."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pluralign", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=ROOT, start_new_session=True, env={**os.environ, **environment},
    )  # fmt: skip
    watch = threading.Timer(300, _kill, [process.pid])
    watch.daemon = True
    watch.start()
    return process


def _kill(group):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@pytest.mark.parametrize("engine", ["local", "joblib"])
@pytest.mark.parametrize("whom", ["process", "group"])
def test_during_a_study(tmp_path, engine, whom):
    """A terminal sends it to the whole group, workers too."""
    (tmp_path / "slow_study.py").write_text(SLOW)
    (tmp_path / "slow.yaml").write_text("experiment: slow_study:SLOW\nreplicates: 4\n")
    process = _start("study", tmp_path / "slow.yaml", "--workers", 2, "--engine", engine, "--out", tmp_path / "o")
    assert process.stdout.readline().startswith("begun")  # two workers may write at once
    (os.killpg if whom == "group" else os.kill)(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == LINE
    assert "Traceback" not in err


def test_during_first_use_compilation_which_is_announced_once_and_never_again(tmp_path):
    (tmp_path / "regrets.csv").write_text("g,A,B\nx,0,3\ny,2,0\n")
    arguments, environment = ("minmax", "--regret", tmp_path / "regrets.csv"), {"XDG_CACHE_HOME": str(tmp_path)}
    process = _start(*arguments, **environment)
    said = process.stderr.readline()
    assert said.startswith("compiling kernels for first use")
    assert str(tmp_path / "pluralign") in said
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, LINE + "\n")
    whole = _start(*arguments, **environment)
    assert whole.communicate(timeout=300)[1].count("\n") == 1
    again = _start(*arguments, **environment)
    assert again.communicate(timeout=300)[1] == ""


def test_one_that_was_lost_comes_again(monkeypatch):
    """As where it is raised in a call back from C, which prints and drops it."""
    monkeypatch.setattr("pluralign.interrupts.AGAIN", 0.05)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    reached = []

    def drop_the_first():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            reached.append("lost")
        time.sleep(30)

    with pytest.raises(KeyboardInterrupt), insistent_interrupts():
        drop_the_first()
    assert reached == ["lost"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_while_our_own_modules_are_loaded():
    code = (
        "import sys, signal\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from pluralign.__main__ import main\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", LINE + "\n")


def test_a_closed_pipe_is_quiet():
    process = _start("list", "--json")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), err) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pluralign", "list", "--json"], stdout=full, stderr=subprocess.PIPE, text=True,
            cwd=ROOT, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr
