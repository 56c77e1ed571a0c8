"""Log-probabilities of responses under a causal language model.

    log pi(y | x) = sum_{t in response} log softmax(logits_{t-1})[y_t],     prompt masked

summed in float64 where scores are computed, in float32 in training.

Rows are padded on the right and no attention mask is given: under causal attention a token never sees what comes
after it, so padding cannot reach a response, and the attention kernel may take its fast causal path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from llm.base.dropout import probe_tokens
from llm.base.float32_arithmetic import float32_arithmetic
from llm.base.output_head import Transformation, float32_head, float32_logits, logit_transformations
from llm.base.processes import processes
from llm.base.sharding import without_gradients
from llm.base.shared_prompts import (
    SHARED_TOKENS,
    Placement,
    behind_their_prompts,
    longest_shared,
    may_share,
    place,
)
from llm.base.tokens import TokenStore
from sim.preferences import IntArray

# Logits are the largest tensor of a step: (tokens, vocabulary) in float32. Above this they are computed in pieces,
# and in training recomputed in the backward pass.
LOGIT_ELEMENTS = 1 << 28

# Padded tokens in one batch without gradients. A processor is fastest when a batch stays in its cache.
_EVAL_TOKENS = {"cpu": 2_048, "cuda": 16_384}


def eval_tokens_for(device: str) -> int:
    """The default size of a batch without gradients on this device (cpu, cuda:0, h200, ...), in padded tokens."""
    return _EVAL_TOKENS["cpu" if device == "cpu" else "cuda"]


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """input_ids (B, L) int64, padded on the right.  Of every response token: which of the n_rows responses it is of,
    `row` (n,), the `sequence` (n,) that holds it, the position `before` (n,) there that predicts it, and the token
    itself, `wanted` (n,); responses one after the other.

    placement: where several responses follow one prompt (see `shared_prompts`); None: a sequence is one row.
    """

    input_ids: torch.Tensor
    row: torch.Tensor
    before: torch.Tensor
    wanted: torch.Tensor
    sequence: torch.Tensor
    n_rows: int
    placement: Placement | None = None

    @property
    def n_tokens(self) -> int:
        return int(self.input_ids.numel())

    def times(self, n: int) -> SequenceBatch:
        """The batch n times over, one after the other."""
        (sequences, _), rows = self.input_ids.shape, self.n_rows

        def counted_on(column: torch.Tensor, size: int) -> torch.Tensor:
            return (column + size * torch.arange(n, device=column.device)[:, None]).flatten()

        where = self.placement
        return SequenceBatch(
            self.input_ids.repeat(n, 1), counted_on(self.row, rows), self.before.repeat(n), self.wanted.repeat(n),
            counted_on(self.sequence, sequences), rows * n,
            where and Placement(where.positions.repeat(n, 1), where.part.repeat(n, 1)),
        )  # fmt: skip


def collate(store: TokenStore, contexts: IntArray, responses: IntArray, pad: int, device: Any = "cpu") -> SequenceBatch:
    """The batch of the rows (context, response), each a sequence of its own."""
    rows = [(store[c], store[r]) for c, r in zip(contexts.tolist(), responses.tolist(), strict=True)]
    width = max(len(prompt) + len(response) for prompt, response in rows)
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    before = []
    for j, (prompt, response) in enumerate(rows):
        ids[j, : len(prompt)] = prompt
        ids[j, len(prompt) : len(prompt) + len(response)] = response
        before.append(np.arange(len(prompt) - 1, len(prompt) + len(response) - 1))
    # Indices are made here, on the CPU: finding them on a GPU would stop it at every batch.
    counts = [len(response) for _, response in rows]
    tensors = (
        torch.from_numpy(column)
        for column in (
            ids, np.repeat(np.arange(len(rows)), counts), np.concatenate(before),
            np.concatenate([response for _, response in rows]).astype(np.int64),
        )
    )  # fmt: skip
    ids, row, at, wanted = (tensor.to(device, non_blocking=True) for tensor in tensors)
    return SequenceBatch(ids, row, at, wanted, row, len(rows))


def collate_sequences(
    store: TokenStore, contexts: IntArray, responses: IntArray, sequences: list[IntArray], pad: int, device: Any = "cpu"
) -> SequenceBatch:
    """The batch of the rows that `sequences` name, those of a sequence behind one prompt; responses in that order."""
    if all(len(rows) == 1 for rows in sequences):
        rows = np.concatenate(sequences)
        return collate(store, contexts[rows], responses[rows], pad, device)
    arrays = place(store, contexts, responses, sequences, pad)
    ids, positions, part, row, sequence, before, wanted = (
        torch.from_numpy(array).to(device, non_blocking=True) for array in arrays
    )
    n_rows = sum(len(rows) for rows in sequences)
    return SequenceBatch(ids, row, before, wanted, sequence, n_rows, Placement(positions, part))


def length_batches(lengths: IntArray, tokens: int) -> Iterator[IntArray]:
    """Rows in order of length, cut where padded batches would exceed `tokens`; each row alone if it must."""
    order = np.argsort(lengths, kind="stable")[::-1]
    start = 0
    while start < len(order):
        size = max(1, tokens // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size


def distinct_rows(store: TokenStore, contexts: IntArray, responses: IntArray) -> tuple[IntArray, IntArray]:
    """(rows (m, 2), place (n,)): each (context, response) once, and where each of the n is among them.

    Their order is that of their tokens alone, so equal sets of rows are scored in equal batches, whatever the order
    they are asked for in and whatever the numbers of their tokens.
    """
    numbers, back = np.unique(np.stack([contexts, responses], axis=1), axis=0, return_inverse=True)
    tokens = [(store[c].tobytes(), store[r].tobytes()) for c, r in numbers.tolist()]
    order = np.array(sorted(range(len(tokens)), key=tokens.__getitem__), dtype=np.int64)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return numbers[order], place[back.reshape(-1)]


class ResponseScorer:
    """Response log-probabilities of one causal LM (transformers), only at the positions that matter.

    The head is applied to the hidden states of response tokens alone.  What the configuration says is done to logits
    afterwards (scaled, capped) is done here too; `__init__` compares with the model's own logits on a probe and takes
    the model's own route where no known transformation gives them.  Logits are float32 for every model; see
    `float32_logits`.

    shares: whether several responses may follow one prompt in a sequence; a probe says whether the model gives each
    what it gives it alone.  window: tokens of the longest such sequence (None: any).
    """

    def __init__(self, model: Any, *, probe: bool = True) -> None:
        """model: a causal LM, adapters injected or not; its decoder and output embeddings are used.  probe: False
        takes the direct route unseen (for tensors without values)."""
        self._model = model
        self._decoder, self._head = model.get_decoder(), model.get_output_embeddings()
        possible = self._head is not None and self._decoder is not model
        found = (self._matching_transformation() if probe else self._candidates()[0]) if possible else None
        self.direct = found is not None
        self._transform: Transformation = found or (lambda logits: logits)
        self.window = longest_shared(model.config)
        # Products of a 4-bit base are rounded: a probe of it would decide by chance.
        trusted = not probe or bool(getattr(model, "is_loaded_in_4bit", False))
        self.shares = self.direct and may_share(model.config) and (trusted or self._shares_on_a_probe())

    def _candidates(self) -> list[Transformation]:
        return logit_transformations(self._model.config)

    def _matching_transformation(self) -> Transformation | None:
        """The known transformation that gives the model's own logits on a probe, or None."""
        probe = probe_tokens(self._model)
        with torch.no_grad(), float32_head(self._head):
            own = self._model(input_ids=probe, use_cache=False).logits.float()
        with torch.no_grad():
            raw = float32_logits(self._head, self._decoder(input_ids=probe, use_cache=False).last_hidden_state)
        for transform in self._candidates():
            if torch.allclose(own, transform(raw), rtol=1e-4, atol=1e-4):
                return transform
        return None

    def without_gradients(self) -> AbstractContextManager[Any]:
        """Where scores are all that is wanted."""
        return without_gradients(self._model)

    @contextmanager
    def each_alone(self) -> Iterator[None]:
        """While this lasts each response has a sequence of its own: for scores that must not depend on which others
        are scored with them, down to the last bit."""
        shares, self.shares = self.shares, False
        try:
            yield
        finally:
            self.shares = shares

    def shares_up_to(self, tokens: int) -> bool:
        """Whether sequences of several responses may have so many tokens."""
        return self.shares and (self.window is None or tokens <= self.window)

    def _shares_on_a_probe(self) -> bool:
        """Whether two responses behind one prompt score as each alone, in float32: an architecture that ignores
        positions or masks, or looks elsewhere for them, differs by far more than rounding."""
        tokens, store = probe_tokens(self._model)[0].cpu().numpy(), TokenStore()
        contexts = store.add_all([tokens[:3], tokens[:3]])
        responses = store.add_all([tokens[3:6], tokens[6:]])
        if self.window is not None and self.window < len(tokens):
            return False
        device = next(self._model.parameters()).device
        try:
            with torch.no_grad(), float32_arithmetic(self._model):
                alone = self(collate(store, contexts, responses, 0, device))
                behind = self(collate_sequences(store, contexts, responses, [np.arange(2)], 0, device))
        except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
            return False  # its decoder takes no positions, or no mask of this shape
        return bool(torch.allclose(alone, behind, rtol=1e-4, atol=1e-4))

    def __call__(self, batch: SequenceBatch, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """log pi(y | x) of each row; (n_rows,), summed in `dtype`, differentiable."""
        tokens = self.tokens(batch)
        total = torch.zeros(batch.n_rows, dtype=dtype, device=tokens.device)
        return total.index_add(0, batch.row, tokens.to(dtype))

    def tokens(self, batch: SequenceBatch) -> torch.Tensor:
        """log pi(y_t | x, y_<t) of every response token, rows one after the other; (n_tokens,) float32."""
        if self.direct:
            hidden = self._hidden(batch)
            flat = batch.sequence * hidden.shape[1] + batch.before
            return self._token_log_probabilities(hidden.flatten(0, 1).index_select(0, flat), batch.wanted)
        if batch.placement is not None:
            raise ValueError("this model's own route to its logits takes one response a sequence")
        first = int(batch.before.min())
        with float32_head(self._head):
            logits = self._model(
                input_ids=batch.input_ids, use_cache=False, logits_to_keep=batch.input_ids.shape[1] - first
            ).logits
        picked = logits[batch.row, batch.before - first]
        return -functional.cross_entropy(picked.float(), batch.wanted, reduction="none")

    def _hidden(self, batch: SequenceBatch) -> torch.Tensor:
        """The decoder's last hidden states; (B, L, hidden)."""
        where: dict[str, torch.Tensor] = {}
        if batch.placement is not None:
            # In which numbers the model computes is what its embeddings come out in, whoever has widened them.
            dtype = self._model.get_input_embeddings()(batch.input_ids[:1, :1]).dtype
            where = {"position_ids": batch.placement.positions, "attention_mask": batch.placement.mask(dtype)}
        states: torch.Tensor = self._decoder(input_ids=batch.input_ids, use_cache=False, **where).last_hidden_state
        return states

    def _token_log_probabilities(self, hidden: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        vocabulary = self._head.weight.shape[0]
        step = max(1, LOGIT_ELEMENTS // vocabulary)
        if len(wanted) <= step:
            return self._score(hidden, wanted)
        parts = []
        for lo in range(0, len(wanted), step):
            piece = hidden[lo : lo + step], wanted[lo : lo + step]
            parts.append(
                checkpoint(self._score, *piece, use_reentrant=False) if hidden.requires_grad else self._score(*piece)
            )
        return torch.cat(parts)

    def _score(self, hidden: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return -functional.cross_entropy(self._transform(float32_logits(self._head, hidden)), wanted, reduction="none")


def score_rows(
    scorer: ResponseScorer,
    store: TokenStore,
    contexts: IntArray,
    responses: IntArray,
    pad: int,
    tokens: int,
    device: Any,
    lanes: int = 1,
    of_lanes: Callable[[int], AbstractContextManager[Any]] = lambda sequences: nullcontext(),
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """log pi(y | x) of many rows without gradients, in batches of like length that the set of rows decides, whatever
    the number of processes that share them.

    Each distinct row is scored once in each lane.  lanes: how often a batch stands in a forward pass, in lanes of as
    many sequences as `of_lanes` is told.  (n, lanes) float64.
    """
    distinct, back = distinct_rows(store, contexts, responses)
    prompts, answers = distinct[:, 0], distinct[:, 1]
    out, ours = np.zeros((len(distinct), lanes)), processes()
    batches = row_batches(scorer, store, prompts, answers, tokens // lanes)
    with scorer.without_gradients():
        for number, sequences in enumerate(ours.share(batches)):
            batch = collate_sequences(store, prompts, answers, sequences, pad, device)
            with of_lanes(len(sequences)):
                scores = scorer(batch if lanes == 1 else batch.times(lanes), torch.float64)
            if ours.counts(number, batches):
                out[np.concatenate(sequences)] = scores.view(lanes, -1).T.cpu().numpy()
    return np.asarray(ours.filled(out)[back])


def row_batches(
    scorer: ResponseScorer, store: TokenStore, contexts: IntArray, responses: IntArray, tokens: int
) -> list[list[IntArray]]:
    """Batches of sequences, at most `tokens` padded tokens each, that hold every row once, by its number.

    Responses to one prompt stand behind it where the model allows; what shares no prompt needs no mask, and is in
    batches of its own.
    """
    prompt, response = store.lengths(contexts), store.lengths(responses)
    sequences = [np.array([row]) for row in range(len(contexts))]
    if scorer.shares:
        sequences = behind_their_prompts(contexts, prompt, response, SHARED_TOKENS, scorer.window)
    batches = []
    for alone in (False, True):
        own = [rows for rows in sequences if (len(rows) == 1) == alone]
        lengths = np.array([prompt[rows[0]] + response[rows].sum() for rows in own], dtype=np.int64)
        batches += [[own[j] for j in chosen.tolist()] for chosen in length_batches(lengths, tokens)]
    return batches
