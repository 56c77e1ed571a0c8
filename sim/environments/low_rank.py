"""Rewards that are bilinear in an annotator's context and an item's features, of low rank or nearly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sim.arguments import (
    float_array,
    require_between,
    require_count,
    require_finite,
    require_index,
    require_not_negative,
    require_number,
    require_positive,
    require_shape,
)
from sim.environments.protocol import require_pairs, sigmoid
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream


def low_rank_matrix(
    d_x: int,
    d_phi: int,
    rank: int,
    stream: Stream,
    *,
    norm: float = 1.5,
    ratio: float = 1.0,
    power: float | None = None,
    off_rank: float = 0.0,
    columns: int | None = None,
) -> FloatArray:
    """Theta = U S V', (d_x, d_phi), Haar directions, |Theta|_F = norm.

    ratio: largest over smallest of the r singular values, geometric in between.  power: instead s_j in proportion to
    j^-power over all directions, no cut and whatever the rank.  off_rank: a dense Gaussian of so many times the norm is
    added (before the norm is set).  columns: only the first so many features matter.
    """
    require_count("d_x", d_x)
    require_count("d_phi", d_phi)
    wide = d_phi if columns is None else columns
    require_count("columns", wide, 1, d_phi)
    require_positive(norm=norm)
    require_not_negative(off_rank=off_rank)
    if power is not None:
        require_not_negative(power=power)
    most = min(d_x, wide)
    if not 1 <= rank <= most:
        raise ValueError(f"rank must lie in 1..{most} (got {rank})")
    if not ratio >= 1.0:
        raise ValueError(f"ratio is the largest singular value over the smallest, at least 1 (got {ratio})")
    count = most if power is not None else rank
    left = np.linalg.qr(stream.child("left").normals((d_x, count)))[0]
    right = np.linalg.qr(stream.child("right").normals((wide, count)))[0]
    values = (
        np.arange(1, count + 1, dtype=np.float64) ** -power
        if power is not None
        else ratio ** (-np.arange(count) / max(count - 1, 1))
    )
    theta = np.zeros((d_x, d_phi))
    theta[:, :wide] = (left * values) @ right.T
    theta /= np.linalg.norm(theta)
    if off_rank > 0.0:
        dense = stream.child("dense").normals((d_x, wide))
        theta[:, :wide] += off_rank * dense / np.linalg.norm(dense)
    return np.asarray(norm * theta / np.linalg.norm(theta))


@dataclass(frozen=True, eq=False)
class Targets:
    """contexts (m, d_x), as observed; features (m, A, d_phi); rewards (m, A), true; exotic: (A,), which actions are."""

    contexts: FloatArray
    features: FloatArray
    rewards: FloatArray
    exotic: BoolArray

    def __post_init__(self) -> None:
        require_shape("rewards", self.rewards, ("m", "A"))
        m, A = self.rewards.shape
        require_shape("contexts", self.contexts, (m, "d_x"))
        require_shape("features", self.features, (m, A, "d_phi"))
        require_shape("exotic", self.exotic, (A,))
        require_finite(contexts=self.contexts, features=self.features, rewards=self.rewards)


@dataclass(frozen=True, eq=False)
class LowRankWorld:
    """theta (d_x, d_phi); training x ~ N(context_mean, diag(context_sd^2)),
    z = phi_1 - phi_0 ~ N(0, diag(feature_sd^2)).

    Targets: x ~ N(context_mean, I), `normal` actions N(0, diag(normal_sd^2)) and `exotic` ones N(0, diag(exotic_sd^2)).
    unsafe: what an exotic action is worth beside x' theta phi (a reward no feature shows in training).
    bounded: contexts and differences are divided by their length, as bounds that need a bound assume.
    hidden: the last so many context dimensions matter and are not observed.  flips: share of answers turned round.
    probit: answers by the normal distribution function in place of the logistic one.
    """

    theta: FloatArray
    context_sd: FloatArray
    feature_sd: FloatArray
    normal_sd: FloatArray
    exotic_sd: FloatArray
    normal: int = 10
    exotic: int = 0
    context_mean: FloatArray = field(default_factory=lambda: np.zeros(1))
    unsafe: float = 0.0
    bounded: bool = False
    hidden: int = 0
    flips: float = 0.0
    probit: bool = False

    def __post_init__(self) -> None:
        float_array("theta", self.theta, ("d_x", "d_phi"))
        d_x, d_phi = self.theta.shape
        for name, values, size in (
            ("context_sd", self.context_sd, d_x), ("context_mean", self.context_mean, d_x),
            ("feature_sd", self.feature_sd, d_phi), ("normal_sd", self.normal_sd, d_phi),
            ("exotic_sd", self.exotic_sd, d_phi),
        ):  # fmt: skip
            # One number stands for all.
            float_array(name, values, (1 if len(values) == 1 else size,))
            if name != "context_mean" and values.min() < 0:
                raise ValueError(f"{name} must not be negative (got {values.min()})")
        require_count("normal", self.normal, 0)
        require_count("exotic", self.exotic, 0)
        require_index("hidden", self.hidden, d_x)
        require_number(unsafe=self.unsafe)
        require_between(0.0, 1.0, flips=self.flips)

    @property
    def observed(self) -> int:
        """Context dimensions an estimator sees."""
        return len(self.theta) - self.hidden

    def _contexts(self, n: int, sd: FloatArray | float, stream: Stream) -> FloatArray:
        x = stream.generator().standard_normal((n, len(self.theta)))
        # In place: arrays of this size are new memory each time.
        x *= sd
        x += self.context_mean
        if self.bounded:
            x /= np.linalg.norm(x, axis=1, keepdims=True)
        return x

    @property
    def n_types(self) -> int:
        """One: who an annotator is stands in her context."""
        return 1

    @property
    def logistic(self) -> bool:
        return not self.probit and self.flips == 0.0

    def draw_contexts(self, n: int, stream: Stream) -> FloatArray:
        """Contexts of training, the hidden dimensions too; (n, d_x)."""
        return self._contexts(n, self.context_sd, stream)

    def shown(self, contexts: FloatArray) -> FloatArray:
        """(n, d_x - hidden)."""
        return contexts[:, : self.observed].copy()

    def draw_offers(self, contexts: FloatArray, n_offered: int, stream: Stream) -> FloatArray:
        """Features of responses, whose differences are as in `comparisons`; (n, n_offered, d_phi)."""
        require_count("n_offered", n_offered, 2)
        noise = stream.generator().standard_normal((len(contexts), n_offered, self.theta.shape[1]))
        items = np.asarray(self.feature_sd / np.sqrt(2.0) * noise)
        return self._as_bounded(items)

    def _as_bounded(self, items: FloatArray) -> FloatArray:
        """With `bounded` the two of a pair as z / 2 and -z / 2 with |z| = 1, else as they are."""
        if not self.bounded:
            return items
        require_pairs(items.shape[1])
        z = items[:, 0] - items[:, 1]
        half = 0.5 * z / np.linalg.norm(z, axis=1, keepdims=True)
        return np.stack([half, -half], axis=1)

    def features_of(self, contexts: FloatArray, responses: FloatArray) -> FloatArray:
        """x kron phi of observed contexts, in which the rewards are linear; (n, J, d_x d_phi)."""
        n, J, _ = responses.shape
        return np.asarray(np.einsum("nx,njp->njxp", contexts, responses).reshape(n, J, -1))

    def rewards_of(self, contexts: FloatArray, types: IntArray, responses: FloatArray, stream: Stream) -> FloatArray:
        """x' Theta phi of responses (n, J, d_phi), no noise; (n, J)."""
        return np.asarray(np.einsum("nd,njd->nj", contexts @ self.theta, responses))

    def preferred(self, contexts: FloatArray, types: IntArray, offered: FloatArray) -> FloatArray:
        """The logistic or normal law of the difference of rewards, mixed with flips; (n,)."""
        margin = np.einsum("nd,nd->n", contexts @ self.theta, offered[:, 0] - offered[:, 1])
        if self.probit:
            from scipy.special import ndtr

            chance = np.asarray(ndtr(margin))
        else:
            chance = sigmoid(margin)
        return np.asarray((1.0 - self.flips) * chance + self.flips * (1.0 - chance))

    def comparisons(self, n: int, stream: Stream) -> tuple[FloatArray, FloatArray]:
        """n answers by Bradley-Terry: (contexts (n, d_x - hidden), signed differences (n, d_phi))."""
        require_count("n", n)
        x = self._contexts(n, self.context_sd, stream.child("contexts"))
        z = stream.child("differences").generator().standard_normal((n, self.theta.shape[1]))
        z *= self.feature_sd
        if self.bounded:
            z /= np.linalg.norm(z, axis=1, keepdims=True)
        u = ((x @ self.theta) * z).sum(axis=1)
        draw = stream.child("answers").generator().random(n)
        if self.probit:
            from scipy.special import ndtr

            first = draw < ndtr(u)
        else:
            first = draw < 1.0 / (1.0 + np.exp(-u))
        if self.flips > 0.0:
            first ^= stream.child("flips").generator().random(n) < self.flips
        z *= np.where(first, 1.0, -1.0)[:, None]
        # Of nobody else's yet: a copy only where dimensions are hidden.
        return x[:, : self.observed].copy() if self.hidden else x, z

    def rankings(self, n: int, K: int, stream: Stream) -> tuple[FloatArray, FloatArray]:
        """n rankings of K items: (contexts, features (n, K, d_phi), best first).

        By the noise that utilities have: Gumbel's, which is Plackett-Luce, or with `probit` the normal one of variance
        1/2 (Thurstone's case V), so that two items are ordered as in `comparisons`; `flips`: share of rankings turned
        round, last first. An item's features have half the variance of a difference's, so that differences are as in
        `comparisons`; with `bounded`, which pairs alone can have, they are of length 1 (K = 2).
        """
        require_count("n", n)
        require_count("K", K, 2)
        x = self._contexts(n, self.context_sd, stream.child("contexts"))
        noise = stream.child("items").generator().standard_normal((n, K, self.theta.shape[1]))
        items = self.feature_sd / np.sqrt(2.0) * noise
        items = self._as_bounded(items)
        errors = stream.child("gumbel").gumbels((n, K))
        if self.probit:
            errors = np.sqrt(0.5) * stream.child("normal").normals((n, K))
        utility = np.einsum("nd,nkd->nk", x @ self.theta, items) + errors
        order = np.argsort(-utility, axis=1)
        if self.flips > 0.0:
            turned = stream.child("flips").generator().random(n) < self.flips
            order[turned] = order[turned, ::-1]
        return x[:, : self.observed].copy(), np.take_along_axis(items, order[..., None], axis=1)

    def targets(self, m: int, stream: Stream) -> Targets:
        require_count("m", m)
        x = self._contexts(m, 1.0, stream.child("contexts"))
        phi = stream.child("actions").generator().standard_normal((m, self.normal + self.exotic, self.theta.shape[1]))
        phi[:, : self.normal] *= self.normal_sd
        phi[:, self.normal :] *= self.exotic_sd
        exotic = np.arange(self.normal + self.exotic) >= self.normal
        rewards = np.einsum("md,mad->ma", x @ self.theta, phi) + self.unsafe * exotic
        return Targets(x[:, : self.observed].copy(), phi, rewards, exotic)

    def with_theta(self, theta: FloatArray) -> LowRankWorld:
        return replace(self, theta=theta)


