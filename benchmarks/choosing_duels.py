"""Choosing among candidates for many: a thousand prompts of 64 candidates for 50 parties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from duel import Candidate, Duel

from sim.algorithms.von_neumann import mean_preferences, solve_exactly, solve_matrices
from sim.estimators.party_confidence import PartyConfidence
from sim.streams import Stream
from sim.tables.candidates import HowToChoose, choose_candidates
from sim.tables.pessimistic_candidates import sure_rewards

_PROMPTS, _PARTIES, _CANDIDATES = 1000, 50, 64


def von_neumann_winners() -> Duel:
    """The games of rewards, and games as hard as they come: a winner of the latter plays half of the candidates."""
    sample = 20
    rewards = 1.5 * Stream(13, "rewards").normals((_PROMPTS, _PARTIES, _CANDIDATES))
    upper = np.triu(2.0 * Stream(13, "games").uniforms((_PROMPTS, _CANDIDATES, _CANDIDATES)) - 1.0, 1)
    hard = upper - upper.swapaxes(-1, -2)

    def theirs() -> Any:
        some = rewards[:sample]
        wins = np.zeros((sample, _CANDIDATES, _CANDIDATES))
        for party in range(_PARTIES):
            own = some[:, party]
            wins += np.tanh(0.5 * (own[:, :, None] - own[:, None, :])) / _PARTIES
        return solve_matrices(wins), solve_matrices(hard[:sample])

    def agree(ours: Any, name: str, theirs: Any) -> None:
        for own, other in zip(ours, theirs, strict=True):
            assert own.gap.max() < 1e-10
            np.testing.assert_allclose(own.value[:sample], other.value, atol=1e-9)

    return Duel(
        f"winners of {_PROMPTS:,} games of {_CANDIDATES} from {_PARTIES} parties' rewards, and of as many random games",
        Candidate(lambda: (solve_exactly(mean_preferences(rewards)), solve_exactly(hard))),
        {"NumPy and HiGHS, game by game": (Candidate(theirs, _PROMPTS / sample), 0.0)},
        agree,
        repeats=5,
    )


def sure_choices() -> Duel:
    """Leximin by what each party is sure to get, against the same distances by NumPy's einsum."""
    sample, d = 10, 32
    theta = Stream(14, "theta").normals((_PARTIES, d))
    answers = Stream(14, "answers").normals((_PARTIES, 3 * d, d))
    features = list(Stream(14, "features").normals((_PROMPTS, _CANDIDATES, d)))
    confidence = PartyConfidence(theta, answers.transpose(0, 2, 1) @ answers, np.full(_PARTIES, 1.645))
    rewards = [theta @ own.T for own in features]
    how, sure = HowToChoose("leximin", pessimistic=True), sure_rewards(features, rewards, confidence)

    def theirs() -> Any:
        found = []
        for own in features[:sample]:
            white = np.einsum("mij,aj->mai", confidence.whitener, own)
            square = (white**2).sum(axis=2)
            inner = np.einsum("mai,mbi->mab", white, white)
            width = np.sqrt(np.maximum(square[:, :, None] + square[:, None] - 2.0 * inner, 0.0))
            mean = theta @ own.T
            found.append(np.maximum((mean[:, :, None] - mean[:, None] - 1.645 * width).max(axis=2), 0.0))
        return found

    def agree(ours: Any, name: str, theirs: Any) -> None:
        for own, other in zip(ours, theirs, strict=False):
            np.testing.assert_allclose(own.bounds, other, atol=1e-6)

    return Duel(
        f"sure choices: {_PROMPTS:,} prompts of {_CANDIDATES} candidates, {_PARTIES} parties, {d} features",
        Candidate(lambda: choose_candidates(rewards, how, sure)),
        {"NumPy's einsum": (Candidate(theirs, _PROMPTS / sample), 0.0)},
        agree,
        repeats=5,
    )  # fmt: skip


CHOOSING_DUELS: dict[str, Callable[[], Duel]] = {"winners": von_neumann_winners, "sure": sure_choices}
