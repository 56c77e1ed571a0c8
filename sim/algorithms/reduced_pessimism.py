"""Policies that are best in the worst case over an ellipsoid of rewards: one action at a time, or over all contexts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sim.compiled import frank_wolfe as frank_wolfe_kernels
from sim.estimators.confidence import Ellipsoid
from sim.preferences import FloatArray

Reference = Literal["zero", "behaviour_mean", "action0"]
REFERENCES: tuple[Reference, ...] = get_args(Reference)
Kind = Literal["greedy", "pointwise", "distributional"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def relative_features(
    features: FloatArray, reference: Reference = "zero", behaviour: FloatArray | None = None
) -> FloatArray:
    """phi(s, a) - phi of the reference; (m, A, d_phi).

    Comparisons fix rewards up to a number a context: pessimism about that number is pessimism about nothing, so
    features are taken from a reference. zero: as they are, right where they are centred at the behaviour's mean.
    behaviour_mean: minus `behaviour`, (d_phi,) or (m, d_phi). action0: minus the first action's.
    psi is linear in phi, so that psi of the result is psi(x, phi) - nu(x, s).   [reconstructed]
    """
    if features.ndim != 3:
        raise ValueError(f"features must be (targets, actions, d_phi) (got {features.shape})")
    if reference == "zero":
        return features
    if reference == "action0":
        return features - features[:, :1]
    if reference != "behaviour_mean":
        raise ValueError(f"reference must be one of {', '.join(REFERENCES)} (got {reference!r})")
    if behaviour is None or behaviour.shape not in {features.shape[2:], (len(features), features.shape[2])}:
        raise ValueError(f"behaviour_mean needs the behaviour's mean features, ({features.shape[2]},) or one a target")
    return features - (behaviour if behaviour.ndim == 1 else behaviour[:, None])


@dataclass(frozen=True, eq=False)
class ReducedPolicy:
    """policy (m, A), rows on the simplex; value, its pessimistic mean value in reward units; gap: a better policy would
    have a pessimistic value at most so much higher (0 where nothing was optimised jointly)."""

    policy: FloatArray
    value: float
    gap: float


@dataclass(frozen=True, eq=False)
class ScaledActions:
    """Actions in coordinates in which the set is a ball: gain (m, A), <theta_tilde, psi>; scaled (m, A, k), whose norm
    is |psi|_{M^-1}; f, the set's radius. What a policy of any kind needs, at any multiple `constant` of the radius."""

    gain: FloatArray
    scaled: FloatArray
    f: float

    def lower_bounds(self, constant: float = 1.0) -> FloatArray:
        """gain - constant f |scaled|; (m, A)."""
        return np.asarray(self.gain - self.f * constant * np.sqrt((self.scaled**2).sum(axis=-1)))

    def policy(self, kind: Kind, constant: float = 1.0) -> FloatArray:
        """(m, A) probabilities of that kind."""
        if kind == "distributional":
            return self.distributional(constant).policy
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)} (got {kind!r})")
        value = self.gain if kind == "greedy" else self.lower_bounds(constant)
        return _one_hot(value.argmax(axis=1), value.shape[1])

    def distributional(
        self, constant: float = 1.0, *, tolerance: float = 1e-3, max_sweeps: int = 400, start: Kind = "pointwise"
    ) -> ReducedPolicy:
        """See `distributional_policy`."""
        first = self.gain if start == "greedy" else self.lower_bounds(constant)
        policy = np.empty(self.gain.shape)
        value, gap, _ = frank_wolfe_kernels.frank_wolfe(
            np.ascontiguousarray(self.gain), np.ascontiguousarray(self.scaled), self.f * constant,
            first.argmax(axis=1), float(tolerance), max_sweeps, policy,
        )  # fmt: skip
        return ReducedPolicy(policy, float(value), float(gap))


def scaled_actions(psi: FloatArray, ellipsoid: Ellipsoid) -> ScaledActions:
    """psi (m, A, k), from its reference."""
    return ScaledActions(psi @ ellipsoid.estimate, _scaled(psi, ellipsoid), float(np.sqrt(ellipsoid.radius)))


def _scaled(psi: FloatArray, ellipsoid: Ellipsoid) -> FloatArray:
    """L^-1 psi with covariance = L L', so that |psi|_{covariance^-1} is a Euclidean norm; (m, A, k)."""
    inverse = np.linalg.inv(ellipsoid.root)
    # As one matrix product: a stack of small ones is several times slower.
    return np.ascontiguousarray((psi.reshape(-1, psi.shape[-1]) @ inverse.T).reshape(psi.shape))


