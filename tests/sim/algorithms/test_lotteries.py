"""Welfare rules and lotteries against cvxpy, direct HiGHS, brute force and each other."""

from decimal import Decimal, localcontext

import cvxpy as cp
import numpy as np
import pytest
from alone import alone, in_python
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from sim.algorithms.lotteries import best_lotteries, relative_gap
from sim.algorithms.welfare import LEXIMIN, NASH, UTILITARIAN, WelfareRule, share_of_maximum
from sim.compiled import lottery as lottery_kernels
from sim.streams import Stream

ALPHAS = (0.9, 0.5, 0.0, -1.0, -4.0)


def tables(B, M, A, seed=0, spread=False):
    u = Stream(seed, f"tables/{B}/{M}/{A}").uniforms((B, M, A))
    return u - u.min(axis=2, keepdims=True) if spread else u


def test_welfare_by_hand():
    u = np.array([[1.0, 4.0], [9.0, 4.0]])
    assert NASH.welfare(u) == pytest.approx([9.0, 16.0])
    assert UTILITARIAN.welfare(u) == pytest.approx([10.0, 8.0])
    assert WelfareRule(0.5).welfare(u) == pytest.approx([4.0, 4.0])
    assert WelfareRule(-1.0).welfare(u) == pytest.approx([-10 / 9, -0.5])
    assert LEXIMIN.welfare(u) == pytest.approx([1.0, 4.0])
    assert NASH.equivalent(u) == pytest.approx([3.0, 4.0])
    assert WelfareRule(-1.0).equivalent(u) == pytest.approx([1.8, 4.0])
    assert WelfareRule(-800.0).equivalent(u) == pytest.approx([1.0, 4.0], rel=1e-2)


@pytest.mark.parametrize("alpha", [1.0, *ALPHAS])
def test_equivalent_utility_orders_as_welfare_does(alpha):
    rule, u = WelfareRule(alpha), 0.1 + tables(40, 3, 6)
    assert (np.argsort(rule.equivalent(u)) == np.argsort(rule.welfare(u))).all()
    assert rule.equivalent(np.full((3, 1), 0.7)) == pytest.approx([0.7])


def test_limits_of_the_family():
    u = 0.1 + tables(1, 4, 9)[0]
    assert WelfareRule(1e-9).equivalent(u) == pytest.approx(NASH.equivalent(u), rel=1e-6)
    assert WelfareRule(-3000.0).equivalent(u) == pytest.approx(u.min(axis=0), rel=1e-3)


