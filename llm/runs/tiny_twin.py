"""A twin of a run, small enough to be summed: a Mistral of six tokens, types with known rewards, adapters.

The same classes as in a run: a frozen base, a LoRA adapter a type, weighted DPO. Only the sizes differ, and that each
type's true reward is known: r_z(x, y) = sum_t theta_z[y_t], a taste for tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from llm.base.lora_settings import LoraSettings
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import Size, new_mistral
from llm.base.tokens import TokenStore
from llm.runs.exact_policy import ExactResponses, exact_responses
from llm.training.adapter_policy import AdapterPolicy
from llm.training.passes import DPOTraining
from sim.preferences import FloatArray, IntArray, PreferencePairs
from sim.streams import Stream

PAD, START, END = 0, 1, 2
_SIZE = Size(vocabulary=6, hidden=16, layers=1, heads=2, kv_heads=1, feed_forward=32)
# As drawn, a network of this size says the same of every token; times this, its sequences differ in likelihood.
_WIDER = 8.0
_LONGEST = 16


@cache
def tiny_base(seed: int = 0) -> SharedBase:
    """A random Mistral of six tokens, with no adapter but those that `fresh_policies` adds; one a process."""
    stream = Stream(seed, "tiny-twin")
    model = new_mistral(_SIZE, _LONGEST, stream)
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value.mul_(_WIDER)
    return SharedBase(
        model, TokenStore(), pad=PAD, end=END, lora=LoraSettings(rank=2, alpha=4.0), identity=f"tiny-{seed}"
    )


@dataclass(frozen=True, eq=False)
class TinyTwin:
    """space: prompts and all responses.  rewards (K, S, A): the types' true ones.  mixture (K,): shares of types."""

    space: ExactResponses
    rewards: FloatArray
    mixture: FloatArray

    @property
    def n_types(self) -> int:
        return len(self.rewards)


def tiny_twin(tastes: FloatArray, mixture: FloatArray, n_prompts: int, length: int, stream: Stream) -> TinyTwin:
    """tastes (K, 6): theta_z, what a type gives for each token.  Prompts: the begin token and two to five words."""
    base = tiny_base()
    rng = stream.child("prompts").generator()
    words = np.array([token for token in range(_SIZE.vocabulary) if token not in (PAD, START, END)])
    prompts: dict[int, None] = {}
    while len(prompts) < n_prompts:
        prompts[base.store.add([START, *rng.choice(words, int(rng.integers(2, 6))).tolist()])] = None
    space = exact_responses(base, np.array(list(prompts)), length)
    counts = np.stack([np.bincount(base.store[r], minlength=_SIZE.vocabulary) for r in space.responses.tolist()])
    rewards = np.repeat((tastes @ counts.T)[:, None], n_prompts, axis=1)
    return TinyTwin(space, rewards, mixture)


def collect(
    twin: TinyTwin, n_annotators: int, answers: int, stream: Stream, prompts: IntArray | None = None
) -> PreferencePairs:
    """Bradley-Terry answers between two responses of the reference; groups are the true types.

    prompts: places of the prompts that are asked about; all of them by default.
    """
    n = n_annotators * answers
    places = np.arange(len(twin.space.prompts)) if prompts is None else prompts
    annotator = np.repeat(np.arange(n_annotators), answers)
    kind = stream.child("types").choice(twin.mixture, n_annotators)
    place = places[stream.child("prompts").integers(len(places), n)]
    edges = np.cumsum(twin.space.reference(), axis=1)[place]
    drawn = [
        np.minimum((edges < stream.child(side).uniforms(n)[:, None]).sum(axis=1), edges.shape[1] - 1)
        for side in ("first", "second")
    ]
    own = twin.rewards[kind[annotator], place]
    rows = np.arange(n)
    margin = own[rows, drawn[0]] - own[rows, drawn[1]]
    wins = stream.child("answers").uniforms(n) < 1.0 / (1.0 + np.exp(-margin))
    first, second = (twin.space.responses[side] for side in drawn)
    return PreferencePairs(
        twin.space.prompts[place], np.where(wins, first, second), np.where(wins, second, first), annotator,
        n_annotators, group=kind,
    )  # fmt: skip


def fresh_policies(
    twin: TinyTwin, names: Sequence[str], beta: float, training: DPOTraining, stream: Stream
) -> list[AdapterPolicy]:
    """Adapters that start as the reference (B = 0), their A drawn from `stream`; earlier ones of the name are lost."""
    base = twin.space.base
    for name in names:
        if name not in base.adapters:
            base.add_adapter(name, Stream(role=name))
        draw = stream.child(f"start/{name}")
        with torch.no_grad():
            for key, value in base.parameters_of(name).items():
                if "lora_B" in key:
                    value.zero_()
                else:
                    width = value.shape[1] ** -0.5
                    value.copy_(torch.from_numpy(width * draw.child(key).normals(tuple(value.shape))))
    return [
        AdapterPolicy(base, name, beta=beta, training=training, stream=stream.child(f"fit/{name}")) for name in names
    ]


def fit_types(policies: Sequence[AdapterPolicy], pairs: PreferencePairs) -> None:
    """Each policy fitted to the answers of its own type, which are known here."""
    assert pairs.group is not None
    for k, policy in enumerate(policies):
        policy.fit(pairs, (pairs.group[pairs.annotator] == k).astype(np.float64))
