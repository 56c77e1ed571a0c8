"""Responses to one prompt behind it in one sequence, so that the prompt goes through the model once.

    prompt y_1 y_2 ... y_m        positions of every y_j begin where the prompt ends; no y_j sees another

Under causal attention a prompt's states do not depend on what follows, so each response's log-probability is what it
is alone; of a pair with a prompt of p tokens, p + |y_1| + |y_2| tokens are computed instead of 2 p + |y_1| + |y_2|.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from llm.base.tokens import TokenStore
from sim.preferences import IntArray

# Tokens in a sequence of several responses where scores are computed. Attention between responses is masked and paid
# for all the same: in longer sequences it costs what the prompt saves.
SHARED_TOKENS = 512

# ALiBi adds a bias for the distance in the sequence, not for positions that are given; GPT-Neo and Doge cut what lies
# further back by distance in the sequence, in a mask of their own.
_BY_DISTANCE = ("bloom", "mpt", "gpt_neo", "doge")

# Parts of names of settings by which layers read a sequence from left to right, whatever a mask says.
_RECURRENT = re.compile(r"mamba|ssm|conv|recurrent|rwkv|linear_attn|linear_num|lightning")

_WINDOWS = (
    "sliding_window", "sliding_window_size", "window_size", "attention_window_size", "keep_window_size",
    "local_attention", "attention_chunk_size",
)  # fmt: skip


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
    """Rows in sequences of one context of at most `most` tokens, as few as first-fit decreasing finds; sequences in the
    order of their contexts' first rows, rows of a sequence ascending.

    prompt, response: (n,) tokens.  alone_above: rows of more tokens than these share no sequence (None: no such limit),
    and no sequence of several responses is longer.
    """
    limit = most if alone_above is None else min(most, alone_above)
    sequences: dict[int, list[list[int]]] = {context: [] for context in contexts.tolist()}
    free: dict[int, list[int]] = {context: [] for context in sequences}
    # (length, first sequence): what has no room for one response has none for the next of its length.
    seen: dict[int, tuple[int, int]] = {}
    # Longest responses first, of the same length in the order they come.
    for row in np.argsort(-response, kind="stable").tolist():
        context, more = int(contexts[row]), int(response[row])
        length, first = seen.get(context, (more, 0))
        left, number = free[context], first if length == more else 0
        while number < len(left) and left[number] < more:
            number += 1
        if number < len(left):
            sequences[context][number].append(row)
            left[number] -= more
        else:
            sequences[context].append([row])
            left.append(limit - int(prompt[row]) - more)
        seen[context] = more, number
    return [np.array(sorted(rows), dtype=np.int64) for own in sequences.values() for rows in own]


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
    """Whether a model of this configuration goes by the positions and masks it is given, as far as that can be read.

    A probe decides beside it: but of random weights, or inside a window, it may see nothing.
    """
    text = config.get_text_config()
    if text.model_type in _BY_DISTANCE or getattr(text, "alibi", False):
        return False
    kinds = getattr(text, "layer_types", None) or ()
    return all("attention" in kind and "linear" not in kind for kind in kinds) and not any(
        _RECURRENT.search(name) for name, value in text.to_dict().items() if value
    )


def longest_shared(config: Any) -> int | None:
    """Tokens of a sequence up to which every layer sees all of it, so that one mask serves all layers (None: no end).

    Layers of a sliding window or of chunks cut what lies further back, and a mask that is given replaces theirs.
    """
    text = config.get_text_config()
    cuts = [getattr(text, name, None) for name in _WINDOWS]
    return min((int(cut) for cut in cuts if isinstance(cut, int) and cut > 0), default=None)
