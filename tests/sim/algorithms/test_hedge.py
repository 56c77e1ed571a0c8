"""Hedge against a plain NumPy loop, the LP, and its bound."""

from fractions import Fraction

import numba
import numpy as np
import pytest

from sim.algorithms.hedge import default_step, game_value, hedge, hedge_batch, hedge_bound
from sim.streams import Stream


def _games(n, rows, columns, seed=0):
    return 2 * Stream(seed, "games").uniforms((n, rows, columns)) - 1


def _plain_loop(R, rounds, step_w, step_p, optimism):
    """Algorithm 2 written as it stands, one game, log-weights normalised by logsumexp."""
    n_rows, n_columns = R.shape
    lw, lp = np.full(n_columns, -np.log(n_columns)), np.full(n_rows, -np.log(n_rows))
    w, p = np.exp(lw), np.exp(lp)
    gw_tm1, gp_tm1 = R.T @ p, R @ w
    w_sum, p_sum = np.zeros(n_columns), np.zeros(n_rows)
    for _ in range(rounds):
        gw_t, gp_t = R.T @ p, R @ w
        lw = lw - step_w * (gw_t + optimism * (gw_t - gw_tm1))
        lp = lp + step_p * (gp_t + optimism * (gp_t - gp_tm1))
        lw, lp = lw - np.logaddexp.reduce(lw), lp - np.logaddexp.reduce(lp)
        gw_tm1, gp_tm1, w, p = gw_t, gp_t, np.exp(lw), np.exp(lp)
        w_sum, p_sum = w_sum + w, p_sum + p
    return w_sum / rounds, p_sum / rounds


@pytest.mark.parametrize("optimistic", [True, False])
@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 4, 3), (5, 2, 3), (70, 3, 2), (64, 9, 8)])
def test_equals_the_plain_loop(n, rows, columns, optimistic):
    games = _games(n, rows, columns)
    batch = hedge_batch(games, 300, step=0.3, step_rows=0.2, optimistic=optimistic)
    for g in range(n):
        w, p = _plain_loop(games[g], 300, 0.3, 0.2, float(optimistic))
        assert batch.weights[g] == pytest.approx(w, abs=1e-11)
        assert batch.adversary[g] == pytest.approx(p, abs=1e-11)


def test_known_equilibrium():
    """[[2, -1], [-1, 1]]: the only equilibrium is (2/5, 3/5) for both, value 1/5."""
    R = np.array([[2.0, -1.0], [-1.0, 1.0]])
    result, exact = hedge(R, 20_000), game_value(R)
    assert exact.weights == pytest.approx([0.4, 0.6])
    assert exact.adversary == pytest.approx([0.4, 0.6])
    assert exact.value == pytest.approx(0.2)
    assert result.weights == pytest.approx([0.4, 0.6], abs=1e-3)


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (3, 2), (4, 3), (11, 10)])
def test_agrees_with_the_linear_program_within_its_gap(rows, columns):
    for R in _games(8, rows, columns, seed=rows):
        result, exact = hedge(R, 2000), game_value(R)
        assert exact.gap < 1e-9
        assert exact.value - 1e-9 <= result.upper <= exact.value + result.gap + 1e-9
        assert result.lower <= exact.value + 1e-9
        assert result.gap <= hedge_bound(columns, rows, result.step, 2000)


def test_slopes_of_optimistic_and_plain_hedge():
    at = [100, 1000, 10_000]
    games = _games(16, 4, 3, seed=5)
    optimistic = hedge_batch(games, 10_000, record=at).trace_gap
    slope = np.polyfit(np.log(at), np.log(np.median(optimistic, axis=0)), 1)[0]
    assert slope == pytest.approx(-1, abs=0.08)
    plain = [
        np.median(hedge_batch(games, T, step=default_step(games) * np.sqrt(8 * np.log(4) / T), optimistic=False).gap)
        for T in at
    ]
    assert np.polyfit(np.log(at), np.log(plain), 1)[0] == pytest.approx(-0.5, abs=0.1)


def test_an_over_large_step_breaks_the_bound():
    games = _games(20, 4, 3, seed=2)
    step = 10 / (games.max((1, 2)) - games.min((1, 2)))
    gap = hedge_batch(games, 1000, step=step).gap
    bounds = np.array([hedge_bound(3, 4, h, 1000) for h in step])
    assert (gap > bounds).mean() > 0.5


def test_constant_game_and_single_column():
    assert hedge(np.zeros((3, 2)), 10).gap == pytest.approx(0, abs=1e-15)
    assert hedge(np.array([[1.0], [2.0]]), 10).weights == pytest.approx([1.0])


def test_same_bits_for_any_number_of_threads():
    games = _games(130, 5, 4)
    answers = []
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(threads)
        answers.append(hedge_batch(games, 50).weights)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert all((answers[0] == other).all() for other in answers)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="finite"):
        hedge(np.array([[np.nan]]), 5)
    with pytest.raises(ValueError, match="rounds must be a whole number, at least 1"):
        hedge(np.eye(2), 0)
    with pytest.raises(ValueError, match=r"record must lie in 1\.\.5"):
        hedge(np.eye(2), 5, record=[6])


@pytest.mark.parametrize(("offset", "spread"), [(1e6, 1.0), (1e7, 0.1), (-1e7, 1.0), (1e12, 1e3), (0.0, 1e-12)])
def test_a_number_added_to_all_entries_is_added_to_the_value(offset, spread):
    """2x2 games without a saddle point: value (ad - bc) / (a + d - b - c), in fractions."""
    for draws in Stream(41).uniforms((6, 4)):
        a, b, c, d = offset + spread * np.array([0.0, 1.0, 0.7, 0.3]) + 0.1 * spread * draws
        game = np.array([[a, b], [c, d]])
        p, q, r, s = (Fraction(float(x)) for x in (a, b, c, d))
        value, exact = (p * s - q * r) / (p + s - q - r), game_value(game)
        rounding = 4 * np.spacing(abs(offset) + spread)
        assert exact.value == pytest.approx(float(value), abs=1e-9 * spread + rounding)
        assert float((game - offset).dot(exact.weights).max()) + offset == pytest.approx(exact.value, abs=rounding)
        assert 0.0 <= exact.gap <= 1e-9 * spread
        played = hedge(game, 5_000)
        assert 0.0 <= played.gap <= hedge_bound(2, 2, played.step, 5_000) + 1e-9 * spread
        assert -rounding <= played.upper - exact.value <= played.gap + 1e-9 * spread + rounding
        assert played.weights == pytest.approx(hedge(game - offset, 5_000).weights, abs=1e-9)
