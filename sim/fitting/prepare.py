"""From a table of preferences to what the methods take: standardised features, splits, effective weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.arguments import float_array
from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.fitting.known import Known
from sim.fitting.settings import AskedHoldOut, HoldOut
from sim.fitting.splits import effective_weights, way_to_hold_out, with_split
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class Scales:
    """How features in the user's own units become the fit's: (value - mean) / scale, columns `kept` only.

    names, mean, scale: (d_file,), all columns of the file in its order.  kept: (d_file,) mask.
    """

    names: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    kept: BoolArray

    def standard(self, name: str, values: object) -> FloatArray:
        """(n, d_file) in the user's units -> (n, d) in the fit's; `name` is the argument an error speaks of."""
        found = float_array(name, values, ("n", len(self.names)))
        return np.asarray((found[:, self.kept] - self.mean[self.kept]) / self.scale[self.kept])

    def without(self, kept: BoolArray) -> Scales:
        """Only these (d,) of the columns kept so far."""
        mask = self.kept.copy()
        mask[np.flatnonzero(self.kept)[~kept]] = False
        return replace(self, kept=mask)


@dataclass(frozen=True, eq=False)
class AnswerTable:
    """differences (n, d), chosen (n,), rejected (n,) of all answers, whatever their split."""

    differences: FloatArray
    chosen: IntArray
    rejected: IntArray


@dataclass(frozen=True, eq=False)
class Answers:
    """Some answers of a prepared table, one a row: what a method sees.

    differences: (n, d) standardised features of chosen minus rejected.  annotator: (n,) in 0..n_annotators-1.
    weights: (n,) effective (see `effective_weights`); given_weights: (n,) the file's own, or ones.
    chosen, rejected: (n,) rows of `features` (n_items, d).
    contexts: (n_annotators, d_x) what is known of annotators beside their answers, standardised, or None.
    table, rows: the table these answers are some of, and which.
    """

    differences: FloatArray
    annotator: IntArray
    n_annotators: int
    weights: FloatArray
    chosen: IntArray
    rejected: IntArray
    features: FloatArray
    contexts: FloatArray | None
    given_weights: FloatArray
    table: AnswerTable
    rows: BoolArray

    def __len__(self) -> int:
        return len(self.annotator)

    def margins(self, theta: FloatArray) -> FloatArray:
        """<theta, differences>; (n,).

        Over the whole table first: a product over some rows may round otherwise, and a margin should not depend on
        the answers it is computed beside.
        """
        return np.asarray((self.table.differences @ theta)[self.rows])

    def widened(self, features: FloatArray) -> Answers:
        """The answers with `features` (n_items, k) of their items beside the ones there are."""
        table = self.table
        wide = np.hstack([table.differences, features[table.chosen] - features[table.rejected]])
        return replace(
            self,
            differences=wide[self.rows],
            features=np.hstack([self.features, features]),
            table=replace(table, differences=wide),
        )

    def of(self, annotator: int) -> IntArray:
        """The rows of one annotator."""
        return np.flatnonzero(self.annotator == annotator)

    @property
    def answered(self) -> IntArray:
        """The annotators with an answer here, ascending."""
        return np.unique(self.annotator)

    @property
    def number(self) -> IntArray:
        """(n,) place of each row's annotator in `answered`."""
        place = np.full(self.n_annotators, -1)
        place[self.answered] = np.arange(len(self.answered))
        return place[self.annotator]


@dataclass(frozen=True, eq=False)
class Prepared:
    """One standardised row an answer.

    differences: (n, d) features of chosen minus rejected, each divided by its standard deviation over the items of
    training answers.  features: (n_items, d) in the same units, centred.  train, test, unseen: masks (n,).
    weights: (n,) see `effective_weights`.  scales: the way from the file's units to these.
    known: what is known of annotators, for methods that want it (`sim.fitting.contexts`).  hold_out: what was
    asked to be held out; held_out: what is, of answers to test by.
    """

    table: PairTable
    differences: FloatArray
    features: FloatArray
    feature_names: tuple[str, ...]
    train: BoolArray
    test: BoolArray
    unseen: BoolArray
    weights: FloatArray
    scales: Scales
    known: Known | None = None
    hold_out: AskedHoldOut = "auto"
    held_out: HoldOut = "items"

    @property
    def contexts(self) -> FloatArray | None:
        return None if self.known is None else self.known.contexts

    @property
    def annotator(self) -> IntArray:
        return self.table.annotator

    @property
    def n_annotators(self) -> int:
        return self.table.n_annotators

    @property
    def trained(self) -> IntArray:
        """Annotators with training answers, ascending."""
        return np.unique(self.annotator[self.train])

    def answers(self, rows: BoolArray) -> Answers:
        """The masked answers, with their effective weights among themselves."""
        return Answers(
            differences=self.differences[rows],
            annotator=self.annotator[rows],
            n_annotators=self.n_annotators,
            weights=effective_weights(self.table, rows)[rows],
            chosen=self.table.chosen[rows],
            rejected=self.table.rejected[rows],
            features=self.features,
            contexts=self.contexts,
            given_weights=np.ones(int(rows.sum())) if self.table.weights is None else self.table.weights[rows],
            table=AnswerTable(self.differences, self.table.chosen, self.table.rejected),
            rows=rows,
        )


