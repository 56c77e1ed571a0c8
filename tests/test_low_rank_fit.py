"""`fit --method low-rank`: estimates against other solvers, honest choices, spectrum, serving, bad input, as typed."""

import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.optimize import minimize

from pluralign.__main__ import main
from pluralign.fit_text import low_rank_text
from sim.algorithms.reduced_pessimism import mean_value, reduced_policy
from sim.errors import InputError
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.low_rank import fit_full_rank
from sim.estimators.reduced_confidence import reduced_confidence
from sim.estimators.reduced_subspace import reduced_subspace
from sim.fitting import spectrum as spectrum_module
from sim.fitting.common_rewards import advantages, choose_pooled, crossed_advantages, item_strengths
from sim.fitting.low_rank import RANKS, choose_low_rank, context_answers, folds_of, known_contexts
from sim.fitting.low_rank_figures import draw_low_rank
from sim.fitting.low_rank_report import LowRankSettings, fit_low_rank_preferences
from sim.fitting.prepare import effective_weights, prepare
from sim.fitting.serving import candidate_sets, judged, region_of, weighted_confidence
from sim.fitting.serving_report import pessimism_test
from sim.fitting.spectrum import context_spectrum, premise
from sim.fitting.user_contexts import ContextAnswers, fit_full, fit_of_rank, information
from sim.preference_files import table_of_rows, write_pairs
from sim.streams import Stream

CONTEXT = ("age", "city", "cinema", "sleep", "tea")
ITEM = ("plot", "music", "length", "war", "indicator")


def _rows(people=140, answers=60, n_items=60, effect=1.0, seed=4, trap=0.0):
    """Taste: plot for all, and along two directions of a person's context.

    trap: items that carry the indicator have so much more plot, and are worth four times that less.
    """
    stream = Stream(seed, "low-rank-fit")
    context = stream.child("context").normals((people, 5)).round(6)
    features = stream.child("features").normals((n_items, 5)).round(6)
    features[:, 4] = (features[:, 4] > 0).astype(float)
    features[:, 0] += trap * features[:, 4]
    theta = np.zeros((5, 5))
    theta[0, 1], theta[1, 2] = 1.6 * effect, 1.1 * effect
    reward = (np.array([0.5 + (trap > 0), 0, 0, 0, 0.3 - 4 * trap]) + context @ theta) @ features.T
    rows = []
    for i in range(people):
        own = stream.at(replicate=i)
        a = own.child("a").integers(n_items, answers)
        b = (a + 1 + own.child("b").integers(n_items - 1, answers)) % n_items
        wins = own.child("wins").uniforms(answers) < 1 / (1 + np.exp(reward[i, b] - reward[i, a]))
        for c, r in zip(np.where(wins, a, b), np.where(wins, b, a), strict=True):
            rows.append({
                "chosen": f"item {c}", "rejected": f"item {r}", "annotator_id": f"p{i}",
                "chosen_features": dict(zip(ITEM, features[c].tolist(), strict=True)),
                "rejected_features": dict(zip(ITEM, features[r].tolist(), strict=True)),
                "annotator_features": dict(zip(CONTEXT, context[i].tolist(), strict=True)),
            })  # fmt: skip
    return rows


def _table(tmp_path_factory, **changes):
    path = tmp_path_factory.mktemp("low-rank") / "pairs.jsonl"
    return table_of_rows(_rows(**changes), path)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return _table(tmp_path_factory)


@pytest.fixture(scope="module")
def report(table):
    return fit_low_rank_preferences(table, LowRankSettings(shift="indicator"))


@pytest.fixture(scope="module")
def answers():
    stream = Stream(5, "context-answers")
    people, n = 25, 900
    contexts = np.hstack([np.full((people, 1), 10.0), stream.child("x").normals((people, 3))])
    z = stream.child("z").normals((n, 4))
    person = stream.child("person").integers(people, n)
    weight = stream.child("weight").uniforms(n)
    theta = stream.child("theta").normals((4, 4)) / np.array([[20.0], [2.0], [2.0], [2.0]])
    u = ((contexts @ theta)[person] * z).sum(axis=1)
    sign = np.where(stream.child("wins").uniforms(n) < 1 / (1 + np.exp(-u)), 1.0, -1.0)
    return ContextAnswers(contexts, z * sign[:, None], person, weight)


