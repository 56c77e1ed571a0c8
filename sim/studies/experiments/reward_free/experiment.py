"""Preferences without rewards: the von Neumann winner against Borda and a Utilitarian reward fit (study S5)."""

from __future__ import annotations

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
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.reward_free.figures import FIGURES
from sim.studies.experiments.reward_free.setting import RewardFreeSetting


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


REWARD_FREE = Experiment(RewardFreeSetting, run_reward_free, FIGURES, memory=RewardFreeSetting.memory)
