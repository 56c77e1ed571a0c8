"""Estimating many parties' rewards over a common subspace, when there is one and when there is not.

Studies S1 (the representation violated step by step) and S6 (where sharing pays) of arXiv 2403.05006.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.environments.trajectory_pool import sign_answers
from sim.estimators.party_confidence import gains
from sim.estimators.party_rewards import PartyMethod, estimate_party_rewards, estimation_rate
from sim.populations.shared_representation import shared_population
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.comparison import values_of
from sim.studies.experiment import Backends, Experiment, Measurement, check_kinds, require_share
from sim.studies.plots import COLOURS, MARKERS, Rows, curve, finish, heat, levels, means, panels
from sim.studies.summary import means_table

_METHODS: tuple[tuple[PartyMethod, str], ...] = (
    ("shared", "shared subspace"), ("separate", "each party alone"), ("pooled", "one reward for all"),
    ("oracle", "true subspace given"),
)  # fmt: skip


@dataclass(frozen=True)
class RepresentationSetting:
    """theta_m = sqrt(1 - w^2) U alpha_m + w e_m, |alpha_m| = 1, e_m a unit vector off the subspace, w = `violation`.

    answers: a party.  fit_rank: the rank that is fitted, whatever the true one.  outlier_share: parties with w = 1.
    permuted: answers reshuffled over parties (a control: nothing to share but the mean).  ridge: of every method's
    penalty, on sums over a party's answers.
    """

    parties: int = 32
    answers: int = 150
    dimension: int = 16
    rank: int = 2
    fit_rank: int = 2
    violation: float = 0.0
    outlier_share: float = 0.0
    permuted: bool = False
    ridge: float = 1.0

    def __post_init__(self) -> None:
        check_kinds(self)
        require_share(violation=self.violation, outlier_share=self.outlier_share)
        if not self.ridge > 0:
            raise ValueError(f"ridge must be positive (got {self.ridge})")
        if self.rank >= self.dimension or self.fit_rank > self.dimension:
            raise ValueError(f"ranks must be below the dimension (got {self.rank}, {self.fit_rank}, {self.dimension})")


def population(setting: RepresentationSetting, stream: Stream) -> tuple[FloatArray, FloatArray]:
    """(theta (M, d), subspace (d, r))."""
    M, d = setting.parties, setting.dimension
    people = shared_population(M, d, setting.rank, stream.child("people"), length=1.0)
    off = stream.child("off").normals((M, d))
    off -= off @ people.subspace @ people.subspace.T
    off /= np.linalg.norm(off, axis=1, keepdims=True)
    w = np.full(M, setting.violation)
    w[: round(setting.outlier_share * M)] = 1.0
    return np.sqrt(1.0 - w**2)[:, None] * people.theta + w[:, None] * off, people.subspace


def run_representation(setting: RepresentationSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """Each method's mean and largest error and error over the rate; on a bandit of 5 states and 6 actions, what a party
    loses by its own estimate's choice and what the sum of gains loses by the common one, as shares of the best."""
    theta, subspace = population(setting, stream)
    M, n, d = setting.parties, setting.answers, setting.dimension
    x = sign_answers(stream.child("x").generator().standard_normal((M, n, d)), theta, stream)
    if setting.permuted:
        x = x.reshape(M * n, d)[stream.child("permutation").permutation(M * n)].reshape(M, n, d)
    features = stream.child("features").normals((5, 6, d)) / np.sqrt(d)
    true, states = gains(theta, features), np.arange(5)
    together = true.sum(axis=0)
    rate = estimation_rate(n, M, d, setting.fit_rank)
    rows = []
    for method, _ in _METHODS:
        if method == "shared" and setting.fit_rank > M:
            continue
        began = time.perf_counter()
        found = estimate_party_rewards(x[None], method, rank=setting.fit_rank, subspace=subspace, ridge=setting.ridge)
        wall = time.perf_counter() - began
        error = np.linalg.norm(found[0] - theta, axis=1)
        learned = gains(found[0], features)
        own = np.take_along_axis(true, learned.argmax(axis=2)[..., None], axis=2)[..., 0]
        values = {
            "error": float(error.mean()),
            "error/worst": float(error.max()),
            "error/rate": float(error.max() / rate),
            "own_loss": float(1.0 - own.sum() / true.max(axis=2).sum()),
            "welfare_lost": float(1.0 - together[states, learned.sum(axis=0).argmax(axis=1)].sum()
                                  / together.max(axis=1).sum()),
        }  # fmt: skip
        rows += [Measurement(method, name, value, wall) for name, value in values.items()]
    return rows


def crossing(x: Sequence[float], first: FloatArray, second: FloatArray) -> float:
    """Where the first curve, below at the start, meets the second (linear in between); nan if it does not."""
    gap = first - second
    for i in range(len(x) - 1):
        if gap[i] < 0 <= gap[i + 1]:
            return float(x[i] + (x[i + 1] - x[i]) * gap[i] / (gap[i] - gap[i + 1]))
    return float("nan")


