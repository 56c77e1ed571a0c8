"""General pairwise preferences without rewards: N_m(s)[a, b] = 2 P_m(a beats b) - 1, skew-symmetric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, probability_array, require_between, require_count, require_finite, require_shape
from sim.environments.protocol import require_pairs
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class PreferenceCounts:
    """wins (M, S, A, A): how often annotator m preferred a to b in state s; `total`: comparisons of unordered pairs."""

    wins: FloatArray

    def __post_init__(self) -> None:
        float_array("wins", self.wins, ("M", "S", "A", "A"))
        if self.wins.shape[2] != self.wins.shape[3] or (self.wins < 0).any():
            raise ValueError(f"wins must be (M, S, A, A), none negative (got {self.wins.shape})")

    @property
    def total(self) -> FloatArray:
        return np.asarray(self.wins + self.wins.swapaxes(-1, -2))

    def matrices(self) -> FloatArray:
        """N_m = (wins(a) - wins(b)) / comparisons, 0 where there are none; (M, S, A, A)."""
        total = self.total
        return np.divide(self.wins - self.wins.swapaxes(-1, -2), total, out=np.zeros_like(total), where=total > 0)


@dataclass(frozen=True, eq=False)
class PreferenceTables:
    """A world without rewards: type m prefers a to b in state s with probability (1 + N_m(s)[a, b]) / 2.

    matrices: (M, S, A, A), skew-symmetric, entries in -1..1.  state_law: (S,).  pair_law: (A, A), symmetric, its upper
    triangle summing to 1: which unordered pair is asked about.
    """

    matrices: FloatArray
    state_law: FloatArray
    pair_law: FloatArray

    def __post_init__(self) -> None:
        _, S, A = _require_matrices(self.matrices)
        if np.abs(self.matrices + self.matrices.swapaxes(-1, -2)).max() > 1e-9:
            raise ValueError("matrices must be skew-symmetric: N[a, b] = -N[b, a]")
        probability_array("state_law", self.state_law, (S,), 1e-5)
        float_array("pair_law", self.pair_law, (A, A))
        probability_array("pair_law", self.pair_law[np.triu_indices(A, 1)], ("pairs",), 1e-5)

    @property
    def n_types(self) -> int:
        return len(self.matrices)

    def draw_contexts(self, n: int, stream: Stream) -> IntArray:
        """States; (n,)."""
        return stream.choice(self.state_law, n)

    def shown(self, contexts: IntArray) -> IntArray:
        return contexts

    def draw_offers(self, contexts: IntArray, n_offered: int, stream: Stream) -> IntArray:
        """Pairs of actions by `pair_law`, the smaller number first; (n, 2)."""
        require_pairs(n_offered)
        upper, lower = np.triu_indices(len(self.pair_law), 1)
        pair = stream.choice(self.pair_law[upper, lower], len(contexts))
        return np.stack([upper[pair], lower[pair]], axis=1)

    def preferred(self, contexts: IntArray, types: IntArray, offered: IntArray) -> FloatArray:
        """(1 + N_m(s)[a, b]) / 2; (n,)."""
        return np.asarray(0.5 * (1.0 + self.matrices[types, contexts, offered[:, 0], offered[:, 1]]))


def bradley_terry_matrices(rewards: FloatArray) -> FloatArray:
    """N = 2 sigma(r_a - r_b) - 1 = tanh((r_a - r_b) / 2): transitive; rewards (..., A) -> (..., A, A)."""
    require_finite(rewards=rewards)
    return np.tanh(0.5 * (rewards[..., :, None] - rewards[..., None, :]))


def cyclic_matrix(n_actions: int, strength: float) -> FloatArray:
    """a beats the next half of the circle, by `strength`: no winner, whatever the number of answers; (A, A).

    For an even number of actions opposite ones are indifferent.
    """
    require_count("n_actions", n_actions, 2)
    require_between(-1.0, 1.0, strength=strength)
    step = (np.arange(n_actions)[None, :] - np.arange(n_actions)[:, None]) % n_actions
    beats = (step > 0) & (2 * step < n_actions)
    return np.asarray(strength * (beats.astype(np.float64) - beats.T))


def collect_counts(
    matrices: FloatArray, per_annotator: int, pair_law: FloatArray, state_law: FloatArray, stream: Stream
) -> PreferenceCounts:
    """per_annotator comparisons of each annotator: state by `state_law` (S,), then an unordered pair by `pair_law`.

    matrices: (M, S, A, A).  pair_law: (S, A, A) or (A, A), symmetric, its upper triangle summing to 1.
    Counts, not answers: any number of comparisons at once.
    """
    M, S, A = _require_matrices(matrices)
    require_count("per_annotator", per_annotator)
    probability_array("state_law", state_law, (S,), 1e-5)
    float_array("pair_law", pair_law, (S, A, A) if pair_law.ndim == 3 else (A, A))
    law = np.broadcast_to(pair_law, (S, A, A))
    upper, lower = np.triu_indices(A, 1)
    chance = (state_law[:, None] * law[:, upper, lower]).ravel()
    if not np.isclose(chance.sum(), 1.0):
        raise ValueError(f"the upper triangle of pair_law must sum to 1 in each state (got {chance.sum():.4g} in all)")
    generator = stream.child("counts").generator()
    asked = generator.multinomial(per_annotator, chance / chance.sum(), size=M)
    win = (1.0 + matrices[:, :, upper, lower].reshape(M, -1)) / 2.0
    won = generator.binomial(asked, np.clip(win, 0.0, 1.0)).reshape(M, S, -1)
    wins = np.zeros((M, S, A, A))
    wins[:, :, upper, lower] = won
    wins[:, :, lower, upper] = asked.reshape(M, S, -1) - won
    return PreferenceCounts(wins)


def _require_matrices(matrices: FloatArray) -> tuple[int, int, int]:
    """(M, S, A) of matrices (M, S, A, A) with entries in -1..1; ValueError for others."""
    float_array("matrices", matrices, ("M", "S", "A", "A"))
    M, S, A, last = matrices.shape
    if last != A or np.abs(matrices).max(initial=0.0) > 1.0 + 1e-9:
        raise ValueError(f"matrices must be (M, S, A, A) with entries in -1..1 (got {matrices.shape})")
    return M, S, A


def uniform_pairs(n_actions: int) -> FloatArray:
    """The pair law that asks about every unordered pair alike; (A, A)."""
    require_count("n_actions", n_actions, 2)
    law = np.full((n_actions, n_actions), 2.0 / (n_actions * (n_actions - 1)))
    np.fill_diagonal(law, 0.0)
    return law


def is_transitive(matrix: FloatArray, tolerance: float = 1e-12) -> bool:
    """N(x, y) >= 0 implies N(x, z) >= N(y, z) for all z.  [arXiv 2403.05006, Theorem 9]"""
    require_shape("matrix", matrix, (len(matrix), len(matrix)))
    require_finite(matrix=matrix)
    ahead = matrix >= -tolerance
    better = (matrix[:, None, :] >= matrix[None, :, :] - tolerance).all(axis=-1)
    return bool((better | ~ahead).all())
