"""Every method of the low-rank studies by one path: a subspace, a confidence set in it, policies that fear the set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.algorithms.prs import ReducedReward, fit_reward
from sim.algorithms.reduced_pessimism import ReducedPolicy, reduced_policy, regularised_policy
from sim.estimators.low_rank import manifold_dimension
from sim.estimators.nuclear_norm import fit_nuclear_norm
from sim.estimators.rank_choice import choose_rank
from sim.estimators.reduced_confidence import reduced_confidence
from sim.estimators.reduced_subspace import ReducedSubspace, reduced_subspace
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from sim.studies.experiments.low_rank.setting import Drawn, LowRankSetting, given_rank

ONE_HOT = ("per_user", "user_low")


@dataclass(frozen=True, eq=False)
class Learned(ReducedReward):
    """A method's subspace of its own contexts, the confidence set of scale 1 in it, and how long both took."""

    name: str
    seconds: float

    @property
    def rewards_context(self) -> bool:
        """Its contexts are the observed ones, so that its estimate can be held against Theta."""
        return self.name != "context_free" and self.name not in ONE_HOT


def own_contexts(name: str, contexts: FloatArray, user: IntArray, setting: LowRankSetting) -> FloatArray:
    """What the method takes for a context: the observed ones, 1 (context-free), or a one-hot user."""
    if name == "context_free":
        return np.ones((len(contexts), 1))
    return np.eye(setting.users)[user] if name in ONE_HOT else contexts


def free_numbers(name: str, setting: LowRankSetting) -> int:
    """k of the confidence set, the most BIC could choose, or the nuclear norm could leave."""
    d_x = setting.users if name in ONE_HOT else 1 if name == "context_free" else setting.observed
    rank = {"low": setting.fitted, "oracle": setting.rank, "user_low": setting.user_rank}.get(name, given_rank(name))
    most = min(d_x, setting.d_phi)
    return manifold_dimension(d_x, setting.d_phi, min(rank or most, most))


def learn(name: str, setting: LowRankSetting, drawn: Drawn, stream: Stream) -> Learned:
    """The subspace from the answers (split: from their first half), the confidence set from the answers (the rest)."""
    began = time.perf_counter()
    x = own_contexts(name, drawn.contexts, drawn.user, setting)
    z, n = drawn.differences, len(drawn.differences)
    ridge = max(setting.ridge, 1.0 / n) if name in ONE_HOT else setting.ridge
    first = slice(0, n // 2) if setting.data_use == "split" else slice(None)
    second = slice(n // 2, None) if setting.data_use == "split" else slice(None)
    subspace = _subspace(name, setting, drawn, x[first], z[first], ridge, stream)
    ellipsoid = reduced_confidence(subspace, x[second], z[second], delta=setting.delta, ridge=ridge)
    return Learned(subspace, ellipsoid, name, time.perf_counter() - began)


def _subspace(
    name: str, setting: LowRankSetting, drawn: Drawn, x: FloatArray, z: FloatArray, ridge: float, stream: Stream
) -> ReducedSubspace:
    most = min(x.shape[1], z.shape[1])
    if name == "oracle":
        return reduced_subspace(drawn.truth, min(setting.rank, *drawn.truth.shape))
    if name == "nuclear":
        return reduced_subspace(*_nuclear(x, z, ridge, stream))
    rank = {"low": setting.fitted, "user_low": setting.user_rank}.get(name) or given_rank(name) or most
    if name == "bic":
        rank = choose_rank(x, z, ridge=ridge).rank
    return reduced_subspace(fit_reward(x, z, rank if rank < most else None, ridge=ridge), min(rank, most))


def _nuclear(x: FloatArray, z: FloatArray, ridge: float, stream: Stream) -> tuple[FloatArray, int]:
    """(fit, its rank), the penalty as large as noise alone would make the gradient's operator norm.

    The noise is estimated by the full-rank fit's residuals with random signs.
    """
    full = fit_reward(x, z, None, ridge=ridge)
    wrong = 1.0 / (1.0 + np.exp(((x @ full) * z).sum(axis=1)))
    signs = np.where(stream.child("signs").uniforms(len(z)) < 0.5, -1.0, 1.0)
    penalty = float(np.linalg.norm((x * (signs * wrong)[:, None]).T @ z, 2)) / len(z)
    theta = fit_nuclear_norm(x, z, penalty)
    values = np.linalg.svd(theta, compute_uv=False)
    return theta, max(int((values > 1e-3 * max(values[0], 1e-12)).sum()), 1)


def policies(
    learned: Learned, psi: FloatArray, setting: LowRankSetting
) -> Iterator[tuple[str, float, ReducedPolicy, float]]:
    """(kind, scale, policy, seconds) for every kind and scale of the setting; psi (m, A, k) from the reference.

    kind kl/beta=B: proportional to exp(pointwise lower bound / B), at scale 0 the plain estimate's.
    """
    for kind in setting.kinds:
        for scale in (0.0,) if kind == "greedy" else setting.scales:
            began = time.perf_counter()
            policy = reduced_policy(psi, learned.at_scale(scale), kind)
            yield kind, scale, policy, time.perf_counter() - began
    for beta in setting.betas:
        for scale in (0.0, *setting.scales):
            began = time.perf_counter()
            policy = regularised_policy(psi, learned.at_scale(scale), beta)
            yield f"kl/beta={beta:g}", scale, policy, time.perf_counter() - began
