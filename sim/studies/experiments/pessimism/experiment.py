"""Pessimism, the plain estimate and optimism, as coverage goes from uniform to biased (study S3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.algorithms.pessimistic_welfare import log_welfare_bounds
from sim.algorithms.welfare import NASH
from sim.estimators.party_confidence import PartyConfidence, gains, party_confidence
from sim.estimators.party_rewards import estimate_party_rewards
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.comparison import values_of
from sim.studies.experiment import Backends, Experiment, Measurement, check_kinds
from sim.studies.plots import Rows, curve, finish, heat, levels, means, panels
from sim.studies.summary import means_table

MULTIPLIERS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class PessimismSetting:
    """One state, `actions` without common features; a party's gain of an action is a number in [0, 1].

    Each party compares every action with a status quo, which everybody likes least: `well` times for the first `known`
    actions, `few` times for the others. expert: the known actions are good ones (gains uniform on [.5, 1], the others'
    on [0, .6]), as where answers come from people who chose what to show; otherwise all are uniform on [0, 1]. Answers
    Bradley-Terry at `sharpness` times the gain; the fits' ridge is small, so that few answers give wild estimates.
    """

    parties: int = 3
    actions: int = 20
    known: int = 4
    expert: bool = True
    well: int = 2000
    few: int = 20
    sharpness: float = 3.0
    ridge: float = 0.05

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.known >= self.actions:
            raise ValueError(f"known must be below actions, {self.actions} (got {self.known})")
        if not (self.sharpness > 0 and self.ridge > 0):
            raise ValueError("sharpness and ridge must be positive")


def _answers(setting: PessimismSetting, value: FloatArray, stream: Stream) -> FloatArray:
    """Signed one-hot differences, action minus status quo; (M, n, A)."""
    M, A = value.shape
    counts = np.where(np.arange(A) < setting.known, setting.well, setting.few)
    shown = np.repeat(np.arange(A), counts)
    chance = 1.0 / (1.0 + np.exp(-setting.sharpness * value[:, shown]))
    won = stream.child("answers").uniforms((M, len(shown))) < chance
    x = np.zeros((M, len(shown), A))
    x[:, np.arange(len(shown)), shown] = np.where(won, 1.0, -1.0)
    return x


def _upper(sets: PartyConfidence, features: FloatArray, radius: FloatArray) -> FloatArray:
    """Optimism: the estimated gain plus radius times the width over the estimated worst action; (M, A)."""
    mean = np.einsum("md,ad->ma", sets.theta, features)
    worst = mean.argmin(axis=1)
    apart = np.stack([sets.norms(features - features[w])[m] for m, w in enumerate(worst)])
    return np.asarray(mean - mean.min(axis=1, keepdims=True) + radius[:, None] * apart)


def run_pessimism(setting: PessimismSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """Regret of Nash welfare (equivalent utility, gains in units of the largest) for each multiple of the parties' own
    errors: product sets; and one joint ellipsoid, by the delta method."""
    M, A = setting.parties, setting.actions
    value = stream.child("value").uniforms((M, A))
    if setting.expert:
        value = np.where(np.arange(A) < setting.known, 0.5 + 0.5 * value, 0.6 * value)
    x = _answers(setting, value, stream)
    theta = estimate_party_rewards(x[None], "separate", ridge=setting.ridge)[0]
    plain = party_confidence(x, theta, 0.0, 1e-9)
    truth = setting.sharpness * value
    errors = plain.errors(truth)
    features = np.vstack([np.eye(A), np.zeros(A)])
    exact = gains(truth, features[None])[:, 0] / setting.sharpness
    best = _welfare(exact).max()
    estimated = gains(theta, features[None])[:, 0]
    rows = []
    for z in MULTIPLIERS:
        radius = abs(z) * errors
        if z > 0:
            table = PartyConfidence(theta, plain.covariance, radius).gain_bounds(features[None])[:, 0]
        else:
            table = _upper(plain, features, radius) if z < 0 else estimated
        chosen = int(_welfare(table).argmax())
        rows.append(Measurement(f"z={z:g}", "regret", float(best - _welfare(exact)[chosen])))
    worst = estimated.argmin(axis=1)
    widths = np.stack([plain.norms(features - features[w])[m] for m, w in enumerate(worst)])
    joint = log_welfare_bounds(estimated, widths, float(np.sqrt((errors**2).sum())))
    rows.append(Measurement("joint", "regret", float(best - _welfare(exact)[int(joint.argmax())])))
    return rows


def _welfare(table: FloatArray) -> FloatArray:
    """Nash's equivalent utility; an upper bound on a gain may lie below zero, and counts as nothing."""
    return NASH.equivalent(np.maximum(table, 0.0))


