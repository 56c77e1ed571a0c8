"""The reference as a policy: the base with its adapters switched off."""

from __future__ import annotations

import numpy as np

from llm.base.generation import KeptSamples, Sampling, sample_responses
from llm.base.journal import Journal, fingerprint
from llm.base.shared_base import SharedBase
from sim.preferences import AnyArray, FloatArray
from sim.streams import Stream


class ReferencePolicy:
    """pi_ref itself: the base without adapters."""

    name = "reference"

    def __init__(
        self,
        base: SharedBase,
        *,
        beta: float = 0.1,
        sampling: Sampling | None = None,
        journal: Journal | None = None,
    ) -> None:
        """journal: finished samples."""
        self.base, self.beta, self.sampling = base, beta, sampling or Sampling()
        self.journal = journal or Journal(None)

    @property
    def identity(self) -> str:
        """Fingerprint of the base and of the numbers it computes in."""
        return fingerprint(self.base.identity, self.base.computed_in)

    def log_ratio(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        return np.zeros(len(contexts))

    def implicit_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        return np.zeros(len(contexts))

    def sample(self, contexts: AnyArray, stream: Stream) -> AnyArray:
        kept = KeptSamples(self.journal, self.identity) if self.journal.folder is not None else None
        return sample_responses(self.base, None, contexts, stream, self.sampling, kept)
