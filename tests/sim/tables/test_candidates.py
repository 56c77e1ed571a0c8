"""Choices among candidates equal what each rule's own function says of a prompt's table alone."""

import json

import numpy as np
import pytest

import pluralign as pl
from pluralign.api.chosen import Choosing
from sim.errors import InputError
from sim.files.candidate_files import candidates_of
from sim.tables.candidate_certificates import certificate, lies
from sim.tables.candidates import CandidateChoice, HowToChoose, choose_candidates


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(4, size)) for size in (6, 3, 6, 9, 3, 6)]


@pytest.mark.parametrize("alpha", [-np.inf, -2.0, 0.0, 1.0, np.inf])
def test_aggregate(tables, alpha):
    found = choose_candidates(tables, HowToChoose("aggregate", alpha))
    for table, own in zip(tables, found, strict=True):
        counted = table - table.mean(axis=1, keepdims=True)
        if np.isinf(alpha):
            by_hand = counted.max(axis=0) if alpha > 0 else counted.min(axis=0)
        else:
            by_hand = np.log(np.exp(alpha * counted).mean(axis=0)) / alpha if alpha else counted.mean(axis=0)
        assert own.value == pytest.approx(by_hand)
        assert own.choice == by_hand.argmax()
        assert own.lottery.tolist() == np.eye(table.shape[1])[by_hand.argmax()].tolist()


def test_the_regularised_policy_is_best_by_search(tables):
    """E Agg - beta KL(p, uniform) at the closed form is no less than at any other lottery."""
    beta = 0.7
    [own] = choose_candidates(tables[:1], HowToChoose("aggregate", -1.0, beta=beta))
    p, value, n = own.lottery, own.value, len(own.lottery)

    def worth(q):
        return q @ value - beta * (q * np.log(q * n)).sum()

    others = np.random.default_rng(1).dirichlet(np.ones(n), 5000)
    near = np.abs(p + 1e-4 * np.random.default_rng(2).normal(size=(500, n)))
    near /= near.sum(axis=1, keepdims=True)
    assert worth(p) >= max(map(worth, [*others, *near]))
    assert worth(p) == pytest.approx(beta * np.log(np.exp(value / beta).mean()))


@pytest.mark.parametrize("alpha", [-np.inf, 0.0, 1.0])
def test_the_policy_keeps_close_to_the_reference(tables, alpha):
    """The maximum of E Agg - beta KL(p, reference) by a general solver; log-probabilities need not be normalised."""
    from scipy.optimize import minimize

    beta = 0.7
    logps = [3.0 * np.random.default_rng(size).normal(size=size) for size in (6, 3)]
    found = choose_candidates(tables[:2], HowToChoose("aggregate", alpha, beta=beta), None, logps)
    moved = choose_candidates(tables[:2], HowToChoose("aggregate", alpha, beta=beta), None, [own - 40 for own in logps])
    for own, other, start in zip(found, moved, logps, strict=True):
        reference = np.exp(start) / np.exp(start).sum()

        def loss(logits, value=own.value, reference=reference):
            q = np.exp(logits - logits.max())
            q /= q.sum()
            return -(q @ value - beta * (q * np.log(q / reference)).sum())

        solved = minimize(loss, np.zeros(len(start)), method="BFGS", options={"gtol": 1e-9})
        q = np.exp(solved.x - solved.x.max())
        assert own.lottery == pytest.approx(q / q.sum(), abs=1e-5)
        assert other.lottery == pytest.approx(own.lottery)
        assert -loss(np.log(own.lottery)) == pytest.approx(beta * np.log(reference @ np.exp(own.value / beta)))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_best_of_n_is_the_best_of_those_drawn(n):
    """The first n of more candidates: the choice is the enumerated argmax, and never worth less with more of them."""
    rewards = np.random.default_rng(4).normal(size=(40, 3, 8))
    how = HowToChoose("aggregate", -1.0, zero="fit")
    worth = []
    for size in (n, 8):
        found = choose_candidates([table[:, :size] for table in rewards], how)
        by_hand = np.array([[-np.log(np.exp(-table[:, a]).mean()) for a in range(size)] for table in rewards])
        assert [own.choice for own in found] == by_hand.argmax(axis=1).tolist()
        worth.append(by_hand.max(axis=1))
    assert (worth[1] >= worth[0]).all()


@pytest.mark.parametrize("rule", ["utilitarian", "nash", "leximin", "alpha=-1"])
@pytest.mark.parametrize("lottery", [False, True])
def test_welfare_functions(tables, rule, lottery):
    large = [table for table in tables if table.shape[1] > 4]
    found = choose_candidates(large, HowToChoose(rule, lottery=lottery))
    for table, own in zip(large, found, strict=True):
        alone = pl.welfare(table, rule, lottery=lottery, zero="worst")
        if lottery:
            assert own.lottery == pytest.approx(alone.lottery, abs=1e-6)
            assert own.gap < 1e-6
        else:
            assert own.choice == alone.lottery.argmax()


