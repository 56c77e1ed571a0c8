"""PRISM: people talk with several models at once, score every reply and go on with one; a survey tells who they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from sim.converters.answers import Item, LeftOut, Messages, each
from sim.converters.converter import Converter
from sim.converters.people import levels
from sim.converters.records import Record, files_of, records
from sim.errors import InputError

_PERSON = (
    "age", "gender", "employment_status", "education", "marital_status", "english_proficiency", "study_locale",
    "religion.simplified", "ethnicity.simplified", "location.birth_region", "location.reside_region", "lm_familiarity",
    "lm_indirect_use", "lm_direct_use", "lm_frequency_use",
)  # fmt: skip
# Answers on a scale from 0 to 100, and uses ticked (0 or 1).
_SCALES, _USES = "stated_prefs", "lm_usecases"


def rows(files: Sequence[Path], answer: str) -> Iterator[Item]:
    """A rating a turn: the scores of all its replies.  answer: ratings, or choices: which reply went on, of how many.

    The prompt is the conversation up to then with the replies that were chosen.
    """
    if answer not in ("ratings", "choices"):
        raise InputError(f"answer: expected ratings or choices, got '{answer}'", fix="use one of them")
    told, bad = _survey(files)
    yield from bad

    def answers(record: Record) -> Iterator[Item]:
        who = record.name("user_id")
        if told and who not in told:
            raise record.bad("user_id", f"user {who} is not in the survey", "give the whole survey.jsonl, or none")
        person = {"annotator_id": who} | ({"annotator_features": told[who]} if told else {})
        so_far: Messages = []
        said = [record.inner("conversation_history", j, part)
                for j, part in enumerate(record.list("conversation_history"))]  # fmt: skip
        for _, turn in groupby(said, key=lambda part: part.number("turn")):
            listed = list(turn)
            asked = [part.text("content") for part in listed if part.one_of("role", {"user": True, "model": False})]
            replies = [part for part in listed if part.value("role") == "model"]
            chosen = [j for j, part in enumerate(replies) if part.value("if_chosen") is True]
            if len(asked) != 1 or not replies:
                raise record.bad("conversation_history", "expected a message of the user and replies in every turn")
            so_far = [*so_far, {"role": "user", "content": asked[0]}]
            yield _turn(so_far, replies, chosen, answer, person)
            if not chosen:
                if listed[-1] is not said[-1]:
                    yield LeftOut("turns after one without a chosen reply")
                return
            so_far = [*so_far, {"role": "assistant", "content": replies[chosen[0]].text("content")}]

    yield from each(files, answers, ("user_id", "conversation_history"), skip=_is_survey)


def _turn(
    prompt: Messages, replies: Sequence[Record], chosen: Sequence[int], answer: str, person: Mapping[str, Any]
) -> Item:
    if answer == "choices":
        if len(replies) < 2 or len(chosen) != 1:
            return LeftOut("turns with one reply, or not one chosen reply")
        texts = [reply.text("content") for reply in replies]
        return {"prompt": prompt, "responses": texts, "choice": chosen[0], **person}
    scored = [reply for reply in replies if reply.value("score") is not None]
    if not scored:
        return LeftOut("turns without a score")
    return {
        "prompt": prompt, "responses": [reply.text("content") for reply in scored],
        "scores": [reply.number("score") for reply in scored], **person,
    }  # fmt: skip


def _is_survey(record: Record) -> bool:
    return record.has(_SCALES)


def _survey(files: Sequence[Path]) -> tuple[dict[str, Mapping[str, float]], list[InputError]]:
    """What survey.jsonl, where it is among the files, says of each user; and its bad rows."""
    told: dict[str, Mapping[str, float]] = {}
    bad = []
    for path in files_of(files):
        for record in records(path):
            # A row that cannot be read at all is told where the answers are read.
            if isinstance(record, InputError) or not _is_survey(record):
                break
            try:
                told[record.name("user_id")] = _features(record)
            except InputError as error:
                bad.append(error)
    return told, bad


def _features(record: Record) -> dict[str, float]:
    """One number an answer: 1 for what was ticked or said, stated preferences as shares of their scale."""
    found = levels(record, _PERSON)
    for field, most in ((_SCALES, 100.0), (_USES, 1.0)):
        for name, value in record.object(field).items():
            # In a flat CSV file every answer is a text; the one that is a text everywhere says so by its name.
            said = isinstance(value, int | float) or (record.untyped and name != "other_text")
            if said and record.value(f"{field}.{name}") is not None:
                found[f"{field}: {name}"] = record.number(f"{field}.{name}") / most
    return found


CONVERTER = Converter(
    rows,
    schema="conversations.jsonl of PRISM (user_id, conversation_history: a list of turn, role user or model, content, "
    "score, if_chosen), and survey.jsonl beside it for the annotators' features (age, gender, education, ..., "
    "stated_prefs, lm_usecases); utterances.jsonl holds the same answers and is not read",
    licence="what people wrote CC BY 4.0, the models' responses CC BY-NC 4.0",
    loses="which models answered, conversation types, the feedback after a conversation, written self-descriptions; of "
    "ratings which reply went on, of choices the scores",
    options={"answer": "ratings"},
)
