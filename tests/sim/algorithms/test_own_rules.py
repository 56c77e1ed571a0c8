"""Rules by name and of one's own: what they return wrongly is said in one line."""

import numpy as np
import pytest

from sim.algorithms.axioms import axiom_table
from sim.algorithms.rules import as_rule, find_rule
from sim.errors import InputError
from sim.streams import Stream


def test_ours_by_name():
    rewards = Stream(1).normals((5, 3))
    assert find_rule("median").value(rewards) == pytest.approx(np.median(rewards, axis=1))
    assert find_rule("Agg[0]").value(rewards) == pytest.approx(rewards.mean(axis=1))
    assert find_rule("leximin").sign(rewards, rewards).tolist() == [0.0] * 5


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda r: np.median(r, axis=0), r"must return one number a row of rewards .*got \(4,\); reduce over axis 1"),
        (lambda r: float(r.mean()), r"shape \(50,\), got \(\)"),
        (lambda r: r.mean(axis=1) * np.nan, "returned nan for row 1"),
        (lambda r: ["x"] * len(r), "must return numbers, got <U1"),
        (lambda r: r.no_such, r"raised AttributeError \(test_own_rules.py, line \d+\)"),
        (3, "expected a function, got int"),
    ],
)
def test_what_it_does_wrong_is_one_line(rule, message):
    with pytest.raises(InputError, match=message) as error:
        axiom_table([as_rule(rule, "mine")], Stream(1, "axioms"), trials=50)
    assert str(error.value).startswith("rule 'mine'")
    assert "\n" not in str(error.value)


class Ordered:
    name = "mine"

    def __init__(self, shape=True):
        self.shape = shape

    def sign(self, first, second):
        gap = first.min(axis=1) - second.min(axis=1)
        return 3.0 * gap if self.shape else gap[:-1]


def test_an_ordering_of_ones_own():
    found = {own.axiom: own.score for own in axiom_table([as_rule(Ordered())], Stream(1, "axioms"), trials=200)}
    assert found["symmetry"] == 1.0
    with pytest.raises(InputError, match="rule 'mine': must return one number a row"):
        axiom_table([as_rule(Ordered(shape=False))], Stream(1, "axioms"), trials=50)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("medan", "rule: there is none called 'medan'; choose one of"),
        ("Agg[x]", "rule 'Agg\\[x\\]': could not convert"),
        ("json:none", "module json has no none"),
        ("json:__name__", "expected a function, got str"),
    ],
)
def test_what_is_no_rule_is_said(name, message):
    with pytest.raises(InputError, match=message):
        find_rule(name)
