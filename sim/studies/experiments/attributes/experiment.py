"""Helpfulness and safety, weighed differently by group: whom one reward serves, and how soon low rank serves all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.algorithms.prs import learn_reward
from sim.algorithms.reduced_pessimism import Kind
from sim.environments.low_rank import Targets
from sim.environments.two_attributes import TwoAttributeWorld, two_attribute_world
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement, check_kinds
from sim.studies.experiments.low_rank.looks import log_x, log_y
from sim.studies.plots import Rows, curve, finish, levels, panels
from sim.studies.summary import means_table

_KINDS: tuple[Kind, ...] = ("greedy", "distributional")
_WORDS = {
    "low": ("groups, rank 2", 0), "full": ("each group alone", 1), "pooled": ("one reward for all", 6),
}  # fmt: skip


@dataclass(frozen=True)
class AttributesSetting:
    """`groups` whose rewards weigh two attributes, see `sim.environments.two_attributes`; `n` answers in all.

    conflict: how far, in right angles, the smallest group's weights are turned from the largest's.  skew: each group is
    so many times smaller than the one before.  tempting: actions that are more helpful and less safe by `temptation`.
    ridge, nats an answer; scale, of the radius of the pessimistic policy.  [reconstructed design]
    """

    groups: int = 6
    features: int = 10
    n: int = 1000
    conflict: float = 1.0
    skew: float = 1.5
    normal: int = 10
    tempting: int = 5
    temptation: float = 1.0
    norm: float = 1.5
    targets: int = 600
    ridge: float = 1e-3
    delta: float = 0.1
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.groups < 2 or self.features < 2:
            raise ValueError(f"groups and features must be at least 2 (got {self.groups} and {self.features})")
        for name in ("skew", "norm", "ridge", "scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive (got {getattr(self, name)})")
        if not 0.0 <= self.conflict <= 2.0:
            raise ValueError(f"conflict is in right angles, 0 to 2 (got {self.conflict})")
        if not 0.0 < self.delta < 1.0:
            raise ValueError(f"delta must lie between 0 and 1 (got {self.delta})")


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
    for name in _WORDS:
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


def draw_attributes(rows: Rows, folder: Path) -> list[Path]:
    """Regret, the worst-off group's and the safety the smallest group is shown, against answers or another factor."""
    factor = next((name for name in ("n", "conflict", "groups", "skew") if len(levels(rows, name)) > 1), None)
    if factor is None:
        return []
    conflicts = levels(rows, "conflict") if factor == "n" else []
    own = [row for row in rows if not conflicts or row["conflict"] == conflicts[-1]]
    figure, axes = panels(4 if len(conflicts) > 1 else 3, width=4.2)
    shown = (("regret", "regret, groups by their shares"), ("regret/worst", "regret of the worst-off group"),
             ("safe/smallest", "safety, smallest group"))  # fmt: skip
    for axis, (metric, words) in zip(axes, shown, strict=False):
        for name, (label, number) in _WORDS.items():
            for kind, said in (("greedy", "greedy"), ("distributional", "pessimistic")):
                method = f"{name}/{kind}"
                curve(
                    axis, own, factor, metric, {"method": method}, f"{label}, {said}", number, dashed=kind == "greedy"
                )
        if metric == "safe/smallest":
            curve(axis, own, factor, metric, {"method": "truth"}, "best for the group", 2)
            axis.set_ylabel(words)
        else:
            log_y(axis, words)
        _x(axis, factor, levels(own, factor))
    if len(conflicts) > 1:
        most = levels(rows, "n")[-1]
        at: list[Mapping[str, Any]] = [row for row in rows if row["n"] == most]
        for name, (label, number) in _WORDS.items():
            method = f"{name}/distributional"
            curve(axes[3], at, "conflict", "regret/worst", {"method": method}, label, number)
        log_y(axes[3], "regret of the worst-off group")
        axes[3].set_xlabel("conflict (right angles)")
        axes[3].set_xticks(conflicts)
        axes[3].set_title(f"{most:,} answers, pessimistic", fontsize=10)
        for axis in axes[:3]:
            axis.set_title(f"conflict {conflicts[-1]:g}", fontsize=10)
    title = "Helpfulness and safety, weighed differently by group"
    return finish(figure, rows, title, folder, "attributes", axes[2])


def _x(axis: Any, factor: str, values: list[Any]) -> None:
    if factor == "n":
        log_x(axis, values, "answers")
    else:
        axis.set_xlabel(factor)
        axis.set_xticks(values)


ATTRIBUTES = Experiment(AttributesSetting, run_attributes, draw_attributes, means_table)
