"""Low-rank fits and pessimistic policies against SciPy, torch and a cone solver; the same starts, the same losses."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from duel import Candidate, Duel
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from sim.algorithms.reduced_pessimism import distributional_policy
from sim.environments.low_rank import exotic_world, low_rank_matrix, plain_world
from sim.estimators.low_rank import fit_low_rank, fit_low_rank_batch, spectral_start
from sim.estimators.low_rank_descent import balanced_factors
from sim.estimators.reduced_confidence import reduced_confidence
from sim.estimators.reduced_subspace import reduced_subspace
from sim.preferences import FloatArray
from sim.streams import Stream

# Both sides stop by rules of their own; their losses must then agree to this, in nats an answer.
_SAME = 1e-7


def mean_loss(theta: FloatArray, x: FloatArray, z: FloatArray) -> float:
    return float(np.logaddexp(0.0, -((x @ theta) * z).sum(axis=1)).mean())


def scipy_fit(x: FloatArray, z: FloatArray, rank: int) -> FloatArray:
    """SciPy's L-BFGS on the factors, loss and gradient in NumPy on one thread, from the balanced spectral start."""

    def objective(w: FloatArray) -> tuple[float, FloatArray]:
        left, right = w[: x.shape[1] * rank].reshape(-1, rank), w[x.shape[1] * rank :].reshape(-1, rank)
        p, q = x @ left, z @ right
        u = (p * q).sum(axis=1)
        s = -1.0 / (1.0 + np.exp(u)) / len(u)
        gradient = np.concatenate([(x.T @ (s[:, None] * q)).ravel(), (z.T @ (s[:, None] * p)).ravel()])
        return float(np.logaddexp(0.0, -u).mean()), gradient

    with threadpool_limits(1):
        start = np.concatenate([factor.ravel() for factor in balanced_factors(spectral_start(x, z), rank)])
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-11, "maxiter": 500}).x
    return np.asarray(found[: x.shape[1] * rank].reshape(-1, rank) @ found[x.shape[1] * rank :].reshape(-1, rank).T)


def torch_fit(x: FloatArray, z: FloatArray, rank: int) -> FloatArray:
    """torch's L-BFGS with strong Wolfe steps, gradients by autograd, on all cores, from the same start."""
    import torch

    factors = balanced_factors(spectral_start(x, z), rank)
    left, right = (torch.tensor(np.ascontiguousarray(factor), requires_grad=True) for factor in factors)
    contexts, differences = torch.from_numpy(x), torch.from_numpy(z)
    optimiser = torch.optim.LBFGS(
        [left, right], max_iter=500, tolerance_grad=1e-6, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Any:
        optimiser.zero_grad()
        u = ((contexts @ left) * (differences @ right)).sum(dim=1)
        loss = torch.nn.functional.softplus(-u).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    return np.asarray((left @ right.T).detach().numpy())


def large_fit() -> Duel:
    d, rank, n = 50, 3, 20_000
    x, z = plain_world(low_rank_matrix(d, d, rank, Stream(21))).comparisons(n, Stream(21, role="answers"))

    def agree(ours: Any, name: str, theirs: Any) -> None:
        theta = theirs.theta if name == "our alternating Newton" else theirs
        np.testing.assert_allclose(mean_loss(ours.theta, x, z), mean_loss(theta, x, z), atol=_SAME, rtol=0.0)

    opponents: dict[str, tuple[Candidate, float]] = {
        "SciPy L-BFGS, NumPy": (Candidate(lambda: scipy_fit(x, z, rank)), 4.0),
        "our alternating Newton": (Candidate(lambda: fit_low_rank(x, z, rank, ridge=0.0, tolerance=1e-8)), 0.0),
    }
    if find_spec("torch"):
        opponents["torch L-BFGS, autograd"] = (Candidate(lambda: torch_fit(x, z, rank)), 1.0)
    return Duel(
        f"rank-constrained MLE, d_x = d_phi = {d}, r = {rank}, n = {n:,}",
        Candidate(lambda: fit_low_rank(x, z, rank, ridge=0.0, method="quasi_newton", tolerance=1e-8)),
        opponents,
        agree,
    )


def small_fits() -> Duel:
    replicates, n, rank, sample = 500, 2000, 2, 20
    worlds = [plain_world(low_rank_matrix(8, 10, rank, Stream(22, replicate=b))) for b in range(replicates)]
    answers = [world.comparisons(n, Stream(22, "answers", b)) for b, world in enumerate(worlds)]
    x, z = np.stack([x for x, _ in answers]), np.stack([z for _, z in answers])

    def agree(ours: Any, name: str, theirs: Any) -> None:
        for b in range(sample):
            losses = [mean_loss(theta, x[b], z[b]) for theta in (ours.theta[b], theirs[b])]
            np.testing.assert_allclose(losses[0], losses[1], atol=_SAME, rtol=0.0)

    return Duel(
        f"{replicates} rank-constrained MLEs, (8, 10, 2), n = {n:,}",
        Candidate(lambda: fit_low_rank_batch(x, z, rank, ridge=0.0, tolerance=1e-8)),
        {
            "SciPy L-BFGS, NumPy, a loop": (
                Candidate(lambda: [scipy_fit(x[b], z[b], rank) for b in range(sample)], replicates / sample), 30.0
            ),
        },
        agree,
    )  # fmt: skip


def policy() -> Duel:
    """1,000 targets of 20 actions after the fit, features and confidence set's weights included."""
    world = exotic_world(low_rank_matrix(8, 10, 2, Stream(23), columns=6), 6)
    x, z = world.comparisons(2000, Stream(23, role="answers"))
    targets = world.targets(1000, Stream(23, role="targets"))
    subspace = reduced_subspace(fit_low_rank(x, z, 2).theta, 2)
    ellipsoid = reduced_confidence(subspace, x, z)

    def ours() -> Any:
        return distributional_policy(subspace.features(targets.contexts[:, None], targets.features), ellipsoid)

    def theirs() -> float:
        import cvxpy as cp

        psi = subspace.features(targets.contexts[:, None], targets.features)
        flat = psi.reshape(-1, psi.shape[-1]) / len(psi)
        q = cp.Variable((len(psi), psi.shape[1]), nonneg=True)
        root = np.linalg.cholesky(np.linalg.inv(ellipsoid.covariance))
        mean = cp.vec(q, order="C") @ flat
        value = mean @ ellipsoid.estimate - np.sqrt(ellipsoid.radius) * cp.norm(mean @ root)
        return float(cp.Problem(cp.Maximize(value), [cp.sum(q, axis=1) == 1]).solve(solver=cp.CLARABEL))

    def agree(ours: Any, name: str, theirs: Any) -> None:
        assert ours.value <= theirs + 1e-6
        assert theirs <= ours.value + ours.gap + 1e-6

    return Duel(
        "pessimistic policy, 1,000 targets x 20 actions, k = 32",
        Candidate(ours),
        {"cvxpy and Clarabel": (Candidate(theirs), 0.0)},
        agree,
        repeats=3,
    )


LOW_RANK_DUELS: dict[str, Callable[[], Duel]] = {
    "low-rank": large_fit,
    "low-rank-many": small_fits,
    "low-rank-policy": policy,
}
