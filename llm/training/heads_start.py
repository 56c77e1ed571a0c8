"""Groups of annotators from linear rewards on the base's own features: where EM over adapters begins.

EM over adapters from a random split sits near its start for many expensive rounds. The same EM over linear heads,
r_k(x, y) = <theta_k, f(x, y)> with f the frozen base's hidden state, takes seconds from many starts, and its
responsibilities are a start that already knows the groups, as far as linear rewards can tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.data.answer_sets import AnswerSet
from sim.algorithms.em_log_linear import LogLinearEM, em_log_linear
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray
from sim.streams import Stream

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Strengths tried, in units of an answer's squared length of features."""

# Directions kept of the features: more add noise to heads of a few thousand answers, and time with their square.
_DIRECTIONS = 128


@dataclass(frozen=True, eq=False)
class Features:
    """Of chosen and rejected minus each other: differences (n, d) of the training answers and of those held out (m, d),
    in the leading directions of the training answers' features, their mean squared length one."""

    train: FloatArray
    held_out: FloatArray


@dataclass(frozen=True, eq=False)
class HeadsStart:
    """The best restart of the best ridge.

    responsibilities: (n_annotators, K).  held_out: mean nats a held-out answer at each ridge, None where nothing is
    held out.  penalised: final penalised log-likelihood of every restart, nats, largest first.
    """

    responsibilities: FloatArray
    ridge: float
    held_out: dict[float, float | None]
    penalised: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """For the record; ridges as text."""
        return {
            "ridge": self.ridge,
            "mixture": self.responsibilities.mean(axis=0).tolist(),
            "held_out_log_likelihood": {format(ridge, "g"): value for ridge, value in self.held_out.items()},
            "restart_penalised": list(self.penalised),
        }


def leading_features(
    train: tuple[FloatArray, FloatArray], held_out: tuple[FloatArray, FloatArray], directions: int = _DIRECTIONS
) -> Features:
    """Differences of features of (chosen, rejected), each (n, d), rotated to at most `directions` principal directions.

    Directions keep their size: hidden states vary most in few of them, and the ridge then holds the others back.
    """
    differences = train[0] - train[1]
    _, size, rotation = np.linalg.svd(differences, full_matrices=False)
    kept = rotation[: min(directions, int((size > 1e-10 * max(size[0], 1e-300)).sum()))]
    scale = float(np.sqrt(np.mean((differences @ kept.T) ** 2) * len(kept))) or 1.0
    return Features(differences @ kept.T / scale, (held_out[0] - held_out[1]) @ kept.T / scale)


def heads_start(
    features: Features,
    train: AnswerSet,
    held_out: AnswerSet,
    n_types: int,
    restarts: int,
    stream: Stream,
    ridges: Sequence[float] = RIDGES,
) -> HeadsStart:
    """EM over K linear heads (`em_log_linear`) from `restarts` random splits at each ridge.

    Of the restarts the largest penalised log-likelihood is kept, of the ridges the largest held-out log-likelihood; the
    strongest ridge where nothing is held out.
    """
    fits: dict[float, LogLinearEM] = {}
    scores: dict[float, float | None] = {}
    for ridge in ridges:
        fits[ridge] = em_log_linear(
            features.train, train.pairs.annotator, train.pairs.n_annotators, n_types, weights=train.pairs.weights,
            ridge=ridge, restarts=restarts, stream=stream.child("heads"),
        )  # fmt: skip
        scores[ridge] = _held_out(fits[ridge], features.held_out, held_out) if len(held_out) else None
    known = {ridge: score for ridge, score in scores.items() if score is not None}
    best = max(known, key=lambda ridge: known[ridge]) if known else max(ridges)
    penalised = np.sort(fits[best].restart_penalised)[::-1]
    return HeadsStart(fits[best].responsibilities, best, scores, tuple(penalised.tolist()))


def _held_out(fit: LogLinearEM, differences: FloatArray, answers: AnswerSet) -> float:
    """Mean of log sum_k gamma_ik sigma(<theta_k, difference>) over new answers of known annotators."""
    with np.errstate(divide="ignore"):
        shares = np.log(fit.responsibilities[answers.pairs.annotator])
    return float(np.logaddexp.reduce(shares + log_sigmoid(differences @ fit.theta.T), axis=1).mean())
