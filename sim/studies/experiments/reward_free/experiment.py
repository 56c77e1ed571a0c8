"""Preferences without rewards: the von Neumann winner against Borda and a Utilitarian reward fit (study S5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.algorithms.von_neumann import borda_winner, exploitability, solve_matrices, von_neumann_winner
from sim.environments.preference_tables import (
    PreferenceCounts,
    bradley_terry_matrices,
    collect_counts,
    cyclic_matrix,
    is_transitive,
    uniform_pairs,
)
from sim.estimators.bradley_terry import fit_bradley_terry_batch
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement, check_kinds, require_share
from sim.studies.plots import Rows, curve, finish, heat, levels, means, panels
from sim.studies.summary import means_table


@dataclass(frozen=True)
class RewardFreeSetting:
    """Parties over `actions`; a share `cyclic` of them prefers round a circle of its own, the others are Bradley-Terry
    with rewards N(common, spread^2), common N(0, 1) for each action.

    Action 1 is dominated: every Bradley-Terry party likes it less than action 0 by at least .5, and the cyclic ones put
    0 ahead of it too. answers: a party's, about uniform pairs.
    """

    parties: int = 8
    actions: int = 6
    answers: int = 600
    cyclic: float = 0.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        check_kinds(self)
        require_share(cyclic=self.cyclic)
        if self.actions < 3 or self.spread < 0:
            raise ValueError("at least 3 actions, and spread must not be negative")


def population(setting: RewardFreeSetting, stream: Stream) -> tuple[FloatArray, FloatArray]:
    """(matrices (M, A, A), rewards (M, A); rewards of cyclic parties are 0)."""
    M, A = setting.parties, setting.actions
    rewards = stream.child("common").normals(A) + setting.spread * stream.child("own").normals((M, A))
    rewards[:, 1] = np.minimum(rewards[:, 1], rewards[:, 0] - 0.5)
    matrices = bradley_terry_matrices(rewards)
    for m in range(round(setting.cyclic * M)):
        # A circle in an order of its own, in which 0 stands right before 1, so that it beats it.
        order = np.concatenate([[0, 1], 2 + stream.child(f"circle/{m}").permutation(A - 2)])
        matrices[m][np.ix_(order, order)] = cyclic_matrix(A, 0.8)
        rewards[m] = 0.0
    return matrices, rewards


def utilitarian_fit(counts: PreferenceCounts, ridge: float = 0.5) -> FloatArray:
    """Each party's Bradley-Terry rewards from its counts, summed; the best action, (1, A)."""
    M, _, A, _ = counts.wins.shape
    winner, loser = np.nonzero(~np.eye(A, dtype=bool))
    differences = np.eye(A)[winner] - np.eye(A)[loser]
    rewards = fit_bradley_terry_batch(
        np.broadcast_to(differences, (M, *differences.shape)), counts.wins[:, 0, winner, loser], ridge=ridge
    ).theta
    return np.eye(A)[[rewards.sum(axis=0).argmax()]]


def run_reward_free(setting: RewardFreeSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """Exploitability under the mean preference, probability of the dominated action; whether the true von Neumann
    winner is the Utilitarian optimum, and whether the mean preference is transitive (Theorem 9 asks each party's)."""
    matrices, rewards = population(setting, stream)
    mean = matrices.mean(axis=0)[None]
    counts = collect_counts(
        matrices[:, None], setting.answers, uniform_pairs(setting.actions), np.ones(1), stream.child("answers")
    )
    policies = {
        "winner": von_neumann_winner(counts).policy,
        "winner, averaged bonus": von_neumann_winner(counts, averaged=True).policy,
        "plain winner": von_neumann_winner(counts, stance="plain").policy,
        "borda": borda_winner(counts),
        "utilitarian": utilitarian_fit(counts),
    }
    rows = []
    for name, policy in policies.items():
        rows.append(Measurement(name, "exploitability", float(exploitability(mean, policy)[0])))
        rows.append(Measurement(name, "dominated", float(policy[0, 1])))
    if setting.cyclic == 0.0:
        true = solve_matrices(mean).policy[0]
        best = int(rewards.sum(axis=0).argmax())
        rows.append(Measurement("truth", "agrees", float(true[best] > 1.0 - 1e-6)))
    rows.append(Measurement("truth", "transitive", float(is_transitive(mean[0]))))
    return rows


_SHOWN = (
    ("winner", "pessimistic winner"),
    ("winner, averaged bonus", "pessimistic, averaged bonus"),
    ("plain winner", "plain winner"),
    ("borda", "Borda, pooled"),
    ("utilitarian", "Utilitarian reward fit"),
)


def draw_reward_free(rows: Rows, folder: Path) -> list[Path]:
    """Exploitability and the dominated action against the share of cyclic parties; agreement where there are none."""
    paths: list[Path] = []
    if len(levels(rows, "cyclic")) > 1:
        parties = levels(rows, "parties")
        middle = parties[len(parties) // 2] if parties else None
        own = [row for row in rows if middle is None or row["parties"] == middle]
        spreads = levels(own, "spread")
        if spreads:
            own = [row for row in own if row["spread"] == spreads[-1]]
        figure, axes = panels(2, width=5.2)
        for number, (method, label) in enumerate(_SHOWN):
            curve(axes[0], own, "cyclic", "exploitability", {"method": method}, label, number)
            curve(axes[1], own, "cyclic", "dominated", {"method": method}, label, number)
        for axis, words in zip(axes, ("exploitability", "probability of the dominated action"), strict=True):
            axis.set_xlabel("share of parties with cyclic preferences")
            axis.set_ylabel(words)
        title = "Preferences without rewards" + ("" if middle is None else f", {middle} parties")
        paths += finish(figure, own, title, folder, "reward-free", axes[0])
    if len(levels(rows, "parties")) > 1 and len(levels(rows, "spread")) > 1:
        figure, axes = panels(1, width=6.0)
        table = means(rows, ["spread", "parties"], {"method": "truth", "metric": "agrees"})
        heat(axes[0], table, levels(rows, "parties"), levels(rows, "spread"), words="share of societies", centre=0.5,
             form=".2f")  # fmt: skip
        axes[0].set_xlabel("parties")
        axes[0].set_ylabel("spread of tastes")
        title = "How often the von Neumann winner is the Utilitarian optimum"
        paths += finish(figure, rows, title, folder, "agreement", bars=False)
    return paths


REWARD_FREE = Experiment(RewardFreeSetting, run_reward_free, draw_reward_free, means_table)
