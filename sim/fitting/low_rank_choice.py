"""Rank and ridge of rewards that are bilinear in contexts and items, chosen on training annotators held out whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sim.estimators.low_rank import LowRankFit
from sim.fitting.contexts import ContextAnswers, fit_full, fit_of_rank
from sim.fitting.method import Candidate
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.running.threads import one_thread
from sim.streams import Stream
from sim.weighted_means import mean_of, unequal

RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
RANKS = (1, 2, 3, 4, 6, 8, 12)
FOLDS = 3


def ranks_up_to(largest: int) -> tuple[int, ...]:
    """The ranks to try, none above `largest` where that is below 8: the default for types leaves all ranks."""
    return tuple(rank for rank in RANKS if rank <= largest or largest >= 8)


def folds_of(answers: ContextAnswers, stream: Stream) -> IntArray:
    """(n_people,) numbers 0..2 of equal shares of those with answers, -1 for the others."""
    fold = np.full(len(answers.contexts), -1, dtype=np.int64)
    people = np.unique(answers.annotator)
    fold[people[stream.permutation(len(people))]] = np.arange(len(people)) % FOLDS
    return fold


@dataclass(frozen=True)
class LowRankChoice:
    """Everything tried, and what was chosen for the low-rank and for the full fit.

    parsimonious: the smallest rank whose score is within one standard error, over people, of the best.
    low_margins, full_margins: (n,) of each answer by the chosen fit to the other folds' people. None of the three where
    nobody could be held out.
    """

    candidates: tuple[Candidate, ...]
    low: Candidate
    full: Candidate
    parsimonious: int | None = None
    low_margins: FloatArray | None = None
    full_margins: FloatArray | None = None


# One search: ranks start from what the ridges of the full fit have left.
@one_thread()
def choose_low_rank(
    answers: ContextAnswers,
    fold: IntArray,
    ranks: tuple[int, ...],
    ridge: float | None,
    say: Callable[[str], None],
) -> LowRankChoice:
    """Rank and ridge by whole held-out TRAINING people, served from their context alone.

    The full fit tries every ridge, from the strongest down: scores may fall on the way before they rise, as the reward
    common to all (its context is the largest) is free, and overfits, under ridges that hold the rest of Theta at zero.
    Each rank tries the best of them and the one below (the rank already bounds Theta).  ridge: of the low-rank fit,
    None to choose.
    """
    tried = [rank for rank in ranks if rank <= min(answers.contexts.shape[1], answers.differences.shape[1])]
    if len(np.unique(fold[fold >= 0])) < FOLDS:
        # Too few people to hold any out: the smallest rank and a ridge in the middle.
        middle = 0.1
        low = Candidate("low-rank", tried[0], ridge or middle, float("nan"))
        full = Candidate("full-rank", 0, middle, float("nan"))
        return LowRankChoice((low, full), low, full)
    own = fold[answers.annotator]
    kept = [answers.rows(own != number) for number in range(FOLDS)]

    def margins(thetas: list[FloatArray]) -> FloatArray:
        found = np.empty(len(own))
        for number, theta in enumerate(thetas):
            found[own == number] = answers.rows(own == number).margins(theta)
        return found

    def fitted(strength: float, starts: list[FloatArray] | None) -> list[FloatArray]:
        with ThreadPoolExecutor(FOLDS) as pool:
            first: Sequence[FloatArray | None] = starts or [None] * FOLDS
            return list(pool.map(lambda part, start: fit_full(part, strength, start, 1e-7), kept, first))

    def of_ranks(strength: float, starts: list[FloatArray]) -> list[list[FloatArray]]:
        tasks = [(rank, part, start) for rank in tried for part, start in zip(kept, starts, strict=True)]
        with ThreadPoolExecutor(FOLDS) as pool:
            each = list(pool.map(lambda task: fit_of_rank(task[1], task[0], strength, task[2], 1e-7).theta, tasks))
        return [each[first : first + FOLDS] for first in range(0, len(each), FOLDS)]

    found: list[Candidate] = []
    whole: dict[float, list[FloatArray]] = {}
    for strength in reversed(RIDGES):
        whole[strength] = fitted(strength, list(whole.values())[-1] if whole else None)
        held_out = mean_of(log_sigmoid(margins(whole[strength])), answers.given_weights)
        found.append(Candidate("full-rank", 0, strength, held_out))
    best = max(found, key=lambda c: c.held_out)
    say(f"full rank: held-out log-likelihood {best.held_out:.4f} (ridge {best.ridge:g})")
    place = RIDGES.index(best.ridge)
    by_rank: dict[int, tuple[Candidate, FloatArray]] = {}
    for strength in RIDGES[max(place - 1, 0) : place + 1] if ridge is None else (ridge,):
        starts = whole[strength] if strength in whole else fitted(strength, whole[best.ridge])
        for rank, thetas in zip(tried, of_ranks(strength, starts), strict=True):
            crossed = margins(thetas)
            score = mean_of(log_sigmoid(crossed), answers.given_weights)
            candidate = Candidate("low-rank", rank, strength, score)
            found.append(candidate)
            if rank not in by_rank or candidate.held_out > by_rank[rank][0].held_out:
                by_rank[rank] = candidate, crossed
    top, of_top = max(by_rank.values(), key=lambda pair: pair[0].held_out)
    near = (
        candidate.size
        for candidate, crossed in by_rank.values()
        if top.held_out - candidate.held_out
        <= _standard_error(log_sigmoid(of_top) - log_sigmoid(crossed), answers.annotator, answers.given_weights)
    )
    say(f"low rank: held-out log-likelihood {top.held_out:.4f} (rank {top.size}, ridge {top.ridge:g})")
    return LowRankChoice(tuple(found), top, best, min(near), of_top, margins(whole[best.ridge]))


def _standard_error(values: FloatArray, annotator: IntArray, weights: FloatArray | None) -> float:
    """Of the mean of `values`, people independent of each other."""
    counted, gap = unequal(weights), values - mean_of(values, weights)
    own = np.bincount(annotator, weights=gap if counted is None else counted * gap)
    return float(np.sqrt((own**2).sum()) / (len(values) if counted is None else counted.sum()))


@one_thread()
def fit_chosen(answers: ContextAnswers, choice: LowRankChoice) -> tuple[LowRankFit, FloatArray]:
    """(the low-rank fit, the full Theta), each at its own ridge."""
    full = fit_full(answers, choice.full.ridge)
    start = full if choice.low.ridge == choice.full.ridge else fit_full(answers, choice.low.ridge, full)
    return fit_of_rank(answers, choice.low.size, choice.low.ridge, start), full