def _objective(answers, theta, ridge):
    u = ((answers.contexts @ theta)[answers.person] * answers.differences).sum(axis=1)
    u = u if answers.offset is None else u + answers.offset
    return float((answers.weight * np.logaddexp(0, -u)).sum() / answers.weight.sum() + 0.5 * ridge * (theta**2).sum())


@pytest.mark.parametrize("offset", [False, True])
def test_the_full_fit_is_newtons(answers, offset):
    """Limited-memory BFGS by person against Newton's method answer by answer."""
    own = replace(answers, offset=0.7 * answers.differences[:, 0]) if offset else answers
    theta = fit_full(own, 0.01, tolerance=1e-15)
    newton = fit_full_rank(
        own.contexts[own.person], own.differences, weights=own.weight, offset=own.offset, ridge=0.01
    ).theta  # fmt: skip
    assert theta == pytest.approx(newton, abs=2e-5)
    assert own.margins(theta) == pytest.approx(
        ((own.contexts @ theta)[own.person] * own.differences).sum(axis=1) + (0.0 if own.offset is None else own.offset)
    )


def test_the_low_rank_fit_is_scipys(answers):
    """The same minimum as SciPy's BFGS on the two factors from many starts."""
    start = fit_full(answers, 0.01)
    fit = fit_of_rank(answers, 2, 0.01, start, 1e-13)
    assert np.linalg.matrix_rank(fit.theta, tol=1e-8) == 2
    best = np.inf
    for number in range(6):
        first = Stream(number, "start").normals(16)

        def loss(flat):
            return _objective(answers, flat[:8].reshape(4, 2) @ flat[8:].reshape(4, 2).T, 0.01)

        best = min(best, minimize(loss, first, method="BFGS").fun)
    assert _objective(answers, fit.theta, 0.01) == pytest.approx(best, abs=1e-6)
    assert _objective(answers, start, 0.01) < best


def test_the_confidence_set_is_the_reduced_one(answers):
    """By sums over people against answer by answer; with weights of one the set of `reduced_confidence`."""
    theta = fit_full(answers, 0.02)
    x, z = answers.contexts[answers.person], answers.differences
    psi = (x[:, :, None] * z[:, None, :]).reshape(len(z), -1)
    slope = 1 / (1 + np.exp(-psi @ theta.ravel()))
    brute = (psi * (answers.weight * slope * (1 - slope))[:, None]).T @ psi / answers.weight.sum()
    assert information(answers, theta) == pytest.approx(brute, abs=1e-12)
    even = replace(answers, weight=np.ones(len(z)))
    low = fit_of_rank(even, 2, 0.02, fit_full(even, 0.02), 1e-15)
    ours = weighted_confidence(even, low.theta, 2, 0.02)
    theirs = reduced_confidence(reduced_subspace(low.theta, 2), x, z, delta=0.1, ridge=0.02, dimension=ours.freedom)
    assert ours.ellipsoid.covariance == pytest.approx(theirs.covariance, abs=1e-5)
    assert ours.ellipsoid.estimate == pytest.approx(theirs.estimate, abs=1e-3)
    assert ours.ellipsoid.radius == pytest.approx(ours.effect * theirs.radius)
    reduced = ours.subspace.features(x, z)
    wrong = 1 / (1 + np.exp(even.margins(low.theta)))
    scores = np.array([(reduced * wrong[:, None])[answers.person == i].sum(axis=0) for i in range(25)])
    spread = np.trace(np.linalg.solve(ours.ellipsoid.covariance, np.cov(scores.T, bias=True) * 25 / len(z)))
    assert ours.effect == pytest.approx(spread / ours.freedom, rel=1e-9)
    # Degrees of freedom: all of them without a ridge, none under a heavy one.
    assert weighted_confidence(even, low.theta, 2, 1e-9).freedom == pytest.approx(12.0, abs=1e-3)
    assert weighted_confidence(even, low.theta, 2, 1e6).freedom == pytest.approx(0.0, abs=1e-2)


