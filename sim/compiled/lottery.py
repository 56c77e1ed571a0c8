"""Compiled lotteries of largest isoelastic welfare: a primal-dual interior point, many tables in parallel."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.cholesky import factor_in_place, solve_factored
from sim.compiled.copies import copy_vector
from sim.compiled.jit import FAST_PARALLEL, INNER

# Least probability of an action on the way.
_LEAST = 1e-200


@njit(**INNER)
def _utilities(table, p, t):
    """t_m = sum_a table[m, a] p_a."""
    for m in range(table.shape[0]):
        row, total = table[m], 0.0
        for a in range(p.size):
            total += row[a] * p[a]
        t[m] = total


@njit(**INNER)
def _scores(table, weight, out):
    """out_a = sum_m weight_m table[m, a]."""
    for a in range(out.size):
        out[a] = 0.0
    for m in range(table.shape[0]):
        row, w = table[m], weight[m]
        for a in range(out.size):
            out[a] += w * row[a]


@njit(**INNER)
def _marginal(t, alpha, scale, weight):
    """t_m^(alpha - 1), divided by scale^(alpha - 1) so that strong powers stay in range."""
    for m in range(t.size):
        weight[m] = 1.0 / t[m] if alpha == 0.0 else (t[m] / scale) ** (alpha - 1.0)


@njit(**INNER)
def _log_norm(x, power):
    """(1 / power) log sum_m x_m^power; mean of log x, plus log M, at 0 (so that the two agree up to a constant)."""
    top = -np.inf
    total = 0.0
    if power == 0.0:
        for m in range(x.size):
            total += np.log(x[m])
        return total / x.size
    for m in range(x.size):
        top = max(top, power * np.log(x[m]))
    for m in range(x.size):
        total += np.exp(power * np.log(x[m]) - top)
    return (top + np.log(total)) / power


@njit(**INNER)
def certificate(score, y, t, alpha):
    """By how much, relatively, the equivalent utility of any lottery can exceed that of utilities t.

    For every y > 0 and 1 / alpha + 1 / b = 1, Hoelder's inequality reversed is <y, t'> >= |y|_b |t'|_alpha, and <y, t'>
    is at most the largest score_a = sum_m y_m table[m, a] for the t' of any lottery:
    max_a score_a / (|y|_b |t|_alpha) - 1. (Geometric means and a factor M at alpha = 0.)
    """
    best, lowest = 0.0, np.inf
    for a in range(score.size):
        best = max(best, score[a])
    for m in range(t.size):
        lowest = min(lowest, min(t[m], y[m]))
    if not lowest > 0.0:
        return np.inf
    if alpha == 0.0:
        excess = np.log(best) - np.log(y.size) - _log_norm(y, 0.0) - _log_norm(t, 0.0)
    else:
        excess = np.log(best) - _log_norm(y, alpha / (alpha - 1.0)) - _log_norm(t, alpha)
    return max(np.expm1(excess), 0.0)


@njit(**INNER)
def _apply_inverse(table, ratio, gram, right, small, out):
    """out = (diag(1 / ratio) + V' D V)^-1 right by Woodbury, `gram` the factor of D^-1 + V diag(ratio) V'."""
    M, A = table.shape
    for a in range(A):
        out[a] = ratio[a] * right[a]
    _utilities(table, out, small)
    solve_factored(gram, small)
    for m in range(M):
        row, x = table[m], small[m]
        for a in range(A):
            out[a] -= ratio[a] * row[a] * x


@njit(**INNER)
def _step_length(x, dx):
    longest = 1.0
    for a in range(x.size):
        if dx[a] < 0.0:
            longest = min(longest, -x[a] / dx[a])
    return longest


# In one piece: one Newton iteration whose vectors all its lines share.
@njit(**INNER)
def interior_point(table, alpha, tolerance, max_iterations, cautious, p, t):
    """Maximise sum_m t_m^alpha / alpha (log t_m at 0), t = table p, over the simplex; Mehrotra's steps.

    Stationarity: sum_m y_m table[m, a] = lambda - s_a, s >= 0, p s = 0, log y_m = (alpha - 1) log t_m. The weights y
    are variables of their own, tied to t in logarithms: put in as powers of t they explode along a Newton step at
    strongly negative alpha. cautious: shorter steps, closer to the central path. Returns (gap, iterations) of the best
    iterate, which stays in p and t.
    """
    M, A = table.shape
    s, ratio, one, move = np.empty(A), np.empty(A), np.empty(A), np.empty(A)
    dp, ds, score, right = np.empty(A), np.empty(A), np.empty(A), np.empty(A)
    weight, small, own_t = np.empty(M), np.empty(M), np.empty(M)
    gram, scaled = np.empty((M, M)), np.empty(A)
    slack, y, dy = np.empty(M), np.empty(M), np.empty(M)
    q = np.full(A, 1.0 / A)
    copy_vector(q, p)
    _utilities(table, q, own_t)
    copy_vector(own_t, t)
    # One scale for the whole run, or the marginals' powers would change under the dual variables.
    scale = 1.0
    if alpha != 0.0:
        scale = own_t.min()
    _marginal(own_t, alpha, scale, y)
    _scores(table, y, score)
    best = certificate(score, y, t, alpha)
    level = 0.0
    for a in range(A):
        level = max(level, score[a])
    level *= 1.1
    for a in range(A):
        s[a] = level - score[a]
    done = 0
    for iteration in range(max_iterations):
        if best <= tolerance:
            break
        done = iteration + 1
        mu, total = 0.0, 0.0
        for a in range(A):
            mu += q[a] * s[a]
            total += q[a]
        for a in range(A):
            ratio[a] = q[a] / s[a]
        mu /= A
        for m in range(M):
            for a in range(A):
                scaled[a] = table[m, a] * ratio[a]
            for k in range(m + 1):
                row, dot = table[k], 0.0
                for a in range(A):
                    dot += scaled[a] * row[a]
                gram[m, k] = dot
            gram[m, m] += own_t[m] / ((1.0 - alpha) * y[m])
            slack[m] = np.log(y[m]) + (1.0 - alpha) * np.log(own_t[m] / scale)
            weight[m] = y[m] * (1.0 - slack[m])
        if not factor_in_place(gram):
            break
        _scores(table, weight, score)
        for a in range(A):
            right[a] = 1.0
        _apply_inverse(table, ratio, gram, right, small, one)
        ones = one.sum()
        # Predictor (mu = 0), then corrector with the centring it asks for.
        centre = 0.0
        for phase in range(2):
            for a in range(A):
                right[a] = score[a] - level
                if phase == 1:
                    right[a] += (centre - dp[a] * ds[a]) / q[a]
            _apply_inverse(table, ratio, gram, right, small, move)
            d_level = (move.sum() - (1.0 - total)) / ones
            for a in range(A):
                back = 0.0 if phase == 0 else centre - dp[a] * ds[a]
                dp[a] = move[a] - d_level * one[a]
                ds[a] = (back - s[a] * dp[a]) / q[a] - s[a]
            _utilities(table, dp, small)
            for m in range(M):
                dy[m] = -y[m] * (slack[m] + (1.0 - alpha) * small[m] / own_t[m])
            if phase == 0:
                along, across = _step_length(q, dp), min(_step_length(s, ds), _step_length(y, dy))
                after = 0.0
                for a in range(A):
                    after += (q[a] + along * dp[a]) * (s[a] + across * ds[a])
                share = after / A / mu
                centre = mu * max(share * share * share, 0.5 if cautious else 0.0)
        reach = 0.7 if cautious else 0.995
        along, across = reach * _step_length(q, dp), reach * min(_step_length(s, ds), _step_length(y, dy))
        for a in range(A):
            q[a] += along * dp[a]
            s[a] += across * ds[a]
        level += across * d_level
        for m in range(M):
            y[m] += across * dy[m]
        _utilities(table, q, own_t)
        reached = 0.0
        for a in range(A):
            reached += q[a]
        for m in range(M):
            small[m] = own_t[m] / reached
        _scores(table, y, score)
        gap = certificate(score, y, small, alpha)
        if gap < best:
            best = gap
            copy_vector(small, t)
            for a in range(A):
                p[a] = q[a] / reached
    return best, done


@njit(**INNER)
def multiplicative(table, tolerance, max_iterations, p, t):
    """The EM iteration for alpha = 0: p_a <- p_a mean_m table[m, a] / t_m, from p. Returns (gap, iterations)."""
    M, A = table.shape
    weight, score, done = np.empty(M), np.empty(A), 0
    while True:
        _utilities(table, p, t)
        for m in range(M):
            weight[m] = 1.0 / t[m]
        _scores(table, weight, score)
        gap = certificate(score, weight, t, 0.0)
        if gap <= tolerance or done == max_iterations:
            return gap, done
        for a in range(A):
            # What never helps anybody shrinks for ever: held where its products are normal numbers, and can come back.
            p[a] = max(p[a] * score[a] / M, _LEAST)
        done += 1


@njit(**INNER)
def _bold_then_cautious(table, alpha, tolerance, max_iterations, p, t):
    """Called in one place: the compiler copies what is called into each."""
    gap, iterations = np.inf, 0
    for attempt in range(2):
        # The second, for strong powers of utilities close to zero: short steps, well inside.
        most = max_iterations * (1 + 4 * attempt)
        gap, iterations = interior_point(table, alpha, tolerance, most, attempt == 1, p, t)
        if gap <= tolerance:
            break
    return gap, iterations


@njit(**FAST_PARALLEL)
def lotteries(tables, alpha, tolerance, max_iterations, em, p, t, gap, iterations):
    """Each table's lottery; tables (B, M, A) with no row of zeros."""
    for b in prange(tables.shape[0]):
        if em:
            p[b] = 1.0 / p.shape[1]
            found = multiplicative(tables[b], tolerance, max_iterations, p[b], t[b])
        else:
            found = _bold_then_cautious(tables[b], alpha, tolerance, max_iterations, p[b], t[b])
        gap[b], iterations[b] = found
