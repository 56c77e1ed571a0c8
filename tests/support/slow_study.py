"""A study whose replicates do what its file says: wait, raise, hang, die, say nan; those leave a line as they begin."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from sim.studies.experiment import Experiment, Measurement


@dataclass(frozen=True)
class Setting:
    """folder: where the begun are noted, and where a file `go` lets those that wait go on.  at: the replicates that do
    something else than measure, `what`."""

    n: int = 1
    folder: str = ""
    what: str = ""
    at: tuple[int, ...] = ()


def run(setting, stream, backends):
    folder = Path(setting.folder)
    if stream.replicate in setting.at:
        with (folder / "begun").open("a") as begun:
            begun.write(f"{os.getpid()} {setting.n} {stream.replicate}\n")
        first = not (folder / "go").exists()
        if setting.what == "raise":
            raise RuntimeError("bad luck")
        if setting.what == "nan":
            return [Measurement("m", "x", float("nan"))]
        if setting.what == "hang" or (setting.what == "wait" and first):
            while setting.what == "hang" or not (folder / "go").exists():
                time.sleep(0.05)
        if setting.what == "die" or (setting.what == "die once" and first):
            (folder / "go").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return [Measurement("m", "x", float(value)) for value in stream.child(str(setting.n)).uniforms(2)]


SLOW = Experiment(Setting, run, {})
