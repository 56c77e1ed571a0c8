"""EM-DPO: the compiled recursion against the one over policies, monotone likelihood, recovery of types."""

import numba
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from sim.algorithms.em_dpo import (
    EMStatus,
    em_dpo,
    em_dpo_restarts,
    hard_posterior,
    random_split,
    soft_posterior,
)
from sim.algorithms.em_log_linear import EXACT, em_log_linear, em_log_linear_batch, responsibilities_of
from sim.environments.linear import majority_bandit
from sim.policies.log_linear import ArmFeatures, LogLinear
from sim.populations.collect import collect_pairs
from sim.populations.latent_types import LatentTypes
from sim.streams import Stream

FEATURES = ArmFeatures(3, 3)


def _bandit(seed, n_annotators=200, per_annotator=10):
    population = LatentTypes(np.array([0.6, 0.3, 0.1]))
    return collect_pairs(majority_bandit(), population, n_annotators, per_annotator, Stream(seed, "bandit"))


def _differences(pairs):
    return FEATURES.differences(pairs.contexts, pairs.chosen, pairs.rejected)


def _brute_force_posterior(theta, mixture, differences, annotator, n_annotators):
    out = np.empty((n_annotators, len(mixture)))
    for i in range(n_annotators):
        own = differences[annotator == i]
        chance = [np.prod(1 / (1 + np.exp(-own @ t))) for t in theta]
        out[i] = mixture * chance
    return out / out.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("mass_scaled", [True, False])
@pytest.mark.parametrize("hard", [False, True])
def test_compiled_equals_the_recursion_over_policies(hard, mass_scaled):
    pairs = _bandit(3, 60, 6)
    start = random_split(60, 3, Stream(1))
    policies = [LogLinear(FEATURES, ridge=0.02, mass_scaled=mass_scaled) for _ in range(3)]
    plain = em_dpo(
        pairs,
        policies,
        start=start,
        estep=hard_posterior if hard else soft_posterior,
        max_rounds=8,
        tolerance=0.0,
        guard=False,
    )
    compiled = em_log_linear(
        _differences(pairs),
        pairs.annotator,
        60,
        3,
        ridge=0.02,
        mass_scaled=mass_scaled,
        start=start[None],
        max_rounds=8,
        tolerance=0.0,
        estep="hard" if hard else "soft",
        newton_steps=EXACT,
    )
    n = min(len(plain.penalised), len(compiled.trace))
    assert compiled.trace[:n] == pytest.approx(plain.penalised[:n], rel=1e-8)
    assert compiled.responsibilities == pytest.approx(plain.responsibilities, abs=1e-6)
    assert compiled.theta == pytest.approx(np.stack([p.theta for p in policies]), abs=1e-4)


def test_responsibilities_against_brute_force():
    pairs = _bandit(5, 30, 4)
    fitted = em_log_linear(_differences(pairs), pairs.annotator, 30, 2, stream=Stream(2), restarts=2)
    expected = _brute_force_posterior(fitted.theta, fitted.mixture, _differences(pairs), pairs.annotator, 30)
    assert fitted.responsibilities == pytest.approx(expected, abs=1e-10)
    again = responsibilities_of(fitted.theta, fitted.mixture, _differences(pairs), pairs.annotator, 30)
    assert again == pytest.approx(expected, abs=1e-10)


def test_rows_in_any_order_give_the_same_fit():
    pairs = _bandit(6, 40, 5)
    shuffled = pairs.select(Stream(8).permutation(len(pairs)))
    start = random_split(40, 2, Stream(4))[None]
    one, two = (em_log_linear(_differences(p), p.annotator, 40, 2, start=start) for p in (pairs, shuffled))
    assert one.penalised == pytest.approx(two.penalised, rel=1e-8)


