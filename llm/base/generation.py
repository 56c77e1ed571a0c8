"""Sampling responses: batched, with a key-value cache, each row keyed by its own random numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from llm.base.journal import Journal, fingerprint
from llm.base.output_head import float32_head
from llm.base.shared_base import SharedBase
from sim.preferences import AnyArray, FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True)
class Sampling:
    """max_new_tokens: where responses are cut.  temperature: 1 is the policy itself.  batch: rows at a time."""

    max_new_tokens: int = 64
    temperature: float = 1.0
    batch: int = 64

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.batch < 1 or not self.temperature > 0:
            raise ValueError(
                "sampling.max_new_tokens, batch and temperature must be positive "
                f"(got {self.max_new_tokens}, {self.batch}, {self.temperature})"
            )


class InverseDistribution:
    """A logits processor that turns greedy decoding into sampling: token = F^{-1}(u) with u given a row and a step.

    The same row gets the same response in any batch, up to rounding of the model.
    """

    def __init__(self, uniforms: torch.Tensor, prompt_width: int, temperature: float) -> None:
        self._uniforms, self._width, self._temperature = uniforms, prompt_width, temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        u = self._uniforms[:, input_ids.shape[1] - self._width]
        edges = torch.softmax(scores.double() / self._temperature, dim=-1).cumsum(dim=-1)
        drawn = torch.searchsorted(edges, (u * edges[:, -1])[:, None]).clamp_(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


# Responses that are kept together, at least: what a killed command loses is the piece in flight.
_PIECE = 256
# Raised whenever the same key would be given other responses.
_SAMPLED = 1


@dataclass(frozen=True, eq=False)
class KeptSamples:
    """Where a policy's responses are kept.  identity: fingerprint of all that makes it the same policy."""

    journal: Journal
    identity: str


def sample_responses(
    base: SharedBase,
    name: str | None,
    contexts: AnyArray,
    stream: Stream | Sequence[Stream],
    sampling: Sampling,
    kept: KeptSamples | None = None,
) -> IntArray:
    """One response a context from adapter `name` (None: the reference); numbers of the token store, (n,).

    stream: of all, whose numbers belong to places in `contexts` and to `max_new_tokens`; or each response's own, whose
    token t takes the t-th number.

    A response ends with an end token (`base.ends`), or where `max_new_tokens` cuts it: then it is a prefix, and its
    log-probability that of the prefix, so that log-ratios of sampled responses stay exact.  kept: pieces of some
    batches are read from there, or written there as soon as they are finished.
    """
    if isinstance(stream, Stream):
        uniforms = stream.uniforms((len(contexts), sampling.max_new_tokens))
    else:
        uniforms = np.stack([own.uniforms(sampling.max_new_tokens) for own in stream])
    lengths = base.store.lengths(contexts)
    order = np.argsort(lengths, kind="stable")
    out = np.empty(len(contexts), dtype=np.int64)

    def written(rows: IntArray) -> list[list[int]]:
        found: list[list[int]] = []
        with base.using(name) as model:
            for lo in range(0, len(rows), sampling.batch):
                own = rows[lo : lo + sampling.batch]
                prompts = [base.store[c] for c in contexts[own].tolist()]
                found += _generate(base, model, prompts, uniforms[own], sampling)
        return found

    # Whole batches: what is kept and what is not has the same neighbours.
    step = sampling.batch * max(1, _PIECE // sampling.batch)
    key = "" if kept is None else _key(base, contexts, stream, sampling, kept.identity)
    for lo in range(0, len(order), step):
        rows = order[lo : lo + step]
        responses = written(rows) if kept is None else _kept(kept.journal, f"samples-{key}-{lo}", rows, written)
        out[rows] = base.store.add_all(responses)
    return out


def _key(
    base: SharedBase, contexts: AnyArray, stream: Stream | Sequence[Stream], sampling: Sampling, identity: str
) -> str:
    """Of all that responses depend on: the policy, the tokens of the prompts in their order, what ends a response, and
    the random numbers."""
    asked = base.store.digest(contexts)
    numbers = asdict(stream) if isinstance(stream, Stream) else [asdict(own) for own in stream]
    return fingerprint(_SAMPLED, identity, list(base.ends), base.pad, asdict(sampling), numbers, asked)


def _kept(
    journal: Journal, piece: str, rows: IntArray, write: Callable[[IntArray], list[list[int]]]
) -> list[list[int]]:
    """The responses of a piece as tokens, read or written."""
    found = journal.read(piece)
    if found is None:
        drawn = write(rows)
        tensors = {
            "tokens": torch.tensor([token for row in drawn for token in row], dtype=torch.int32),
            "lengths": torch.tensor([len(row) for row in drawn], dtype=torch.int32),
        }
        journal.write(piece, tensors)
        return drawn
    tokens, lengths = found[0]["tokens"], found[0]["lengths"]
    return [part.tolist() for part in tokens.split(lengths.tolist())]


def _generate(
    base: SharedBase, model: Any, prompts: list[Any], uniforms: FloatArray, sampling: Sampling
) -> list[list[int]]:
    width = max(len(prompt) for prompt in prompts)
    ids = np.full((len(prompts), width), base.pad, dtype=np.int64)
    seen = np.zeros((len(prompts), width), dtype=np.int64)
    for j, prompt in enumerate(prompts):
        ids[j, width - len(prompt) :] = prompt
        seen[j, width - len(prompt) :] = 1
    device = base.device
    with torch.inference_mode(), _policy_alone(model, base):
        written = model.generate(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(seen).to(device),
            max_new_tokens=sampling.max_new_tokens,
            logits_processor=[InverseDistribution(torch.from_numpy(uniforms).to(device), width, sampling.temperature)],
        )
    responses = []
    for row in written[:, width:].tolist():
        end = next((j + 1 for j, token in enumerate(row) if token in base.ends), len(row))
        responses.append(row[:end])
    return responses


def own_streams(base: SharedBase, contexts: IntArray, stream: Stream) -> list[Stream]:
    """Of each of (n,) contexts a stream that belongs to its tokens and to how often it stood before: whatever else is
    asked, the j-th response to a prompt has the same numbers."""
    before: Counter[int] = Counter()
    found = []
    for context in contexts.tolist():
        tokens = np.asarray(base.store[context], dtype="<i8").tobytes()
        name = hashlib.blake2b(tokens, digest_size=16).hexdigest()
        found.append(stream.child(f"prompt/{name}").at(replicate=before[context]))
        before[context] += 1
    return found


@contextmanager
def _policy_alone(model: Any, base: SharedBase) -> Iterator[None]:
    """While this lasts, `generate` samples the policy and nothing but it.

    A folder's generation_config.json may penalise repetitions, suppress or force tokens, cut the distribution, or
    ask for beams: each makes another policy, whose log-probabilities are not those that are scored. transformers
    fills in from it whatever a call leaves open, so it is replaced, not overruled.
    """
    from transformers import GenerationConfig

    before = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False, pad_token_id=base.pad, eos_token_id=list(base.ends), use_cache=True
    )
    try:
        # Logits in the precision of the scores.
        with float32_head(model.get_output_embeddings()):
            yield
    finally:
        model.generation_config = before
