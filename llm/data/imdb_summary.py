"""make.json: what `make-imdb` made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm.base.folder_format import file_checksum, read_stamped, require_unchanged
from llm.base.identity import require_same_model
from sim.errors import InputError


@dataclass(frozen=True)
class GroupOfAnnotators:
    """group_id in the file, the scorer whose taste it has, and its share of the annotators."""

    group_id: str
    scorer: str
    share: float


@dataclass(frozen=True)
class SentimentAccuracy:
    """Accuracy and its 95 % limits on reviews the classifier was not taught, whole and cut."""

    reviews: tuple[float, ...]
    windows_of_30_words: tuple[float, ...]


@dataclass(frozen=True)
class Example:
    """A prompt and its two continuations; scores: group -> of the first and the second."""

    prompt: str
    first: str
    second: str
    scores: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class ImdbSummary:
    """make.json: what was made, how often scores tie, and how often the groups want the same.

    dropped_prompts: passed over because their continuations were empty or equal.  groups_agree: share of the pool's
    pairs, of those neither group finds tied, on which both prefer the same continuation; None where there is no such
    pair.  before: what a decoded prompt
    begins with and no scorer is shown, the instruction.  reviews: checksum of the file of reviews.  base, tokenizer:
    hashes of the model's files.
    """

    settings: Mapping[str, Any]
    scenario: str
    groups: tuple[GroupOfAnnotators, ...]
    n_pairs: int
    n_annotators: int
    n_unseen_annotators: int
    pool: int
    dropped_prompts: int
    tied_share_of_pool: Mapping[str, float]
    tied_labels_in_training: Mapping[str, int]
    groups_agree: float | None
    sentiment_accuracy: SentimentAccuracy
    examples: tuple[Example, ...]
    versions: Mapping[str, str]
    before: str = ""
    reviews: str = ""
    base: str = ""
    tokenizer: str = ""
    # Checksums of the pairs and the scorers: what a training run and `eval` read.
    files: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_finished(out: Path, same: Mapping[str, Any], data: str, model: str) -> ImdbSummary | None:
    """The summary of a finished folder, None where there is none; other settings than `same`, other reviews than the
    file `data` held, and another model than was in `model`, are refused."""
    path = out / "make.json"
    if not path.is_file():
        return None
    content = read_stamped(path, "run `pluralign llm make-imdb` again, with another --out")
    if content.get("settings") != json.loads(json.dumps(same)):
        raise InputError("holds data made with other settings", file=out, fix="choose another --out")
    # A folder of before the checksum was kept has none; reviews that are gone are not needed any more.
    if content.get("reviews") and Path(data).is_file() and file_checksum(Path(data)) != content["reviews"]:
        raise InputError(
            f"was changed since {out} was made from it", file=data, fix="put the old one back, or choose another --out"
        )
    require_same_model(model, content.get("base", ""), content.get("tokenizer", ""), out)
    # Of before they were kept there are none.
    files = content.get("files", {})
    if not isinstance(files, dict):
        raise InputError("is no summary of this version (files)", file=path, fix="choose another --out")
    require_unchanged(out, files, f"remove {path} to make it again, or choose another --out")
    try:
        return ImdbSummary(**{
            **content,
            "groups": tuple(GroupOfAnnotators(**group) for group in content["groups"]),
            "sentiment_accuracy": SentimentAccuracy(**content["sentiment_accuracy"]),
            "examples": tuple(Example(**example) for example in content["examples"]),
        })  # fmt: skip
    except (KeyError, TypeError) as error:
        raise InputError(f"is no summary of this version ({error})", file=path, fix="choose another --out") from error
