"""Rank-constrained fits against SciPy, scikit-learn and each other."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from drawn_answers import drawn_answers, plackett_luce
from scipy.optimize import minimize
from several_threads import on_threads
from sklearn.linear_model import LogisticRegression

from sim.compiled import low_rank_fits
from sim.compiled.structs import Limits
from sim.compiled.tiles import row_length
from sim.estimators.bradley_terry import FitStatus
from sim.estimators.low_rank import (
    fit_full_rank,
    fit_full_rank_batch,
    fit_low_rank,
    fit_low_rank_batch,
    spectral_start,
)
from sim.estimators.low_rank_rankings import fit_low_rank_rankings
from sim.streams import Stream


def _loss(theta, x, z, weights, offset, ridge):
    u = offset + ((x @ theta) * z).sum(axis=1)
    return float((weights * np.logaddexp(0, -u)).sum() / weights.sum() + 0.5 * ridge * (theta**2).sum())


def _scipy(x, z, weights, offset, ridge, rank, starts):
    """The least loss SciPy's L-BFGS finds on the factors from these matrices."""
    d_x, best = x.shape[1], np.inf

    def objective(w):
        left, right = w[: d_x * rank].reshape(d_x, rank), w[d_x * rank :].reshape(-1, rank)
        theta = left @ right.T
        slope = -weights / (1 + np.exp(np.clip(offset + ((x @ theta) * z).sum(axis=1), -700, 700))) / weights.sum()
        gradient = x.T @ (slope[:, None] * z) + ridge * theta
        both = np.concatenate([(gradient @ right).ravel(), (gradient.T @ left).ravel()])
        return _loss(theta, x, z, weights, offset, ridge), both

    for start in starts:
        u, s, vt = np.linalg.svd(start)
        root = np.sqrt(s[:rank] + 1e-3)
        w = np.concatenate([(u[:, :rank] * root).ravel(), (vt[:rank].T * root).ravel()])
        options = {"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-15, "gtol": 1e-9}
        best = min(best, minimize(objective, w, jac=True, method="L-BFGS-B", options=options).fun)
    return best


CASES = [
    (0, 900, 6, 8, 2, 2, 1e-6, {}),
    (1, 700, 5, 4, 1, 3, 1e-4, {"norm": 0.5}),
    (2, 3000, 10, 7, 3, 2, 1e-6, {"norm": 6.0, "ratio": 10.0}),
    (3, 1203, 7, 7, 2, 7, 1e-3, {"weighted": True}),
    (4, 1500, 9, 3, 2, 2, 1e-2, {"shifted": True, "norm": 3.0}),
    (5, 4000, 12, 12, 3, 3, 1e-6, {"kind": "dependent", "ratio": 3.0}),
    (6, 800, 3, 5, 3, 3, 1e-5, {"kind": "collinear"}),
    (7, 800, 6, 8, 2, 4, 1e-5, {"kind": "scaled", "weighted": True, "shifted": True}),
    (8, 2200, 7, 10, 4, 5, 1e-5, {"kind": "one-hot"}),
    (9, 2500, 8, 9, 2, 2, 0.0, {"kind": "heavy", "norm": 2.0}),
    (10, 2048, 4, 4, 1, 1, 0.0, {}),
]


@pytest.mark.parametrize(("seed", "n", "d_x", "d_phi", "true", "rank", "ridge", "changes"), CASES)
def test_both_methods_find_scipys_minimum(seed, n, d_x, d_phi, true, rank, ridge, changes):
    """SciPy from the spectral start and from random ones; ranks below, at and above the true one."""
    x, z, weights, offset = drawn_answers(seed, n, d_x, d_phi, true, **changes)
    rng = Stream(seed, "starts").generator()
    # With a column that depends on others the spectral start does not exist.
    first = rng.normal(size=(d_x, d_phi)) if changes.get("kind") == "collinear" else spectral_start(x, z)
    starts = [first, *rng.normal(size=(2, d_x, d_phi))]
    best = _scipy(x, z, weights, offset, ridge, rank, starts)
    for method in ("alternating", "quasi_newton"):
        fit = fit_low_rank(x, z, rank, weights=weights, offset=offset, ridge=ridge, method=method)
        assert fit.status is FitStatus.CONVERGED
        assert np.linalg.matrix_rank(fit.theta, tol=1e-9) <= rank
        own = _loss(fit.theta, x, z, weights, offset, ridge)
        assert fit.loss == pytest.approx(own, abs=3e-9)
        assert own <= best + 2e-8


def test_few_rounds_where_contexts_and_differences_are_independent():
    """The curvature by blocks: a round leaves a small part of what there was to gain."""
    x, z, _, _ = drawn_answers(20, 3000, 8, 10, 2)
    least = fit_low_rank(x, z, 2, method="quasi_newton", ridge=0.0, tolerance=1e-14).loss
    left = [fit_low_rank(x, z, 2, method="quasi_newton", ridge=0.0, tolerance=0.0, max_rounds=k) for k in range(6)]
    excess = np.array([fit.loss for fit in left]) - least
    assert (excess[1:] < 0.15 * excess[:-1]).all()
    assert all(fit.status is FitStatus.MAX_STEPS for fit in left[1:])


def test_no_rounds_leave_the_truncated_spectral_start():
    x, z, _, _ = drawn_answers(21, 2000, 6, 9, 2, ratio=2.0)
    x, z = x @ Stream(21, "mix").normals((6, 6)), z @ Stream(21, "mixed").normals((9, 9))
    fit = fit_low_rank(x, z, 2, method="quasi_newton", ridge=0.0, max_rounds=0)
    roots = [np.linalg.cholesky(values.T @ values / len(values)) for values in (x, z)]
    u, s, vt = np.linalg.svd(roots[0].T @ spectral_start(x, z) @ roots[1])
    cut = np.linalg.solve(roots[0].T, (u[:, :2] * s[:2]) @ np.linalg.solve(roots[1].T, vt[:2].T).T)
    assert np.abs(fit.theta - cut).max() < 2e-3 * np.abs(cut).max()


@pytest.mark.parametrize("method", ["alternating", "quasi_newton"])
def test_any_start_leads_there(method):
    x, z, weights, offset = drawn_answers(22, 1500, 6, 7, 2, weighted=True)
    settings = {"weights": weights, "offset": offset, "method": method, "tolerance": 1e-12}
    spectral = fit_low_rank(x, z, 2, **settings)
    starts = ["full", Stream(22, "start").normals((6, 7)), np.zeros((6, 7)), spectral.theta]
    for start in starts:
        assert fit_low_rank(x, z, 2, start=start, **settings).theta == pytest.approx(spectral.theta, abs=2e-5)
    assert fit_low_rank(x, z, 2, start=spectral.theta, **settings).rounds <= 2


def test_full_rank_is_logistic_regression():
    """scikit-learn on vec(x z'), half of the answers turned round; so is the low-rank fit of all directions."""
    x, z, weights, _ = drawn_answers(23, 1200, 4, 5, 2, weighted=True)
    label = np.arange(len(x)) % 2
    features = np.where(label == 1, 1.0, -1.0)[:, None] * (x[:, :, None] * z[:, None, :]).reshape(len(x), -1)
    ridge = 1e-3
    model = LogisticRegression(C=1 / (ridge * weights.sum()), fit_intercept=False, tol=1e-12, solver="newton-cholesky")
    theirs = model.fit(features, label, sample_weight=weights).coef_[0].reshape(4, 5)
    assert fit_full_rank(x, z, weights=weights, ridge=ridge, tolerance=1e-15).theta == pytest.approx(theirs, abs=1e-6)
    for method in ("alternating", "quasi_newton"):
        fit = fit_low_rank(x, z, 4, weights=weights, ridge=ridge, method=method, tolerance=1e-13)
        assert fit.theta == pytest.approx(theirs, abs=1e-5)


def test_batch_is_a_loop():
    worlds = [drawn_answers(seed, 600, 5, 6, 2) for seed in range(40, 49)]
    x, z = np.stack([w[0] for w in worlds]), np.stack([w[1] for w in worlds])
    batch, full = fit_low_rank_batch(x, z, 2, ridge=1e-4), fit_full_rank_batch(x, z, ridge=1e-4)
    for b in range(9):
        one = fit_low_rank(x[b], z[b], 2, ridge=1e-4, method="quasi_newton")
        assert batch.theta[b] == pytest.approx(one.theta, abs=1e-9)
        assert (batch.rounds[b], batch.status[b], batch.separable[b]) == (one.rounds, one.status, one.separable)
        assert batch.loss[b] == pytest.approx(one.loss, abs=1e-12)
        assert full.theta[b] == pytest.approx(fit_full_rank(x[b], z[b], ridge=1e-4).theta, abs=1e-9)


def test_rankings_in_a_batch_are_single_fits_and_scipys():
    n, K, d_x, d_phi, B = 500, 3, 4, 5, 3
    rng = Stream(50, "rankings").generator()
    contexts, items = rng.normal(size=(B, n, d_x)), rng.normal(size=(B, n, K, d_phi))
    theta = np.outer(rng.normal(size=d_x), rng.normal(size=d_phi)) / 3
    order = np.argsort(-np.einsum("bnx,xp,bnkp->bnk", contexts, theta, items) + rng.gumbel(size=(B, n, K)), axis=2)
    items = np.take_along_axis(items, order[..., None], axis=2)
    items -= items.mean(axis=2, keepdims=True)
    rows, flat = np.repeat(contexts, K, axis=1), items.reshape(B, n * K, d_phi)
    found, values, counts = np.zeros((B, d_x, d_phi)), np.empty((2, B)), np.empty((3, B), np.int64)
    limits = Limits(1e-4, 1e-11, 500)
    low_rank_fits.fit_low_rank_many(rows, flat, row_length(n * K), K, 1, limits, found, values, counts)
    assert (counts[1] == 0).all()
    for b in range(B):
        single = fit_low_rank_rankings(contexts[b], items[b], 1, ridge=1e-4, tolerance=1e-11)
        assert found[b] == pytest.approx(single.theta, abs=1e-9)

        def objective(w, b=b):
            theta = np.outer(w[:d_x], w[d_x:])
            return plackett_luce(((rows[b] @ theta) * flat[b]).sum(axis=1), K) / n + 0.5e-4 * (theta**2).sum()

        best = min(
            minimize(objective, Stream(b, "w").at(replicate=k).normals(d_x + d_phi) / 2, method="L-BFGS-B").fun
            for k in range(2)
        )
        assert values[0, b] == pytest.approx(best, abs=1e-7)


@pytest.mark.slow
def test_large_fit_has_the_same_bits_for_any_number_of_threads_and_is_the_small_one(monkeypatch):
    x, z, weights, offset = drawn_answers(60, 27_000, 9, 11, 2, weighted=True, shifted=True)
    settings = {"weights": weights, "offset": offset, "method": "quasi_newton", "ridge": 1e-5, "tolerance": 1e-13}
    fits = [fit_low_rank(x, z, 2, **settings) for _ in on_threads(1, 2, 4)]
    assert all((fits[0].theta == other.theta).all() for other in fits)
    monkeypatch.setattr("sim.estimators.low_rank.SHARED_FROM", 1 << 30)
    small = fit_low_rank(x, z, 2, **settings)
    assert fits[0].theta == pytest.approx(small.theta, abs=1e-6)
    assert fits[0].loss == pytest.approx(small.loss, abs=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_a_large_fit_with_known_squares_is_the_same_alone_or_beside_others(rank):
    """Each on the thread it was called from."""
    x, z, weights, offset = drawn_answers(63, 27_000, 9, 11, 2, weighted=True, shifted=True)
    start = Stream(64).normals((9, 11))
    settings = {"weights": weights, "offset": offset, "method": "quasi_newton", "ridge": 1e-5, "start": start}
    shared = fit_low_rank(x, z, rank, tolerance=1e-13, **settings)
    squares = (x.T * weights) @ x, (z.T * weights) @ z

    def one(_):
        return fit_low_rank(x, z, rank, tolerance=1e-13, squares=squares, **settings)

    with ThreadPoolExecutor(3) as pool:
        fits = [one(0), *pool.map(one, range(3))]
    assert all((fits[0].theta == other.theta).all() for other in fits)
    assert fits[0].loss == pytest.approx(shared.loss, abs=1e-12)
    assert fits[0].theta == pytest.approx(shared.theta, abs=1e-6)
    assert fits[0].separable == shared.separable
    with pytest.raises(ValueError, match="squares of differences must be"):
        fit_low_rank(x, z, rank, squares=squares[:1] * 2, **settings)


@pytest.mark.parametrize("method", ["alternating", "quasi_newton"])
@pytest.mark.parametrize("n", [80, 60_000])
def test_separable_answers_are_said_to_be(method, n):
    x, z, _, _ = drawn_answers(62, 2 * n, 4, 5, 1)
    u = x.sum(axis=1) * z.sum(axis=1)
    clear = np.flatnonzero(np.abs(u) > 1.5)[:n]
    x, z = x[clear], np.sign(u[clear])[:, None] * z[clear]
    fit = fit_low_rank(x, z, 1, method=method, ridge=1e-4)
    assert fit.separable
    assert np.isfinite(fit.theta).all()
    z[len(z) // 2] *= -1
    assert not fit_low_rank(x, z, 1, method=method, ridge=1e-4).separable


@pytest.mark.parametrize("method", ["alternating", "quasi_newton", "gradient", "scaled"])
def test_values_that_are_not_numbers_are_named(method):
    x, z, _, _ = drawn_answers(63, 200, 4, 5, 1)
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"contexts must be finite \(got nan at \(3, 1\)\)"):
        fit_low_rank(x, z, 3, method=method)
    x[3, 1] = 0.0
    with pytest.raises(ValueError, match="offset must be finite"):
        fit_low_rank(x, z, 2, offset=np.full(200, np.inf), method=method)


def test_values_that_are_not_numbers_are_named_in_batches_and_full_fits():
    x, z, _, _ = drawn_answers(63, 200, 4, 5, 1)
    z[7, 2] = np.inf
    with pytest.raises(ValueError, match=r"differences must be finite \(got inf at \(7, 2\)\)"):
        fit_full_rank(x, z)
    for fit in (fit_full_rank_batch, lambda x, z: fit_low_rank_batch(x, z, 2)):
        with pytest.raises(ValueError, match=r"differences must be finite \(got inf at \(1, 7, 2\)\)"):
            fit(np.stack([x, x]), np.stack([np.zeros_like(z) + 0.1, z]))


@pytest.mark.parametrize("method", ["alternating", "quasi_newton", "gradient", "scaled"])
def test_a_feature_that_never_varies(method):
    """No direction to start along, none to go: its column stays zero."""
    x, z, _, _ = drawn_answers(65, 800, 4, 5, 1)
    z[:, 2] = 0.0
    # First-order methods stop by how far they move, not by what is left to gain.
    fit = fit_low_rank(x, z, 1, method=method, ridge=1e-4, tolerance=1e-10, max_rounds=20_000)
    best = _scipy(x, z, np.ones(800), np.zeros(800), 1e-4, 1, [fit.theta])
    assert _loss(fit.theta, x, z, np.ones(800), np.zeros(800), 1e-4) <= best + 1e-7
    assert np.abs(fit.theta[:, 2]).max() < 1e-6


def test_bad_input_says_what_was_expected():
    x, z, _, _ = drawn_answers(64, 50, 3, 4, 1)
    with pytest.raises(ValueError, match=r"rank must lie in 1\.\.3"):
        fit_low_rank(x, z, 4)
    with pytest.raises(ValueError, match="contexts has 49 rows and differences 50"):
        fit_low_rank(x[:-1], z, 1)
    with pytest.raises(ValueError, match="weights must not be negative"):
        fit_low_rank(x, z, 1, weights=-np.ones(50))
    with pytest.raises(ValueError, match=r"offset must be \(50,\)"):
        fit_low_rank(x, z, 1, offset=np.zeros(49))
    with pytest.raises(ValueError, match=r"ridge must be finite and not negative \(got -1\)"):
        fit_low_rank(x, z, 1, ridge=-1)
    with pytest.raises(ValueError, match="method must be one of"):
        fit_low_rank(x, z, 1, method="newton")
    with pytest.raises(ValueError, match="start must be"):
        fit_low_rank(x, z, 1, start=np.zeros((4, 3)))
