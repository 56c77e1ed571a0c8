"""A fit on new data: pairs get a probability, items a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.answer_sources import read_row_set
from sim.files.atomic import Json, replacing
from sim.files.item_files import Items, items_of_rows
from sim.files.pair_table import PairTable
from sim.files.preference_files import table_of_row_set
from sim.fitting.assign import assign_answers, is_for_tables
from sim.fitting.saved import Assigned, SavedFit
from sim.fitting.text_features.texts import require_texts
from sim.preferences import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row a pair (chosen, rejected, `value` a probability) or an item and annotator (item, `value` a score).

    annotators: (n,) names, None for somebody who has answered nothing.  strangers: names in the file that the fit does
    not know, predicted as such.
    """

    kind: str
    annotators: tuple[str | None, ...]
    chosen: tuple[str, ...]
    rejected: tuple[str, ...] | None
    value: FloatArray
    strangers: tuple[str, ...]

    @property
    def value_name(self) -> str:
        return "probability" if self.kind == "pairs" else "score"

    def rows(self) -> list[dict[str, Json]]:
        """Columns by name, one object a row."""
        rejected = self.rejected or ("",) * len(self.chosen)
        out = []
        for who, first, second, value in zip(self.annotators, self.chosen, rejected, self.value, strict=True):
            what = {"chosen": first, "rejected": second} if self.kind == "pairs" else {"item": first}
            out.append({"annotator_id": who, **what, self.value_name: float(value)})
        return out

    def write(self, path: str | Path) -> None:
        """As Parquet, whole or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with replacing(path) as temporary:
            pq.write_table(pa.Table.from_pylist(self.rows()), temporary)


def predict_file(fit: SavedFit, path: str | Path, annotators: Sequence[str] = ()) -> Predictions:
    """Pairs (a file with `chosen` and `rejected`) or items (a file with `item`), by what its columns say.

    Items are scored for each of `annotators`, or for somebody who has answered nothing.  Pairs of annotators whom the
    fit does not know are predicted as strangers'.
    """
    file = Path(path)
    found = read_row_set(file)
    if are_items(found.rows):
        return predict_items(fit, items_of_rows(found.rows, file, found.names, found.where), file, annotators)
    return predict_pairs(fit, table_of_row_set(found, file), annotators)


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
        items=([table.items[i] for i in table.chosen], [table.items[i] for i in table.rejected]),
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
    for name in known:
        if name not in place:
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
    """Probabilities, of annotators whom the fit does not know as strangers'."""
    if annotators:
        raise InputError(
            "annotators: the file's own column says whose answers they are", file=table.source, fix="leave it out"
        )
    table.require_pairs("predict")
    features = _features_of_table(fit, table)
    strangers = tuple(sorted(set(table.annotators) - fit.known))
    names = [table.annotators[i] for i in table.annotator]
    value = fit.predict_proba(
        features[table.chosen], features[table.rejected], names, annotator_features=_told(fit, table, strangers),
        unknown="stranger",
    )  # fmt: skip
    return _finite(
        table.source,
        Predictions(
            "pairs",
            tuple(names),
            tuple(table.items[i] for i in table.chosen),
            tuple(table.items[i] for i in table.rejected),
            value,
            strangers,
        ),
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
