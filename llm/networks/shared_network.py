"""A learned representation that annotators share: a small network where the linear estimator has a matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import mean_of


@dataclass(frozen=True)
class NetworkSettings:
    """hidden: width of the one hidden layer.  epochs: passes over the answers.  decay: of the network's weights."""

    hidden: int = 32
    epochs: int = 30
    batch: int = 512
    rate: float = 3e-3
    decay: float = 1e-4


@dataclass(frozen=True, eq=False)
class NetworkFit:
    """heads (N, k); `represent`: features (M, d) -> psi (M, k), in units of the features' rewards.

    The same members as `sim.estimators.shared_representation.SharedFit`: whatever takes one takes the other.
    """

    heads: FloatArray
    represent: Callable[[FloatArray], FloatArray]
    held_out: tuple[float, ...]

    def rewards(self, features: FloatArray) -> FloatArray:
        """r_i(tau) = <psi(phi(tau)), v_i>; (N, M)."""
        return np.asarray(self.heads @ self.represent(features).T)


def fit_shared_network(
    features: FloatArray,
    chosen: IntArray,
    rejected: IntArray,
    annotator: IntArray,
    n_annotators: int,
    rank: int,
    stream: Stream,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1.0,
    settings: NetworkSettings | None = None,
    held: BoolArray | None = None,
) -> NetworkFit:
    """Minimise -sum w log sigma(offset + <psi(chosen) - psi(rejected), v_i>) + 0.5 ridge sum_i |v_i|^2 by Adam.

    [arXiv 2405.00254, Algorithm 1, step 1, for a general representation]  psi_omega: Linear, tanh, Linear to k, no
    constant at the end (comparisons do not see it).  features: (M, d).  chosen, rejected, annotator: (n,).  held: mask
    of answers kept out, whose mean log-likelihood after each epoch, each as often as its weight says, is in `held_out`.
    """
    # One function on purpose: the start, the tensors and the loop share a dozen names that nothing else needs.
    settings = settings or NetworkSettings()
    rng = torch.Generator().manual_seed(stream.integer_seed())
    d, n = features.shape[1], len(chosen)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream.child("start").integer_seed())
        network: Any = torch.nn.Sequential(
            torch.nn.Linear(d, settings.hidden), torch.nn.Tanh(), torch.nn.Linear(settings.hidden, rank, bias=False)
        )
        heads = torch.nn.Parameter(0.1 * torch.randn(n_annotators, rank))
    table = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
    weight = torch.ones(n) if weights is None else torch.from_numpy(np.asarray(weights, dtype=np.float32))
    margin0 = torch.zeros(n) if offset is None else torch.from_numpy(np.asarray(offset, dtype=np.float32))
    first, second, person = (torch.from_numpy(np.asarray(v, dtype=np.int64)) for v in (chosen, rejected, annotator))
    outside = torch.zeros(n, dtype=torch.bool) if held is None else torch.from_numpy(np.asarray(held, dtype=bool))
    inside = torch.nonzero(~outside & (weight > 0)).flatten()
    optimiser = torch.optim.AdamW(
        [{"params": network.parameters(), "weight_decay": settings.decay}, {"params": [heads], "weight_decay": 0.0}],
        lr=settings.rate,
    )
    total = float(weight[inside].sum())
    counted = None if weights is None else np.asarray(weights, dtype=np.float64)[outside.numpy()]

    def margins(rows: torch.Tensor) -> torch.Tensor:
        psi = network(table[first[rows]]) - network(table[second[rows]])
        return margin0[rows] + (psi * heads[person[rows]]).sum(dim=1)

    trace = []
    for _ in range(settings.epochs):
        for rows in inside[torch.randperm(len(inside), generator=rng)].split(settings.batch):
            loss = -(weight[rows] * torch.nn.functional.logsigmoid(margins(rows))).sum() / weight[rows].sum()
            penalty = 0.5 * ridge * (heads**2).sum() / total
            optimiser.zero_grad()
            (loss + penalty).backward()
            optimiser.step()
        if bool(outside.any()):
            with torch.no_grad():
                rows = torch.nonzero(outside).flatten()
                each = torch.nn.functional.logsigmoid(margins(rows))
                trace.append(mean_of(each.double().numpy(), counted))

    def represent(rows: FloatArray) -> FloatArray:
        with torch.no_grad():
            out = network(torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)))
        return np.asarray(out.double().numpy())

    return NetworkFit(heads.detach().double().numpy().copy(), represent, tuple(trace))