def _item_features(table: PairTable) -> tuple[FloatArray, tuple[str, ...]]:
    """The file's features, or one indicator an item where items recur enough to have a strength of their own."""
    if table.features is not None:
        return table.features, table.feature_names
    _require_no_positions(table)
    uses = 2 * len(table) / len(table.items)
    if uses < 10 or len(table.items) > 500:
        raise InputError(
            f"the items have no features and too few answers each for a strength of their own ({uses:.1f} on average, "
            f"{len(table.items)} items)",
            file=table.source,
            field="chosen_features",
            fix="add columns chosen_features and rejected_features (a list of numbers each)"
            + (", or make them of the texts (features='words')" if table.kind in ("text", "conversation") else ""),
        )
    return np.eye(len(table.items)), table.items


def without_ties(table: PairTable) -> PairTable:
    """Without ties, which the likelihood of pairs has no place for; how many goes to what is left out."""
    if table.tie is None:
        return table
    if table.tie.all():
        fix = "give answers that say which is better"
        raise InputError("every answer is a tie", file=table.source, field="tie", fix=fix)
    left_out = (*table.left_out, ("that are ties", int(table.tie.sum())))
    return replace(table.select(~table.tie), tie=None, left_out=left_out)


def _require_no_positions(table: PairTable) -> None:
    """Numbers below ten under more prompts than there are numbers are positions in lists that are not here."""
    if table.kind == "number" and len(table.prompts) > len(table.items) and all(len(name) == 1 for name in table.items):
        raise InputError(
            f"the answers to {len(table.prompts)} prompts are the numbers {', '.join(sorted(table.items))}, which look "
            "like positions in a list", file=table.source, field="chosen", fix="give the answers themselves",
        )  # fmt: skip


def prepare(table: PairTable, stream: Stream, hold_out: AskedHoldOut = "auto") -> Prepared:
    """Split if need be, standardise, weight."""
    decided = without_ties(table)
    by = way_to_hold_out(decided, hold_out)
    split = with_split(decided, stream.child("split"), by)
    features, names = _item_features(split)
    train = split.rows_of("train")
    used = np.concatenate([split.chosen[train], split.rejected[train]])
    with np.errstate(over="ignore", invalid="ignore"):
        scale = features[used].std(axis=0)
    if not np.isfinite(scale).all():
        huge = names[int(np.flatnonzero(~np.isfinite(scale))[0])]
        raise InputError(
            f"feature '{huge}' is too large to standardise", file=table.source, field="chosen_features",
            fix="give it in larger units, or its logarithm",
        )  # fmt: skip
    # The standard deviation of a constant 0.1 is 1e-17, not 0.
    varies = scale > 1e-12 * np.abs(features[used]).max(axis=0)
    if not varies.any():
        raise InputError(
            "every feature is constant over the training items", file=table.source, field="chosen_features",
            fix="give features in which the items differ",
        )  # fmt: skip
    mean = features[used].mean(axis=0)
    standard = (features[:, varies] - features[used][:, varies].mean(axis=0)) / scale[varies]
    return Prepared(
        table=split,
        differences=standard[split.chosen] - standard[split.rejected],
        features=standard,
        feature_names=tuple(name for name, keep in zip(names, varies, strict=True) if keep),
        train=train,
        test=split.rows_of("test"),
        unseen=split.rows_of("unseen"),
        weights=effective_weights(split, train),
        scales=Scales(names, mean, np.where(varies, scale, 1.0), varies),
        hold_out=hold_out,
        held_out=by,
    )
