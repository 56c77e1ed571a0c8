"""Limits of a mean whose values have a least and a largest, where what was seen hardly tells how far they spread.

Of n values alike a resample is alike, and has limits of no width; yet values that nobody has seen may be there.  With
values x_j in [0, 1], mean m and variance v, the lower limit of their mean is a quantile of

    sum_j D_j x_j,   D Dirichlet(1, ..., 1),   over the N values and one more, 0     [Gaffke 2005; Learned-Miller and
                                                                                      Thomas 2019, arXiv 1905.06208]

and the upper one has 1 for 0.  Its law is taken for the Beta law with the same mean and variance [derived], so that of
zeros and ones the limits are Clopper and Pearson's.  N is how many independent answers those of G people are worth:

    1 / N = (1 - l) s^2 / v + l / G,   s^2 = sum_i u_i^2,   l = 1 / (1 + k)^2,   k = (sum_i u_i^2)^2 / sum_i u_i^4

u_i: how far person i moves the mean.  v / s^2 is their number by the design effect [Kish 1965; Korn and Graubard,
Survey Methodology 24(2), 1998]; but where k people carry the spread, s says little, and all answers of a person may be
one: l counts people instead [derived].  Of people with unequal weights G is (sum_i w_i)^2 / sum_i w_i^2.  No part of it
changes where weights are in another unit, or a row stands twice instead of weighing 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.preferences import FloatArray, IntArray
from sim.weighted_means import mean_of

# As many people, or a quarter of them, must carry the spread for limits by it to be trusted alone.
ENOUGH = 6.0
_TAIL = 0.025


@dataclass(frozen=True, eq=False)
class SpreadOverPeople:
    """Of (n,) values: mean, variance of the values, moved (G,) (see above: u), share (G,) of all weight each person
    has, people (G by their weights)."""

    mean: float
    variance: float
    moved: FloatArray
    share: FloatArray
    people: float

    @staticmethod
    def of(values: FloatArray, person: IntArray, G: int, weights: FloatArray | None) -> SpreadOverPeople:
        """person: (n,) below G; weights: (n,), None where all are the same."""
        mean = mean_of(values, weights)
        own = np.ones(len(values)) if weights is None else weights
        mass = np.bincount(person, own, minlength=G)
        moved = np.bincount(person, own * (values - mean), minlength=G) / mass.sum()
        share = mass / mass.sum()
        return SpreadOverPeople(
            mean, mean_of((values - mean) ** 2, weights), moved, share, float(1.0 / (share**2).sum())
        )

    @property
    def alike(self) -> bool:
        """Whether but for rounding no person moves the mean."""
        G = len(self.moved)
        return not np.sqrt((self.moved**2).sum() * G / max(G - 1, 1)) > 1e-12 * max(1.0, abs(self.mean))

    @property
    def carriers(self) -> float:
        """k: how many people carry the spread; 0 where all are alike."""
        if self.alike:
            return 0.0
        part = (self.moved / np.abs(self.moved).max()) ** 2
        return float(part.sum() ** 2 / (part**2).sum())

    @property
    def is_told(self) -> bool:
        """Whether enough people carry the spread."""
        return self.carriers >= min(ENOUGH, len(self.moved) / 4)

    @property
    def answers(self) -> float:
        """N: how many independent answers the people's are worth."""
        part = 1 / (1 + self.carriers) ** 2
        by_spread = (self.moved**2).sum() / self.variance if part < 1 else 0.0
        return float(1 / ((1 - part) * by_spread + part / self.people))


def edge_limits(spread: SpreadOverPeople, low: float, high: float) -> tuple[float, float]:
    """95 % limits of the mean of values in [low, high], as above."""
    width = high - low
    share, variance, N = (spread.mean - low) / width, spread.variance / width**2, spread.answers
    return low + width * _lower(share, variance, N), high - width * _lower(1 - share, variance, N)


def _lower(mean: float, variance: float, N: float) -> float:
    """Of values in [0, 1], from N of them and one more, 0."""
    from scipy.special import betaincinv

    middle = N * mean / (N + 1)
    if not middle > 0:
        return 0.0
    spread = (N * variance + N / (N + 1) * mean**2) / ((N + 1) * (N + 2))
    size = middle * (1 - middle) / spread - 1
    return float(betaincinv(middle * size, (1 - middle) * size, _TAIL))
