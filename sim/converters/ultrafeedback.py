"""UltraFeedback: responses scored by a model, as pairs (binarized) or as the scores they are (the raw set)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sim.converters.answers import EVERYBODY, Item, LeftOut, each, messages, pair_of
from sim.converters.converter import Converter
from sim.converters.records import Record, unpacked

_SCORES = (("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating"))


def rows(files: Sequence[Path], score: str) -> Iterator[Item]:
    """A pair a record of the binarized sets, equal scores a tie; of the raw set a rating of all its completions.

    score: the completions' score that is kept: overall_score or fine-grained_score.
    """

    def answers(record: Record) -> Iterator[Item]:
        who = record.name("annotator_id") if record.value("annotator_id") is not None else EVERYBODY
        yield _ratings(record, who, score) if "completions" in record.fields else _pair(record, who)

    yield from each(files, answers, ())


def _pair(record: Record, who: str) -> Item:
    # A whole conversation stays one, the prompt in it too, as it is published.
    first, second = (_response(record, name) for name in ("chosen", "rejected"))
    scored = next((pair for pair in _SCORES if record.value(pair[0]) is not None), None)
    preferred = 0
    if scored is not None:
        better, worse = (record.number(name) for name in scored)
        if better < worse:
            raise record.bad(scored[0], f"the chosen response has the lower score ({better:g} and {worse:g})")
        preferred = -1 if better == worse else 0
    return pair_of(first, second, preferred, prompt=record.text("prompt"), annotator_id=who)


def _response(record: Record, name: str) -> Any:
    found = unpacked(record.value(name))
    return messages(record, name, found) if isinstance(found, list) else record.text(name)


def _ratings(record: Record, who: str, score: str) -> Item:
    responses, scores = [], []
    for number, completion in enumerate(record.list("completions", least=0)):
        part = record.inner("completions", number, completion)
        if part.value(score) is not None:
            responses.append(part.text("response"))
            scores.append(part.number(score))
    if not scores:
        return LeftOut(f"no completion with the score {score}")
    return {"prompt": record.text("instruction"), "responses": responses, "scores": scores, "annotator_id": who}


CONVERTER = Converter(
    rows,
    schema="UltraFeedback, binarized: prompt, chosen and rejected (messages), score_chosen and score_rejected (or "
    "chosen-rating and rejected-rating), annotator_id where there is one; or the raw set: instruction, completions "
    "(each response, overall_score, fine-grained_score)",
    licence="MIT",
    loses="the critiques, the scores by aspect, which models answered; of the binarized sets how far apart the scores "
    "are. The scores are a model's, not people's",
    options={"score": "overall_score"},
)
