"""Choices out of sets, rankings and everything that is one: a ranking is a choice from those not yet placed, a tie a
choice of neither (Davidson 1970), an ordered level two answers with offsets (`sim.ordered_levels`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, index_array, require_count, require_shape, weight_array
from sim.likelihoods import log_sigmoid
from sim.preferences import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class ChoiceSets:
    """E choices as m rows, one for every alternative that was not taken.

    rows: (m, d) features of the taken minus its own.  starts: (E + 1,), choice e has rows starts[e]:starts[e + 1], at
    least one.  annotator: (E,) in 0..n_annotators-1.  weights: (E,).  offset: (m,) margins given from elsewhere.
    Log-likelihood of a choice: -log(1 + sum_j exp(-o_j - <theta, x_j>)), nats.
    """

    rows: FloatArray
    starts: IntArray
    annotator: IntArray
    n_annotators: int
    weights: FloatArray
    offset: FloatArray

    def __len__(self) -> int:
        return len(self.annotator)

    @property
    def choice_of_row(self) -> IntArray:
        """(m,) the choice that each row belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def log_likelihood(self, theta: FloatArray) -> FloatArray:
        """Of each choice under one theta (d,); (E,), nats."""
        return choice_log_likelihood(self.offset + self.rows @ theta, self.starts)

    def projected(self, basis: FloatArray, offset: FloatArray) -> ChoiceSets:
        """Features on a basis (d, k), and more margins (m,) of rows."""
        return ChoiceSets(
            self.rows @ basis, self.starts, self.annotator, self.n_annotators, self.weights, self.offset + offset
        )  # fmt: skip

    @property
    def answered(self) -> IntArray:
        """Annotators with a choice of positive weight."""
        return np.unique(self.annotator[self.weights > 0])

    def ordered(self) -> tuple[ChoiceSets, IntArray]:
        """The same choices, an annotator's next to each other, and where each annotator's begin (n_annotators + 1,)."""
        order = np.argsort(self.annotator, kind="stable")
        sizes = np.diff(self.starts)[order]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        rows = np.repeat(self.starts[:-1][order] - starts[:-1], sizes) + np.arange(starts[-1])
        people = np.concatenate([[0], np.cumsum(np.bincount(self.annotator, minlength=self.n_annotators))])
        found = ChoiceSets(
            np.ascontiguousarray(self.rows[rows]), starts, self.annotator[order], self.n_annotators,
            self.weights[order], self.offset[rows],
        )  # fmt: skip
        return found, people

    def by_annotator(self) -> Iterator[tuple[int, ChoiceSets]]:
        """(annotator, her choices as those of one annotator) of everybody who has some, ascending."""
        own, people = self.ordered()
        for i in np.flatnonzero(np.diff(people)):
            lo, hi = people[i], people[i + 1]
            rows = slice(own.starts[lo], own.starts[hi])
            yield int(i), ChoiceSets(
                own.rows[rows], own.starts[lo : hi + 1] - own.starts[lo], np.zeros(hi - lo, dtype=np.int64), 1,
                own.weights[lo:hi], own.offset[rows],
            )  # fmt: skip

    def only(self, mask: BoolArray, annotator: IntArray, n_annotators: int) -> ChoiceSets:
        """The masked choices, by annotators numbered anew: annotator (E,) is for all of them."""
        kept = np.repeat(mask, np.diff(self.starts))
        starts = np.concatenate([[0], np.cumsum(np.diff(self.starts)[mask])])
        return ChoiceSets(
            self.rows[kept], starts, annotator[mask], n_annotators, self.weights[mask], self.offset[kept]
        )  # fmt: skip


def choice_sets(
    rows: FloatArray, starts: IntArray, annotator: IntArray, n_annotators: int,
    weights: FloatArray | None = None, offset: FloatArray | None = None,
) -> ChoiceSets:  # fmt: skip
    """The same from arguments, checked; ValueError names the one that is wrong."""
    rows = float_array("rows", rows, ("m", "d"))
    starts = index_array("starts", starts, len(rows) + 1)
    require_shape("starts", starts, ("E + 1",))
    require_count("n_annotators", n_annotators)
    if len(starts) < 2 or starts[0] != 0 or starts[-1] != len(rows) or (np.diff(starts) < 1).any():
        raise ValueError(f"starts must rise from 0 to the {len(rows)} rows, a row a choice at least (got {starts[:5]})")
    annotator = index_array("annotator", annotator, n_annotators)
    n = len(starts) - 1
    if annotator.shape != (n,):
        raise ValueError(f"annotator must name one for each of the {n} choices (got shape {annotator.shape})")
    own = np.zeros(len(rows)) if offset is None else float_array("offset", offset, (len(rows),))
    return ChoiceSets(rows, starts, annotator, n_annotators, weight_array("weights", weights, n), own)


def choice_log_likelihood(margins: FloatArray, starts: IntArray) -> FloatArray:
    """-log(1 + sum_{j of e} e^-z_j) of each choice, (E, ...); margins (m, ...) of the taken over each alternative."""
    if len(starts) - 1 == len(margins):  # pairs
        return log_sigmoid(margins)
    first = starts[:-1]
    low = np.minimum(np.minimum.reduceat(margins, first, axis=0), 0.0)
    with np.errstate(under="ignore"):
        over = np.exp(np.repeat(low, np.diff(starts), axis=0) - margins)
        return np.asarray(low - np.log(np.exp(low) + np.add.reduceat(over, first, axis=0)))
