"""What answers are to a likelihood: choices with features, several an answer where it is a ranking or a rating.

Every kind of answer becomes choices out of sets (`sim.choice_sets`), so that one kernel and one formula serve all:

- a choice out of J: one, with J - 1 rows;
- a ranking: one for each place, out of those not yet placed (Plackett-Luce);
- a tie, by Davidson (1970): P(tie) / sqrt(P(a) P(b)) = e^nu, a third alternative half way between the two with a
  constant of its own; nu is one more coefficient, each type's or annotator's own, named `tie`;
- a level of an ordered scale: see `sim.answer_kinds.levels`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.choice_sets import ChoiceSets, choice_log_likelihood
from sim.files.pair_table import NONE_OF_THEM, Offered, PairTable
from sim.preferences import BoolArray, FloatArray, IntArray

TIE = "tie"


@dataclass(frozen=True, eq=False)
class Events:
    """E choices that n answers are made of.

    rows: (m, d) features of the taken minus each other alternative.  starts: (E + 1,) rows of each choice.
    answer: (E,) the answer it is part of, ascending.  weight: (E,) of that answer's weight.  offset: (m,) margins given
    from elsewhere.  constant: (n,) what is added to each answer's log-likelihood.  whole: whether an answer is right as
    far as all of its choices are, not the first.  pull: (n, d) the features that each answer speaks for, where that is
    not the mean of its rows.
    """

    rows: FloatArray
    starts: IntArray
    answer: IntArray
    weight: FloatArray
    offset: FloatArray
    constant: FloatArray
    whole: bool = False
    pull: FloatArray | None = None

    @property
    def answer_of_row(self) -> IntArray:
        """(m,) the answer that each row belongs to."""
        return np.repeat(self.answer, np.diff(self.starts))

    def of(self, rows: BoolArray) -> Events:
        """Those of the masked answers (n,), which get the numbers 0, 1, ..."""
        place = np.cumsum(rows) - 1
        kept, sizes = rows[self.answer], np.diff(self.starts)
        of_rows = np.repeat(kept, sizes)
        return Events(
            self.rows[of_rows], np.concatenate([[0], np.cumsum(sizes[kept])]), place[self.answer[kept]],
            self.weight[kept], self.offset[of_rows], self.constant[rows], self.whole,
            None if self.pull is None else self.pull[rows],
        )  # fmt: skip

    def folded(self, margins: FloatArray) -> FloatArray:
        """Log-likelihoods of answers from margins (m, ...) of rows, without their offsets; (n, ...), nats."""
        offset = self.offset.reshape(-1, *[1] * (margins.ndim - 1))
        found = choice_log_likelihood(margins + offset, self.starts)
        found = found * self.weight.reshape(-1, *[1] * (margins.ndim - 1))
        total = np.add.reduceat(found, self.first, axis=0) if len(self.constant) else found
        return np.asarray(total + self.constant.reshape(-1, *[1] * (margins.ndim - 1)))

    def choices(
        self, annotator: IntArray, n_annotators: int, weights: FloatArray, offset: FloatArray | None = None
    ) -> ChoiceSets:
        """For the estimators; annotator, weights: (n,) of the answers.  offset: (m,) more margins of rows."""
        return ChoiceSets(
            self.rows, self.starts, annotator[self.answer], n_annotators, weights[self.answer] * self.weight,
            self.offset if offset is None else self.offset + offset,
        )  # fmt: skip

    def pulls(self) -> FloatArray:
        """(n, d) the features that each answer speaks for: the taken minus the others, on average."""
        if self.pull is not None:
            return self.pull
        first = np.searchsorted(self.answer_of_row, np.arange(len(self.constant)))
        sizes = np.bincount(self.answer_of_row, minlength=len(self.constant))
        return np.asarray(np.add.reduceat(self.rows, first, axis=0) / sizes[:, None])

    @property
    def first(self) -> IntArray:
        """(n,) the first choice of each answer."""
        return np.searchsorted(self.answer, np.arange(len(self.constant)))

    def apart(self, choices: slice) -> Events:
        """These choices, each as an answer of its own."""
        firsts, lasts = self.starts[:-1][choices], self.starts[1:][choices]
        rows, n = slice(firsts[0], lasts[-1]), len(firsts)
        return Events(
            self.rows[rows], np.append(firsts, lasts[-1]) - firsts[0], np.arange(n), np.ones(n), self.offset[rows],
            np.zeros(n),
        )  # fmt: skip

    def outcome(self, number: int) -> tuple[Events, BoolArray]:
        """The first choice of each answer as if alternative `number` of its set had been taken (0: the one that was),
        and which answers have so many alternatives."""
        first = self.first
        sizes = np.diff(self.starts)[first]
        possible = number <= sizes
        starts = np.concatenate([[0], np.cumsum(sizes)])
        at = np.repeat(self.starts[first] - starts[:-1], sizes) + np.arange(starts[-1])
        rows, offset = self.rows[at], self.offset[at]
        if number > 0:
            # x_j - x_i = (x_0 - x_i) - (x_0 - x_j); against the one that was taken, x_j - x_0.
            own = np.minimum(starts[:-1] + number - 1, starts[1:] - 1)
            taken = np.repeat(own, sizes)
            rows, offset = rows - rows[taken], offset - offset[taken]
            rows[own], offset[own] = -self.rows[at][own], -self.offset[at][own]
        n = len(first)
        return Events(rows, starts, np.arange(n), np.ones(n), offset, np.zeros(n)), possible


def chances_by_coin(events: Events) -> FloatArray:
    """Log-likelihood of each answer where all alternatives are as likely; (n,)."""
    found = -np.log1p(np.diff(events.starts)) * events.weight
    return np.bincount(events.answer, found, len(events.constant)).astype(np.float64)


def events_of(
    table: PairTable, features: FloatArray, *, davidson: bool = False, none: bool | None = None
) -> tuple[Events, tuple[str, ...]]:
    """The answers of a table with offered sets, or of pairs some of which tie, over (n_items, d) features; and the
    names of coefficients beyond those of features.

    davidson: whether ties are an outcome of choices between two; else ties must be gone.  none: whether taking none of
    those offered is, by a constant of its own; by default where somebody did.
    """
    own = table.offered
    if own is None:
        n = len(table)
        tie = np.zeros(n, dtype=np.bool_) if table.tie is None else table.tie
        own = Offered(np.arange(n), table.chosen, np.arange(n + 1), table.rejected, np.ones(n), tie)
    sizes = np.diff(own.starts)
    rows, starts = features[np.repeat(own.taken, sizes)] - features[own.others], own.starts
    names: tuple[str, ...] = ()
    if none or (none is None and own.none >= 0):
        rows, starts, names = *_with_none(rows, own, features), (NONE_OF_THEM,)
    if davidson:
        rows, starts = _with_ties(rows, starts, own.tie)
        names = (*names, TIE)
    events = Events(
        rows, starts.astype(np.int64), own.answer, own.weight, np.zeros(len(rows)), np.zeros(len(table)),
        table.answers == "ratings",
    )  # fmt: skip
    return events, names


def tie_events(differences: FloatArray, tie: BoolArray) -> Events:
    """Pairs that may tie: the first of each taken, or neither where `tie` (n,).  differences: (n, d), without the
    constant of a tie, whose column comes last."""
    n = len(differences)
    rows, starts = _with_ties(differences, np.arange(n + 1), tie)
    return Events(rows, starts, np.arange(n), np.ones(n), np.zeros(len(rows)), np.zeros(n))


def _with_none(rows: FloatArray, own: Offered, features: FloatArray) -> tuple[FloatArray, IntArray]:
    """Sets with none of those offered among the alternatives, worth a constant and nothing else."""
    sizes = np.diff(own.starts)
    wide = np.zeros((len(rows), rows.shape[1] + 1))
    wide[:, :-1] = rows
    if own.none >= 0:
        wide[:, -1] = np.repeat(own.taken == own.none, sizes) * 1.0 - (own.others == own.none)
        return wide, own.starts
    # Nobody took it here: one more row a choice, the taken minus none.
    last = np.pad(features[own.taken], ((0, 0), (0, 1)))
    last[:, -1] = -1.0
    return np.insert(wide, own.starts[1:], last, axis=0), own.starts + np.arange(len(own.starts))


def _with_ties(rows: FloatArray, starts: IntArray, tie: BoolArray) -> tuple[FloatArray, IntArray]:
    """Choices between two, each with a third alternative half way between the two and a constant of its own."""
    d = rows.shape[1]
    wide = np.zeros((2 * len(rows), d + 1))
    # Taken against the other, then against the tie; a tie against the first, then against the second.
    wide[0::2, :d] = np.where(tie[:, None], -0.5 * rows, rows)
    wide[0::2, d] = tie
    wide[1::2, :d] = 0.5 * rows
    wide[1::2, d] = np.where(tie, 1.0, -1.0)
    return wide, 2 * starts
