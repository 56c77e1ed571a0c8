"""Welfare functions of several parties' utilities, and the option each of them chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import require_finite, require_shape
from sim.preferences import FloatArray, IntArray

# Two utilities closer than this, relative to the table's size, are a tie.
TIE = 1e-12
# Alpha nearer to 0 is Nash up to rounding (the difference is of alpha squared in the best choice), and below -1e12 the
# minimum: log(M) / 1e12 of it is a tie.
WEAK, STRONG = 1e-7, -1e12


@dataclass(frozen=True)
class WelfareRule:
    """The isoelastic family: sum u^a for 0 < a <= 1, prod u at a = 0, -sum u^a for a < 0, leximin at a = -inf.

    [arXiv 2403.05006, section 4]  a = 1 is Utilitarian, a = 0 Nash. The paper's Leximin is the minimum alone; here
    the sorted utilities are compared lexicographically, the worst off first.
    """

    alpha: float

    def __post_init__(self) -> None:
        if not self.alpha <= 1.0:
            raise ValueError(f"alpha must be at most 1, where welfare is concave, or -inf (got {self.alpha})")

    @property
    def name(self) -> str:
        named = {1.0: "utilitarian", 0.0: "nash", -np.inf: "leximin"}
        return named.get(self.alpha, f"alpha={self.alpha:g}")

    @property
    def needs_positive(self) -> bool:
        """Powers and products need utilities counted from a zero; sums and minima do not."""
        return self.alpha not in (1.0, -np.inf)

    def welfare(self, utilities: FloatArray) -> FloatArray:
        """W as the paper writes it; (..., M, A) -> (..., A). At -inf the minimum."""
        utilities = np.asarray(utilities, dtype=np.float64)
        if self.alpha == 0.0:
            return np.asarray(utilities.prod(axis=-2))
        if np.isneginf(self.alpha):
            return np.asarray(utilities.min(axis=-2))
        with np.errstate(divide="ignore"):
            total = (utilities**self.alpha).sum(axis=-2)
        return np.asarray(total if self.alpha > 0 else -total)

    def equivalent(self, utilities: FloatArray) -> FloatArray:
        """The utility that, given to everybody, has the same welfare: ((1 / M) sum u^a)^(1 / a), the geometric mean
        at 0, the minimum at -inf; (..., M, A) -> (..., A).

        An increasing transform of W, comparable between numbers of parties; without overflow in the product.
        """
        u = np.asarray(utilities, dtype=np.float64)
        if self.alpha == 1.0:
            return np.asarray(u.mean(axis=-2))
        if self.alpha < STRONG:
            return np.asarray(u.min(axis=-2))
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(u)
            if abs(self.alpha) <= WEAK:
                return np.asarray(np.exp(logs.mean(axis=-2)))
            # The term that dominates is taken out: u^a overflows for a = -100 already at u = 1e-4.
            top = (self.alpha * logs).max(axis=-2, keepdims=True)
            safe = np.where(np.isfinite(top), top, 0.0)
            mean = np.exp(self.alpha * logs - safe).mean(axis=-2)
            value = np.exp((np.squeeze(safe, -2) + np.log(mean)) / self.alpha)
        # A negative exponent and a utility of zero: nobody else's utility makes up for it.
        return np.asarray(np.where(np.isposinf(np.squeeze(top, -2)), 0.0, value))

    def best(self, utilities: FloatArray) -> IntArray:
        """The option of largest welfare in each table; (..., M, A) -> (...,). Ties go to the first.

        Utilities must not be negative unless the rule is Utilitarian or leximin. Where every option of a table gives
        somebody zero the product is no choice: -1.
        """
        u = np.asarray(utilities, dtype=np.float64)
        if u.ndim < 2 or 0 in u.shape[-2:]:
            raise ValueError(f"utilities must be (..., parties, options), neither empty (got {u.shape})")
        require_finite(utilities=u)
        if self.needs_positive and (u < 0).any():
            raise ValueError(f"{self.name} needs utilities of at least 0, counted from a zero (got {u.min():.4g})")
        if np.isneginf(self.alpha):
            return _lexicographic(u)
        value = self.equivalent(u)
        first = np.argmax(value >= value.max(axis=-1, keepdims=True) * (1.0 - TIE), axis=-1)
        if self.alpha == 1.0:
            first = np.argmax(value, axis=-1)
        if self.alpha <= 0.0:
            return np.asarray(np.where(value.max(axis=-1) > 0.0, first, -1))
        return np.asarray(first)


NASH, UTILITARIAN, LEXIMIN = WelfareRule(0.0), WelfareRule(1.0), WelfareRule(-np.inf)
RULES = {rule.name: rule for rule in (NASH, UTILITARIAN, LEXIMIN)}


def _lexicographic(utilities: FloatArray) -> IntArray:
    """argmax over options of the sorted utilities, compared from the smallest on; (..., M, A) -> (...,)."""
    ordered = np.sort(utilities, axis=-2)
    size = TIE * max(float(np.abs(ordered).max(initial=0.0)), 1e-300)
    alive = np.ones((*ordered.shape[:-2], ordered.shape[-1]), dtype=bool)
    for place in range(ordered.shape[-2]):
        level = np.where(alive, ordered[..., place, :], -np.inf)
        alive &= level >= level.max(axis=-1, keepdims=True) - size
    return np.asarray(alive.argmax(axis=-1))


def share_of_maximum(utilities: FloatArray, chosen: FloatArray) -> FloatArray:
    """Each party's utility as a share of the most any option gives it; (M, A), (M,) -> (M,). 1 for a party to which
    every option gives zero."""
    require_finite(utilities=utilities, chosen=chosen)
    require_shape("chosen", chosen, utilities.shape[:-1])
    most = utilities.max(axis=-1)
    return np.asarray(np.divide(chosen, most, out=np.ones_like(most), where=most > 0))
