"""The von Neumann winner: linear programs, regret matching, counts and bonuses."""

import numpy as np
import pytest
from alone import in_python

from sim.algorithms.von_neumann import (
    borda_winner,
    comparison_bonus,
    exploitability,
    mean_preferences,
    regret_matching,
    solve_exactly,
    solve_matrices,
    von_neumann_winner,
)
from sim.compiled import matrix_games
from sim.compiled import regret_matching as regret_matching_kernels
from sim.environments.preference_tables import (
    PreferenceCounts,
    bradley_terry_matrices,
    collect_counts,
    cyclic_matrix,
    is_transitive,
    uniform_pairs,
)
from sim.streams import Stream


def skew(S=6, A=5, seed=0):
    upper = np.triu(2 * Stream(seed, "skew").uniforms((S, A, A)) - 1, 1)
    return upper - upper.swapaxes(-1, -2)


def test_linear_program_finds_a_winner():
    N = skew()
    found = solve_matrices(N)
    assert found.value == pytest.approx(np.zeros(6), abs=1e-9)
    assert found.gap.max() < 1e-8
    assert exploitability(N, found.policy) == pytest.approx(np.zeros(6), abs=1e-9)


def test_regret_matching_reaches_the_value_with_its_certificate():
    N = skew() - 0.3 * np.abs(skew(seed=1))
    exact, found = solve_matrices(N), regret_matching(N, 20_000)
    assert found.gap.max() < 2e-3
    assert (found.value <= exact.value + 1e-9).all()
    assert (exact.value <= found.value + found.gap + 1e-9).all()
    assert regret_matching(N, 200).gap.max() > found.gap.max()


def test_regret_matching_kernel_is_its_own_python():
    N = np.ascontiguousarray(skew(S=2, A=3))
    row, column, row_py, column_py = (np.empty((2, 3)) for _ in range(4))
    regret_matching_kernels.regret_matching(N, 50, row, column)
    in_python(regret_matching_kernels.regret_matching)(N, 50, row_py, column_py)
    assert row == pytest.approx(row_py, abs=1e-12)
    assert column == pytest.approx(column_py, abs=1e-12)


def test_rock_paper_scissors():
    N = cyclic_matrix(3, 1.0)
    assert N.tolist() == [[0, 1, -1], [-1, 0, 1], [1, -1, 0]]
    assert solve_matrices(N[None]).policy[0] == pytest.approx(np.full(3, 1 / 3))
    assert not is_transitive(N)
    assert cyclic_matrix(4, 1.0)[0].tolist() == [0, 1, 0, -1]


def test_bradley_terry_is_transitive():
    N = bradley_terry_matrices(np.array([0.3, 1.0, -2.0]))
    assert N[0, 1] == pytest.approx(2 / (1 + np.exp(0.7)) - 1)
    assert is_transitive(N)
    assert solve_matrices(N[None]).policy[0] == pytest.approx([0, 1, 0])


def test_counts_follow_the_preferences():
    N = np.stack([skew(2, 4, 3), skew(2, 4, 4)])
    counts = collect_counts(N, 400_000, uniform_pairs(4), np.array([0.25, 0.75]), Stream(5))
    assert counts.total.sum() == pytest.approx(2 * 2 * 400_000)
    assert (counts.total == counts.total.swapaxes(-1, -2)).all()
    assert counts.matrices() == pytest.approx(N, abs=0.02)
    assert counts.total[:, 0].sum() / counts.total.sum() == pytest.approx(0.25, abs=0.005)
    with pytest.raises(ValueError, match="sum to 1"):
        collect_counts(N, 10, np.ones((4, 4)), np.array([0.5, 0.5]), Stream(5))


def test_bonus_by_hand():
    total = np.full((2, 1, 3, 3), 50.0)
    total[1, 0, 0, 1] = 10.0
    bonus = comparison_bonus(total, 0.1)
    assert bonus[0, 0, 1] == pytest.approx(np.sqrt(2 * np.log(4 * 2 * 9 / 0.1) / 10))
    assert bonus[0, 0, 0] == 0.0
    assert comparison_bonus(total, 0.1, literal_diagonal=True)[0, 0, 0] > 0.0
    averaged = comparison_bonus(total, 0.1, averaged=True)[0, 0, 2]
    assert averaged == pytest.approx(np.sqrt(2 * np.log(4 * 9 / 0.1) / 50 / 2))


