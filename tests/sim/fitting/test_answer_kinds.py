"""Every kind of answer through the fits: planted rewards are found, likelihoods are those of the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

from sim.answer_kinds.events import events_of
from sim.answer_kinds.kinds import likelihood_of, pairs_of_choices
from sim.answer_kinds.levels import Levels, best_thresholds
from sim.errors import InputError
from sim.files.pair_table import NONE_OF_THEM
from sim.files.preference_files import table_of_rows, write_pairs
from sim.fitting.method import Grid, Method, Task
from sim.fitting.methods.common import CommonReward
from sim.fitting.predict import assign_pairs, predict_pairs
from sim.fitting.prepare import prepare
from sim.fitting.report import fit
from sim.fitting.save import load_fit
from sim.fitting.settings import FitSettings
from sim.fitting.with_levels import WithLevels
from sim.streams import Stream

D, PEOPLE, PER = 3, 40, 25
TASTES = np.array([[2.0, 0.5, -1.0], [-2.0, 1.0, 1.0]])
ITEMS = np.random.default_rng(0).normal(size=(300, D))


def _row(kind, draw, person):
    """One answer of a person of type person % 2, by the noise that its likelihood has."""
    taste = TASTES[person % 2]
    size = 1 if kind == "grades" else 2 if kind in ("ties", "strengths") else 4
    items = draw.choice(len(ITEMS), size, replace=False)
    utility, names = ITEMS[items] @ taste, [f"i{j}" for j in items]
    row = {"annotator_id": f"p{person}", "prompt": "q", "annotator_features": [float(person % 2) + 0.1 * (person % 3)]}
    vectors = ITEMS[items].tolist()
    if kind in ("ties", "strengths"):
        # Strengths by the margin and logistic noise, ties by Davidson's third alternative with nu = 1.
        margin = utility[0] - utility[1] + draw.logistic()
        noisy = np.array([*utility, utility.mean()]) + draw.gumbel(size=3)
        better = noisy[0] > noisy[1] if kind == "ties" else margin > 0
        first, second = (0, 1) if better else (1, 0)
        row |= {"chosen": names[first], "rejected": names[second]}
        row |= {"chosen_features": vectors[first], "rejected_features": vectors[second]}
        if kind == "ties":
            return row | {"tie": bool(noisy.argmax() == 2)}
        return row | {"strength": 1 + int(abs(margin) > 1.5) + int(abs(margin) > 3.0)}
    if kind == "grades":
        score = int(np.digitize(utility[0] + draw.logistic(), [-1.0, 1.0]))
        return row | {"response": names[0], "score": score, "features": vectors[0]}
    row |= {"responses": names, "features": vectors}
    noisy = utility + draw.gumbel(size=size)
    if kind == "choices":
        return row | {"choice": int(noisy.argmax())}
    if kind == "rankings":
        order = np.argsort(-noisy)
        return row | {"ranking": [int(np.flatnonzero(order == j)[0]) + 1 if j in order[:3] else None for j in range(4)]}
    return row | {"scores": np.round((utility + draw.logistic(size=size)) / 2).tolist()}


def _table(kind, people=PEOPLE, per=PER):
    draw = np.random.default_rng(1)
    return table_of_rows([_row(kind, draw, i) for i in range(people) for _ in range(per)], kind)


KINDS = {
    "choices": "plackett-luce", "rankings": "plackett-luce", "ties": "davidson", "strengths": "cumulative-logit",
    "grades": "cumulative-logit", "ratings": "davidson",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_types_are_found_whatever_the_answers_are(kind):
    report = fit(_table(kind), FitSettings(n_types=2, restarts=3, ridge=0.003))
    counts = report.as_json()["counts"]
    assert (counts["likelihood"], counts["left_out"]) == (KINDS[kind], {})
    scale = report.prepared.scales.scale
    theta = np.asarray(report.model.theta)[:, :D] / scale
    theta = theta[np.argsort(-theta[:, 0])]
    # Two scores are the differences of two logistic noises, rounded: their scale is another.
    if kind == "ratings":
        theta *= np.linalg.norm(TASTES) / np.linalg.norm(theta)
    np.testing.assert_allclose(theta, TASTES, atol=0.45)
    truth = np.arange(PEOPLE) % 2
    member = report.model.responsibilities.argmax(axis=1)
    names = [int(name[1:]) for name in report.prepared.table.annotators]
    assert len({(truth[names[i]], member[i]) for i in report.prepared.trained}) == 2
    known, beside = report.comparison.test["known_users"], report.comparison.baselines
    assert known.log_likelihood > beside["dpo"]["known_users"].log_likelihood + 0.1
    assert known.accuracy > beside["coin"]["known_users"].accuracy + 0.1


@pytest.mark.parametrize("kind", ["choices", "ties", "grades"])
@pytest.mark.parametrize("method", ["personal", "shared", "cluster", "low-rank", "cluster-dpo"])
def test_every_method_takes_every_kind(kind, method, tmp_path):
    size = None if method == "personal" else 2 if method in ("cluster", "cluster-dpo") else 1
    report = fit(_table(kind, 20, 16), FitSettings(method, n_types=size, max_types=2, restarts=2))
    assert report.comparison.test["known_users"].log_likelihood > report.comparison.baselines["coin"][
        "known_users"
    ].log_likelihood + (0.02 if "cluster" in method else 0.1)
    report.save(tmp_path / "fit")
    read = load_fit(tmp_path / "fit")
    who = read.annotators[int(read.trained[0])]
    mine = read.predict_proba(ITEMS[:5], ITEMS[5:10], who)
    np.testing.assert_allclose(mine, report.saved().predict_proba(ITEMS[:5], ITEMS[5:10], who), atol=1e-12)
    theirs = read.predict_proba(ITEMS[5:10], ITEMS[:5], who)
    ties = read.tie_proba(ITEMS[:5], ITEMS[5:10], who)
    assert (ties > 0).all() == (kind == "ties")
    np.testing.assert_allclose(mine + theirs + ties, 1.0, atol=1e-9)


def _with_ties(share, kind, seed=2):
    """Answers of which so many are ties, whatever the items; with strengths 1 to 3, or without."""
    draw = np.random.default_rng(seed)
    rows = []
    for j in range(400):
        one, other = draw.normal(size=(2, 2)).round(2)
        first, second = (one, other) if draw.random() < 1 / (1 + np.exp(-(one - other)[0])) else (other, one)
        row = {"annotator_id": f"a{j % 20}", "chosen": first.tolist(), "rejected": second.tolist()}
        tie = bool(draw.random() < share)
        rows.append(row | {"tie": tie} | ({"strength": 1 + j % 3} if kind == "strengths" else {}))
    return table_of_rows(rows, "ties")


def _by_hand(report, likelihood, z):
    """P(first), P(tie) of a margin z under the fitted likelihood, from its constants."""
    if likelihood == "davidson":
        # Davidson (1970): e^z : 1 : e^(nu + z / 2).
        nu = report.model.theta[0][-1]
        total = np.exp(z) + 1 + np.exp(nu + z / 2)
        return np.exp(z) / total, np.exp(nu + z / 2) / total
    # Rao and Kupper (1967): better by more than the threshold; stronger answers are parts of it.
    c = report.model.thresholds[0]
    return 1 / (1 + np.exp(c - z)), 1 / (1 + np.exp(-c - z)) - 1 / (1 + np.exp(c - z))


@pytest.mark.parametrize("method", ["pooled", "dpo"])
@pytest.mark.parametrize(("likelihood", "kind"), [
    ("davidson", "ties"), ("rao-kupper", "ties"), ("cumulative-logit", "strengths"),
])  # fmt: skip
def test_a_prediction_is_of_being_preferred_and_ties_are_beside_it(likelihood, kind, method, tmp_path):
    table = _with_ties(0.45, kind)
    report = fit(table, FitSettings(method, ridge=0.003, likelihood=likelihood, restarts=1))
    read = report.saved()
    first, second = np.array([[0.0, 0.0], [1.0, -0.3], [-2.0, 0.4]]), np.array([[0.0, 0.0], [0.2, 0.5], [1.0, 1.0]])
    report.save(tmp_path / "fit")
    theta = report.model.theta[0][:2] / report.prepared.scales.scale
    expected, tie = _by_hand(report, likelihood, (first - second) @ theta)
    for one in (read, load_fit(tmp_path / "fit")):
        np.testing.assert_allclose(one.predict_proba(first, second), expected, atol=1e-9)
        np.testing.assert_allclose(one.tie_proba(first, second), tie, atol=1e-9)
    assert read.predict_proba(first, second)[0] == pytest.approx(0.275, abs=0.04), "of two equal ones, 45 % tie"
    # Scores are of rewards, as they were.
    np.testing.assert_allclose(read.score_items(first) - read.score_items(second), (first - second) @ theta, atol=1e-9)
    found = predict_pairs(read, table_of_rows([
        {"annotator_id": "a1", "chosen": a.tolist(), "rejected": b.tolist()}
        for a, b in zip(first[1:], second[1:], strict=True)
    ], "new"))  # fmt: skip
    np.testing.assert_allclose([row["tie"] for row in found.rows()], tie[1:], atol=1e-9)
    np.testing.assert_allclose([row["probability"] for row in found.rows()], expected[1:], atol=1e-9)


def test_a_prediction_is_what_the_held_out_answer_is_scored_by():
    """Of two types: P(chosen) and P(tie) are the held-out likelihoods of these answers."""
    report = fit(_table("ties", 20, 16), FitSettings(n_types=2, restarts=2, ridge=0.01, max_types=2))
    prepared, read = report.prepared, report.saved()
    table, rows = prepared.table, prepared.test
    known = np.exp(report.model.log_likelihood_of(prepared.answers(rows)))
    sides = (table.features[table.chosen[rows]], table.features[table.rejected[rows]])
    who = [table.annotators[i] for i in table.annotator[rows]]
    told = np.where(table.tie[rows], read.tie_proba(*sides, who), read.predict_proba(*sides, who))
    np.testing.assert_allclose(told, known, rtol=1e-9)
    assert table.tie[rows].any()


@pytest.mark.parametrize("kind", ["pairs", "strengths"])
def test_without_ties_nothing_ties(kind):
    rows = [
        {"annotator_id": f"a{j % 10}", "chosen": a.tolist(), "rejected": b.tolist()}
        | ({"strength": 1 + j % 2} if kind == "strengths" else {})
        for j, (a, b) in enumerate(np.random.default_rng(3).normal(size=(200, 2, 2)).round(2))
    ]  # fmt: skip
    read = fit(table_of_rows(rows, "plain"), FitSettings("pooled", ridge=0.03)).saved()
    first, second = ITEMS[:4, :2], ITEMS[4:8, :2]
    assert not read.has_ties
    assert read.tie_proba(first, second).tolist() == [0.0] * 4
    both = read.predict_proba(first, second) + read.predict_proba(second, first)
    np.testing.assert_allclose(both, 1.0, atol=1e-12)
    assert "tie" not in predict_pairs(read, table_of_rows(rows[:3], "new")).rows()[0]


def _textbook_ties(theta, nu, x, tie):
    """Davidson (1970): a : b : tie = e^u : e^0 : nu e^(u/2)."""
    u = x @ theta
    total = np.exp(u) + 1.0 + nu * np.exp(u / 2)
    return np.log(np.where(tie, nu * np.exp(u / 2), np.exp(u)) / total)


def test_ties_are_davidsons():
    table = _table("ties", 8, 12)
    theta, nu = np.array([0.7, -0.4, 1.1]), 0.6
    events, names = events_of(table, table.features, davidson=True)
    assert names == ("tie",)
    x = table.features[table.chosen] - table.features[table.rejected]
    expected = _textbook_ties(theta, nu, x, table.tie)
    np.testing.assert_allclose(events.folded(events.rows @ np.append(theta, np.log(nu))), expected, atol=1e-12)


@pytest.mark.parametrize(("ties", "n", "thresholds"), [(False, 3, [0.8, 2.0]), (True, 3, [0.4, 1.5]), (True, 2, [0.9])])
def test_levels_of_pairs_sum_to_one_and_are_cumulative(ties, n, thresholds):
    """P(level) = F(b - z) - F(a - z), over both directions; slopes against finite differences."""
    at, z = np.array(thresholds), np.linspace(-3, 3, 7)
    edges = np.concatenate([[-at[0]] if ties else [0.0], at, [np.inf]])
    total = np.zeros(7)
    for code in range(n):
        levels = Levels(np.full(7, code), n, True, ties, ())
        for sign in (1.0, -1.0) if not (ties and code == 0) else (1.0,):
            events = levels.events(sign * z[:, None], at)
            found = np.exp(events.folded(events.rows @ np.ones(1)))
            low, high = edges[code] - sign * z, edges[code + 1] - sign * z
            np.testing.assert_allclose(found, 1 / (1 + np.exp(-high)) - 1 / (1 + np.exp(-low)), atol=1e-12)
            total += found
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


def test_grades_sum_to_one():
    z, at = np.linspace(-2, 2, 5), np.array([-1.0, 0.3, 2.0])
    chances = [Levels(np.full(5, c), 4, False, False, ()).events(z[:, None], at) for c in range(4)]
    np.testing.assert_allclose(sum(np.exp(e.folded(e.rows @ np.ones(1))) for e in chances), 1.0, atol=1e-12)


def test_pooled_strengths_and_thresholds_are_the_joint_maximum():
    """Turn by turn reaches what SciPy reaches at once, on the textbook likelihood."""
    prepared = prepare(_table("strengths"), Stream(0))
    answers = prepared.answers(prepared.train)
    model = WithLevels(CommonReward()).fit(answers, 0, 0.01, Task(Stream(0), None, 1, final=True))
    x, code, w = answers.differences, answers.levels.code, answers.weights
    # The ridge is scaled by the plain answers that levels are taken apart into.
    mass = w[answers.levels.events(x, np.array([1.0, 2.0])).answer].sum()

    def loss(free):
        theta, at = free[:D], np.array([np.exp(free[D]), np.exp(free[D]) + np.exp(free[D + 1])])
        edges = np.concatenate([[0.0], at, [np.inf]])
        z = x @ theta
        chance = 1 / (1 + np.exp(z - edges[code + 1])) - 1 / (1 + np.exp(z - edges[code]))
        return -w @ np.log(chance) + 0.5 * 0.01 * mass * theta @ theta

    best = minimize(loss, np.zeros(D + 2), method="BFGS", options={"gtol": 1e-6})
    np.testing.assert_allclose(model.inner, best.x[:D], atol=5e-4)
    expected = [np.exp(best.x[D]), np.exp(best.x[D]) + np.exp(best.x[D + 1])]
    np.testing.assert_allclose(model.thresholds, expected, atol=5e-4)
    assert np.abs(approx_fprime(best.x, loss, 1e-6)).max() < 0.05


def test_thresholds_pack_and_unpack():
    for around_zero, at in ((True, [0.3, 0.9, 4.0]), (False, [-2.0, 0.1, 0.2])):
        levels = Levels(np.array([0, 1, 2, 3]), 4, around_zero, False, ())
        np.testing.assert_allclose(levels.unpacked(levels.packed(np.array(at))), at)
    assert len(best_thresholds(Levels(np.zeros(3, int), 1, True, False, ()), lambda at: 0.0, np.zeros(0))) == 0


def test_a_ranking_is_plackett_luce():
    from sim.likelihoods import plackett_luce_log_likelihood

    table = _table("rankings", 6, 10)
    theta = np.array([0.5, -1.0, 0.3])
    events, _ = events_of(table, table.features, davidson=False)
    own, found = table.offered, events.folded(events.rows @ theta)
    for answer in range(len(table)):
        mine = np.flatnonzero(own.answer == answer)
        last = mine[-1]
        order = [*own.taken[mine], *own.others[own.starts[last] : own.starts[last + 1]]]
        utility = (table.features[order] @ theta)[None]
        assert found[answer] == pytest.approx(plackett_luce_log_likelihood(utility, len(mine))[0], abs=1e-12)


def test_each_other_outcome_has_its_own_chance():
    """The chances of all alternatives of a choice sum to one, whichever was taken."""
    table = _table("choices", 6, 10)
    events, _ = events_of(table, table.features, davidson=False)
    theta = np.array([0.5, -1.0, 0.3])
    total = np.zeros(len(table))
    for number in range(4):
        other, possible = events.outcome(number)
        assert possible.all()
        total += np.exp(other.folded(other.rows @ theta))
    np.testing.assert_allclose(total, 1.0, atol=1e-12)
    assert not events.outcome(4)[1].any()


def test_what_a_likelihood_leaves_out_is_counted():
    ties, strengths, ratings = _table("ties", 6, 10), _table("strengths", 6, 10), _table("ratings", 6, 10)
    told = likelihood_of(ties, "bradley-terry")
    assert told.table.left_out == (("that are ties", int(ties.tie.sum())),)
    assert len(told.table) == (~ties.tie).sum()
    assert likelihood_of(strengths, "bradley-terry").unused == ("strength",)
    assert likelihood_of(strengths, "auto").unused == ()
    left = likelihood_of(ratings, "bradley-terry").table
    assert left.left_out == (("comparisons within ratings that tie", int(ratings.offered.tie.sum())),)
    assert not left.offered.tie.any()
    for table, asked in ((ties, "plackett-luce"), (ratings, "cumulative-logit"), (_table("choices", 4, 4), "davidson")):
        with pytest.raises(InputError, match=f"likelihood: {asked} is not for"):
            likelihood_of(table, asked)
    assert likelihood_of(ties, "cumulative-logit").likelihood == "rao-kupper"
    with pytest.raises(InputError, match="needs strengths"):
        likelihood_of(told.table, "cumulative-logit")


def test_pairs_made_of_choices_weigh_what_the_choice_did():
    table = pairs_of_choices(_table("choices", 4, 5))
    own = table.offered
    np.testing.assert_allclose(np.bincount(own.answer, own.weight), 1.0)
    assert (np.diff(own.starts) == 1).all()
    report = fit(_table("choices"), FitSettings(n_types=2, restarts=2, ridge=0.01, likelihood="bradley-terry"))
    whole = fit(_table("choices"), FitSettings(n_types=2, restarts=2, ridge=0.01))
    # Both are scored as choices out of four.
    assert report.comparison.baselines["coin"]["known_users"].log_likelihood == pytest.approx(-np.log(4))
    ours, pairs = (r.comparison.test["known_users"].log_likelihood for r in (whole, report))
    assert pairs < ours < 0


def test_nobody_elses_method_gets_half_an_answer():
    class Mine(Method[float]):
        name = "mine"
        beside = ("pooled",)

        def grid(self, problem):
            return Grid((0,), (1.0,), 1.0, fixed=True)

    with pytest.raises(InputError, match=r"'mine' is for plain pairs, and the answers are choices \(plackett-luce\)"):
        fit(_table("choices", 6, 6), FitSettings("pooled"), extra=[Mine()])


def test_effective_weights_by_kind():
    """m items allow m - 1 comparisons: rankings of new items count whole, of the same items again they do not."""
    once = table_of_rows(
        [{"annotator_id": "x", "responses": [f"{q}{j}" for j in range(4)], "ranking": [1, 2, 3, 4]} for q in range(5)],
        "t",
    )
    again = table_of_rows(
        [{"annotator_id": "x", "responses": ["a", "b", "c", "d"], "ranking": [1, 2, 3, 4]} for _ in range(5)], "t"
    )
    from sim.fitting.splits import effective_weights

    everything = np.ones(5, dtype=bool)
    np.testing.assert_allclose(effective_weights(once, everything), 1.0)
    np.testing.assert_allclose(effective_weights(again, everything), 3 / 15)


def test_prepare_splits_answers_and_not_their_choices():
    prepared = prepare(_table("rankings"), Stream(0))
    assert prepared.held_out == "items" or prepared.held_out == "answers"
    kept = prepared.answers(prepared.train)
    assert len(np.unique(kept.events.answer)) == len(kept)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_annotator_is_assigned_by_answers_of_the_kind(kind, tmp_path):
    """To the type that she was made of, as those of the fit are."""
    report = fit(_table(kind, 20, 16), FitSettings(n_types=2, restarts=2, ridge=0.01, max_types=2))
    report.save(tmp_path / "fit")
    read = load_fit(tmp_path / "fit")
    draw = np.random.default_rng(9)
    rows = [{**_row(kind, draw, person), "annotator_id": f"new {person}"} for person in (0, 1) for _ in range(12)]
    found = assign_pairs(read, table_of_rows(rows, "new"))
    assert found.annotators == ("new 0", "new 1")
    new = np.stack([found.table["group_1"], found.table["group_2"]], axis=1).argmax(axis=1)
    names = [int(name[1:]) % 2 for name in report.prepared.table.annotators]
    member = report.model.responsibilities.argmax(axis=1)
    of_type = {names[i]: member[i] for i in report.prepared.trained}
    assert new.tolist() == [of_type[0], of_type[1]]
    chance = found.fit.predict_proba(ITEMS[:1], ITEMS[1:2], "new 0")
    assert 0.0 < chance[0] < 1.0


def test_a_level_that_the_fit_has_not_is_named(tmp_path):
    fit(_table("strengths", 10, 10), FitSettings("pooled", ridge=0.1)).save(tmp_path / "fit")
    row = {**_row("strengths", np.random.default_rng(0), 1), "strength": 9}
    with pytest.raises(InputError, match="level 'strength 9' is none of the fit's"):
        assign_pairs(load_fit(tmp_path / "fit"), table_of_rows([row], "new"))


def test_what_takes_pairs_says_so():
    table = _table("choices", 4, 4)
    for take in (table.pairs, lambda: write_pairs("x.jsonl", table)):
        with pytest.raises(InputError, match=r"the answers are choices, and .* takes pairs"):
            take()


def _with_none(shift, people=30, per=20):
    """Choices out of three by price and quality, or none of them; prices around `shift`."""
    draw, rows = np.random.default_rng(3), []
    for person in range(people):
        for _ in range(per):
            x = draw.normal(size=(3, 2))
            worth = np.append(x @ [-1.0, 0.7], 0.2) + draw.gumbel(size=4)
            taken = int(worth.argmax())
            rows.append({
                "annotator_id": f"p{person}", "responses": [f"{a}" for a in x.tolist()],
                "choice": taken if taken < 3 else -1, "features": (x + np.array([shift, 0.0])).tolist(),
            })  # fmt: skip
    return table_of_rows(rows, "none")


def test_none_of_them_does_not_depend_on_where_a_feature_has_its_origin(tmp_path):
    reports = [fit(_with_none(shift), FitSettings("pooled", ridge=0.03)) for shift in (0.0, 300.0)]
    near, far = (np.asarray(report.model.centre) for report in reports)
    np.testing.assert_allclose(near, far, atol=1e-6)
    assert reports[0].prepared.feature_names[-1] == NONE_OF_THEM
    np.testing.assert_allclose(near[:2] / reports[0].prepared.scales.scale, [-1.0, 0.7], atol=0.15)
    reports[0].save(tmp_path / "fit")
    read = load_fit(tmp_path / "fit")
    # Items are given by what they have; where none was to be had, it still is.
    assert read.score_items(np.zeros((1, 2))).shape == (1,)
    rows = [{"annotator_id": "new", "responses": ["a", "b"], "choice": 0, "features": [[0.0, 0.0], [1.0, 1.0]]}]
    assert assign_pairs(read, table_of_rows(rows, "new")).annotators == ("new",)
    fit(_table("choices", 10, 10), FitSettings("pooled", ridge=0.1)).save(tmp_path / "other")
    rows[0] |= {"choice": -1, "features": [[0.0] * D, [1.0] * D]}
    with pytest.raises(InputError, match="took none of those offered, which nobody did in the fit"):
        assign_pairs(load_fit(tmp_path / "other"), table_of_rows(rows, "new"))


def test_who_never_ties_is_read_the_same_beside_others_and_alone():
    report = fit(_table("ties", 20, 16), FitSettings(n_types=2, restarts=2, ridge=0.01, max_types=2))
    draw = np.random.default_rng(4)
    rows = [{**_row("ties", draw, 0), "annotator_id": "she", "tie": False} for _ in range(15)]
    other = [{**_row("ties", draw, 1), "annotator_id": "he", "tie": True}]
    alone = assign_pairs(report.saved(), table_of_rows(rows, "new"))
    beside = assign_pairs(report.saved(), table_of_rows(rows + other, "new"))
    np.testing.assert_allclose(alone.table["group_1"][0], beside.table["group_1"][0], atol=1e-12)


@pytest.mark.parametrize(("made", "given"), [("ties", "choices"), ("choices", "ratings"), ("rankings", "ties")])
def test_a_fit_takes_other_kinds_for_what_it_knows_of_them(made, given):
    report = fit(_table(made, 12, 12), FitSettings("personal", ridge=3.0))
    draw = np.random.default_rng(5)
    rows = [{**_row(given, draw, 0), "annotator_id": "new"} for _ in range(10)]
    theta = assign_pairs(report.saved(), table_of_rows(rows, "new")).table["theta"]
    assert np.isfinite(theta).all()
    assert (theta[0] - report.fits.centre)[0] > 0  # her type likes the first feature


def test_accuracy_of_ratings_does_not_depend_on_the_order_of_responses():
    draw = np.random.default_rng(1)
    rows = [_row("ratings", draw, i) for i in range(12) for _ in range(10)]
    turned = [{**row, **{name: row[name][::-1] for name in ("responses", "scores", "features")}} for row in rows]
    found = [
        fit(table_of_rows(own, "t"), FitSettings("pooled", ridge=0.1)).comparison.test["known_users"].accuracy
        for own in (rows, turned)
    ]
    assert found[0] == pytest.approx(found[1])


def test_accuracy_of_types_over_levels_is_the_whole_fits():
    report = fit(_table("strengths"), FitSettings(n_types=2, restarts=2, ridge=0.01))
    whole = report.comparison.test["known_users"]
    parts = [group.known_users for group in report.groups if group.known_users.n_pairs]
    assert whole.accuracy == pytest.approx(sum(p.accuracy * p.n_pairs for p in parts) / whole.n_pairs)


def test_grades_of_opposite_people_are_told_apart_by_clusters_too():
    draw, rows = np.random.default_rng(2), []
    for person in range(20):
        for j in range(12):
            score = int(np.digitize(ITEMS[j] @ TASTES[person % 2] + draw.logistic(), [-1.0, 1.0]))
            rows.append({"annotator_id": f"p{person}", "prompt": "q", "response": f"i{j}", "score": score,
                         "features": ITEMS[j].tolist()})  # fmt: skip
    report = fit(table_of_rows(rows, "t"), FitSettings("cluster-dpo", n_types=2, ridge=0.01, hold_out="answers"))
    assert sorted(np.round(report.model.mixture, 1)) == [0.5, 0.5] or min(report.model.mixture) > 0.3


def test_a_level_that_nobody_trained_on_is_held_open():
    codes = Levels(np.array([0, 0, 1, 1, 1, 3]), 4, False, False, ("a", "b", "c", "d"))
    at = best_thresholds(codes, lambda t: float(codes.share_of(t, codes.code).sum()), np.array([-1.0, 0.0, 1.0]))
    assert at[2] - at[1] > 0.05


def test_a_learned_representation_is_for_pairs():
    network_fit = pytest.importorskip("pluralign.network_fit", exc_type=ImportError)
    with pytest.raises(InputError, match="'shared-network' is for plain pairs"):
        fit(_table("choices", 6, 6), FitSettings("shared", n_types=1), extra=[network_fit.SharedNetwork()])
