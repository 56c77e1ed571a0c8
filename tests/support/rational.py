"""Leximin lotteries of small tables in rational arithmetic: no tolerance, no scale, nothing of the code under test."""

from fractions import Fraction


def largest(cost, rows, limits):
    """max cost x s.t. rows x = limits, x >= 0, limits at least 0: Bland's rule in a dense tableau, two phases."""
    m, n = len(rows), len(cost)
    table = [[*rows[i], *(Fraction(i == k) for k in range(m)), limits[i]] for i in range(m)]
    basis = [n + i for i in range(m)]

    def pivot(i, j):
        table[i] = [value / table[i][j] for value in table[i]]
        for k in range(m):
            if k != i and table[k][j]:
                table[k] = [value - table[k][j] * own for value, own in zip(table[k], table[i], strict=True)]
        basis[i] = j

    def rise(worth):
        def gain(j):
            return worth[j] - sum(worth[basis[i]] * table[i][j] for i in range(m))

        while (enter := next((j for j in range(n) if j not in basis and gain(j) > 0), None)) is not None:
            ratios = [(table[i][-1] / table[i][enter], basis[i], i) for i in range(m) if table[i][enter] > 0]
            pivot(min(ratios)[2], enter)

    rise([Fraction(0)] * n + [Fraction(-1)] * m)
    assert all(basis[i] < n or table[i][-1] == 0 for i in range(m)), "no solution"
    for i in range(m):
        if basis[i] >= n and any(table[i][:n]):
            pivot(i, next(j for j in range(n) if table[i][j]))
    rise([*cost, *[Fraction(0)] * m])
    return sum((cost[basis[i]] * table[i][-1] for i in range(m) if basis[i] < n), Fraction(0))


def leximin_levels(table):
    """Each party's utility (M,) in the leximin lottery of the table's floats (M, A), as fractions: the lowest level is
    raised, and who cannot have more by a program of his own stays."""
    gains = [[Fraction(float(value)) for value in row] for row in table]
    M, A = len(gains), len(gains[0])
    low = min(min(row) for row in gains)
    gains = [[value - low for value in row] for row in gains]
    level = {}

    def program(cost, floor, raised):
        """max cost (p, z), (V p)_m - slack_m = level_m of the final ones, and z or the floor of the others."""
        rows = [[*gains[m], Fraction(-(raised and m not in level)), *(Fraction(-(k == m)) for k in range(M))]
                for m in range(M)]  # fmt: skip
        limits = [level.get(m, floor) for m in range(M)]
        total = [*[Fraction(1)] * A, *[Fraction(0)] * (1 + M)]
        return largest([*cost, *[Fraction(0)] * M], [*rows, total], [*limits, Fraction(1)])

    while len(level) < M:
        reached = program([*[Fraction(0)] * A, Fraction(1)], Fraction(0), True)
        free = [m for m in range(M) if m not in level]
        final = [m for m in free if program([*gains[m], Fraction(0)], reached, False) == reached]
        level.update(dict.fromkeys(final, reached))
    return [level[m] + low for m in range(M)]
