"""Settings of `sft`."""

from __future__ import annotations

from dataclasses import dataclass

from llm.base.small_mistral import SIZES
from sim.errors import InputError


@dataclass(frozen=True)
class SftSettings:
    """data: .jsonl[.gz] with `text`, or with `messages`, which the chat template of `model` renders.  size: shape of a
    new model; model: a folder to continue instead.

    Texts are cut into passages of whole sentences (about `passage_words` words), each <s> ... </s>, at most `length`
    tokens; a conversation is one passage, and all its tokens are learned.  tidy: whether line breaks, <br /> and
    repeated spaces are one space each, as suits reviews from the web; else texts are kept as they are.
    batch: passages a step, at most; their numbers differ by one at most, and a pass has every passage once.
    held_out: share of the documents the model is judged on and never trained on.
    steps: optimiser steps, None for `epochs` passes.  tokenizer_documents: how many the tokenizer learns from.
    """

    data: str = ""
    model: str | None = None
    size: str = "tiny"
    length: int = 96
    passage_words: int = 50
    tidy: bool = False
    batch: int = 64
    epochs: float = 1.0
    steps: int | None = None
    rate: float = 3e-3
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    held_out: float = 0.02
    limit: int | None = None
    tokenizer_documents: int = 5_000
    checkpoint_steps: int = 200
    threads: int | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.model is None and self.size not in SIZES:
            raise InputError(f"unknown size '{self.size}'", field="size", fix=f"choose one of {', '.join(SIZES)}")
        for name in ("length", "passage_words", "batch", "epochs", "rate", "clip", "checkpoint_steps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive (got {getattr(self, name)})")
        if not 0 < self.held_out < 1 or not 0 <= self.warmup < 1:
            raise ValueError(f"held_out must lie in (0, 1), warmup in [0, 1) (got {self.held_out}, {self.warmup})")
        if self.seed < 0 or (self.steps is not None and self.steps < 1) or (self.limit is not None and self.limit < 2):
            raise ValueError("seed must not be negative, steps at least 1, limit at least 2")
