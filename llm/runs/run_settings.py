"""All of a training run, in one dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from llm.base.generation import Sampling
from llm.base.lora_settings import LoraSettings
from llm.base.shared_base import Scoring
from llm.data.preference_text import DataSettings
from llm.runs.tracking import Tracker
from llm.training.group_training import GroupSettings, Method
from llm.training.joint_passes import Sharing
from llm.training.passes import DPOTraining


@dataclass(frozen=True)
class RunSettings:
    """All of a training run; see the sections' own docstrings.

    model: folder of the base.  beta: temperature of the policies against the reference.  dtype: of the base in
    training.  scoring: numbers of the scores that responsibilities and figures come from: "same", those of dtype, or
    "float32", at about the cost of a float32 base in time and of one more module in memory.  sharding: of several
    processes, whether each holds the base whole or all of them one together (see `llm.base.sharding`); auto is full
    where `accelerate launch` was given --use_fsdp.  four_bit: the base's linear layers in 4 bits (QLoRA; CUDA and the
    package bitsandbytes).  keep_journal: keep the finished pieces that a restart would read;
    they are removed at the end otherwise.  tracker: where the record of steps and rounds goes beside metrics.jsonl,
    see `Tracking`.
    """

    model: str = ""
    method: Method = "em-dpo"
    beta: float = 0.1
    data: DataSettings = field(default_factory=DataSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: DPOTraining = field(default_factory=DPOTraining)
    groups: GroupSettings = field(default_factory=GroupSettings)
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    scoring: Scoring = "same"
    sharding: Literal["auto", "none", "full"] = "auto"
    four_bit: bool = False
    threads: int | None = None
    eval_tokens: int | None = None
    keep_journal: bool = False
    tracker: Tracker = "none"

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ValueError(f"beta must be positive (got {self.beta})")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative (got {self.seed})")
        Sharing.of(self.training, self.lora)
        if self.groups.start == "adapters" and not isinstance(self.lora.start, tuple):
            raise ValueError("groups.start=adapters needs an adapter a group: lora.start=[FOLDER, ...]")
        if self.four_bit and (self.scoring == "float32" or self.sharding == "full"):
            other = "scoring float32" if self.scoring == "float32" else "sharding full"
            raise ValueError(f"four_bit does not go with {other}; leave one of them out")
        if self.groups.prompt_laws is not None and self.method != "em-dpo":
            raise ValueError(f"groups.prompt_laws belongs to method em-dpo (got {self.method}); leave it out")


# What changes neither the path nor the result of a run. What device and dtype came to is in its origin.
FREE = ("device", "dtype", "sharding", "threads", "keep_journal", "tracker")
FREE_IN_TRAINING = ("gradient_checkpointing", "checkpoint_steps")
