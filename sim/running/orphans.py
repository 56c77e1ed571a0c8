"""A worker process ends when the process that waits for it has died, however it died, and leaves Ctrl-C to it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_EVERY = 0.5


def end_with(parent: int) -> None:
    """In a worker, once: from here on it lives no longer than the process `parent`.

    The system is asked to end it at once (Linux), which also ends a kernel that never comes back; elsewhere a thread
    looks twice a second whose child this is. A terminal sends Ctrl-C to all: it is for the process that waits, which
    then stops the worker; each would print a traceback of its own.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_EVERY)
    os._exit(1)