def draw_representation(rows: Rows, folder: Path) -> list[Path]:
    """The figures this grid has the factors for."""
    paths: list[Path] = []
    if levels(rows, "violation"):
        paths += _violation_figure(rows, folder)
    if levels(rows, "fit_rank"):
        paths += _one_factor(rows, folder, "fit_rank", "rank fitted", "Error by the rank that is fitted (true rank 3)")
    if levels(rows, "outlier_share"):
        paths += _one_factor(rows, folder, "outlier_share", "share of parties off the subspace", "Outlying parties")
    if len(levels(rows, "parties")) > 1 and len(levels(rows, "answers")) > 1:
        paths += _gain_figure(rows, folder)
    return paths


def _violation_figure(rows: Rows, folder: Path) -> list[Path]:
    plain = [row for row in rows if not row.get("permuted")]
    figure, axes = panels(3)
    for number, (method, label) in enumerate(_METHODS):
        where = {"method": method}
        curve(axes[0], plain, "violation", "error", where, label, number)
        curve(axes[2], plain, "violation", "own_loss", where, label, number)
    reshuffled = [row for row in rows if row.get("permuted") and row["violation"] == 0]
    curve(axes[0], reshuffled, "violation", "error", {"method": "shared"}, "shared, answers reshuffled (control)", 6)
    w = levels(plain, "violation")
    by = {m: means(plain, ["violation"], {"method": m, "metric": "error"}) for m in ("shared", "separate")}
    measured = crossing(w, by["shared"], by["separate"])
    predicted = float(np.sqrt(max(by["separate"][0] ** 2 - by["shared"][0] ** 2, 0.0)))
    crossings: list[str] = []
    for at, words, style in ((measured, "measured", "-"), (predicted, "predicted", ":")):
        if np.isfinite(at):
            axes[0].axvline(at, color="0.3", linestyle=style, linewidth=1)
            crossings.append(f"{words} {at:.2f}")
    axes[0].set_ylabel("mean error of a party's reward")
    axes[0].set_title("Error; crossing " + ", ".join(crossings), fontsize=10)
    _coverage(axes[1], plain)
    axes[2].set_ylabel("share of its best gain a party loses")
    axes[2].set_title("Each party served by its own estimate", fontsize=10)
    for own in axes:
        own.set_xlabel("violation w")
    return finish(figure, plain, "The shared representation violated step by step", folder, "violation", axes[0])


def _coverage(axes: Any, rows: Rows) -> None:
    """Share of replicates with every party inside K rate, K from the first half of the replicates at w = 0."""
    from scipy.stats import binomtest

    w = levels(rows, "violation")
    for number, (method, label) in enumerate(_METHODS[:2]):
        where = {"method": method, "metric": "error/rate"}
        at_zero = values_of(rows, {**where, "violation": w[0]})
        half = len(at_zero) // 2
        if half < 2:
            continue
        constant = np.quantile(at_zero[:half], 0.9)
        inside = [values_of(rows, {**where, "violation": v})[half:] <= constant for v in w]
        share = np.array([own.mean() for own in inside])
        limits = [binomtest(int(own.sum()), own.size).proportion_ci() for own in inside]
        errors = [share - [own.low for own in limits], [own.high for own in limits] - share]
        axes.errorbar(
            w, share, yerr=errors, color=COLOURS[number], marker=MARKERS[number], capsize=2.5, linewidth=1.4,
            label=label,
        )  # fmt: skip
    axes.axhline(0.9, color="0.3", linestyle="--", linewidth=1)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("all parties inside the confidence set")
    axes.set_title("Coverage (dashed: .9, calibrated at w = 0)", fontsize=10)


def _one_factor(rows: Rows, folder: Path, factor: str, words: str, title: str) -> list[Path]:
    figure, axes = panels(2)
    for number, (method, label) in enumerate(_METHODS):
        curve(axes[0], rows, factor, "error", {"method": method}, label, number)
        curve(axes[1], rows, factor, "error/worst", {"method": method}, label, number)
    for own, name in zip(axes, ("mean error of a party's reward", "error of the worst-served party"), strict=True):
        own.set_xlabel(words)
        own.set_ylabel(name)
    return finish(figure, rows, title, folder, factor, axes[0])


def _gain_figure(rows: Rows, folder: Path) -> list[Path]:
    """Separate over shared error, measured and predicted, sqrt(d / n) / sqrt(r / n + d r / (M n))."""
    parties, answers = levels(rows, "parties"), levels(rows, "answers")
    shared, separate = (
        means(rows, ["parties", "answers"], {"method": m, "metric": "error"}) for m in ("shared", "separate")
    )
    d, r = RepresentationSetting.dimension, RepresentationSetting.rank
    predicted = np.array([[np.sqrt(d / (r + d * r / M)) for _ in answers] for M in parties])
    figure, axes = panels(2, width=5.4)
    for own, table, words in zip(axes, (separate / shared, predicted), ("measured", "predicted"), strict=True):
        heat(own, table, answers, parties, words="error alone / error shared", centre=1.0, form=".2f")
        own.set_xlabel("answers a party")
        own.set_ylabel("parties")
        own.set_title(words, fontsize=10)
    return finish(figure, rows, "What sharing a subspace gains (above 1: it pays)", folder, "gain", bars=False)


def table_representation(rows: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> str:
    return means_table([row for row in rows if row["metric"] != "error/rate"], factors)


REPRESENTATION = Experiment(RepresentationSetting, run_representation, draw_representation, table_representation)
