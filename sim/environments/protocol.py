"""What every world is asked for: contexts, what is offered in them, and which offer a type prefers how often."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from sim.arguments import require_count
from sim.preferences import AnyArray, FloatArray, IntArray
from sim.streams import Stream


@runtime_checkable
class Environment(Protocol):
    """A world with `n_types` types of annotators. Contexts and responses are opaque outside it.

    Rows are answers: contexts (n, ...), types (n,) int, offered (n, J, ...), the J responses of each row.
    """

    @property
    def n_types(self) -> int: ...

    def draw_contexts(self, n: int, stream: Stream) -> AnyArray:
        """n contexts, all that rewards depend on; (n, ...)."""
        ...

    def shown(self, contexts: AnyArray) -> AnyArray:
        """What an estimator sees of the contexts; (n, ...)."""
        ...

    def draw_offers(self, contexts: AnyArray, n_offered: int, stream: Stream) -> AnyArray:
        """Responses as this world offers them; (n, n_offered, ...)."""
        ...

    def preferred(self, contexts: AnyArray, types: IntArray, offered: AnyArray) -> FloatArray:
        """P(the first of two responses is chosen), offered (n, 2, ...), by an annotator of the type; (n,)."""
        ...


@runtime_checkable
class RewardEnvironment(Environment, Protocol):
    """A world whose preferences come from rewards: any number of responses can be ordered."""

    @property
    def logistic(self) -> bool:
        """Answers are Bradley-Terry on `rewards_of`; where not, `preferred` alone says what annotators do."""
        ...

    def rewards_of(self, contexts: AnyArray, types: IntArray, responses: AnyArray, stream: Stream) -> FloatArray:
        """Rewards of (n, J, ...) responses to each row's type; (n, J). `stream` is for worlds with noise."""
        ...


@runtime_checkable
class FeaturedEnvironment(Environment, Protocol):
    """A world whose responses have features: log-linear rewards and policies can be fitted to its answers."""

    def features_of(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """(n, J, d) features of (n, J, ...) responses in contexts as they are shown."""
        ...


@runtime_checkable
class NumberedEnvironment(RewardEnvironment, Protocol):
    """A world with the same actions 0..n_actions-1 in every context: a `Behaviour` may choose what is offered."""

    @property
    def n_actions(self) -> int: ...


@runtime_checkable
class FeatureWorld(Protocol):
    """Contexts, offers and features of responses, without anybody's rewards: `LinearTypes` adds these."""

    @property
    def n_features(self) -> int: ...

    def draw_contexts(self, n: int, stream: Stream) -> AnyArray: ...

    def draw_offers(self, contexts: AnyArray, n_offered: int, stream: Stream) -> AnyArray: ...

    def features_of(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """(n, J, d) features of (n, J, ...) responses, relative to the reference where the world has one."""
        ...


class BradleyTerryWorld:
    """The part of `RewardEnvironment` that worlds with Bradley-Terry answers and plain contexts share."""

    @property
    def logistic(self) -> bool:
        return True

    def shown(self, contexts: AnyArray) -> AnyArray:
        return contexts


def sigmoid(margin: FloatArray) -> FloatArray:
    """1 / (1 + exp(-t)), without overflow."""
    return np.exp(-np.logaddexp(0.0, -margin))


def noisy_sigmoid(margin: FloatArray, sd: float) -> FloatArray:
    """E sigma(t + N(0, sd^2)) by Gauss-Hermite quadrature; exact to about 1e-6 for sd up to 3."""
    if sd == 0.0:
        return sigmoid(margin)
    nodes, weights = np.polynomial.hermite.hermgauss(100)
    shifted = sigmoid(np.asarray(margin)[..., None] + np.sqrt(2.0) * sd * nodes)
    return np.asarray(shifted @ weights / np.sqrt(np.pi))


def distinct_actions(n: int, n_offered: int, n_actions: int, stream: Stream) -> IntArray:
    """Distinct actions in each row, drawn uniformly without replacement; (n, n_offered)."""
    if n_offered == 2:
        _require_offer(n_offered, n_actions)
        # Two distinct uniform arms need two numbers a row, not one an arm.
        first = stream.child("first").integers(n_actions, n)
        other = stream.child("second").integers(n_actions - 1, n)
        other += other >= first
        return np.stack([first, other], axis=1)
    return successive_actions(np.log(np.full(n_actions, 1.0 / n_actions)), n, n_offered, stream)


def successive_actions(log_law: FloatArray, n: int, n_offered: int, stream: Stream) -> IntArray:
    """Distinct actions in each row, one after the other from exp(log_law) without replacement, by the Gumbel-max
    trick; (n, n_offered)."""
    n_actions = len(log_law)
    _require_offer(n_offered, n_actions)
    out = np.empty((n, n_offered), dtype=np.int64)
    block = 1 << 16  # bounds the (rows, n_actions) noise, whatever n is
    for lo in range(0, n, block):
        rows = min(block, n - lo)
        noise = stream.gumbels((rows, n_actions), start=lo * n_actions)
        out[lo : lo + rows] = np.argsort(-(log_law + noise), axis=1, kind="stable")[:, :n_offered]
    return out


def _require_offer(n_offered: int, n_actions: int) -> None:
    if not 2 <= n_offered <= n_actions:
        raise ValueError(f"n_offered must lie in 2..{n_actions}, the number of actions (got {n_offered})")


def require_pairs(n_offered: int) -> None:
    """For worlds that have two laws, one for each response of a pair."""
    require_count("n_offered", n_offered, 2, 2)
