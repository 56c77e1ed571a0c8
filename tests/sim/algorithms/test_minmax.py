"""Regret matrices, MinMax-DPO and the direct saddle point against LPs, cvxpy and brute force."""

import json

import cvxpy
import numpy as np
import pytest
from click.testing import CliRunner

from pluralign.commands.minmax import command
from sim.algorithms.minmax_dpo import minmax_dpo
from sim.algorithms.regret import discrepancy, discrepancy_sampled, regret_matrix
from sim.algorithms.saddle_point import (
    DirectGame,
    saddle_point_gradient,
    saddle_point_lp,
    saddle_point_table,
)
from sim.environments.tabular import compromise_arm, random_tabular
from sim.errors import InputError
from sim.policies.softmax_table import SoftmaxTable
from sim.streams import Stream
from sim.tables.regrets import read_regret_table


def _instance(seed=0, beta=0.5):
    environment = random_tabular(3, 4, 5, Stream(seed, "minmax"), scale=2.0)
    policies = [SoftmaxTable(environment.reference, beta=beta, rewards=r) for r in environment.rewards]
    return environment, policies


def test_discrepancy_by_brute_force():
    environment, policies = _instance()
    L = discrepancy(policies, np.arange(4), environment.context_probabilities)
    for z in range(3):
        for k in range(3):
            total = 0.0
            for s in range(4):
                for a in range(5):
                    here, arm = np.array([s]), np.array([a])
                    chance = np.exp(policies[k].log_probabilities(here))[0, a]
                    total += environment.context_probabilities[s] * chance * policies[z].log_ratio(here, arm)[0]
            assert L[z, k] == pytest.approx(total)


def test_sampled_discrepancy_covers_the_exact_one():
    environment, policies = _instance()
    contexts = environment.draw_contexts(4000, Stream(1))
    L, error, _ = discrepancy_sampled(policies, contexts, Stream(2), samples=2)
    exact = discrepancy(policies, np.arange(4), environment.context_probabilities)
    assert (np.abs(L - exact) < 4.5 * error).all()
    assert (error > 0).all()


def test_standard_error_is_the_spread_over_repeats():
    environment, policies = _instance()
    repeats = [
        discrepancy_sampled(policies, environment.draw_contexts(300, Stream(3, replicate=r)), Stream(4, replicate=r))
        for r in range(200)
    ]
    spread = np.std([one.estimate for one in repeats], axis=0, ddof=1)
    claimed = np.mean([one.standard_error for one in repeats], axis=0)
    assert claimed == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize("samples", [1, 4])
def test_standard_error_of_a_regret_is_its_spread_over_repeats(samples):
    """Opposed policies with logits +-s, s 0 or 1 by context: both discrepancies are large where s is 1.

    they rise and fall together, and errors of the two that add in squares would be too small.
    """
    rewards = np.array([[[0.0, 0.0], [1.0, -1.0]], [[0.0, 0.0], [-1.0, 1.0]]])
    policies = [SoftmaxTable(np.full((2, 2), 0.5), beta=1.0, rewards=own) for own in rewards]
    found = []
    for r in range(300):
        contexts = Stream(7, replicate=r).integers(2, 128)
        sampled = discrepancy_sampled(policies, contexts, Stream(8, replicate=r), samples)
        game = regret_matrix(sampled.estimate, 1.0, None, sampled.regret_error)
        found.append((game.values[1, 1], game.standard_error[1, 1]))
    regrets, errors = np.array(found).T
    # pi_0 takes the first arm with chance p where s is 1; the ratio of the arms differs by 2 there.
    p = 1.0 / (1.0 + np.exp(-2.0))
    mean, noise = 2.0 * (2.0 * p - 1.0), 8.0 * p * (1.0 - p) / samples
    exact = np.sqrt((0.5 * noise + 0.25 * mean**2) / 128)
    assert errors.mean() == pytest.approx(exact, rel=0.02)
    assert regrets.std(ddof=1) == pytest.approx(exact, rel=0.1)
    assert 0.92 < (np.abs(regrets - 0.5 * mean) <= 1.96 * errors).mean() < 0.98