@pytest.mark.parametrize("alpha", [0.0, 1.0, -3.0])
def test_pools_and_what_they_cost(tables, alpha):
    found = choose_candidates(tables, HowToChoose("pool", alpha, lottery=True, mechanism=True))
    for table, own in zip(tables, found, strict=True):
        chances = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
        alone = pl.pool(chances, alpha, mechanism=True)
        assert own.lottery == pytest.approx(list(next(iter(alone.consensus.values())).values()))
        assert own.costs == pytest.approx(list(alone.costs.values()))
    sure = choose_candidates(tables, HowToChoose("pool", alpha))
    assert [own.choice for own in sure] == [own.choice for own in found]
    assert all(own.lottery.max() == 1.0 for own in sure)


def test_pools_of_rewards_far_apart():
    far = np.array([[0.0, 1000.0], [0.0, -1000.0]])
    [own] = choose_candidates([far], HowToChoose("pool", 0.0, lottery=True))
    assert own.lottery == pytest.approx([0.5, 0.5], abs=1e-6)


def test_a_von_neumann_winner_beats_all(tables):
    for table, own in zip(tables, choose_candidates(tables, HowToChoose("von-neumann")), strict=True):
        wins = (1 / (1 + np.exp(-(table[:, :, None] - table[:, None, :])))).mean(axis=0)
        assert (own.lottery @ wins >= 0.5 - 1e-8).all()
        assert own.gap < 1e-8


def test_zero_matters_where_it_should(tables):
    shifted = [table + np.arange(4)[:, None] for table in tables]
    for how in (HowToChoose("aggregate", -2.0), HowToChoose("leximin"), HowToChoose("pool", 0.5, lottery=True),
                HowToChoose("von-neumann")):  # fmt: skip
        one, other = choose_candidates(tables, how), choose_candidates(shifted, how)
        assert all(a.lottery == pytest.approx(b.lottery) for a, b in zip(one, other, strict=True))
    by_fit = HowToChoose("aggregate", -np.inf, zero="fit")
    one, other = choose_candidates(tables, by_fit), choose_candidates(shifted, by_fit)
    assert any(a.value != pytest.approx(b.value) for a, b in zip(one, other, strict=True))


def test_parties_without_a_preference_have_no_say():
    table = np.array([[0.0, 1.0, 3.0], [5.0, 5.0, 5.0], [1.0, 0.5, 0.0]])
    for lottery in (False, True):
        [own] = choose_candidates([table], HowToChoose("nash", lottery=lottery))
        [without] = choose_candidates([table[[0, 2]]], HowToChoose("nash", lottery=lottery))
        assert own.lottery == pytest.approx(without.lottery)
    [nobody] = choose_candidates([np.ones((2, 4))], HowToChoose("nash", lottery=True))
    assert nobody.lottery == pytest.approx(np.full(4, 0.25))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"rule": "median"}, "rule: unknown rule 'median'"),
        ({"rule": "nash", "alpha": 1.0}, "alpha: belongs to aggregate and pool"),
        ({"rule": "nash", "beta": 1.0}, "beta: belongs to rule aggregate"),
        ({"rule": "aggregate", "mechanism": True}, "mechanism: belongs to rule pool"),
        ({"rule": "pool", "alpha": np.inf, "mechanism": True}, "no distance has the min or the max rule"),
        ({"alpha": np.nan}, "alpha must be a number"),
        ({"beta": -1.0}, r"beta must be positive and finite \(got -1.0\); give nats"),
        ({"beta": np.nan}, "beta must be positive and finite"),
        ({"beta": 1e-320}, r"beta must lie in 1e-09..1e\+09"),
        ({"lottery": True}, "lottery: of aggregate it is the policy at some beta"),
        ({"zero": "best"}, "zero: expected mean, worst or fit"),
    ],
)
def test_what_does_not_go_together(how, message):
    with pytest.raises(InputError, match=message):
        HowToChoose(**how)


def test_costs_beyond_any_sense_name_the_prompt(tables):
    far = np.array([[0.0, 20.0], [20.0, 0.0]])
    with pytest.raises(InputError, match=r"prompt 2: alpha must lie nearer to 0 and 1 .* leave out the mechanism"):
        choose_candidates([0.01 * tables[0], far], HowToChoose("pool", 200.0, mechanism=True))


def test_an_alpha_next_to_zero_is_zero(tables):
    for alpha in (1e-320, 1e-12, -1e-199):
        how = HowToChoose("pool", alpha, lottery=True, mechanism=True)
        zero = HowToChoose("pool", 0.0, lottery=True, mechanism=True)
        for own, other in zip(choose_candidates(tables, how), choose_candidates(tables, zero), strict=True):
            assert own.lottery == pytest.approx(other.lottery, abs=1e-9)
            assert own.costs == pytest.approx(other.costs, abs=1e-9)
        assert lies(tables, how).at_most.max() < 1e-8


@pytest.mark.parametrize("beta", [1e-9, 1e-8, 1e9])
@pytest.mark.parametrize("rule", ["max-min", "aggregate"])
def test_lotteries_of_any_beta_are_certified(tables, rule, beta):
    how = HowToChoose(rule, beta=beta)
    for table, own in zip(tables, choose_candidates(tables, how), strict=True):
        assert own.lottery.sum() == pytest.approx(1.0, abs=1e-15)
        assert np.isfinite(certificate(table, own, how).smallest_share)