@pytest.mark.parametrize("constant", [0.25, 3.0])
def test_policies_are_those_of_reduced_pessimism(table, constant):
    prepared, known = known_contexts(prepare(table, Stream(0, cell="fit")))
    own = context_answers(prepared, known, prepared.train)
    theta = fit_full(own, 0.1)
    confidence = weighted_confidence(own, theta, 2, 0.1)
    inside = region_of(prepared.table, "indicator")
    sets = candidate_sets(prepared, prepared.test | prepared.unseen, inside, Stream(1))
    psi = confidence.subspace.features(known.contexts[sets.person][:, None, :], prepared.features[sets.item])
    ellipsoid = replace(confidence.ellipsoid, radius=confidence.ellipsoid.radius * constant**2)
    seen = judged(confidence, known.contexts, prepared.features, sets)
    assert np.array_equal(seen.policy("greedy"), reduced_policy(psi, ellipsoid, "greedy").policy)
    assert np.array_equal(seen.policy("pointwise", constant), reduced_policy(psi, ellipsoid, "pointwise").policy)
    assert constant < 1 or not np.array_equal(seen.policy("pointwise", constant), seen.policy("greedy"))
    ours, theirs = seen.policy("distributional", constant), reduced_policy(psi, ellipsoid, "distributional")
    assert mean_value(ours, psi, ellipsoid) == pytest.approx(theirs.value, abs=2e-3)
    assert mean_value(ours, psi, ellipsoid) >= mean_value(seen.policy("pointwise", constant), psi, ellipsoid)


def test_strangers_are_served_by_their_context(report):
    """Two directions of taste: the gain reaches people who answered nothing, and rank beyond three buys nothing."""
    summary = report.summary
    gain = summary["against_pooled"]
    for users in ("known_users", "unseen_users"):
        assert gain["low-rank"][users]["log_likelihood_interval"][0] > 0.05
    assert gain["personal"]["unseen_users"]["log_likelihood"] == pytest.approx(0.0, abs=1e-12)
    assert gain["low-rank"]["unseen_users"]["log_likelihood"] > gain["popularity"]["unseen_users"]["log_likelihood"]
    # One direction of the reward common to all and two of contexts.
    assert summary["selection"]["smallest_rank_within_one_standard_error"] == 3
    assert np.linalg.matrix_rank(report.fit.theta, tol=1e-8) == summary["rank"] == summary["n_types"] in (3, 4)
    assert summary["spectrum"]["above_null"] == 2
    assert summary["spectrum"]["carrying_nine_tenths"] == 2
    first = summary["groups"][0]
    assert (first["context"][0]["feature"], first["against_pooled"][0]["feature"]) == ("age", "music")
    assert first["context"][0]["coefficient"] * first["against_pooled"][0]["coefficient"] > 0.5
    assert summary["baselines"]["coin"]["unseen_users"]["log_likelihood"] == pytest.approx(np.log(0.5))
    assert not summary["warnings"]


def test_the_scores_are_those_of_theta(report):
    """Accuracy and log-likelihood of unseen people, by hand from the saved numbers."""
    prepared, known = report.prepared, report.known
    rows = np.flatnonzero(prepared.unseen)
    u = [known.contexts[prepared.annotator[j]] @ report.fit.theta @ prepared.differences[j] for j in rows]
    test = report.summary["test"]["unseen_users"]
    assert test["log_likelihood"] == pytest.approx(-np.logaddexp(0, -np.array(u)).mean())
    assert test["accuracy"] == pytest.approx((np.array(u) > 0).mean())
    told = prepared.table.annotator_features
    trained = np.unique(prepared.annotator[prepared.train])
    assert known.contexts[:, 1:] == pytest.approx((told - told[trained].mean(axis=0)) / told[trained].std(axis=0))
    assert (known.contexts[:, 0] == 10.0).all()