def _cvxpy_value(R):
    w, v = cvxpy.Variable(R.shape[1], nonneg=True), cvxpy.Variable()
    problem = cvxpy.Problem(cvxpy.Minimize(v), [R @ w <= v, cvxpy.sum(w) == 1])
    problem.solve(solver=cvxpy.CLARABEL)
    return problem.value


@pytest.mark.parametrize("priorities", [None, [1.0, 2.0, 4.0]])
def test_minmax_reaches_the_value_of_another_solver(priorities):
    environment, policies = _instance()
    result = minmax_dpo(
        policies,
        np.arange(4),
        beta=0.5,
        priorities=priorities,
        context_probabilities=environment.context_probabilities,
    )
    assert result.lp_value == pytest.approx(_cvxpy_value(result.regret.values), abs=1e-6)
    assert -1e-9 <= result.value - result.lp_value <= result.gap + 1e-9
    c = np.ones(3) if priorities is None else np.array(priorities)
    assert (c * result.group_regret).max() == pytest.approx(result.value)
    mixed = np.exp(result.policy.log_probabilities(np.arange(4)))
    assert result.group_regret == pytest.approx(environment.regret(mixed, "kl", 0.5), abs=1e-9)


def test_sampled_minmax_is_near_the_exact_one():
    environment, policies = _instance()
    contexts = environment.draw_contexts(20_000, Stream(5))
    sampled = minmax_dpo(policies, contexts, beta=0.5, samples=1, stream=Stream(6))
    exact = minmax_dpo(policies, contexts, beta=0.5)
    assert sampled.weights == pytest.approx(exact.weights, abs=0.05)
    assert (sampled.regret.standard_error[1:][~np.eye(3, dtype=bool)] > 0).all()


def test_priorities_must_be_positive():
    with pytest.raises(ValueError, match="priorities must be positive"):
        regret_matrix(np.zeros((2, 2)), 1.0, [1.0, 0.0])
    with pytest.raises(ValueError, match="priorities must be 2 numbers"):
        regret_matrix(np.zeros((2, 2)), 1.0, [1.0])


def _direct(seed=3, zero_row=True):
    environment, _ = _instance(seed)
    optimum = environment.optimal_policies(0.5)
    log_ratio = np.log(optimum / environment.reference)
    return environment, DirectGame(
        log_ratio, optimum, environment.context_probabilities, beta=0.5, priorities=np.array([1.0, 2.0, 1.5]),
        zero_row=zero_row,
    )  # fmt: skip


@pytest.mark.parametrize("zero_row", [True, False])
def test_direct_saddle_point_agrees_with_lp_cvxpy_and_definition(zero_row):
    environment, game = _direct(zero_row=zero_row)
    value, policy = saddle_point_lp(game)
    assert game.regret(policy).max() == pytest.approx(value, abs=1e-9)
    true = np.array([1.0, 2.0, 1.5]) * environment.regret(policy, "kl", 0.5)
    assert game.regret(policy)[:3] == pytest.approx(true, abs=1e-9)
    pi, v = cvxpy.Variable((4, 5), nonneg=True), cvxpy.Variable()
    constraints = [cvxpy.sum(pi, axis=1) == 1] + ([v >= 0] if zero_row else [])
    for z in range(3):
        scale = 0.5 * [1.0, 2.0, 1.5][z] * environment.context_probabilities[:, None] * game.log_ratio[z]
        constraints.append(cvxpy.sum(cvxpy.multiply(scale, game.optimum[z] - pi)) <= v)
    problem = cvxpy.Problem(cvxpy.Minimize(v), constraints)
    problem.solve(solver=cvxpy.CLARABEL)
    assert value == pytest.approx(problem.value, abs=1e-6)
    played = saddle_point_table(game, 4000)
    assert value - 1e-9 <= played.value <= value + played.gap + 1e-9
    assert played.gap < 0.02
    assert saddle_point_gradient(game, 500).last_value >= value - 1e-9


