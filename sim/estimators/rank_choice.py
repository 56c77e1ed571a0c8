"""How many directions: information criteria, and the likelihood of answers that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sim.arguments import require_choice, require_count, require_finite, require_same_rows, require_shape
from sim.estimators.low_rank import Method, fit_low_rank, manifold_dimension
from sim.preferences import FloatArray, IntArray

Criterion = Literal["bic", "gic", "aic", "held_out"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


@dataclass(frozen=True, eq=False)
class RankChoice:
    """rank: the one with the least score.  ranks, scores: those tried; twice nats, or held-out nats an answer."""

    rank: int
    ranks: tuple[int, ...]
    scores: FloatArray


def penalty(criterion: Criterion, n: int, d_x: int, d_phi: int) -> float:
    """a_n: bic log n; gic log(log n) log(d_x d_phi); aic 2."""
    require_choice("criterion", criterion, CRITERIA)
    for name, value in (("n", n), ("d_x", d_x), ("d_phi", d_phi)):
        require_count(name, value)
    if criterion == "bic":
        return float(np.log(n))
    if criterion == "gic":
        return float(np.log(np.log(n)) * np.log(d_x * d_phi))
    if criterion == "aic":
        return 2.0
    raise ValueError("criterion held_out has no penalty")


def choose_rank(
    contexts: FloatArray,
    differences: FloatArray,
    ranks: Sequence[int] | None = None,
    criterion: Criterion = "bic",
    *,
    ridge: float = 1e-6,
    method: Method = "quasi_newton",
    fold: IntArray | None = None,
) -> RankChoice:
    """argmin over r of 2 n L_n(Theta_r) + a_n k(r), k(r) = (d_x + d_phi) r - r^2.

    [a generalised criterion is what the authors' sibling paper, arXiv 2404.17592, uses; for arXiv 2412.19436
    reconstructed. At few answers all of them choose too few directions.]
    held_out: mean loss of the answers of one fold under a fit on the others, over the folds; fold (n,) numbers, e.g. by
    annotator, default every fifth answer.
    """
    require_choice("criterion", criterion, CRITERIA)
    require_shape("contexts", contexts, ("n", "d_x"))
    require_shape("differences", differences, ("n", "d_phi"))
    require_same_rows(contexts=contexts, differences=differences, fold=fold)
    require_finite(contexts=contexts, differences=differences)
    n, d_x = contexts.shape
    d_phi = differences.shape[1]
    tried = tuple(range(1, min(d_x, d_phi) + 1)) if ranks is None else tuple(ranks)
    if not tried:
        raise ValueError("ranks must hold at least one: no rank to try")
    for rank in tried:
        require_count("ranks", rank, 1, min(d_x, d_phi))
    scores = []
    if criterion == "held_out":
        own = np.arange(n) % 5 if fold is None else np.asarray(fold)
        for rank in tried:
            total = 0.0
            for number in np.unique(own):
                held = own == number
                theta = fit_low_rank(contexts[~held], differences[~held], rank, ridge=ridge, method=method).theta
                u = ((contexts[held] @ theta) * differences[held]).sum(axis=1)
                total += float(np.logaddexp(0.0, -u).sum())
            scores.append(total / n)
    else:
        a_n = penalty(criterion, n, d_x, d_phi)
        for rank in tried:
            theta = fit_low_rank(contexts, differences, rank, ridge=ridge, method=method).theta
            u = ((contexts @ theta) * differences).sum(axis=1)
            scores.append(2.0 * float(np.logaddexp(0.0, -u).sum()) + a_n * manifold_dimension(d_x, d_phi, rank))
    return RankChoice(tried[int(np.argmin(scores))], tried, np.array(scores))
