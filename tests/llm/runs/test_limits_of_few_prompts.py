"""Limits over prompts where these are few: of means of scores and regrets, and what regrets are divided by."""

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from scipy import stats  # noqa: E402

import llm.runs.sampled_tables as tables  # noqa: E402
from llm.runs.quality import Samples, with_interval  # noqa: E402
from sim.estimators.bootstrap import cluster_interval  # noqa: E402
from sim.streams import Stream  # noqa: E402


@pytest.mark.parametrize("n", [2, 3, 8, 19])
def test_limits_of_few_prompts_are_student_s(n):
    values = Stream(3).normals((n,))
    found = with_interval(values, Stream(1))
    wanted = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.interval == pytest.approx(wanted)


def test_limits_of_few_prompts_hold_the_mean():
    """The percentile bootstrap's held it 52, 71 and 85 times in 100."""
    rng = np.random.default_rng(0)
    for n in (2, 3, 8):
        limits = np.array([with_interval(rng.normal(size=n), Stream(0)).interval for _ in range(2000)])
        # Four standard errors of 2,000.
        assert abs(((limits[:, 0] <= 0) & (limits[:, 1] >= 0)).mean() - 0.95) < 0.02, n


def test_limits_of_many_prompts_are_the_bootstrap_s_and_of_those_that_are_alike_none():
    values = Stream(3).normals((40,))
    assert with_interval(values, Stream(1)).interval == cluster_interval(values, np.arange(40), Stream(1))
    for n in (1, 2, 19, 20, 60):
        assert with_interval(np.full(n, 0.1), Stream(1)).interval is None
        assert with_interval(np.zeros(n), Stream(1), known=True).interval == (0.0, 0.0)


def test_limits_of_a_score_that_is_seldom_given_hold_its_mean():
    """One prompt in 30 has it: the bootstrap's limits, of no width in four of ten draws, held it .565 of the time."""
    rng, inside, told = np.random.default_rng(2), 0, 0
    for _ in range(300):
        found = with_interval((rng.random(30) < 0.03).astype(float), Stream(0)).interval
        told += found is not None
        inside += found is not None and found[0] <= 0.03 <= found[1]
    assert told > 100
    assert inside >= 0.93 * told


@pytest.mark.parametrize("constant", [0.1, 0.0, 3.0])
def test_regrets_by_a_scorer_that_is_constant_over_the_reference_keep_its_unit(monkeypatch, constant):
    """Seven reference samples of 0.1 have a standard deviation of 1.4e-17: regrets of 1e16 came of it."""
    reference, trained = SimpleNamespace(), SimpleNamespace(sampling=None, journal=None)

    def drawn(policy, groups, contexts, samples, scorers, tokenizer, stream):
        score = constant + (0.2 if policy is trained else 0.0)
        shape = len(contexts), samples
        zero, text = np.zeros((1, *shape)), tuple("x" for _ in contexts)
        return Samples(np.zeros(shape, dtype=np.int64), zero, {"s": np.full(shape, score)}, np.ones(shape), text, text)

    monkeypatch.setattr(tables, "draw_samples", drawn)
    monkeypatch.setattr(tables, "ReferencePolicy", lambda *_, **__: reference)
    mixture = SimpleNamespace(beta=0.1, method="dpo", adapters=["group_0"])
    run = SimpleNamespace(base=None, tokenizer=None, policies=[trained], mixture=mixture)
    found = tables.sampled_tables(
        run, {"dpo": trained}, [], np.arange(7), 1, {"group_0": SimpleNamespace(name="s")}, {0: "group_0"}, Stream(1),
        lambda text: None,
    )  # fmt: skip
    assert found.score_scale == {"s": 1.0}
    assert found.sampled["reference"].scored[0].mean == pytest.approx(0.2)
