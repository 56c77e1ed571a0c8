"""Certificates of choices equal brute force over candidates, and programs written out over lotteries."""

import cvxpy as cp
import numpy as np
import pytest

from sim.algorithms.fairness import pareto_lottery
from sim.tables.candidate_certificates import axioms_of_rule, certificate, lies
from sim.tables.candidates import CandidateChoice, HowToChoose, choose_candidates


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(3, size)) for size in (6, 4, 6, 9, 5)]


def _dominated(gains, option):
    return any(
        (gains[:, b] >= gains[:, option]).all() and (gains[:, b] > gains[:, option]).any()
        for b in range(gains.shape[1])
    )


def _most_gained(gains, lottery):
    """max over lotteries that are worse for nobody of the sum of gains, less what there is."""
    p = cp.Variable(gains.shape[1], nonneg=True)
    problem = cp.Problem(
        cp.Maximize(cp.sum(gains @ p)), [cp.sum(p) == 1, gains @ p >= gains @ lottery - 1e-9]
    )  # fmt: skip
    problem.solve(solver=cp.CLARABEL)
    return float(problem.value - (gains @ lottery).sum())


@pytest.mark.parametrize("rule", ["utilitarian", "leximin", "aggregate", "pool"])
def test_of_candidates(tables, rule):
    how = HowToChoose(rule)
    for table, found in zip(tables, choose_candidates(tables, how), strict=True):
        gains = table - table.min(axis=1, keepdims=True)
        for option in range(table.shape[1]):
            own = certificate(table, CandidateChoice(np.eye(table.shape[1])[option]), how)
            assert own.pareto.efficient != _dominated(gains, option)
            assert own.share_of_maximum == pytest.approx(gains[:, option] / gains.max(axis=1))
            assert own.smallest_share == pytest.approx(own.share_of_maximum.min())
        mine = certificate(table, found, how)
        assert mine.pareto.efficient, "every rule of these is monotone"
        assert mine.optimality_gap == (None if rule == "pool" else 0.0)
        assert (mine.transfers is None) == (rule in ("aggregate", "pool"))


@pytest.mark.parametrize("rule", ["nash", "leximin", "utilitarian", "von-neumann", "pool"])
def test_of_lotteries(tables, rule):
    how = HowToChoose(rule, lottery=rule != "von-neumann")
    for table, found in zip(tables, choose_candidates(tables, how), strict=True):
        gains = table - table.min(axis=1, keepdims=True)
        own = certificate(table, found, how)
        if found.lottery.max() < 1.0:
            assert own.pareto.efficient == (_most_gained(gains, found.lottery) < 1e-6)
        if rule == "nash":
            assert own.one_over_m, "the Nash lottery gives everybody 1/M of the most"
            assert own.smallest_share >= 1 / 3 - 1e-6
        assert (own.optimality_gap is None) == (rule == "pool")


def test_one_program_says_at_least_what_as_many_as_parties_do(tables):
    rng = np.random.default_rng(1)
    inefficient = 0
    for table in tables:
        gains = table - table.min(axis=1, keepdims=True)
        for lottery in rng.dirichlet(np.ones(table.shape[1]), 6):
            few, many = pareto_lottery(gains, lottery, largest=False), pareto_lottery(gains, lottery)
            assert few.efficient == many.efficient
            if few.efficient:
                continue
            inefficient += 1
            assert 0 < few.tau <= many.tau + 1e-9
            assert (gains @ few.better >= gains @ lottery - 1e-8).all()
            assert few.tau == pytest.approx((gains @ few.better / (gains @ lottery)).max() - 1, rel=1e-6)
    assert inefficient > 10


def test_equalising_transfers_that_a_rule_leaves():
    """From (3, 1) to (2, 2): utilitarian does not mind, leximin takes it."""
    table = np.array([[3.0, 2.0, 0.0], [1.0, 2.0, 0.0]])
    left = certificate(table, CandidateChoice(np.array([1.0, 0.0, 0.0])), HowToChoose("leximin"))
    assert left.transfers.available == 1
    assert left.transfers.best == pytest.approx(1.0)
    [taken] = choose_candidates([table], HowToChoose("leximin"))
    assert certificate(table, taken, HowToChoose("leximin")).transfers.available == 0


