"""A prompt with its response as numbers: the frozen model's last hidden state at the last token."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.base.device import pick_device
from llm.base.embeddings import hidden_state_embeddings
from llm.base.identity import tokenizer_files_hash, weights_hash
from llm.base.model_folder import longest_input
from llm.base.progress import Progress
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import load_base
from llm.base.text_encoders import quietly
from llm.base.tokens import TokenStore
from llm.data.rendered_tokens import RenderedTokens
from llm.data.written_pairs import turns
from llm.rewards.answered_items import item_label
from sim.errors import InputError
from sim.preferences import FloatArray


class RewardEncoder:
    """h(x, y): what sequence classifiers of transformers put their linear layer on, so that a reward <w, h> is one.

    chat: whether texts are turns of a conversation (`label_of`); append_end: whether responses that are texts end with
    the end token; window: most tokens (the model's, if those are fewer): of what is longer the last ones are read.
    """

    kind = "reward"

    def __init__(
        self, place: str | Path, *, chat: bool = False, append_end: bool = True, window: int = 512,
        progress: Progress = lambda text: None,
    ) -> None:  # fmt: skip
        self.place = str(Path(place).absolute())
        self._chat, self._append_end, self.window, self._progress = chat, append_end, window, progress
        self.identity: Mapping[str, Any] = {
            "kind": self.kind, "model": weights_hash(self.place), "tokenizer": tokenizer_files_hash(self.place),
            "chat": chat, "append_end": append_end, "window": window, "token": "last",
        }  # fmt: skip

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """texts: labels of items (`answered`); (n, hidden)."""
        with quietly():
            model, tokenizer = load_base(self.place, pick_device("auto"), progress=self._progress, head=False)
        end = tokenizer.eos_token_id
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (end or 0)
        window = min(self.window, longest_input(model.config) or self.window)
        rows = self.tokens(tokenizer, texts, window)
        self._progress(f"hidden states of {len(rows)} responses, {sum(map(len, rows))} tokens")
        store = TokenStore()
        base = SharedBase(model, store, pad=pad, end=end or 0, probe=False)
        contexts, last = store.add_all(row[:-1] for row in rows), store.add_all(row[-1:] for row in rows)
        return hidden_state_embeddings(base, contexts, last)

    def tokens(self, tokenizer: Any, texts: Sequence[str], window: int) -> list[list[int]]:
        """Of each item all tokens, prompt and response; of more than `window` the last, after the begin token."""
        rendered, rows, cut = RenderedTokens(tokenizer), [], 0
        for label in texts:
            row = self._tokens(rendered, label) or [rendered.start]
            if len(row) > window:
                cut += 1
                kept = row[-window:]
                row = [row[0], *kept[1:]] if row[0] == rendered.begin else kept
            rows.append(row)
        if cut:
            self._progress(f"note: {cut} prompts with responses are longer than {window} tokens: their ends are read")
        return rows

    def _tokens(self, rendered: RenderedTokens, label: str) -> list[int]:
        item = json.loads(label)
        asked, response = item["prompt"], item["response"]
        if isinstance(asked, str) and isinstance(response, str):
            if self._append_end:
                return rendered.ended_text(asked, response)
            return rendered.text(asked + response)
        options = {"tools": None, **item.get("options", {})}
        messages = [*asked, *response]
        return rendered.conversation(messages, asks=False, options=options, where=lambda: {"file": self.place})


def label_of(prompt: Any, response: Any, chat: bool) -> str:
    """The item of a prompt with a response, texts or messages; chat: texts are turns of a conversation."""
    if chat or isinstance(prompt, list) or isinstance(response, list):
        asked = prompt if isinstance(prompt, list) else turns(prompt)
        return item_label(asked, response if isinstance(response, list) else [_answer(response)])
    return item_label(prompt, response)


def _answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def encoder_like(place: str | Path, identity: Mapping[str, Any]) -> RewardEncoder:
    """The encoder a fit was made with.

    Errors: InputError where the identity is not one of a reward's.
    """
    try:
        return RewardEncoder(place, chat=identity["chat"], append_end=identity["append_end"], window=identity["window"])
    except KeyError as error:
        raise InputError(f"features: the fit does not say {error}", file=place, fix="fit again") from error
