"""The dials of the study of tastes: whose answers are fitted, how many, and what is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.studies.setting_checks import Count, check_kinds, require_share

# Features of a text and questions, which only the file says: what `make_tastes` makes by default.
_WIDTH, _QUESTIONS = 128, 2000


@dataclass(frozen=True)
class TastesSetting:
    """Should everybody have one reward, her own, her own over what is common to all, or that of people like her?

    questions: a file of `make_tastes`, over which annotators are drawn: of each one taste (people: single) or a mixture
    of all with uniform weights (mixed), who answer by Bradley-Terry, P = sigmoid(sharpness * advantage), advantages of
    standard deviation 1.  context_noise: annotators' features are their tastes' weights plus noise of so many standard
    deviations, None: there are none, and no low-rank rewards.
    answers_file: real answers instead (pairs with a prompt and an annotator_id); features are the file's, or made of
    words.

    annotators: known ones; of real ones those with the most answers.  answers: of each, to learn from (at most, of real
    ones).  test_answers: of each, to prompts that others answer in training, and as many to new prompts.  new_prompts:
    share of prompts that nobody answers in training.  new_annotators: nobody trained on these; they are scored on
    test_answers to new prompts after each number in `shown` of answers, the mean over `draws` of which.
    directions: leading features that are used, all if None.  largest: number of clusters, dimensions or rank that is
    tried.  restarts: of clusters.  baselines: recipes of other people to fit beside ours (see `sim.fitting.methods`).
    """

    questions: str | None = None
    answers_file: str | None = None
    people: Literal["single", "mixed"] = "single"
    sharpness: float = 3.0
    context_noise: float | None = 0.5
    annotators: int = 40
    answers: int = 50
    test_answers: int = 20
    new_prompts: float = 0.2
    new_annotators: int = 40
    shown: tuple[Count, ...] = (0, 5, 10, 20, 50)
    draws: int = 20
    directions: int | None = None
    largest: int = 8
    restarts: int = 5
    baselines: tuple[Literal["maxmin-rlhf", "pal", "pal-distance", "vpl", "vpl-encoder"], ...] = ()

    def __post_init__(self) -> None:
        check_kinds(self)
        require_share(new_prompts=self.new_prompts)
        if self.questions is not None and self.answers_file is not None:
            raise ValueError("answers_file must not be given beside questions: answers are drawn or they are real")
        if len(set(self.baselines)) < len(self.baselines):
            raise ValueError(f"baselines must be given once each (got {list(self.baselines)})")
        if not self.sharpness > 0:
            raise ValueError(f"sharpness must be positive (got {self.sharpness})")
        if self.context_noise is not None and not 0 <= self.context_noise < float("inf"):
            raise ValueError(f"context_noise must not be negative (got {self.context_noise})")
        if not self.shown or list(self.shown) != sorted(set(self.shown)) or self.shown[0] < 0:
            raise ValueError(f"shown must be numbers from 0 on, each once and ascending (got {list(self.shown)})")

    @property
    def pool(self) -> int:
        """Answers of a new annotator out of which those shown are drawn."""
        return 2 * self.shown[-1]

    def memory(self) -> int:
        """Bytes a replicate needs: features of both responses and their difference, thrice (all answers, those that are
        fitted, those that are scored), which answers each draw shows, and what everybody would answer to everything."""
        known = self.annotators * (self.answers + 2 * self.test_answers)
        new = self.new_annotators * (self.pool + self.test_answers)
        width = min(self.directions or _WIDTH, _WIDTH)
        draws = self.draws * self.new_annotators * max(self.pool, 1)
        everything = 2 * (self.annotators + self.new_annotators) * _QUESTIONS
        return 8 * (3 * width * (known + new) + draws + everything)
