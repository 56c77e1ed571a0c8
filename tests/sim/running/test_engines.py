"""One call of independent tasks, whatever runs them."""

import pytest

from sim.errors import InputError
from sim.running.workers import Workers


def test_joblib_of_others_goes_on_after_ours():
    """Its processes are shared within a process, and so must be what it knows of them."""
    from joblib import Parallel, delayed

    from sim.running.joblib_engine import on_processes

    found: list[int] = []
    for _ in range(2):
        with on_processes(2) as engine:
            engine.run(abs, iter([-1, -2]), lambda task, answer: found.append(answer), lambda task: [task])
        assert Parallel(n_jobs=2)(delayed(abs)(x) for x in (-3, -4)) == [3, 4]
    assert sorted(found) == [1, 1, 2, 2]


def test_two_clusters_of_one_machine_do_not_meet():
    """Dask's own choice is one port for all, and a warning where it is taken; none listens beyond this machine."""
    import psutil

    from sim.running.dask_engine import on_dask

    with on_dask(Workers(1, "dask")) as one, on_dask(Workers(1, "dask")) as other:
        for cluster in (one, other):
            done = []
            cluster.run(str, iter([1, 2]), lambda task, answer, done=done: done.append(answer), lambda task: ())
            assert sorted(done) == ["1", "2"]
        mine = psutil.Process()
        heard = [
            line.laddr.ip
            for process in (mine, *mine.children(recursive=True))
            for line in process.net_connections("tcp")
            if line.status == psutil.CONN_LISTEN
        ]
        assert len(heard) >= 4
        assert set(heard) == {"127.0.0.1"}


def test_a_scheduler_that_goes_while_an_answer_is_fetched_is_one_line(monkeypatch):
    """Seen once in some runs: what had been done was told, and its number was still there."""
    import distributed
    from distributed.comm import CommClosedError

    from sim.running.dask_engine import on_dask

    def gone(self, timeout=None):
        raise CommClosedError("Stream is closed")

    with on_dask(Workers(1, "dask")) as cluster:
        monkeypatch.setattr(distributed.Future, "result", gone)
        with pytest.raises(InputError, match="went away before all was done; what had finished is kept"):
            cluster.run(str, iter([1]), lambda task, answer: None, lambda task: ())
