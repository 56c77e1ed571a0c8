"""From a table of preferences to what the estimators take: standardised features, splits, effective weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.errors import InputError
from sim.files.pair_table import SPLITS, PairTable
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class Prepared:
    """One standardised row an answer.

    differences: (n, d) features of chosen minus rejected, each divided by its standard deviation over the items of
    training answers.  features: (n_items, d) in the same units, centred.  train, test, unseen: masks (n,).
    weight: (n,) see `effective_weights`.
    """

    table: PairTable
    differences: FloatArray
    features: FloatArray
    feature_names: tuple[str, ...]
    train: BoolArray
    test: BoolArray
    unseen: BoolArray
    weight: FloatArray

    @property
    def annotator(self) -> IntArray:
        return self.table.annotator

    @property
    def n_annotators(self) -> int:
        return self.table.n_annotators


def items_recur(table: PairTable) -> bool:
    """Whether annotators meet the same item again and again (films) or once (generated responses)."""
    person = np.concatenate([table.annotator, table.annotator])
    item = np.concatenate([table.chosen, table.rejected])
    return len(person) >= 1.5 * len(np.unique(person * len(table.items) + item))


def hold_out(table: PairTable, rows: BoolArray, share: float, stream: Stream) -> tuple[BoolArray, BoolArray]:
    """(kept, held) masks inside `rows`.

    Where items recur, a share of each annotator's items is set aside: held answers are between two of these, kept
    answers between none, the others are dropped. Two answers about one film are not independent, and a random split
    of answers would let a model learn the test film from the training one. Else answers are split at random.
    """
    if not items_recur(table):
        held = stream.uniforms(len(table)) < share
        return rows & ~held, rows & held
    n_items = len(table.items)
    keys = np.concatenate([table.annotator * n_items + table.chosen, table.annotator * n_items + table.rejected])
    distinct, index = np.unique(keys, return_inverse=True)
    aside = (stream.uniforms(len(distinct)) < share)[index].reshape(2, len(table))
    return rows & ~aside[0] & ~aside[1], rows & aside[0] & aside[1]


def effective_weights(table: PairTable, rows: BoolArray) -> FloatArray:
    """(n,) weight of each answer among `rows`: min(1, (items - 1) / answers) of its annotator, zero elsewhere.

    m items allow at most m - 1 independent comparisons. Taking 160 answers about 50 films for 160 independent ones
    makes an annotator's posterior over types far too sharp and rewards types that fit her noise.
    """
    n = table.n_annotators
    answers = np.bincount(table.annotator[rows], minlength=n)
    person = np.concatenate([table.annotator[rows], table.annotator[rows]])
    item = np.concatenate([table.chosen[rows], table.rejected[rows]])
    distinct = np.unique(person * len(table.items) + item) // len(table.items)
    items = np.bincount(distinct, minlength=n)
    share = np.minimum(1.0, (items - 1) / np.maximum(answers, 1))
    weight = np.where(rows, np.maximum(share, 0.0)[table.annotator], 0.0)
    return weight if table.weight is None else weight * table.weight


def with_split(table: PairTable, stream: Stream, unseen: float = 0.15, test: float = 0.3) -> PairTable:
    """The table with a split of its own where the file has none: whole unseen annotators, and held-out answers of the
    others (by items where items recur; answers that would mix the two sides are left out)."""
    if table.split is not None:
        return table
    hidden = stream.child("unseen").uniforms(table.n_annotators) < unseen
    rows = ~hidden[table.annotator]
    kept, held = hold_out(table, rows, test, stream.child("test"))
    # Somebody without a training answer is no known annotator.
    known = np.bincount(table.annotator[kept], minlength=table.n_annotators) > 0
    held &= known[table.annotator]
    codes = np.full(len(table), -1, dtype=np.int64)
    for name, mask in zip(SPLITS, (kept, held, ~rows), strict=True):
        codes[mask] = SPLITS.index(name)
    used = codes >= 0
    if not kept.any():
        raise InputError("no answers are left to train on", file=table.source, fix="give more answers an annotator")
    return replace(
        table,
        prompt=table.prompt[used],
        chosen=table.chosen[used],
        rejected=table.rejected[used],
        annotator=table.annotator[used],
        weight=None if table.weight is None else table.weight[used],
        split=codes[used],
    )


def _item_features(table: PairTable) -> tuple[FloatArray, tuple[str, ...]]:
    """The file's features, or one indicator an item where items recur enough to have a strength of their own."""
    if table.features is not None:
        return table.features, table.feature_names
    uses = 2 * len(table) / len(table.items)
    if uses < 10 or len(table.items) > 500:
        raise InputError(
            f"the items have no features and too few answers each for a strength of their own ({uses:.1f} on average, "
            f"{len(table.items)} items)",
            file=table.source,
            field="chosen_features",
            fix="add columns chosen_features and rejected_features (a list of numbers each)",
        )
    return np.eye(len(table.items)), table.items


def prepare(table: PairTable, stream: Stream) -> Prepared:
    """Split if need be, standardise, weight."""
    split = with_split(table, stream.child("split"))
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
    standard = (features[:, varies] - features[used][:, varies].mean(axis=0)) / scale[varies]
    return Prepared(
        table=split,
        differences=standard[split.chosen] - standard[split.rejected],
        features=standard,
        feature_names=tuple(name for name, keep in zip(names, varies, strict=True) if keep),
        train=train,
        test=split.rows_of("test"),
        unseen=split.rows_of("unseen"),
        weight=effective_weights(split, train),
    )
