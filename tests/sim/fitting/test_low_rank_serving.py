"""Serving with fear: confidence sets of weighted answers, policies, training without a region."""

from dataclasses import replace

import numpy as np
import pytest
from tastes import drawn_context_answers, table_of_tastes

from sim.algorithms.reduced_pessimism import mean_value, reduced_policy
from sim.errors import InputError
from sim.estimators.reduced_confidence import reduced_confidence
from sim.estimators.reduced_subspace import reduced_subspace
from sim.fitting.contexts import ContextAnswers, context_answers, fit_full, fit_of_rank, information, known_contexts
from sim.fitting.diagnostics.pessimism import pessimism_test
from sim.fitting.diagnostics.serving import candidate_sets, judged, region_of, weighted_confidence
from sim.fitting.low_rank_choice import RANKS, choose_low_rank, folds_of
from sim.fitting.prepare import prepare
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings
from sim.streams import Stream


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_of_tastes(tmp_path_factory)


@pytest.fixture(scope="module")
def report(table):
    return fit(table, FitSettings("low-rank", shift="indicator"))


@pytest.fixture(scope="module")
def answers():
    return drawn_context_answers()


def test_the_confidence_set_is_the_reduced_one(answers):
    """By sums over people against answer by answer; with weights of one the set of `reduced_confidence`."""
    theta = fit_full(answers, 0.02)
    x, z = answers.contexts[answers.annotator], answers.differences
    psi = (x[:, :, None] * z[:, None, :]).reshape(len(z), -1)
    slope = 1 / (1 + np.exp(-psi @ theta.ravel()))
    brute = (psi * (answers.weights * slope * (1 - slope))[:, None]).T @ psi / answers.weights.sum()
    assert information(answers, theta) == pytest.approx(brute, abs=1e-12)
    even = replace(answers, weights=np.ones(len(z)))
    low = fit_of_rank(even, 2, 0.02, fit_full(even, 0.02), 1e-15)
    ours = weighted_confidence(even, low.theta, 2, 0.02)
    theirs = reduced_confidence(reduced_subspace(low.theta, 2), x, z, delta=0.1, ridge=0.02, dimension=ours.freedom)
    assert ours.ellipsoid.covariance == pytest.approx(theirs.covariance, abs=1e-5)
    assert ours.ellipsoid.estimate == pytest.approx(theirs.estimate, abs=1e-3)
    assert ours.ellipsoid.radius == pytest.approx(ours.effect * theirs.radius)
    reduced = ours.subspace.features(x, z)
    wrong = 1 / (1 + np.exp(even.margins(low.theta)))
    scores = np.array([(reduced * wrong[:, None])[answers.annotator == i].sum(axis=0) for i in range(25)])
    spread = np.trace(np.linalg.solve(ours.ellipsoid.covariance, np.cov(scores.T, bias=True) * 25 / len(z)))
    assert ours.effect == pytest.approx(spread / ours.freedom, rel=1e-9)
    # Degrees of freedom: all of them without a ridge, none under a heavy one.
    assert weighted_confidence(even, low.theta, 2, 1e-9).freedom == pytest.approx(12.0, abs=1e-3)
    assert weighted_confidence(even, low.theta, 2, 1e6).freedom == pytest.approx(0.0, abs=1e-2)


@pytest.mark.parametrize("constant", [0.25, 3.0])
def test_policies_are_those_of_reduced_pessimism(table, constant):
    prepared = known_contexts(prepare(table, Stream(0, cell="fit")))
    own = context_answers(prepared.answers(prepared.train))
    theta = fit_full(own, 0.1)
    confidence = weighted_confidence(own, theta, 2, 0.1)
    inside = region_of(prepared.table, "indicator")
    sets = candidate_sets(prepared, prepared.test | prepared.unseen, inside, Stream(1))
    psi = confidence.subspace.features(
        prepared.known.contexts[sets.annotator][:, None, :], prepared.features[sets.item]
    )
    ellipsoid = replace(confidence.ellipsoid, radius=confidence.ellipsoid.radius * constant**2)
    seen = judged(confidence, prepared.known.contexts, prepared.features, sets)
    assert np.array_equal(seen.policy("greedy"), reduced_policy(psi, ellipsoid, "greedy").policy)
    assert np.array_equal(seen.policy("pointwise", constant), reduced_policy(psi, ellipsoid, "pointwise").policy)
    assert constant < 1 or not np.array_equal(seen.policy("pointwise", constant), seen.policy("greedy"))
    ours, theirs = seen.policy("distributional", constant), reduced_policy(psi, ellipsoid, "distributional")
    assert mean_value(ours, psi, ellipsoid) == pytest.approx(theirs.value, abs=2e-3)
    assert mean_value(ours, psi, ellipsoid) >= mean_value(seen.policy("pointwise", constant), psi, ellipsoid)