def exact_log_equivalent(column, alpha):
    """log(((1 / M) sum u^alpha) / M)^(1 / alpha) in 60 digits, alpha > 0, or the log of the geometric mean at 0."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -(10**15), 10**15
        above = [Decimal(float(u)) for u in column if u > 0]
        if alpha > 0:
            power = Decimal(alpha)
            return (sum((power * u.ln()).exp() for u in above) / len(column)).ln() / power if above else None
        if len(above) < len(column):
            return None
        if alpha == 0:
            return sum(u.ln() for u in above) / len(above)
        power = Decimal(alpha)
        return (sum((power * u.ln()).exp() for u in above) / len(above)).ln() / power


FIVE = np.array([[5.0, 1, 0], [0, 1, 0], [0, 0, 3], [0, 0, 3], [0, 0, 3]])


@pytest.mark.parametrize("alpha", [0.5, 0.01, 5e-4, 1e-6, 1e-9, 1e-320])
def test_at_a_small_power_more_parties_above_zero_come_first(alpha):
    """Three of five have something under the last option, two and one under the others."""
    assert WelfareRule(alpha).best(FIVE) == 2
    assert WelfareRule(alpha).best(FIVE[:, ::-1]) == 0
    assert WelfareRule(alpha).best(np.stack([FIVE, FIVE[:, [2, 0, 1]]])).tolist() == [2, 0]
    # As many above zero: the geometric mean among them.
    assert WelfareRule(alpha).best(np.array([[1.0, 0, 2], [3, 5, 0], [0, 1, 2]])) == 1
    assert WelfareRule(alpha).best(np.array([[0.0, 0], [0, 0]])) == 0


@pytest.mark.parametrize("alpha", [0.9, 0.5, 0.01, 5e-4, 1e-6, 1e-9, 0.0, -1e-9, -1e-6, -0.3, -2.0, -50.0])
@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150])
def test_advantages_are_those_of_sixty_digits(alpha, scale):
    """Half of the tables have zeros, some options that cannot be told apart but by their parties above zero."""
    rule, draws = WelfareRule(alpha), Stream(8).uniforms((12, 4, 5))
    u = scale * np.where((draws < 0.4) & (np.arange(12) % 2 == 0)[:, None, None], 0.0, draws)
    for table in u:
        exact = [exact_log_equivalent(column, alpha) for column in table.T]
        if all(value is None for value in exact):
            assert rule.best(table) == (-1 if alpha <= 0 else 0)
            continue
        best = max(range(5), key=lambda a: exact[a] if exact[a] is not None else Decimal(-(10**14)))
        assert rule.best(table) == best
        own = rule.advantage(table, best)
        for a, value in enumerate(exact):
            expected = -np.inf if value is None else float(value - exact[best])
            assert own[a] == pytest.approx(expected, rel=1e-9, abs=2e-12), (alpha, a)
            reached = rule.equivalent(table)[a]
            assert reached == pytest.approx(0.0 if value is None else float(value.exp()), rel=1e-9)


def test_what_is_asked_beside_a_table_does_not_make_its_options_tie():
    small, large = np.array([[1e-15, 2e-15], [1e-15, 2e-15]]), np.full((2, 2), 1.0)
    assert LEXIMIN.best(small) == 1
    assert LEXIMIN.best(np.stack([small, large])).tolist() == [1, 0]


def test_leximin_breaks_ties_by_the_second_worst_off():
    u = np.array([[1.0, 1.0, 1.0], [5.0, 1.0, 2.0], [1.0, 9.0, 2.0]])
    assert LEXIMIN.best(u) == 2
    assert LEXIMIN.best(u[:, ::-1]) == 0
    assert LEXIMIN.best(np.zeros((2, 3))) == 0


def test_brute_force_of_the_lexicographic_choice():
    whole = np.floor(4 * tables(300, 3, 5))
    for u, found in zip(whole, LEXIMIN.best(whole), strict=True):
        keys = [tuple(sorted(u[:, a])) for a in range(5)]
        assert keys[found] == max(keys)


def test_a_product_of_zero_is_no_choice():
    assert NASH.best(np.array([[0.0, 1.0], [1.0, 0.0]])) == -1
    assert WelfareRule(-2.0).best(np.array([[0.0, 1.0], [1.0, 0.0]])) == -1
    assert WelfareRule(0.5).best(np.array([[0.0, 1.0], [1.0, 0.5]])) == 1
    assert NASH.best(np.array([[0.0, 1.0], [1.0, 1e-9]])) == 1


def test_negative_utilities_and_convex_powers_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        NASH.best(np.array([[-1.0, 1.0]]))
    with pytest.raises(ValueError, match="at most 1"):
        WelfareRule(1.5)
    with pytest.raises(ValueError, match="at least 0"):
        best_lotteries(-np.ones((1, 2, 2)), NASH)
    with pytest.raises(ValueError, match="leave it out"):
        best_lotteries(np.array([[[0.0, 0.0], [1.0, 2.0]]]), NASH)
    with pytest.raises(ValueError, match="finite"):
        best_lotteries(np.full((1, 2, 2), np.nan), UTILITARIAN)
    with pytest.raises(ValueError, match="none empty"):
        best_lotteries(np.ones((2, 2)), NASH)
    with pytest.raises(ValueError, match="alpha = 0"):
        best_lotteries(np.ones((1, 2, 2)), WelfareRule(0.5), method="em")


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("M", "A"), [(4, 8), (8, 4), (2, 2), (1, 3), (3, 1)])
def test_interior_point_against_cvxpy(alpha, M, A):
    u = 0.02 + tables(4, M, A, seed=3)
    found, oracle = best_lotteries(u, WelfareRule(alpha)), best_lotteries(u, WelfareRule(alpha), method="cvxpy")
    assert found.optimality_gap.max() <= 1e-9
    value = WelfareRule(alpha).equivalent(found.utilities[..., None])[..., 0]
    theirs = WelfareRule(alpha).equivalent(oracle.utilities[..., None])[..., 0]
    assert (value >= theirs * (1 - 1e-9)).all()
    assert value == pytest.approx(theirs, rel=1e-6)
    assert found.utilities == pytest.approx(oracle.utilities, rel=5e-3, abs=1e-4)
    assert found.utilities == pytest.approx(np.einsum("bma,ba->bm", u, found.probabilities), abs=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 0.0, -2.0, -30.0])
def test_parties_that_have_nothing_in_common(alpha):
    """Each option is somebody's zero: weights differ by orders of magnitude on the way."""
    found = best_lotteries(tables(50, 5, 2, seed=4, spread=True), WelfareRule(alpha))
    assert found.optimality_gap.max() <= 1e-9
    assert (found.utilities > 0).all()