def test_a_gap_beyond_any_number_and_who_has_no_say_are_told():
    asked = candidates_of([{"prompt": "p", "responses": ["a", "b"]}, {"prompt": "q", "responses": ["a", "b"]}])
    half, table = np.full(2, 0.5), np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.0]])
    choices = [CandidateChoice(half, None, np.inf, None, table, np.zeros(3), np.array(heard))
               for heard in ([True, False, True], [False, False, False])]  # fmt: skip
    how = HowToChoose("alpha=-5", lottery=True, pessimistic=True)
    found = Choosing(asked, how, ("ann", "bob", "eve"), [table] * 2, choices)
    assert "gap inf" in str(found)
    assert "1 prompts where nobody is sure to prefer anything" in str(found)
    assert "sure of nothing where others are: bob on 1 (of 2 prompts)" in str(found)
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [row["gap"] for row in told["choices"]] == ["inf", "inf"]
    assert [row["unheard"] for row in told["choices"]] == [["bob"], ["ann", "bob", "eve"]]


def test_a_rule_that_cannot_choose_names_the_prompt(tables):
    opposed = np.array([[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(InputError, match="prompt 2: every candidate is some party's worst, and nash"):
        choose_candidates([tables[0], opposed], HowToChoose("nash"))
    with pytest.raises(InputError, match="prompt 1: nash needs rewards of at least 0"):
        choose_candidates([tables[0]], HowToChoose("nash", zero="fit"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "p"}, "row 1, field 'responses': expected a list of two responses or more, got nothing"),
        ({"prompt": "p", "responses": ["a"]}, "expected a list of two responses or more, got 1"),
        ({"prompt": "p", "responses": ["a", ""]}, "expected a text or a list of messages"),
        ({"prompt": "p", "responses": ["a", 3]}, "expected a text or a list of messages"),
        ({"prompt": 3, "responses": ["a", "b"]}, "field 'prompt': expected a text or a list of messages"),
        ({"prompt": "p", "responses": "[a"}, "is no list of responses"),
        ({"prompt": "p", "responses": ["a", "b"], "ref_logps": [-1.0]}, "expected 2 numbers, one a response, got 1"),
        ({"prompt": "p", "responses": ["a", "b"], "ref_logps": "[a"}, "field 'ref_logps': is no list of numbers"),
        ({"prompt": "p", "responses": ["a", "b"], "ref_logps": [-1.0, -np.inf]}, "expected finite log-probabilities"),
    ],
)
def test_bad_rows(row, message):
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        candidates_of([row])
    with pytest.raises(InputError, match="holds no candidates"):
        candidates_of([])


def test_reference_probabilities_of_all_rows_or_none():
    row = {"prompt": "p", "responses": ["a", "b"]}
    found = candidates_of([{**row, "ref_logps": [-1, -2.5]}, {**row, "ref_logps": "[0, -1]"}])
    assert [own.tolist() for own in found.ref_logps] == [[-1.0, -2.5], [0.0, -1.0]]
    assert candidates_of([row]).ref_logps is None
    for rows, said in (([{**row, "ref_logps": [0, 0]}, row], "row 2, field 'ref_logps': has none"),
                       ([row, {**row, "ref_logps": [0, 0]}], "row 2, field 'ref_logps': has some")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            candidates_of(rows)


def test_messages_and_lists_in_csv():
    ask = [{"role": "user", "content": "Tea?"}]
    found = candidates_of([{"prompt": ask, "responses": ["Yes.", [{"role": "assistant", "content": "No."}]]},
                           {"responses": '["a", "b"]'}])  # fmt: skip
    assert found.prompts == (ask, "")
    assert found.responses == (("Yes.", [{"role": "assistant", "content": "No."}]), ("a", "b"))


def test_max_min_is_one_game_for_all_prompts(tables):
    """By search: no small move of the policies raises the worst party's regularised mean."""
    beta = 0.4
    found = choose_candidates(tables, HowToChoose("max-min", beta=beta))
    counted = [table - table.mean(axis=1, keepdims=True) for table in tables]

    def worth(policies):
        means = np.mean([table @ p for table, p in zip(counted, policies, strict=True)], axis=0)
        kl = np.mean([(p * np.log(p * len(p))).sum() for p in policies])
        return means.min() - beta * kl

    policies = [own.lottery for own in found]
    best, rng = worth(policies), np.random.default_rng(1)
    for _ in range(300):
        moved = [p * np.exp(0.05 * rng.normal(size=len(p))) for p in policies]
        assert worth([p / p.sum() for p in moved]) <= best + 1e-5
    assert all(own.gap <= 1e-6 for own in found)
    for keys, words in [({"rule": "max-min"}, "beta: max-min is the policy"),
                        ({"rule": "nash", "beta": 0.1}, "belongs to rule aggregate and max-min")]:  # fmt: skip
        with pytest.raises(InputError, match=words):
            HowToChoose(**keys)
