"""Answers to fit low-rank rewards to, and the likelihood of rankings."""

import numpy as np

from sim.streams import Stream


def drawn_answers(seed, n, d_x, d_phi, rank, *, norm=1.5, ratio=1.0, kind="plain", weighted=False, shifted=False):
    """(contexts, signed differences, weights, offset) of one draw."""
    rng = Stream(seed, kind).generator()
    u, v = (np.linalg.qr(rng.normal(size=(d, rank)))[0] for d in (d_x, d_phi))
    theta = (u * ratio ** -np.linspace(0, 1, rank)) @ v.T
    x, z = rng.normal(size=(n, d_x)), rng.normal(size=(n, d_phi))
    both = min(d_x, d_phi)
    if kind == "dependent":
        z[:, :both] = 0.6 * z[:, :both] + 0.8 * x[:, :both]
    elif kind == "collinear":
        x[:, -1], z[:, -1] = x[:, 0] - x[:, 1], z[:, 0] + z[:, 1]
    elif kind == "scaled":
        x[:, 0] *= 10
        z[:, d_phi // 2 :] *= 0.1
    elif kind == "one-hot":
        x = np.eye(d_x)[np.sort(rng.integers(0, d_x, n))]
    elif kind == "heavy":
        x, z = rng.standard_t(3, size=x.shape), rng.standard_t(3, size=z.shape)
    offset = rng.normal(size=n) if shifted else np.zeros(n)
    margin = offset + norm / np.linalg.norm(theta) * ((x @ theta) * z).sum(axis=1)
    wins = rng.random(n) < 1 / (1 + np.exp(-np.clip(margin, -300, 300)))
    weights = rng.uniform(0, 2, n) if weighted else np.ones(n)
    return x, np.where(wins[:, None], z, -z), weights, np.where(wins, offset, -offset)


def plackett_luce(u, K):
    """Sum over groups of -log prod_j e^u_j / sum_{l >= j} e^u_l, item by item."""
    return sum(np.logaddexp.reduce(group[j:]) - group[j] for group in u.reshape(-1, K) for j in range(K - 1))
