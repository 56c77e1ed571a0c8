"""Settings of `plan`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from llm.base.generation import Sampling
from llm.base.lora_settings import LoraSettings
from llm.base.shared_base import Scoring
from llm.training.joint_passes import Sharing
from llm.training.passes import DPOTraining


@dataclass(frozen=True)
class PlanSettings:
    """model: a folder (its config.json alone is read); size: a shape of `llm sft`, or mistral-7b.

    data: a file of preferences to count.  pairs, prompt_tokens, response_tokens: the answers to train on (None: those
    of `data`, or 6,000 of 20 and 40 tokens); distinct: how many different responses to their prompts they are about
    (None: as counted, or two a pair), each of which is scored once; alike: how many of the pairs are left where those
    answered alike are merged, whoever answered (training.merge; None: as counted, or all).  types, rounds: K groups,
    EM rounds.  device: cpu, h200, h100, a100.
    scoring, four_bit: as of a run; scoring "float32" counts in memory, not in hours.
    memory: GiB that tensors may take of the device (None: what such a device has, less what libraries take; of a CPU
    what is free on this machine).
    """

    model: str | None = None
    size: str = "mistral-7b"
    types: int = 2
    data: str | None = None
    pairs: int | None = None
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    distinct: int | None = None
    alike: int | None = None
    rounds: int = 8
    device: Literal["cpu", "h200", "h100", "a100"] = "cpu"
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: DPOTraining = field(default_factory=DPOTraining)
    sampling: Sampling = field(default_factory=Sampling)
    scoring: Scoring = "same"
    eval_tokens: int | None = None
    four_bit: bool = False
    memory: float | None = None

    def __post_init__(self) -> None:
        for name in ("types", "pairs", "prompt_tokens", "response_tokens", "distinct", "alike", "rounds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 (got {value})")
        Sharing.of(self.training, self.lora)
        if self.memory is not None and not self.memory > 0:
            raise ValueError(f"memory must be positive (got {self.memory})")
        if self.four_bit and self.device == "cpu":
            raise ValueError("four_bit needs a CUDA device (got cpu); leave it out")
        if self.four_bit and self.scoring == "float32":
            raise ValueError("four_bit does not go with scoring float32; leave one of them out")
