"""Compiled sums over a tile of answers: margins, gradient, Hessian; and the small linear solve.

Features come as rows, (d, n) with d a multiple of four (rows of zeros make up the number): four rows at a time
share each load, and a 4 x 4 block of the Hessian stays in registers. Functions `..._of_answers` take answers as they
come, (m, d).
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from sim.compiled.cholesky import factor_in_place, solve_factored
from sim.compiled.jit import INNER

# Columns a pass works on at once: d x 504 doubles stay in the first cache, and 504 * 8 bytes is no multiple
# of 4,096, where all rows would fall into the same cache sets (3.7 times slower).
TILE = 504


def padded(count: int) -> int:
    """The number of rows for `count` features: the next multiple of four."""
    return -(-count // 4) * 4


def row_length(n: int) -> int:
    """Length of a row of n numbers that is no multiple of 4,096 bytes."""
    return n + 8 if n % 512 == 0 else n


# Rows are cut to the tile before a loop: an index `lo + c` might be negative for all numba knows, and the
# wrap-around test it then inserts stops vectorisation (3.5 times slower).


@njit(**INNER)
def take_rows(differences, lo, hi, rows):
    """rows[j, c] = differences[lo + c, j].  Returns 0, or nan where one of them is nan or infinite."""
    m, d, odd = hi - lo, differences.shape[1], 0.0
    whole = m - m % 4
    # Four answers of four features at a time are four loads, shuffled; a column alone is gathered, number by number,
    # which takes four times as long.
    for j in range(0, d - d % 4, 4):
        for block in range(whole // 4):
            c = 4 * block
            for i in range(4):
                row = rows[j + i, c : c + 4]
                x0, x1 = differences[lo + c, j + i], differences[lo + c + 1, j + i]
                x2, x3 = differences[lo + c + 2, j + i], differences[lo + c + 3, j + i]
                row[0], row[1], row[2], row[3] = x0, x1, x2, x3
                odd += 0.0 * x0 + 0.0 * x1 + 0.0 * x2 + 0.0 * x3
    for j in range(d):
        first = whole if j < d - d % 4 else 0
        row, column = rows[j, first:m], differences[lo + first : hi, j]
        for c in range(row.size):
            row[c] = column[c]
            odd += 0.0 * column[c]
    return odd


@njit(**INNER)
def margins_of_answers(x, theta, out):
    """out[c] = <theta, x[c]>, x (m, d) as it comes."""
    for c in range(x.shape[0]):
        own, z = x[c], 0.0
        for j in range(own.size):
            z += theta[j] * own[j]
        out[c] = z


@njit(**INNER)
def add_gradient_of_answers(x, slope, gradient):
    """gradient += sum_c slope[c] x[c]."""
    for c in range(x.shape[0]):
        own, w = x[c], slope[c]
        for j in range(own.size):
            gradient[j] += w * own[j]


@njit(**INNER)
def margins(features, lo, hi, theta, out):
    """out[c] = sum_j theta[j] features[j, lo + c]."""
    m = hi - lo
    for j in range(0, theta.size, 4):
        x0, x1, x2, x3 = features[j, lo:hi], features[j + 1, lo:hi], features[j + 2, lo:hi], features[j + 3, lo:hi]
        t0, t1, t2, t3 = theta[j], theta[j + 1], theta[j + 2], theta[j + 3]
        if j == 0:
            for c in range(m):
                out[c] = t0 * x0[c] + t1 * x1[c] + t2 * x2[c] + t3 * x3[c]
        else:
            for c in range(m):
                out[c] += t0 * x0[c] + t1 * x1[c] + t2 * x2[c] + t3 * x3[c]


@njit(**INNER)
def add_gradient(features, lo, hi, slope, gradient):
    """gradient[j] += sum_c slope[c] features[j, lo + c]."""
    for j in range(0, gradient.size, 4):
        x0, x1, x2, x3 = features[j, lo:hi], features[j + 1, lo:hi], features[j + 2, lo:hi], features[j + 3, lo:hi]
        g0, g1, g2, g3 = 0.0, 0.0, 0.0, 0.0
        for c in range(hi - lo):
            g0 += slope[c] * x0[c]
            g1 += slope[c] * x1[c]
            g2 += slope[c] * x2[c]
            g3 += slope[c] * x3[c]
        gradient[j] += g0
        gradient[j + 1] += g1
        gradient[j + 2] += g2
        gradient[j + 3] += g3


@njit(**INNER)
def _add_corner(rows, curvature, scaled, h, j):
    """The block on the diagonal, its lower half; leaves curvature times the four rows in `scaled`."""
    y0, y1, y2, y3 = rows
    s0, s1, s2, s3 = scaled
    h00, h10, h11, h20, h21, h22 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    h30, h31, h32, h33 = 0.0, 0.0, 0.0, 0.0
    for c in range(y0.size):
        w = curvature[c]
        a0, a1, a2, a3 = w * y0[c], w * y1[c], w * y2[c], w * y3[c]
        s0[c], s1[c], s2[c], s3[c] = a0, a1, a2, a3
        h00 += a0 * y0[c]
        h10 += a1 * y0[c]
        h11 += a1 * y1[c]
        h20 += a2 * y0[c]
        h21 += a2 * y1[c]
        h22 += a2 * y2[c]
        h30 += a3 * y0[c]
        h31 += a3 * y1[c]
        h32 += a3 * y2[c]
        h33 += a3 * y3[c]
    h[j, j] += h00
    h[j + 1, j] += h10
    h[j + 1, j + 1] += h11
    h[j + 2, j] += h20
    h[j + 2, j + 1] += h21
    h[j + 2, j + 2] += h22
    h[j + 3, j] += h30
    h[j + 3, j + 1] += h31
    h[j + 3, j + 2] += h32
    h[j + 3, j + 3] += h33


@njit(**INNER)
def add_block(rows, scaled, h, j, k):
    """A block below the diagonal; four rows of each."""
    x0, x1, x2, x3 = rows
    s0, s1, s2, s3 = scaled
    h00, h01, h02, h03, h10, h11, h12, h13 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    h20, h21, h22, h23, h30, h31, h32, h33 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(x0.size):
        h00 += s0[c] * x0[c]
        h01 += s0[c] * x1[c]
        h02 += s0[c] * x2[c]
        h03 += s0[c] * x3[c]
        h10 += s1[c] * x0[c]
        h11 += s1[c] * x1[c]
        h12 += s1[c] * x2[c]
        h13 += s1[c] * x3[c]
        h20 += s2[c] * x0[c]
        h21 += s2[c] * x1[c]
        h22 += s2[c] * x2[c]
        h23 += s2[c] * x3[c]
        h30 += s3[c] * x0[c]
        h31 += s3[c] * x1[c]
        h32 += s3[c] * x2[c]
        h33 += s3[c] * x3[c]
    for i, row in enumerate(((h00, h01, h02, h03), (h10, h11, h12, h13), (h20, h21, h22, h23), (h30, h31, h32, h33))):
        h[j + i, k] += row[0]
        h[j + i, k + 1] += row[1]
        h[j + i, k + 2] += row[2]
        h[j + i, k + 3] += row[3]


@njit(**INNER)
def add_hessian(features, lo, hi, curvature, scaled, hessian):
    """hessian[j, k] += sum_c curvature[c] features[j, c] features[k, c], k <= j.

    scaled: scratch (4, at least TILE), behind a row as long: what is added up beside it is added up in an order that
    depends on how near its other arrays begin, unless none does.
    """
    m = hi - lo
    s = scaled[0, :m], scaled[1, :m], scaled[2, :m], scaled[3, :m]
    for j in range(0, hessian.shape[0], 4):
        y = features[j, lo:hi], features[j + 1, lo:hi], features[j + 2, lo:hi], features[j + 3, lo:hi]
        _add_corner(y, curvature, s, hessian, j)
        for k in range(0, j, 4):
            x = features[k, lo:hi], features[k + 1, lo:hi], features[k + 2, lo:hi], features[k + 3, lo:hi]
            add_block(x, s, hessian, j, k)


@njit(**INNER)
def solve_in_place(hessian, right):
    """Solve H x = b by Cholesky of the lower triangle, overwriting both; False if H is not positive."""
    if not factor_in_place(hessian):
        return False
    solve_factored(hessian, right)
    return True
