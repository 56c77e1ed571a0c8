"""The estimators `pluralign fit` compares, all with the same weights, ridge grid and shrinkage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.algorithms.cluster_dpo import k_means, mean_chosen_features
from sim.algorithms.em_log_linear import EXACT, em_log_linear, responsibilities_of
from sim.algorithms.model_selection import bic, n_mixture_parameters, predictive_log_likelihood
from sim.fitting.prepare import Prepared, effective_weights, hold_out
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream

RIDGES = (0.003, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, eq=False)
class TypeModel:
    """theta (K, d), mixture (K,), responsibilities (n_annotators, K) (the mixture for annotators without answers).

    log_likelihood: observed, effective answers, nats.  restarts: final objective of each, best first.
    """

    theta: FloatArray
    mixture: FloatArray
    responsibilities: FloatArray
    log_likelihood: float
    ridge: float
    largest_margin: float
    restart_penalised: FloatArray
    trace: FloatArray

    @property
    def n_types(self) -> int:
        return len(self.mixture)


def _finish(
    prepared: Prepared, rows: BoolArray, theta: FloatArray, mixture: FloatArray, weight: FloatArray
) -> FloatArray:
    return responsibilities_of(
        theta, mixture, prepared.differences[rows], prepared.annotator[rows], prepared.n_annotators, weight[rows]
    )


def fit_types(
    prepared: Prepared,
    rows: BoolArray,
    n_types: int,
    ridge: float,
    centre: FloatArray | None,
    restarts: int,
    stream: Stream,
    weight: FloatArray | None = None,
) -> TypeModel:
    """EM-DPO (K = 1: pooled DPO) on the masked answers; types shrink to `centre`, pooled to zero.

    weight: (n,), the answers' effective weights if None.
    """
    weight = effective_weights(prepared.table, rows) if weight is None else weight
    own = np.unique(prepared.annotator[rows])
    number = np.full(prepared.n_annotators, -1)
    number[own] = np.arange(len(own))
    fitted = em_log_linear(
        prepared.differences[rows],
        number[prepared.annotator[rows]],
        len(own),
        n_types,
        weight=weight[rows],
        ridge=ridge,
        restarts=restarts,
        max_rounds=200,
        tolerance=1e-6,
        centre=centre,
        stream=stream,
    )
    order = np.argsort(-fitted.mixture, kind="stable")
    theta, mixture = fitted.theta[order], fitted.mixture[order]
    return TypeModel(
        theta=theta,
        mixture=mixture,
        responsibilities=_finish(prepared, rows, theta, mixture, weight),
        log_likelihood=fitted.log_likelihood,
        ridge=ridge,
        largest_margin=fitted.largest_margin,
        restart_penalised=np.sort(fitted.restart_penalised)[::-1],
        trace=fitted.trace,
    )


def fit_plain_pooled(prepared: Prepared, ridges: tuple[float, ...], stream: Stream) -> TypeModel:
    """Pooled DPO as it is usually run: every answer counts the same, ridge by the same validation.

    Effective weights cost a single policy for everybody a little; a comparison should meet its stronger form too.
    """
    whole = np.ones(len(prepared.annotator)) if prepared.table.weight is None else prepared.table.weight
    kept, held = hold_out(prepared.table, prepared.train, 1 / 3, stream.child("validation"))
    best = ridges[len(ridges) // 2]
    if kept.any() and held.any():
        models = [fit_types(prepared, kept, 1, ridge, None, 1, stream, whole) for ridge in ridges]
        means = [answer_scores(model, prepared, held, model.responsibilities).mean() for model in models]
        best = ridges[int(np.argmax(means))]
    return fit_types(prepared, prepared.train, 1, best, None, 1, stream, whole)


def fit_clusters(
    prepared: Prepared, rows: BoolArray, n_types: int, ridge: float, centre: FloatArray | None, stream: Stream
) -> TypeModel:
    """Cluster-DPO: k-means on each annotator's mean chosen features, then one weighted fit a cluster."""
    weight = effective_weights(prepared.table, rows)
    own = np.unique(prepared.annotator[rows])
    number = np.full(prepared.n_annotators, -1)
    number[own] = np.arange(len(own))
    annotator = number[prepared.annotator[rows]]
    points = mean_chosen_features(prepared.features[prepared.table.chosen[rows]], annotator, len(own))
    labels, _ = k_means(points, n_types, stream)
    one_hot = np.eye(n_types)[labels]
    # No EM round: the M-step of the given assignment alone, with the same ridge and centre as EM's.
    fitted = em_log_linear(
        prepared.differences[rows],
        annotator,
        len(own),
        n_types,
        weight=weight[rows],
        ridge=ridge,
        start=one_hot[None],
        max_rounds=0,
        newton_steps=EXACT,
        centre=centre,
    )
    mixture = one_hot.mean(axis=0)
    responsibilities = np.tile(mixture, (prepared.n_annotators, 1))
    responsibilities[own] = one_hot
    order = np.argsort(-mixture, kind="stable")
    return TypeModel(
        theta=fitted.theta[order],
        mixture=mixture[order],
        responsibilities=responsibilities[:, order],
        log_likelihood=fitted.log_likelihood,
        ridge=ridge,
        largest_margin=fitted.largest_margin,
        restart_penalised=fitted.restart_penalised,
        trace=fitted.trace,
    )


