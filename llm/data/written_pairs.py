"""Pairs as they are written, before tokens: prompt and answers as texts, or as messages for a chat template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llm.data.answer_texts import are_transcripts
from llm.data.rendered_tokens import common_length
from llm.data.transcripts import ANSWERED
from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.files.preference_files import place_of

Messages: TypeAlias = list[dict[str, Any]]

# prompt, chosen, rejected, and WrittenPair.found.
_Told: TypeAlias = tuple[Messages, Messages, Messages, str]
_TURN = re.compile(r"\n\n(Human|Assistant):")


@dataclass(frozen=True)
class WrittenPair:
    """Texts, where the answers follow the prompt as they are; or messages, with what else the template is given.

    found: how the prompt was told from the answers, "" where they came apart.
    """

    prompt: str | Messages
    chosen: str | Messages
    rejected: str | Messages
    options: Mapping[str, Any] = field(default_factory=dict)
    found: str = ""


class PairWriter:
    """What each row of a table compares, transcripts without a prompt as `with_own_prompts` leaves them.

    chat: whether texts are turns of a conversation too; see DataSettings.
    """

    def __init__(self, table: PairTable, chat: bool) -> None:
        self._table = table
        self.chat = chat or "conversation" in (table.kind, table.prompt_kind)
        self._whole = are_transcripts(table)

    def pair(self, row: int) -> WrittenPair:
        """Errors: InputError with the row, where nothing is left of a prompt or of an answer."""
        return self._written(row, int(self._table.chosen[row]), int(self._table.rejected[row]))

    def alone(self, row: int, item: int) -> WrittenPair:
        """One response of a set to the prompt of this row, in both places of a pair."""
        if self._table.kind == "conversation" and self._table.prompt_kind != "conversation":
            self._refuse("the responses of a set are conversations without a prompt", "prompt", "give the prompt", row)
        return self._written(row, item, item)

    def _written(self, row: int, first_item: int, second_item: int) -> WrittenPair:
        table = self._table
        number = int(table.prompt[row])
        asked, sides = table.prompts[number], (table.items[first_item], table.items[second_item])
        if not self.chat:
            asked, first, second, how = self._texts(asked, *sides)
            return WrittenPair(asked, first, second, found=how)
        beside = json.loads(table.rendering[number] or "{}") if table.rendering is not None else {}
        options = template_options(beside)
        if table.kind == "conversation":
            told = self._conversations(asked, json.loads(sides[0]), json.loads(sides[1]), row)
        else:
            told = self._answered(asked, *sides, row)
        prompt, chosen, rejected, found = told
        for name, messages in (("chosen", chosen), ("rejected", rejected)):
            if not any(map(_says_something, messages)):
                self._refuse("the response is empty", name, "drop the row", row)
        return WrittenPair(prompt, chosen, rejected, options, found)

    def _texts(self, asked: str, first: str, second: str) -> tuple[str, str, str, str]:
        if self._whole:
            return asked, first.removeprefix(asked), second.removeprefix(asked), "repeated"
        return asked, first, second, ""

    def _answered(self, asked: str, first: str, second: str, row: int) -> _Told:
        """Answers that are texts, each one message of the assistant."""
        found = ""
        if self._table.prompt_kind != "conversation":
            asked, first, second, found = self._texts(asked, first, second)
        chosen, rejected = ([{"role": "assistant", "content": text}] for text in (first, second))
        return self._asked(asked, row), chosen, rejected, found

    def _conversations(self, asked: str, first: Messages, second: Messages, row: int) -> _Told:
        common = common_length(first, second)
        of_messages = self._table.prompt_kind == "conversation"
        if of_messages or (asked and not any(message["role"] == "user" for message in first[:common])):
            prompt = self._asked(asked, row)
            # The turns of the prompt are never an answer, whether or not other rows repeat theirs.
            chosen, rejected = (
                told[len(prompt) :] if told[: len(prompt)] == prompt else told for told in (first, second)
            )
            repeated = (chosen, rejected) != (first, second)
            return prompt, chosen, rejected, "repeated" if repeated else ""
        for name, messages in (("chosen", first), ("rejected", second)):
            if len(messages) == common:
                problem = "the conversation ends where the other goes on, which leaves nothing to compare"
                self._refuse(problem, name, "give both an answer, or drop the row", row)
        if not common:
            self._refuse("the two conversations have no common beginning", "chosen", "give the prompt", row)
        return first[:common], first[common:], second[common:], "conversations"

    def _asked(self, text: str, row: int) -> Messages:
        """A prompt as messages: a conversation as it is, a transcript turn by turn, any other text as the user's."""
        if self._table.prompt_kind == "conversation":
            found: Messages = json.loads(text)
            return found
        return turns(text) or self._refuse("the prompt is empty", "prompt", "a chat begins with a user's turn", row)

    def _refuse(self, problem: str, name: str, fix: str, row: int) -> Any:
        raise InputError(problem, field=name, fix=fix, **place_of(self._table, row))


def template_options(beside: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the chat template, of a row's `tools` and `chat_template_kwargs`."""
    return {"tools": beside.get("tools"), **beside.get("chat_template_kwargs", {})}


def _says_something(message: Mapping[str, Any]) -> bool:
    content = message.get("content") or ""
    texts = [content] if isinstance(content, str) else [str(part.get("text", part)) for part in content]
    return bool(message.get("tool_calls")) or any(text.strip() for text in texts)


def turns(text: str) -> Messages:
    """A text as messages: the turns of a transcript that waits for an answer, or one turn of the user; [] for none."""
    if text.lstrip().startswith("Human:") and text.endswith(ANSWERED):
        parts = _TURN.split("\n\n" + text.lstrip())[1:-2]
        roles = {"Human": "user", "Assistant": "assistant"}
        said = zip(parts[::2], parts[1::2], strict=True)
        return [{"role": roles[who], "content": content.strip()} for who, content in said]
    return [{"role": "user", "content": text}] if text.strip() else []
