"""Settings of the data section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.answer_kinds.kinds import LIKELIHOODS, AskedLikelihood


@dataclass(frozen=True)
class DataSettings:
    """train, test: files (.jsonl, .jsonl.gz, .parquet) or folders saved by `datasets`.

    Where `train` has a split column, its rows of split `train` alone are trained on, with `test` as without.
    Without `test` and without a split column, the share `unseen` of the annotators is kept for evaluation.
    new_prompts: all answers to this share of the prompts are kept out, and reported.  held_out: this share of each
    annotator's answers is kept out, about prompts that are in training; they stop training and choose the number of
    types. Where no prompt has two answers, those to the new prompts do.
    same_annotators: whether `test` may hold people who are trained on.
    window: most tokens of prompt and response together (default: the model's, at most 512); too_long: what to do with
    a pair that is longer: truncate cuts the prompt from the left, down to half the window, then the responses at their
    ends.  append_end: whether responses that are texts end with the end token; false for continuations cut at a length.
    chat: whether plain texts are turns of a conversation, the prompt the user's and the response the assistant's, for
    models that know their chat template only; message lists are rendered by it either way.
    likelihood: of answers that are more than a better and a worse response (ties, strengths, choices, rankings,
    ratings); auto takes the one that uses all they say, bradley-terry leaves out what pairs cannot.  Answers of `test`
    may be of another kind: they only say which response is better.
    """

    train: str = ""
    test: str | None = None
    unseen: float = 0.2
    held_out: float = 0.1
    new_prompts: float = 0.1
    same_annotators: bool = False
    window: int | None = None
    too_long: Literal["error", "drop", "truncate"] = "error"
    append_end: bool = True
    chat: bool = False
    likelihood: AskedLikelihood = "auto"

    def __post_init__(self) -> None:
        for name in ("unseen", "held_out", "new_prompts"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"data.{name} must lie in [0, 1) (got {getattr(self, name)})")
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"data.likelihood must be one of {', '.join(LIKELIHOODS)} (got '{self.likelihood}')")
        if self.window is not None and self.window < 2:
            raise ValueError(f"data.window must be at least 2 (got {self.window})")