def test_a_party_without_a_preference_is_not_asked():
    table = np.array([[0.0, 1.0, 3.0], [5.0, 5.0, 5.0]])
    own = certificate(table, CandidateChoice(np.array([0.0, 0.0, 1.0])), HowToChoose("nash"))
    assert own.share_of_maximum.tolist() == [1.0, 1.0]
    nobody = certificate(np.ones((2, 3)), CandidateChoice(np.full(3, 1 / 3)), HowToChoose("nash", lottery=True))
    assert nobody.pareto.efficient
    assert nobody.smallest_share == 1.0


def test_lies_gain_nothing_under_the_mechanism(tables):
    found = lies(tables, HowToChoose("pool", 1.0, mechanism=True))
    assert found.best is not None
    assert (found.best <= found.at_most + 1e-9).all()
    assert found.at_most.max() < 1e-9
    rng = np.random.default_rng(2)
    many = lies([rng.normal(size=(20, 60)) for _ in range(2)], HowToChoose("pool", 0.0, mechanism=True))
    assert many.best is None
    assert many.at_most.shape == (20,)


def test_everybody_has_an_equal_part_more_often_than_one_sum_proves():
    rng = np.random.default_rng(4)
    tables = [rng.normal(size=(3, 8)) for _ in range(200)]
    found = [
        certificate(table, own, HowToChoose("nash"))
        for table, own in zip(tables, choose_candidates(tables, HowToChoose("nash")), strict=True)
    ]
    for own in found:
        assert own.one_over_m == (own.share_of_maximum.min() >= 1 / 3)
        assert own.one_over_m or not own.certified
    assert 0 < sum(own.certified for own in found) < sum(own.one_over_m for own in found) < 200


@pytest.mark.parametrize(
    "how",
    [HowToChoose("nash", zero="fit"), HowToChoose("pool", -3.0, mechanism=True), HowToChoose("alpha=0.5", zero="fit")],
)
def test_a_rule_without_an_answer_to_a_changed_table_has_not_stayed(how):
    """Rewards moved below the fit's zero, and costs that nobody can pay, are of tables that were made up here."""
    rng = np.random.default_rng(5)
    tables = [0.1 + rng.uniform(size=(3, 4)) for _ in range(6)]
    choose_candidates(tables, how)
    found = axioms_of_rule(tables, how)
    assert found["zeros"] < 1.0 if how.zero == "fit" else found["zeros"] == 1.0
    assert found["scales"] == 1.0 if how.rule == "nash" else 0.0 < found["scales"] < 1.0


@pytest.mark.parametrize(
    ("how", "scales", "zeros"),
    [
        (HowToChoose("nash"), 1.0, 1.0),
        (HowToChoose("utilitarian"), None, 1.0),
        (HowToChoose("aggregate", -np.inf, zero="fit"), None, None),
        (HowToChoose("aggregate", -2.0), None, 1.0),
    ],
)
def test_what_a_rule_does_not_depend_on(how, scales, zeros):
    """1 where the paper says so, less where it does not (None)."""
    rng = np.random.default_rng(3)
    found = axioms_of_rule([rng.normal(size=(3, 9)) for _ in range(12)], how)
    for name, said in (("scales", scales), ("zeros", zeros)):
        assert found[name] == 1.0 if said else found[name] < 1.0
    assert ("monotonicity" in found) == (how.rule == "aggregate")
    if how.rule == "aggregate":
        assert found["symmetry"] == 1.0
        # The minimum does not rise with everybody's reward.
        assert (found["monotonicity"] == 1.0) == np.isfinite(how.alpha)
        assert (found["scale"] == 1.0) == np.isinf(how.alpha)
    assert axioms_of_rule([np.eye(3)], HowToChoose("nash", lottery=True)) == {}
