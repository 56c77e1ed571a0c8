"""How an annotator turns utilities into an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sim.arguments import require_finite, require_positive, require_same_shape, require_shape
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream


class ChoiceModel(Protocol):
    """Answers to pairs and to sets of any size."""

    def choose_first(self, first: FloatArray, second: FloatArray, stream: Stream) -> BoolArray:
        """True where the first of two utilities (n,), (n,) is chosen."""
        ...

    def order(self, utility: FloatArray, stream: Stream) -> IntArray:
        """The columns of (n, J) utilities, best first; (n, J)."""
        ...


def _require_pairs(first: FloatArray, second: FloatArray) -> None:
    require_shape("first", first, ("n",))
    require_same_shape(first=first, second=second)
    require_finite(first=first, second=second)


def _require_sets(utility: FloatArray) -> None:
    require_shape("utility", utility, ("n", "J"))
    require_finite(utility=utility)


@dataclass(frozen=True)
class PlackettLuce:
    """P(a first out of C) = exp(scale u_a) / sum_{b in C} exp(scale u_b), then the same for the rest.

    Pairs are Bradley-Terry: P(first) = sigmoid(scale (u_1 - u_2)). Orders come from Gumbel noise, whose
    ranking has exactly this law.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        require_positive(scale=self.scale)

    def choose_first(self, first: FloatArray, second: FloatArray, stream: Stream) -> BoolArray:
        _require_pairs(first, second)
        uniform = stream.uniforms(len(first))
        # u < sigmoid(t) without an overflow: log(u / (1 - u)) < t
        return np.asarray(np.log(uniform) - np.log1p(-uniform) < self.scale * (first - second))

    def order(self, utility: FloatArray, stream: Stream) -> IntArray:
        _require_sets(utility)
        return np.argsort(-(self.scale * utility + stream.gumbels(utility.shape)), axis=1, kind="stable")


class BradleyTerry(PlackettLuce):
    """P(first) = sigmoid(scale (u_1 - u_2)): Plackett-Luce for pairs."""


@dataclass(frozen=True)
class NoisyArgmax:
    """The order of u + N(0, sd^2), fresh noise for each offered response (a Thurstone model)."""

    sd: float = 0.1

    def __post_init__(self) -> None:
        require_positive(sd=self.sd)

    def choose_first(self, first: FloatArray, second: FloatArray, stream: Stream) -> BoolArray:
        _require_pairs(first, second)
        noise = self.sd * stream.normals((len(first), 2))
        return np.asarray(first + noise[:, 0] > second + noise[:, 1])

    def order(self, utility: FloatArray, stream: Stream) -> IntArray:
        _require_sets(utility)
        return np.argsort(-(utility + self.sd * stream.normals(utility.shape)), axis=1, kind="stable")
