"""Compiled leximin lotteries: linear programs level by level, by quantecon's simplex (a vertex solver), in parallel.

Interior-point duals are too blunt to say which parties' levels are final: a loop that trusts them need not end.

The simplex tells no number from zero that is below 1e-6, so that each program is in units of what is at stake in it:
counted from the level that is reached already, in units of what the level could still rise by at most. Neither a number
added to all utilities nor the size of somebody's who decides nothing then hides what another could gain.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.copies import clear, copy_vector
from sim.compiled.jit import FAST_PARALLEL, INNER
from sim.compiled.simplex import PivOptions, linprog_simplex

# A level already fixed may give way by this much of its stake, or rounding makes the next program infeasible.
_SLACK = 1e-12
# Shares of the duals below it fix nobody, and reduced costs below it drop no option: either waits for a later program.
_ZERO = 1e-7
# What the level may be short of, as a share of the stake and of the level itself; beyond it the program is asked again
# in units of what is missing.
_EXACT = 1e-10
_ROUNDING = 4e-15
# One after the other until one is exact: the rows of the free parties are divided by this power of their largest entry;
# no number below the second is told from 0; and an option that costs somebody more stakes than the third is left out.
_TRIES = ((1.0, 1e-6, 1e300), (1.0, 1e-11, 1e300), (0.5, 1e-11, 1e300), (0.0, 1e-11, 1e300), (0.5, 1e-8, 1e9))
# The common level of a program may come out below the one reached by rounding, and must not be negative.
_MARGIN = 0.25


@njit(**INNER)
def _rank(matrix, rows, columns):
    """Rank of matrix[:rows, :columns] by elimination with full pivoting; destroys it."""
    rank = 0
    while rank < rows and rank < columns:
        best, at, of = 0.0, rank, rank
        for i in range(rank, rows):
            for j in range(rank, columns):
                if abs(matrix[i, j]) > best:
                    best, at, of = abs(matrix[i, j]), i, j
        if best <= 1e-9:
            break
        for j in range(columns):
            matrix[rank, j], matrix[at, j] = matrix[at, j], matrix[rank, j]
        for i in range(rows):
            matrix[i, rank], matrix[i, of] = matrix[i, of], matrix[i, rank]
        for i in range(rank + 1, rows):
            ratio = matrix[i, rank] / matrix[rank, rank]
            for j in range(rank, columns):
                matrix[i, j] -= ratio * matrix[rank, j]
        rank += 1
    return rank


@njit(**INNER)
def _least(table, p, fixed, anchor):
    """(least utility of the parties not fixed, over the anchor; what rounding may have done to it)."""
    lowest, noise = np.inf, 0.0
    for m in range(table.shape[0]):
        if not fixed[m]:
            own, size = 0.0, 0.0
            for a in range(table.shape[1]):
                if p[a] > 0.0:
                    gain = (table[m, a] - anchor) * p[a]
                    own += gain
                    size += abs(gain)
            if own < lowest:
                lowest, noise = own, _ROUNDING * size
    return lowest, noise


@njit(**INNER)
def _most(table, m, kept, anchor):
    """What party m can get at most, over the anchor."""
    most = -np.inf
    for j in range(kept.size):
        most = max(most, table[m, kept[j]] - anchor)
    return most


@njit(**INNER)
def _solve(table, kept, rows, fixed, anchor, reached, stake, how, p):
    """max z s.t. (V p)_m >= z for the free parties, rows p >= 0 for the fixed ones, in units of the stake, counted from
    what is `reached` over the anchor.  rows: (M, kept), of fixed parties. Writes p, and returns (solved, dual (M,))."""
    power, tolerance, ruin = how
    M, n = table.shape[0], kept.size
    cost, upper, limit = np.zeros(n + 1), np.zeros((M, n + 1)), np.zeros(M)
    unit, worst = np.zeros(M), np.zeros(n)
    cost[n] = 1.0
    for m in range(M):
        unit[m] = 1.0
        if fixed[m]:
            for j in range(n):
                upper[m, j] = -rows[m, j]
                worst[j] = min(worst[j], rows[m, j])
            limit[m] = _SLACK
        else:
            size = 1.0
            for j in range(n):
                upper[m, j] = -((table[m, kept[j]] - anchor - reached) / stake + _MARGIN)
                size = max(size, abs(upper[m, j]))
                worst[j] = min(worst[j], -upper[m, j])
            upper[m, n] = 1.0
            unit[m] = size**power
            for j in range(n + 1):
                upper[m, j] /= unit[m]
    equal, one = np.zeros((1, n + 1)), np.zeros(1)
    one[0] = 1.0
    for j in range(n):
        equal[0, j] = 1.0
        if worst[j] < -ruin:
            equal[0, j] = 0.0
            for m in range(M):
                upper[m, j] = 0.0
    solved = linprog_simplex(
        cost, upper, limit, equal, one, 1000 + 50 * (M + n), PivOptions(tolerance, 0.1 * tolerance, 1e-13)
    )
    total = 0.0
    for j in range(n):
        total += max(solved.x[j], 0.0)
    clear(p)
    if solved.success and total > 0.0:
        for j in range(n):
            p[kept[j]] = max(solved.x[j], 0.0) / total
    for m in range(M):
        unit[m] = max(solved.lambd[m], 0.0) / unit[m]
    return solved.success and total > 0.0, unit


@njit(**INNER)
def _scores(table, kept, rows, fixed, anchor, stake, dual):
    """(score (kept,), share (M,)): sum_free y (v(a) - anchor) + sum_fixed y (v(a) - level), the y of the free adding to
    1. The largest score bounds the level, over the anchor, of every lottery that keeps the fixed ones."""
    mass = 0.0
    for m in range(table.shape[0]):
        if not fixed[m]:
            mass += dual[m]
    score, share = np.zeros(kept.size), np.zeros(dual.size)
    if mass > 0.0:
        for m in range(dual.size):
            share[m] = dual[m] / mass
    for j in range(kept.size):
        total = 0.0
        for m in range(table.shape[0]):
            gain = stake * rows[m, j] if fixed[m] else table[m, kept[j]] - anchor
            total += share[m] * gain
        score[j] = total if mass > 0.0 else np.inf
    return score, share


# In one piece: the levels of one simplex, each counted from what the last one reached.
@njit(**INNER)
def _leximin(table, p):
    """Raise the lowest level as far as it goes, fix the parties that bind, go on with the others.

    A party with a positive dual binds in every optimum of its program: its level is final. An option with a positive
    reduced cost is in no optimum: it is dropped. A level that some party cannot exceed by any option needs no program.
    Ends when all parties are fixed or one lottery is left. Returns (first, gap, programs): by how much the first level
    could rise, and the largest share of itself by which any could, both from duality.
    """
    M, A = table.shape
    fixed, anchors, level, unit = np.zeros(M, np.bool_), np.zeros(M), np.zeros(M), np.zeros(M)
    n_fixed, before = 0, np.zeros(M, np.bool_)
    kept = np.empty(A, np.int64)
    first, gap, programs = 0.0, 0.0, 0
    clear(p)
    start, highest = 0, -np.inf
    for a in range(A):
        kept[a] = a
        lowest = np.inf
        for m in range(M):
            lowest = min(lowest, table[m, a])
        if lowest > highest:
            start, highest = a, lowest
    p[start] = 1.0
    tried = np.zeros(A)
    for _ in range(M):
        if n_fixed == M:
            break
        anchor = _least(table, p, fixed, 0.0)[0]
        reached, noise = _least(table, p, fixed, anchor)
        # The most that the party with the least to hope for could get.
        top = np.inf
        for m in range(M):
            if not fixed[m]:
                top = min(top, _most(table, m, kept, anchor))
        noise = max(noise, _ROUNDING * abs(top))
        flat = top - reached <= noise
        rows = np.zeros((M, kept.size))
        for m in range(M):
            if fixed[m]:
                for j in range(kept.size):
                    rows[m, j] = table[m, kept[j]] - anchors[m] - level[m]
                if unit[m] == 0.0:
                    size = 0.0
                    for j in range(kept.size):
                        size = max(size, abs(rows[m, j]))
                    unit[m] = size if size > 0.0 else 1.0
                for j in range(kept.size):
                    rows[m, j] /= unit[m]
        bound, score, share, stake = top, np.zeros(kept.size), np.zeros(M), top - reached
        spread = stake
        for how in _TRIES:
            if flat:
                break
            solved, dual = _solve(table, kept, rows, fixed, anchor, reached, stake, how, tried)
            programs += 1
            if not solved:
                continue
            if _least(table, tried, fixed, anchor)[0] >= reached:
                copy_vector(tried, p)
                # Counted from itself: beside a level far below it the digits of a small one are lost.
                moved = anchor
                anchor = _least(table, p, fixed, 0.0)[0]
                reached, noise = _least(table, p, fixed, anchor)
                bound += moved - anchor
                for j in range(kept.size):
                    score[j] += moved - anchor
            now, shares = _scores(table, kept, rows, fixed, anchor, stake, dual)
            most = -np.inf
            for j in range(kept.size):
                most = max(most, now[j])
            if most <= bound:
                bound, score, share = most, now, shares
            little = max(_EXACT * min(spread, abs(anchor + reached)), noise)
            if bound - reached <= little:
                break
            stake = bound - reached
        missing = max(bound - reached, 0.0)
        if missing <= noise:
            missing = 0.0
        if not n_fixed:
            first = missing
        if missing > 0.0:
            gap = max(gap, missing / max(abs(anchor + reached), 1e-300))
        heaviest = -1
        for m in range(M):
            if not fixed[m] and (heaviest < 0 or share[m] > share[heaviest]):
                heaviest = m
        # Where all was at stake a level far smaller may be given way to by more than it is.
        own_unit = 0.0 if flat else max(min(spread, abs(anchor + reached)), 1e-6 * spread)
        for m in range(M):
            before[m] = fixed[m]
            if not fixed[m]:
                final = _most(table, m, kept, anchor) <= top if flat else m == heaviest or share[m] > _ZERO
                if final:
                    fixed[m], anchors[m], level[m], unit[m] = True, anchor, reached, own_unit
                    n_fixed += 1
        still = 0
        remain = np.empty(kept.size, np.int64)
        for j in range(kept.size):
            if flat:
                stays = True
                for m in range(M):
                    if fixed[m] and not before[m] and table[m, kept[j]] - anchor < reached - noise:
                        stays = False
            else:
                stays = score[j] >= bound - _ZERO * spread
            if stays:
                remain[still] = kept[j]
                still += 1
        kept = remain[:still]
        system, n_rows = np.zeros((M + 1, still)), 1
        for j in range(still):
            system[0, j] = 1.0
        for m in range(M):
            if fixed[m]:
                size = 0.0
                for j in range(still):
                    system[n_rows, j] = table[m, kept[j]] - anchors[m] - level[m]
                    size = max(size, abs(system[n_rows, j]))
                if size > 0.0:
                    for j in range(still):
                        system[n_rows, j] /= size
                n_rows += 1
        if _rank(system, n_rows, still) == still:
            break
    for m in range(M):
        before[m] = True
    for m in range(M):
        # What later programs took from a level that was final; its own party alone is looked at.
        before[m] = False
        own, noise = _least(table, p, before, anchors[m])
        before[m] = True
        short = level[m] - own
        if fixed[m] and short > noise:
            gap, first = max(gap, short / max(abs(anchors[m] + level[m]), 1e-300)), max(first, short)
    return first, gap, programs


@njit(**FAST_PARALLEL)
def lotteries(tables, p, first, gap, programs):
    """Each table's leximin lottery; tables (B, M, A), finite."""
    for b in prange(tables.shape[0]):
        found = _leximin(tables[b], p[b])
        first[b], gap[b], programs[b] = found
