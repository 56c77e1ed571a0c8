"""The best we could write, or find, without a compiler of our own: what the kernels are measured against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from sim.algorithms.mechanism import Mechanism

Array = NDArray[np.float64]


def sklearn_fits(differences: Array, ridge: float) -> Array:
    """scikit-learn, one fit after the other, by its fastest solver at this size; (B, n, d) -> (B, d)."""
    label = np.arange(differences.shape[1]) % 2
    sign = np.where(label == 1, 1.0, -1.0)[:, None]
    model = LogisticRegression(C=1 / ridge, fit_intercept=False, solver="newton-cholesky", tol=1e-8)
    return np.array([model.fit(sign * own, label).coef_[0] for own in differences])


def numpy_fits(differences: Array, ridge: float, tolerance: float = 1e-8, block: int = 50) -> Array:
    """Newton on blocks of replicates at once by `matmul` and `solve`; blocks that stay in the cache."""
    replicates, n, d = differences.shape
    theta = np.zeros((replicates, d))
    for lo in range(0, replicates, block):
        x, own = differences[lo : lo + block], theta[lo : lo + block]
        x_t = x.transpose(0, 2, 1)
        for _ in range(50):
            wrong = 1 / (1 + np.exp(np.matmul(x, own[..., None])[..., 0]))
            gradient = ridge * own - np.matmul(x_t, wrong[..., None])[..., 0]
            if np.abs(gradient).max() <= tolerance * n:
                break
            hessian = np.matmul(x_t * (wrong * (1 - wrong))[:, None], x) + ridge * np.eye(d)
            own -= np.linalg.solve(hessian, gradient[..., None])[..., 0]
    return theta


def numpy_pairs(
    theta: NDArray[np.float32], out: NDArray[np.float32], annotator: NDArray[np.int64], chunk: int = 2048
) -> None:
    """Bradley-Terry pairs in float32 by chunks that stay in the second cache, SFC64 (NumPy's fastest source)."""
    rng = np.random.Generator(np.random.SFC64(1))
    first, second = np.empty((chunk, theta.shape[1]), np.float32), np.empty((chunk, theta.shape[1]), np.float32)
    for lo in range(0, len(out), chunk):
        x, n = out[lo : lo + chunk], min(chunk, len(out) - lo)
        who = annotator[lo : lo + n] = rng.integers(0, len(theta), n)
        rng.random(out=first, dtype=np.float32)
        rng.random(out=second, dtype=np.float32)
        np.subtract(first[:n], second[:n], out=x)
        x *= np.float32(2)
        margin = np.einsum("nd,nd->n", x, theta[who])
        lost = rng.random(n, dtype=np.float32) >= 1 / (1 + np.exp(-margin))
        x *= np.where(lost, np.float32(-1), np.float32(1))[:, None]


def numpy_em(x: Array, offsets: NDArray[np.int64], gamma: Array, ridge: float, rounds: int) -> tuple[Array, float]:
    """EM for log-linear types, one Newton step an M-step, answers sorted by annotator; (theta, likelihood)."""
    n, d = x.shape
    n_types, lengths = gamma.shape[1], np.diff(np.append(offsets, n))
    theta, mixture, likelihood = np.zeros((n_types, d)), gamma.mean(axis=0), 0.0
    for t in range(-2, rounds + 1):
        margin = x @ theta.T
        e = np.exp(-np.abs(margin))
        if t >= 0:  # the first two steps stay on the given responsibilities
            score = np.minimum(margin, 0) - np.log1p(e)
            joint = np.add.reduceat(score, offsets, axis=0) + np.log(mixture)
            highest = joint.max(axis=1, keepdims=True)
            gamma = np.exp(joint - highest)
            total = gamma.sum(axis=1, keepdims=True)
            likelihood = float((highest + np.log(total)).sum())
            gamma /= total
        if t == rounds:
            break
        mixture = gamma.mean(axis=0)
        weight = np.repeat(gamma, lengths, axis=0)
        wrong = np.where(margin >= 0, e, 1.0) / (1 + e)
        slope = weight * wrong
        curvature = slope * (1 - wrong)
        gradient, mass = slope.T @ x, weight.sum(axis=0)
        for k in range(n_types):
            hessian = (x * curvature[:, k, None]).T @ x + ridge * mass[k] * np.eye(d)
            theta[k] += np.linalg.solve(hessian, gradient[k] - ridge * mass[k] * theta[k])
    return theta, likelihood


def numpy_hedge_batched(games: Array, rounds: int, step: Array) -> tuple[Array, Array]:
    """Optimistic Hedge on all games at once, (B, R, C); averages of both players."""
    n, rows, columns = games.shape
    turned, h = np.ascontiguousarray(games.transpose(0, 2, 1)), step[:, None]
    lw, lp = np.zeros((n, columns)), np.zeros((n, rows))
    w, p = np.full((n, columns), 1 / columns), np.full((n, rows), 1 / rows)
    w_sum, p_sum = np.zeros_like(w), np.zeros_like(p)
    gw_tm1, gp_tm1 = np.matmul(turned, p[..., None])[..., 0], np.matmul(games, w[..., None])[..., 0]
    for _ in range(rounds):
        gw, gp = np.matmul(turned, p[..., None])[..., 0], np.matmul(games, w[..., None])[..., 0]
        lw -= h * (2 * gw - gw_tm1)
        lp += h * (2 * gp - gp_tm1)
        lw -= lw.max(axis=1, keepdims=True)
        lp -= lp.max(axis=1, keepdims=True)
        w, p = np.exp(lw), np.exp(lp)
        w /= w.sum(axis=1, keepdims=True)
        p /= p.sum(axis=1, keepdims=True)
        w_sum += w
        p_sum += p
        gw_tm1, gp_tm1 = gw, gp
    return w_sum / rounds, p_sum / rounds


def numpy_hedge(game: Array, rounds: int, step: float) -> tuple[Array, Array]:
    """The same for one game, the loop a reader of the paper would write."""
    rows, columns = game.shape
    lw, lp = np.zeros(columns), np.zeros(rows)
    w, p = np.full(columns, 1 / columns), np.full(rows, 1 / rows)
    w_sum, p_sum = np.zeros(columns), np.zeros(rows)
    gw_tm1, gp_tm1 = p @ game, game @ w
    for _ in range(rounds):
        gw, gp = p @ game, game @ w
        lw -= step * (2 * gw - gw_tm1)
        lp += step * (2 * gp - gp_tm1)
        lw -= lw.max()
        lp -= lp.max()
        w, p = np.exp(lw), np.exp(lp)
        w /= w.sum()
        p /= p.sum()
        w_sum += w
        p_sum += p
        gw_tm1, gp_tm1 = gw, gp
    return w_sum / rounds, p_sum / rounds


def sklearn_subspaces(differences: Array, rank: int, ridge: float) -> Array:
    """Per-user fits, one after the other, stacked and cut to `rank` by SVD; (B, N, n, d) -> (B, d, rank)."""
    out = []
    for users in differences:
        theta = sklearn_fits(users, ridge)
        out.append(np.linalg.svd(theta, full_matrices=False)[2][:rank].T)
    return np.stack(out)


def scipy_misreports(mechanism: Mechanism, opinions: Array) -> Array:
    """Each annotator's best gain by SciPy's Nelder-Mead from the same four kinds of starts; (B, N, K) -> (B, N)."""
    out = np.zeros(opinions.shape[:2])
    for b, profile in enumerate(opinions):
        for i, truth in enumerate(profile):
            logit = np.log(truth)
            rest = np.log(np.delete(profile, i, axis=0)).mean(axis=0)
            starts = (logit, np.zeros_like(logit), 3 * logit - 2 * rest, np.linspace(1, -1, len(logit)))

            def loss(z: Array, b: int = b, i: int = i) -> float:
                weight = np.exp(np.append(z, 0.0) - max(z.max(), 0.0))
                return -float(mechanism.gain_of(opinions[b], opinions[b], i, weight / weight.sum()))

            found = [minimize(loss, start[:-1] - start[-1], method="Nelder-Mead").fun for start in starts]
            out[b, i] = max(0.0, -min(found))
    return out


def highs_leximin(tables: Array) -> Array:
    """Sequential programs by HiGHS's dual simplex through highspy, rebuilt each level; parties with a positive dual
    are fixed.  (B, M, A) -> sorted utilities (B, M)."""
    import highspy

    found = np.empty(tables.shape[:2])
    for b, table in enumerate(tables):
        M, A = table.shape
        level, fixed = np.zeros(M), np.zeros(M, dtype=bool)
        p = np.zeros(A)
        for _ in range(M):
            if fixed.all():
                break
            solver = highspy.Highs()
            solver.silent()
            columns = np.column_stack([table, -(~fixed).astype(float)])
            lower = np.append(np.where(fixed, level - 1e-9, 0.0), 1.0)
            upper = np.append(np.full(M, highspy.kHighsInf), 1.0)
            rows = np.vstack([columns, np.append(np.ones(A), 0.0)])
            model = highspy.HighsLp()
            model.num_col_, model.num_row_ = A + 1, M + 1
            model.sense_ = highspy.ObjSense.kMaximize
            model.col_cost_ = np.append(np.zeros(A), 1.0)
            model.col_lower_ = np.zeros(A + 1)
            model.col_upper_ = np.full(A + 1, highspy.kHighsInf)
            model.row_lower_, model.row_upper_ = lower, upper
            model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
            model.a_matrix_.start_ = np.arange(M + 2) * (A + 1)
            model.a_matrix_.index_ = np.tile(np.arange(A + 1), M + 1)
            model.a_matrix_.value_ = rows.ravel()
            solver.passModel(model)
            solver.run()
            answer = solver.getSolution()
            p = np.array(answer.col_value[:A])
            dual = np.abs(np.array(answer.row_dual[:M]))
            dual[fixed] = 0.0
            now = ~fixed & (dual > 1e-9)
            if not now.any():
                now = ~fixed & (table @ p <= answer.col_value[A] + 1e-9)
            fixed |= now
            level[now] = answer.col_value[A]
        found[b] = np.sort(table @ p)
    return found


def shared_loss(x: Array, theta: Array) -> Array:
    """Mean negative log-likelihood of signed differences (B, M, n, d) at theta (B, M, d); (B,)."""
    return np.asarray(np.logaddexp(0.0, -np.einsum("bmnd,bmd->bmn", x, theta)).mean(axis=(1, 2)))


def alternating_newton(x: Array, rank: int, sweeps: int = 15) -> Array:
    """Heads by Newton for a fixed subspace, then one Newton step on the subspace, in turn; (B, M, n, d) -> theta."""
    B, M, n, d = x.shape
    out = np.empty((B, M, d))
    for b in range(B):
        own, theta = x[b], np.zeros((M, d))
        for _ in range(6):
            p = 1 / (1 + np.exp(np.einsum("mnd,md->mn", own, theta)))
            hessian = np.einsum("mnd,mn,mne->mde", own, p * (1 - p), own) + 1e-2 * n * np.eye(d)
            gradient = np.einsum("mnd,mn->md", own, p) - 1e-2 * n * theta
            theta += np.linalg.solve(hessian, gradient[..., None])[..., 0]
        u = np.linalg.svd(theta.T, full_matrices=False)[0][:, :rank]
        heads = theta @ u
        for _ in range(sweeps):
            before = u
            for _ in range(6):
                z = own @ u
                p = 1 / (1 + np.exp(np.einsum("mnr,mr->mn", z, heads)))
                hessian = np.einsum("mnr,mn,mns->mrs", z, p * (1 - p), z) + 1e-3 * np.eye(rank)
                gradient = np.einsum("mnr,mn->mr", z, p) - 1e-3 * heads
                heads = heads + np.linalg.solve(hessian, gradient[..., None])[..., 0]
            p = 1 / (1 + np.exp(np.einsum("mnd,md->mn", own, heads @ u.T)))
            gradient = np.einsum("mr,mnd,mn->rd", heads, own, p).ravel()
            blocks = np.einsum("mnd,mn,mne->mde", own, p * (1 - p), own)
            hessian = np.einsum("mr,ms,mde->rdse", heads, heads, blocks).reshape(rank * d, rank * d)
            step = np.linalg.solve(hessian + 1e-6 * n * np.eye(rank * d), gradient)
            u, upper = np.linalg.qr(u + step.reshape(rank, d).T)
            heads = heads @ upper.T
            if np.linalg.norm(before - u @ (u.T @ before)) < 1e-6:
                break
        out[b] = heads @ u.T
    return out
