"""Weighted pairs of a choice: DPO on them ends at the policies that the choice itself gives."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.algorithms.pop_dpo import pop_dpo_optimum
from sim.errors import InputError
from sim.streams import Stream
from sim.tables.candidates import HowToChoose, choose_candidates
from sim.tables.distilled import distilled_pairs

STREAM, BETA = Stream(0, "distil"), 0.4


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(3, size)) for size in (4, 2, 5, 2)]


def _of(tables, how, kind, **options):
    return distilled_pairs(tables, choose_candidates(tables, how), how, kind, STREAM, **options)


def _dpo_optimum(found, prompt, n, beta, reference):
    """pi over a prompt's candidates that DPO's weighted loss is least at, by a general solver."""
    own = found.prompt == prompt
    chosen, rejected, weight = found.chosen[own], found.rejected[own], found.weight[own]

    def loss(h):
        return (weight * np.logaddexp(0, -beta * (h[chosen] - h[rejected]))).sum() + 1e-9 * (h @ h)

    h = minimize(loss, np.zeros(n), method="BFGS", options={"gtol": 1e-10}).x
    policy = reference * np.exp(h - h.max())
    return policy / policy.sum()


@pytest.mark.parametrize(
    "how",
    [*(HowToChoose("aggregate", alpha, beta=BETA) for alpha in (-2.0, 0.0, 1.0)), HowToChoose("max-min", beta=BETA)],
)
def test_weighted_pairs_lead_to_the_closed_form(tables, how):
    logps = [np.random.default_rng(9).normal(size=table.shape[1]) for table in tables]
    choices = choose_candidates(tables, how, None, logps)
    found = distilled_pairs(tables, choices, how, "weighted", STREAM)
    for prompt, own in enumerate(choices):
        policy = _dpo_optimum(found, prompt, len(own.lottery), BETA, np.exp(logps[prompt]))
        assert policy == pytest.approx(own.lottery, abs=2e-4)


def _pool(table, alpha):
    """(A,) of Luce's chances over all candidates: the power mean written out, each party's weight alike."""
    chances = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
    mean = np.prod(chances, axis=0) ** (1 / len(table)) if alpha == 0 else (chances**alpha).mean(axis=0) ** (1 / alpha)
    return mean / mean.sum()


@pytest.mark.parametrize("alpha", [-2.0, -1.0, 0.0, 0.5, 1.0])
def test_pop_dpo_pairs_lead_to_its_optimum(tables, alpha):
    """pi_ref q^(1 / beta), q the pool of the parties' chances: of two candidates, and of four and five."""
    how = HowToChoose("pool", alpha, lottery=True)
    choices, found = choose_candidates(tables, how), _of(tables, how, "pop-dpo")
    for prompt, table in enumerate(tables):
        own, n = found.prompt == prompt, table.shape[1]
        assert found.weight[own].sum() == pytest.approx(n * (n - 1) / 2)
        reference = np.random.default_rng(prompt).dirichlet(np.ones(n))
        policy, q = _dpo_optimum(found, prompt, n, BETA, reference), _pool(table, alpha)
        wanted = reference * q ** (1 / BETA)
        assert policy == pytest.approx(wanted / wanted.sum(), abs=2e-4)
        assert policy == pytest.approx(pop_dpo_optimum(reference, choices[prompt].lottery, BETA), abs=2e-4)


def test_pop_dpo_puts_first_what_the_pool_puts_first():
    """Of the linear pool of two parties, pairs pooled one by one put another response first in a fifth of tables."""
    tables = list(np.random.default_rng(5).normal(scale=2.0, size=(40, 2, 4)))
    how = HowToChoose("pool", 1.0)
    found = _of(tables, how, "pop-dpo")
    for prompt, table in enumerate(tables):
        policy = _dpo_optimum(found, prompt, 4, 1.0, np.full(4, 0.25))
        assert policy.argmax() == _pool(table, 1.0).argmax() == choose_candidates([table], how)[0].choice


