"""The Pareto front of mixing policies: what each group gives up, and where the fairness rules stand on it.

A mixture draws one policy a response, so that each group's regret is linear in the weights: points and front are exact
for the regrets a result holds, whoever measured these.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pluralign.page.charts import Point, plane_chart
from pluralign.page.limits import GROUPS
from pluralign.page.svg import Chart
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import WelfareRule
from sim.preferences import FloatArray
from sim.tables.welfare import parse_rule

RULES = (("utilitarian", "Utilitarian"), ("nash", "Nash"), ("leximin", "Leximin"))
# A corner lies so far below the line of its neighbours, as a share of the front's height: no program is more exact.
_BELOW = 1e-9


def front(first: FloatArray, second: FloatArray | None, groups: FloatArray) -> list[tuple[float, float]]:
    """The corners of the lower left edge of {(first w, second w)}, w a mixture of the policies; second None: the worst
    of groups (K, P) w.

    Two objectives: the lower hull of the policies themselves.  With the worst, a corner is the best in the direction
    across the line of two that are known, one linear program a pair, until none lies below its line (Cohon, Church and
    Sheer 1979; exact for two objectives).
    """
    if second is not None:
        return _decreasing(_lower_hull(first, second))
    left, right = _ends(first, groups)
    found, waiting = [left, right], [(left, right)]
    height, width = left[1] - right[1], right[0] - left[0]
    if not (height > 0 and width > 0):
        return _decreasing(found)
    while waiting:
        a, b = waiting.pop()
        # Each axis in units of the front, so that groups' scales do not matter.
        down, across = (a[1] - b[1]) / height, (b[0] - a[0]) / width
        if not (down > 0 and across > 0):
            continue
        corner = _best(first, groups, down / width, across / height)
        above = down * (a[0] - corner[0]) / width + across * (a[1] - corner[1]) / height
        if a[0] < corner[0] < b[0] and above > _BELOW * max(down, across):
            found.append(corner)
            waiting += [(a, corner), (corner, b)]
    return _decreasing(sorted(found))


def _lower_hull(first: FloatArray, second: FloatArray) -> list[tuple[float, float]]:
    """Of points, from left to right (Andrew's monotone chain), in units of their spread: products stay numbers."""
    corners: list[int] = []
    x, y = ((own - own.min()) / (np.ptp(own) or 1.0) for own in (first, second))
    for j in np.lexsort((second, first)):
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            if (x[b] - x[a]) * (y[j] - y[a]) - (y[b] - y[a]) * (x[j] - x[a]) > 0:
                break
            corners.pop()
        corners.append(int(j))
    return [(float(first[j]), float(second[j])) for j in corners]


def _decreasing(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without what is no better in the second than one to its left; what differs by rounding is no better."""
    kept = [points[0]]
    height = points[0][1] - min(y for _, y in points)
    for point in points[1:]:
        if point[1] < kept[-1][1] - 1e-12 * height:
            kept.append(point)
    return kept


def _ends(first: FloatArray, groups: FloatArray) -> tuple[tuple[float, float], tuple[float, float]]:
    """The best in the first, and among these in the worst; the best in the worst."""
    least = np.flatnonzero(first - first.min() <= 1e-12 * np.ptp(first))
    return _best(first[least], groups[:, least], 0.0, 1.0), _best(first, groups, 0.0, 1.0)


def _best(first: FloatArray, groups: FloatArray, a: float, b: float) -> tuple[float, float]:
    """The point (first w, worst of groups w) of the mixture with the least a first w + b worst: a program in (w, t),
    t at least every group's regret, groups in units of their spread."""
    from scipy.optimize import linprog

    foot, unit = float(groups.min()), float(np.ptp(groups)) or 1.0
    policies = groups.shape[1]
    scale = max(float(np.ptp(a * first)), b * unit) or 1.0
    solved = linprog(
        np.append(a * (first - first.min()) / scale, b * unit / scale),
        A_ub=np.column_stack([(groups - foot) / unit, -np.ones(len(groups))]), b_ub=np.zeros(len(groups)),
        A_eq=np.append(np.ones(policies), 0.0)[None], b_eq=[1.0], bounds=[(0, None)] * (policies + 1),
        method="highs-ds", options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    if solved.success:
        w = np.maximum(solved.x[:policies], 0.0)
        w /= w.sum()
    else:  # a policy by itself is a point too, if no corner
        w = np.eye(policies)[np.argmin(a * first + b * groups.max(axis=0))]
    return float(first @ w), float((groups @ w).max())


def fair_weights(groups: FloatArray) -> dict[str, FloatArray]:
    """Rule -> the weights of the policies that are best for it; a group's utility is what it gains over the worst
    policy for it, in units of its largest gain."""
    gains = groups.max(axis=1, keepdims=True) - groups
    # What differs by rounding alone is heard by nobody, whatever its unit.
    heard = gains.max(axis=1) > 1e-12 * np.abs(groups).max(axis=1)
    if not heard.any():
        return {}
    units = gains[heard] / gains[heard].max(axis=1, keepdims=True)
    found = {}
    for name, words in RULES:
        rule: WelfareRule = parse_rule(name)
        found[words] = best_lotteries(units[None], rule).probabilities[0]
    return found


def front_chart(
    groups: FloatArray, policies: Sequence[str], shares: FloatArray, names: Sequence[str],
    mixtures: dict[str, FloatArray], title: str, name: str,
) -> Chart | None:  # fmt: skip
    """groups (K, P): the groups' regrets under each policy.  mixtures: weights (P,) of mixtures to show beside the
    rules.  Two groups: one against the other; more: their mean by shares against the worst off."""
    K = len(groups)
    if not 2 <= K <= GROUPS or not np.isfinite(groups).all() or groups.shape[1] < 2:
        return None
    if K == 2:
        first, second, words = groups[0], groups[1], (f"regret of {names[0]}", f"regret of {names[1]}")
    else:
        first, second = shares @ groups, None
        words = ("mean regret of the groups, by shares", "regret of the worst-off group")

    def at(w: FloatArray) -> tuple[float, float]:
        return float(first @ w), float((groups @ w).max() if second is None else second @ w)

    points = [Point(label, *at(w), rule=True) for label, w in {**fair_weights(groups), **mixtures}.items()]
    points += [Point(label, *at(row)) for label, row in zip(policies, np.eye(groups.shape[1]), strict=True)]
    return plane_chart(points, front(first, second, groups), title, words, name)
