"""What `eval` finds, in the order of eval.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from llm.runs.margins import MarginSummary
from llm.runs.quality import MeanInterval
from llm.runs.table_rows import Ensemble
from llm.runs.worst_group import WorstGroup, WorstMean


@dataclass(frozen=True)
class EvaluatedGroup:
    """A group: its number, its adapter in the run, what the file calls it, and how many annotators are in it."""

    group: int
    adapter: str
    name: str
    n_annotators: int


@dataclass(frozen=True)
class PolicyOnAnswers:
    """A policy on each group's answers."""

    groups: tuple[MarginSummary, ...]

    @property
    def worst_group_accuracy(self) -> float | None:
        return min((row.accuracy for row in self.groups if row.accuracy is not None), default=None)

    def as_json(self) -> dict[str, Any]:
        cells = {
            f"{name}/group_{k}": value for k, row in enumerate(self.groups) for name, value in row.as_json().items()
        }
        return {**cells, "worst_group_accuracy": self.worst_group_accuracy}


@dataclass(frozen=True)
class OwnGroupGap:
    """Accuracy of a group's own policy minus that of a pooled one, on the group's answers."""

    group: int
    policy: str
    against: str
    accuracy: float | None
    accuracy_interval: tuple[float, float] | None


@dataclass(frozen=True)
class SampledQuality:
    """A policy's samples: words, scores by scorer, and the groups' regrets, implied by the groups' own policies and
    (where every group has a scorer) measured by their scorers."""

    words: float
    scores: Mapping[str, MeanInterval]
    implicit: tuple[MeanInterval, ...]
    worst_implicit: WorstGroup
    scored: tuple[MeanInterval, ...] | None = None
    worst_scored: WorstGroup | None = None

    def as_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "words": self.words,
            "scores": {name: asdict(value) for name, value in self.scores.items()},
            "regret/implicit": [asdict(value) for value in self.implicit],
            "worst_regret/implicit": asdict(self.worst_implicit),
        }
        if self.scored is not None and self.worst_scored is not None:
            row["regret/scored"] = [asdict(value) for value in self.scored]
            row["worst_regret/scored"] = asdict(self.worst_scored)
        return row


@dataclass(frozen=True)
class WorstRegretGap:
    """Worst-group regret of a policy minus that of a pooled one, on the same prompts."""

    policy: str
    against: str
    implicit: WorstMean
    scored: WorstMean | None = None

    def as_json(self) -> dict[str, Any]:
        row = asdict(self)
        if self.scored is None:
            del row["scored"]
        return row


@dataclass(frozen=True)
class ReadSample:
    """What each policy wrote to a prompt, for people to read; an ensemble draws one of its members' responses."""

    prompt: str
    responses: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return {"prompt": self.prompt, "responses": dict(self.responses)}


@dataclass(frozen=True)
class SampledTables:
    """scorers: group -> name of its scorer, or None.  score_scale: standard deviation of each score over the
    reference's samples.  sampled: by policy and ensemble.  examples: some of the samples as text."""

    n_prompts: int
    samples: int
    scorers: Mapping[int, str | None]
    score_scale: Mapping[str, float]
    sampled: Mapping[str, SampledQuality]
    worst_regret_differences: tuple[WorstRegretGap, ...]
    examples: tuple[ReadSample, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "n_prompts": self.n_prompts,
            "samples": self.samples,
            "scorers": dict(self.scorers),
            "score_scale": dict(self.score_scale),
            "sampled": {name: row.as_json() for name, row in self.sampled.items()},
            "worst_regret_differences": [row.as_json() for row in self.worst_regret_differences],
            "examples": [row.as_json() for row in self.examples],
        }


@dataclass(frozen=True)
class Evaluation:
    """groups_from: how it is known who is in which group.  answers_from: whose answers they are.  policies: on answers.
    grouping: a run's label -> its policies.  samples: on fresh samples."""

    groups: tuple[EvaluatedGroup, ...]
    groups_from: str
    answers_from: str
    policies: Mapping[str, PolicyOnAnswers]
    own_group: tuple[OwnGroupGap, ...]
    ensembles: tuple[Ensemble, ...]
    grouping: Mapping[str, list[str]]
    samples: SampledTables

    def as_json(self) -> dict[str, Any]:
        return {
            "groups": [asdict(group) for group in self.groups],
            "groups_from": self.groups_from,
            "answers_from": self.answers_from,
            "policies": {name: row.as_json() for name, row in self.policies.items()},
            "own_group": [asdict(row) for row in self.own_group],
            "ensembles": [
                {"name": e.name, "members": list(e.members), "weights": e.weights.tolist(), "kind": e.kind}
                for e in self.ensembles
            ],
            "grouping": dict(self.grouping),
            **self.samples.as_json(),
        }
