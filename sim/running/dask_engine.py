"""Workers of Dask: a cluster started here on the loopback, or that of a scheduler at an address."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sim.errors import InputError
from sim.install import install_line
from sim.running.workers import Tls, Workers, on_one_thread

T = TypeVar("T")
R = TypeVar("R")
# Seconds a scheduler has to answer, and a worker of its to be there.
_PATIENCE = 15
# How often it is asked how many workers there are: clusters grow and shrink.
_COUNT_SECONDS = 5.0


# Of a cluster of ours nobody sees the dashboard: its workers need not look a hundred times a second at what they do.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.system-monitor.gil.enabled": False,
    # What they hold is one batch; a worker that outgrows its memory is still ended.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}


class _Dask:
    def __init__(self, client: Any, words: str) -> None:
        self._client, self._words = client, words
        self._slots, self._counted = 0, 0.0

    @property
    def slots(self) -> int:
        if not self._slots or time.monotonic() - self._counted > _COUNT_SECONDS:
            try:
                self._slots = max(sum(self._client.nthreads().values()), 1)
            except (OSError, TimeoutError):
                raise self._gone() from None
            self._counted = time.monotonic()
        return self._slots

    def _gone(self) -> InputError:
        return InputError(
            f"{self._words} went away before all was done",
            fix="what had finished is kept; start it and run the same again",
        )

    def run(
        self,
        function: Callable[[T], R],
        tasks: Iterator[T],
        arrived: Callable[[T, R], None],
        again: Callable[[T], Iterable[T]],
    ) -> None:
        from distributed import CancelledError, KilledWorker, as_completed
        from distributed.comm import CommClosedError

        waiting: dict[Any, T] = {}
        completed = as_completed()

        def submit(task: T) -> None:
            # Not pure: the same task again is to be done again.
            future = self._client.submit(on_one_thread, function, task, pure=False)
            waiting[future] = task
            completed.add(future)

        def fill() -> None:
            # Twice as many as are done at once: the scheduler holds no more, whatever the study's size.
            while len(waiting) < 2 * self.slots and (task := next(tasks, None)) is not None:
                submit(task)

        fill()
        for future in completed:
            task = waiting.pop(future)
            if future.status in ("cancelled", "lost"):
                raise self._gone()
            try:
                answer = future.result()
            except (CancelledError, CommClosedError) as error:
                raise self._gone() from error
            except KilledWorker as error:
                # Dask had given it to others, several times.
                raise InputError(
                    f"workers of {self._words} died again and again: killed from outside, or for want of memory",
                    fix="what had finished is kept; run the same again, with more memory a worker, or with a "
                    "time-out, under which a replicate that kills its process is counted as failed",
                ) from error
            arrived(task, answer)
            fill()


@contextmanager
def on_dask(workers: Workers) -> Iterator[_Dask]:
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ImportError as missing:
        raise InputError("engine 'dask' needs Dask, which is not installed", fix=install_line("cluster")) from missing
    words = "the Dask scheduler" if workers.scheduler is None else f"the Dask scheduler at {workers.scheduler}"
    cluster: Any = None
    with _silent_log():
        try:
            if workers.scheduler is None:
                with config.set(_QUIET):
                    cluster = LocalCluster(
                        # Any free port: without an address Dask takes 8787, and warns where another run has it.
                        n_workers=workers.count, threads_per_worker=1, host="127.0.0.1", silence_logs=60,
                        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
                    )  # fmt: skip
            client = _connected(Client, workers.scheduler or cluster, words, workers.tls)
            try:
                yield _Dask(client, words)
            finally:
                client.close(timeout=5)
        except KeyboardInterrupt:
            _end_at_once(cluster)
            raise
        finally:
            if cluster is not None:
                cluster.close()


def _end_at_once(cluster: Any) -> None:
    """Our own workers, without waiting for what they do."""
    for nanny in [] if cluster is None else list(cluster.workers.values()):
        nanny.auto_restart = False
        if nanny.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)


@contextmanager
def _silent_log() -> Iterator[None]:
    """Whatever goes wrong is said once, in our error; the library's own log says it again, in tracebacks."""
    import logging

    loggers = [
        log for name, log in logging.root.manager.loggerDict.items() if name.startswith(("distributed", "tornado"))
    ]
    found = [log for log in loggers if isinstance(log, logging.Logger)]
    before = [log.disabled for log in found]
    for log in found:
        log.disabled = True
    try:
        yield
    finally:
        for log, disabled in zip(found, before, strict=True):
            log.disabled = disabled


def _security(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    from distributed import Security

    files = {"tls_ca_file": str(tls.ca), "tls_client_cert": str(tls.cert), "tls_client_key": str(tls.key)}
    return {"security": Security(require_encryption=True, **files)}


def _connected(client: Any, place: Any, words: str, tls: Tls | None) -> Any:
    """A client of a scheduler that has a worker, or one line that says which of the two is missing."""
    try:
        found = client(place, timeout=_PATIENCE, **_security(tls))
    except (OSError, ValueError, TypeError) as error:
        said = " ".join(str(error.__cause__ or error).split())[:120]
        if tls is None and str(place).startswith("tls:") and isinstance(error, TypeError):
            raise InputError(
                f"{words} speaks TLS, and no certificate is named", fix="name the three files of tls"
            ) from error
        raise InputError(
            f"{words} does not answer ({type(error).__name__}: {said})",
            fix="start it (`dask scheduler`), name no scheduler, or for one with TLS give its tls:// address and the "
            "certificate's files",
        ) from error  # fmt: skip
    try:
        found.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        found.close(timeout=5)
        raise InputError(f"{words} has no workers", fix="start some (`dask worker ADDRESS`)") from error
    return found
