"""From a table of preferences to what the methods take: standardised features, splits, effective weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sim.answer_kinds.events import Events, events_of
from sim.answer_kinds.kinds import AskedLikelihood, Likelihood, likelihood_of, pairs_of_choices
from sim.answer_kinds.levels import Levels, levels_of
from sim.arguments import float_array
from sim.choice_sets import ChoiceSets
from sim.distinct import present
from sim.errors import InputError
from sim.estimators.answer_spectrum import AnswerSpectrum, answer_spectrum
from sim.files.pair_table import PairTable
from sim.fitting.known import Known
from sim.fitting.settings import AskedHoldOut, HoldOut
from sim.fitting.splits import effective_weights, way_to_hold_out, with_split
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import column_deviations, column_means

VALIDATION = "validation"


@dataclass(frozen=True, eq=False)
class Scales:
    """How features in the user's own units become the fit's: (value - mean) / scale, columns `kept` only.

    names, mean, scale: (d_file,), all columns of the file in its order.  kept: (d_file,) mask.  further: coefficients
    that are no feature of an item (the constant of a tie), which come last and are 0 of every item.
    """

    names: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    kept: BoolArray
    further: int = 0

    def standard(self, name: str, values: object) -> FloatArray:
        """(n, d_file) in the user's units -> (n, d) in the fit's; `name` is the argument an error speaks of."""
        found = float_array(name, values, ("n", len(self.names)))
        own = (found[:, self.kept] - self.mean[self.kept]) / self.scale[self.kept]
        return np.asarray(own if not self.further else np.pad(own, ((0, 0), (0, self.further))))

    def without(self, kept: BoolArray) -> Scales:
        """Only these (d,) of the columns kept so far."""
        mask, own = self.kept.copy(), len(kept) - self.further
        mask[np.flatnonzero(self.kept)[~kept[:own]]] = False
        return replace(self, kept=mask, further=int(kept[own:].sum()))


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
    groups: (n_annotators,) names of known groups, "" for none, or None: for the methods whose recipe has them.
    table, rows: the table these answers are some of, and which: a mask, or numbers (n,) where one stands several times.
    events: what the answers are made of where they are not plain pairs, to be scored by; learned: to be fitted to,
    where that is another; levels: on an ordered scale, whose thresholds `at` sets. `differences`, `chosen` and
    `rejected` then say no more than the first choice of each answer.
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
    rows: BoolArray | IntArray
    events: Events | None = None
    learned: Events | None = None
    levels: Levels | None = None
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.annotator)

    def margins(self, theta: FloatArray) -> FloatArray:
        """<theta, differences>; (n,).

        Over the whole table first: a product over some rows may round otherwise, and a margin should not depend on
        the answers it is computed beside.
        """
        return np.asarray((self.table.differences @ theta)[self.rows])

    def again(self, answer: IntArray, events: Events) -> Answers:
        """The answers of these numbers (m,), one as often as it is named, made of other choices.  Without levels."""
        names = ("differences", "annotator", "weights", "chosen", "rejected", "given_weights")
        own = {name: getattr(self, name)[answer] for name in names}
        return replace(self, **own, rows=self.places[answer], events=events, learned=None)

    @cached_property
    def places(self) -> IntArray:
        """(n,) rows of the table."""
        return np.flatnonzero(self.rows) if self.rows.dtype == np.bool_ else np.asarray(self.rows)

    def at(self, thresholds: FloatArray) -> Answers:
        """The answers on a scale with these thresholds; themselves where there is none."""
        if self.levels is None:
            return self
        levels = replace(self.levels, thresholds=thresholds)
        return replace(self, events=levels.events(self.differences, thresholds), levels=levels)

    def choices(self, *, numbered: bool = False, centre: FloatArray | None = None) -> ChoiceSets | None:
        """What estimators fit where answers are not plain pairs (None for these), with effective weights.

        Annotators 0..n_annotators-1, or with `numbered` their places in `answered`.  centre: (d,) a reward whose
        margins are given from elsewhere.
        """
        own = self.events if self.learned is None else self.learned
        if own is None:
            return None
        offset = None if centre is None else own.rows @ centre
        if numbered:
            return own.choices(self.number, len(self.answered), self.weights, offset)
        return own.choices(self.annotator, self.n_annotators, self.weights, offset)

    def widened(self, features: FloatArray) -> Answers:
        """The answers with `features` (n_items, k) of their items beside the ones there are."""
        if self.events is not None or self.levels is not None:
            raise InputError("a learned representation is for plain pairs", fix="leave it out")
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

    @cached_property
    def spectrum(self) -> AnswerSpectrum:
        """What fits to these answers share where features are many."""
        return answer_spectrum(self.differences, self.annotator, self.n_annotators, self.weights)

    @cached_property
    def answered(self) -> IntArray:
        """The annotators with an answer here, ascending."""
        return present(self.annotator, self.n_annotators)

    @cached_property
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
    asked to be held out; held_out: what is, of answers to test by, unless the file itself says it (own_split).
    likelihood: of the answers; events, learned, levels: see `Answers`; unused: columns of the file that the likelihood
    has no place for.  validation: role of the stream that draws the third of the training answers which sizes and
    ridges are chosen on.
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
    own_split: bool = False
    likelihood: Likelihood = "bradley-terry"
    events: Events | None = None
    learned: Events | None = None
    levels: Levels | None = None
    unused: tuple[str, ...] = ()
    validation: str = VALIDATION

    @property
    def is_plain(self) -> bool:
        """Whether all answers are plain pairs."""
        return self.events is None and self.levels is None

    def at(self, thresholds: FloatArray) -> Prepared:
        """With the levels of answers at these thresholds."""
        if self.levels is None:
            return self
        levels = replace(self.levels, thresholds=thresholds)
        return replace(self, events=levels.events(self.differences, thresholds), levels=levels)

    @property
    def contexts(self) -> FloatArray | None:
        return None if self.known is None else self.known.contexts

    @property
    def annotator(self) -> IntArray:
        return self.table.annotator

    @property
    def n_annotators(self) -> int:
        return self.table.n_annotators

    @cached_property
    def trained(self) -> IntArray:
        """Annotators with training answers, ascending."""
        return present(self.annotator[self.train], self.n_annotators)

    def given_weights(self, rows: BoolArray) -> FloatArray | None:
        """The file's own weights of the masked answers, None where it has none."""
        return None if self.table.weights is None else self.table.weights[rows]

    @cached_property
    def _last(self) -> list[Answers]:
        """The answers asked for last: a search fits the same ones at every size and ridge."""
        return []

    def answers(self, rows: BoolArray) -> Answers:
        """The masked answers, with their effective weights among themselves."""
        if not (self._last and np.array_equal(self._last[0].rows, rows)):
            self._last[:] = []
            self._last.append(self._answers(rows.copy()))
        return self._last[0]

    def _answers(self, rows: BoolArray) -> Answers:
        return Answers(
            differences=self.differences[rows],
            annotator=self.annotator[rows],
            n_annotators=self.n_annotators,
            weights=effective_weights(self.table, rows)[rows],
            chosen=self.table.chosen[rows],
            rejected=self.table.rejected[rows],
            features=self.features,
            contexts=self.contexts,
            given_weights=np.ones(int(rows.sum())) if (given := self.given_weights(rows)) is None else given,
            table=AnswerTable(self.differences, self.table.chosen, self.table.rejected),
            rows=rows,
            events=None if self.events is None else self.events.of(rows),
            learned=None if self.learned is None else self.learned.of(rows),
            levels=None if self.levels is None else self.levels.of(rows),
            groups=self.table.group,
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


def _require_no_positions(table: PairTable) -> None:
    """Numbers below ten under more prompts than there are numbers are positions in lists that are not here."""
    if table.kind == "number" and len(table.prompts) > len(table.items) and all(len(name) == 1 for name in table.items):
        raise InputError(
            f"the answers to {len(table.prompts)} prompts are the numbers {', '.join(sorted(table.items))}, which look "
            "like positions in a list", file=table.source, field="chosen", fix="give the answers themselves",
        )  # fmt: skip


def _used(table: PairTable, rows: BoolArray) -> tuple[IntArray, FloatArray | None]:
    """Items that the masked answers are about, as often as they are, and how much each of these counts."""
    answer, item = table.shown()
    kept = rows[answer]
    return item[kept], None if table.weights is None else table.weights[answer[kept]]


# Longer than others for the record it returns.
def prepare(
    table: PairTable, stream: Stream, hold_out: AskedHoldOut = "auto", likelihood: AskedLikelihood = "auto"
) -> Prepared:
    """Settle the likelihood, split if need be, standardise, weight."""
    told = likelihood_of(table, likelihood)
    if told.likelihood in ("rao-kupper", "cumulative-logit") and told.table.tie is not None and told.table.tie.all():
        fix = "give answers that say which is better"
        raise InputError("every answer is a tie", file=table.source, field="tie", fix=fix)
    if told.table.grade is not None and len(set(told.table.grade.tolist())) == 1:
        fix = "give scores that say which is better"
        raise InputError(
            f"every score is {table.grades[told.table.grade[0]]}", file=table.source, field="score", fix=fix
        )
    by = way_to_hold_out(told.table, hold_out)
    split = with_split(told.table, stream.child("split"), by)
    features, names = _item_features(split)
    train = split.rows_of("train")
    used, counted = _used(split, train)
    values = features[used]
    with np.errstate(over="ignore", invalid="ignore"):
        scale = column_deviations(values, counted)
    if not np.isfinite(scale).all():
        huge = names[int(np.flatnonzero(~np.isfinite(scale))[0])]
        raise InputError(
            f"feature '{huge}' is too large to standardise", file=table.source, field="chosen_features",
            fix="give it in larger units, or its logarithm",
        )  # fmt: skip
    # The standard deviation of a constant 0.1 is 1e-17, not 0.
    varies = scale > 1e-12 * np.abs(features[present(used, len(features))]).max(axis=0)
    if not varies.any():
        raise InputError(
            "every feature is constant over the training items", file=table.source, field="chosen_features",
            fix="give features in which the items differ",
        )  # fmt: skip
    mean = column_means(values, counted)
    standard = (features[:, varies] - column_means(values[:, varies], counted)) / scale[varies]
    del values
    kept_names = tuple(name for name, keep in zip(names, varies, strict=True) if keep)
    if split.grade is not None:
        standard[-1] = 0.0  # the scale itself: what an item of mean features is worth
    if split.offered is not None and split.offered.none >= 0:
        standard[split.offered.none] = 0.0  # a constant of its own says what none of those offered is worth
    events, learned, further = scored_and_learned(split, standard, told.likelihood)
    if further:
        standard = np.pad(standard, ((0, 0), (0, len(further))))
    differences = standard[split.chosen] - standard[split.rejected]
    between = differences[train] if events is None else events.rows[train[events.answer_of_row], : len(kept_names)]
    if not between.any():
        raise InputError(
            "no training answer is between items whose features differ", file=table.source, field="chosen_features",
            fix="give each item the features of its own, not those of its prompt",
        )  # fmt: skip
    return Prepared(
        table=split,
        differences=differences,
        features=standard,
        feature_names=(*kept_names, *further),
        train=train,
        test=split.rows_of("test"),
        unseen=split.rows_of("unseen"),
        weights=effective_weights(split, train),
        scales=Scales(names, mean, np.where(varies, scale, 1.0), varies, len(further)),
        hold_out=hold_out,
        held_out=by,
        own_split=table.split is not None,
        likelihood=told.likelihood,
        events=events,
        learned=learned,
        levels=levels_of(split, told.likelihood),
        unused=told.unused,
    )


def scored_and_learned(
    table: PairTable, features: FloatArray, likelihood: Likelihood, none: bool | None = None
) -> tuple[Events | None, Events | None, tuple[str, ...]]:
    """What answers are scored by and fitted to, None for plain pairs and levels; names of further coefficients.

    none: see `events_of`.
    """
    davidson = likelihood == "davidson"
    if table.offered is None and not davidson:
        return None, None, ()
    events, further = events_of(table, features, davidson=davidson, none=none)
    if table.answers in ("choices", "rankings") and likelihood == "bradley-terry":
        return events, events_of(pairs_of_choices(table), features, none=none)[0], further
    return events, None, further