def plain_world(theta: FloatArray, *, bounded: bool = False) -> LowRankWorld:
    """x ~ N(0, I), z ~ N(0, I), targets alike: no shift."""
    require_shape("theta", theta, ("d_x", "d_phi"))
    d_x, d_phi = theta.shape
    ones = np.ones(d_phi)
    return LowRankWorld(theta, np.ones(d_x), ones, ones, ones, bounded=bounded, context_mean=np.zeros(d_x))


def exotic_world(
    theta: FloatArray, common: int, *, tau: float = 0.1, exotic_scale: float = 1.5, normal: int = 10, exotic: int = 10,
    unsafe: float = 0.0,
) -> LowRankWorld:  # fmt: skip
    """Actions whose features training hardly ever varied.   [scenario B, reconstructed]

    Differences have standard deviation 1 on the first `common` features and tau on the others. Normal actions have only
    common features, N(0, I); exotic ones N(0, .3^2 I) on them and N(0, exotic_scale^2 I) on the others.
    """
    require_shape("theta", theta, ("d_x", "d_phi"))
    d_x, d_phi = theta.shape
    require_count("common", common, 1, d_phi)
    require_not_negative(tau=tau, exotic_scale=exotic_scale)
    here = np.arange(d_phi) < common
    return LowRankWorld(
        theta, np.ones(d_x), np.where(here, 1.0, tau), here.astype(np.float64), np.where(here, 0.3, exotic_scale),
        normal=normal, exotic=exotic, context_mean=np.zeros(d_x), unsafe=unsafe,
    )  # fmt: skip
