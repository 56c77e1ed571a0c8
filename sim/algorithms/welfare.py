"""Welfare functions of several parties' utilities, and the option each of them chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import require_finite, require_shape
from sim.preferences import FloatArray, IntArray

# Two utilities closer than this, relative to their own size, are a tie.
TIE = 1e-12
_ROUNDED = 1e-15
# Alpha nearer to 0 is Nash among those who have something, up to rounding of the largest logarithms that there are, and
# below -1e12 it is the minimum: log(M) / 1e12 of it is a tie.
WEAK, STRONG = 1e-20, -1e12


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

        An increasing transform of W, comparable between numbers of parties; without overflow in the product. Where
        somebody has nothing it can be below all numbers at a small alpha > 0: to compare options use `advantage`.
        """
        u = np.asarray(utilities, dtype=np.float64)
        if self.alpha == 1.0:
            return np.asarray(u.mean(axis=-2))
        if np.isneginf(self.alpha):
            return np.asarray(u.min(axis=-2))
        some, level = self._log_parts(u)
        return np.asarray(np.exp(level + self._log_share(some / u.shape[-2])))

    def advantage(self, utilities: FloatArray, option: IntArray | int) -> FloatArray:
        """log of each option's equivalent utility over that of `option`, which somebody gains by; (..., M, A), (...,)
        -> (..., A).

        log(k_a / k_o) / alpha + m_a - m_o at alpha > 0, k the number of parties above zero and m the log of the
        equivalent among these: as alpha falls to 0 their number decides, and then their geometric mean. Apart, neither
        drowns the other. Neither for Utilitarian nor for leximin, whose utilities may be negative.
        """
        at = np.asarray(option)[..., None]
        some, level = self._log_parts(np.asarray(utilities, dtype=np.float64))
        more = self._log_share(some / np.take_along_axis(some, at, axis=-1))
        return np.asarray(more + level - np.take_along_axis(level, at, axis=-1))

    def _log_share(self, share: FloatArray) -> FloatArray:
        """log(share) / alpha at alpha > 0, share of parties above zero; 0 at alpha <= 0, where all of them are."""
        if self.alpha <= 0.0:
            return np.zeros_like(share)
        with np.errstate(divide="ignore"):
            # An alpha below 1e-290 leaves the numbers there are.
            return np.asarray(np.log(share) / max(self.alpha, 1e-290))

    def _log_parts(self, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(number of parties above zero, log of the equivalent utility among them); (..., M, A) -> (..., A) twice.

        -inf where there is none, and at alpha <= 0 where some party has zero: nobody else's makes up for it.
        """
        told = u > 0
        some = told.sum(axis=-2).astype(np.float64)
        many = np.maximum(some, 1.0)
        logs = np.log(np.where(told, u, 1.0))
        if self.alpha < STRONG:
            level = np.where(told, logs, np.inf).min(axis=-2)
        else:
            level = logs.sum(axis=-2) / many
            power = np.where(told, self.alpha * (logs - level[..., None, :]), 0.0)
            if abs(self.alpha) > WEAK:
                # The term that dominates is taken out: u^a overflows for a = -100 already at u = 1e-4. Powers that are
                # all close to 1 lose their digits in a mean, and not in that of what they differ from it by.
                top = power.max(axis=-2)
                far = np.where(told, np.exp(power - top[..., None, :]), 0.0).sum(axis=-2) / many
                close = np.where(told, np.expm1(np.minimum(power, 1.0)), 0.0).sum(axis=-2) / many
                small = np.abs(power).max(axis=-2) <= 0.5
                with np.errstate(divide="ignore"):
                    level = level + np.where(small, np.log1p(np.maximum(close, -0.5)), top + np.log(far)) / self.alpha
        missing = some < (u.shape[-2] if self.alpha <= 0.0 else 1)
        return some, np.where(missing, -np.inf, level)

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
        if self.alpha == 1.0:
            return np.asarray(np.argmax(self.equivalent(u), axis=-1))
        some, level = self._log_parts(u)
        score = level + self._log_share(some / u.shape[-2])
        start, possible = np.argmax(score, axis=-1), np.isfinite(score.max(axis=-1))
        # Again against the best, as equal numbers of parties above zero then cancel, however small alpha is.
        over = self.advantage(np.where(possible[..., None, None], u, 1.0), start)
        first = np.argmax(over >= over.max(axis=-1, keepdims=True) - TIE, axis=-1)
        return np.asarray(np.where(possible, first, -1 if self.alpha <= 0.0 else 0))


NASH, UTILITARIAN, LEXIMIN = WelfareRule(0.0), WelfareRule(1.0), WelfareRule(-np.inf)
RULES = {rule.name: rule for rule in (NASH, UTILITARIAN, LEXIMIN)}


def rounding(utilities: FloatArray) -> FloatArray:
    """By how much an entry may be off without being another number; (..., M, A) -> the same.

    1e-12 of itself, or what a difference of the largest numbers of its party rounds off: what the other parties have,
    or are counted in, is nothing to it.
    """
    size = np.abs(utilities)
    return np.asarray(np.maximum(TIE * size, _ROUNDED * size.max(axis=-1, keepdims=True)))


def _lexicographic(utilities: FloatArray) -> IntArray:
    """argmax over options of the sorted utilities, compared from the smallest on; (..., M, A) -> (...,)."""
    order = np.argsort(utilities, axis=-2, kind="stable")
    off = np.take_along_axis(rounding(utilities), order, axis=-2)
    ordered = np.sort(utilities, axis=-2)
    alive = np.ones((*ordered.shape[:-2], ordered.shape[-1]), dtype=bool)
    for place in range(ordered.shape[-2]):
        level = np.where(alive, ordered[..., place, :], -np.inf)
        best = level.argmax(axis=-1)[..., None]
        own = off[..., place, :]
        alive &= level >= level.max(axis=-1, keepdims=True) - np.maximum(own, np.take_along_axis(own, best, axis=-1))
    return np.asarray(alive.argmax(axis=-1))


def share_of_maximum(utilities: FloatArray, chosen: FloatArray) -> FloatArray:
    """Each party's utility as a share of the most any option gives it; (M, A), (M,) -> (M,).

    1 for a party to which every option gives zero. NaN for one to which none gives more than zero and some less: of a
    loss there is no share (count from the worst option instead).
    """
    require_finite(utilities=utilities, chosen=chosen)
    require_shape("chosen", chosen, utilities.shape[:-1])
    most = utilities.max(axis=-1)
    lost = (most <= 0) & (utilities < 0).any(axis=-1)
    return np.asarray(np.divide(chosen, most, out=np.where(lost, np.nan, 1.0), where=most > 0))