def test_choices_never_read_test_answers(tmp_path_factory):
    """Turning every test and unseen answer round changes scores and no choice, no Theta, no singular value."""
    split = prepare(_table(tmp_path_factory, people=60, answers=160, n_items=24), Stream(0, cell="fit")).table
    other = split.split != 0
    turned = replace(
        split,
        chosen=np.where(other, split.rejected, split.chosen),
        rejected=np.where(other, split.chosen, split.rejected),
    )
    straight, back = (fit_low_rank_preferences(t, LowRankSettings(shift="indicator")) for t in (split, turned))
    assert straight.summary["selection"] == back.summary["selection"]
    assert straight.summary["spectrum"] == back.summary["spectrum"]
    assert np.array_equal(straight.fit.theta, back.fit.theta)
    for scenario in ("with_shift", "without_shift"):
        tuning = [r.summary["serving"][scenario]["tuning"] for r in (straight, back)]
        assert tuning[0] == tuning[1]
        assert len({worth for of in tuning[0].values() for worth in of.values()}) > 3
    accuracy = [r.summary["test"]["unseen_users"]["accuracy"] for r in (straight, back)]
    assert accuracy[0] == pytest.approx(1 - accuracy[1])


def test_no_answer_about_the_region_is_learnt_from(report):
    """Turning every training answer about the region round changes the control and nothing that was trained without."""
    prepared, known = report.prepared, report.known
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
        answers = context_answers(own, known, own.train)
        choice = choose_low_rank(answers, folds_of(answers, Stream(2)), RANKS, None, lambda _: None)
        served.append(pessimism_test(own, known, choice, RANKS, None, "indicator", Stream(3), lambda _: None))
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
    trapped = _table(tmp_path_factory, trap=2.0)
    serving = fit_low_rank_preferences(trapped, LowRankSettings(rank=3, shift="indicator")).summary["serving"]
    rows = {
        scenario: {(row["policy"], row["constant"]): row["unseen_users"] for row in serving[scenario]["policies"]}
        for scenario in ("with_shift", "without_shift")
    }
    for policy in ("PRS distributional", "full-rank distributional"):
        assert rows["with_shift"][policy, 1.0]["difference_interval"][0] > 0
        assert rows["with_shift"][policy, 1.0]["share_inside"] < 0.1
        assert rows["without_shift"][policy, 0.25]["difference_interval"][0] < 0.05
    assert rows["with_shift"]["greedy low-rank", None]["share_inside"] > 0.6
    assert rows["without_shift"]["greedy low-rank", None]["share_inside"] < 0.2
    assert any("worth more than greedy" in text for text in serving["verdict"])


def test_the_worth_of_a_candidate_is_her_own_word(table):
    prepared = prepare(table, Stream(0, cell="fit"))
    t = prepared.table
    inside = region_of(t, "indicator")
    rows = prepared.test | prepared.unseen
    sets = candidate_sets(prepared, rows, inside, Stream(4))
    assert len(sets.person) == 3 * len(np.unique(sets.person)) > 20
    assert (sets.inside.sum(axis=1) == 3).all()
    for j in range(0, len(sets.person), 17):
        assert len(set(sets.item[j])) == 6
        for place, item in enumerate(sets.item[j]):
            hers = rows & (t.annotator == sets.person[j])
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
        with pytest.raises(InputError, match="--shift") as caught:
            region_of(table, asked)
        assert message in str(caught.value)


def test_contexts_that_say_nothing_have_no_spectrum(tmp_path_factory):
    silent = _table(tmp_path_factory, effect=0.0)
    prepared, known = known_contexts(prepare(silent, Stream(0, cell="fit")))
    spectrum = context_spectrum(context_answers(prepared, known, prepared.train), 0.3, Stream(5))
    assert spectrum.above == 0
    assert (spectrum.p_value > 0.02).all()
    assert "no rank to speak of" in premise(spectrum)
    # No direction found in one half of the people is there in the other.
    assert abs(spectrum.cross_fitted[0]) < 0.6 * spectrum.values[0]


@pytest.mark.parametrize("seed", [18, 19, 20])
def test_as_many_directions_as_there_are(tmp_path_factory, seed):
    """Two, in draws in which the third singular value is above the third of noise alone (not above its first)."""
    faint = _table(tmp_path_factory, effect=0.35, seed=seed, people=80, answers=30)
    prepared, known = known_contexts(prepare(faint, Stream(0, cell="fit")))
    spectrum = context_spectrum(context_answers(prepared, known, prepared.train), 0.1, Stream(seed))
    assert spectrum.above == 2
    assert (spectrum.p_value[:2] < 0.01).all()


