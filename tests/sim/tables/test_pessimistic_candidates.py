"""Pessimistic choices equal what brute force over the confidence set says, and the plain ones at radius 0."""

import itertools

import numpy as np
import pytest

from sim.algorithms import pessimistic_welfare, welfare_programs
from sim.algorithms.welfare import LEXIMIN, WelfareRule
from sim.errors import InputError
from sim.estimators.party_confidence import PartyConfidence
from sim.tables import candidates
from sim.tables.candidates import HowToChoose, choose_candidates
from sim.tables.pessimistic_candidates import sure_rewards


def _drawn(seed, radius, M=3, d=3, sizes=(6, 4, 6)):
    """(rewards, sure) of prompts with candidates of those sizes."""
    rng = np.random.default_rng(seed)
    theta, a = rng.normal(size=(M, d)), rng.normal(size=(M, 12, d))
    confidence = PartyConfidence(theta, a.transpose(0, 2, 1) @ a, np.full(M, float(radius)))
    features = [rng.normal(size=(size, d)) for size in sizes]
    rewards = [theta @ own.T for own in features]
    return rewards, sure_rewards(features, rewards, confidence)


def _on_the_set(confidence, party, n=4000, seed=0):
    """theta on the surface of a party's ellipsoid; (n, d)."""
    u = np.random.default_rng(seed).normal(size=(n, confidence.theta.shape[1]))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    root = np.linalg.cholesky(confidence.covariance[party])
    return confidence.theta[party] + confidence.radius[party] * np.linalg.solve(root.T, u.T).T


@pytest.mark.parametrize("zero", ["mean", "fit", "worst"])
def test_bounds_are_the_least_over_the_set(zero):
    _, sure = _drawn(0, 1.0)
    own = sure.features[0]
    bounds = sure.bounds(0, zero)
    for m in range(3):
        rewards = _on_the_set(sure.confidence, m) @ own.T
        start = {"mean": rewards.mean(axis=1), "fit": 0.0, "worst": rewards.min(axis=1)}[zero]
        least = (rewards - np.reshape(start, (-1, 1))).min(axis=0)
        assert (bounds[m] <= least + 1e-9).all()
        if zero != "worst":  # where a lottery to count from could be a little worse still
            assert bounds[m] == pytest.approx(least, abs=0.02)
        else:
            exact = [sure.confidence.exact_gain_bound(own, m, a) for a in range(len(own))]
            assert bounds[m] == pytest.approx(exact, abs=0.1)
            assert (bounds[m] <= np.array(exact) + 1e-6).all()


@pytest.mark.parametrize(
    "how",
    [
        {"rule": "utilitarian"}, {"rule": "leximin"}, {"rule": "nash"}, {"rule": "alpha=-1"}, {"rule": "aggregate"},
        {"rule": "aggregate", "alpha": -2.0}, {"rule": "aggregate", "alpha": 1.0, "beta": 0.5},
        {"rule": "leximin", "lottery": True}, {"rule": "nash", "lottery": True},
        {"rule": "utilitarian", "lottery": True},
    ],
)  # fmt: skip
def test_without_doubt_it_is_the_plain_choice(how):
    rewards, sure = _drawn(2, 0.0)
    plain = choose_candidates(rewards, HowToChoose(**how))
    found = choose_candidates(rewards, HowToChoose(**how, pessimistic=True, radius=0.0), sure)
    for table, one, other in zip(rewards, found, plain, strict=True):
        assert one.lottery == pytest.approx(other.lottery, abs=2e-3)
        zero = HowToChoose(**how, pessimistic=True).counted_from
        start = table.min(axis=1) if zero == "worst" else table.mean(axis=1)
        assert one.sure == pytest.approx(table @ one.lottery - start, abs=1e-5)


@pytest.mark.parametrize("rule", ["utilitarian", "leximin", "nash"])
def test_a_choice_is_best_in_the_worst_case(rule):
    """Worth of each candidate by a search over the product of sets, party by party."""
    _, sure = _drawn(5, 0.6)
    rewards = [sure.confidence.theta @ own.T for own in sure.features]
    found = choose_candidates(rewards, HowToChoose(rule, pessimistic=True, radius=0.6), sure)
    zero = "mean" if rule == "utilitarian" else "worst"
    for prompt, own in enumerate(found):
        least = np.empty(own.bounds.shape)
        for m in range(3):
            drawn = _on_the_set(sure.confidence, m, 20_000, seed=m) @ sure.features[prompt].T
            least[m] = (drawn - (drawn.mean if zero == "mean" else drawn.min)(axis=1, keepdims=True)).min(axis=0)
        worth = {"utilitarian": least.sum(axis=0), "leximin": least.min(axis=0), "nash": least.prod(axis=0)}[rule]
        assert worth[own.choice] >= worth.max() - 0.05 * max(abs(worth.max()), 0.1)
        assert own.sure == pytest.approx(own.bounds[:, own.choice])


