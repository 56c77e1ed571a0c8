"""One call of independent tasks, whatever runs them."""


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
