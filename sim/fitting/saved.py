"""A fit that was saved, and can be used: on new items, and for new annotators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from sim.answer_kinds.events import TIE
from sim.arguments import require_choice, require_same_rows, weight_array
from sim.errors import InputError
from sim.fitting.chances import log_chances
from sim.fitting.head_errors import HeadErrors
from sim.fitting.known import standard_contexts
from sim.fitting.method import Method
from sim.fitting.own_methods import table_of
from sim.fitting.pair_outcomes import Outcome, levels_told, outcome_events
from sim.fitting.prepare import Answers, AnswerTable, Scales
from sim.fitting.splits import independent_share
from sim.fitting.text_features.asked_prompts import AskedPrompts
from sim.fitting.text_features.saved_text import TextPart
from sim.named_columns import in_order
from sim.preferences import AnyArray, BoolArray, FloatArray, IntArray

FORMAT = 2
"""Version of `fit.json` and of the folder around it; 1 is what had no number."""

Name: TypeAlias = str | int
Names: TypeAlias = Name | Sequence[Name] | None
Unknown: TypeAlias = Literal["refuse", "stranger"]


@dataclass(frozen=True, eq=False)
class ContextScales:
    """How annotators' features in the user's units become contexts.

    mean, scale: (d_file,), scale 0 where a column does not vary; kept: (d_file,) mask.  contexts: (n_annotators, d_x)
    of the fit's own annotators.
    """

    names: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    kept: AnyArray
    contexts: FloatArray


@dataclass(frozen=True, eq=False)
class Assigned:
    """New annotators, what the fit makes of each (columns of (n_annotators, ...) rows), and the fit that knows them
    beside those it knew before."""

    annotators: tuple[str, ...]
    table: Mapping[str, FloatArray]
    fit: SavedFit


@dataclass(frozen=True, eq=False)
class SavedFit:
    """A method's model with the way to it: scales of the items, names of its annotators.

    features: names, in the order in which `chosen`, `rejected` and `items` give them, in the user's own units.  Where
    the fit had no features, items are themselves the features (`items_are_features`) and are given by name.
    annotators: names, matched as texts; those in `trained` have a row of their own in the model.  earlier: the fit that
    annotators were assigned by, asked about everybody else.  text: what makes the features of items that are given by
    their texts, where the fit made its own so.  errors: how sure it is of its rewards, where they have heads
    (`text_features.heads`).  asked: the prompts that its items are responses to, where they are.
    """

    method: Method[Any]
    model: Any
    scales: Scales
    annotators: tuple[str, ...]
    trained: AnyArray
    items_are_features: bool
    context: ContextScales | None
    summary: Mapping[str, Any]
    folder: Path | None = None
    earlier: SavedFit | None = None
    text: TextPart | None = None
    errors: HeadErrors | None = None
    asked: AskedPrompts | None = None

    @property
    def features(self) -> tuple[str, ...]:
        return self.scales.names

    @property
    def known(self) -> frozenset[str]:
        """Names of everybody with answers of hers, in the fit or assigned since."""
        return frozenset(self.people)

    @property
    def people(self) -> Mapping[str, int]:
        """Everybody `known`, those of the fit first, then as they were assigned, each with the last time that was; 0
        of those whom only the fit knows."""
        rounds = list(self._latest_first())[::-1]
        return {fit.annotators[i]: number for number, fit in enumerate(rounds) for i in fit.trained}

    @property
    def has_levels(self) -> bool:
        """Whether it was fitted to ordered levels."""
        return "levels" in self.summary

    @property
    def has_ties(self) -> bool:
        """Whether neither being better is an outcome of a pair."""
        return TIE in self.further or (self.has_levels and TIE in self.summary["levels"]["names"])

    @property
    def fitted(self) -> SavedFit:
        """What was fitted, before anybody was assigned: new annotators and strangers are served by it."""
        *_, first = self._latest_first()
        return first

    def _latest_first(self) -> Iterator[SavedFit]:
        """This fit, the one its annotators were assigned by, and so on: annotators may have come one by one."""
        fit: SavedFit | None = self
        while fit is not None:
            yield fit
            fit = fit.earlier

    @property
    def further(self) -> tuple[str, ...]:
        """Names of the coefficients beyond those of features: of a tie, of none of those offered."""
        names = self.summary["counts"]["features"]
        return tuple(names[len(names) - self.scales.further :])

    def by_type(self) -> SavedFit:
        """The fit whose annotators are its types or clusters themselves, "type 1" and so on, for predictions.

        Errors: InputError where it has none.
        """
        fitted = self.fitted
        model = fitted.method.by_group(fitted.model)
        if model is None:
            raise InputError(f"by_type: {self.method.name} has no types", fix="name annotators of the fit, or nobody")
        what = fitted.method.counts.removesuffix("s")
        names = tuple(f"{what} {k + 1}" for k in range(len(fitted.method.shares(fitted.model))))
        return replace(fitted, model=model, annotators=names, trained=np.arange(len(names)), earlier=fitted)

    def predict_proba(
        self, chosen: Any, rejected: Any, annotator: Names = None, *, annotator_features: Any = None,
        unknown: Unknown = "refuse",
    ) -> FloatArray:  # fmt: skip
        """P(the annotator prefers chosen to rejected) of each row; (n,).  By a fit that knows ties (`has_ties`) they
        are one of three outcomes, and this is not 1 - P(she prefers rejected); see `tie_proba`.

        chosen, rejected: (n, d) features in the user's units (or n names, `items_are_features`, or n texts, `text`);
        columns of a frame go by the fit's names, in any order (`sim.named_columns`).
        annotator: one name for all rows, n names, or None for somebody who has answered nothing (also among the n).
        annotator_features: (n, d_x) of strangers, for methods that serve them by these.  unknown: what to do with a
        name the fit does not know.
        Errors: ValueError names the argument.
        """
        first, second = self._items("chosen", chosen), self._items("rejected", rejected)
        require_same_rows(chosen=first, rejected=second)
        return np.exp(self._log_likelihood(first, second, annotator, annotator_features, unknown, "first"))

    def tie_proba(
        self, chosen: Any, rejected: Any, annotator: Names = None, *, annotator_features: Any = None,
        unknown: Unknown = "refuse",
    ) -> FloatArray:  # fmt: skip
        """P(the annotator finds neither better) of each row, 0 by a fit that knows no ties; (n,).  See
        `predict_proba`."""
        first, second = self._items("chosen", chosen), self._items("rejected", rejected)
        require_same_rows(chosen=first, rejected=second)
        if not self.has_ties:
            self._asked(annotator, len(first), unknown)
            return np.zeros(len(first))
        return np.exp(self._log_likelihood(first, second, annotator, annotator_features, unknown, "tie"))

    def score_items(
        self, items: Any, annotator: Names = None, *, annotator_features: Any = None, unknown: Unknown = "refuse"
    ) -> FloatArray:
        """What an item is worth to an annotator: log-odds of preferring it to the mean training item; (n,), nats.

        For a log-linear reward that is <theta, phi(item)>; for types, of the annotator's mixture of them.  Of pairs
        that do not tie, where the fit knows ties.
        """
        found = self._items("items", items)
        mean = np.zeros_like(found)
        for_it = self._log_likelihood(found, mean, annotator, annotator_features, unknown)
        return for_it - self._log_likelihood(mean, found, annotator, annotator_features, unknown)

    def assign(
        self,
        chosen: Any,
        rejected: Any,
        annotator: Sequence[Name],
        *,
        items: tuple[Sequence[str], Sequence[str]] | None = None,
        weights: Any = None,
        annotator_features: Any = None,
    ) -> Assigned:
        """New annotators from some answers of theirs, by the method's own `adapt`; nothing is refitted.

        annotator: (n,) who gave each answer.  items: (n,) names of the chosen and of the rejected, by which items are
        told apart; None: by what `chosen` and `rejected` say, so that items with equal features count as one.
        weights: (n,) of the answers, beside the share of them that counts as independent (`splits.independent_share`),
        as in the fit.  annotator_features: (n, d_x), the same in all rows of one annotator, for methods that want them.
        """
        chosen = in_order("chosen", chosen, self.features)
        rejected = in_order("rejected", rejected, self.features)
        first, second = self._items("chosen", chosen), self._items("rejected", rejected)
        n = len(first)
        if np.ndim(annotator) == 0 or len(annotator) != n:
            given = "one name" if np.ndim(annotator) == 0 else str(len(annotator))
            raise ValueError(f"annotator must name one annotator an answer, {n} (got {given})")
        require_same_rows(chosen=first, rejected=second)
        names, index = np.unique(np.asarray([str(who) for who in annotator]), return_inverse=True)
        labels = _labels(chosen, rejected) if items is None else _named_labels(items, n)
        _, where, place = np.unique(labels, axis=0, return_index=True, return_inverse=True)
        features, place = np.concatenate([first, second]), place.ravel()
        both = features[where]
        if not np.array_equal(both[place], features):
            odd = int(np.flatnonzero((both[place] != features).any(axis=1))[0])
            raise ValueError(f"items must have one feature vector each (got two of '{labels[odd]}')")
        one, other = place[:n], place[n:]
        given_weights = weight_array("weights", weights, n)
        own = given_weights * independent_share(index, one, other, len(names), len(both), given_weights)[index]
        contexts = self.contexts_of(annotator_features, n)
        people = None if contexts is None else contexts[np.unique(index, return_index=True)[1]]
        if contexts is not None and people is not None and not np.array_equal(people[index], contexts):
            odd = int(np.flatnonzero((people[index] != contexts).any(axis=1))[0])
            raise ValueError(f"annotator_features must be the same in all rows of annotator '{names[index[odd]]}'")
        answers = answers_to(first - second, both, (one, other), index, len(names), own, people, given_weights)
        model = self.method.adapt(self.fitted.model, answers)
        context = self.context if self.context is None or people is None else replace(self.context, contexts=people)
        known = replace(
            self, model=model, annotators=tuple(str(n) for n in names), trained=np.arange(len(names)), context=context,
            earlier=self, errors=None,
        )  # fmt: skip
        table = {name: np.asarray(rows) for name, rows in table_of(self.method, model, len(names)).items()}
        return Assigned(known.annotators, table, known)

    def _items(self, name: str, values: Any) -> FloatArray:
        found = np.asarray(in_order(name, values, self.features))
        if self.items_are_features and found.dtype.kind in "UO":
            found = np.atleast_1d(found)
            place = {item: number for number, item in enumerate(self.features)}
            missing = [str(item) for item in found if str(item) not in place]
            if missing:
                raise ValueError(
                    f"{name}: item '{missing[0]}' is not one of the fit's {len(place)}; it has no features"
                )
            return self.scales.standard(name, np.eye(len(place))[[place[str(item)] for item in found]])
        if self.text is not None and found.dtype.kind in "UO":
            found = self.text.of([str(text) for text in np.atleast_1d(found)])
        return self.scales.standard(name, np.atleast_2d(found))

    def contexts_of(self, values: Any, n: int) -> FloatArray | None:
        """(n, d_x) of annotators the fit does not know; None where it needs nothing of them."""
        if self.context is None:
            if values is not None:
                raise ValueError(
                    f"annotator_features: {self.method.name} does not use what is known of annotators; leave it out"
                )
            return None
        if values is None:
            raise ValueError(
                f"annotator_features must be given: {self.method.name} serves annotators it does not know by them"
            )
        found = standard_contexts(self._told(values), self.context.mean, self.context.scale, self.context.kept)
        if len(found) != n:
            raise ValueError(f"annotator_features must have {n} rows (got {len(found)})")
        return found

    def _told(self, values: Any) -> Any:
        """What is known of annotators, in the fit's order where its columns have names."""
        if self.context is None:
            return values
        return in_order("annotator_features", values, self.context.names, what="what the fit knows of annotators")

    def _numbers(self, names: Sequence[str | None]) -> IntArray:
        """(n,) index into `annotators`, -1 for whom this fit does not know."""
        place: dict[str | None, int] = {self.annotators[i]: int(i) for i in self.trained}
        return np.array([place.get(who, -1) for who in names], dtype=np.int64)

    def _asked(self, annotator: Names, n: int, unknown: str) -> list[str | None]:
        """One name a row, None for somebody who has answered nothing."""
        require_choice("unknown", unknown, ("refuse", "stranger"))
        if annotator is None:
            return [None] * n
        names = np.asarray(annotator, dtype=object)
        given = names.tolist() if names.ndim else [names.item()] * n
        # Somebody may be called "None".
        asked = [None if who is None else str(who) for who in given]
        if len(asked) != n:
            raise ValueError(f"annotator must be one name, {n} names, or None (got {len(asked)} names)")
        known = self.known
        missing = [who for who in asked if who is not None and who not in known]
        if missing and unknown == "refuse":
            raise ValueError(
                f"annotator must be one of the {len(known)} the fit knows (got '{missing[0]}'); leave the name out for "
                "somebody who has answered nothing, or give her answers to `assign` first"
            )
        return asked

    def _log_likelihood(
        self, first: FloatArray, second: FloatArray, annotator: Names, annotator_features: Any, unknown: str,
        outcome: Outcome | None = None,
    ) -> FloatArray:  # fmt: skip
        """Each row by the fit that knows its annotator, the latest first; strangers by what was fitted.  outcome: None
        for log sigma of the difference in reward."""
        names = self._asked(annotator, len(first), unknown)
        if annotator_features is not None:
            self.contexts_of(annotator_features, len(first))

        def of(
            part: SavedFit, model: Any, rows: BoolArray, who: IntArray, n: int, contexts: FloatArray | None
        ) -> FloatArray:
            return part._of_rows(model, first, second, np.flatnonzero(rows), who, n, contexts, outcome)

        return self.by_annotator(names, annotator_features, of)

    def by_annotator(
        self, names: Sequence[str | None], annotator_features: Any, of: Callable[..., FloatArray]
    ) -> FloatArray:
        """What `of` makes of each row, asked of the fit that knows its annotator, the latest first; strangers' of what
        was fitted.

        of(fit, model, rows (n,) mask, annotator (m,), n_annotators, contexts) -> (m,) of these rows.
        """
        n = len(names)
        left, out = np.ones(n, dtype=np.bool_), np.empty(n)
        for fit in self._latest_first():
            number = fit._numbers(names)
            own = left & (number >= 0)
            if own.any():
                contexts = None if fit.context is None else fit.context.contexts
                out[own] = of(fit, fit.model, own, number[own], len(fit.annotators), contexts)
            left = left & ~own
        m = int(left.sum())
        if m:
            told = None if annotator_features is None else np.asarray(self._told(annotator_features))[left]
            contexts, nobody = fit.contexts_of(told, m), np.arange(0)
            origin = np.zeros((1, len(fit.summary["counts"]["features"])))
            none = answers_to(origin[:0], origin, (nobody, nobody), nobody, m, np.ones(0), contexts)
            out[left] = of(fit, fit.method.adapt(fit.model, none), left, np.arange(m), m, contexts)
        return out

    def _of_rows(
        self, model: Any, first: FloatArray, second: FloatArray, rows: IntArray, annotator: IntArray,
        n_annotators: int, contexts: FloatArray | None, outcome: Outcome | None,
    ) -> FloatArray:  # fmt: skip
        answers = answers_to(
            first[rows] - second[rows], np.concatenate([first, second]), (rows, rows + len(first)), annotator,
            n_annotators, np.ones(len(rows)), contexts,
        )  # fmt: skip
        if outcome is not None:
            levels = levels_told(self.summary["levels"], model.thresholds) if self.has_levels else None
            own = outcome_events(outcome, answers.differences, self.further, levels)
            answers = answers if own is None else replace(answers, events=own)
        return np.asarray(log_chances(self.method, model, answers))


