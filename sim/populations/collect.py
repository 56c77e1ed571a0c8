"""The one sampler: annotators of a population answer questions about an environment.

Every random number is keyed by its index, so the first annotators of a larger sample are those of a smaller
one (except under `LatentTypes(exact=True)`), and memory grows with the answers alone: contexts, responses and
annotators, a block of rewards at a time.
"""

from __future__ import annotations

import numpy as np

from sim.arguments import require_count
from sim.environments.protocol import Environment, NumberedEnvironment, RewardEnvironment
from sim.populations.behaviour import Behaviour
from sim.populations.choice import BradleyTerry, ChoiceModel, PlackettLuce
from sim.populations.latent_types import LatentTypes
from sim.preferences import AnyArray, FloatArray, IntArray, PreferencePairs, Rankings
from sim.streams import Stream

_BLOCK = 1 << 18


def _annotators(
    environment: Environment, population: LatentTypes, n_annotators: int, per_annotator: int, stream: Stream
) -> tuple[IntArray, IntArray]:
    if population.n_types != environment.n_types:
        raise ValueError(
            f"population has {population.n_types} types and the environment {environment.n_types}; "
            "give one share a type"
        )
    require_count("n_annotators", n_annotators)
    types = population.draw(n_annotators, stream.child("types"))
    return types, np.repeat(np.arange(n_annotators), per_annotator)


def _offers(
    environment: Environment, contexts: AnyArray, n_offered: int, behaviour: Behaviour | None, stream: Stream
) -> AnyArray:
    """(n, n_offered, ...), looked at: a world may be anybody's."""
    if behaviour is None:
        found = np.asarray(environment.draw_offers(contexts, n_offered, stream))
        if found.shape[:2] != (len(contexts), n_offered):
            raise ValueError(
                f"draw_offers must return {n_offered} responses a context, ({len(contexts)}, {n_offered}) or "
                f"({len(contexts)}, {n_offered}, d) (got {found.shape})"
            )
        return found
    if not isinstance(environment, NumberedEnvironment):
        raise ValueError("behaviour chooses among numbered actions; this world draws its own offers: leave it out")
    return behaviour.draw(len(contexts), n_offered, environment.n_actions, stream)


def _contexts(environment: Environment, n: int, stream: Stream) -> AnyArray:
    """(n, ...), looked at likewise."""
    found = np.asarray(environment.draw_contexts(n, stream))
    if found.shape[:1] != (n,):
        raise ValueError(f"draw_contexts must return {n} contexts, one a row (got {found.shape})")
    return found


def _chances(environment: Environment, contexts: AnyArray, types: IntArray, offered: AnyArray) -> FloatArray:
    """P(the first is chosen) as the world says it, looked at: a world may be anybody's."""
    found = np.asarray(environment.preferred(contexts, types, offered))
    if found.shape != types.shape or not ((found >= 0.0) & (found <= 1.0)).all():
        raise ValueError(
            f"preferred must return one probability an answer, {types.shape}, in 0..1 (got {found.shape}"
            + (f", {found.min():.3g} to {found.max():.3g})" if found.size and found.dtype.kind in "fiub" else ")")
        )
    return found


def _require_rewards(environment: Environment, choice: ChoiceModel | None, logistic: bool) -> RewardEnvironment:
    if not isinstance(environment, RewardEnvironment):
        raise ValueError("environment must have rewards (rewards_of) for this: it has preferences alone")
    if logistic and choice is None and not environment.logistic:
        raise ValueError("choice must be given: this environment's answers to pairs are not Bradley-Terry's")
    return environment


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
    choice: None where the environment's own law of answers is meant; a world whose answers are not Bradley-Terry's, or
    that has no rewards, then answers by `preferred`.  behaviour: what is offered, in worlds with numbered actions;
    None for the environment's own offers, two distinct arms drawn uniformly where they are numbered.
    """
    require_count("pairs_per_annotator", pairs_per_annotator)
    types, annotator = _annotators(environment, population, n_annotators, pairs_per_annotator, stream)
    n = len(annotator)
    contexts = _contexts(environment, n, stream.child("contexts"))
    offered = _offers(environment, contexts, 2, behaviour, stream.child("offered"))
    chosen, rejected = offered[:, 0].copy(), offered[:, 1].copy()
    for lo in range(0, n, _BLOCK):
        part, block = slice(lo, lo + _BLOCK), f"block/{lo // _BLOCK}"
        own = contexts[part], types[annotator[part]], offered[part]
        noise, chance = stream.child(f"noise/{block}"), stream.child(f"choice/{block}")
        if choice is None and not (isinstance(environment, RewardEnvironment) and environment.logistic):
            first = chance.uniforms(len(own[1])) < _chances(environment, *own)
        else:
            utility = _require_rewards(environment, choice, False).rewards_of(*own, noise)
            first = (choice or BradleyTerry()).choose_first(utility[:, 0], utility[:, 1], chance)
        swap = lo + np.flatnonzero(~first)
        chosen[swap], rejected[swap] = offered[swap, 1], offered[swap, 0]
    return PreferencePairs(environment.shown(contexts), chosen, rejected, annotator, n_annotators, group=types)


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
    require_count("rankings_per_annotator", rankings_per_annotator)
    types, annotator = _annotators(environment, population, n_annotators, rankings_per_annotator, stream)
    require_count("n_ranked", n_ranked, 1, n_offered)
    rewarding = _require_rewards(environment, choice, True)
    model, n = choice or PlackettLuce(), len(annotator)
    contexts = _contexts(environment, n, stream.child("contexts"))
    offered = _offers(environment, contexts, n_offered, behaviour, stream.child("offered"))
    for lo in range(0, n, _BLOCK):
        part, block = slice(lo, lo + _BLOCK), f"block/{lo // _BLOCK}"
        utility = rewarding.rewards_of(
            contexts[part], types[annotator[part]], offered[part], stream.child(f"noise/{block}")
        )
        order = model.order(utility, stream.child(f"choice/{block}"))
        if n_ranked < n_offered - 1:
            # What was not ranked keeps no trace of the hidden order.
            order[:, n_ranked:] = np.sort(order[:, n_ranked:], axis=1)
        offered[part] = offered[part][np.arange(len(order))[:, None], order]
    return Rankings(environment.shown(contexts), offered, annotator, n_annotators, n_ranked=n_ranked, group=types)
