"""Limits over annotators: Student's where they are few, and each answer as often as its weight says."""

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("torch")

from llm.data.answer_sets import AnswerSet
from llm.runs.margins import difference, infer_groups, margins_of, summarise
from sim.estimators.bootstrap import FEW
from sim.preferences import PreferencePairs
from sim.streams import Stream


@pytest.mark.parametrize("n_annotators", [3, 5, 10])
def test_limits_of_few_annotators_hold(n_annotators):
    """Accuracies of people are Beta(7, 3); percentile limits held .83, .86 and .915 of the time."""
    draw, inside = np.random.default_rng(0), 0
    who = np.repeat(np.arange(n_annotators), 10)
    for _ in range(400):
        margin = np.where(draw.random((n_annotators, 10)) < draw.beta(7, 3, n_annotators)[:, None], 1.0, -1.0).ravel()
        found = summarise(margin, who, Stream(0)).accuracy_interval
        inside += found is None or found[0] <= 0.7 <= found[1]
    assert inside >= 0.93 * 400


def test_limits_of_few_are_students_of_their_means():
    """As many answers each: the mean is one of means."""
    margin = np.random.default_rng(1).normal(size=(6, 4))
    low, high = stats.ttest_1samp(margin.mean(axis=1), 0.0).confidence_interval(0.95)
    assert summarise(margin.ravel(), np.repeat(np.arange(6), 4), Stream(0)).margin_interval == pytest.approx(
        (low, high)
    )


def test_a_few_who_are_all_the_same_say_nothing_of_others():
    who, margin = np.repeat(np.arange(4), 5), np.tile([1.0, 1.0, -1.0, -1.0, -1.0], 4)
    row = summarise(margin, who, Stream(0))
    assert (row.accuracy, row.margin_interval) == (0.4, None)
    # What four people of two kinds may have: no accuracy outside 0 to 1 is told.
    low, high = row.accuracy_interval
    assert 0 < low < 0.1
    assert 0.8 < high < 1
    mixed = summarise(np.repeat([1.0, 1.0, 1.0, -1.0], 5), who, Stream(0))
    assert mixed.accuracy_interval[1] == 1.0, "no accuracy is above one"


@pytest.mark.parametrize("n_annotators", [5, FEW + 5])
def test_weight_two_is_the_answer_twice(n_annotators):
    draw = np.random.default_rng(2)
    margin, other = draw.normal(size=(2, 6 * n_annotators))
    who, weights = np.repeat(np.arange(n_annotators), 6), draw.integers(1, 4, 6 * n_annotators)
    often = np.repeat(np.arange(len(margin)), weights)
    counted = summarise(margin, who, Stream(3), weights.astype(float))
    rows = summarise(margin[often], who[often], Stream(3))
    gap = difference(margin, other, who, Stream(3), weights.astype(float))
    of_rows = difference(margin[often], other[often], who[often], Stream(3))
    for name in ("accuracy", "accuracy_interval", "margin", "margin_interval"):
        assert getattr(counted, name) == pytest.approx(getattr(rows, name))
    assert (gap.accuracy, gap.accuracy_interval) == (
        pytest.approx(of_rows.accuracy), pytest.approx(of_rows.accuracy_interval),
    )  # fmt: skip
    even = summarise(margin, who, Stream(3), np.full(len(margin), 0.1))
    plain = summarise(margin, who, Stream(3))
    assert (even.accuracy, even.margin) == (plain.accuracy, plain.margin), "equal weights round nothing"


def test_groups_are_inferred_from_answers_as_they_count():
    class Table:
        def __init__(self, *reward):
            self.reward = np.array(reward)

        def implicit_reward(self, contexts, responses):
            return self.reward[responses]

    # Six of ten answers say the other thing, and count for little.
    n, odd = 40, np.arange(40) % 10 < 6
    chosen = np.where(odd, 1, 0)
    annotator, weights = np.repeat([0, 1], n // 2), np.where(odd, 1e-3, 1.0)
    chosen = np.where(annotator == 0, chosen, 1 - chosen)
    pairs = PreferencePairs(np.arange(n), chosen, 1 - chosen, annotator, 2, weights=weights)
    answers = AnswerSet(pairs, ("x", "y"), ("", ""))
    group, _ = infer_groups([Table(1.0, 0.0), Table(0.0, 1.0)], np.array([0.5, 0.5]), answers, Stream(2))
    assert group.tolist() == [0, 1]


def test_an_answer_that_stands_twice_is_used_to_find_the_group_or_to_judge_never_both():
    """Policies that know nothing were right 54 times in 100 about answers that the file held three times."""

    class Noise:
        def __init__(self, reward):
            self.reward = reward

        def implicit_reward(self, contexts, responses):
            return self.reward[contexts, responses]

    rng, people, asked = np.random.default_rng(3), 400, 4
    who = np.repeat(np.arange(people), 3 * asked)
    question = np.repeat(np.arange(people * asked), 3)
    chosen = np.repeat(rng.integers(0, 2, people * asked), 3)
    pairs = PreferencePairs(question, chosen, 1 - chosen, who, people)
    answers = AnswerSet(pairs, tuple(map(str, range(people))), ("",) * people)
    policies = [Noise(rng.normal(size=(people * asked, 2))) for _ in range(2)]
    group, used = infer_groups(policies, np.array([0.5, 0.5]), answers, Stream(2))
    assert (used.reshape(-1, 3) == used[::3, None]).all()
    margin = np.stack([margins_of(policy, answers) for policy in policies])[group[who], np.arange(len(who))]
    # Half of 1600 questions: three errors of a mean of coins are .053.
    assert abs((margin[used] > 0).mean() - 0.5) < 0.053
    reversed_ = np.where(np.arange(len(who)) % 3 == 1, 1 - chosen, chosen)
    both_ways = AnswerSet(
        PreferencePairs(question, reversed_, 1 - reversed_, who, people), answers.annotators, answers.group
    )
    assert (both_ways.questions == answers.questions).all(), "whatever was said"
