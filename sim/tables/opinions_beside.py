"""Opinions of people on candidates, brought into the candidates' order to be pooled beside those of heads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.errors import InputError, short
from sim.files.candidate_files import Candidates
from sim.files.opinion_files import Question
from sim.preferences import FloatArray
from sim.reading import load_json


def opinions_beside(
    asked: Candidates, questions: Sequence[Question], parties: Sequence[str], source: str
) -> tuple[tuple[str, ...], list[FloatArray]]:
    """Annotators, and of each prompt their opinions (n, A); a question is the prompt whose text is its `prompt_id`.

    parties: who is heard already.  Errors: InputError where a prompt has no opinions, opinions are on another prompt or
    over other candidates, or not everybody has one on each.
    """
    by_prompt = {_named(question.prompt): question for question in questions}
    names, tables = questions[0].annotators, []
    if twice := next((name for name in names if name in parties), None):
        raise InputError(f"annotator '{twice}' is a party already", file=source, fix="leave out one of the two")
    prompts = [_named(prompt) for prompt in asked.prompts]
    if other := next((name for name in by_prompt if name not in prompts), None):
        raise InputError(
            f"opinions are on prompt {short(other)}, which no candidates are for", file=source, field="prompt_id",
            fix="write the prompt as the candidates have it, or leave the rows out",
        )  # fmt: skip
    for name, responses in zip(prompts, asked.responses, strict=True):
        if name not in by_prompt:
            raise InputError(f"no opinions on prompt {short(name)}", file=source, fix="add them, or drop the prompt")
        own = [_named(one) for one in responses]
        if len(set(own)) < len(own):
            twice = next(one for one in own if own.count(one) > 1)
            raise InputError(
                f"candidate {short(twice)} of prompt {short(name)} stands twice, and no opinion can tell them apart",
                file=asked.source, fix="give each once",
            )  # fmt: skip
        tables.append(_in_order(by_prompt[name], own, names, source))
    return names, tables


def _in_order(question: Question, responses: list[str], names: tuple[str, ...], source: str) -> FloatArray:
    where = f"opinions on prompt {short(question.prompt)}"
    candidates = [_named(one) for one in question.candidates]
    for one, those, said in (
        (candidates, responses, "are over {}, which is not among the candidates"),
        (responses, candidates, "leave out candidate {}"),
        (question.annotators, names, "are also of annotator {}, who has none on others"),
        (names, question.annotators, "have none of annotator {}, who has some on others"),
    ):
        if odd := next((name for name in one if name not in those), None):
            raise InputError(
                f"{where} {said.format(short(odd))}", file=source, fix="give everybody's on the candidates as they are"
            )
    people = [question.annotators.index(name) for name in names]
    places = [candidates.index(name) for name in responses]
    return np.asarray(question.opinions[np.ix_(people, places)])


def _named(value: Any) -> str:
    """A text as it is; messages, and JSON that says some, as one and the same JSON."""
    messages = value
    if isinstance(value, str):
        if not value.startswith("[{"):
            return value
        try:
            messages = load_json(value)
        except ValueError:
            return value
    return json.dumps(messages, ensure_ascii=False, sort_keys=True)
