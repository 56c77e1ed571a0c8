"""Answers of simulated annotators, as `fit` takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sim.arguments import probability_array, require_count
from sim.environments.linear import LinearBandit, majority_bandit
from sim.environments.linear_types import LinearTypes
from sim.environments.low_rank import LowRankWorld, low_rank_matrix, plain_world
from sim.environments.protocol import Environment, distinct_actions
from sim.environments.tabular import compromise_arm, maxmin_example, random_tabular
from sim.environments.two_attributes import TwoAttributeWorld, two_attribute_world
from sim.errors import InputError
from sim.files.pair_table import PairTable as Pairs
from sim.policies.log_linear import ArmFeatures
from sim.populations.collect import collect_pairs
from sim.populations.latent_types import LatentTypes
from sim.preferences import AnyArray, FloatArray, IntArray, PreferencePairs
from sim.settings import require_known
from sim.streams import Stream


def _linear(
    stream: Stream, n_types: int = 3, n_features: int = 5, n_items: int = 60, scale: float = 3.0
) -> Environment:
    """Items with standard normal features; r_z = <theta_z, phi>, |theta_z| = scale, directions drawn uniformly."""
    require_count("n_types", n_types)
    require_count("n_features", n_features)
    require_count("n_items", n_items, 2)
    theta = stream.child("theta").normals((n_types, n_features))
    theta *= scale / np.linalg.norm(theta, axis=1, keepdims=True)
    return LinearTypes(_Items(stream.child("items").normals((n_items, n_features))), theta)


class _Items:
    """One context; two distinct items of a table (n_items, d), drawn uniformly."""

    def __init__(self, table: FloatArray) -> None:
        self._table = table

    @property
    def n_features(self) -> int:
        return int(self._table.shape[1])

    def draw_contexts(self, n: int, stream: Stream) -> IntArray:
        return np.zeros(n, dtype=np.int64)

    def draw_offers(self, contexts: IntArray, n_offered: int, stream: Stream) -> IntArray:
        return distinct_actions(len(contexts), n_offered, len(self._table), stream)

    def features_of(self, contexts: IntArray, responses: IntArray) -> FloatArray:
        return np.asarray(self._table[responses])


def _low_rank(
    stream: Stream, n_contexts: int = 5, n_features: int = 6, rank: int = 2, norm: float = 3.0
) -> Environment:
    return plain_world(low_rank_matrix(n_contexts, n_features, rank, stream, norm=norm))


def _tabular(
    stream: Stream, n_types: int = 3, n_contexts: int = 4, n_actions: int = 5, scale: float = 2.0
) -> Environment:
    return random_tabular(n_types, n_contexts, n_actions, stream, scale)


def _attributes(stream: Stream, n_groups: int = 4, n_features: int = 6, conflict: float = 1.0) -> Environment:
    return two_attribute_world(n_groups, n_features, stream, conflict=conflict)


# A line each in the docstring of `simulate`.
WORLDS: Mapping[str, Callable[..., Environment]] = {
    "linear": _linear,
    "majority_bandit": lambda stream, **options: majority_bandit(**options),
    "tabular": _tabular,
    "compromise": lambda stream, compromise=6.0, n_types=3: compromise_arm(compromise, n_types),
    "maxmin": lambda stream: maxmin_example(),
    "low_rank": _low_rank,
    "two_attributes": _attributes,
}


def simulate(
    environment: str | Environment = "linear",
    *,
    n_annotators: int = 100,
    answers: int = 20,
    mixture: Sequence[float] | None = None,
    seed: int = 0,
    **options: Any,
) -> Pairs:
    """Pairwise answers of annotators whose types are known: `fit` takes them, and never reads the types (`group`).

    environment: an object (`Environment`), or a name with `options`:
    linear, items with features, rewards linear in them (n_types, n_features, n_items, scale);
    majority_bandit, the bandit of arXiv 2405.15065, section 5.1 (n_types, dimension, scale, noise_sd);
    tabular, random rewards (n_types, n_contexts, n_actions, scale); compromise and maxmin, one context, few arms;
    low_rank, rewards x' Theta phi of an annotator's features x (n_contexts, n_features, rank, norm);
    two_attributes, groups who weigh helpfulness and safety differently (n_groups, n_features, conflict).

    answers: of each annotator.  mixture: (n_types,) shares of the types, equal if None; in low_rank and two_attributes
    what an annotator is stands in `annotator_features`, and there is one type.  Equal seeds give equal answers, and the
    first annotators of a larger sample are those of a smaller one.
    """
    stream = Stream(seed, cell="simulate")
    if isinstance(environment, str):
        require_known(environment, tuple(WORLDS), section="environment")
        try:
            world = WORLDS[environment](stream.child("world"), **options)
        except TypeError as error:
            raise InputError(
                f"environment '{environment}': {error}", fix="see pluralign.simulate for its options"
            ) from error
    elif options:
        raise InputError(f"{next(iter(options))}: options belong to an environment's name", fix="leave it out")
    else:
        world = environment
    if not isinstance(world, Environment):
        raise InputError(f"environment: expected a name or an Environment, got {type(world).__name__}")
    require_count("answers", answers)
    require_count("n_annotators", n_annotators)
    even = np.full(world.n_types, 1.0 / world.n_types)
    shares = even if mixture is None else probability_array("mixture", mixture, (world.n_types,), 1e-6)
    own = _OwnContexts(world, n_annotators, answers) if isinstance(world, LowRankWorld) else world
    found = collect_pairs(own, LatentTypes(shares / shares.sum()), n_annotators, answers, stream)
    return _as_table(world, found, answers)


class _OwnContexts:
    """A world in which a context is who the annotator is: the same in all her answers."""

    def __init__(self, world: LowRankWorld, n_annotators: int, answers: int) -> None:
        self._world, self._n, self._answers = world, n_annotators, answers

    @property
    def n_types(self) -> int:
        return self._world.n_types

    @property
    def logistic(self) -> bool:
        return self._world.logistic

    def draw_contexts(self, n: int, stream: Stream) -> FloatArray:
        return np.repeat(self._world.draw_contexts(self._n, stream), self._answers, axis=0)

    def shown(self, contexts: FloatArray) -> FloatArray:
        return self._world.shown(contexts)

    def draw_offers(self, contexts: FloatArray, n_offered: int, stream: Stream) -> FloatArray:
        return self._world.draw_offers(contexts, n_offered, stream)

    def preferred(self, contexts: FloatArray, types: IntArray, offered: FloatArray) -> FloatArray:
        return self._world.preferred(contexts, types, offered)

    def rewards_of(self, contexts: FloatArray, types: IntArray, responses: FloatArray, stream: Stream) -> FloatArray:
        return self._world.rewards_of(contexts, types, responses, stream)


def _features_of(world: Any, contexts: AnyArray, responses: AnyArray) -> FloatArray | None:
    """(n, J, d), or None where items are arms of few contexts, and each has a strength of its own."""
    if isinstance(world, LinearBandit):
        arms = ArmFeatures(world.n_actions, world.dimension)
        return np.stack([arms.rows(contexts, responses[:, j]) for j in range(responses.shape[1])], axis=1)
    for holder in (world, getattr(world, "world", None)):
        if holder is not None and hasattr(holder, "features_of"):
            return np.asarray(holder.features_of(contexts, responses), dtype=np.float64)
    if responses.ndim == 3:
        return np.asarray(responses, dtype=np.float64)
    if contexts.ndim == 1 and responses.dtype.kind in "iu" and contexts.dtype.kind in "iu":
        return None
    raise InputError(
        "environment: its responses are neither features, nor arms of numbered contexts",
        fix="give it features_of(contexts, responses) -> (n, J, d)",
    )


def _as_table(world: Any, found: PreferencePairs, answers: int) -> Pairs:
    """Distinct items by their features (or context and arm), in the order in which they are met."""
    both = np.stack([found.chosen, found.rejected], axis=1)
    features = _features_of(world, found.contexts, both)
    n = len(found)
    if features is None:
        keys = np.stack([np.repeat(found.contexts, 2), both.ravel()], axis=1)
        several = bool((found.contexts != found.contexts[0]).any())
        labels = [f"context {s}, arm {a}" if several else f"arm {a}" for s, a in keys.tolist()]
        prompt = found.contexts if several else np.zeros(n, dtype=np.int64)
    else:
        keys = features.reshape(2 * n, -1)
        labels, prompt = [], np.zeros(n, dtype=np.int64)
    _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    items = number[place.ravel()].reshape(n, 2)
    prompts, asked = np.unique(prompt, return_inverse=True)
    told, group = None, found.group
    assert group is not None
    if isinstance(world, LowRankWorld):
        told = found.contexts[::answers]
    if isinstance(world, TwoAttributeWorld):
        group = found.contexts[::answers].argmax(axis=1)
    # Where a world offers one response twice, the answer says nothing.
    tells = items[:, 0] != items[:, 1]
    return Pairs(
        items=tuple(labels[first[i]] if labels else f"item {j + 1}" for j, i in enumerate(order)),
        features=None if features is None else keys[first[order]],
        feature_names=() if features is None else tuple(f"feature {j + 1}" for j in range(keys.shape[1])),
        prompts=tuple(f"context {s}" for s in prompts) if len(prompts) > 1 else ("",),
        prompt=asked.astype(np.int64)[tells],
        chosen=items[tells, 0],
        rejected=items[tells, 1],
        annotators=tuple(f"annotator {i + 1}" for i in range(found.n_annotators)),
        annotator=found.annotator[tells],
        group=tuple(f"type {z + 1}" for z in group),
        annotator_features=told,
        annotator_feature_names=()
        if told is None
        else tuple(f"annotator feature {j + 1}" for j in range(told.shape[1])),
        source="simulated",
    )
