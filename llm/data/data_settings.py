"""Settings of the data section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataSettings:
    """train, test: files (.jsonl, .jsonl.gz, .parquet) or folders saved by `datasets`.

    Without `test` and without a split column, the share `unseen` of the annotators is kept for evaluation. All answers
    to the share `held_out` of the prompts stop training early and choose the number of types.
    same_annotators: whether `test` may hold people who are in `train`.
    window: most tokens of prompt and response together (default: the model's, at most 512); too_long: what to do with
    a pair that is longer: truncate cuts the prompt from the left, down to half the window, then the responses at their
    ends.  append_end: whether responses that are texts end with the end token; false for continuations cut at a length.
    chat: whether plain texts are turns of a conversation, the prompt the user's and the response the assistant's, for
    models that know their chat template only; message lists are rendered by it either way.
    """

    train: str = ""
    test: str | None = None
    unseen: float = 0.2
    held_out: float = 0.1
    same_annotators: bool = False
    window: int | None = None
    too_long: Literal["error", "drop", "truncate"] = "error"
    append_end: bool = True
    chat: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.unseen < 1 or not 0 <= self.held_out < 1:
            raise ValueError(f"data.unseen and data.held_out must lie in [0, 1) (got {self.unseen}, {self.held_out})")
        if self.window is not None and self.window < 2:
            raise ValueError(f"data.window must be at least 2 (got {self.window})")
