"""Compiled leximin lotteries: one linear program a level, by quantecon's simplex (a vertex solver), in parallel.

Interior-point duals are too blunt to say which parties' levels are final: a loop that trusts them need not end.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST_PARALLEL, INNER
from sim.compiled.simplex import linprog_simplex

# A level already fixed may give way by this much, or rounding makes the next program infeasible.
_SLACK = 1e-12
_ZERO = 1e-9


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


# In one piece: the levels of one simplex, each from the basis the last one left.
@njit(**INNER)
def _leximin(table, p):
    """Raise the lowest level as far as it goes, fix the parties that bind, go on with the others.

    A party with a positive dual binds in every optimum of its program: its level is final. An option with a positive
    reduced cost is in no optimum: it is dropped. Ends when all parties are fixed or one lottery is left. Returns
    (gap, programs): the largest difference of a program's dual bound and the level reached, of a table within [0, 1].
    """
    M, A = table.shape
    level, fixed = np.zeros(M), np.zeros(M, np.bool_)
    kept, n_kept = np.arange(A), A
    gap, programs = 0.0, 0
    p[:] = 0.0
    p[0] = 1.0
    for _ in range(M):
        n_free = M - fixed.sum()
        if n_free == 0:
            break
        cost, upper, limit = np.zeros(n_kept + 1), np.zeros((M, n_kept + 1)), np.zeros(M)
        cost[n_kept] = 1.0
        for m in range(M):
            for j in range(n_kept):
                upper[m, j] = -table[m, kept[j]]
            if fixed[m]:
                limit[m] = _SLACK - level[m]
            else:
                upper[m, n_kept] = 1.0
        equal, one = np.ones((1, n_kept + 1)), np.ones(1)
        equal[0, n_kept] = 0.0
        solved = linprog_simplex(cost, upper, limit, equal, one)
        programs += 1
        if not solved.success:
            return np.inf, programs
        p[:] = 0.0
        total = 0.0
        for j in range(n_kept):
            total += max(solved.x[j], 0.0)
        for j in range(n_kept):
            p[kept[j]] = max(solved.x[j], 0.0) / total
        dual = np.maximum(solved.lambd[:M], 0.0)
        lowest, mass, heaviest = np.inf, 0.0, -1
        for m in range(M):
            if not fixed[m]:
                own = 0.0
                for a in range(A):
                    own += table[m, a] * p[a]
                lowest = min(lowest, own)
                mass += dual[m]
                if heaviest < 0 or dual[m] > dual[heaviest]:
                    heaviest = m
        # sum_free y v(a) + sum_fixed y (v(a) - level) bounds the level of every lottery that keeps the fixed ones.
        bound = 0.0
        score = np.zeros(n_kept)
        for j in range(n_kept):
            for m in range(M):
                gain = table[m, kept[j]] - (level[m] if fixed[m] else 0.0)
                score[j] += dual[m] * gain / mass
            bound = max(bound, score[j])
        gap = max(gap, bound - lowest)
        for m in range(M):
            if not fixed[m] and (m == heaviest or dual[m] > _ZERO * mass):
                fixed[m] = True
                level[m] = lowest
        still = 0
        for j in range(n_kept):
            if score[j] >= bound - _ZERO:
                kept[still] = kept[j]
                still += 1
        n_kept = still
        system, rows = np.ones((M + 1, n_kept)), 1
        for m in range(M):
            if fixed[m]:
                for j in range(n_kept):
                    system[rows, j] = table[m, kept[j]]
                rows += 1
        if _rank(system, rows, n_kept) == n_kept:
            break
    return gap, programs


@njit(**FAST_PARALLEL)
def lotteries(tables, p, gap, programs):
    """Each table's leximin lottery; tables (B, M, A), entries in [0, 1]."""
    for b in prange(tables.shape[0]):
        found = _leximin(tables[b], p[b])
        gap[b], programs[b] = found