@pytest.mark.parametrize("rule", ["utilitarian", "leximin", "nash"])
def test_no_lottery_on_a_grid_is_surer(rule):
    rewards, sure = _drawn(3, 0.5, M=2, sizes=(3, 3))
    found = choose_candidates(rewards, HowToChoose(rule, lottery=True, pessimistic=True, radius=0.5), sure)
    grid = [np.array(p) / 20 for p in itertools.product(range(21), repeat=3) if sum(p) == 20]
    for prompt, own in enumerate(found):
        features = sure.features[prompt]
        sets = [_on_the_set(sure.confidence, m, 3000) @ features.T for m in range(2)]
        best = -np.inf
        for p in grid:
            if rule == "utilitarian":
                best = max(best, np.mean([(r @ p - r.mean(axis=1)).min() for r in sets]))
            else:
                gains = [(r @ p - r.min(axis=1)).min() for r in sets]
                best = max(best, min(gains) if rule == "leximin" else np.sqrt(np.prod(gains)))
        mine = {"utilitarian": own.sure.mean(), "leximin": own.sure.min(), "nash": np.sqrt(own.sure.prod())}[rule]
        assert own.gap < 1e-3
        assert mine >= best - 0.02 * max(abs(best), 1.0)


def test_a_lottery_at_the_kink_is_certified():
    """Nothing is sure but the mean candidate itself, where the norm has no gradient: the dual program says so."""
    rewards, sure = _drawn(4, 50.0)
    how = HowToChoose("utilitarian", lottery=True, pessimistic=True, radius=50.0)
    for own in choose_candidates(rewards, how, sure):
        assert own.sure == pytest.approx(np.zeros(3), abs=1e-5)
        assert own.gap < 1e-4


def test_leximin_of_many_parties_has_a_lottery_and_its_gap():
    """Of 8 parties and 40 candidates: later levels leave next to no room, and the solver gives up at one of them."""
    rng = np.random.default_rng(0)
    theta, a, features = rng.normal(size=(8, 12)), rng.normal(size=(8, 60, 12)), rng.normal(size=(40, 12))
    confidence = PartyConfidence(theta, a.transpose(0, 2, 1) @ a, np.full(8, 1.645))
    rewards = [theta @ features.T]
    sure = sure_rewards([features], rewards, confidence)
    [own] = choose_candidates(rewards, HowToChoose("leximin", lottery=True, pessimistic=True), sure)
    assert own.lottery.sum() == pytest.approx(1.0)
    assert own.gap < 1e-3
    assert own.sure.min() >= own.bounds.min(axis=0).max() - 1e-6, "no candidate alone guarantees more"


def test_where_the_solver_gives_up_nobody_loses_what_was_shown_to_be_possible(monkeypatch):
    # The first party never gets much. Two others could share more if the third fell far below it.
    features = np.random.default_rng(4).uniform(size=(5, 4)) * [0.2, 1.0, 1.0, 1.0]
    confidence = PartyConfidence(np.eye(4), np.tile(np.eye(4), (4, 1, 1)), np.full(4, 1e-4))
    rewards = [features.T]
    how, sure = HowToChoose("leximin", lottery=True, pessimistic=True), sure_rewards([features], rewards, confidence)
    [whole] = choose_candidates(rewards, how, sure)
    made = pessimistic_welfare.level_program

    class GivesUp:
        def __init__(self, *shape, numbers):
            self.own, self.times = made(*shape, numbers=numbers), 0

        def solve(self, **numbers):
            self.times += 1
            return self.own.solve(**numbers) if self.times == 1 else {"lottery": None}

    monkeypatch.setattr(pessimistic_welfare, "level_program", GivesUp)
    [cut] = choose_candidates(rewards, how, sure)
    assert cut.sure.min() >= whole.sure.min() - 1e-4


def test_more_doubt_is_never_worth_more():
    worth = []
    for radius in (0.0, 0.3, 1.0, 3.0):
        rewards, sure = _drawn(6, radius)
        how = HowToChoose("leximin", lottery=True, pessimistic=True, radius=radius)
        worth.append([own.sure.min() for own in choose_candidates(rewards, how, sure)])
    assert (np.diff(worth, axis=0) <= 1e-5).all()


