"""A fit that was saved, and can be used: on new items, and for new annotators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from sim.arguments import require_same_rows, weight_array
from sim.fitting.known import standard_contexts
from sim.fitting.method import Method
from sim.fitting.prepare import Answers, AnswerTable, Scales
from sim.fitting.splits import independent_share
from sim.preferences import AnyArray, FloatArray, IntArray

Names: TypeAlias = str | Sequence[str] | None


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
    """New annotators, what the fit makes of each (columns of (n_annotators, ...) rows), and the fit that knows them."""

    annotators: tuple[str, ...]
    table: Mapping[str, FloatArray]
    fit: SavedFit


@dataclass(frozen=True, eq=False)
class SavedFit:
    """A method's model with the way to it: scales of the items, names of its annotators.

    features: names, in the order in which `chosen`, `rejected` and `items` give them, in the user's own units.  Where
    the fit had no features, items are themselves the features (`items_are_features`) and are given by name.
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

    @property
    def features(self) -> tuple[str, ...]:
        return self.scales.names

    def predict_proba(
        self, chosen: Any, rejected: Any, annotator: Names = None, *, annotator_features: Any = None,
        unknown: Literal["refuse", "stranger"] = "refuse",
    ) -> FloatArray:  # fmt: skip
        """P(the annotator prefers chosen to rejected) of each row; (n,).

        chosen, rejected: (n, d) features in the user's units (or n names, `items_are_features`).  annotator: one name
        for all rows, n names, or None for somebody who has answered nothing.  annotator_features: (n, d_x) of
        strangers, for methods that serve them by these.  unknown: what to do with a name the fit does not know.
        Errors: ValueError names the argument.
        """
        first, second = self._items("chosen", chosen), self._items("rejected", rejected)
        require_same_rows(chosen=first, rejected=second)
        return np.exp(self._log_likelihood(first, second, annotator, annotator_features, unknown))

    def score_items(
        self, items: Any, annotator: Names = None, *, annotator_features: Any = None,
        unknown: Literal["refuse", "stranger"] = "refuse",
    ) -> FloatArray:  # fmt: skip
        """What an item is worth to an annotator: log-odds of preferring it to the mean training item; (n,), nats.

        For a log-linear reward that is <theta, phi(item)>; for types, of the annotator's mixture of them.
        """
        found = self._items("items", items)
        mean = np.zeros_like(found)
        for_it = self._log_likelihood(found, mean, annotator, annotator_features, unknown)
        return for_it - self._log_likelihood(mean, found, annotator, annotator_features, unknown)

    def assign(
        self,
        chosen: Any,
        rejected: Any,
        annotator: Sequence[str],
        *,
        weights: Any = None,
        annotator_features: Any = None,
    ) -> Assigned:
        """New annotators from some answers of theirs, by the method's own `adapt`; nothing is refitted.

        annotator: (n,) who gave each answer.  weights: (n,) of the answers, beside (items - 1) / answers as in the fit.
        annotator_features: (n, d_x), the same in all rows of one annotator, for methods that want them.
        """
        first, second = self._items("chosen", chosen), self._items("rejected", rejected)
        if isinstance(annotator, str) or len(annotator) != len(first):
            given = "one text" if isinstance(annotator, str) else str(len(annotator))
            raise ValueError(f"annotator must name one annotator an answer, {len(first)} (got {given})")
        require_same_rows(chosen=first, rejected=second)
        names, index = np.unique(np.asarray([str(who) for who in annotator]), return_inverse=True)
        both, place = np.unique(np.concatenate([first, second]), axis=0, return_inverse=True)
        one, other = place.ravel()[: len(first)], place.ravel()[len(first) :]
        share = independent_share(index, one, other, len(names), len(both))
        own = share[index] * weight_array("weights", weights, len(first))
        contexts = self._contexts(annotator_features, len(first), "annotator_features")
        people = None if contexts is None else contexts[np.unique(index, return_index=True)[1]]
        answers = _answers(first - second, both, (one, other), index, len(names), own, people)
        model = self.method.adapt(self.model, answers)
        context = self.context if self.context is None or people is None else replace(self.context, contexts=people)
        known = replace(
            self, model=model, annotators=tuple(str(n) for n in names), trained=np.arange(len(names)), context=context
        )
        table = {name: np.asarray(rows) for name, rows in self.method.table(model).items()}
        return Assigned(known.annotators, table, known)

    def _items(self, name: str, values: Any) -> FloatArray:
        found = np.asarray(values)
        if self.items_are_features and found.dtype.kind in "UO":
            place = {item: number for number, item in enumerate(self.features)}
            missing = [str(item) for item in found if str(item) not in place]
            if missing:
                raise ValueError(
                    f"{name}: item '{missing[0]}' is not one of the fit's {len(place)}; it has no features"
                )
            return self.scales.standard(name, np.eye(len(place))[[place[str(item)] for item in found]])
        return self.scales.standard(name, np.atleast_2d(found))

    def _contexts(self, values: Any, n: int, name: str) -> FloatArray | None:
        if self.context is None:
            if values is not None:
                raise ValueError(f"{name}: {self.method.name} does not use what is known of annotators; leave it out")
            return None
        if values is None:
            raise ValueError(f"{name} must be given: {self.method.name} serves annotators it does not know by them")
        found = standard_contexts(values, self.context.mean, self.context.scale, self.context.kept)
        if len(found) != n:
            raise ValueError(f"{name} must have {n} rows (got {len(found)})")
        return found

    def _numbers(self, annotator: Names, n: int, unknown: str) -> IntArray:
        """(n,) index into `annotators`, -1 for a stranger."""
        if annotator is None:
            return np.full(n, -1)
        asked = [annotator] * n if isinstance(annotator, str) else [str(who) for who in annotator]
        if len(asked) != n:
            raise ValueError(f"annotator must be one name, {n} names, or None (got {len(asked)} names)")
        place = {self.annotators[i]: int(i) for i in self.trained}
        missing = [who for who in asked if who not in place]
        if missing and unknown == "refuse":
            raise ValueError(
                f"annotator must be one of the {len(place)} the fit knows (got '{missing[0]}'); leave the name out for "
                "somebody who has answered nothing, or give her answers to `assign` first"
            )
        return np.array([place.get(who, -1) for who in asked], dtype=np.int64)

    def _log_likelihood(
        self, first: FloatArray, second: FloatArray, annotator: Names, annotator_features: Any, unknown: str
    ) -> FloatArray:
        n = len(first)
        number, out = self._numbers(annotator, n, unknown), np.empty(n)
        features, places = np.concatenate([first, second]), (np.arange(n), np.arange(n, 2 * n))
        for rows in (np.flatnonzero(number >= 0), np.flatnonzero(number < 0)):
            if not len(rows):
                continue
            chosen, rejected = places[0][rows], places[1][rows]
            difference, weights = first[rows] - second[rows], np.ones(len(rows))
            if number[rows[0]] >= 0:
                contexts = None if self.context is None else self.context.contexts
                model, people, total = self.model, number[rows], len(self.annotators)
            else:
                told = annotator_features
                if self.context is not None and told is not None:
                    told = np.asarray(told)[rows]
                contexts = self._contexts(told, len(rows), "annotator_features")
                people, total = np.arange(len(rows)), len(rows)
                none = np.arange(0)
                nobody = _answers(difference[:0], features, (none, none), none, total, weights[:0], contexts)
                model = self.method.adapt(self.model, nobody)
            answers = _answers(difference, features, (chosen, rejected), people, total, weights, contexts)
            out[rows] = self.method.log_likelihood(model, answers)
        return out


def _answers(
    differences: FloatArray, features: FloatArray, items: tuple[IntArray, IntArray], annotator: IntArray,
    n_annotators: int, weights: FloatArray, contexts: FloatArray | None,
) -> Answers:  # fmt: skip
    chosen, rejected = items
    return Answers(
        differences, annotator, n_annotators, weights, chosen, rejected, features, contexts, np.ones(len(annotator)),
        AnswerTable(differences, chosen, rejected), np.ones(len(annotator), dtype=np.bool_),
    )  # fmt: skip