def test_ranks_are_judged_on_people_they_were_not_fitted_to(table):
    """Held-out scores by hand: Newton on two folds of people, scored on the third."""
    prepared, known = known_contexts(prepare(table, Stream(0, cell="fit")))
    own = context_answers(prepared, known, prepared.train)
    fold = folds_of(own, Stream(2))
    assert sorted(np.bincount(fold[fold >= 0])) == sorted(
        len(part) for part in np.array_split(np.arange((fold >= 0).sum()), 3)
    )
    choice = choose_low_rank(own, fold, (5,), None, lambda _: None)
    ridge, scores = choice.full.ridge, []
    for number in range(3):
        held = fold[own.person] == number
        kept = own.rows(~held)
        theta = fit_full_rank(
            kept.contexts[kept.person], kept.differences, weights=kept.weight, ridge=ridge
        ).theta  # fmt: skip
        scores.append(-np.logaddexp(0, -own.rows(held).margins(theta)))
    assert choice.full.held_out == pytest.approx(np.concatenate(scores).mean(), abs=1e-5)
    low = next(c for c in choice.candidates if c.method == "low-rank" and c.ridge == ridge)
    # Rank five of five is no bound. Fits stop at gains of 1e-9 nats; on other answers the square root of that shows.
    assert low.held_out == pytest.approx(choice.full.held_out, abs=5e-5)


def test_halves_agree_on_directions_that_are_there(table):
    prepared, known = known_contexts(prepare(table, Stream(0, cell="fit")))
    spectrum = context_spectrum(context_answers(prepared, known, prepared.train), 0.03, Stream(5))
    assert spectrum.cross_fitted[:2] == pytest.approx(spectrum.values[:2], rel=0.25)
    assert (np.abs(spectrum.cross_fitted[2:]) < 0.1 * spectrum.values[0]).all()
    assert (spectrum.null[0] < spectrum.null[1]).all()
    assert (spectrum.null[1] < spectrum.null[2]).all()
    assert "2 directions carry" in premise(spectrum)


def test_chance_deals_contexts_among_people_who_answered_as_much(monkeypatch):
    """Light users' profiles are noisier; dealt to heavy users they would be another problem."""
    people, n = 60, 3000
    person = np.sort(np.minimum(Stream(6).integers(people * people, n) ** 0.5, people - 1).astype(int))
    contexts = np.hstack([np.full((people, 1), 10.0), np.arange(people)[:, None] + Stream(7).normals((people, 1))])
    answers = ContextAnswers(contexts, Stream(8).normals((n, 3)), person, np.ones(n))
    dealt = []

    def kept(answers, ridge, start=None, tolerance=1e-9):
        dealt.append(answers.contexts)
        return np.ones((2, 3))

    monkeypatch.setattr(spectrum_module, "fit_full", kept)
    context_spectrum(answers, 0.1, Stream(9))
    total = np.bincount(person, minlength=people)
    tenth = np.empty(people, dtype=int)
    tenth[np.argsort(total, kind="stable")] = np.arange(people) // 10
    others = [c for c in dealt if not np.array_equal(c, contexts)]
    assert len(others) == spectrum_module.PERMUTATIONS
    origin = np.array([np.searchsorted(np.sort(contexts[:, 1]), c[:, 1]) for c in others])
    back = np.argsort(contexts[:, 1])[origin]
    assert (tenth[back] == tenth).all()
    assert ((back == np.arange(people)).mean(axis=0) < 0.3).all()


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
    serving = fit_low_rank_preferences(table, LowRankSettings(rank=2, ridge=0.5, shift="indicator")).summary["serving"]
    for scenario in ("with_shift", "without_shift"):
        assert (serving[scenario]["rank"], serving[scenario]["ridge"]) == (2, 0.5)


