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
_SLOPES = 33


def front(first: FloatArray, second: FloatArray | None, groups: FloatArray) -> list[tuple[float, float]]:
    """The corners of the lower left edge of {(first w, second w)}, w a mixture of the policies; second None: the worst
    of groups (K, P) w.  By linear programs, one a slope."""
    from scipy.optimize import linprog

    policies = groups.shape[1]
    found = set()
    for share in np.linspace(0.0, 1.0, _SLOPES):
        # A speck of the other axis, so that an end is the corner that is efficient.
        a, b = max(share, 1e-6), max(1.0 - share, 1e-6)
        if second is None:
            worst = np.column_stack([groups, -np.ones(len(groups))])
            solved = linprog(np.append(a * first, b), A_ub=worst, b_ub=np.zeros(len(groups)),
                             A_eq=np.append(np.ones(policies), 0.0)[None], b_eq=[1.0],
                             bounds=[(0, None)] * policies + [(None, None)])  # fmt: skip
        else:
            solved = linprog(a * first + b * second, A_eq=np.ones((1, policies)), b_eq=[1.0])
        if solved.success:
            w = np.asarray(solved.x[:policies])
            other = float((groups @ w).max()) if second is None else float(second @ w)
            found.add((round(float(first @ w), 9), round(other, 9)))
    return sorted(found)


def fair_weights(groups: FloatArray) -> dict[str, FloatArray]:
    """Rule -> the weights of the policies that are best for it; a group's utility is what it gains over the worst
    policy for it, in units of its largest gain."""
    gains = groups.max(axis=1, keepdims=True) - groups
    heard = gains.max(axis=1) > 1e-12
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
