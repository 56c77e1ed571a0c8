"""Prompts and responses as tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from llm.base.tokens import TokenStore
from llm.data.data_settings import DataSettings
from llm.data.rendered_tokens import RenderedTokens, common_length, divided
from llm.data.tokenised_choices import ties_of, tokenised_choices
from llm.data.transcripts import with_own_prompts
from llm.data.windows import TokenPair, TokenSet, cut
from llm.data.written_pairs import Messages, PairWriter, WrittenPair, template_options
from sim.answer_kinds.kinds import Likelihood
from sim.answer_kinds.response_choices import ResponseChoices, response_choices
from sim.errors import InputError, require_whole
from sim.files.pair_table import PairTable
from sim.files.preference_files import place_of
from sim.preferences import BoolArray, IntArray, PreferencePairs


@dataclass(frozen=True, eq=False)
class TokenisedPairs:
    """All rows in tokens, which of them to keep, and the number of each one's prompt.

    Rows of one prompt may have several contexts: the end of a prompt may merge with the answers, or be cut for them.
    choices: of all rows, where they are more than pairs; tie: which of them say that neither is better.
    """

    pairs: PreferencePairs
    keep: BoolArray
    prompt: IntArray
    choices: ResponseChoices | None = None
    tie: BoolArray | None = None


_FIELDS = ("prompt", "chosen", "rejected")
_Numbers: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class _Outcome:
    """found: what was done to a pair, in words of `notes`; numbers: of context, chosen and rejected, or left out."""

    found: list[str]
    prompt: int
    numbers: _Numbers | None


class Tokeniser:
    """Prompts and responses as rows of a token store."""

    def __init__(self, tokenizer: Any, store: TokenStore, window: int, settings: DataSettings) -> None:
        self._tokens, self._store, self._window, self._settings = RenderedTokens(tokenizer), store, window, settings
        self._found: Counter[str] = Counter()
        self.chat = False

    def prompt(self, text: str) -> tuple[int, list[int]]:
        """The number and tokens of a text that is to be continued."""
        require_whole(text, {"field": "prompt"})
        return self._asked(self._tokens.text(text))

    def chat_prompt(
        self, messages: Messages, rendering: Mapping[str, Any], where: Callable[[], Mapping[str, Any]]
    ) -> tuple[int, list[int]]:
        """The number and tokens of a conversation that is to be answered; rendering: its `tools` and
        `chat_template_kwargs`; where: tells what an InputError names."""
        options = template_options(rendering)
        return self._asked(self._tokens.conversation(messages, asks=True, options=options, where=where))

    def _asked(self, tokens: list[int]) -> tuple[int, list[int]]:
        tokens = tokens or [self._tokens.start]
        return self._store.add(tokens), tokens

    def pairs(self, table: PairTable) -> TokenisedPairs:
        """All rows in tokens; errors name the row."""
        table = self._with_own_prompts(table)
        writer = PairWriter(table, self._settings.chat)
        self.chat = self.chat or writer.chat
        known: dict[tuple[int, ...], _Outcome] = {}
        prompts: dict[str, int] = {}
        numbers = np.stack([table.prompt, table.chosen, table.rejected], axis=1).tolist()
        columns = np.zeros((4, len(table)), dtype=np.int64)
        keep = np.zeros(len(table), dtype=np.bool_)
        for row, own in enumerate(map(tuple, numbers)):
            if own not in known:
                written = writer.pair(row)
                prompt = prompts.setdefault(repr((written.prompt, written.options)), len(prompts))
                found, numbered = self._fitted(self._token_pair(written, table, row), table, row)
                known[own] = _Outcome([*found, *([written.found] if written.found else [])], prompt, numbered)
            outcome = known[own]
            self._found.update(outcome.found)
            keep[row] = outcome.numbers is not None
            columns[:, row] = (*(outcome.numbers or (0, 0, 0)), outcome.prompt)
        contexts, chosen, rejected, prompt_numbers = columns
        pairs = PreferencePairs(contexts, chosen, rejected, table.annotator, table.n_annotators, weights=table.weights)
        return TokenisedPairs(pairs, keep, prompt_numbers)

    def choices(self, table: PairTable, likelihood: Likelihood) -> TokenisedPairs:
        """All answers of another kind in tokens, those left out whole of which a response is too long; errors name the
        row."""
        table = self._with_own_prompts(table)
        writer = PairWriter(table, self._settings.chat)
        self.chat = self.chat or writer.chat
        own = response_choices(table, likelihood)
        row_of = dict(zip(table.prompt[::-1].tolist(), range(len(table) - 1, -1, -1), strict=True))

        def written(prompt: int, items: list[int]) -> TokenSet:
            row = row_of[prompt]
            whole = [self._whole(writer.alone(row, item), table, row)[:2] for item in items]
            known = min(common_length(asked, answered) for asked, answered in whole)
            if known < len(whole[0][0]):
                self._found["merged"] += len(items)
            found = TokenSet(whole[0][0][:known] or [self._tokens.start], tuple(told[known:] for _, told in whole))
            if found.excess(self._window) and self._settings.too_long == "error":
                raise InputError(
                    f"prompt and response have {len(found.context) + max(map(len, found.responses))} tokens, and the "
                    f"window is {self._window}", field="prompt",
                    fix="raise data.window, or set data.too_long to drop or truncate", **place_of(table, row),
                )  # fmt: skip
            return found

        truncate = self._settings.too_long == "truncate"
        found = tokenised_choices(own, written, self._store.add, self._window, self._tokens.begin, truncate)
        self._found.update(found.counts)
        slot = {key: j for j, key in enumerate(zip(own.contexts.tolist(), own.responses.tolist(), strict=True))}
        first, second = (
            np.array([slot[p, i] for p, i in zip(table.prompt.tolist(), items.tolist(), strict=True)], dtype=np.int64)
            for items in (table.chosen, table.rejected)
        )
        told = found.choices
        pairs = PreferencePairs(
            told.contexts[first], told.responses[first], told.responses[second], table.annotator, table.n_annotators,
            weights=table.weights,
        )  # fmt: skip
        return TokenisedPairs(pairs, found.keep, table.prompt, told, ties_of(table))

    def _with_own_prompts(self, table: PairTable) -> PairTable:
        found, transcripts = with_own_prompts(table, self._settings.chat)
        self._found["transcripts"] += int(transcripts.sum())
        return found

    def _whole(self, pair: WrittenPair, table: PairTable, row: int) -> tuple[list[int], list[int], list[int]]:
        """Tokens of the prompt, and of the prompt with each response."""
        tokens = self._tokens
        if isinstance(pair.prompt, str):
            whole = tokens.ended_text if self._settings.append_end else lambda asked, text: tokens.text(asked + text)
            chosen, rejected = (whole(pair.prompt, str(text)) for text in (pair.chosen, pair.rejected))
            return tokens.text(pair.prompt), chosen, rejected
        prompt, chosen, rejected = (self._rendered(pair, name, table, row) for name in _FIELDS)
        return prompt, chosen, rejected

    def _token_pair(self, pair: WrittenPair, table: PairTable, row: int) -> TokenPair:
        tokens = self._tokens
        prompt, chosen, rejected = self._whole(pair, table, row)
        known = divided(prompt, chosen, rejected)
        for name, response in (("chosen", chosen), ("rejected", rejected)):
            if len(response) == known:
                raise InputError("the response has no tokens", field=name, fix="drop the row", **place_of(table, row))
        merged = known < len(prompt)
        return TokenPair(prompt[:known] or [tokens.start], chosen[known:], rejected[known:], merged)

    def _rendered(self, pair: WrittenPair, name: str, table: PairTable, row: int) -> list[int]:
        asks = name == "prompt"
        messages: Messages = [*pair.prompt, *([] if asks else getattr(pair, name))]
        return self._tokens.conversation(
            messages, asks=asks, options=pair.options, where=lambda: {**place_of(table, row), "field": name}
        )

    def _fitted(self, pair: TokenPair, table: PairTable, row: int) -> tuple[list[str], _Numbers | None]:
        """(what was done to it, in words of `notes`; its numbers, None where it is left out)."""
        excess, window, done = pair.excess(self._window), self._window, ["merged"] if pair.merged else []
        if excess and self._settings.too_long == "error":
            prompt = len(pair.context)
            response = len(pair.rejected if excess == "rejected" else pair.chosen)
            long = f"the response has {response} tokens, the prompt {prompt}"
            raise InputError(
                f"{f'the prompt has {prompt} tokens' if excess == 'prompt' else long}, and the window is {window}",
                field=excess,
                fix="raise data.window, or set data.too_long to drop or truncate", **place_of(table, row),
            )  # fmt: skip
        if excess and self._settings.too_long == "drop":
            return ["prompt-dropped" if excess == "prompt" else "response-dropped"], None
        if excess:
            pair = cut(pair, window, self._tokens.begin)
            done += ["prompt-cut"] * pair.cut_prompt + ["response-cut"] * pair.cut_response
        if pair.chosen == pair.rejected:
            return ["same-once-cut" if pair.cut_response else "same-tokens"], None
        context, chosen, rejected = map(self._store.add, (pair.context, pair.chosen, pair.rejected))
        return done, (context, chosen, rejected)

    def notes(self) -> list[str]:
        """What was found, dropped and changed in all rows so far, for the reader."""
        longer, tokens = f"longer than the window of {self._window} tokens", self._tokens
        counted = {
            "prompt-dropped": f"whose prompt is {longer}, dropped",
            "response-dropped": f"with responses {longer}, dropped",
            "prompt-cut": f"{longer}, whose prompt was cut from the left",
            "response-cut": f"with responses {longer}, which were cut at their end",
            "answers-dropped": f"with responses {longer}, dropped",
            "answers-same": "with two responses of the same tokens, left out",
            "prompts-cut": f"{longer}: prompts cut from the left",
            "responses-cut": f"{longer}: responses cut at their end",
            "same-tokens": "whose answers differ as texts and are the same tokens, which say nothing, left out",
            "same-once-cut": "whose answers are the same tokens once they are cut, left out",
            "repeated": "are whole transcripts: the prompt is taken off the answers",
            "transcripts": 'are transcripts without a prompt: it is their common beginning, through "Assistant:"',
            "conversations": "are whole conversations: the turns both begin with are the prompt",
            "merged": "where the prompt's last tokens are others once an answer follows: the answers begin there",
        }
        notes = [f"{self._found[why]} rows {told}" for why, told in counted.items() if self._found[why]]
        if tokens.doubled:
            notes.append("texts begin with the begin token that the tokenizer puts there too: one is kept")
        if tokens.ended:
            notes.append("responses end with an end token of their own: none is added to those")
        return [*notes, *(["conversations are rendered by the tokenizer's chat template"] if self.chat else [])]
