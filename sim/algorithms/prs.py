"""Pessimism in a Reduced Subspace: from answers to a policy that fears what the answers say little about."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.reduced_pessimism import KINDS, Kind, ReducedPolicy, reduced_policy
from sim.arguments import float_array, require_choice, require_not_negative, require_same_rows
from sim.estimators.confidence import Ellipsoid
from sim.estimators.low_rank import fit_full_rank, fit_low_rank
from sim.estimators.reduced_confidence import Mode, reduced_confidence
from sim.estimators.reduced_subspace import ReducedSubspace, reduced_subspace
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class ReducedReward:
    """What steps 1 to 3 leave: coordinates psi(x, phi) in R^k, and the ellipsoid the reward's coefficients lie in."""

    subspace: ReducedSubspace
    ellipsoid: Ellipsoid

    @property
    def theta(self) -> FloatArray:
        """The centre of the set as a matrix; (d_x, d_phi)."""
        return self.subspace.matrix(self.ellipsoid.estimate)

    def at_scale(self, scale: float) -> Ellipsoid:
        """The set with its radius f times `scale`; 0 is the estimate alone."""
        require_not_negative(scale=scale)
        return replace(self.ellipsoid, radius=self.ellipsoid.radius * scale * scale)

    def psi(self, contexts: FloatArray, features: FloatArray) -> FloatArray:
        """Coordinates of every action of every target: (m, d_x) and (m, A, d_phi) -> (m, A, k).

        features: from the reference that pessimism is relative to (`relative_features`).
        """
        d_x, d_phi = len(self.subspace.left), len(self.subspace.right)
        contexts, features = _targets(d_x, d_phi, contexts=contexts, features=features)
        return self.subspace.features(contexts[:, None], features)

    def policy(
        self, contexts: FloatArray, features: FloatArray, kind: Kind = "distributional", *, tolerance: float = 1e-3,
        max_sweeps: int = 400,
    ) -> ReducedPolicy:  # fmt: skip
        """Step 4 for these targets; features as in `psi`."""
        return reduced_policy(
            self.psi(contexts, features), self.ellipsoid, kind, tolerance=tolerance, max_sweeps=max_sweeps
        )


@dataclass(frozen=True, eq=False)
class PRSResult:
    """fit: step 1's Theta (d_x, d_phi).  reward: the subspace and the confidence set.  served: the policy (m, A), its
    pessimistic mean value and how far that may be from the best, reward units."""

    fit: FloatArray
    reward: ReducedReward
    served: ReducedPolicy

    @property
    def subspace(self) -> ReducedSubspace:
        return self.reward.subspace

    @property
    def ellipsoid(self) -> Ellipsoid:
        return self.reward.ellipsoid

    @property
    def policy(self) -> FloatArray:
        return self.served.policy


def prs(
    contexts: FloatArray,
    differences: FloatArray,
    rank: int | None,
    target_contexts: FloatArray,
    target_features: FloatArray,
    *,
    kind: Kind = "distributional",
    mode: Mode = "wald",
    delta: float = 0.1,
    scale: float = 1.0,
    ridge: float = 1e-6,
) -> PRSResult:
    """PRS of arXiv 2412.19436, all four steps on the same answers. The paper names them; their form is reconstructed.

    1. Theta_hat = argmin over rank <= r of (1 / n) sum_i -log sigma(x_i' Theta z_i) + 0.5 ridge |Theta|_F^2
       (`fit_reward`; Burer-Monteiro, by quasi-Newton).
    2. Rotate by Theta_hat's singular vectors, truncate the block that neither side's first r reach, vectorise the
       rest: x' Theta phi = <theta, psi(x, phi)> + bias, k = (d_x + d_phi) r - r^2  (`reduced_subspace`).
    3. {theta : |theta - theta_tilde|_M <= scale f} around the fit in these coordinates  (`reduced_confidence`).
    4. argmax_q min over the set of E_rho <theta, psi(x, q)> (distributional); the lower bound of each action alone
       (pointwise); or the estimate's best action (greedy)  (`reduced_policy`).

    contexts: (n, d_x).  differences: (n, d_phi), phi of the chosen action minus phi of the other.  rank: None, without
    the constraint: pessimism in all d_x d_phi dimensions.  target_contexts: (m, d_x), target_features: (m, A, d_phi),
    from their reference (`relative_features`), a sample of the law rho the policy is for.  Every step can be called
    alone, and replaced: an oracle's subspace, the set of other answers (`learn_reward`'s `second`).
    Raises ValueError for a rank outside 1..min(d_x, d_phi), shapes that differ, an unknown kind or mode.
    """
    require_choice("kind", kind, KINDS)
    fit = fit_reward(contexts, differences, rank, ridge=ridge)
    _targets(*fit.shape, target_contexts=target_contexts, target_features=target_features)
    reward = _around(fit, rank, contexts, differences, mode, delta, scale, ridge, None)
    return PRSResult(fit, reward, reward.policy(target_contexts, target_features, kind))