def test_answers_at_random_are_said_to_be(tmp_path):
    """Of contexts and tastes without a pattern the strongest ridges are the best, and the report says so."""
    rows = _rows(people=24, answers=6)
    for number in np.flatnonzero(Stream(3, "turn").uniforms(len(rows)) < 0.5):
        row = rows[number]
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
        row["chosen_features"], row["rejected_features"] = row["rejected_features"], row["chosen_features"]
    summary = fit_low_rank_preferences(table_of_rows(rows, tmp_path / "pairs.jsonl"), LowRankSettings()).summary
    assert any("next to nothing" in warning or "coin" in warning for warning in summary["warnings"])
    chosen = summary["selection"]["chosen"]
    assert min(chosen[name]["held_out"] for name in ("low-rank", "full-rank")) > np.log(0.5) - 0.005


def test_few_answers_are_asked_for_separability_whatever_the_ridge(tmp_path):
    rows = [r for r in _rows(people=12, answers=8) if r["annotator_id"] != "p0"]
    table = table_of_rows(rows, tmp_path / "pairs.jsonl")
    for ridge in (0.01, 30.0):
        report = fit_low_rank_preferences(table, LowRankSettings(rank=5, ridge=ridge))
        used = context_answers(report.prepared, report.known, report.prepared.train)
        free = fit_of_rank(used, 5, 1e-7, np.zeros(report.fit.theta.shape)).separable
        assert free
        assert report.summary["fit"]["separable"]


def test_the_pooled_reward_is_chosen_on_whole_people(table):
    prepared, known = known_contexts(prepare(table, Stream(0, cell="fit")))
    fold = folds_of(context_answers(prepared, known, prepared.train), Stream(2))
    chosen, scores = choose_pooled(prepared, fold), []
    for number in range(3):
        held = prepared.train & (fold[prepared.annotator] == number)
        kept = prepared.train & ~held
        weight = effective_weights(prepared.table, kept)[kept]
        theta = fit_bradley_terry(prepared.differences[kept], weight, ridge=chosen.ridge, mass_scaled=True).theta
        scores.append(-np.logaddexp(0, -prepared.differences[held] @ theta))
    assert chosen.held_out == pytest.approx(np.concatenate(scores).mean(), abs=1e-6)


def test_popularity_beside_training_answers_is_that_of_other_people(table):
    prepared, known = known_contexts(prepare(table, Stream(0, cell="fit")))
    fold = folds_of(context_answers(prepared, known, prepared.train), Stream(2))
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


def test_what_answers_do_not_identify_is_named_and_left_out(tmp_path):
    rows = _rows(people=40, answers=30)
    for row in rows:
        told = row["annotator_features"]
        told["always"], told["age and tea"] = 0.1, told["age"] + 2 * told["tea"]
        for side in ("chosen_features", "rejected_features"):
            row[side] = {**row[side], "colour": 0.3, "plot again": -3 * row[side]["plot"] + 1}
    table = table_of_rows(rows, tmp_path / "pairs.jsonl")
    summary = fit_low_rank_preferences(table, LowRankSettings(rank=2)).summary
    assert summary["unidentified"] == {
        "context_constant": ["always"], "context_collinear": {"age and tea": ["age", "tea"]},
        "item_constant": ["colour"], "item_collinear": {"plot again": ["plot"]},
    }  # fmt: skip
    assert summary["counts"]["context"] == ["intercept", *CONTEXT]
    assert summary["counts"]["features"] == list(ITEM)
    for name in ("'always'", "'age and tea'", "'colour'", "'plot again'"):
        assert sum(name in warning for warning in summary["warnings"]) == 1
    plain = fit_low_rank_preferences(
        table_of_rows(_rows(people=40, answers=30), tmp_path / "pairs.jsonl"), LowRankSettings(rank=2)
    ).summary
    assert summary["test"] == plain["test"]


def _gap(row):
    return abs(row["chosen_features"]["plot"] - row["rejected_features"]["plot"])


def test_answers_without_a_mistake_are_said_to_be_separable(tmp_path):
    rows = [r for r in _rows(people=30, answers=30) if _gap(r) > 0.3]
    for row in rows:
        if row["chosen_features"]["plot"] < row["rejected_features"]["plot"]:
            row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
            row["chosen_features"], row["rejected_features"] = row["rejected_features"], row["chosen_features"]
    table = table_of_rows(rows, tmp_path / "pairs.jsonl")
    report = fit_low_rank_preferences(table, LowRankSettings(rank=1))
    assert report.summary["fit"]["separable"]
    assert any("separable at rank 1" in warning for warning in report.summary["warnings"])
    assert np.isfinite(report.fit.theta).all()