def test_no_answer_about_the_region_is_learnt_from(report):
    """Turning every training answer about the region round changes the control and nothing that was trained without."""
    prepared = report.prepared
    inside = region_of(prepared.table, "indicator")
    about = prepared.train & (inside[prepared.table.chosen] | inside[prepared.table.rejected])
    assert about.sum() > 500
    t = prepared.table
    turned = replace(
        prepared,
        table=replace(t, chosen=np.where(about, t.rejected, t.chosen), rejected=np.where(about, t.chosen, t.rejected)),
        differences=np.where(about[:, None], -prepared.differences, prepared.differences),
    )
    served = []
    for own in (prepared, turned):
        answers = context_answers(own.answers(own.train))
        choice = choose_low_rank(answers, folds_of(answers, Stream(2)), RANKS, None, lambda _: None)
        served.append(pessimism_test(own, choice, RANKS, None, "indicator", Stream(3), lambda _: None).as_json())
    one, other = served
    assert one["with_shift"] == other["with_shift"]
    assert one["without_shift"]["policies"] != other["without_shift"]["policies"]
    rows = {(row["policy"], row["constant"]): row for row in one["with_shift"]["policies"]}
    # Forty answers about sixty items leave nobody known with three held-out ones about each of six.
    assert rows["random", None]["known_users"] is None
    assert rows["random", None]["unseen_users"]["share_inside"] == pytest.approx(0.5)
    # Pessimism keeps away from what nobody answered about, the more so the larger its constant.
    shares = [rows["PRS distributional", c]["unseen_users"]["share_inside"] for c in (0.25, 0.5, 1.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.1 < rows["greedy low-rank", None]["unseen_users"]["share_inside"]
    assert rows["greedy low-rank", None]["unseen_users"]["value"] > 0.6


def test_pessimism_pays_where_the_unknown_is_bad(tmp_path_factory):
    """Items nobody answered about that look good by all that was learnt, and are not: greedy walks into them."""
    trapped = table_of_tastes(tmp_path_factory, trap=2.0)
    serving = fit(trapped, FitSettings("low-rank", n_types=3, shift="indicator")).as_json()["serving"]
    rows = {
        scenario: {(row["policy"], row["constant"]): row["unseen_users"] for row in serving[scenario]["policies"]}
        for scenario in ("with_shift", "without_shift")
    }
    for policy in ("PRS distributional", "full-rank distributional"):
        assert rows["with_shift"][policy, 1.0]["difference_interval"][0] > 0
        assert rows["with_shift"][policy, 1.0]["share_inside"] < 0.1
        # Where all of few people gain the same there are no limits.
        without = rows["without_shift"][policy, 0.25]
        low, _ = without["difference_interval"] or (without["difference"],) * 2
        assert low < 0.05
    assert rows["with_shift"]["greedy low-rank", None]["share_inside"] > 0.6
    assert rows["without_shift"]["greedy low-rank", None]["share_inside"] < 0.2
    assert any("worth more than greedy" in text for text in serving["verdict"])
    assert any("gives nobody more or less than greedy" in text for text in serving["verdict"])


def test_the_worth_of_a_candidate_is_her_own_word(table):
    prepared = prepare(table, Stream(0, cell="fit"))
    t = prepared.table
    inside = region_of(t, "indicator")
    rows = prepared.test | prepared.unseen
    sets = candidate_sets(prepared, rows, inside, Stream(4))
    assert len(sets.annotator) == 3 * len(np.unique(sets.annotator)) > 20
    assert (sets.inside.sum(axis=1) == 3).all()
    for j in range(0, len(sets.annotator), 17):
        assert len(set(sets.item[j])) == 6
        for place, item in enumerate(sets.item[j]):
            hers = rows & (t.annotator == sets.annotator[j])
            won, lost = (hers & (t.chosen == item)).sum(), (hers & (t.rejected == item)).sum()
            assert won + lost >= 3
            assert sets.worth[j, place] == pytest.approx(won / (won + lost))
            assert sets.inside[j, place] == (t.features[item, 4] == 1.0)


def test_regions(table):
    music = table.features[:, 1]
    for asked, expected in (
        ("indicator", table.features[:, 4] == 1), ("music>0.5", music > 0.5), ("music >= 0.5", music >= 0.5),
        ("music<-1", music < -1), ("music <= 0", music <= 0),
    ):  # fmt: skip
        assert np.array_equal(region_of(table, asked), expected)
    for asked, message in (
        ("musik>1", "did you mean 'music'"), ("music", "not 0 or 1 throughout"), ("music>high", "expected a number"),
        ("music>99", "no item lies"), ("music>-99", "every item lies"), ("music>nan", "no item lies"),
    ):  # fmt: skip
        with pytest.raises(InputError, match="shift: ") as caught:
            region_of(table, asked)
        assert message in str(caught.value)


@pytest.mark.parametrize("own_taste", [0.0, 0.5])
def test_the_confidence_set_counts_people(own_taste):
    """Answers of one person share what her context does not say: taken for independent ones the set misses in 70 %."""
    shared, people, answers_each, misses = 0.3 * Stream(5, "theta").normals((3, 4)), 150, 30, 0

    def draw(stream, people, each):
        x = np.hstack([np.ones((people, 1)), stream.child("x").normals((people, 2))])
        taste = x @ shared + own_taste * stream.child("taste").normals((people, 4))
        person = np.repeat(np.arange(people), each)
        z = stream.child("z").normals((people * each, 4))
        wins = stream.child("wins").uniforms(len(z)) < 1 / (1 + np.exp(-(taste[person] * z).sum(axis=1)))
        return ContextAnswers(x, np.where(wins[:, None], z, -z), person, np.ones(len(z)))

    truth = fit_full(draw(Stream(6, "population"), 60_000, 5), 1e-9)
    for number in range(200):
        drawn = draw(Stream(7, "sample", number), people, answers_each)
        confidence = weighted_confidence(drawn, fit_full(drawn, 1e-6), 3, 1e-6)
        off = confidence.subspace.vector(truth) - confidence.ellipsoid.estimate
        misses += off @ confidence.ellipsoid.covariance @ off > confidence.ellipsoid.radius
    assert 0.04 < misses / 200 < 0.17
    assert (confidence.effect > 1.5) == (own_taste > 0)


def test_a_ridge_and_a_rank_that_were_asked_for_hold_in_both_trainings(table):
    serving = fit(table, FitSettings("low-rank", n_types=2, ridge=0.5, shift="indicator")).as_json()["serving"]
    for scenario in ("with_shift", "without_shift"):
        assert (serving[scenario]["rank"], serving[scenario]["ridge"]) == (2, 0.5)