@pytest.mark.parametrize("rule", ["aggregate", "nash", "pool"])
def test_aggregated_labels_are_of_the_larger_value(tables, rule):
    large = [table for table in tables if table.shape[1] > 3]
    how = HowToChoose(rule)
    choices, found = choose_candidates(large, how), _of(large, how, "aggregated")
    told = set(zip(found.prompt.tolist(), found.chosen.tolist(), found.rejected.tolist(), strict=True))
    by_hand = {
        (p, a, b) for p, own in enumerate(choices) for a in range(len(own.value)) for b in range(len(own.value))
        if own.value[a] > own.value[b]
    }  # fmt: skip
    assert told == by_hand
    assert set(found.weight) == {1.0}


@pytest.mark.parametrize("rule", ["leximin", "alpha=0.001"])
def test_labels_go_on_where_values_are_equal(rule):
    """Of twelve parties' candidates every one is somebody's worst: all minima are 0, and all means of small powers."""
    table = np.random.default_rng(7).normal(size=(12, 4))
    how = HowToChoose(rule)
    (choice,), found = choose_candidates([table], how), _of([table], how, "aggregated")
    gains = table - table.min(axis=1, keepdims=True)
    assert (gains.min(axis=0) == 0).all()

    def better(a, b):
        if rule == "leximin":
            return sorted(gains[:, a]) > sorted(gains[:, b])
        # (1 / M) sum u^alpha, above an alpha of which 1e-3 is none: the number of parties above zero first.
        return (gains[:, a] ** 0.001).sum() > (gains[:, b] ** 0.001).sum()

    by_hand = {(a, b) for a in range(4) for b in range(4) if better(a, b)}
    assert set(zip(found.chosen.tolist(), found.rejected.tolist(), strict=True)) == by_hand
    assert len(by_hand) == 6
    assert all((choice.choice, b) in by_hand for b in range(4) if b != choice.choice)


def test_some_pairs_are_drawn_and_the_same_ones_again():
    tables = [np.random.default_rng(1).normal(size=(2, 30)) for _ in range(3)]
    first, again = (_of(tables, HowToChoose("aggregate"), "aggregated", pairs=7) for _ in range(2))
    assert np.bincount(first.prompt).tolist() == [7, 7, 7]
    pairs = {frozenset(two) for two in zip(first.chosen[:7].tolist(), first.rejected[:7].tolist(), strict=True)}
    assert len(pairs) == 7
    assert np.array_equal(first.chosen, again.chosen)
    other = distilled_pairs(tables, choose_candidates(tables, HowToChoose("aggregate")), HowToChoose("aggregate"),
                            "aggregated", Stream(1, "distil"), pairs=7)  # fmt: skip
    assert not np.array_equal(first.chosen, other.chosen)


def test_pairs_that_say_nothing_are_left_out():
    tables = [np.array([[0.0, 0.0, 40.0]])]
    assert len(_of(tables, HowToChoose("aggregate"), "aggregated").weight) == 2
    weighted = _of(tables, HowToChoose("aggregate"), "weighted")
    # The equal two in both orders, and each of them below the third alone.
    assert sorted(weighted.weight) == pytest.approx([0.5, 0.5, 1.0, 1.0])


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        (HowToChoose("nash"), "weighted", "distil: weighted belongs to rule aggregate"),
        (HowToChoose("aggregate"), "pop-dpo", "distil: pop-dpo belongs to rule pool"),
        (HowToChoose("nash", lottery=True), "aggregated", "distil: lotteries of nash value no candidate alone"),
        (HowToChoose("von-neumann"), "aggregated", "distil: lotteries of von-neumann value no candidate alone"),
        (HowToChoose("aggregate"), "half", "distil: there is nothing called 'half'; give one of pop-dpo, aggregated"),
    ],
)
def test_labels_that_a_rule_has_not(tables, how, kind, message):
    with pytest.raises(InputError, match=message):
        _of(tables[:1], how, kind)
    with pytest.raises(ValueError, match="pairs"):
        _of(tables, HowToChoose("aggregate"), "aggregated", pairs=0)
