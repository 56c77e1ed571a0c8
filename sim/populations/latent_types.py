"""Annotators of unobserved types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import probability_array, require_count
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class LatentTypes:
    """Z_i ~ Categorical(mixture), one type an annotator; with `exact`, the shares are kept as near as counts
    allow (largest remainders) and only the order is random."""

    mixture: FloatArray
    exact: bool = False

    def __post_init__(self) -> None:
        probability_array("mixture", self.mixture, ("n_types",), 1e-9)

    @property
    def n_types(self) -> int:
        return len(self.mixture)

    def draw(self, n_annotators: int, stream: Stream) -> IntArray:
        """Types of the annotators; (n_annotators,)."""
        require_count("n_annotators", n_annotators)
        if not self.exact:
            return stream.choice(self.mixture, n_annotators)
        ideal = np.asarray(self.mixture) * n_annotators
        counts = np.floor(ideal).astype(np.int64)
        short = n_annotators - int(counts.sum())
        counts[np.argsort(counts - ideal, kind="stable")[:short]] += 1
        return np.repeat(np.arange(self.n_types), counts)[stream.permutation(n_annotators)]
