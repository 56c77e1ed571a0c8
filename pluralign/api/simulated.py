"""Answers of simulated annotators, as `fit` takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pluralign.api.plain_numbers import plain_numbers
from sim.arguments import probability_array, require_count
from sim.environments.low_rank import LowRankWorld, low_rank_matrix, plain_world
from sim.environments.protocol import Environment, FeaturedEnvironment
from sim.environments.registry import ENVIRONMENTS, as_environment, find_environment
from sim.environments.two_attributes import TwoAttributeWorld, two_attribute_world
from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.populations.simulated import simulate_pairs, table_of
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


def _low_rank(n_contexts: int = 5, n_features: int = 6, rank: int = 2, norm: float = 3.0) -> LowRankWorld:
    return plain_world(low_rank_matrix(n_contexts, n_features, rank, Stream(cell="simulate/low-rank"), norm=norm))


def _two_attributes(n_groups: int = 4, n_features: int = 6, conflict: float = 1.0) -> LowRankWorld:
    return two_attribute_world(n_groups, n_features, Stream(cell="simulate/two-attributes"), conflict=conflict)


# Worlds in which an annotator is what is known of her.
_KNOWN: dict[str, Callable[..., LowRankWorld]] = {"low_rank": _low_rank, "two_attributes": _two_attributes}


@plain_numbers
def simulate(
    environment: str | Environment = "opposed_tastes",
    *,
    n_annotators: int = 100,
    answers: int = 20,
    mixture: Sequence[float] | None = None,
    seed: int = 0,
    **options: Any,
) -> PairTable:
    """Pairwise answers of annotators whose types are known: `fit` takes them, and never reads the types (`group`).

    environment: an object (`Environment`, with features_of), or a name with `options`:
    opposed_tastes, items with features, types whose tastes are opposed (n_types, n_features, n_items, strength);
    majority_bandit, the bandit of arXiv 2405.15065, section 5.1 (n_types, dimension, scale, noise_sd);
    compromise_arm (compromise, n_types, own) and maxmin_example, one context and few arms;
    low_rank, rewards x' Theta phi of an annotator's features x (n_contexts, n_features, rank, norm);
    two_attributes, groups who weigh helpfulness and safety differently (n_groups, n_features, conflict);
    an installed package's, or module:NAME of your own.

    answers: asked of each annotator. One to two equal responses says nothing and is left out; opposed_tastes draws its
    two items one by one, and has one such in n_items, so that an annotator has `answers` or somewhat fewer (with few
    items perhaps none).  mixture: (n_types,) shares of the types, equal if None; in low_rank and two_attributes
    what an annotator is stands in `annotator_features`, and there is one type.  Equal seeds give equal answers, and the
    first annotators of a larger sample are those of a smaller one.
    """
    require_count("n_annotators", n_annotators)
    require_count("answers", answers)
    world = _world(environment, options)
    if mixture is not None:
        shares = probability_array("mixture", mixture, (world.n_types,))
        mixture = shares / shares.sum()
    stream = Stream(seed, cell="simulate")
    if not isinstance(world, LowRankWorld):
        return _telling(table_of(*simulate_pairs(world, n_annotators, answers, stream, mixture)))
    pairs, features = simulate_pairs(_OwnContexts(world, n_annotators, answers), n_annotators, answers, stream)
    told, group = pairs.contexts[::answers], pairs.group
    assert group is not None
    if isinstance(world, TwoAttributeWorld):
        group = told.argmax(axis=1)
    return replace(
        _telling(table_of(pairs, features)),
        annotator_features=told,
        annotator_feature_names=tuple(f"annotator x{j + 1}" for j in range(told.shape[1])),
        group=tuple(f"type {z + 1}" for z in group),
    )


def _world(environment: str | Environment, options: dict[str, Any]) -> FeaturedEnvironment:
    if not isinstance(environment, str):
        if options:
            raise InputError(f"{next(iter(options))}: options belong to an environment's name", fix="leave it out")
        return as_environment(environment)
    if environment in _KNOWN:
        try:
            return _KNOWN[environment](**options)
        except TypeError as error:
            raise InputError(f"environment '{environment}': {error}", fix="see pluralign.simulate") from error
    if ":" not in environment and environment not in ENVIRONMENTS.names():
        known = ", ".join((*ENVIRONMENTS.names(), *_KNOWN))
        raise InputError(
            f"environment: there is none called '{environment}'", fix=f"choose one of {known}, or module:NAME"
        )
    return find_environment(environment, **options)


def _telling(table: PairTable) -> PairTable:
    """Without answers in which a world offered one response twice (they say nothing), and with items numbered as they
    are met: written and read again, the table is the same, and so is every split of it."""
    rows = table.chosen != table.rejected
    if not rows.any():
        raise InputError(
            f"environment: each of the {len(table)} answers is to two responses of equal features, and says nothing",
            fix="let draw_offers and features_of give responses that differ",
        )  # fmt: skip
    both = np.stack([table.chosen[rows], table.rejected[rows]], axis=1)
    met, first, place = np.unique(both.ravel(), return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    number = np.empty(len(met), dtype=np.int64)
    number[order] = np.arange(len(met))
    items = number[place].reshape(both.shape)
    assert table.features is not None
    return replace(
        table, items=tuple(f"item {i + 1}" for i in range(len(met))), features=table.features[met[order]],
        prompt=table.prompt[rows], chosen=items[:, 0].copy(), rejected=items[:, 1].copy(),
        annotator=table.annotator[rows],
    )  # fmt: skip


class _OwnContexts:
    """A world in which a context is who the annotator is: the same in all her answers, and no feature of a response."""

    def __init__(self, world: LowRankWorld, n_annotators: int, answers: int) -> None:
        self._world, self._n, self._answers = world, n_annotators, answers

    @property
    def n_types(self) -> int:
        return self._world.n_types

    def draw_contexts(self, n: int, stream: Stream) -> FloatArray:
        return np.repeat(self._world.draw_contexts(self._n, stream), self._answers, axis=0)

    def shown(self, contexts: FloatArray) -> FloatArray:
        return self._world.shown(contexts)

    def draw_offers(self, contexts: FloatArray, n_offered: int, stream: Stream) -> FloatArray:
        return self._world.draw_offers(contexts, n_offered, stream)

    def preferred(self, contexts: FloatArray, types: IntArray, offered: FloatArray) -> FloatArray:
        return self._world.preferred(contexts, types, offered)

    def features_of(self, contexts: FloatArray, responses: FloatArray) -> FloatArray:
        return np.asarray(responses)