def test_gradient_play_reaches_the_compromise():
    """Three types and an arm that gives 8 to all; on games with several contexts its last iterate may circle."""
    environment = compromise_arm(8.0)
    optimum = environment.optimal_policies(1.0)
    game = DirectGame(np.log(optimum / environment.reference), optimum, np.ones(1), zero_row=False)
    assert saddle_point_lp(game)[0] == pytest.approx(1.761, abs=1e-3)
    assert saddle_point_gradient(game, 20_000).last_value == pytest.approx(1.761, abs=5e-3)


def test_gradient_of_the_direct_objective_by_finite_differences():
    _, game = _direct()
    adversary, policy = np.array([0.5, 0.2, 0.2, 0.1]), np.full((4, 5), 0.2)
    losses = game.action_losses(adversary) * game.context_probabilities[:, None]
    for s, a in ((0, 1), (2, 4), (3, 0)):
        bumped = policy.copy()
        bumped[s, a] += 1e-6
        slope = adversary @ (game.regret(bumped) - game.regret(policy)) / 1e-6
        assert losses[s, a] == pytest.approx(slope, abs=1e-6)


def _run(tmp_path, text, *options):
    path = tmp_path / "regret.csv"
    path.write_text(text)
    return CliRunner().invoke(command, ["--regret", str(path), *options])


def test_command_solves_a_users_matrix(tmp_path):
    result = _run(tmp_path, "group,cautious,bold\nyoung,2,-1\nold,-1,1\n", "--json")
    answer = json.loads(result.output)
    assert answer["weights"] == pytest.approx([0.4, 0.6], abs=1e-3)
    assert answer["lp_value"] == pytest.approx(0.2)
    assert answer["value"] - answer["lp_value"] <= answer["gap"] + 1e-9
    assert answer["groups"] == ["young", "old"]
    assert answer["policies"] == ["cautious", "bold"]
    assert "cautious" in _run(tmp_path, "group,cautious,bold\nyoung,2,-1\nold,-1,1\n").output


def test_command_takes_priorities_and_plain_numbers(tmp_path):
    plain = json.loads(_run(tmp_path, "0,4\n1,0\n", "--json").output)
    weighted = json.loads(_run(tmp_path, "0,4\n1,0\n", "--json", "--priorities", "1,8").output)
    assert plain["weights"] == pytest.approx([0.8, 0.2], abs=1e-3)
    assert weighted["weights"] == pytest.approx([1 / 3, 2 / 3], abs=1e-3)
    assert weighted["regret_per_group"][1] < plain["regret_per_group"][1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("a,b\n", "found only a header"),
        ("0,1\n1\n", r"row 2: expected 2 columns"),
        ("0,1\n1,x\n", "row 2, field 'column 2': expected a finite number, got 'x'"),
        ("0,nan\n1,0\n", "row 1, field 'column 2': expected a finite number, got 'nan'"),
    ],
)
def test_bad_matrices_get_one_clear_line(tmp_path, text, expected):
    path = tmp_path / "regret.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_regret_table(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("offset", [1e6, 1e7, -1e7])
def test_the_value_lies_above_the_exact_one_by_no_more_than_the_gap(tmp_path, offset):
    rows = offset + Stream(61).uniforms((3, 3))
    answer = json.loads(_run(tmp_path, "\n".join(",".join(map(repr, row.tolist())) for row in rows), "--json").output)
    rounding = 2 * np.spacing(abs(offset))
    assert -rounding <= answer["value"] - answer["lp_value"] <= answer["gap"] + rounding
    assert max(answer["regret_per_group"]) == pytest.approx(answer["value"], abs=4 * rounding, rel=0)


def test_missing_file_and_bad_priorities(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_regret_table(tmp_path / "none.csv")
    result = _run(tmp_path, "0,1\n1,0\n", "--priorities", "1,2,3")
    assert "expected 2 numbers" in str(result.exception)
