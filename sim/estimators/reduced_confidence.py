"""Confidence sets for a reward's coefficients in a reduced subspace, three ways."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from sim.arguments import (
    float_array,
    require_choice,
    require_not_negative,
    require_positive,
    require_same_rows,
    require_shape,
)
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.confidence import Ellipsoid, chi2_quantile
from sim.estimators.reduced_subspace import ReducedSubspace
from sim.preferences import FloatArray

Mode = Literal["wald", "weighted", "theory"]
MODES: tuple[Mode, ...] = get_args(Mode)


def curvature(margins: FloatArray) -> FloatArray:
    """sigma'(t) = 1 / (2 + e^t + e^-t), without overflow."""
    e = np.exp(-np.abs(margins))
    return np.asarray(e / (1.0 + e) ** 2)


def reduced_fit(psi: FloatArray, ridge: float) -> FloatArray:
    """argmin (1 / n) sum -log sigma(<theta, psi_i>) + 0.5 ridge |theta|^2; psi (n, k) of signed differences -> (k,).

    On the answers the subspace was estimated from, with the same ridge, this changes nothing: the gradient of a
    rank-constrained minimum vanishes on the tangent space psi spans, and the reduced problem is convex.
    """
    float_array("psi", psi, ("n", "k"))
    require_not_negative(ridge=ridge)
    return fit_bradley_terry(psi, ridge=max(ridge, 1e-12), mass_scaled=True, tolerance=1e-10, max_steps=100).theta


# Long for its docstring, which says what each of the three sets promises.
def reduced_confidence(
    subspace: ReducedSubspace,
    contexts: FloatArray,
    differences: FloatArray,
    *,
    mode: Mode = "wald",
    delta: float = 0.1,
    scale: float = 1.0,
    ridge: float = 1e-6,
    truth: FloatArray | None = None,
    dimension: int | None = None,
) -> Ellipsoid:
    """{theta : |theta - theta_tilde|_M <= scale f} around the reduced fit of these answers.   [reconstructed]

    contexts (n, d_x), differences (n, d_phi), signed: the answers the subspace came from (reuse), or others (split).
    wald: M = (1 / n) sum sigma'(u_i) psi_i psi_i' + ridge I, f = sqrt(chi2_{k, 1 - delta} / n); asymptotic.
    weighted: M = (1 / n) sum kappa_i psi_i psi_i', kappa_i = sigma'(max(|u_i(theta_tilde)|, |u_i(truth)|)),
    f = (1 / 2) sqrt((tr Q + 2 sqrt(tr Q^2 L) + 2 |Q| L) / n) + (b_rms / 4) sqrt|Q|, Q = M^-1/2 Sigma M^-1/2,
    L = log(1 / delta).
    theory: M = Sigma + lambda I, Sigma = (1 / n) sum psi psi', lambda = ridge / kappa, f = sqrt(lambda) |Theta| +
    (1 / kappa) ((1 / 2) sqrt((k + 2 sqrt(k L) + 2 L) / n) + b_rms / 4), kappa = sigma'(max_i |x_i| |z_i| times the
    larger of both operator norms).

    weighted and theory bound what an estimate may do and need the true Theta (`truth`): they are for checking. Both
    hold for a split only; b_rms is the truncation's error on these answers.  dimension: degrees of freedom of the wald
    radius, k unless given.  Returns an Ellipsoid over R^k, its `radius` the square of scale f.
    """
    require_choice("mode", mode, MODES)
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta must lie between 0 and 1 (got {delta})")
    require_not_negative(scale=scale, ridge=ridge)
    if dimension is not None:
        # Of weighted answers under a ridge it is no whole number.
        require_positive(dimension=dimension)
    d_x, d_phi = len(subspace.left), len(subspace.right)
    float_array("contexts", contexts, ("n", d_x))
    float_array("differences", differences, ("n", d_phi))
    require_same_rows(contexts=contexts, differences=differences)
    if truth is not None:
        float_array("truth", truth, (d_x, d_phi))
    psi = subspace.features(contexts, differences)
    n, k = psi.shape
    estimate = reduced_fit(psi, ridge)
    own = psi @ estimate
    if mode == "wald":
        matrix = (psi * curvature(own)[:, None]).T @ psi / n + ridge * np.eye(k)
        f = float(np.sqrt(chi2_quantile(1.0 - delta, dimension or k) / n))
        return Ellipsoid(estimate, matrix, (scale * f) ** 2)
    if truth is None:
        raise ValueError(f"truth must be given for mode {mode}: its curvature and truncation error are the true ones")
    L = float(np.log(1.0 / delta))
    missed = subspace.bias(truth, contexts, differences)
    b_rms = float(np.sqrt((missed**2).mean()))
    second = psi.T @ psi / n
    if mode == "theory":
        # Truncation can make the operator norm larger: the segment ends at the truncated truth.
        ends = (truth, subspace.matrix(subspace.vector(truth)), subspace.matrix(estimate))
        steepest = max(np.linalg.norm(end, 2) for end in ends)
        longest = (np.linalg.norm(contexts, axis=1) * np.linalg.norm(differences, axis=1)).max()
        kappa = float(curvature(np.array(longest * steepest)))
        f = (0.5 * np.sqrt((k + 2 * np.sqrt(k * L) + 2 * L) / n) + b_rms / 4) / kappa
        # The fit's penalty 0.5 ridge |theta|^2 is 0.5 kappa lambda |theta|^2 in the bound's curvature kappa M.
        f += np.sqrt(ridge / kappa) * np.linalg.norm(truth)
        return Ellipsoid(estimate, second + ridge / kappa * np.eye(k), (scale * float(f)) ** 2)
    kappas = curvature(np.maximum(np.abs(own), np.abs(psi @ subspace.vector(truth))))
    matrix = (psi * kappas[:, None]).T @ psi / n
    root = np.linalg.cholesky(matrix)
    half = np.linalg.solve(root, second)
    values = np.linalg.eigvalsh(np.linalg.solve(root, half.T))
    f = 0.5 * np.sqrt((values.sum() + 2 * np.sqrt((values**2).sum() * L) + 2 * values.max() * L) / n)
    f += b_rms / 4 * np.sqrt(values.max())
    return Ellipsoid(estimate, matrix, (scale * float(f)) ** 2)


def scaled_error(ellipsoid: Ellipsoid, truth: FloatArray) -> float:
    """|theta_tilde - truth|_M^2 / f^2, at most one where the set covers; truth (k,)."""
    require_shape("truth", truth, ellipsoid.estimate.shape)
    gap = truth - ellipsoid.estimate
    return float(gap @ ellipsoid.covariance @ gap / ellipsoid.radius)
