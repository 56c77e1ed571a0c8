"""Helpfulness and safety, weighed differently by group: whom one reward serves, and how soon low rank serves all."""

from __future__ import annotations

import numpy as np

from sim.algorithms.prs import learn_reward
from sim.algorithms.reduced_pessimism import Kind
from sim.environments.low_rank import Targets
from sim.environments.two_attributes import TwoAttributeWorld, two_attribute_world
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.attributes.figures import FIGURES, WORDS
from sim.studies.experiments.attributes.setting import AttributesSetting

_KINDS: tuple[Kind, ...] = ("greedy", "distributional")


def run_attributes(setting: AttributesSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """Methods: "low/greedy" (one-hot groups, rank 2), "full/..." (each group alone), "pooled/..." (no groups), each
    greedy and pessimistic; "uniform".

    regret: over targets drawn like the answers, the best action's reward minus the shown one's.  regret/worst: of the
    group with most of it.  regret/largest, regret/smallest: of these groups.  safe/smallest: mean safety of what the
    smallest group is shown, of the best for it under "truth".
    """
    world = two_attribute_world(
        setting.groups, setting.features, stream.child("world"), norm=setting.norm, conflict=setting.conflict,
        skew=setting.skew, normal=setting.normal, tempting=setting.tempting, temptation=setting.temptation,
    )  # fmt: skip
    x, z = world.comparisons(setting.n, stream.child("train"))
    targets = _of_every_group(world, setting.targets, stream.child("targets"))
    m, A = targets.rewards.shape
    best = np.eye(A)[targets.rewards.argmax(axis=1)]
    rows = _measured("truth", best, world, targets) + _measured("uniform", np.full((m, A), 1.0 / A), world, targets)
    for name in WORDS:
        own_x, own_targets = (np.ones((len(v), 1)) if name == "pooled" else v for v in (x, targets.contexts))
        rank = min(2, setting.groups, setting.features) if name == "low" else None
        found = learn_reward(own_x, z, rank, delta=setting.delta, ridge=setting.ridge, scale=setting.scale)
        for kind in _KINDS:
            policy = found.policy(own_targets, targets.features, kind).policy
            rows += _measured(f"{name}/{kind}", policy, world, targets)
    return rows


def _of_every_group(world: TwoAttributeWorld, m: int, stream: Stream) -> Targets:
    """As many targets of each group: groups are weighed by their shares afterwards, and a small one is seen as well."""
    found = world.targets(m, stream)
    contexts = np.eye(len(world.theta))[np.arange(m) % len(world.theta)]
    rewards = np.einsum("md,mad->ma", contexts @ world.theta, found.features)
    return Targets(contexts, found.features, rewards, found.exotic)


def _measured(method: str, policy: FloatArray, world: TwoAttributeWorld, targets: Targets) -> list[Measurement]:
    lost = targets.rewards.max(axis=1) - (policy * targets.rewards).sum(axis=1)
    count = targets.contexts.sum(axis=0)
    by_group = (targets.contexts.T @ lost) / np.maximum(count, 1.0)
    last = targets.contexts[:, -1] > 0
    safety = (policy * (targets.features @ world.safe)).sum(axis=1)
    found = {
        "regret": float(world.shares @ by_group),
        "regret/worst": float(by_group.max()),
        "regret/largest": float(by_group[0]),
        "regret/smallest": float(by_group[-1]),
    }
    if last.any():
        found["safe/smallest"] = float(safety[last].mean())
    return [Measurement(method, metric, value) for metric, value in found.items()]


ATTRIBUTES = Experiment(AttributesSetting, run_attributes, FIGURES, memory=AttributesSetting.memory)
