"""Policies that are best in the worst case over an ellipsoid of rewards: one action at a time, or over all contexts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sim.arguments import (
    float_array,
    probability_array,
    require_choice,
    require_count,
    require_not_negative,
    require_positive,
    require_same_shape,
)
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
    features = float_array("features", features, ("targets", "actions", "d_phi"))
    require_choice("reference", reference, REFERENCES)
    if reference == "zero":
        return features
    if reference == "action0":
        return features - features[:, :1]
    m, d_phi = len(features), features.shape[2]
    if behaviour is None:
        raise ValueError(f"behaviour must be given for behaviour_mean: its mean features, ({d_phi},) or one a target")
    own = float_array("behaviour", behaviour, (d_phi,) if np.ndim(behaviour) == 1 else (m, d_phi))
    return features - (own if own.ndim == 1 else own[:, None])


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
        require_choice("kind", kind, KINDS)
        value = self.gain if kind == "greedy" else self.lower_bounds(constant)
        return _one_hot(value.argmax(axis=1), value.shape[1])

    def distributional(
        self, constant: float = 1.0, *, tolerance: float = 1e-3, max_sweeps: int = 400, start: Kind = "pointwise"
    ) -> ReducedPolicy:
        """See `distributional_policy`."""
        require_not_negative(constant=constant, tolerance=tolerance)
        require_count("max_sweeps", max_sweeps, 0)
        require_choice("start", start, KINDS)
        first = self.gain if start == "greedy" else self.lower_bounds(constant)
        policy = np.empty(self.gain.shape)
        value, gap, _ = frank_wolfe_kernels.frank_wolfe(
            np.ascontiguousarray(self.gain), np.ascontiguousarray(self.scaled), self.f * constant,
            first.argmax(axis=1), float(tolerance), max_sweeps, policy,
        )  # fmt: skip
        return ReducedPolicy(policy, float(value), float(gap))


def scaled_actions(psi: FloatArray, ellipsoid: Ellipsoid) -> ScaledActions:
    """psi (m, A, k), from its reference."""
    psi = _checked(psi, ellipsoid)
    return ScaledActions(psi @ ellipsoid.estimate, _scaled(psi, ellipsoid), float(np.sqrt(ellipsoid.radius)))


def _checked(psi: FloatArray, ellipsoid: Ellipsoid) -> FloatArray:
    """(m, A, k) of finite coordinates, one context and one action at least: one pass over them."""
    found = float_array("psi", psi, ("m", "A", len(ellipsoid.estimate)))
    if 0 in found.shape:
        raise ValueError(f"psi must hold a context and an action at least (got {found.shape})")
    return found


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
    psi = _checked(psi, ellipsoid)
    return _mean_value(float_array("policy", policy, psi.shape[:2]), psi, ellipsoid)


def _mean_value(policy: FloatArray, psi: FloatArray, ellipsoid: Ellipsoid) -> float:
    mean = np.einsum("ja,jak->k", policy, psi) / len(psi)
    return float(ellipsoid.lower_bound(mean)[0])


def greedy_policy(psi: FloatArray, ellipsoid: Ellipsoid) -> ReducedPolicy:
    """argmax_a <theta_tilde, psi(x, a)>; psi (m, A, k)."""
    psi = _checked(psi, ellipsoid)
    policy = _one_hot((psi @ ellipsoid.estimate).argmax(axis=1), psi.shape[1])
    return ReducedPolicy(policy, _mean_value(policy, psi, ellipsoid), 0.0)


def lower_bounds(psi: FloatArray, ellipsoid: Ellipsoid) -> FloatArray:
    """<theta_tilde, psi> - f |psi|_{M^-1} of each action; (m, A, k) -> (m, A)."""
    return scaled_actions(psi, ellipsoid).lower_bounds()


def pointwise_policy(psi: FloatArray, ellipsoid: Ellipsoid) -> ReducedPolicy:
    """argmax_a <theta_tilde, psi(x, a)> - f |psi(x, a)|_{M^-1}, context by context; psi (m, A, k), from its reference.

    Pessimistic about each action alone, so never less than over the mean: |E psi| <= E |psi|. [reconstructed]
    """
    policy = _one_hot(lower_bounds(psi, ellipsoid).argmax(axis=1), psi.shape[1])
    return ReducedPolicy(policy, _mean_value(policy, psi, ellipsoid), 0.0)


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
    require_choice("kind", kind, KINDS)
    if kind == "greedy":
        return greedy_policy(psi, ellipsoid)
    if kind == "pointwise":
        return pointwise_policy(psi, ellipsoid)
    return distributional_policy(psi, ellipsoid, tolerance=tolerance, max_sweeps=max_sweeps)


def regularised_policy(
    psi: FloatArray, ellipsoid: Ellipsoid, beta: float, reference: FloatArray | None = None
) -> ReducedPolicy:
    """pi(a) proportional to pi_ref(a) exp(lcb(a) / beta): KL-regularised around `reference` (m, A; uniform), with the
    pointwise lower bound in the reward's place."""
    require_positive(beta=beta)
    logits = lower_bounds(psi, ellipsoid) / beta
    if reference is not None:
        reference = probability_array("reference", reference, logits.shape)
        with np.errstate(divide="ignore"):
            logits = logits + np.log(reference)
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    policy = weight / weight.sum(axis=1, keepdims=True)
    return ReducedPolicy(policy, _mean_value(policy, psi, ellipsoid), 0.0)


def suboptimality(policy: FloatArray, rewards: FloatArray) -> float:
    """J(pi*) - J(pi) over the contexts given; policy and true rewards (m, A)."""
    policy = float_array("policy", policy, ("m", "A"))
    rewards = float_array("rewards", rewards, ("m", "A"))
    require_same_shape(policy=policy, rewards=rewards)
    return float((rewards.max(axis=1) - (policy * rewards).sum(axis=1)).mean())