def test_certificate_bounds_what_any_lottery_reaches():
    u = tables(20, 5, 7, seed=5)
    for alpha in ALPHAS:
        rule = WelfareRule(alpha)
        rough = best_lotteries(u, rule, tolerance=1e-2)
        best = rule.equivalent(best_lotteries(u, rule).utilities[..., None])[..., 0]
        own = rule.equivalent(rough.utilities[..., None])[..., 0]
        assert (best <= own * (1 + rough.optimality_gap) * (1 + 1e-9)).all()
        assert rough.optimality_gap.max() > 1e-6
        gaps = [relative_gap(table, p, alpha) for table, p in zip(u, rough.probabilities, strict=True)]
        assert (best <= own * (1 + np.array(gaps)) * (1 + 1e-9)).all()


def test_em_iteration_rises_and_ends_at_the_same_lottery():
    u = tables(6, 4, 8, seed=6)
    found, em = best_lotteries(u, NASH), best_lotteries(u, NASH, method="em", tolerance=1e-9)
    assert em.utilities == pytest.approx(found.utilities, rel=1e-4)
    assert em.optimality_gap.max() <= 1e-9
    worth = [
        np.log(best_lotteries(u, NASH, method="em", tolerance=0.0, max_iterations=n).utilities).sum(axis=1)
        for n in range(8)
    ]
    assert (np.diff(worth, axis=0) > 0).all()


@pytest.mark.parametrize("alpha", [-200.0, -600.0, -1000.0, -3000.0, -1e6, -1e12, -1e308])
@pytest.mark.parametrize(("M", "A"), [(3, 5), (12, 20)])
def test_strong_powers_are_no_worse_than_leximin_and_say_by_how_much(alpha, M, A):
    u, rule = tables(40, M, A, seed=11, spread=True), WelfareRule(alpha)
    found, lowest = best_lotteries(u, rule), best_lotteries(u, LEXIMIN)
    own, theirs = (rule.equivalent(one.utilities[..., None])[:, 0] for one in (found, lowest))
    # Leximin's least utility is the largest there is, and no equivalent exceeds a least one times M^(1 / |alpha|).
    assert (found.optimality_gap <= M ** (-1 / alpha) - 1 + 1e-8).all()
    assert (own * (1 + found.optimality_gap) >= theirs * (1 - 1e-12)).all()
    assert (found.utilities.min(axis=1) >= lowest.utilities.min(axis=1) * (1 - 2 * np.log(M) / -alpha)).all()
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(40))


@pytest.mark.parametrize("alpha", [1e-320, -1e-15, 1e-12, -1e-9, 1e-8])
def test_powers_next_to_zero_are_nash(alpha):
    u = tables(40, 3, 5, seed=12, spread=True)
    found, nash = best_lotteries(u, WelfareRule(alpha)), best_lotteries(u, NASH)
    assert found.utilities == pytest.approx(nash.utilities, rel=1e-6)
    assert found.optimality_gap.max() < 1e-6
    assert WelfareRule(alpha).equivalent(u) == pytest.approx(NASH.equivalent(u), rel=1e-6)


def test_nash_lottery_by_hand():
    """Two parties with one good option each: half and half, whatever their scales."""
    found = best_lotteries(np.array([[[1.0, 0.0], [0.0, 100.0]]]), NASH)
    assert found.probabilities[0] == pytest.approx([0.5, 0.5], abs=1e-8)
    assert found.utilities[0] == pytest.approx([0.5, 50.0], abs=1e-6)


