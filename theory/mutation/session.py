"""The process in which one fault is planted, seen from the process that waits for it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import Any

from theory.mutation.sources import ROOT

# A fault can make a loop endless or an array huge.
BYTES = 8 << 30
# What somebody else sends, the system's killer of processes among them; a process ends itself by others.
_FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Session:
    """`with Session(planted) as session: session.ask("check", claim, "quick", 0, seconds)`.

    planted: what `worker.plant` takes, or None for the code as it is.
    Errors: RuntimeError where the fault was not planted, so that no claim can be asked anything.
    """

    def __init__(self, planted: dict[str, Any] | None) -> None:
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        environment["PYTHONPATH"] = os.pathsep.join(
            part for part in (str(ROOT), environment.get("PYTHONPATH", "")) if part
        )
        self._process = subprocess.Popen(
            # -P: a file of the working folder that is called like a module is none of ours.
            [sys.executable, "-P", "-W", "ignore", "-m", "theory.mutation.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
            # Ctrl-C in a terminal is for the process that waits, which then ends this one.
            start_new_session=True,
        )  # fmt: skip
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._say({"planted": planted, "bytes": BYTES if sys.platform == "linux" else 0})
        # A process that dies before the fault is in its place, for whatever reason, has noticed nothing.
        began = self._answers.get()
        failed = "its process could not begin" if began is None else json.loads(began).get("unplanted", "")
        if failed:
            self.end()
            raise RuntimeError(f"the fault could not be planted: {failed}")

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """The process is gone; from any thread, more than once."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # What was not yet written to the dead process.
                    pipe.close()

    def ask(self, what: str, claim: str, profile: str, seed: int, seconds: float) -> dict[str, Any]:
        """The worker's answer; one of our own where it does not answer in `seconds` or has died, after which the
        session is over (`over`).

        No answer in time is `noticed`: a loop that has no end. So is a process that ended itself (`died`): a
        segmentation fault, an exit. One that was ended from outside (`unanswered`), mostly because the machine ran out
        of memory, says nothing of the fault.
        """
        self._say({"what": what, "claim": claim, "profile": profile, "seed": seed})
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.end()
            return {"noticed": f"error: no answer within {seconds:.0f} s", "seconds": seconds, "over": True}
        if line is None:
            self._answers.put(None)  # For whoever asks the dead once more.
            return {"seconds": 0.0, "over": True, "died": True, **self._died()}
        return dict(json.loads(line))

    def _died(self) -> dict[str, str]:
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # It has closed its output and lives on.
            return {"noticed": "error: the process went silent"}
        name = signal.Signals(-code).name if code < 0 else ""
        if name in _FROM_OUTSIDE:
            return {"noticed": "", "unanswered": f"its process was ended from outside ({name})"}
        return {"noticed": f"error: the process died{f' ({name})' if name else ''}"}

    def _say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return  # It has died, which is what the next answer says.

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)
