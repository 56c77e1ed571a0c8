"""Efficiency and fairness of a choice from a table of utilities: each test hands back a witness or a certificate.

A table is (M, A), a row a party, a column an option; a choice is a lottery p (A,), or one option as a lottery on it.
A test knows nothing of the rule that chose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from sim.algorithms.welfare import share_of_maximum
from sim.arguments import float_array, require_count, require_index, require_shape
from sim.preferences import FloatArray
from sim.streams import Stream

# Relative to what is at stake for a party: what a linear program's answer may be off by.
TOLERANCE = 1e-8
# HiGHS takes a constraint that is missed by 1e-7 for met, ten times what is told apart here; this is its finest.
_EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


@dataclass(frozen=True, eq=False)
class Pareto:
    """efficient: nothing available is better for somebody and worse for nobody.

    tau: the largest share by which some party could gain at nobody's expense (Definition 1; inf from a utility of 0).
    better: an option's number or a lottery (A,) that shows it, or None.  weights: (M,) positive weights whose sum the
    choice maximises, where it is efficient among lotteries.
    """

    efficient: bool
    tau: float
    better: int | FloatArray | None = None
    weights: FloatArray | None = None


def _require_table(table: FloatArray) -> None:
    float_array("table", table, ("M", "A"))
    if 0 in table.shape:
        raise ValueError(f"table must be (M, A), neither empty (got {table.shape})")


def _require_lottery(table: FloatArray, lottery: FloatArray) -> None:
    _require_table(table)
    float_array("lottery", lottery, (table.shape[1],))
    # A solver's lottery may miss the simplex by its tolerance.
    if lottery.min() < -1e-6 or abs(lottery.sum() - 1.0) > 1e-4:
        raise ValueError(
            f"lottery must be probabilities that sum to 1 (least {lottery.min():.6g}, sum {lottery.sum():.6g})"
        )


def pareto_option(table: FloatArray, option: int) -> Pareto:
    """Against the other options alone.  [arXiv 2403.05006, Definition 1]

    tau = max over options that weakly improve all, and parties, of v_k(a) / v_k(choice) - 1.
    """
    _require_table(table)
    require_index("option", option, table.shape[1])
    own = table[:, option]
    dominating = (table >= own[:, None]).all(axis=0) & (table > own[:, None]).any(axis=0)
    if not dominating.any():
        return Pareto(True, 0.0)
    gain = table[:, dominating]
    ratio = np.divide(gain, own[:, None], out=np.where(gain > 0, np.inf, 1.0), where=own[:, None] > 0)
    best = ratio.max(axis=0)
    return Pareto(False, float(best.max() - 1.0), int(np.flatnonzero(dominating)[best.argmax()]))


def pareto_lottery(table: FloatArray, lottery: FloatArray, *, largest: bool = True) -> Pareto:
    """Against every lottery over the options, by linear programs (HiGHS).

    max sum_m (V p')_m  s.t.  V p' >= V p  is no larger than sum_m (V p)_m exactly for an efficient p; the duals of its
    inequalities, plus one, are then positive weights whose sum p maximises. tau: one program a party, only where p is
    not efficient; with `largest` False the largest share by which `better` is better for a party, at no program more.
    """
    from scipy.optimize import linprog

    _require_lottery(table, lottery)
    # One that misses the simplex may be out of reach of those on it.
    lottery = np.maximum(lottery, 0.0)
    lottery = lottery / lottery.sum()
    # Each party in units of its own largest utility: a small scale is not a small matter.
    units = np.maximum(np.abs(table).max(axis=1), 1e-300)
    scaled = table / units[:, None]
    A, utility = table.shape[1], scaled @ lottery
    # Rounding in p must not leave p itself out.
    slack = 1e-2 * TOLERANCE
    among = {"A_ub": -scaled, "b_ub": slack - utility, "A_eq": np.ones((1, A)), "b_eq": [1.0], "options": _EXACT}
    solved = linprog(-scaled.sum(axis=0), **among)
    if not solved.success:
        raise RuntimeError(f"the LP solver failed: {solved.message}")
    weights = 1.0 - np.asarray(solved.ineqlin.marginals)
    # What the slack adds to the sum is its price, and the solver's own tolerance is as much again.
    if -solved.fun - utility.sum() <= 2.0 * slack * weights.sum() + TOLERANCE:
        return Pareto(True, 0.0, weights=weights / units)
    better, tau = np.asarray(solved.x[:A]), 0.0
    if not largest:
        gained = scaled @ better
        rises = gained > utility + TOLERANCE
        with np.errstate(divide="ignore"):
            ratio = gained[rises] / np.maximum(utility[rises], 0.0)
        return Pareto(False, float(ratio.max(initial=1.0) - 1.0), better)
    for k in range(len(table)):
        most = linprog(-scaled[k], **among)
        if most.success and -most.fun > utility[k] + TOLERANCE:
            tau = max(tau, -most.fun / utility[k] - 1.0 if utility[k] > 0 else np.inf)
    return Pareto(False, float(tau), better)


@dataclass(frozen=True, eq=False)
class PigouDalton:
    """available: equalising transfers there are (pairs and options; pairs for lotteries).

    best: how much the equivalent utility or welfare `worth` rises in the best of them (-inf if there are none); a rule
    that values equality leaves none that raises it.  witness: giver, receiver, amount and where to.
    """

    available: int
    best: float
    witness: dict[str, Any] | None = None


def _stakes(table: FloatArray) -> FloatArray:
    """What each party has to win or lose among the options, at least what its numbers are rounded to; (M, A) -> (M,).

    A party's own, for another's size or a number added to all its utilities says nothing of what it can give or get.
    """
    rounded = 1e-15 / TOLERANCE * np.abs(table).max(axis=1)
    return np.asarray(np.maximum(np.maximum(np.ptp(table, axis=1), rounded), 1e-300))


def pigou_dalton_option(table: FloatArray, option: int, worth: FloatArray) -> PigouDalton:
    """Transfers between two parties that lessen their difference, keep its sum and leave the others as they are.

    [arXiv 2403.05006, Definition 5 in the reading that has content: the gain of the best such move is what the choice
    falls short of]  worth: (A,) the rule's welfare of each option. As printed (the welfare must not rise *against* the
    move) it says nothing with the others held, and is false with them free.
    """
    _require_table(table)
    require_index("option", option, table.shape[1])
    require_shape("worth", worth, (table.shape[1],))
    if np.isnan(worth).any():
        raise ValueError(f"worth must be numbers (got {worth.tolist()})")
    own, sizes = table[:, option], TOLERANCE * _stakes(table)
    available, best, witness = 0, -np.inf, None
    changed = np.abs(table - own[:, None]) > sizes[:, None]
    for a in np.flatnonzero(changed.sum(axis=0) == 2):
        i, j = np.flatnonzero(changed[:, a])
        size = max(min(sizes[i], sizes[j]), 1e-15 * float(np.abs(table[[i, j]]).max()))
        if abs(table[i, a] + table[j, a] - own[i] - own[j]) > 2 * size:
            continue
        if abs(table[i, a] - table[j, a]) >= abs(own[i] - own[j]) - size:
            continue
        available += 1
        if worth[a] - worth[option] > best:
            giver, receiver = (i, j) if own[i] > own[j] else (j, i)
            best = float(worth[a] - worth[option])
            witness = {"giver": int(giver), "receiver": int(receiver), "option": int(a),
                       "amount": float(own[giver] - table[giver, a]), "gain": best}  # fmt: skip
    return PigouDalton(available, best, witness)


def pigou_dalton_lottery(
    table: FloatArray, lottery: FloatArray, pairs: Sequence[tuple[int, int]] | None = None
) -> PigouDalton:
    """The same against lotteries: for each pair the largest equalising transfer, by a linear program.

    pairs: (giver, receiver), default all.
    best: the largest amount any pair can still equalise, utility units; at a strictly equality-valuing optimum 0 up to
    rounding.
    """
    from scipy.optimize import linprog

    _require_lottery(table, lottery)
    M, A = table.shape
    for pair in pairs or ():
        for party in pair:
            require_index("pairs", party, M)
    stakes, lottery = _stakes(table), lottery / lottery.sum()
    least = table.min(axis=1)
    apart = table - least[:, None]
    gained = apart @ lottery
    # From the lottery's own utilities, so that a party to whom all options are alike asks for nothing.
    own, over = least + gained, apart - gained[:, None]
    available, best, witness = 0, -np.inf, None
    for i, j in product(range(M), repeat=2) if pairs is None else pairs:
        # Both move by as much, and by no more than the one with less at stake can.
        unit = min(stakes[i], stakes[j])
        most = (own[i] - own[j]) / 2 / unit
        if most > 5 * TOLERANCE:
            move, units = np.zeros((M + 1, 1)), stakes.copy()
            move[i], move[j], units[i], units[j] = 1.0, -1.0, unit, unit
            solved = linprog(
                np.append(np.zeros(A), -1.0),
                A_eq=np.column_stack([np.vstack([over / units[:, None], np.ones(A)]), move]),
                b_eq=np.append(np.zeros(M), 1.0),
                bounds=[(0, None)] * A + [(0, min(most, 1.0))],
                options=_EXACT,
            )
            amount = float(solved.x[-1]) if solved.success else 0.0
            if amount > 10 * TOLERANCE:
                available += 1
                if amount * unit > best:
                    best = amount * unit
                    witness = {"giver": i, "receiver": j, "amount": best, "lottery": solved.x[:A].tolist()}
    return PigouDalton(available, best, witness)


def smallest_share(table: FloatArray, lottery: FloatArray) -> tuple[float, bool]:
    """(the smallest share of its own maximum a party gets, whether the certificate for 1/M holds).

    If max_a sum_m v_m(a) / (V p)_m <= M, then v_m(a) <= M (V p)_m for all: everybody has at least 1/M of the most any
    option gives. The Nash lottery meets it with equality.  [arXiv 2403.05006, section 4.4]

    With an entry below zero the sum says nothing of its terms, and there is no certificate; the share is NaN where that
    of some party is not defined (`welfare.share_of_maximum`).
    """
    _require_lottery(table, lottery)
    utility, most = table @ lottery, table.max(axis=1)
    told = most > 0
    share = float(share_of_maximum(table, utility).min())
    if (table < 0).any() or not told.any():
        return share, not (table < 0).any()
    with np.errstate(divide="ignore"):
        certificate = (table[told] / np.maximum(utility[told], 1e-300)[:, None]).sum(axis=0).max()
    return share, bool(certificate <= told.sum() * (1 + 1e-6))


@dataclass(frozen=True, eq=False)
class Invariance:
    """unchanged: share of trials in which the choice stayed; witness: scales and zeros of the first that changed it."""

    unchanged: float
    witness: dict[str, Any] | None = None


def choice_invariance(
    table: FloatArray,
    choose: Callable[[FloatArray], int],
    stream: Stream,
    *,
    scales: bool = True,
    zeros: bool = True,
    trials: int = 200,
) -> Invariance:
    """Does `choose` (a table (M, A) -> an option) change its mind when a party's utilities are multiplied by c_m in
    [.1, 10] or something in [-1, 1] times the table's size is added to them?  [arXiv 2403.05006, section 4.4]

    Nash from each party's worst option is unchanged by both, Nash from a fixed zero by scales, Utilitarian by zeros.
    """
    _require_table(table)
    require_count("trials", trials)
    M = len(table)
    c = 10.0 ** (2.0 * stream.child("scales").uniforms((trials, M, 1)) - 1.0) if scales else np.ones((trials, M, 1))
    size = float(np.abs(table).max())
    b = size * (2.0 * stream.child("zeros").uniforms((trials, M, 1)) - 1.0) if zeros else np.zeros((trials, M, 1))
    first = choose(table)
    changed = [t for t in range(trials) if choose(c[t] * table + b[t]) != first]
    if not changed:
        return Invariance(1.0)
    t = changed[0]
    witness = {"scales": c[t, :, 0].tolist(), "zeros": b[t, :, 0].tolist(), "from": int(first),
               "to": int(choose(c[t] * table + b[t]))}  # fmt: skip
    return Invariance(1.0 - len(changed) / trials, witness)
