"""How the loss of a common policy grows with the number of parties, and where the growth comes from (study S2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.algorithms.pessimistic_welfare import statewise_policy
from sim.algorithms.welfare import RULES
from sim.environments.trajectory_pool import sign_answers
from sim.estimators.party_confidence import gains, party_confidence
from sim.estimators.party_rewards import estimate_party_rewards
from sim.populations.shared_representation import shared_population
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement, check_kinds, require_choice
from sim.studies.plots import Rows, curve, finish, levels, panels
from sim.studies.summary import means_table

BUDGETS = ("per_party", "total")


@dataclass(frozen=True)
class ScalingSetting:
    """One state, `actions` with a feature vector each; parties with unit rewards over a common subspace.

    budget: per_party, `answers` a party whatever their number; total, `answers` in all, divided among them.
    coverage_power: an action is shown with weight u^k, u uniform (0: all alike); then the more parties, the more likely
    one of them dislikes most what is hardly ever shown, and the coverage coefficient grows.  shared_worst: one action
    is everybody's worst (a control: coverage stays).
    """

    parties: int = 4
    answers: int = 400
    budget: str = "per_party"
    actions: int = 24
    dimension: int = 8
    rank: int = 2
    sharpness: float = 8.0
    coverage_power: float = 0.0
    shared_worst: bool = False

    def __post_init__(self) -> None:
        check_kinds(self)
        require_choice("budget", self.budget, BUDGETS)
        if self.coverage_power < 0 or not self.sharpness > 0:
            raise ValueError("coverage_power must not be negative, sharpness must be positive")


def run_scaling(setting: ScalingSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """gamma: mean error in the answers' metric; coverage: the largest width ||phi(pi*) - phi(a_m^-)|| over parties,
    a_m^- the party's worst action, in the expected covariance of an answer, for each rule's optimum; lost: a rule's
    welfare lost by the pessimistic and by the plug-in policy (equivalent utility, share of the best), by one reward
    fitted for all, and by each party's answers alone."""
    M, A, d = setting.parties, setting.actions, setting.dimension
    n = setting.answers if setting.budget == "per_party" else max(setting.answers // M, 8)
    features = stream.child("features").normals((1, A, d))
    features *= 0.5 / np.linalg.norm(features, axis=-1).max()
    theta = shared_population(M, d, min(setting.rank, d), stream.child("people"), length=1.0).theta
    if setting.shared_worst:
        # One more feature, that only the first action has and everybody dislikes.
        features, theta = np.pad(features, ((0, 0), (0, 0), (0, 1))), np.pad(theta, ((0, 0), (0, 1)))
        features[0, 0, -1], theta[:, -1] = 0.5, -2.0
    law = stream.child("law").uniforms(A) ** setting.coverage_power
    pairs = stream.child("pairs").choice(law / law.sum(), (2, M, n))
    x = setting.sharpness * (features[0, pairs[0]] - features[0, pairs[1]])
    x = sign_answers(x, theta, stream)
    rank = min(setting.rank + int(setting.shared_worst), M, features.shape[-1])
    estimates = {"shared": estimate_party_rewards(x[None], rank=rank)[0]}
    for name in ("separate", "pooled"):
        estimates[name] = estimate_party_rewards(x[None], name)[0]
    true, rows = gains(theta, features)[:, 0], []
    plain = party_confidence(x, estimates["shared"], 0.0, 1e-4)
    sets = party_confidence(x, estimates["shared"], plain.errors(theta), 1e-4)
    rows.append(Measurement("shared", "gamma", float(plain.errors(theta).mean())))
    rows.append(Measurement("separate", "gamma", float(party_confidence(x, estimates["separate"], 0.0, 1e-4)
                                                       .errors(theta).mean())))  # fmt: skip
    bounds = sets.gain_bounds(features)
    worst = true.argmin(axis=1)
    shown = law / law.sum()
    centred = features[0] - shown @ features[0]
    expected = 2.0 * setting.sharpness**2 * np.einsum("a,ai,aj->ij", shown, centred, centred) + 1e-4 * np.eye(
        len(x[0, 0])
    )
    apart = np.stack([features[0] - features[0, w] for w in worst])
    norms = np.stack([np.sqrt(np.einsum("ai,ij,aj->a", own, np.linalg.inv(expected), own)) for own in apart])
    for name, rule in RULES.items():
        value = rule.equivalent(true)
        best = int(value.argmax())
        if value[best] <= 1e-9:
            continue
        rows.append(Measurement(name, "coverage", float(norms[:, best].max())))
        chosen = {"pessimistic": bounds, **{method: gains(own, features) for method, own in estimates.items()}}
        for method, table in chosen.items():
            picked = max(int(statewise_policy(table, rule)[0]), 0)
            rows.append(Measurement(name, f"lost/{method}", float(1.0 - value[picked] / value[best])))
    return rows


_RULES = {"nash": "Nash", "utilitarian": "Utilitarian", "leximin": "Leximin"}
_POLICIES = (("shared", "shared subspace, plug-in"), ("separate", "each party alone, plug-in"),
             ("pessimistic", "shared subspace, pessimistic"), ("pooled", "one reward for all"))  # fmt: skip


def draw_scaling(rows: Rows, folder: Path) -> list[Path]:
    """One figure a budget and coverage: radius, coverage coefficient, and what two rules lose."""
    paths: list[Path] = []
    cells: list[Mapping[str, Any]] = [{}]
    for factor in ("budget", "coverage_power"):
        cells = [{**cell, factor: value} for cell in cells for value in levels(rows, factor)] or cells
    for cell in cells:
        both = [row for row in rows if all(row.get(k) == v for k, v in cell.items())]
        own = [row for row in both if not row.get("shared_worst")]
        figure, axes = panels(4, width=4.1)
        for number, (method, label) in enumerate(_POLICIES[:2]):
            curve(axes[0], own, "parties", "gamma", {"method": method}, label, number)
        for number, (rule, label) in enumerate(_RULES.items()):
            curve(axes[1], own, "parties", "coverage", {"method": rule}, label, number + 4)
        alike = [row for row in both if row.get("shared_worst")]
        curve(axes[1], alike, "parties", "coverage", {"method": "leximin"}, "Leximin, one worst action", 3, dashed=True)
        for axis, rule in ((axes[2], "utilitarian"), (axes[3], "leximin")):
            for number, (policy, label) in enumerate(_POLICIES):
                curve(axis, own, "parties", f"lost/{policy}", {"method": rule}, label, number)
        words = (
            "radius: mean error of a party", "coverage C* at the optimum", "Utilitarian welfare lost, share",
            "least gain lost (Leximin), share",
        )  # fmt: skip
        for axis, name in zip(axes, words, strict=True):
            axis.set_xscale("log", base=2)
            axis.set_xlabel("parties")
            axis.set_ylabel(name)
        axes[0].set_yscale("log")
        axes[1].set_yscale("log")
        axes[1].legend(fontsize=7.5, framealpha=0.85, loc="center right")
        text = ", ".join(_words(name, value) for name, value in cell.items())
        parts = [f"{value:g}" if isinstance(value, float) else str(value) for value in cell.values()]
        title = f"More parties: {text or 'radius, coverage, aggregation'}"
        paths += finish(figure, own, title, folder, "-".join(["scaling", *parts]), axes[2])
    return paths


def _words(factor: str, value: Any) -> str:
    if factor == "budget":
        return "answers a party fixed" if value == "per_party" else "answers in all fixed"
    return "all actions shown alike" if value == 0 else f"actions shown with weight u^{value:g}"


SCALING = Experiment(ScalingSetting, run_scaling, draw_scaling, means_table)
