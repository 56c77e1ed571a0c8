"""What is the same for everybody: one reward on features, and popularity, chosen on whole people."""

import numpy as np
import pytest
from tastes import table_of_tastes

from sim.estimators.bradley_terry import fit_bradley_terry
from sim.fitting.common_rewards import advantages, choose_pooled, crossed_advantages, item_strengths
from sim.fitting.contexts import context_answers, known_contexts
from sim.fitting.low_rank_choice import folds_of
from sim.fitting.prepare import prepare
from sim.fitting.splits import effective_weights
from sim.streams import Stream


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_of_tastes(tmp_path_factory)


def test_the_pooled_reward_is_chosen_on_whole_people(table):
    prepared = known_contexts(prepare(table, Stream(0, cell="fit")))
    fold = folds_of(context_answers(prepared.answers(prepared.train)), Stream(2))
    chosen, scores = choose_pooled(prepared, fold), []
    for number in range(3):
        held = prepared.train & (fold[prepared.annotator] == number)
        kept = prepared.train & ~held
        weight = effective_weights(prepared.table, kept)[kept]
        theta = fit_bradley_terry(prepared.differences[kept], weight, ridge=chosen.ridge, mass_scaled=True).theta
        scores.append(-np.logaddexp(0, -prepared.differences[held] @ theta))
    assert chosen.held_out == pytest.approx(np.concatenate(scores).mean(), abs=1e-6)


def test_popularity_beside_training_answers_is_that_of_other_people(table):
    prepared = known_contexts(prepare(table, Stream(0, cell="fit")))
    fold = folds_of(context_answers(prepared.answers(prepared.train)), Stream(2))
    t = prepared.table
    crossed = crossed_advantages(prepared, 2.0, fold)
    own = fold[prepared.annotator]
    for number in range(3):
        others = item_strengths(t, prepared.train & (own != number), 2.0)
        mask = prepared.train & (own == number)
        assert np.array_equal(crossed[mask], advantages(t, others)[mask])
    rest = ~prepared.train
    assert np.array_equal(crossed[rest], advantages(t, item_strengths(t, prepared.train, 2.0))[rest])


def test_popularity_is_a_bradley_terry_fit_of_items(table):
    prepared = prepare(table, Stream(0, cell="fit"))
    t, rows = prepared.table, prepared.train
    one_hot = np.eye(len(t.items))[t.chosen[rows]] - np.eye(len(t.items))[t.rejected[rows]]
    expected = fit_bradley_terry(one_hot, effective_weights(t, rows)[rows], ridge=2.0).theta
    assert item_strengths(t, rows, 2.0) == pytest.approx(expected, abs=1e-3)
