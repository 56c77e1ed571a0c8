"""The one sampler: annotators of a population answer questions about an environment.

Every random number is keyed by its index, so the first annotators of a larger sample are those of a smaller
one (except under `LatentTypes(exact=True)`), and memory grows with the answers alone: contexts, responses and
annotators, a block of rewards at a time.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sim.populations.behaviour import Behaviour
from sim.populations.choice import BradleyTerry, ChoiceModel, PlackettLuce
from sim.populations.latent_types import LatentTypes
from sim.preferences import AnyArray, FloatArray, IntArray, PreferencePairs, Rankings
from sim.streams import Stream

_BLOCK = 1 << 18


class Environment(Protocol):
    """What the sampler asks of an environment."""

    @property
    def n_types(self) -> int: ...

    @property
    def n_actions(self) -> int: ...

    def draw_contexts(self, n: int, stream: Stream) -> AnyArray: ...

    def rewards_of(self, contexts: AnyArray, types: IntArray, actions: IntArray, stream: Stream) -> FloatArray: ...


def _annotators(
    environment: Environment, population: LatentTypes, n_annotators: int, per_annotator: int, stream: Stream
) -> tuple[IntArray, IntArray]:
    if population.n_types != environment.n_types:
        raise ValueError(
            f"the population has {population.n_types} types and the environment {environment.n_types}; "
            "give one share a type"
        )
    if n_annotators < 1 or per_annotator < 1:
        raise ValueError(f"need at least one annotator and one answer each (got {n_annotators}, {per_annotator})")
    types = population.draw(n_annotators, stream.child("types"))
    return types, np.repeat(np.arange(n_annotators), per_annotator)


def collect_pairs(
    environment: Environment,
    population: LatentTypes,
    n_annotators: int,
    pairs_per_annotator: int,
    stream: Stream,
    *,
    choice: ChoiceModel | None = None,
    behaviour: Behaviour | None = None,
) -> PreferencePairs:
    """Each annotator compares two distinct arms in fresh contexts; rows ordered by annotator.

    P(y1 > y2 | x, z) is the choice model's, Bradley-Terry by default: sigmoid(r_z(y1, x) - r_z(y2, x))
    (arXiv 2405.15065, section 3). Rewards' own noise is drawn afresh for each offered arm.
    """
    types, annotator = _annotators(environment, population, n_annotators, pairs_per_annotator, stream)
    model, n = choice or BradleyTerry(), len(annotator)
    contexts = environment.draw_contexts(n, stream.child("contexts"))
    offered = (behaviour or Behaviour()).draw(n, 2, environment.n_actions, stream.child("offered"))
    chosen, rejected = offered[:, 0].copy(), offered[:, 1].copy()
    for lo in range(0, n, _BLOCK):
        part, block = slice(lo, lo + _BLOCK), f"block/{lo // _BLOCK}"
        utility = environment.rewards_of(
            contexts[part], types[annotator[part]], offered[part], stream.child(f"noise/{block}")
        )
        first = model.choose_first(utility[:, 0], utility[:, 1], stream.child(f"choice/{block}"))
        swap = lo + np.flatnonzero(~first)
        chosen[swap], rejected[swap] = offered[swap, 1], offered[swap, 0]
    return PreferencePairs(contexts, chosen, rejected, annotator, n_annotators, group=types)


def collect_rankings(
    environment: Environment,
    population: LatentTypes,
    n_annotators: int,
    rankings_per_annotator: int,
    stream: Stream,
    *,
    n_offered: int = 3,
    n_ranked: int = 1,
    choice: ChoiceModel | None = None,
    behaviour: Behaviour | None = None,
) -> Rankings:
    """Each annotator orders `n_offered` distinct arms; n_ranked = 1 keeps the top choice alone.

    Plackett-Luce by default (arXiv 2405.15065, later version: choices and rankings among three or more).
    """
    types, annotator = _annotators(environment, population, n_annotators, rankings_per_annotator, stream)
    model, n = choice or PlackettLuce(), len(annotator)
    contexts = environment.draw_contexts(n, stream.child("contexts"))
    offered = (behaviour or Behaviour()).draw(n, n_offered, environment.n_actions, stream.child("offered"))
    for lo in range(0, n, _BLOCK):
        part, block = slice(lo, lo + _BLOCK), f"block/{lo // _BLOCK}"
        utility = environment.rewards_of(
            contexts[part], types[annotator[part]], offered[part], stream.child(f"noise/{block}")
        )
        order = model.order(utility, stream.child(f"choice/{block}"))
        if n_ranked < n_offered - 1:
            # What was not ranked keeps no trace of the hidden order.
            order[:, n_ranked:] = np.sort(order[:, n_ranked:], axis=1)
        offered[part] = np.take_along_axis(offered[part], order, axis=1)
    return Rankings(contexts, offered, annotator, n_annotators, n_ranked=n_ranked, group=types)