def _one_hot(chosen: FloatArray, actions: int) -> FloatArray:
    return np.asarray(np.eye(actions)[chosen])


def mean_value(policy: FloatArray, psi: FloatArray, ellipsoid: Ellipsoid) -> float:
    """J_p(q) = <theta_tilde, w_q> - f |w_q|_{M^-1}, w_q = (1 / m) sum_j sum_a q_ja psi_ja: the least mean reward of the
    policy over the set.   [reconstructed]"""
    mean = np.einsum("ja,jak->k", policy, psi) / len(psi)
    return float(ellipsoid.lower_bound(mean)[0])


def greedy_policy(psi: FloatArray, ellipsoid: Ellipsoid) -> ReducedPolicy:
    """argmax_a <theta_tilde, psi(x, a)>; psi (m, A, k)."""
    policy = _one_hot((psi @ ellipsoid.estimate).argmax(axis=1), psi.shape[1])
    return ReducedPolicy(policy, mean_value(policy, psi, ellipsoid), 0.0)


def lower_bounds(psi: FloatArray, ellipsoid: Ellipsoid) -> FloatArray:
    """<theta_tilde, psi> - f |psi|_{M^-1} of each action; (m, A, k) -> (m, A)."""
    return scaled_actions(psi, ellipsoid).lower_bounds()


def pointwise_policy(psi: FloatArray, ellipsoid: Ellipsoid) -> ReducedPolicy:
    """argmax_a <theta_tilde, psi(x, a)> - f |psi(x, a)|_{M^-1}, context by context; psi (m, A, k), from its reference.

    Pessimistic about each action alone, so never less than over the mean: |E psi| <= E |psi|. [reconstructed]
    """
    policy = _one_hot(lower_bounds(psi, ellipsoid).argmax(axis=1), psi.shape[1])
    return ReducedPolicy(policy, mean_value(policy, psi, ellipsoid), 0.0)


def distributional_policy(
    psi: FloatArray, ellipsoid: Ellipsoid, *, tolerance: float = 1e-3, max_sweeps: int = 400, start: Kind = "pointwise"
) -> ReducedPolicy:
    """argmax_q min over the set of E_rho <theta, psi> = argmax_q <theta_tilde, w_q> - f |w_q|_{M^-1}.

    [arXiv 2412.19436: the policy maximises the least value over the confidence set; the solver is reconstructed]
    psi (m, A, k), from its reference, m contexts that stand for the target law. Block-coordinate Frank-Wolfe from the
    pointwise policy, a context at a time, with exact line search; stops when the certified gap is at most `tolerance`
    (reward units). Stochastic in general.
    """
    return scaled_actions(psi, ellipsoid).distributional(tolerance=tolerance, max_sweeps=max_sweeps, start=start)


def reduced_policy(
    psi: FloatArray, ellipsoid: Ellipsoid, kind: Kind, *, tolerance: float = 1e-3, max_sweeps: int = 400
) -> ReducedPolicy:
    """The policy of that kind; tolerance and max_sweeps are the distributional one's."""
    if kind == "greedy":
        return greedy_policy(psi, ellipsoid)
    if kind == "pointwise":
        return pointwise_policy(psi, ellipsoid)
    if kind == "distributional":
        return distributional_policy(psi, ellipsoid, tolerance=tolerance, max_sweeps=max_sweeps)
    raise ValueError(f"kind must be one of {', '.join(KINDS)} (got {kind!r})")


def regularised_policy(
    psi: FloatArray, ellipsoid: Ellipsoid, beta: float, reference: FloatArray | None = None
) -> ReducedPolicy:
    """pi(a) proportional to pi_ref(a) exp(lcb(a) / beta): KL-regularised around `reference` (m, A; uniform), with the
    pointwise lower bound in the reward's place."""
    if not beta > 0:
        raise ValueError(f"beta must be positive (got {beta})")
    logits = lower_bounds(psi, ellipsoid) / beta
    if reference is not None:
        with np.errstate(divide="ignore"):
            logits = logits + np.log(reference)
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    policy = weight / weight.sum(axis=1, keepdims=True)
    return ReducedPolicy(policy, mean_value(policy, psi, ellipsoid), 0.0)


def suboptimality(policy: FloatArray, rewards: FloatArray) -> float:
    """J(pi*) - J(pi) over the contexts given; policy and true rewards (m, A)."""
    return float((rewards.max(axis=1) - (policy * rewards).sum(axis=1)).mean())