def _labels(chosen: Any, rejected: Any) -> AnyArray:
    """What tells items apart where they have no names: a row of features in the user's units, or an item's name."""
    found = [np.asarray(values) for values in (chosen, rejected)]
    own = [np.atleast_1d(v).astype(str) if v.dtype.kind in "UO" else np.atleast_2d(v) for v in found]
    return np.concatenate(own)


def _named_labels(items: tuple[Sequence[str], Sequence[str]], n: int) -> AnyArray:
    """(2 n,) names of the chosen, then of the rejected."""
    if len(items) != 2 or any(np.ndim(side) != 1 or len(side) != n for side in items):
        raise ValueError(f"items must be two lists of {n} names, of the chosen and of the rejected")
    return np.asarray([str(item) for side in items for item in side])


def answers_to(
    differences: FloatArray, features: FloatArray, items: tuple[IntArray, IntArray], annotator: IntArray,
    n_annotators: int, weights: FloatArray, contexts: FloatArray | None, given_weights: FloatArray | None = None,
) -> Answers:  # fmt: skip
    """As a method sees them; items: rows of `features`."""
    chosen, rejected = items
    given = np.ones(len(annotator)) if given_weights is None else given_weights
    return Answers(
        differences, annotator, n_annotators, weights, chosen, rejected, features, contexts, given,
        AnswerTable(differences, chosen, rejected), np.ones(len(annotator), dtype=np.bool_),
    )  # fmt: skip