def test_pessimism_avoids_what_was_hardly_compared():
    """Action 2 beat both others, once: plain takes it, pessimism the well-known better one."""
    wins = np.zeros((1, 1, 3, 3))
    wins[0, 0, 0, 1], wins[0, 0, 1, 0] = 700, 300
    wins[0, 0, 2, 0] = wins[0, 0, 2, 1] = 1
    counts = PreferenceCounts(wins)
    assert von_neumann_winner(counts, stance="plain").policy[0].argmax() == 2
    assert von_neumann_winner(counts).policy[0].argmax() == 0
    assert von_neumann_winner(counts, stance="optimistic").policy[0, 2] > 0.4
    assert borda_winner(counts)[0].tolist() == [0.0, 0.0, 1.0]


def test_nothing_compared():
    counts = PreferenceCounts(np.zeros((2, 1, 3, 3)))
    assert (counts.matrices() == 0).all()
    assert von_neumann_winner(counts).policy.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "games",
    [
        skew(S=20, A=13), skew() - 0.3 * np.abs(skew(seed=1)), np.sign(skew(S=20, A=9)), 1e-9 * skew(),
        np.zeros((2, 4, 4)), np.full((1, 1, 1), 0.5), np.stack([cyclic_matrix(5, 1.0)] * 2),
        np.stack([np.subtract.outer(a, a) for a in Stream(3, "ranks").uniforms((4, 7))]),
    ],
    ids=["random", "pessimistic", "signs", "small", "nothing", "one", "cycle", "transitive"],
)  # fmt: skip
def test_the_simplex_finds_what_the_linear_programs_find(games):
    exact, found = solve_matrices(games), solve_exactly(games)
    assert found.value == pytest.approx(exact.value, abs=1e-9)
    assert found.gap.max() <= 1e-10 * max(np.abs(games).max(), 1e-300)
    assert found.policy.sum(axis=1) == pytest.approx(np.ones(len(games)))
    assert (np.einsum("sa,sab->sb", found.policy, games).min(axis=1) >= exact.value - 1e-9).all()


def test_where_the_simplex_is_blunt_the_gap_says_so_and_highs_has_a_try():
    """Entries over fourteen orders of magnitude."""
    stream = Stream(5, "wide")
    size = 10.0 ** (-14 * stream.child("size").uniforms((40, 25, 25)))
    upper = np.triu(np.where(stream.child("sign").uniforms(size.shape) < 0.5, -size, size), 1)
    games = upper - upper.swapaxes(-1, -2)
    row, column = (np.empty((40, 25)) for _ in range(2))
    matrix_games.solve(games, row, column)
    alone = np.einsum("sab,sb->sa", games, column).max(axis=1) - np.einsum("sa,sab->sb", row, games).min(axis=1)
    assert (alone > 1e-10).any()
    found = solve_exactly(games)
    assert (found.gap <= alone + 1e-15).all()  # rounding, of sums in another order
    assert (found.gap < alone).any()
    assert (exploitability(games, found.policy) <= found.gap + 1e-15).all()


def test_mean_preferences_are_those_of_bradley_terry():
    rewards = 3.0 * Stream(6, "rewards").normals((4, 5, 7))
    rewards[0, 0] *= 1000.0  # beyond what an exponential can hold
    rewards[1, 2] = 0.0
    found = mean_preferences(rewards)
    apart = rewards[..., :, None] - rewards[..., None, :]
    assert found == pytest.approx(np.tanh(0.5 * apart).mean(axis=1), abs=1e-14)
    assert np.array_equal(found, -found.swapaxes(-1, -2))
    with pytest.raises(ValueError, match="at least"):
        mean_preferences(rewards[:, :0])


def test_matrix_game_kernels_are_their_own_python():
    games, rewards = skew(S=2, A=4), Stream(7, "rewards").normals((2, 3, 4))
    row, column, row_py, column_py = (np.empty((2, 4)) for _ in range(4))
    matrix_games.solve(games, row, column)
    in_python(matrix_games.solve)(games, row_py, column_py)
    assert row == pytest.approx(row_py, abs=1e-12)
    assert column == pytest.approx(column_py, abs=1e-12)
    one, other = np.empty((2, 4, 4)), np.empty((2, 4, 4))
    matrix_games.mean_preferences(rewards, one)
    in_python(matrix_games.mean_preferences)(rewards, other)
    assert one == pytest.approx(other, abs=1e-14)
