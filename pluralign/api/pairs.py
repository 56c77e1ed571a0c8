"""Pairwise answers: read, written, and as the algorithms take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pluralign.api.frames import Frame, arrow_of, is_path, rows_of
from sim.answer_kinds.kinds import likelihood_of
from sim.arguments import float_array, index_array, require_same_rows
from sim.compiled.forks import require_threads
from sim.errors import InputError
from sim.files import preference_files
from sim.files.answer_columns import table_of_arrow
from sim.files.answer_sources import ANNOTATOR_NAMES_KEY, NAMES_KEY, read_row_set
from sim.files.pair_table import PairTable
from sim.fitting.asked_pairs import OF_ANSWERS, pairs_of_rows
from sim.named_columns import in_order, names_of_columns
from sim.preferences import FloatArray, IntArray

# Beyond it one indicator an item and answer is no way to hold items without features.
_MOST_INDICATORS = 1 << 27


# Long for its arguments: each is a column, named and explained once.
def read_pairs(
    data: Frame = None,
    *,
    chosen: Any = None,
    rejected: Any = None,
    annotator: Any = None,
    prompt: Any = None,
    weights: Any = None,
    split: Any = None,
    group: Any = None,
    annotator_features: Any = None,
    features: Any = None,
    feature_names: Sequence[str] | None = None,
) -> PairTable:
    """Pairwise answers, checked: annotator i preferred `chosen` to `rejected`.

    data: a path (Parquet, JSONL, CSV, a folder of shards), a pandas, polars or Arrow table, a datasets.Dataset, a list
    of rows by name or columns by name, with the columns `chosen`, `rejected`, `annotator_id` and, where there are any,
    `prompt`, `tie`, `strength`, `weight`, `split` (train, test, unseen), `group_id`, `chosen_features`,
    `rejected_features`, `annotator_features`.

    Or arrays, one entry an answer: chosen, rejected (n, d), features of the two items, or (n,) names or numbers of
    items; annotator (n,) names or numbers; prompt, weights, split, group (n,); annotator_features (n, d_x).
    features: (n_items, d) where `chosen` and `rejected` are row numbers of it.  feature_names: (d,); None: those of the
    columns where features are a frame.

    Errors: InputError names the file (or kind of frame), the row from 1 and the field.
    """
    arrays = {"chosen": chosen, "rejected": rejected, "annotator": annotator}
    given = [name for name, values in arrays.items() if values is not None]
    if data is not None:
        if given:
            raise InputError(f"{given[0]}: data is given too, and holds it", fix=f"leave out data, or {given[0]}")
        return _of_frame(data)
    missing = [name for name in arrays if name not in given]
    if missing:
        raise InputError(
            f"{missing[0]} must be given, or data", fix="give chosen, rejected and annotator, one an answer"
        )
    names = names_of_columns(chosen if features is None else features)
    names = names if feature_names is None else tuple(feature_names)
    for name in ("chosen", "rejected"):
        # Of two frames whose columns stand in different orders, one would be read wrongly.
        if names is not None and names_of_columns(arrays[name]) is not None:
            arrays[name] = in_order(name, arrays[name], names, what="feature_names, or of chosen")
    columns: dict[str, Any] = {name: _column(name, values) for name, values in arrays.items()}
    if features is not None:
        named = np.asarray(in_order("features", features, names or (), what="feature_names"))
        table = float_array("features", named, ("n_items", "d")).tolist()
        for name in ("chosen", "rejected"):
            places = index_array(name, np.asarray(columns[name]), len(table))
            columns[f"{name}_features"] = [table[place] for place in places]
    told = None if annotator_features is None else float_array("annotator_features", annotator_features, ("n", "d_x"))
    known_by = names_of_columns(annotator_features)
    further = {"prompt": prompt, "weights": weights, "split": split, "group": group, "annotator_features": told}
    columns |= {name: _column(name, values) for name, values in further.items() if values is not None}
    require_same_rows(**{name: values for name, values in columns.items() if not name.endswith("ed_features")})
    renamed = {"annotator": "annotator_id", "weights": "weight", "group": "group_id"}
    rows = rows_of({renamed.get(name, name): values for name, values in columns.items()}, "data").rows
    return preference_files.table_of_rows(rows, "arrays", names, known_by)


def _column(name: str, values: Any) -> list[Any]:
    """Entries of one answer each."""
    found = np.asarray(values, dtype=None if not isinstance(values, list | tuple) else object)
    if found.ndim == 0:
        raise ValueError(f"{name} must have one entry an answer (got {values!r})")
    listed: list[Any] = found.tolist()
    return listed


def _of_frame(data: Frame) -> PairTable:
    if isinstance(data, PairTable):
        return data
    if is_path(data):
        return preference_files.read_pairs(data)
    arrow, source = arrow_of(data), type(data).__name__
    if arrow is not None:
        table = table_of_arrow(arrow, lambda present: preference_files.required_columns(present, source), source)
        if table is not None:
            return table
        # What can be streamed once has been.
        data = data if hasattr(data, "iloc") else arrow
    found = rows_of(data, "data", source)
    return preference_files.table_of_rows(
        [_with_what_is_missing(row) for row in found.rows],
        found.source,
        found.names(NAMES_KEY),
        found.names(ANNOTATOR_NAMES_KEY),
    )


def asked_pairs(data: Frame) -> PairTable:
    """A pair a row of a path or frame, for prediction: see `pairs_of_rows`."""
    if is_path(data):
        read = read_row_set(data)
        return pairs_of_rows(read.rows, data, read.names, read.annotator_names, read.where)
    arrow, source = arrow_of(data), type(data).__name__
    if arrow is not None:
        present = set(arrow.column_names)
        bare = arrow.select([name for name in arrow.column_names if name not in OF_ANSWERS])
        table = table_of_arrow(bare, lambda _: preference_files.required_columns(present, source), source)
        if table is not None and not table.left_out:
            return table
        data = data if hasattr(data, "iloc") else arrow
    found = rows_of(data, "data", source)
    return pairs_of_rows(found.rows, found.source, found.names(NAMES_KEY), found.names(ANNOTATOR_NAMES_KEY))


def _with_what_is_missing(row: dict[str, Any]) -> dict[str, Any]:
    """nan in a ranking is what frames write where something was not ranked, as Arrow has it too."""
    ranking = row.get("ranking")
    if not isinstance(ranking, list):
        return row
    return {**row, "ranking": [None if isinstance(rank, float) and rank != rank else rank for rank in ranking]}


def write_pairs(path: str | Path, pairs: Frame) -> None:
    """Write answers to .parquet, .jsonl or .jsonl.gz, whole or not at all.  pairs: whatever `read_pairs` takes."""
    preference_files.write_pairs(path, read_pairs(pairs).require_pairs("a file of pairs"))


@dataclass(frozen=True, eq=False)
class Differences:
    """What a log-linear reward sees of answers.

    differences (n, d): features of the chosen item minus those of the rejected, in the user's own units (an indicator
    an item where items have no features); items (n_items, d); annotator (n,) in 0..n_annotators-1; weights (n,).
    """

    pairs: PairTable
    differences: FloatArray
    items: FloatArray
    names: tuple[str, ...]
    annotator: IntArray
    weights: FloatArray

    @property
    def n_annotators(self) -> int:
        return self.pairs.n_annotators


def differences_of(data: Frame) -> Differences:
    """Answers as log-linear rewards take them; data: whatever `read_pairs` takes.

    A tie says that neither is better, whichever of the two is called chosen: ties, and who has no other answers, are
    left out, and counted in the table's `left_out`.  Errors: InputError, also where every answer is a tie.
    """
    require_threads("an estimator")
    pairs = _who_answered(likelihood_of(read_pairs(data).require_pairs("it"), "bradley-terry").table)
    if pairs.features is None and len(pairs) * len(pairs.items) > _MOST_INDICATORS:
        raise InputError(
            f"the {len(pairs.items)} items have no features, and one indicator each is too many", file=pairs.source,
            field="chosen_features", fix="add columns chosen_features and rejected_features",
        )  # fmt: skip
    items = np.eye(len(pairs.items)) if pairs.features is None else pairs.features
    names = pairs.items if pairs.features is None else pairs.feature_names
    weights = np.ones(len(pairs)) if pairs.weights is None else pairs.weights
    return Differences(pairs, items[pairs.chosen] - items[pairs.rejected], items, names, pairs.annotator, weights)


def _who_answered(pairs: PairTable) -> PairTable:
    """The same answers without people who have none: they would be numbers that nothing is known of."""
    people, annotator = np.unique(pairs.annotator, return_inverse=True)
    if len(people) == pairs.n_annotators:
        return pairs
    told = pairs.annotator_features
    return replace(
        pairs, annotators=tuple(pairs.annotators[i] for i in people), annotator=annotator,
        group=None if pairs.group is None else tuple(pairs.group[i] for i in people),
        annotator_features=None if told is None else told[people],
    )  # fmt: skip
