"""Token sequences under numbers: what contexts and responses are, to the algorithms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.preferences import IntArray

Tokens = NDArray[np.int32]


class TokenStore:
    """Prompts and responses as rows of token numbers; the same row always has the same number.

    It grows: responses that a policy samples are added, so that every policy can score them.
    """

    def __init__(self) -> None:
        self._rows: list[Tokens] = []
        self._numbers: dict[bytes, int] = {}
        self._embedded: tuple[int, str] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Tokens:
        return self._rows[number]

    def add(self, tokens: Sequence[int] | Tokens) -> int:
        """The number of this row of tokens; a new one if it was not seen before."""
        row = np.asarray(tokens, dtype=np.int32)
        key = row.tobytes()
        number = self._numbers.get(key)
        if number is None:
            if self._embedded is not None:
                require_embedded(row, *self._embedded)
            number = self._numbers[key] = len(self._rows)
            self._rows.append(row)
        return number

    def embed(self, embeddings: int, model: str) -> None:
        """From now on every token has one of so many embeddings of a model: InputError for rows, those that are here
        too, with others."""
        self._embedded = embeddings, model
        for row in self._rows:
            require_embedded(row, embeddings, model)

    def add_all(self, rows: Iterable[Sequence[int] | Tokens]) -> IntArray:
        """Numbers of many rows; (n,)."""
        return np.array([self.add(row) for row in rows], dtype=np.int64)

    def lengths(self, numbers: IntArray) -> IntArray:
        """Tokens in each row; (n,)."""
        return np.array([len(self._rows[number]) for number in numbers.tolist()], dtype=np.int64)

    def digest(self, *columns: IntArray) -> str:
        """A fingerprint of the token rows behind columns of numbers, whatever the numbers are."""
        state = hashlib.blake2b(digest_size=16)
        for column in columns:
            state.update(len(column).to_bytes(8, "little"))
            for number in column.tolist():
                row = self._rows[number]
                state.update(len(row).to_bytes(8, "little"))
                state.update(row.tobytes())
        return state.hexdigest()


def embeddings_of(model: Any) -> int | None:
    """How many tokens a model has embeddings of; None where its embeddings do not say."""
    layer = model.get_input_embeddings()
    rows = getattr(layer, "num_embeddings", None)
    if rows is None and getattr(layer, "weight", None) is not None:
        rows = layer.weight.shape[0]
    return None if rows is None else int(rows)


def require_embedded(row: Sequence[int] | Tokens, embeddings: int, model: str) -> None:
    """InputError for a token without an embedding.

    A tokenizer may know more tokens than its model, as long as no text is written in them.
    """
    largest = int(np.max(row, initial=0))
    if largest >= embeddings:
        raise InputError(
            f"its tokenizer makes token {largest} of these texts, and it has embeddings of {embeddings} tokens (0 to "
            f"{embeddings - 1})", file=model or None, fix="give the tokenizer that belongs to the model",
        )  # fmt: skip