def learn_reward(
    contexts: FloatArray,
    differences: FloatArray,
    rank: int | None,
    *,
    second: tuple[FloatArray, FloatArray] | None = None,
    mode: Mode = "wald",
    delta: float = 0.1,
    scale: float = 1.0,
    ridge: float = 1e-6,
    tolerance: float | None = None,
    truth: FloatArray | None = None,
) -> ReducedReward:
    """Steps 1 to 3 of `prs`.

    second: (contexts, differences) of other answers, which the refit and its set come from (data split); None: the same
    ones.  tolerance: of step 1, see `fit_reward`.  truth: the true Theta, for the modes that need it.
    """
    if second is not None and len(second) != 2:
        raise ValueError(f"second must be contexts and differences of other answers (got {len(second)} parts)")
    fit = fit_reward(contexts, differences, rank, ridge=ridge, tolerance=tolerance)
    own = (contexts, differences) if second is None else second
    return _around(fit, rank, *own, mode, delta, scale, ridge, truth)


def fit_reward(
    contexts: FloatArray, differences: FloatArray, rank: int | None, *, ridge: float, tolerance: float | None = None
) -> FloatArray:
    """Step 1: the maximum of the likelihood among matrices of that rank, None without the constraint; (d_x, d_phi).

    tolerance: where the rank-constrained descent stops (None: `fit_low_rank`'s own); Newton without the constraint
    keeps its own.
    """
    if rank is None:
        return fit_full_rank(contexts, differences, ridge=ridge).theta
    if tolerance is None:
        return fit_low_rank(contexts, differences, rank, ridge=ridge, method="quasi_newton").theta
    return fit_low_rank(contexts, differences, rank, ridge=ridge, method="quasi_newton", tolerance=tolerance).theta


def _targets(d_x: int, d_phi: int, **targets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(m, d_x) contexts and (m, A, d_phi) features by their arguments' names, one target and one action at least."""
    (of_contexts, contexts), (of_features, features) = targets.items()
    contexts = float_array(of_contexts, contexts, ("m", d_x))
    features = float_array(of_features, features, ("m", "A", d_phi))
    for name, values in targets.items():
        if 0 in np.shape(values):
            raise ValueError(f"{name} must hold a target and an action at least (got {np.shape(values)})")
    require_same_rows(**{of_contexts: contexts, of_features: features})
    return contexts, features


def _around(
    fit: FloatArray, rank: int | None, contexts: FloatArray, differences: FloatArray, mode: Mode, delta: float,
    scale: float, ridge: float, truth: FloatArray | None,
) -> ReducedReward:  # fmt: skip
    """Steps 2 and 3."""
    subspace = reduced_subspace(fit, min(fit.shape) if rank is None else rank)
    ellipsoid = reduced_confidence(
        subspace, contexts, differences, mode=mode, delta=delta, scale=scale, ridge=ridge, truth=truth
    )
    return ReducedReward(subspace, ellipsoid)
