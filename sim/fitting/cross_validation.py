"""Cross-validation over people: everybody is somebody new once, to a fit that saw none of her answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sim.counted import are, counted
from sim.errors import InputError
from sim.estimators.bootstrap import ANY, GAP, annotator_intervals
from sim.files.atomic import Json
from sim.files.pair_table import SPLITS, PairTable
from sim.fitting.compare import PLAIN, ScoredAfter, held_out_by, numbers_shown, scored_after
from sim.fitting.method import Fits, Say
from sim.fitting.outcomes import coin_of
from sim.fitting.prepare import Prepared
from sim.fitting.scores import Difference, NewAnnotators, Score, score
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import joined, mean_of

# Fewer people nobody trained on than this, and their scores say little.
FEW_PEOPLE = 30
# Two in each of two folds.
LEAST_PEOPLE = 4


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Scores of all annotators as somebody new.

    folds: into how many parts the people fell.  test: method -> score of answers of people who had answered nothing.
    against_common: method -> gain over the common reward, with intervals over people.  new_annotators: the same after
    0, 5, 10, ... answers of theirs, of everybody who has enough for the largest number that all folds can show.
    sizes: method -> what each fold chose.
    """

    folds: int
    test: Mapping[str, Score]
    against_common: Mapping[str, Difference]
    new_annotators: tuple[NewAnnotators, ...]
    sizes: Mapping[str, tuple[int, ...]]

    def as_json(self) -> dict[str, Json]:
        return {
            "folds": self.folds,
            "test": {name: found.as_json() for name, found in self.test.items()},
            "against_pooled": {name: found.as_json() for name, found in self.against_common.items()},
            "new_users": [row.as_json() for row in self.new_annotators],
            "sizes": {name: list(sizes) for name, sizes in self.sizes.items()},
        }


def folds_of(table: PairTable, folds: int, stream: Stream) -> IntArray:
    """(n_annotators,) the fold of everybody, of sizes that differ by one at most; -1 without answers.

    Errors: InputError where the file has a split of its own, or fewer people than two a fold.
    """
    if table.split is not None:
        raise InputError(
            "folds: the file has a split of its own", file=table.source, field="split",
            fix="leave the column out, or the folds",
        )  # fmt: skip
    people = np.flatnonzero(np.bincount(table.annotator, minlength=table.n_annotators))
    if len(people) < 2 * folds:
        raise InputError(
            f"folds: {counted(len(people), 'annotators')} {are(len(people))} too few for {folds}", file=table.source,
            fix="give more annotators, or ask for fewer folds",
        )  # fmt: skip
    fold = np.full(table.n_annotators, -1, dtype=np.int64)
    fold[people[stream.permutation(len(people))]] = np.arange(len(people)) % folds
    return fold


@dataclass(frozen=True, eq=False)
class _Fold:
    """What one fold's fit said of its people's answers: method -> (n,) log-likelihoods and whether right."""

    annotator: IntArray
    weights: FloatArray | None
    scores: Mapping[str, FloatArray]
    right: Mapping[str, FloatArray]
    after: tuple[ScoredAfter, ...]
    sizes: Mapping[str, int]
    common: str


def cross_validated(
    table: PairTable, folds: int, stream: Stream, fitted: Callable[[PairTable], tuple[Prepared, Fits]], say: Say
) -> CrossValidation:
    """`folds` fits, each to the people of all other folds, as `fitted` does it: sizes and ridges are chosen in each.

    A fit here loses no answers to a test of its own.  Intervals are over people and take the fits as given.
    """
    fold, fits_of, own = folds_of(table, folds, stream.child("folds")), [], stream.child("score")
    for number in range(folds):
        codes = np.where(fold[table.annotator] == number, SPLITS.index("unseen"), SPLITS.index("train"))
        fits_of.append(fitted(replace(table, split=codes)))
        say(f"fold {number + 1} of {folds} is fitted")
    # Numbers of answers that every fold can show: each then has everybody who has so many.
    shown = min((numbers_shown(fits, prepared, own) for prepared, fits in fits_of), key=len)
    parts = [_scored(prepared, fits, own, shown) for prepared, fits in fits_of]
    names = [name for name in parts[0].scores if all(name in part.scores for part in parts)]
    who = np.concatenate([part.annotator for part in parts])
    weights = joined([part.weights for part in parts])
    scores = {name: np.concatenate([part.scores[name] for part in parts]) for name in names}
    right = {name: np.concatenate([part.right[name] for part in parts]) for name in names}
    common, key = parts[0].common, stream.child("pooled")
    return CrossValidation(
        folds,
        {name: score(scores[name], who, key, right[name], weights) for name in names},
        {
            name: _gain(scores[name] - scores[common], right[name] - right[common], who, key, weights)
            for name in names if name not in (common, *PLAIN)
        },
        _after(parts, key),
        {name: tuple(part.sizes.get(name, 0) for part in parts) for name in names if name not in PLAIN},
    )  # fmt: skip


def _scored(prepared: Prepared, fits: Fits, stream: Stream, shown: tuple[int, ...]) -> _Fold:
    predicted = {name: held_out_by(method, model, prepared) for name, (method, model) in fits.fitted.items()}
    beside = PLAIN if prepared.is_plain else {"coin": coin_of}
    predicted |= {name: plain(prepared) for name, plain in beside.items()}
    return _Fold(
        prepared.annotator[prepared.unseen],
        prepared.given_weights(prepared.unseen),
        {name: found.unseen_users for name, found in predicted.items()},
        {name: found.right()["unseen_users"] for name, found in predicted.items()},
        scored_after(fits, prepared, stream, shown),
        {name: found.size for name, found in fits.choice.chosen.items()},
        fits.common,
    )


def _gain(gain: FloatArray, right: FloatArray, who: IntArray, stream: Stream, weights: FloatArray | None) -> Difference:
    of_gain, of_right = annotator_intervals(
        [gain, right], who, stream.child("bootstrap"), weights=weights, within=[ANY, GAP]
    )
    return Difference(mean_of(gain, weights), of_gain, mean_of(right, weights), of_right)


def _after(parts: list[_Fold], stream: Stream) -> tuple[NewAnnotators, ...]:
    """The folds' people together."""
    rows = zip(*(part.after for part in parts), strict=True)
    return tuple(ScoredAfter.together(row).summary(parts[0].common, stream, stream) for row in rows)
