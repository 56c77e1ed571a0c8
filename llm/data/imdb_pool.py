"""Prompts and two sampled continuations of each, scored by every group's scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from llm.base.generation import Sampling
from llm.base.journal import Journal
from llm.base.model_folder import end_tokens
from llm.base.progress import Progress
from llm.base.reference_policy import ReferencePolicy
from llm.base.shared_base import SharedBase
from llm.base.texts import plain_text, response_texts
from llm.base.tokens import TokenStore
from llm.data.imdb_settings import ImdbSettings
from llm.data.rendered_tokens import RenderedTokens
from llm.scorers.named_scorers import Scorer
from sim.errors import InputError
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Writer:
    """The model whose continuations are compared; instruction: what it is asked for, if it must be asked."""

    network: Any
    tokenizer: Any
    instruction: str = ""

    @cached_property
    def opening(self) -> str:
        """What stands before a review's beginning: the instruction and the head of the answer, in the chat template."""
        if not self.instruction:
            return ""
        if not getattr(self.tokenizer, "chat_template", None):
            raise InputError(
                "the model's tokenizer has no chat template", field="instruction",
                fix="leave the instruction out, or put chat_template.jinja into the model's folder",
            )  # fmt: skip
        messages = [{"role": "user", "content": self.instruction}]
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        # Templates are programs of others, and raise what they like.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            problem = f"the model's chat template refuses the instruction ({reason})"
            raise InputError(problem, field="instruction", fix="write another one, or none") from error

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where its continuations end, as its responses do everywhere."""
        return end_tokens(self.network, self.tokenizer)

    @cached_property
    def before(self) -> str:
        """The opening as it stands in a decoded prompt."""
        return plain_text(self.tokenizer, self._rendered.text(self.opening))

    def beginnings(self, texts: Sequence[str], tokens: int) -> tuple[list[str], list[list[int]]]:
        """The first `tokens` tokens of each text as texts, of shorter ones nothing; and what is continued, as tokens.

        After an opening these are what the written file will be read as.
        """
        ids = [self._rendered.text(text) for text in texts]
        start = int(bool(ids) and bool(ids[0]) and ids[0][0] == self.tokenizer.bos_token_id)
        ids = [row[: tokens + start] for row in ids if len(row) > tokens + start]
        begun = [plain_text(self.tokenizer, row) for row in ids]
        return begun, [self._rendered.text(self.opening + text) for text in begun] if self.opening else ids

    @cached_property
    def _rendered(self) -> RenderedTokens:
        return RenderedTokens(self.tokenizer)


@dataclass(frozen=True, eq=False)
class Kept:
    """Finished pieces: where samples and where scores lie, and the fingerprints of everything that goes into each."""

    samples: Journal
    scores: Journal
    sampled: str
    scored: str


@dataclass(frozen=True, eq=False)
class Pool:
    """prompts and the two continuations of each as texts, scores (n_scorers, n, 2), training or test."""

    prompts: list[str]
    first: list[str]
    second: list[str]
    scores: FloatArray


def sample_pool(
    texts: list[str], need: int, settings: ImdbSettings, writer: Writer, scorers: list[Scorer], stream: Stream,
    kept: Kept, progress: Progress,
) -> tuple[Pool, int]:  # fmt: skip
    """The first `need` prompts whose two continuations are texts and differ; and how many were passed over."""
    tokenizer = writer.tokenizer
    end = tokenizer.eos_token_id
    pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    base = SharedBase(writer.network, TokenStore(), pad=pad, end=end, ends=writer.ends)
    policy = ReferencePolicy(base, sampling=Sampling(settings.new_tokens, batch=settings.batch))
    prompts: list[str] = []
    first: list[str] = []
    second: list[str] = []
    scores: list[FloatArray] = []
    dropped = 0
    asked_before: set[str] = set()
    for lo in range(0, len(texts), _CHUNK):
        if len(prompts) >= need:
            break
        asked, ids = writer.beginnings(texts[lo : lo + _CHUNK], settings.prompt_tokens)
        contexts = base.store.add_all(ids)
        here = stream.at(replicate=lo // _CHUNK)
        drawn: list[list[list[int]]] = []
        for c in range(settings.candidates):
            piece = f"samples-{lo}-{c}-{kept.sampled}"
            drawn.append(_candidates(policy, contexts, here.child(f"candidate/{c}"), kept.samples, piece))
            progress(f"continuation {c + 1} of {settings.candidates} of prompts {lo} to {lo + len(ids)}")
        texts_of = [response_texts(tokenizer, ids, side) for side in drawn]
        different = [_different([side[j] for side in texts_of]) for j in range(len(asked))]
        # A prompt is asked once: the unseen annotators' prompts are then new to every policy.
        fresh = [text not in asked_before and text not in asked[:j] for j, text in enumerate(asked)]
        asked_before.update(asked)
        good = [j for j in range(len(asked)) if fresh[j] and len(different[j]) >= 2]
        dropped += len(asked) - len(good)
        good = good[: need - len(prompts)]
        if not good:
            continue
        flat = [(j, text) for j in good for text in different[j]]
        piece = f"scores-{lo}-{kept.scored}"
        known = _read(kept.scores, piece)
        if known is None or known["scores"].shape[1] != len(flat):
            asked_flat, texts_flat = [asked[j] for j, _ in flat], [text for _, text in flat]
            table = torch.from_numpy(np.stack([scorer(asked_flat, texts_flat) for scorer in scorers]))
            known = {"scores": table}
            kept.scores.write(piece, known)
        found = known["scores"].numpy()
        scale = np.maximum(found.std(axis=1), 1e-12)[:, None]
        at = 0
        for j in good:
            own = found[:, at : at + len(different[j])]
            a, b = furthest_apart(own / scale)
            prompts.append(writer.opening + asked[j])
            first.append(different[j][a])
            second.append(different[j][b])
            scores.append(own[:, [a, b]])
            at += len(different[j])
        progress(f"{len(prompts)} of {need} pairs of continuations sampled and scored")
    if len(prompts) < need:
        raise InputError(
            f"{len(prompts)} prompts of {settings.prompt_tokens} tokens with two different continuations, not {need}",
            file=settings.data, fix="lower pool and test_pool, or give more reviews",
        )  # fmt: skip
    return Pool(prompts, first, second, np.stack(scores, axis=1)), dropped


def _read(journal: Journal, piece: str) -> Mapping[str, torch.Tensor] | None:
    found = journal.read(piece)
    return None if found is None else found[0]


def _candidates(
    policy: ReferencePolicy, contexts: IntArray, stream: Stream, journal: Journal, piece: str
) -> list[list[int]]:
    """One sampled continuation a prompt, as tokens."""
    known = _read(journal, piece)
    if known is None:
        store = policy.base.store
        rows = [store[n] for n in policy.sample(contexts, stream).tolist()]
        table = torch.full((len(rows), max(map(len, rows))), -1, dtype=torch.int32)
        for j, row in enumerate(rows):
            table[j, : len(row)] = torch.from_numpy(row)
        known = {"tokens": table}
        journal.write(piece, known)
    return [[t for t in row if t >= 0] for row in known["tokens"].tolist()]


def _different(texts: list[str]) -> list[str]:
    """Those that are not empty, each once, in order."""
    return list({text.strip(): text for text in reversed(texts) if text.strip()}.values())[::-1]


def furthest_apart(scores: FloatArray) -> tuple[int, int]:
    """The two columns with the largest sum over groups of absolute differences, in their order; (G, c) -> (a, b)."""
    gap = np.abs(scores[:, :, None] - scores[:, None, :]).sum(axis=0)
    a, b = np.unravel_index(int(np.argmax(np.triu(gap, 1) + np.triu(np.full(gap.shape, 1e-12), 1))), gap.shape)
    return int(a), int(b)


def part_of(pool: Pool, rows: slice) -> Pool:
    return Pool(pool.prompts[rows], pool.first[rows], pool.second[rows], pool.scores[:, rows])