def test_a_party_that_nothing_is_sure_of_has_no_say():
    rewards, sure = _drawn(7, 0.5)
    sure.confidence.radius[1] = 1e6
    for lottery in (False, True):
        how = HowToChoose("leximin", lottery=lottery, pessimistic=True, radius=0.5)
        for prompt, own in enumerate(choose_candidates(rewards, how, sure)):
            assert own.sure[1] == 0
            [without] = choose_candidates(
                [rewards[prompt][[0, 2]]], how,
                sure_rewards(sure.features[prompt : prompt + 1], [rewards[prompt][[0, 2]]],
                             PartyConfidence(*(getattr(sure.confidence, name)[[0, 2]]
                                               for name in ("theta", "covariance", "radius")))),
            )  # fmt: skip
            assert own.lottery == pytest.approx(without.lottery, abs=1e-4)
    sure.confidence.radius[:] = 1e6
    [first, *_] = choose_candidates(rewards, HowToChoose("nash", lottery=True, pessimistic=True), sure)
    assert first.lottery == pytest.approx(np.full(6, 1 / 6))


@pytest.mark.parametrize("rule", ["nash", "leximin", "alpha=-10"])
def test_a_party_is_heard_where_a_lottery_is_sure_of_more_than_any_candidate(rule):
    """By hand: of features (1, 1), (1, -1), (0, 0) the second is known badly, so that each candidate may be no better
    than another; half of each of the first two has 0 of it, and a gain of 1 - .1 over the third."""
    features = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    theta, covariance = np.array([[1.0, 0.0], [0.0, 0.0]]), np.diag([100.0, 1 / 9])
    confidence = PartyConfidence(theta, np.stack([covariance] * 2), np.ones(2))
    rewards = [theta @ features.T]
    how = HowToChoose(rule, lottery=True, pessimistic=True, radius=1.0)
    [own] = choose_candidates(rewards, how, sure_rewards([features], rewards, confidence))
    assert not own.bounds.any()
    assert own.lottery == pytest.approx([0.5, 0.5, 0.0], abs=1e-4)
    assert own.sure == pytest.approx([0.9, 0.0], abs=1e-4)
    assert own.heard.tolist() == [True, False]
    assert own.gap < 1e-3
    [one] = choose_candidates(rewards, HowToChoose("leximin", pessimistic=True, radius=1.0),
                              sure_rewards([features], rewards, confidence))  # fmt: skip
    assert not one.heard.any(), "no candidate is"


@pytest.mark.parametrize("seed", range(6))
def test_who_is_heard_is_whose_own_program_gives_something(seed):
    _, sure = _drawn(seed, 3.0, M=6)
    sure.confidence.radius[:] = np.linspace(1.0, 6.0, 6)
    for prompt in range(3):
        heard, left = sure.heard(prompt, LEXIMIN, sure.bounds(prompt, "worst"))
        alone = [sure.lottery(prompt, LEXIMIN, np.arange(6) == m)[1][m] for m in range(6)]
        assert heard.tolist() == (np.array(alone) > 1e-5).tolist()
        assert (left[heard] == 0).all()


def test_nobody_is_heard_where_the_sets_hold_indifference():
    rewards, sure = _drawn(7, 1e6)
    for rule in ("nash", "utilitarian"):
        found = choose_candidates(rewards, HowToChoose(rule, lottery=True, pessimistic=True), sure)
        assert all(own.gap <= 1e-4 for own in found)
    still = PartyConfidence(np.zeros((3, 3)), sure.confidence.covariance, np.ones(3))
    [own, *_] = choose_candidates(rewards, HowToChoose("utilitarian", lottery=True, pessimistic=True),
                                  sure_rewards(sure.features, rewards, still))  # fmt: skip
    assert own.lottery == pytest.approx(np.full(6, 1 / 6))


@pytest.mark.parametrize("rule", ["nash", "utilitarian", "leximin", "alpha=-1"])
def test_large_programs_hold_their_numbers_and_say_the_same(rule, monkeypatch):
    rewards, sure = _drawn(8, 0.5)
    how = HowToChoose(rule, lottery=True, pessimistic=True, radius=0.5)
    small = choose_candidates(rewards, how, sure)
    monkeypatch.setattr(welfare_programs, "_MOST_PARAMETERS", 0)
    for one, other in zip(small, choose_candidates(rewards, how, sure), strict=True):
        assert one.sure == pytest.approx(other.sure, abs=1e-4)
        assert one.gap == pytest.approx(other.gap, abs=1e-4)


