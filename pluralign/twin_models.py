"""Fitted types of the tiny twin and what they say by the chain rule: what the twin's claims are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from llm.runs.tiny_twin import PAD, TinyTwin, collect, fit_types, fresh_policies, tiny_twin
from llm.training.adapter_policy import AdapterPolicy
from llm.training.passes import DPOTraining
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import FloatArray
from sim.streams import Stream

BETA = 0.5
TRAINING = DPOTraining(rate=2e-2, epochs=3, settled=0.0, batch=64)
# With none above its limit among so many draws, fewer than a tenth of all are: p = .005.
REPLICATES, RATE = 50, 0.1
_WORDS, _PROMPTS, _LENGTH = (3, 4, 5), 2, 3


@dataclass(frozen=True, eq=False)
class FittedTypes:
    """A twin, one adapter a type fitted to that type's answers, and log pi of every token of every response by the
    chain rule: tokens (K, S, A, length), and the reference's, reference (S, A)."""

    twin: TinyTwin
    policies: tuple[AdapterPolicy, ...]
    tokens: FloatArray
    reference: FloatArray

    @property
    def log_p(self) -> FloatArray:
        """log pi_k(y | x) by the chain rule; (K, S, A)."""
        return np.asarray(self.tokens.sum(axis=3))


def fitted_types(stream: Stream, n_types: int, opposed: bool = False) -> FittedTypes:
    """Of the stream's seed and replicate alone: claims and controls that want the same number of types have the same.

    The models of a process are one base with adapters, so what was fitted before is put back.
    """
    found, states = _fitted(stream.seed, stream.replicate, n_types, opposed)
    for policy, state in zip(found.policies, states, strict=True):
        policy.restore(state)
    return found


@lru_cache(maxsize=512)
def _fitted(seed: int, replicate: int, n_types: int, opposed: bool) -> tuple[FittedTypes, tuple[object, ...]]:
    stream = Stream(seed, f"twin/{n_types}/{opposed}", replicate)
    twin = drawn_twin(stream, n_types, opposed)
    policies = fresh_policies(twin, [f"type_{k}" for k in range(n_types)], BETA, TRAINING, stream)
    fit_types(policies, collect(twin, 12, 10, stream.child("people")))
    tokens = np.stack([token_log_chances(twin, policy.name) for policy in policies])
    found = FittedTypes(twin, tuple(policies), tokens, token_log_chances(twin, None).sum(axis=2))
    for policy in policies:
        twin.space.log_probabilities(policy)
    return found, tuple(policy.snapshot() for policy in policies)


def drawn_twin(stream: Stream, n_types: int, opposed: bool) -> TinyTwin:
    """Two prompts; each type gives each word a normal reward (opposed: the second type the negative, in the main)."""
    tastes = np.zeros((n_types, 6))
    tastes[:, _WORDS] = 1.5 * stream.child("tastes").normals((n_types, len(_WORDS)))
    if opposed:
        tastes[1] = -tastes[0] + 0.2 * tastes[1]
    return tiny_twin(tastes, np.full(n_types, 1.0 / n_types), _PROMPTS, _LENGTH, stream)


def token_log_chances(twin: TinyTwin, name: str | None) -> FloatArray:
    """log pi(y_t | x, y_<t) by transformers' own logits, 0 behind a response's end; (S, A, length)."""
    space, base = twin.space, twin.space.base
    length = int(base.store.lengths(space.responses).max())
    written = np.full((len(space.responses), length), PAD, dtype=np.int64)
    there = np.zeros(written.shape)
    for row, number in enumerate(space.responses.tolist()):
        tokens = base.store[number]
        written[row, : len(tokens)], there[row, : len(tokens)] = tokens, 1.0
    out = []
    for number in space.prompts.tolist():
        prompt = base.store[number].astype(np.int64)
        ids = torch.from_numpy(np.concatenate([np.tile(prompt, (len(written), 1)), written], axis=1))
        with base.using(name) as model, torch.inference_mode():
            logits = model(input_ids=ids).logits[:, len(prompt) - 1 : -1].double()
        chances = torch.log_softmax(logits, dim=-1).gather(2, torch.from_numpy(written)[..., None])[..., 0]
        out.append(chances.numpy() * there)
    return np.stack(out)


def expected_rewards(log_p: FloatArray, rewards: FloatArray) -> FloatArray:
    """E_x sum_y pi(y | x) r_z(x, y); (K,)."""
    return np.asarray((np.exp(log_p) * rewards).sum(axis=2).mean(axis=1))


def tables_of(fitted: FittedTypes) -> list[SoftmaxTable]:
    """The policies as `llm` scores them, for the exact algorithms of `sim`."""
    return [fitted.twin.space.table(policy, BETA) for policy in fitted.policies]
