"""Responses to one prompt behind it in one sequence, so that the prompt goes through the model once.

    prompt y_1 y_2 ... y_m        positions of every y_j begin where the prompt ends; no y_j sees another

Under causal attention a prompt's states do not depend on what follows, so each response's log-probability is what it
is alone; of a pair with a prompt of p tokens, p + |y_1| + |y_2| tokens are computed instead of 2 p + |y_1| + |y_2|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from llm.base.tokens import TokenStore
from sim.preferences import IntArray

# Tokens in a sequence of several responses where scores are computed. Attention between responses is masked and paid
# for all the same: in longer sequences it costs what the prompt saves.
SHARED_TOKENS = 512

# ALiBi adds a bias for the distance in the sequence, not for positions that are given: no order but the plain one.
_BIASED_BY_DISTANCE = ("bloom", "mpt")


@dataclass(frozen=True, eq=False)
class Placement:
    """positions (B, L) int64 of tokens, and the part (B, L) of its sequence that each lies in: 0 the prompt, then its
    responses, then padding."""

    positions: torch.Tensor
    part: torch.Tensor

    def mask(self, dtype: torch.dtype) -> torch.Tensor:
        """(B, 1, L, L) in `dtype`: 0 where a token (row) sees another (column), before it in the prompt or in the same
        part; else the least number."""
        part = self.part
        earlier = torch.ones(part.shape[1], part.shape[1], dtype=torch.bool, device=part.device).tril()
        seen = earlier & ((part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None]))
        out = torch.zeros(seen.shape, dtype=dtype, device=part.device)
        return out.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def behind_their_prompts(
    contexts: IntArray, prompt: IntArray, response: IntArray, most: int, alone_above: int | None = None
) -> list[IntArray]:
    """Rows in sequences of one context, in the order of first rows; a sequence ends where another response would make
    it longer than `most` tokens.

    prompt, response: (n,) tokens.  alone_above: rows of more tokens than these share no sequence (None: no such limit),
    and no sequence of several responses is longer.
    """
    limit = most if alone_above is None else min(most, alone_above)
    open_: dict[int, int] = {}
    sequences: list[list[int]] = []
    size: list[int] = []
    for row, (context, own, more) in enumerate(zip(contexts.tolist(), prompt.tolist(), response.tolist(), strict=True)):
        at = open_.get(context)
        if at is None or size[at] + more > limit:
            open_[context] = at = len(sequences)
            sequences.append([])
            size.append(own)
        sequences[at].append(row)
        size[at] += more
    return [np.array(rows, dtype=np.int64) for rows in sequences]


def place(store: TokenStore, contexts: IntArray, responses: IntArray, sequences: list[IntArray], pad: int) -> Any:
    """(input_ids (B, L), positions, part, and of every response token: row, sequence, before, wanted), NumPy arrays.

    row: numbers responses in the order in which `sequences` names them.
    """
    lengths = [len(store[int(contexts[rows[0]])]) + int(store.lengths(responses[rows]).sum()) for rows in sequences]
    shape = len(sequences), max(lengths)
    ids, positions = np.full(shape, pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    part = np.zeros(shape, dtype=np.int64)
    row, sequence, before, wanted = [], [], [], []
    count = 0
    for j, rows in enumerate(sequences):
        prompt = store[int(contexts[rows[0]])]
        end = p = len(prompt)
        ids[j, :p], positions[j, :p] = prompt, np.arange(p)
        for number, one in enumerate(rows.tolist(), start=1):
            tokens = store[int(responses[one])]
            n = len(tokens)
            own = slice(end, end + n)
            ids[j, own], positions[j, own], part[j, own] = tokens, np.arange(p, p + n), number
            row.append(np.full(n, count))
            sequence.append(np.full(n, j))
            before.append(np.concatenate([[p - 1], np.arange(end, end + n - 1)])[:n])
            wanted.append(tokens.astype(np.int64))
            end, count = end + n, count + 1
        part[j, end:] = len(rows) + 1
    return ids, positions, part, *(np.concatenate(column) for column in (row, sequence, before, wanted))


def may_share(config: Any) -> bool:
    """Whether a model of this configuration takes positions and masks at all; a probe decides where there is one."""
    text = config.get_text_config()
    return text.model_type not in _BIASED_BY_DISTANCE and not getattr(text, "alibi", False)


def longest_shared(config: Any) -> int | None:
    """Tokens of a sequence up to which every layer sees all of it, so that one mask serves all layers (None: no end).

    Layers of a sliding window or of chunks cut what lies further back, and a mask that is given replaces theirs.
    """
    text = config.get_text_config()
    cuts = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min((int(cut) for cut in cuts if cut), default=None)
