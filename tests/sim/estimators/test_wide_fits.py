"""Fits over many features against what they take the place of: Newton's kernels, one fit after another, SciPy."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.compiled import wide_answers
from sim.estimators import shared_representation, user_clusters
from sim.estimators.answer_spectrum import answer_spectrum
from sim.estimators.bradley_terry import FitStatus, fit_bradley_terry
from sim.estimators.shared_representation import fit_head, fit_shared
from sim.estimators.user_clusters import assign_users, cluster_users
from sim.estimators.wide_subspace import WideAnswers, _Profile, in_threes
from sim.likelihoods import log_sigmoid
from sim.populations.shared_representation import shared_population
from sim.streams import Stream

N, D, K, NP = 30, 24, 2, 40


def _shared(n=N, d=D, k=K, per_user=NP):
    stream = Stream(3, "wide")
    x = shared_population(n, d, k, stream).answers(per_user, stream)
    # Features of very different spread, as leading directions have.
    return (x * np.arange(1, d + 1) ** -0.7).reshape(-1, d), np.repeat(np.arange(n), per_user)


def _opposed(n=24, d=60, per_user=30):
    """Two clusters of opposite tastes."""
    x = np.random.default_rng(1).normal(size=(n, per_user, d))
    theta = np.zeros((n, d))
    theta[:, :3] = 2.0 * np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]
    sign = np.where(
        np.random.default_rng(2).uniform(size=(n, per_user)) < 1 / (1 + np.exp(-(x @ theta[:, :, None])[..., 0])), 1, -1
    )
    return (x * sign[..., None]).reshape(-1, d), np.repeat(np.arange(n), per_user)


def _newton(monkeypatch, module):
    monkeypatch.setattr(module, "WIDE_FROM", 10**9)


def _wide(monkeypatch, module):
    monkeypatch.setattr(module, "WIDE_FROM", 1)


@pytest.mark.parametrize("ridge", [0.5, 5.0])
def test_a_subspace_is_newtons(ridge, monkeypatch):
    rows, user = _shared()
    weights = 0.5 + Stream(9, "weights").uniforms(len(rows))
    offset = 0.3 * Stream(9, "offset").normals(len(rows))
    options = {"weights": weights, "offset": offset, "ridge": ridge, "tolerance": 1e-13}
    _newton(monkeypatch, shared_representation)
    before = fit_shared(rows, user, N, K, **options)
    _wide(monkeypatch, shared_representation)
    mixed = np.random.default_rng(0).permutation(len(rows))
    options |= {"weights": weights[mixed], "offset": offset[mixed]}
    wide = fit_shared(rows[mixed], user[mixed], N, K, **options)
    assert wide.status == before.status == FitStatus.CONVERGED
    assert wide.loss == pytest.approx(before.loss, rel=1e-9)
    assert wide.theta == pytest.approx(before.theta, abs=2e-5 * np.abs(before.theta).max())
    assert wide.subspace.T @ wide.subspace == pytest.approx(np.eye(K), abs=1e-12)


def test_a_subspace_is_scipys(monkeypatch):
    """The same loss in U and V, by another method from random starts."""
    rows, user = _shared(n=6, d=5, per_user=40)

    def loss(z):
        Q, R = np.linalg.qr(z[: 5 * K].reshape(5, K))
        heads = z[5 * K :].reshape(6, K) @ R.T
        margin = (rows * (heads @ Q.T)[user]).sum(axis=1)
        return float(-log_sigmoid(margin).sum() + 0.25 * (heads**2).sum())

    starts = np.random.default_rng(0).normal(size=(3, 11 * K))
    best = min(minimize(loss, start, method="BFGS", options={"gtol": 1e-6, "maxiter": 400}).fun for start in starts)
    _wide(monkeypatch, shared_representation)
    wide = fit_shared(rows, user, 6, K, ridge=0.5)
    assert wide.loss == pytest.approx(best, rel=1e-6)


def test_uneven_annotators_none_without_a_head_of_zero(monkeypatch):
    rows, user = _shared()
    keep = (user != 3) & (user != N - 1) & ((user != 5) | (np.arange(len(user)) % NP < 4))
    _wide(monkeypatch, shared_representation)
    fitted = fit_shared(rows[keep], user[keep], N, K, ridge=0.3)
    assert not fitted.heads[[3, N - 1]].any()
    head = fit_head(rows[keep & (user == 5)], fitted.subspace, ridge=0.3)
    assert head == pytest.approx(fitted.heads[5], abs=1e-6)


def test_borders_of_a_subspace(monkeypatch):
    rows, user = _shared(n=6, d=4)
    _wide(monkeypatch, shared_representation)
    whole = fit_shared(rows, user, 6, 4, ridge=0.1)
    alone = np.stack([fit_bradley_terry(rows[user == i], ridge=0.1).theta for i in range(6)])
    assert whole.theta == pytest.approx(alone, abs=1e-6)
    begun = fit_shared(rows, user, 6, 2, ridge=0.1, max_rounds=0)
    assert (begun.status, begun.rounds) == (FitStatus.MAX_STEPS, 0)
    _newton(monkeypatch, shared_representation)
    same = fit_shared(rows, user, 6, 2, ridge=0.1, max_rounds=0)
    assert begun.subspace @ begun.subspace.T == pytest.approx(same.subspace @ same.subspace.T, abs=1e-9)
    start = np.eye(4)[:, 2:]
    given = fit_shared(rows, user, 6, 2, ridge=0.1, max_rounds=0, start=start)
    _wide(monkeypatch, shared_representation)
    assert fit_shared(rows, user, 6, 2, ridge=0.1, max_rounds=0, start=start).loss == pytest.approx(given.loss)


def test_newton_does_not_end_where_only_damping_made_the_step_small(monkeypatch):
    """A strong ridge: at the start the Hessian is not positive, and a damped step is short whatever is left to gain."""
    rows, user = _shared()
    _newton(monkeypatch, shared_representation)
    fitted = fit_shared(rows, user, N, 1, ridge=300.0, tolerance=1e-7)
    _wide(monkeypatch, shared_representation)
    assert fitted.loss == pytest.approx(fit_shared(rows, user, N, 1, ridge=300.0, tolerance=1e-10).loss, rel=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7])
def test_one_pass_has_every_head_and_the_gradient_of_their_loss(k):
    """Against SciPy annotator by annotator, and finite differences; some answered nothing, one a single question."""
    rng = np.random.default_rng(k)
    sizes, d = np.array([0, 9, 1, 30, 0, 14]), 11
    starts, n = np.append(0, np.cumsum(sizes)), int(sizes.sum())
    rows, weight, offset = rng.normal(size=(n, d)), 0.5 + rng.uniform(size=n), rng.normal(size=n)
    profile = _Profile(WideAnswers(rows, starts, weight, offset), k, 0.7)
    Q, heads = np.linalg.qr(rng.normal(size=(d, k)))[0], np.zeros((6, k))
    loss, gradient = profile.at(Q, heads)
    expected, curved = 0.0, 0.0
    for i in range(6):
        own = slice(starts[i], starts[i + 1])

        def of(v, own=own):
            return float(-(weight[own] * log_sigmoid(offset[own] + rows[own] @ Q @ v)).sum() + 0.35 * v @ v)

        best = minimize(of, np.zeros(k), method="BFGS", options={"gtol": 1e-9}).x
        assert heads[i] == pytest.approx(best, abs=1e-5)
        expected += of(heads[i])
        right = np.exp(log_sigmoid(offset[own] + rows[own] @ Q @ heads[i]))
        curved += (weight[own] * right * (1.0 - right)).sum()
    assert loss == pytest.approx(expected, rel=1e-12)
    assert profile.curved == pytest.approx(curved, rel=1e-12)
    for _ in range(3):
        # Where Q stays orthonormal to first order.
        turn = rng.normal(size=(d, k))
        turn -= Q @ (Q.T @ turn)
        ahead, behind = (profile.at(np.linalg.qr(Q + h * turn)[0], np.zeros((6, k)))[0] for h in (1e-5, -1e-5))
        assert (gradient * turn).sum() == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("K", [1, 3, 5])
def test_passes_over_clusters_are_products(K):
    rng = np.random.default_rng(K)
    sizes, d = np.array([9, 1, 30, 75, 14]), 11
    edges, n = np.append(0, np.cumsum(sizes)), int(sizes.sum())
    rows, slope, labels = rng.normal(size=(n, d)), rng.normal(size=n), rng.integers(K, size=5)
    vectors, out = np.zeros((in_threes(K), d)), np.empty((in_threes(K), n))
    vectors[:K] = rng.normal(size=(K, d))
    wide_answers.margins_along(rows, vectors, out)
    assert out == pytest.approx(vectors @ rows.T, abs=1e-12)
    found = np.full((K, d), np.nan)
    wide_answers.gradient_by_group(rows, edges, labels, slope, found)
    mine = np.repeat(labels, sizes)[:, None] == np.arange(K)
    assert found == pytest.approx((mine * slope[:, None]).T @ rows, abs=1e-12)


def test_the_spectrum():
    rows, user = _shared()
    weights = 0.5 + Stream(9, "weights").uniforms(len(rows))
    found = answer_spectrum(rows, user, N, weights)
    covariance = (found.vectors * found.values) @ found.vectors.T
    assert covariance == pytest.approx(sum(w * np.outer(x, x) for w, x in zip(weights, rows, strict=True)), rel=1e-9)
    assert found.directions.T @ found.directions == pytest.approx(np.eye(D), abs=1e-10)


@pytest.mark.parametrize("ridge", [1.0, 30.0])
def test_clusters_are_newtons(ridge, monkeypatch):
    rows, user = _opposed()
    offset = 0.2 * Stream(9, "offset").normals(len(rows))
    weights = 0.5 + Stream(9, "weights").uniforms(len(rows))
    options = {"offset": offset, "weights": weights, "ridge": ridge, "restarts": 4}
    wide = cluster_users(rows, user, 24, 2, Stream(1), **options)
    assert rows.shape[1] >= user_clusters.WIDE_FROM
    _newton(monkeypatch, user_clusters)
    before = cluster_users(rows, user, 24, 2, Stream(1), **options)
    assert wide.objective == pytest.approx(before.objective, rel=1e-9)
    assert wide.label.tolist() == before.label.tolist()
    assert wide.theta == pytest.approx(before.theta, abs=1e-5)


def test_clusters_rise_and_stop_at_a_fixed_point():
    rows, user = _opposed()
    keep = user != 4
    found = cluster_users(rows[keep], user[keep], 24, 3, Stream(2), ridge=0.5)
    assert (np.diff(found.trace) >= -1e-9 * abs(found.objective)).all()
    assert found.objectives[0] == found.objectives.max() == found.trace[-1]
    assert assign_users(found.theta, rows[keep], user[keep], 24).tolist() == found.label.tolist()
    for c in range(3):
        own = rows[keep & (found.label[user] == c)]
        assert found.theta[c] == pytest.approx(fit_bradley_terry(own, ridge=0.5).theta, abs=1e-4)


@pytest.mark.parametrize("n", [1, 7, 60])
def test_a_head_of_few_answers_lies_in_their_span(n):
    """More features than answers: the same optimum as over all of them."""
    rng = np.random.default_rng(n)
    x, weights, offset = rng.normal(size=(n, 40)), 0.5 + rng.uniform(size=n), rng.normal(size=n)
    head = fit_head(x, None, weights=weights, offset=offset, ridge=0.7)

    def loss(theta):
        z = offset + x @ theta
        slope = -weights / (1.0 + np.exp(z))
        return float((weights * np.logaddexp(0.0, -z)).sum() + 0.35 * theta @ theta), x.T @ slope + 0.7 * theta

    found = minimize(loss, np.zeros(40), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    assert head == pytest.approx(found, abs=1e-6)
    basis = np.linalg.qr(rng.normal(size=(40, 30)))[0]
    inside = fit_head(x, basis, weights=weights, offset=offset, ridge=0.7)
    assert inside == pytest.approx(fit_head(x @ basis, np.eye(30), weights=weights, offset=offset, ridge=0.7), abs=1e-9)