@pytest.mark.parametrize("newton_steps", [1, 2, EXACT])
def test_penalised_likelihood_is_monotone_for_a_fixed_ridge(newton_steps):
    for seed in range(10):
        pairs = _bandit(seed, 50, 5)
        fitted = em_log_linear(
            _differences(pairs),
            pairs.annotator,
            50,
            3,
            ridge=0.1,
            mass_scaled=False,
            restarts=1,
            newton_steps=newton_steps,
            stream=Stream(seed),
        )
        assert np.diff(fitted.trace).min() > -1e-8 * abs(fitted.trace[-1])


def test_types_are_recovered_in_ten_of_ten():
    for seed in range(10):
        pairs = _bandit(123 + seed)
        fitted = em_log_linear(_differences(pairs), pairs.annotator, 200, 3, restarts=5, stream=Stream(seed))
        assert adjusted_rand_score(pairs.group, fitted.responsibilities.argmax(axis=1)) == 1.0


def test_batch_equals_single_runs():
    samples = [_bandit(seed, 30, 4) for seed in range(3)]
    differences = np.stack([_differences(pairs) for pairs in samples])
    streams = [Stream(seed) for seed in range(3)]
    batch = em_log_linear_batch(differences, samples[0].annotator, 30, 2, restarts=3, streams=streams)
    for b, pairs in enumerate(samples):
        single = em_log_linear(differences[b], pairs.annotator, 30, 2, restarts=3, stream=streams[b])
        assert batch.penalised[b] == pytest.approx(single.restart_penalised, rel=1e-12)
        assert batch.responsibilities[b, batch.best[b]] == pytest.approx(single.responsibilities, abs=1e-12)


def test_large_problem_has_the_same_bits_for_any_number_of_threads():
    stream = Stream(12)
    n, d = 300_000, 8
    differences = stream.child("x").normals((n, d))
    annotator = np.repeat(np.arange(n // 50), 50)
    answers = []
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(threads)
        fitted = em_log_linear(
            differences, annotator, n // 50, 2, restarts=1, max_rounds=3, tolerance=0.0, stream=stream
        )
        answers.append(fitted.theta)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert all((answers[0] == other).all() for other in answers)


def test_identical_policies_are_a_fixed_point():
    pairs = _bandit(1, 40, 5)
    policies = [LogLinear(FEATURES) for _ in range(3)]
    stuck = em_dpo(pairs, policies, start="policies", max_rounds=5)
    assert np.abs(stuck.responsibilities - 1 / 3).max() < 1e-12


def test_guard_undoes_a_bad_m_step():
    class Overshooting(LogLinear):
        def fit(self, observations, weights):
            super().fit(observations, weights)
            self.theta = -self.theta

    pairs = _bandit(2, 40, 5)
    policies = [Overshooting(FEATURES, ridge=0.1, mass_scaled=False) for _ in range(2)]
    guarded = em_dpo(pairs, policies, start="policies", max_rounds=4)
    assert guarded.kept > 0
    assert np.diff(guarded.penalised).min() >= -1e-8
    free = [Overshooting(FEATURES, ridge=0.1, mass_scaled=False) for _ in range(2)]
    unguarded = em_dpo(pairs, free, start="policies", max_rounds=4, guard=False)
    assert np.diff(unguarded.penalised).min() < -1


def test_restarts_keep_the_best():
    pairs = _bandit(4, 40, 5)
    best, reached = em_dpo_restarts(
        pairs, lambda _: [LogLinear(FEATURES) for _ in range(3)], restarts=3, stream=Stream(3)
    )
    assert best.penalised[-1] == reached.max()
    assert best.status is EMStatus.CONVERGED
    with pytest.raises(ValueError, match="restarts must be a whole number, at least 1"):
        em_dpo_restarts(pairs, lambda _: [LogLinear(FEATURES)], restarts=0, stream=Stream())


def test_more_types_than_annotators_is_refused():
    pairs = _bandit(1, 3, 5)
    with pytest.raises(ValueError, match=r"n_types must be a whole number, 1\.\.3"):
        em_log_linear(_differences(pairs), pairs.annotator, 3, 4)
    with pytest.raises(ValueError, match="must not exceed the 3 annotators"):
        em_dpo(pairs, [LogLinear(FEATURES) for _ in range(4)])