@pytest.mark.parametrize(("M", "A", "d"), [(50, 64, 16), (12, 6, 400)])
def test_a_large_prompt_fits_and_is_the_optimum_of_the_program_written_out(M, A, d):
    """By hand in cvxpy with numbers, of features as they are."""
    cp, rng = pytest.importorskip("cvxpy"), np.random.default_rng(0)
    theta, features = rng.normal(size=(M, d)), rng.normal(size=(A, d))
    confidence = PartyConfidence(theta, np.stack([10.0 * np.eye(d)] * M), np.ones(M))
    rewards = [theta @ features.T]
    how = HowToChoose("nash", lottery=True, pessimistic=True, radius=1.0)
    [own] = choose_candidates(rewards, how, sure_rewards([features], rewards, confidence))
    assert own.gap < 1e-4
    p, q, t = cp.Variable(A, nonneg=True), cp.Variable((M, A), nonneg=True), cp.Variable(M)
    z = np.ones((M, 1)) @ cp.reshape(p, (1, A), order="C") @ features - q @ features
    rules = [cp.sum(p) == 1, cp.sum(q, axis=1) == 1,
             t <= cp.sum(cp.multiply(theta, z), axis=1) - cp.norm(z, axis=1) / np.sqrt(10.0)]  # fmt: skip
    problem = cp.Problem(cp.Maximize(cp.sum(cp.log(t)) / M), rules)
    problem.solve(solver=cp.CLARABEL)
    assert np.log(own.sure).mean() == pytest.approx(problem.value, abs=1e-4)


def test_what_does_not_fit_and_what_the_solver_gives_up_are_refused_with_the_prompt(monkeypatch):
    rewards, sure = _drawn(0, 0.5)
    how = HowToChoose("nash", lottery=True, pessimistic=True, radius=0.5)
    monkeypatch.setattr(candidates, "_LARGEST", 40)
    with pytest.raises(InputError, match=r"prompt 1: 3 parties with 6 candidates of 3 features are a program of 5\.4e"):
        choose_candidates(rewards, how, sure)
    monkeypatch.undo()

    class GivesUp:
        def __init__(self, *shape, numbers):
            pass

        def solve(self, **numbers):
            return {"lottery": None}

    monkeypatch.setattr(pessimistic_welfare, "welfare_program", GivesUp)
    with pytest.raises(InputError, match=r"prompt 1: Clarabel found no lottery; are .* try another radius"):
        choose_candidates(rewards, how, sure)
    # Leximin's levels stand for the powers below 0.
    for own in choose_candidates(rewards, HowToChoose("alpha=-10", lottery=True, pessimistic=True, radius=0.5), sure):
        assert own.gap < 3 ** (1 / 10) - 1 + 1e-2


@pytest.mark.parametrize("alpha", [-3.0, -10.0, -50.0, -500.0, -1e308])
def test_strong_powers_guarantee_about_what_leximin_does(alpha):
    rewards, sure = _drawn(9, 0.4)
    how = {"lottery": True, "pessimistic": True, "radius": 0.4}
    lowest = choose_candidates(rewards, HowToChoose("leximin", **how), sure)
    rule = WelfareRule(alpha)
    for own, other in zip(choose_candidates(rewards, HowToChoose(f"alpha={alpha}", **how), sure), lowest, strict=True):
        assert own.gap < (1e-3 if alpha > -100 else 3 ** (-1 / alpha) - 1 + 1e-3)
        mine, theirs = (rule.equivalent(one.sure[:, None])[0] for one in (own, other))
        assert mine >= theirs * (1 - 1e-4)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"rule": "pool", "pessimistic": True}, "pessimistic: belongs to aggregate and welfare functions"),
        ({"rule": "von-neumann", "pessimistic": True}, "pessimistic: belongs to aggregate and welfare functions"),
        ({"rule": "nash", "pessimistic": True, "lottery": True, "zero": "mean"},
         "zero: sure lotteries of nash count from the worst candidate"),
        ({"rule": "utilitarian", "pessimistic": True, "lottery": True, "zero": "fit"}, "count from the mean candidate"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(how, message):
    with pytest.raises(InputError, match=message):
        HowToChoose(**how)
    for radius in (-1.0, np.nan):
        with pytest.raises(InputError, match="radius must be finite and not negative"):
            HowToChoose("nash", pessimistic=True, radius=radius)
    with pytest.raises(InputError, match=r"radius must lie in 0..1e\+06 \(got 1e\+308\)"):
        HowToChoose("nash", pessimistic=True, radius=1e308)
    with pytest.raises(ValueError, match="sure must be given"):
        choose_candidates([np.ones((2, 3))], HowToChoose("nash", pessimistic=True))
    rewards, sure = _drawn(0, 1.0)
    with pytest.raises(ValueError, match="sure has 3 rows and rewards 2"):
        sure_rewards(sure.features, [table[:2] for table in rewards], sure.confidence)


def test_a_rule_that_is_sure_of_nothing_says_so():
    features = np.array([[1.0], [-1.0]])
    confidence = PartyConfidence(np.array([[1.0], [-1.0]]), np.ones((2, 1, 1)), np.full(2, 0.1))
    rewards = [confidence.theta @ features.T]
    with pytest.raises(InputError, match="prompt 1: every candidate is no better for sure than some party's worst"):
        choose_candidates(rewards, HowToChoose("nash", pessimistic=True), sure_rewards([features], rewards, confidence))