def test_compiled_kernel_is_its_own_python():
    u = np.ascontiguousarray(tables(1, 3, 4, seed=7)[0])
    p, t, q, s = np.empty(4), np.empty(3), np.empty(4), np.empty(3)
    compiled = alone(lottery_kernels.interior_point)(u, -1.0, 1e-9, 50, False, p, t)
    plain = in_python(lottery_kernels.interior_point)(u, -1.0, 1e-9, 50, False, q, s)
    assert compiled[1] == plain[1]
    assert p == pytest.approx(q, abs=1e-9)


def highs_leximin(u):
    """Direct: every free party that binds is tested by a program of its own."""
    M, A = u.shape
    level, fixed = np.full(M, -np.inf), np.zeros(M, bool)
    solved = None
    while not fixed.all():
        free = ~fixed
        a_ub = np.column_stack([-u, free.astype(float)])
        b_ub = np.where(free, 0.0, -(level - 1e-10))
        equal = np.append(np.ones(A), 0.0)[None]
        solved = linprog(np.append(np.zeros(A), -1.0), a_ub, b_ub, equal, [1.0], [(0, None)] * A + [(None, None)])
        z = -solved.fun
        for m in np.flatnonzero(free):
            b = np.where(free, -(z - 1e-10), -(level - 1e-10))
            most = linprog(-u[m], -u, b, np.ones((1, A)), [1.0], [(0, None)] * A)
            if -most.fun <= z + 1e-8:
                fixed[m], level[m] = True, z
    return np.sort(u @ solved.x[:A])


@pytest.mark.parametrize(("M", "A"), [(4, 6), (6, 3), (3, 3), (2, 1), (1, 4)])
def test_leximin_against_direct_highs(M, A):
    u = tables(6, M, A, seed=8) - 0.3
    found = best_lotteries(u, LEXIMIN)
    assert found.optimality_gap.max() < 1e-9
    for b in range(6):
        assert np.sort(found.utilities[b]) == pytest.approx(highs_leximin(u[b]), abs=1e-6)


def test_leximin_with_degenerate_levels():
    """Whole numbers: many optima of each program, so that later levels decide."""
    u = np.floor(3 * tables(40, 4, 6, seed=9))
    found = best_lotteries(u, LEXIMIN)
    assert found.iterations.max() > 1
    for b in range(40):
        assert np.sort(found.utilities[b]) == pytest.approx(highs_leximin(u[b]), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10_000))
def test_scales_and_zeros(M, A, seed):
    """Nash does not see scales, Utilitarian does not see zeros; scales move the Utilitarian choice."""
    u, c = 0.05 + tables(1, M, A, seed=seed), 0.1 + 9 * Stream(seed).uniforms((M, 1))
    nash = best_lotteries(u, NASH)
    scaled = best_lotteries(u * c, NASH)
    assert scaled.utilities[0] == pytest.approx(nash.utilities[0] * c[:, 0], rel=1e-3)
    assert NASH.best(u) == NASH.best(u * c)
    assert UTILITARIAN.best(u) == UTILITARIAN.best(u + c)


def test_share_of_maximum():
    u = np.array([[1.0, 2.0], [0.0, 0.0]])
    assert share_of_maximum(u, u[:, 0]) == pytest.approx([0.5, 1.0])


def test_cvxpy_agrees_on_leximins_first_level():
    u = tables(1, 5, 7, seed=10)[0]
    p, z = cp.Variable(7, nonneg=True), cp.Variable()
    problem = cp.Problem(cp.Maximize(z), [u @ p >= z, cp.sum(p) == 1])
    problem.solve(solver=cp.CLARABEL)
    assert best_lotteries(u[None], LEXIMIN).utilities.min() == pytest.approx(problem.value, abs=1e-7)


@pytest.mark.parametrize("alpha", [1e-9, 1e-7, 2e-7, 1e-6])
def test_lotteries_at_small_powers_give_everybody_something(alpha):
    """max over p of sum log(v p): what alpha -> 0+ leaves where a mixture can reach all, unlike an option."""
    found = best_lotteries(FIVE[None], WelfareRule(alpha))
    assert found.utilities.min() > 0.1
    assert found.optimality_gap[0] < 1e-6
    nash = best_lotteries(FIVE[None], NASH, method="cvxpy")
    assert found.utilities == pytest.approx(nash.utilities, rel=1e-3)
