"""A confidence set for several parties' rewards at once, and what it guarantees each of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.arguments import float_array, require_index, require_shape
from sim.cones import modelling, solve
from sim.estimators.confidence import answer_covariance
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class PartyConfidence:
    """The product over parties of {theta : ||theta - theta_m||_Sigma_m <= radius_m}.

    [arXiv 2403.05006, Algorithm 1, step 2]  theta: (M, d).  covariance: (M, d, d), (1 / n) X' X + lambda I of each
    party's signed differences.  radius: (M,), reward units (Gamma, not squared). The ball |theta| <= B is left out,
    which makes the set larger and every bound below still valid.
    """

    theta: FloatArray
    covariance: FloatArray
    radius: FloatArray

    def __post_init__(self) -> None:
        float_array("theta", self.theta, ("M", "d"))
        M, d = self.theta.shape
        float_array("covariance", self.covariance, (M, d, d))
        float_array("radius", self.radius, (M,))
        if (self.radius < 0).any():
            raise ValueError(f"radius must not be negative (got {self.radius.min()})")

    @cached_property
    def whitener(self) -> FloatArray:
        """W with W v = L^-1 v, L L' = Sigma_m; (M, d, d)."""
        return np.asarray(np.linalg.inv(np.linalg.cholesky(self.covariance)))

    def errors(self, truth: FloatArray) -> FloatArray:
        """||theta_m - truth_m||_Sigma_m; (M,)."""
        require_shape("truth", truth, self.theta.shape)
        gap = self.theta - truth
        return np.asarray(np.sqrt(np.einsum("md,mde,me->m", gap, self.covariance, gap)))

    def whitened(self, vectors: FloatArray) -> FloatArray:
        """W_m v of vectors (..., d), party by party; (M, ..., d)."""
        return np.asarray(np.einsum("mij,...j->m...i", self.whitener, vectors))

    def norms(self, vectors: FloatArray) -> FloatArray:
        """||v||_{Sigma_m^-1} of vectors (..., d), party by party; (M, ...)."""
        return np.asarray(np.linalg.norm(self.whitened(vectors), axis=-1))

    def reward_bounds(self, features: FloatArray) -> FloatArray:
        """min over the set of <theta_m, phi> = <theta_hat_m, phi> - radius_m ||phi||; (..., d) -> (M, ...)."""
        mean = np.einsum("md,...d->m...", self.theta, features)
        width = self.norms(features)
        return np.asarray(mean - self.radius.reshape(-1, *[1] * (width.ndim - 1)) * width)

    def gain_bounds(self, features: FloatArray) -> FloatArray:
        """A lower bound on each party's gain over its worst action; features (S, A, d) -> (M, S, A), at least 0.

            Lcb = max_a' [<theta_hat_m, D> - radius_m ||D||_{Sigma_m^-1}],  D = phi(s, a) - phi(s, a')   [derived]

        The worst action under theta is some a', and a' = a gives 0. Never above the exact minimum over the set, whose
        maximum is over lotteries a' (`exact_gain_bound`).
        """
        require_shape("features", features, ("S", "A", self.theta.shape[1]))
        # Only differences count, and a common offset in a direction the answers do not see would swamp them.
        centred = features - features[:, :1]
        mean = np.einsum("md,sad->msa", self.theta, centred)
        white = centred @ self.whitener.transpose(0, 2, 1)[:, None]
        square = np.einsum("msai,msai->msa", white, white)
        # Matrix products and in place: a thousand prompts of 64 candidates for 50 parties go through here.
        apart = white @ white.swapaxes(-1, -2)
        apart *= -2.0
        apart += square[..., :, None]
        apart += square[..., None, :]
        np.sqrt(np.maximum(apart, 0.0, out=apart), out=apart)
        bound = mean[..., :, None] - mean[..., None, :] - self.radius[:, None, None, None] * apart
        # D = 0 on the diagonal: rounding must not make it negative.
        return np.asarray(np.maximum(bound.max(axis=-1), 0.0))

    def exact_gain_bound(self, features: FloatArray, party: int, action: int) -> float:
        """min over the party's ellipsoid of max_a' <theta, phi(a) - phi(a')>; one state's features (A, d). Clarabel."""
        require_shape("features", features, ("A", self.theta.shape[1]))
        require_index("party", party, len(self.theta))
        require_index("action", action, len(features))
        cp = modelling()
        theta, worst = cp.Variable(features.shape[1]), cp.Variable()
        root = np.linalg.cholesky(self.covariance[party])
        problem = cp.Problem(
            cp.Minimize(worst),
            [(features[action] - features) @ theta <= worst,
             cp.norm(root.T @ (theta - self.theta[party])) <= self.radius[party]],
        )  # fmt: skip
        solve(problem)
        return float(problem.value)


def party_confidence(
    differences: FloatArray, theta: FloatArray, radius: float | FloatArray, regularisation: float = 0.0
) -> PartyConfidence:
    """From one replicate's differences (M, n, d) and estimates (M, d)."""
    require_shape("theta", theta, ("M", "d"))
    require_shape("differences", differences, (len(theta), "n", theta.shape[1]))
    covariance = answer_covariance(differences, regularisation)
    return PartyConfidence(theta, covariance, np.broadcast_to(np.asarray(radius, dtype=np.float64), len(theta)).copy())


def gains(theta: FloatArray, features: FloatArray) -> FloatArray:
    """v_m(s, a) = <theta_m, phi(s, a)> - min_a' <theta_m, phi(s, a')>; (M, d), (S, A, d) -> (M, S, A).

    The zero utility uses the same theta, so that inside a confidence set it moves with it.
    """
    float_array("theta", theta, ("M", "d"))
    float_array("features", features, ("S", "A", theta.shape[1]))
    rewards = np.einsum("md,sad->msa", theta, features)
    return np.asarray(rewards - rewards.min(axis=-1, keepdims=True))
