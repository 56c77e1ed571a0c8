"""What `plan` says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from llm.planning.ways import Way


@dataclass(frozen=True)
class PlannedMemory:
    """What tensors hold, in bytes: weights, adapters, the peaks of the three kinds of work, and the largest of them.

    peak: of a device; where the base is spread over several the other numbers are those of a base that is whole.
    """

    weights: int
    adapters: int
    training_peak: int
    evaluation_peak: int
    generation_peak: int
    peak: int


@dataclass(frozen=True)
class PlannedWork:
    """sharp: every answer trains one group; soft: every answer all K."""

    sharp: float
    soft: float


@dataclass(frozen=True)
class PlannedTokens:
    """data: tokens of the answers; sharp, soft: tokens that pass through the model in a run."""

    data: float
    sharp: float
    soft: float


@dataclass(frozen=True)
class Plan:
    """What a run will need: counts of parameters, bytes, tokens, FLOPs, hours, and what the hours assume.

    memory_of_device: bytes that tensors may take of it.  ways: tried in turn, the last of them the one planned.
    mean_tokens, longest_tokens: of a prompt and a response, on average (tokens and hours) and of the largest answer
    (memory), of `largest_responses`.
    """

    model: str
    parameters: int
    adapter_parameters: int
    types: int
    device: str
    dtype: str
    memory_bytes: PlannedMemory
    pairs_per_forward: int
    tokens: PlannedTokens
    flops: PlannedWork
    assumed_flops_per_second: float
    assumed_share_of_peak: float
    hours: PlannedWork
    memory_of_device: float
    ways: tuple[Way, ...]
    mean_tokens: tuple[int, int]
    longest_tokens: tuple[int, int]
    largest_responses: int

    @property
    def verdict(self) -> str:
        """In words: fits, and how, or does not."""
        way = self.ways[-1]
        if not way.fits:
            return "does not fit"
        return "fits" if way.name == "as it is" else f"fits {way.name}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}