def answer_scores(model: TypeModel, prepared: Prepared, rows: BoolArray, responsibilities: FloatArray) -> FloatArray:
    """log sum_k gamma_ik sigma(<theta_k, d_j>) of the masked answers; (rows,), nats."""
    return predictive_log_likelihood(
        model.theta, responsibilities, prepared.differences[rows], prepared.annotator[rows]
    )


@dataclass(frozen=True)
class Candidate:
    """One (K, ridge) and its mean log-likelihood on held-out items of training answers."""

    n_types: int
    ridge: float
    held_out: float


@dataclass(frozen=True)
class Selection:
    """Every candidate tried, and the best ridge for each K and for clusters."""

    candidates: tuple[Candidate, ...]
    clusters: tuple[Candidate, ...]

    def best(self, n_types: int | None = None) -> Candidate:
        tried = [c for c in self.candidates if n_types is None or c.n_types == n_types]
        # A size that the people left in the validation split could not be divided into takes the best ridge of all.
        return max(tried or self.candidates, key=lambda c: c.held_out)

    def best_clusters(self) -> Candidate:
        return max(self.clusters, key=lambda c: c.held_out)


def select(
    prepared: Prepared,
    sizes: tuple[int, ...],
    ridges: tuple[float, ...],
    cluster_size: int | None,
    stream: Stream,
    on_progress: Callable[[str], None] | None = None,
) -> Selection:
    """Try every number of types and ridge on a split of the TRAINING answers (test answers are never read).

    A third of each annotator's items is held out. Types shrink to the pooled fit, whose ridge comes first. The search
    over K stops after two sizes in a row that do worse than the best so far.
    cluster_size: also tune Cluster-DPO's ridge at this K (None: at the best K found).
    """
    kept, held = hold_out(prepared.table, prepared.train, 1 / 3, stream.child("validation"))
    if not held.any() or not kept.any():
        # Too little to hold anything out: the middle of the grid, and one type unless another number was asked for.
        untried = tuple(Candidate(K, ridges[len(ridges) // 2], float("nan")) for K in (1, *sizes))
        return Selection(untried, untried[-1:])

    def score(model: TypeModel) -> float:
        return float(answer_scores(model, prepared, held, model.responsibilities).mean())

    began = time.monotonic()
    tried: list[Candidate] = []
    centre: FloatArray | None = None
    n_kept = len(np.unique(prepared.annotator[kept]))
    best_by_size: dict[int, float] = {}
    for K in (1, *[K for K in sizes if K > 1]):
        if n_kept < K:
            break
        models = {}
        for ridge in ridges:
            model = fit_types(prepared, kept, K, ridge, centre, 3, stream.child(f"select/{K}"))
            models[ridge] = model
            tried.append(Candidate(K, ridge, score(model)))
        best_by_size[K] = max(c.held_out for c in tried if c.n_types == K)
        if K == 1:
            centre = models[max((c for c in tried), key=lambda c: c.held_out).ridge].theta[0]
        if on_progress is not None:
            # A fit costs about as much as it has types.
            spent, ahead = time.monotonic() - began, sum(size for size in sizes if size > K)
            left = spent * ahead / sum(best_by_size)
            on_progress(f"{K} types: held-out log-likelihood {best_by_size[K]:.4f} (at most about {left:.0f} s left)")
        last = [best_by_size[k] for k in list(best_by_size)[-2:]]
        if len(best_by_size) > 3 and all(value < max(best_by_size.values()) for value in last):
            break
    top = max(tried, key=lambda c: c.held_out)
    size = min(cluster_size or max(top.n_types, 2), n_kept)
    clusters = tuple(
        Candidate(size, ridge, score(fit_clusters(prepared, kept, size, ridge, centre, stream.child("k-means"))))
        for ridge in ridges
    )
    return Selection(tuple(tried), clusters)


def type_bic(model: TypeModel, prepared: Prepared) -> float:
    """BIC with the effective number of answers."""
    rank = int(np.linalg.matrix_rank(prepared.differences[prepared.train]))
    answers = int(np.clip(prepared.weight.sum(), 1, 2**62))
    return bic(model.log_likelihood, n_mixture_parameters(rank, model.n_types), answers)
