"""Prompts and responses as tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from llm.base.tokens import TokenStore
from llm.data.answer_texts import are_transcripts
from llm.data.data_settings import DataSettings
from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.files.preference_files import place_of
from sim.preferences import BoolArray, PreferencePairs


class Tokeniser:
    """Prompts and responses as rows of a token store."""

    def __init__(self, tokenizer: Any, store: TokenStore, window: int, settings: DataSettings) -> None:
        self._tokenizer, self._store, self._window, self._settings = tokenizer, store, window, settings
        self.shortened = 0
        self.transcripts = False

    def prompt(self, text: str) -> tuple[int, list[int]]:
        tokens = list(self._tokenizer(text)["input_ids"])
        end = self._tokenizer.eos_token_id
        if tokens and tokens[-1] == end:
            tokens.pop()
        if not tokens:
            # A response needs a token before it; tokenizers without a beginning token give none for no text.
            start = self._tokenizer.bos_token_id
            tokens = [end if start is None else start]
        return self._store.add(tokens), tokens

    def response(self, prompt: str, prompt_tokens: list[int], response: str) -> list[int]:
        """Tokens of the response after the prompt: those of the joint text where the prompt's are its beginning.

        response: without the prompt.
        """
        joint = list(self._tokenizer(prompt + response)["input_ids"])
        end = self._tokenizer.eos_token_id
        if joint and joint[-1] == end:
            joint.pop()
        known = len(prompt_tokens)
        tokens = (
            joint[known:]
            if joint[:known] == prompt_tokens and len(joint) > known
            else list(self._tokenizer(response, add_special_tokens=False)["input_ids"])
        )
        return [*tokens, end] if self._settings.append_end else tokens

    def pairs(self, table: PairTable) -> tuple[PreferencePairs, BoolArray]:
        """All rows in tokens, and which to keep."""
        settings, whole = self._settings, are_transcripts(table)
        self.transcripts = self.transcripts or whole
        prompts = [self.prompt(text) for text in table.prompts]
        known: dict[tuple[int, int], int] = {}
        keep = np.ones(len(table), dtype=np.bool_)
        columns: dict[str, list[int]] = {"chosen": [], "rejected": []}
        for row in range(len(table)):
            prompt_tokens = prompts[table.prompt[row]][1]
            for field, items in (("chosen", table.chosen), ("rejected", table.rejected)):
                key = (int(table.prompt[row]), int(items[row]))
                if key not in known:
                    prompt, text = table.prompts[key[0]], table.items[key[1]]
                    tokens = self.response(prompt, prompt_tokens, text.removeprefix(prompt) if whole else text)
                    known[key] = self._fitting(tokens, len(prompt_tokens), table, row, field)
                if known[key] < 0:
                    keep[row] = False
                columns[field].append(max(known[key], 0))
        chosen, rejected = (np.array(columns[field], dtype=np.int64) for field in ("chosen", "rejected"))
        same = keep & (chosen == rejected)
        if same.any() and settings.too_long != "truncate":
            place = place_of(table, int(np.flatnonzero(same)[0]))
            raise InputError("chosen and rejected are the same tokens", field="rejected", fix="drop the row", **place)
        keep &= ~same
        contexts = np.array([number for number, _ in prompts], dtype=np.int64)[table.prompt]
        pairs = PreferencePairs(contexts, chosen, rejected, table.annotator, table.n_annotators, weights=table.weights)
        return pairs, keep

    def _fitting(self, tokens: list[int], prompt: int, table: PairTable, row: int, field: str) -> int:
        """The response's number; -1 if its row is dropped."""
        room = self._window - prompt
        if len(tokens) <= room:
            return self._store.add(tokens)
        if self._settings.too_long == "error" or room < 1:
            raise InputError(
                f"the response has {len(tokens)} tokens, the prompt {prompt}, and the window is {self._window}",
                field=field, fix="raise data.window, or set data.too_long to drop or truncate", **place_of(table, row),
            )  # fmt: skip
        self.shortened += 1
        return -1 if self._settings.too_long == "drop" else self._store.add(tokens[:room])
