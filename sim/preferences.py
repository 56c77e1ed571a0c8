"""Preferences as frozen structs of arrays: what annotators said, one row an answer.

Conventions, kept everywhere:

- row j is one answer; `annotator[j]` in 0..n_annotators-1 gave it;
- `contexts` and responses are opaque to the algorithms: integers that index a table, rows of numbers, or
  objects. Only a policy looks inside them;
- `group[i]` is the hidden type of annotator i where a simulator or a file knows it. No estimator reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np

from sim.arguments import weight_array
from sim.arrays import AnyArray as AnyArray
from sim.arrays import BoolArray as BoolArray
from sim.arrays import FloatArray as FloatArray
from sim.arrays import IntArray as IntArray


def _require_rows(n_rows: int, **columns: AnyArray | None) -> None:
    for name, column in columns.items():
        if column is not None and len(column) != n_rows:
            raise ValueError(f"{name} has {len(column)} rows, expected {n_rows} (one an answer)")


def _require_annotators(annotator: IntArray, n_annotators: int, group: IntArray | None) -> None:
    if annotator.ndim != 1 or annotator.dtype.kind not in "iu":
        raise ValueError(f"annotator must be (n,) whole numbers (got {annotator.dtype} {annotator.shape})")
    if annotator.size and (annotator.min() < 0 or annotator.max() >= n_annotators):
        raise ValueError(
            f"annotator must lie in 0..{n_annotators - 1} (got {annotator.min()}..{annotator.max()}); "
            "number annotators from 0"
        )
    if group is not None and len(group) != n_annotators:
        raise ValueError(f"group has {len(group)} entries, expected {n_annotators} (one an annotator)")


@dataclass(frozen=True, eq=False)
class PreferencePairs:
    """Pairwise answers: in context `contexts[j]`, `annotator[j]` preferred `chosen[j]` to `rejected[j]`.

    contexts: (n_pairs,) or (n_pairs, d).  chosen, rejected: (n_pairs,) or (n_pairs, d), same dtype.
    annotator: (n_pairs,) int.  weights: (n_pairs,) positive or None (all ones).
    group: (n_annotators,) int or None.
    """

    contexts: AnyArray
    chosen: AnyArray
    rejected: AnyArray
    annotator: IntArray
    n_annotators: int
    weights: FloatArray | None = None
    group: IntArray | None = None

    def __post_init__(self) -> None:
        _require_rows(
            len(self.chosen),
            contexts=self.contexts,
            rejected=self.rejected,
            annotator=self.annotator,
            weights=self.weights,
        )
        _require_annotators(self.annotator, self.n_annotators, self.group)
        if self.chosen.shape != self.rejected.shape:
            raise ValueError(f"rejected must have the shape of chosen, {self.chosen.shape} (got {self.rejected.shape})")
        if self.weights is not None:
            weight_array("weights", self.weights, len(self.chosen))

    @property
    def n_pairs(self) -> int:
        return len(self.chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def select(self, rows: AnyArray) -> Self:
        """The answers at `rows` (indices or a mask); annotators keep their numbers."""
        return replace(
            self,
            contexts=self.contexts[rows],
            chosen=self.chosen[rows],
            rejected=self.rejected[rows],
            annotator=self.annotator[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    def pair_weights(self) -> FloatArray:
        """(n_pairs,) weights, ones where none were given."""
        return np.ones(len(self)) if self.weights is None else self.weights


@dataclass(frozen=True, eq=False)
class Rankings:
    """K-wise answers: `responses[j]` holds the J offered responses, the first `n_ranked` of them in order.

    n_ranked = 1 is a top choice out of J (the other columns in any order); n_ranked = J (or J - 1) is a full
    ranking.  responses: (n_rankings, J) or (n_rankings, J, d).  The likelihood is Plackett-Luce over the
    remaining sets (used by the later version of arXiv 2405.15065 for choices among three or more).
    """

    contexts: AnyArray
    responses: AnyArray
    annotator: IntArray
    n_annotators: int
    n_ranked: int = 1
    weights: FloatArray | None = None
    group: IntArray | None = None

    def __post_init__(self) -> None:
        _require_rows(len(self.responses), contexts=self.contexts, annotator=self.annotator, weights=self.weights)
        _require_annotators(self.annotator, self.n_annotators, self.group)
        if self.weights is not None:
            weight_array("weights", self.weights, len(self.responses))
        if self.responses.ndim < 2:
            raise ValueError(f"responses must be (n, J) or (n, J, d) (got {self.responses.shape})")
        if not 1 <= self.n_ranked <= self.responses.shape[1]:
            raise ValueError(
                f"n_ranked must lie in 1..{self.responses.shape[1]} (got {self.n_ranked}); "
                "1 is a top choice, the number offered a full ranking"
            )

    def __len__(self) -> int:
        return len(self.responses)

    @property
    def n_offered(self) -> int:
        return int(self.responses.shape[1])

    def select(self, rows: AnyArray) -> Self:
        """The answers at `rows` (indices or a mask); annotators keep their numbers."""
        return replace(
            self,
            contexts=self.contexts[rows],
            responses=self.responses[rows],
            annotator=self.annotator[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    def pair_weights(self) -> FloatArray:
        """(n_rankings,) weights, ones where none were given."""
        return np.ones(len(self)) if self.weights is None else self.weights


Observations: TypeAlias = PreferencePairs | Rankings
