"""Settings of `make-imdb`, and its two scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCENARIOS = {
    "paper": (("sentiment", "sentiment", 2 / 3), ("grammar", "grammar", 1 / 3)),
    "opposed": (("positive", "sentiment", 2 / 3), ("negative", "negative-sentiment", 1 / 3)),
}
"""scenario -> (group, scorer, share of the annotators)"""


@dataclass(frozen=True)
class ImdbSettings:
    """data: labelled reviews.  model: the SFT model's folder.  pool, test_pool: prompts whose two continuations the
    training and the unseen annotators compare (each draws `pairs` of them).  correlation: between prompts and groups,
    against Assumption 1 of the paper: training prompts are split evenly between groups, and a training annotator draws
    from her group's part with this probability, else from all.  candidates: continuations sampled a
    prompt; of more than the paper's two, the two that the groups' scores set furthest apart are compared, which makes
    labels easier to learn for a small model.  instruction: what
    a chat model is asked for; the review's first tokens are then the beginning of its answer.  reviews: how many train
    the sentiment classifier (None: all).  continuations: a folder where samples are kept, for every scenario and
    number of candidates on the same model (default: in `--out` until it is finished)."""

    data: str = ""
    model: str = ""
    continuations: str = ""
    instruction: str = ""
    scenario: Literal["paper", "opposed"] = "paper"
    annotators: int = 120
    unseen: int = 40
    pairs: int = 50
    correlation: float = 0.0
    pool: int = 1_500
    test_pool: int = 400
    prompt_tokens: int = 20
    new_tokens: int = 32
    candidates: int = 2
    reviews: int | None = None
    batch: int = 64
    threads: int | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("annotators", "pairs", "pool", "prompt_tokens", "new_tokens", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 (got {getattr(self, name)})")
        if self.candidates < 2:
            raise ValueError(f"candidates must be at least 2 (got {self.candidates})")
        if self.unseen < 0 or self.seed < 0 or (self.unseen > 0 and self.test_pool < 1):
            raise ValueError("unseen and seed must not be negative, test_pool at least 1")
        if not 0.0 <= self.correlation <= 1.0:
            raise ValueError(f"correlation must be from 0 to 1 (got {self.correlation})")
        if self.correlation > 0.0 and self.pairs > self.pool // len(SCENARIOS[self.scenario]):
            raise ValueError(
                f"an annotator's {self.pairs} pairs are drawn without repeats, with correlation up to all of them from "
                f"her group's part of the {self.pool} prompts: enlarge pool"
            )
        if self.pairs > self.pool or (self.unseen > 0 and self.pairs > self.test_pool):
            raise ValueError(f"an annotator's {self.pairs} pairs are drawn without repeats: enlarge pool and test_pool")
