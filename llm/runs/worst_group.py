"""The worst group's mean regret, and how it differs between two policies: limits that hold however many groups tie.

MinMax ends where groups regret alike, and there the largest of several means is no mean: it is too large by chance, and
a percentile bootstrap of it repeats that (with five equal regrets its 95 % limits held the truth 30 times in 100).
With M = max_k mu_k, group means m_k over the same n prompts, standard errors s_k, and the joint law of their errors,

    upper:  max_k (m_k + t_{.975, n - 1} s_k)          P(M > it) <= P(mu_k > its limit) for the k whose mu_k is M
    lower:  max_k (m_k - q s_k)                        P(M < it) <= P(max_k (m_k - mu_k) / s_k > q)

q would be the quantile over all groups, too large where some are far below: these count only as far as a first, joint
limit of all mu_k lets them come near M (Romano, Shaikh & Wolf, Econometrica 82(5), 2014, two steps; a tenth of the
level for the first).  At level 1/2 the same lower limit is an estimate that is too large at most half of the time
(Chernozhukov, Lee & Rosen, Econometrica 81(2), 2013).

The errors are drawn as t_{n - 1} with the covariance of the groups over prompts [derived: normal means].  A group whose
regrets are the same at every prompt has no such error, and no limits: unless it is known to be so, as the regret of a
policy against itself is, others may come at other prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream

# Pairs of opposite draws of the errors.
_DRAWS = 2000
_TAIL = 0.025
# Of the level, for the first of the two steps.
_FIRST = 0.1


@dataclass(frozen=True)
class WorstMean:
    """mean: as the samples have it.  estimate: less what the largest of several means is too large by chance.
    interval: 95 % limits over prompts, None where there is one prompt, or a group's regrets are all the same by
    chance."""

    mean: float
    interval: tuple[float, float] | None
    estimate: float


@dataclass(frozen=True)
class WorstGroup(WorstMean):
    """The largest of the groups' means, and whose it is."""

    group: int


def worst_with_interval(regrets: FloatArray, stream: Stream, known: BoolArray | None = None) -> WorstGroup:
    """Of max_z of the groups' mean regrets; regrets (K, n) by prompt.  known: (K,) whose are the same at every prompt
    there is, not at those drawn alone; nobody's if None."""
    means = regrets.mean(axis=1)
    group, mean = int(means.argmax()), float(means.max())
    if regrets.shape[1] < 2:
        return WorstGroup(mean, None, mean, group)
    errors = _Errors.drawn(*regrets.shape, stream)
    sure = np.zeros(len(regrets), dtype=np.bool_) if known is None else known
    limits = None if (_alike(regrets) & ~sure).any() else (errors.lower(regrets), _upper(regrets))
    return WorstGroup(mean, limits, errors.middle(regrets), group)


def worst_difference(
    first: FloatArray, second: FloatArray, stream: Stream, known: tuple[BoolArray, BoolArray] | None = None
) -> WorstMean:
    """Of D = max_z mean of `first` minus max_z mean of `second`, both (K, n) on the same prompts; known: of each, see
    `worst_with_interval`.

    D = min_l max_k (mu_k - nu_l) = max_k min_l (mu_k - nu_l): the least lower limit of max_k (mu_k - nu_l) over l is
    one of D, as it is for the l whose nu_l is the largest, whichever that is; above, the same with the signs turned.
    Each is a largest mean of paired differences.
    """
    mean = float(first.mean(axis=1).max() - second.mean(axis=1).max())
    if first.shape[1] < 2:
        return WorstMean(mean, None, mean)
    errors = _Errors.drawn(*first.shape, stream)
    middle = errors.middle(first) - errors.middle(second)
    of_first, of_second = known if known is not None else (np.zeros(len(first), dtype=np.bool_),) * 2
    if any((_alike(first - one) & ~(of_first & sure)).any() for one, sure in zip(second, of_second, strict=True)):
        return WorstMean(mean, None, middle)
    low = min(errors.lower(first - one) for one in second)
    high = max(-errors.lower(second - one) for one in first)
    return WorstMean(mean, (low, high), middle)


def _alike(values: FloatArray) -> BoolArray:
    """Which rows of (K, n) are the same in every column, but for rounding."""
    error = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    return np.asarray(error <= 1e-12 * np.abs(values).max(axis=1))


def student_scales(degrees: int, draws: int, stream: Stream) -> FloatArray:
    """(draws,) what normal errors with an estimated covariance are multiplied by to be t with so many degrees:
    sqrt(degrees / chi^2)."""
    from scipy.special import gammaincinv

    return np.sqrt(degrees / (2 * gammaincinv(degrees / 2, stream.child("spread").uniforms(draws))))


def _upper(values: FloatArray) -> float:
    from scipy.special import stdtrit

    error = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    return float((values.mean(axis=1) + stdtrit(values.shape[1] - 1, 1 - _TAIL) * error).max())


@dataclass(frozen=True, eq=False)
class _Errors:
    """normals (draws, K) and scale (draws,) of errors in the means: with L L' the groups' correlation, scale * L z is a
    draw of (m_k - mu_k) / s_k, t_{n - 1} in each k.  Each draw stands beside its opposite: the law is symmetric."""

    normals: FloatArray
    scale: FloatArray

    @staticmethod
    def drawn(K: int, n: int, stream: Stream) -> _Errors:
        return _Errors(stream.child("errors").normals((_DRAWS, K)), student_scales(n - 1, _DRAWS, stream))

    def lower(self, values: FloatArray) -> float:
        """Lower limit of max_k mu_k at level 1 - _TAIL; values (K, n)."""
        return self._limit(values, _TAIL * _FIRST, 1 - _TAIL * (1 - _FIRST))

    def middle(self, values: FloatArray) -> float:
        """The same limit at level 1/2.  Groups are left out as for `lower`, and no part of the level is spent on it:
        a group that stands alone has its own mean."""
        return self._limit(values, _TAIL * _FIRST, 0.5)

    def _limit(self, values: FloatArray, first: float, level: float) -> float:
        mean, error = values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
        # What is known to be the same at every prompt is never too large by chance.
        free = ~_alike(values)
        known = float(mean[~free].max(initial=-np.inf))
        mean, error = mean[free], error[free]
        if not len(mean):
            return known
        centred = (values[free] - mean[:, None]) / (error[:, None] * np.sqrt(values.shape[1]))
        size, axes = np.linalg.eigh(np.atleast_2d(np.cov(centred)))
        root = axes * np.sqrt(np.maximum(size, 0.0))
        half = self.scale[:, None] * (self.normals[:, free] @ root.T)
        errors = np.concatenate([half, -half])
        reach = mean + np.quantile(errors.max(axis=1), 1 - first) * error
        # Each step allows groups less, so that the limit rises to the least value that is not refused.
        limit = -np.inf
        while True:
            short = np.minimum((reach - max(limit, known)) / error, 0.0) if np.isfinite(limit) else np.zeros(len(mean))
            raised = max(known, float((mean - np.quantile((errors + short).max(axis=1), level) * error).max()))
            if not raised > limit + 1e-9 * float(error.max()):
                return max(raised, limit)
            limit = raised
