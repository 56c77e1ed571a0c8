"""Held-out scores with intervals over annotators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sim.algorithms.em_log_linear import responsibilities_of
from sim.estimators.bootstrap import cluster_interval
from sim.fitting.models import TypeModel, answer_scores
from sim.fitting.prepare import Prepared, effective_weights, hold_out
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream

COIN = float(np.log(0.5))
# Answers of a new annotator that are shown, and how many must be left to score her on.
SHOWN = (0, 5, 10, 20, 40)
LEAST_RESERVED = 5


def hits(scores: FloatArray) -> FloatArray:
    """1 where the observed answer had more than an even chance, 1/2 at exactly even odds."""
    return np.where(np.abs(scores - COIN) < 1e-12, 0.5, (scores > COIN).astype(np.float64))


def score_fields(scores: FloatArray, cluster: Any, stream: Stream) -> dict[str, Any]:
    """n_pairs, n_annotators, accuracy and mean log-likelihood (nats a pair), with 95 % intervals over annotators."""
    if len(scores) == 0:
        return {
            "n_pairs": 0,
            "n_annotators": 0,
            "accuracy": None,
            "accuracy_interval": None,
            "log_likelihood": None,
            "log_likelihood_interval": None,
        }
    right = hits(scores)
    return {
        "n_pairs": len(scores),
        "n_annotators": len(np.unique(cluster)),
        "accuracy": float(right.mean()),
        "accuracy_interval": finite(cluster_interval(right, cluster, stream.child("bootstrap"))),
        "log_likelihood": float(scores.mean()),
        "log_likelihood_interval": finite(cluster_interval(scores, cluster, stream.child("bootstrap"))),
    }


def finite(interval: tuple[float, float]) -> list[float] | None:
    """JSON has no infinity: an interval nobody can give is null."""
    return list(interval) if np.isfinite(interval).all() else None


def predictions(model: TypeModel | None, prepared: Prepared) -> dict[str, FloatArray]:
    """Log-likelihood of each answer: known users by their own responsibilities, unseen users by the mixture.

    model None: a coin.
    """
    masks = {"known_users": prepared.test, "unseen_users": prepared.unseen}
    if model is None:
        return {name: np.full(int(mask.sum()), COIN) for name, mask in masks.items()}
    prior = np.tile(model.mixture, (prepared.n_annotators, 1))
    return {
        "known_users": answer_scores(model, prepared, prepared.test, model.responsibilities),
        "unseen_users": answer_scores(model, prepared, prepared.unseen, prior),
    }


def length_predictions(prepared: Prepared) -> dict[str, FloatArray]:
    """ "The longer response wins", with the share of training answers where that is so (ties: even odds)."""
    size = np.array([len(label) for label in prepared.table.items])
    longer = np.sign(size[prepared.table.chosen] - size[prepared.table.rejected])
    train = longer[prepared.train]
    wins, losses = (train > 0).sum(), (train < 0).sum()
    share = (wins + 1) / (wins + losses + 2)
    chance = np.where(longer > 0, share, np.where(longer < 0, 1 - share, 0.5))
    return {"known_users": np.log(chance[prepared.test]), "unseen_users": np.log(chance[prepared.unseen])}


def both_sets(scores: dict[str, FloatArray], prepared: Prepared, stream: Stream) -> dict[str, Any]:
    """`score_fields` of known and unseen users."""
    clusters = {"known_users": prepared.annotator[prepared.test], "unseen_users": prepared.annotator[prepared.unseen]}
    return {name: score_fields(scores[name], clusters[name], stream) for name in clusters}


def differences(
    ours: dict[str, FloatArray], other: dict[str, FloatArray], prepared: Prepared, stream: Stream
) -> dict[str, Any]:
    """Ours minus the other's, answer by answer, with paired intervals over annotators."""
    clusters = {"known_users": prepared.annotator[prepared.test], "unseen_users": prepared.annotator[prepared.unseen]}
    out: dict[str, Any] = {}
    for name, cluster in clusters.items():
        gain, right = ours[name] - other[name], hits(ours[name]) - hits(other[name])
        if len(gain) == 0:
            continue
        out[name] = {
            "log_likelihood": float(gain.mean()),
            "log_likelihood_interval": finite(cluster_interval(gain, cluster, stream.child("bootstrap"))),
            "accuracy": float(right.mean()),
            "accuracy_interval": finite(cluster_interval(right, cluster, stream.child("bootstrap"))),
        }
    return out


def reserve_new_users(
    prepared: Prepared, stream: Stream, shown: tuple[int, ...], least: int
) -> tuple[tuple[int, ...], BoolArray, Callable[[int], BoolArray]]:
    """(numbers that can be shown, reserved answers, mask of the first s answers of everybody) for unseen annotators.

    Where items recur, answers are reserved about items none of her shown answers is about: two answers about one film
    share its noise, which a flexible method would learn and be rewarded for. The same annotators (with enough to show
    and at least `least` reserved) and the same reserved answers for every number shown.
    """
    kept, held = hold_out(prepared.table, prepared.unseen, 0.4, stream.child("reserve"))
    rows = np.flatnonzero(kept)
    rows = rows[np.lexsort((stream.uniforms(len(rows)), prepared.annotator[rows]))]
    person, n = prepared.annotator[rows], prepared.n_annotators
    counts, reserved = np.bincount(person, minlength=n), np.bincount(prepared.annotator[held], minlength=n)
    steps = list(shown)
    while steps and not ((counts >= max(steps[-1], 1)) & (reserved >= least)).any():
        steps.pop()
    fit_for = (counts >= max(steps[-1], 1) if steps else counts < 0) & (reserved >= least)
    place = np.arange(len(rows)) - np.concatenate([[0], np.cumsum(counts)])[person]

    def first(s: int) -> BoolArray:
        seen: BoolArray = np.zeros(len(prepared.annotator), dtype=np.bool_)
        seen[rows[fit_for[person] & (place < s)]] = True
        return seen

    return tuple(steps), held & fit_for[prepared.annotator], first


def few_shot(model: TypeModel, pooled: TypeModel, prepared: Prepared, stream: Stream) -> list[dict[str, Any]]:
    """Unseen users after 5, 10, 20 and 40 of their own answers: posterior over types from these, scored on others.

    See `reserve_new_users` for which.
    """
    steps, rest, first = reserve_new_users(prepared, stream, SHOWN, LEAST_RESERVED)
    if len(steps) < 2:
        return []
    base = answer_scores(pooled, prepared, rest, pooled.responsibilities)
    out = []
    for shown in steps:
        seen = first(shown)
        gamma = np.tile(model.mixture, (prepared.n_annotators, 1))
        if shown:
            weight = effective_weights(prepared.table, seen)
            gamma = responsibilities_of(
                model.theta,
                model.mixture,
                prepared.differences[seen],
                prepared.annotator[seen],
                prepared.n_annotators,
                weight[seen],
            )
        scores = answer_scores(model, prepared, rest, gamma)
        gain = scores - base
        interval = cluster_interval(gain, prepared.annotator[rest], stream.child("bootstrap"))
        out.append(
            {
                "answers_shown": shown,
                **score_fields(scores, prepared.annotator[rest], stream),
                "gain_over_pooled": float(gain.mean()),
                "gain_over_pooled_interval": finite(interval),
            }
        )
    return out