@pytest.mark.parametrize(("people", "answers"), [(1, 12), (2, 2), (5, 6)])
def test_hardly_any_answers(tmp_path, people, answers):
    table = table_of_rows(_rows(people=people, answers=answers), tmp_path / "few.jsonl")
    summary = fit_low_rank_preferences(table, LowRankSettings()).summary
    read = json.loads(json.dumps(summary, allow_nan=False))
    assert summary["rank"] >= 1
    assert summary["warnings"]
    assert "low-rank: rank" in low_rank_text({**read, "out": "here"})
    assert len(draw_low_rank(read, tmp_path / "figures")) == 4


def _type(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
    code = main()
    out, err = capsys.readouterr()
    return code, out, err


def test_as_typed(table, tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "pairs.parquet", tmp_path / "fit"
    write_pairs(path, table)
    words = ["fit", path, "--method", "low-rank", "--types", 2, "--shift", "indicator", "--out", out]
    code, printed, err = _type(monkeypatch, capsys, *words, "--json")
    assert code == 0, err
    answer = json.loads(printed)
    assert answer["method"] == "low-rank"
    assert answer["rank"] == answer["n_types"] == 2
    fields = {"n_pairs", "accuracy", "accuracy_interval", "log_likelihood", "log_likelihood_interval"}
    baselines = {"full-rank", "pooled", "personal", "popularity", "low-rank-on-popularity", "coin", "length"}
    assert set(answer["baselines"]) == set(answer["differences"]) == baselines
    for row in (answer["test"], *answer["baselines"].values()):
        assert set(row) == {"known_users", "unseen_users"}
        assert all(fields <= set(row[users]) for users in row)
    assert {"mixture", "groups", "out", "premise", "spectrum", "serving", "unidentified"} <= set(answer)
    parameters = json.loads((out / "parameters.json").read_text())
    rewards = pq.read_table(out / "rewards.parquet").to_pydict()
    # Everybody's reward is there, also of people who are only in `unseen`.
    assert len(rewards["annotator_id"]) == 140
    assert np.array(parameters["theta"]).shape == (len(parameters["context"]), len(parameters["features"]))
    assert np.linalg.matrix_rank(np.array(rewards["theta"]), tol=1e-8) == 2
    code, printed, err = _type(monkeypatch, capsys, "report", out)
    assert code == 0, err
    assert "2 directions carry" in printed
    assert "PRS distributional" in printed
    for name in ("spectrum", "gains", "serving"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 10_000
    assert {p.name for p in out.iterdir()} == {
        "fit.json",
        "resolved.yaml",
        "parameters.json",
        "rewards.parquet",
        "figures",
    }
    # The folder counts as an earlier fit: it is replaced, with no figure of the other one left.
    assert _type(monkeypatch, capsys, *words[:5], "2", "--out", out)[0] == 0
    assert not (out / "figures").exists()


def test_the_same_numbers_whatever_the_number_of_threads(table, monkeypatch):
    import os

    first = fit_low_rank_preferences(table, LowRankSettings(rank=2, shift="indicator")).summary
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert fit_low_rank_preferences(table, LowRankSettings(rank=2, shift="indicator")).summary == first


def test_the_final_fit_is_the_one_chosen(report):
    answers = context_answers(report.prepared, report.known, report.prepared.train)
    row = report.summary["selection"]["chosen"]["low-rank"]
    best = max(
        (c for c in report.summary["selection"]["candidates"] if c["method"] == "low-rank"), key=lambda c: c["held_out"]
    )
    assert row == best
    full = report.summary["selection"]["chosen"]["full-rank"]
    assert report.full == pytest.approx(fit_full(answers, full["ridge"]), abs=1e-8)
    assert _objective(answers, report.fit.theta, row["ridge"]) == pytest.approx(report.fit.loss, abs=1e-9)
