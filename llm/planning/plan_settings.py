"""Settings of `plan`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from llm.base.generation import Sampling
from llm.base.shared_base import LoraSettings, Scoring
from llm.training.passes import DPOTraining


@dataclass(frozen=True)
class PlanSettings:
    """model: a folder (its config.json alone is read); size: a shape of `llm sft`, or mistral-7b.

    pairs, prompt_tokens, response_tokens: the data; alike: how many of the pairs are left where those answered alike
    are merged (training.merge; None: all); types, rounds: K groups, EM rounds.  device: cpu, h200, h100, a100.
    scoring: as of a run; "float32" counts in memory, not in hours.
    """

    model: str | None = None
    size: str = "mistral-7b"
    types: int = 2
    pairs: int = 6_000
    prompt_tokens: int = 20
    response_tokens: int = 40
    alike: int | None = None
    rounds: int = 8
    device: Literal["cpu", "h200", "h100", "a100"] = "cpu"
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: DPOTraining = field(default_factory=DPOTraining)
    sampling: Sampling = field(default_factory=Sampling)
    scoring: Scoring = "same"
    eval_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("types", "pairs", "prompt_tokens", "response_tokens", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 (got {getattr(self, name)})")
        if self.alike is not None and not 1 <= self.alike <= self.pairs:
            raise ValueError(f"alike must lie in 1 to pairs, {self.pairs} (got {self.alike})")
