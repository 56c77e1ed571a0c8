"""Axioms as objects: the specification's table, witnesses that break what they say, and a rule of one's own."""

import numpy as np
import pytest

from sim.algorithms.axioms import AXIOMS, Lexicographic, Welfare, aggregation_rule, axiom_table, known_rules
from sim.streams import Stream

# rows: alpha; columns: monotonicity, symmetry, continuity, unconcerned, translation, Pigou-Dalton strict and weak
TABLE = {
    -2.0: (1, 1, 1, 1, 1, 1, 1),
    -1.0: (1, 1, 1, 1, 1, 1, 1),
    0.0: (1, 1, 1, 1, 1, 0, 1),
    1.0: (1, 1, 1, 1, 1, 0, 0),
    2.0: (1, 1, 1, 1, 1, 0, 0),
}
FIRST_SEVEN = list(AXIOMS)[:7]


@pytest.mark.parametrize("alpha", TABLE)
def test_table_of_the_family(alpha):
    rule = aggregation_rule(alpha)
    scores = tuple(AXIOMS[key].check(rule, Stream(1, key)).score for key in FIRST_SEVEN)
    assert scores == TABLE[alpha]


def test_limits_and_others():
    scores = {(r.rule, r.axiom): r for r in axiom_table(known_rules(), Stream(1))}
    assert scores["Agg[-inf]", "monotonicity"].score < 0.5
    assert scores["Agg[inf]", "monotonicity"].score < 0.5
    assert scores["Agg[-inf]", "unconcerned-agents"].score < 1
    assert scores["leximin", "continuity"].score < 1
    assert scores["lexicographic", "continuity"].score < 1
    assert scores["lexicographic", "symmetry"].score < 0.1
    assert scores["weighted mean", "symmetry"].score < 0.1
    assert scores["sum of cubes", "translation"].score < 1
    assert scores["median", "monotonicity"].score < 1


def test_printed_axioms_fail_where_the_corrected_hold():
    for alpha in (-1.0, 1.0):
        assert 0.6 < AXIOMS["translation (printed: vector)"].check(aggregation_rule(alpha), Stream(2)).score < 0.95
        assert AXIOMS["translation"].check(aggregation_rule(alpha), Stream(2)).score == 1.0
    assert AXIOMS["translation (printed: vector)"].check(aggregation_rule(0.0), Stream(2)).score == 1.0
    assert AXIOMS["pigou-dalton (printed)"].check(aggregation_rule(-1.0), Stream(2)).score < 0.7


def test_a_witness_breaks_the_axiom():
    def value(r):
        return np.exp(np.array(r)).sum()

    found = AXIOMS["pigou-dalton"].check(aggregation_rule(1.0), Stream(3)).witness
    before, after = np.array(found["before"]), np.array(found["after"])
    assert before.sum() == pytest.approx(after.sum())
    moved = np.flatnonzero(before != after)
    assert np.ptp(after[moved]) < np.ptp(before[moved])
    assert value(after) < value(before)
    found = AXIOMS["scale"].check(aggregation_rule(-1.0), Stream(3)).witness
    first, second = np.array(found["first"]), np.array(found["second"])
    ratio = np.array(found["first_scaled"]) / first
    assert ratio == pytest.approx(np.full(4, ratio[0]))

    def order(a, b):
        return np.sign(np.exp(-b).sum() - np.exp(-a).sum())

    assert order(first, second) != order(np.array(found["first_scaled"]), np.array(found["second_scaled"]))


def test_a_rule_of_ones_own():
    nash = Welfare("log sum", lambda r: np.log(r).sum(axis=1))
    assert AXIOMS["scale"].check(nash, Stream(1), positive=True).score == 1.0
    assert AXIOMS["pigou-dalton"].check(nash, Stream(1), positive=True).score == 1.0
    jumping = Welfare("floor", lambda r: np.floor(r.sum(axis=1)))
    assert AXIOMS["continuity"].check(jumping, Stream(1)).score < 1
    with pytest.raises(ValueError, match="one number a row"):
        AXIOMS["symmetry"].check(Welfare("wrong", lambda r: r), Stream(1))


def test_lexicographic_orders():
    a, b = np.array([[0.0, 5.0, 1.0]]), np.array([[0.0, 4.0, 9.0]])
    assert Lexicographic().sign(a, b)[0] == 1
    assert Lexicographic(ascending=True).sign(a, b)[0] == -1
    assert Lexicographic().sign(a, a)[0] == 0
