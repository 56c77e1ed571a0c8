"""Social orderings of reward profiles by a welfare function, and what rounding leaves of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sim.algorithms.aggregation import checked_alpha, log_mean_exp
from sim.preferences import FloatArray

# Two values closer than this share of how much values differ are a tie: what rounding can do to a sum of a few terms.
_TIE = 1e-11
# Units in the last place that a value of its own size may be off by.
_ROUNDING = 8.0 * np.finfo(np.float64).eps


class Ordering(Protocol):
    """A social ordering of reward profiles: sign(first, second) is 1, 0 or -1 at each row; (n, N), (n, N) -> (n,)."""

    @property
    def name(self) -> str: ...

    def sign(self, first: FloatArray, second: FloatArray) -> FloatArray: ...


@dataclass(frozen=True, eq=False)
class Welfare:
    """The ordering r > r' iff W(r) > W(r'); `value`: (n, N) -> (n,). Values within rounding of each other tie.

    What rounding is, is seen from how much W differs over the profiles asked about together, so that c W + d (c > 0)
    orders as W does. A difference that W's own rounding takes away is a tie, and an axiom that wants it strict is not
    met there: no function's values say more.
    """

    name: str
    value: Callable[[FloatArray], FloatArray]

    def values(self, profiles: FloatArray) -> FloatArray:
        # A copy: a rule of the user's may sort in place.
        found = np.asarray(self.value(profiles.copy()))
        if found.shape != (len(profiles),):
            raise ValueError(f"rule '{self.name}' must return one number a row: {(len(profiles),)}, got {found.shape}")
        return found

    def by_values(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """sign by `value` alone."""
        a, b = self.values(first), self.values(second)
        with np.errstate(invalid="ignore"):
            apart = np.where(a == b, 0.0, a - b)
        return np.where(np.abs(apart) <= _TIE * sizes(a, b) + rounding(a, b), 0.0, np.sign(apart))

    def sign(self, first: FloatArray, second: FloatArray) -> FloatArray:
        return self.by_values(first, second)


def sizes(a: FloatArray, b: FloatArray) -> FloatArray:
    """How much welfare differs around each pair of values; (n,), (n,) -> (n,).

    The larger of the median distance from the median, of all of them, and of the two's own. Unchanged by adding a
    number to all, multiplied with all.
    """
    both = np.concatenate([a, b])
    told = both[np.isfinite(both)]
    if not len(told):
        return np.zeros(len(a))
    middle = np.median(told)
    own = [np.abs(np.where(np.isfinite(one), one, middle) - middle) for one in (a, b)]
    return np.asarray(np.maximum(np.median(np.abs(told - middle)), np.maximum(*own)))


def rounding(a: FloatArray, b: FloatArray) -> FloatArray:
    """What numbers of their sizes are rounded by; (n,)."""
    return _ROUNDING * np.maximum(*(np.abs(np.where(np.isfinite(one), one, 0.0)) for one in (a, b)))


@dataclass(frozen=True, eq=False)
class Aggregation(Welfare):
    """The ordering by Agg_alpha, also where the largest term of the sum drowns the difference of two profiles."""

    alpha: float

    def sign(self, first: FloatArray, second: FloatArray) -> FloatArray:
        found = self.by_values(first, second)
        close = found == 0
        if close.any():
            found[close] = power_sign(first[close], second[close], self.alpha)
        return found


def power_sign(first: FloatArray, second: FloatArray, alpha: float) -> FloatArray:
    """Sign of Agg_alpha(first) - Agg_alpha(second), without what the profiles share; (n, N), (n, N) -> (n,).

    With f(v) = exp(alpha v) / alpha (v at 0), v_1 <= ... <= v_2N both profiles' rewards and c_k how many more of the
    first k are `first`'s, by Abel's summation

        sum_i f(first_i) - f(second_i) = -sum_k c_k (f(v_k+1) - f(v_k)),

    so that equal rewards cancel exactly, and the rest is summed relative to its own largest term.
    """
    if np.isinf(alpha):
        a, b = (one.max(axis=1) if alpha > 0 else one.min(axis=1) for one in (first, second))
        return np.asarray(np.sign(a - b))
    both = np.concatenate([first, second], axis=1)
    order = both.argsort(axis=1, kind="stable")
    v = np.take_along_axis(both, order, axis=1)
    count = np.cumsum(np.where(order < first.shape[1], 1.0, -1.0), axis=1)[:, :-1]
    low, high = v[:, :-1], v[:, 1:]
    count = np.where(high > low, count, 0.0)
    # The larger slope of f on each interval, over the largest of any that counts.
    end, sign = (high, 1.0) if alpha > 0 else (low, -1.0)
    top = np.where(count != 0, sign * end, -np.inf).max(axis=1, keepdims=True)
    below = np.where(count != 0, top - sign * end, 0.0)
    gap = high - low
    # With an alpha of 1e308 a product is infinite, and the power of it what it should be: 0.
    with np.errstate(over="ignore"):
        slope = np.where(count != 0, np.exp(-abs(alpha) * below), 0.0)
        terms = count * slope * (gap if alpha == 0.0 else -np.expm1(-abs(alpha) * gap) / abs(alpha))
    # Rewards themselves are rounded, and a count of them is off by as much.
    doubt = _ROUNDING * (np.abs(count) * slope * (np.abs(low) + np.abs(high))).sum(axis=1)
    total = -terms.sum(axis=1)
    return np.where(np.abs(total) <= doubt, 0.0, np.sign(total))


def aggregation_rule(alpha: float) -> Welfare:
    """W = Agg_alpha.  [arXiv 2405.00254, eq. (4.1)]"""
    alpha = checked_alpha(alpha)
    return Aggregation(f"Agg[{alpha:g}]", lambda rewards: log_mean_exp(rewards.T, alpha, axis=-2), alpha)
