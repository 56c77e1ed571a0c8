"""A fit on new data: pairs and sets of responses get probabilities, items a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.answer_sources import read_row_set
from sim.files.atomic import Json, replacing
from sim.files.file_rows import require_ending
from sim.files.item_files import Items, items_of_rows
from sim.files.pair_table import PairTable
from sim.fitting.asked_pairs import pairs_of_rows
from sim.fitting.assign import assign_answers, is_for_tables
from sim.fitting.predict_sets import alternatives_of, are_sets, sets_of_rows, shares_of
from sim.fitting.saved import Assigned, SavedFit
from sim.fitting.text_features.texts import require_texts
from sim.preferences import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row a pair (chosen, rejected, `value` the probability that chosen is preferred), an item and annotator (item,
    `value` a score), or a response of a set and annotator (response, `value` a probability; those of a set sum to 1).

    annotators: (n,) names, None for somebody who has answered nothing.  chosen: the item or response.  strangers: names
    in the file that the fit does not know, predicted as such.  sets: (n,) number of the set, from 1, with its prompt.
    tie: (n,) of pairs, the probability that neither is better, None where the fit knows no ties.
    """

    kind: str
    annotators: tuple[str | None, ...]
    chosen: tuple[str, ...]
    rejected: tuple[str, ...] | None
    value: FloatArray
    strangers: tuple[str, ...]
    sets: tuple[tuple[int, str], ...] = ()
    tie: FloatArray | None = None

    @property
    def value_name(self) -> str:
        return "score" if self.kind == "items" else "probability"

    def rows(self) -> list[dict[str, Json]]:
        """Columns by name, one object a row."""
        n = len(self.chosen)
        told: list[dict[str, Json]] = [{"item": item} for item in self.chosen]
        if self.rejected is not None:
            told = [{"chosen": a, "rejected": b} for a, b in zip(self.chosen, self.rejected, strict=True)]
        elif self.sets:
            told = [{"set": self.sets[j][0], "prompt": self.sets[j][1], "response": self.chosen[j]} for j in range(n)]
        ties: list[dict[str, Json]] = [{}] * n if self.tie is None else [{"tie": value} for value in self.tie.tolist()]
        return [
            {"annotator_id": who, **what, self.value_name: float(value), **tie}
            for who, what, value, tie in zip(self.annotators, told, self.value, ties, strict=True)
        ]

    def write(self, path: str | Path) -> None:
        """As Parquet, whole or not at all.  Errors: InputError for a name with another ending."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        require_ending(path, ".parquet")
        with replacing(path) as temporary:
            pq.write_table(pa.Table.from_pylist(self.rows()), temporary)


def predict_file(fit: SavedFit, path: str | Path, annotators: Sequence[str] = ()) -> Predictions:
    """Pairs (a file with `chosen` and `rejected`), sets (`responses`) or items (`item`), by what its columns say.

    Items are scored for each of `annotators`, or for somebody who has answered nothing; sets too, by default for whom
    the file names.  Pairs and sets of annotators whom the fit does not know are predicted as strangers'.
    """
    file = Path(path)
    found = read_row_set(file)
    if are_sets(found.rows):
        sets, named = sets_of_rows(found.rows, file, found.names, found.annotator_names, found.where)
        return predict_sets(fit, sets, annotators, named=named)
    if are_items(found.rows):
        return predict_items(fit, items_of_rows(found.rows, file, found.names, found.where), file, annotators)
    pairs = pairs_of_rows(found.rows, file, found.names, found.annotator_names, found.where)
    return predict_pairs(fit, pairs, annotators)


def are_items(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the columns say items to be scored, not pairs."""
    present = {name for row in rows for name in row}
    return "item" in present and "chosen" not in present