def draw_pessimism(rows: Rows, folder: Path) -> list[Path]:
    """For each kind of coverage: regret against answers, and the phase map of plain minus pessimistic regret."""
    paths: list[Path] = []
    for expert in levels(rows, "expert") or [None]:
        own = [row for row in rows if expert is None or row["expert"] == expert]
        name = "" if expert is None else "-good-known" if expert else "-any-known"
        words = "" if expert is None else f": the known actions are {'good' if expert else 'no better than others'}"
        paths += _phase_map(own, folder, name, words) + _multipliers(own, folder, name, words)
    return paths


def _phase_map(rows: Rows, folder: Path, name: str, words: str) -> list[Path]:
    few, parties = levels(rows, "few"), levels(rows, "parties")
    figure, axes = panels(3, width=5.0)
    middle = parties[len(parties) // 2]
    own = [row for row in rows if row["parties"] == middle]
    shown = (("z=1", "pessimistic, product sets"), ("joint", "pessimistic, joint set"), ("z=0", "plain estimate"),
             ("z=-1", "optimistic"))  # fmt: skip
    for number, (method, label) in enumerate(shown):
        curve(axes[0], own, "few", "regret", {"method": method}, label, number)
    axes[0].set_xscale("log")
    axes[0].set_xlabel("answers about each hardly compared action")
    axes[0].set_ylabel("regret of Nash welfare (equivalent utility)")
    axes[0].set_title(f"{middle} parties", fontsize=10)
    axes[0].legend(fontsize=8, frameon=False)
    for axis, method, sets in ((axes[1], "z=1", "product sets"), (axes[2], "joint", "joint set")):
        gap = means(rows, ["parties", "few"], {"method": "z=0", "metric": "regret"}) - means(
            rows, ["parties", "few"], {"method": method, "metric": "regret"}
        )
        heat(axis, gap, few, parties, words="plain minus pessimistic regret", centre=0.0, form=".2f")
        axis.set_xlabel("answers about each hardly compared action")
        axis.set_ylabel("parties")
        axis.set_title(f"{sets} (above 0: pessimism is better)", fontsize=10)
    return finish(figure, rows, f"Pessimism, plain estimate, optimism{words}", folder, f"pessimism{name}")


def _multipliers(rows: Rows, folder: Path, name: str, words: str) -> list[Path]:
    """Regret against the multiple of the radius, a line a coverage."""
    figure, axes = panels(1, width=6.2)
    parties = levels(rows, "parties")
    middle = parties[len(parties) // 2]
    expanded = [
        {**row, "z": float(row["method"].removeprefix("z="))}
        for row in rows
        if row["method"].startswith("z=") and row["parties"] == middle
    ]
    chosen = [few for few in levels(rows, "few") if values_of(expanded, {"few": few}).size]
    for number, few in enumerate(chosen):
        curve(axes[0], expanded, "z", "regret", {"few": few}, f"{few} answers", number)
    axes[0].set_xlabel("multiple of the radius (below 0: optimism)")
    axes[0].set_ylabel("regret of Nash welfare (equivalent utility)")
    axes[0].legend(fontsize=8, frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return finish(figure, rows, f"How pessimistic to be, {middle} parties{words}", folder, f"multipliers{name}")


PESSIMISM = Experiment(PessimismSetting, run_pessimism, draw_pessimism, means_table)
