"""The reference as a policy: the base with its adapters switched off."""

from __future__ import annotations

import numpy as np

from llm.base.generation import Sampling, sample_responses
from llm.base.shared_base import SharedBase
from sim.preferences import AnyArray, FloatArray
from sim.streams import Stream


class ReferencePolicy:
    """pi_ref itself: the base without adapters."""

    name = "reference"

    def __init__(self, base: SharedBase, *, beta: float = 0.1, sampling: Sampling | None = None) -> None:
        self.base, self.beta, self.sampling = base, beta, sampling or Sampling()

    def log_ratio(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        return np.zeros(len(contexts))

    def implicit_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        return np.zeros(len(contexts))

    def sample(self, contexts: AnyArray, stream: Stream) -> AnyArray:
        return sample_responses(self.base, None, contexts, stream, self.sampling)