def assign_pairs(fit: SavedFit, table: PairTable) -> Assigned:
    """New annotators from answers of theirs, of whatever kind; annotators of the fit stay known beside them."""
    features = _features_of_table(fit, table)
    if is_for_tables(fit, table):
        return assign_answers(fit, table, features, _told(fit, table, table.annotators))
    return fit.assign(
        features[table.chosen],
        features[table.rejected],
        [table.annotators[i] for i in table.annotator],
        # By their numbers: one answer to two prompts may be two items, each with features of its own.
        items=([str(i) for i in table.chosen], [str(i) for i in table.rejected]),
        weights=table.weights,
        annotator_features=_told(fit, table, table.annotators),
    )


def _told(fit: SavedFit, table: PairTable, strangers: Sequence[str]) -> FloatArray | None:
    """What each row's annotator is known by, (n, d_x) in the fit's order, for methods that serve strangers by it."""
    if fit.context is None:
        return None
    if table.annotator_features is None:
        if strangers:
            raise InputError(
                f"the column is missing: {fit.method.name} serves annotators it does not know, as '{strangers[0]}', by "
                "what is known of them", file=table.source, field="annotator_features",
                fix="add a list of numbers, the same in all her rows",
            )  # fmt: skip
        return None
    places = _places(fit.context.names, table.annotator_feature_names, table.source)
    return np.asarray(table.annotator_features[:, places][table.annotator])


def _places(known: Sequence[str], given: Sequence[str], file: str | Path) -> IntArray:
    """Places of the fit's features among those of a file, by name."""
    place = {name: number for number, name in enumerate(given)}
    unnamed = all(name == f"feature {number + 1}" for number, name in enumerate(given))
    for name in known:
        if name not in place:
            if unnamed:
                # As readers call the numbers of a list; which of the fit's each is cannot be known.
                names = ", ".join(known[:8]) + ", ..." * (len(known) > 8)
                raise InputError(
                    f"the {len(given)} features have no names, and those of the fit are called {names}", file=file,
                    field="features", fix="give them as an object name -> number, or name them in Parquet's schema",
                )  # fmt: skip
            raise InputError(f"feature '{name}' of the fit is missing", file=file, fix="give every feature it used")
    return np.array([place[name] for name in known], dtype=np.int64)


def _features(
    fit: SavedFit, features: FloatArray | None, names: Sequence[str], labels: Sequence[str], file: str | Path
) -> FloatArray:
    """(n_items, d) in the fit's order of features."""
    if fit.items_are_features:
        place = {item: number for number, item in enumerate(fit.features)}
        for item in labels:
            if item not in place:
                raise InputError(f"item '{item}' was not fitted, and the fit has no features", file=file,
                                 fix="score items of the fit, or fit with features")  # fmt: skip
        return np.eye(len(place))[[place[item] for item in labels]]
    if fit.text is not None:
        # Features that the file may have of its own are not the fit's.
        return fit.text.of(labels)
    if features is None:
        raise InputError(
            "the items have no features", file=file, fix=f"give the fit's {len(fit.features)} features, in its units"
        )
    return features[:, _places(fit.features, names, file)]


def _features_of_table(fit: SavedFit, table: PairTable) -> FloatArray:
    if fit.text is not None:
        require_texts(table, "the fit's features")
    return _features(fit, table.features, table.feature_names, table.items, table.source)


def predict_items(fit: SavedFit, items: Items, source: str | Path, annotators: Sequence[str] = ()) -> Predictions:
    """Scores for each of `annotators`; of none, for those whose answers were assigned last, or for somebody who has
    answered nothing where none were.  source: what messages name."""
    annotators = annotators or (fit.annotators if fit.earlier is not None else ())
    features = _features(fit, items.features, items.feature_names, items.labels, source)
    if fit.context is not None and not annotators:
        raise InputError(
            f"annotators: {fit.method.name} serves nobody without knowing something of her", file=source,
            fix="name annotators of the fit",
        )  # fmt: skip
    asked: tuple[str | None, ...] = tuple(annotators) or (None,)
    scores = [fit.score_items(features, who) for who in asked]
    return _finite(
        source,
        Predictions(
            "items",
            tuple(who for who in asked for _ in items.labels),
            items.labels * len(asked),
            None,
            np.concatenate(scores),
            (),
        ),
    )


def predict_pairs(fit: SavedFit, table: PairTable, annotators: Sequence[str] = ()) -> Predictions:
    """Probabilities, of annotators whom the fit does not know as strangers'; of ties too where the fit knows them."""
    if annotators:
        raise InputError(
            "annotators: the file's own column says whose answers they are", file=table.source, fix="leave it out"
        )
    if table.answers == "grades":
        raise InputError(
            "is a file of grades (response and score), and predict takes pairs, sets or items", file=table.source,
            fix="rename 'response' to 'item', for the scores that the fit gives",
        )  # fmt: skip
    table.require_pairs("predict")
    features = _features_of_table(fit, table)
    strangers = tuple(sorted(set(table.annotators) - fit.known))
    names = [table.annotators[i] for i in table.annotator]
    pairs, told = (features[table.chosen], features[table.rejected], names), _told(fit, table, strangers)
    value = fit.predict_proba(*pairs, annotator_features=told, unknown="stranger")
    tie = fit.tie_proba(*pairs, annotator_features=told, unknown="stranger") if fit.has_ties else None
    return _finite(
        table.source,
        Predictions(
            "pairs",
            tuple(names),
            tuple(table.items[i] for i in table.chosen),
            tuple(table.items[i] for i in table.rejected),
            value,
            strangers,
            tie=tie,
        ),
    )


def predict_sets(fit: SavedFit, table: PairTable, annotators: Sequence[str] = (), *, named: bool = True) -> Predictions:
    """Probabilities of every response of every set, and of none of them where the fit has it.

    table: choices, of which only the sets count, and whom they ask where they are `named`.  annotators: who is asked
    every set; by default whom the table names, else those whose answers were assigned last, else somebody who has
    answered nothing.
    """
    features = _features_of_table(fit, table)
    annotators = annotators or (() if named or fit.earlier is None else fit.annotators)
    asked: list[Sequence[str | None]] = [[who] * len(table) for who in annotators]
    strangers: tuple[str, ...] = ()
    if not annotators and named:
        asked = [[table.annotators[i] for i in table.annotator]]
        strangers = tuple(sorted(set(table.annotators) - fit.known))
    elif not annotators:
        asked = [[None] * len(table)]
    for who in annotators:
        if who not in fit.known:
            raise InputError(
                f"annotators: the fit does not know '{who}'", file=table.source,
                fix="leave the name out, or give her answers first",
            )  # fmt: skip
    if fit.context is not None and not annotators and not named:
        raise InputError(
            f"annotators: {fit.method.name} serves nobody without knowing something of her", file=table.source,
            fix="name annotators of the fit",
        )  # fmt: skip
    told = _told(fit, table, strangers)
    names: list[str | None] = []
    chosen: list[str] = []
    sets: list[tuple[int, str]] = []
    values = []
    for of in asked:
        value, sizes = shares_of(fit, table, features, of, told)
        values.append(value)
        chosen += alternatives_of(table, sizes)
        for j, size in enumerate(sizes):
            names += [of[j]] * size
            sets += [(j + 1, table.prompts[table.prompt[j]])] * size
    return _finite(
        table.source,
        Predictions("sets", tuple(names), tuple(chosen), None, np.concatenate(values), strangers, tuple(sets)),
    )


def _finite(source: str | Path, found: Predictions) -> Predictions:
    """The same, or an error about the first value that no JSON can hold."""
    for item, value in zip(found.chosen, found.value, strict=True):
        if not np.isfinite(value):
            raise InputError(
                f"the {found.value_name} of '{item}' is no finite number ({value})", file=source,
                fix="look for features far outside those of the fit, or at the method's log_likelihood",
            )  # fmt: skip
    return found
