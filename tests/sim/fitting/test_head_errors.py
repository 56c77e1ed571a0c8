"""Covariances of heads equal what refits, second differences and the joint Gaussian say, and their bounds hold."""

from dataclasses import replace

import numpy as np
import pytest

import pluralign as pl
from sim.choice_sets import ChoiceSets
from sim.errors import InputError
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.choice_panel import derivatives
from sim.fitting.head_errors import ANNOTATOR, HeadErrors, head_errors, moved, read_errors
from sim.fitting.people_errors import people_covariance, score_covariance

CENTRE = np.array([0.8, -0.4, 0.0, 0.3])


def _rows(people=12, answers=20, spread=0.7, seed=0, kind="pairs"):
    """Answers by Luce's rule of people with rewards N(CENTRE, spread^2), whose true rewards come back too."""
    rng = np.random.default_rng(seed)
    theta = CENTRE + spread * rng.normal(size=(people, 4))
    rows = []
    for i, own in enumerate(theta):
        for _ in range(answers):
            items = rng.normal(size=(2 if kind == "pairs" else 3, 4))
            order = np.argsort(-(items @ own + rng.gumbel(size=len(items))))
            row = {"annotator_id": f"a{i:03d}", "prompt": "p", "split": "train"}
            if kind == "pairs":
                row |= {"chosen": items[order[0]].tolist(), "rejected": items[order[1]].tolist()}
            else:
                row |= {"responses": items.tolist(), "ranking": (np.argsort(order) + 1).tolist()}
            rows.append(row)
    return rows, theta


def _of(rows, method, **options):
    report = pl.fit(rows, method=method, **options).report
    return report, head_errors(report.fits, report.prepared)


def _second_differences(value, at, step=1e-3):
    d = len(at)
    out, eye = np.empty((d, d)), step * np.eye(d)
    for i in range(d):
        for j in range(d):
            up = value(at + eye[i] + eye[j]) + value(at - eye[i] - eye[j])
            out[i, j] = (up - value(at + eye[i] - eye[j]) - value(at - eye[i] + eye[j])) / (4 * step**2)
    return out


@pytest.fixture(scope="module")
def personal():
    # A ridge below what these people ask for: what it takes them for is then what they are taken for.
    return _of(_rows()[0], "personal", ridge=1.0)


@pytest.fixture(scope="module")
def ranked():
    return _of(_rows(people=6, answers=12, kind="rankings")[0], "personal", ridge=1.0)


def _sandwich(value, at, people, penalty, ridge):
    """M^-1 (K + ridge) M^-1 by second and central differences, person by person.

    value(theta) -> (n,) weighted log-likelihoods, people: (n,) whose; penalty: (n_people,) each one's share of the
    ridge.  K: the formula of `score_covariance` written out.
    """
    d, groups = len(at), np.arange(len(penalty))
    information = -_second_differences(lambda theta: value(theta).sum(), at)
    whole = information + ridge * np.eye(d)
    slope = np.stack([(value(at + s) - value(at - s)) / 2e-5 for s in 1e-5 * np.eye(d)], axis=1)
    own = np.stack([slope[people == i].sum(axis=0) - ridge * penalty[i] * at for i in groups])
    assert own.sum(axis=0) == pytest.approx(np.zeros(d), abs=1e-4), "the fit is where the gradient ends"
    of_people = sum(np.outer(g, g) for g in own) / (1 - (penalty**2).sum())
    few = min(1.0, d / (1 / (penalty**2).sum() - 1))
    effect = max(1.0, np.trace(np.linalg.solve(whole, of_people)) / np.trace(np.linalg.solve(whole, information)))
    middle = (1 - few) * of_people + few * effect * information + ridge * np.eye(d)
    return np.linalg.solve(whole, np.linalg.solve(whole, middle).T)


@pytest.mark.parametrize("which", ["personal", "ranked"])
def test_the_common_reward(which, request):
    """Of somebody without answers under next to no freedom: the sandwich by person of everybody's answers."""
    report, errors = request.getfixturevalue(which)
    fits, answers = report.fits, report.prepared.answers(report.prepared.train)
    choices = answers.choices()
    weights = answers.weights if choices is None else choices.weights
    people = answers.annotator if choices is None else choices.annotator

    def value(theta):
        if choices is None:
            return weights * -np.logaddexp(0, -answers.differences @ theta)
        return weights * choices.log_likelihood(theta)

    share = np.bincount(people, weights) / weights.sum()
    common = _sandwich(value, fits.centre, people, share, fits.fitted["pooled"][1].ridge * weights.sum())
    assert errors.of("stranger") == pytest.approx(common + np.eye(4) / report.model.ridge, rel=1e-4, abs=1e-7)


def test_a_head_is_sure_as_a_refit_says(personal):
    """H^-1 by second differences, J by refits with the common reward moved: with_heads is not told of either."""
    report, errors = personal
    model, answers = report.model, report.prepared.answers(report.prepared.train)
    common = errors.of("stranger") - np.eye(4) / model.ridge
    carried = np.empty((4, 4))
    for j, step in enumerate(1e-4 * np.eye(4)):
        ahead, back = (replace(model, centre=model.centre + s).with_heads(answers).theta for s in (step, -step))
        carried[:, j] = (ahead[3] - back[3]) / 2e-4
    rows = answers.of(3)

    def value(theta):
        margins = answers.differences[rows] @ theta
        away = theta - model.centre
        return answers.weights[rows] @ -np.logaddexp(0, -margins) - 0.5 * model.ridge * away @ away

    own = np.linalg.inv(-_second_differences(value, model.theta[3]))
    name = report.prepared.table.annotators[3]
    assert errors.of(name) == pytest.approx(own + carried @ common @ carried.T, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_moved_is_the_marginal_of_the_joint_gaussian(k):
    """theta = c + U v with precision of (c, v) written out and inverted whole."""
    rng = np.random.default_rng(k)
    a, b = rng.normal(size=(2, 9, 4))
    information, common = a.T @ a, np.linalg.inv(b.T @ b)
    basis = np.linalg.qr(rng.normal(size=(4, k)))[0]
    inner = basis.T @ information @ basis + 1.7 * np.eye(k)
    slope = np.linalg.solve(inner, basis.T @ information)
    precision = np.block([
        [np.linalg.inv(common) + slope.T @ inner @ slope, slope.T @ inner],
        [inner @ slope, inner],
    ])  # fmt: skip
    both = np.hstack([np.eye(4), basis])
    assert moved(information, basis, 1.7, common) == pytest.approx(both @ np.linalg.inv(precision) @ both.T)


def test_bounds_hold_as_often_as_they_say():
    """With the prior that people are drawn from: 19 of 20 bounds at 1.645 standard errors."""
    rows, theta = _rows(people=150, answers=25, spread=0.7, seed=3)
    report, errors = _of(rows, "personal", ridge=1 / 0.7**2)
    scale = report.prepared.scales.scale
    rng = np.random.default_rng(4)
    below = []
    for i, name in enumerate(report.prepared.table.annotators):
        own = theta[int(name[1:])] * scale
        for direction in rng.normal(size=(20, 4)):
            error = np.sqrt(direction @ errors.of(name) @ direction)
            below.append(direction @ report.model.theta[i] - 1.645 * error <= direction @ own)
    # People are independent, their 20 directions are not: at least 75 effective draws.
    assert np.mean(below) == pytest.approx(0.95, abs=0.03)


def test_bounds_on_a_reward_for_all_hold_where_people_differ():
    """19 of 20 at 1.645 standard errors, over 60 populations drawn anew; errors of independent answers, far less."""
    rng, covered, naive = np.random.default_rng(11), [], []
    centre, people, each = np.array([0.5, -0.2]), 30, 40
    differences, who = rng.normal(size=(60, people * each, 2)), np.repeat(np.arange(people), each)
    theta = centre + 1.5 * rng.normal(size=(60, people, 2))

    def fitted(rows):
        return fit_bradley_terry(rows, np.ones(len(rows)), ridge=1e-3, mass_scaled=True).theta

    def answered(rows, of):
        return np.where(rng.random(len(rows)) < 1 / (1 + np.exp(-(rows * of).sum(axis=1))), 1, -1)[:, None] * rows

    many = rng.normal(size=(200_000, 2))
    star = fitted(answered(many, centre + 1.5 * rng.normal(size=(200_000, 2))))
    for rows, own in zip(differences, theta, strict=True):
        rows = answered(rows, own[who])
        found, n = fitted(rows), len(rows)
        sets = ChoiceSets(rows, np.arange(n + 1), who, people, np.ones(n), np.zeros(n))
        information = derivatives(found, sets)[2]
        whole = np.linalg.inv(information + 1e-3 * n * np.eye(2))
        varies = score_covariance(found, sets, information, 1e-3 * n)
        gap = (found - star) / 1.645
        covered.append(gap <= np.sqrt(np.diag(whole @ (varies + 1e-3 * n * np.eye(2)) @ whole)))
        naive.append(gap <= np.sqrt(np.diag(whole)))
    # A standard error of 120 draws at .95 is .02.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)
    assert np.mean(naive) < 0.8


def test_answers_that_are_independent_vary_as_their_information_says():
    """Also where three people give 120 of 160 answers: on average as much, and little more for taking the larger design
    effect. By the number of people, 43, it would be a sixth too little."""
    rng, who = np.random.default_rng(12), np.concatenate([np.arange(40), np.repeat([40, 41, 42], 40)])
    n, ratios = len(who), []
    for _ in range(600):
        rows = rng.normal(size=(n, 1))
        sets = ChoiceSets(rows, np.arange(n + 1), who, 43, np.ones(n), np.zeros(n))
        information = derivatives(np.zeros(1), sets)[2]
        ratios.append(float((score_covariance(np.zeros(1), sets, information, 0.0) / information).item()))
    assert 0.96 < np.mean(ratios) < 1.12


def test_one_type_has_the_errors_of_one_policy():
    """Whatever method was asked for one type, the model is pooled DPO's, and so is how sure it is."""
    rows, _ = _rows(people=10, answers=8, spread=0.3, seed=13)
    report, plain = _of(rows, "dpo", ridge=3.0)
    for method in ("em-dpo", "cluster-dpo"):
        other, errors = _of(rows, method, n_types=1, ridge=3.0)
        assert np.array_equal(other.model.theta, report.model.theta)
        assert np.array_equal(errors.covariance, plain.covariance), method


def test_one_policy_of_equal_weights_is_sure_by_these():
    """It shrinks to zero, and counts each answer of the file once or as its weight says."""
    rows, _ = _rows(people=8, answers=12, seed=14)
    # The same six items in all answers of an annotator: effective weights are then below 1.
    pool = np.random.default_rng(15).normal(size=(6, 4)).tolist()
    for number, row in enumerate(rows):
        row["chosen"], row["rejected"] = pool[number % 6], pool[(number + 1 + number // 6 % 5) % 6]
    rows = [row for number, row in enumerate(rows) if number % 12 < number // 12 + 5]
    report, errors = _of(rows, "dpo-equal-weights", ridge=0.1, hold_out="people")
    answers = report.prepared.answers(report.prepared.train)
    assert answers.weights.min() < 0.5
    who, theta, ridge = answers.number, report.model.theta[0], 0.1 * len(answers)
    share = np.bincount(who) / len(who)
    expected = _sandwich(lambda t: -np.logaddexp(0, -answers.differences @ t), theta, who, share, ridge)
    assert errors.of("type_1") == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_clusters_and_types_by_their_own_answers():
    rows = []
    for sign, seed in ((1.0, 5), (-1.0, 6)):
        found, _ = _rows(people=8, answers=20, spread=0.0, seed=seed)
        for row in found:
            first, second = (row["chosen"], row["rejected"]) if sign > 0 else (row["rejected"], row["chosen"])
            rows.append({**row, "chosen": first, "rejected": second, "annotator_id": f"{sign}{row['annotator_id']}"})
    clustered, errors = _of(rows, "cluster", n_types=2, ridge=100.0)
    label = clustered.model.label
    for name, k in zip(clustered.prepared.table.annotators, label, strict=True):
        assert errors.of(name).tolist() == errors.of(f"type_{k + 1}").tolist()
    typed, of_types = _of(rows, "em-dpo", n_types=2, ridge=0.3)
    answers, model = typed.prepared.answers(typed.prepared.train), typed.model
    assert model.responsibilities.max(axis=1).min() > 0.9
    share = answers.weights * model.responsibilities[answers.annotator, 1]

    def value(theta):
        away = theta - typed.fits.centre
        margins = answers.differences @ theta
        return share @ -np.logaddexp(0, -margins) - 0.5 * model.ridge * share.sum() * away @ away

    own = np.linalg.inv(-_second_differences(value, model.theta[1]))
    assert (np.diag(of_types.of("type_2")) >= np.diag(own) - 1e-9).all(), "the common reward adds its own"
    more = of_types.of("type_2") - own
    assert np.linalg.eigvalsh(more).min() > -1e-6 * np.linalg.eigvalsh(own).max()


def _opposed(people, answers):
    """Two tastes, one the opposite of the other, without noise between people."""
    rows = []
    for sign, seed in ((1.0, 6), (-1.0, 4)):
        for row in _rows(people=people, answers=answers, spread=0.0, seed=seed)[0]:
            first, second = (row["chosen"], row["rejected"]) if sign > 0 else (row["rejected"], row["chosen"])
            rows.append({**row, "chosen": first, "rejected": second, "annotator_id": f"{sign}{row['annotator_id']}"})
    return rows


def test_a_type_that_nobody_is_of_has_no_errors():
    """Its ridge, a share of its answers' weight, is nothing, too; the others have those they have without it."""
    report, errors = _of(_opposed(6, 300), "em-dpo", n_types=6, ridge=0.01, restarts=1)
    model = report.model
    weight = model.responsibilities.sum(axis=0)
    nobody = np.flatnonzero(weight == 0)
    assert 0 < len(nobody) < 5, "EM leaves types empty here"
    left = np.flatnonzero(weight > 0)
    assert [name for name in errors.names if name.startswith("type_")] == [f"type_{k + 1}" for k in left]
    with pytest.raises(InputError, match=f"does not say how sure it is of 'type_{nobody[0] + 1}'"):
        errors.of(f"type_{nobody[0] + 1}")
    without = replace(model, theta=model.theta[left], responsibilities=model.responsibilities[:, left],
                      mixture=model.mixture[left])  # fmt: skip
    asked, fits = report.fits.asked.name, report.fits
    fitted = {**fits.fitted, asked: (fits.fitted[asked][0], without, *fits.fitted[asked][2:])}
    alone = head_errors(replace(fits, fitted=fitted), report.prepared)
    for place, k in enumerate(left):
        assert errors.of(f"type_{k + 1}").tolist() == alone.of(f"type_{place + 1}").tolist()


def test_a_gradient_of_nobody_does_not_vary():
    """Of a cluster without members: no division by their weight, which is zero."""
    sets = ChoiceSets(np.eye(2), np.arange(3), np.arange(2), 2, np.zeros(2), np.zeros(2))
    assert score_covariance(np.zeros(2), sets, np.zeros((2, 2)), 1.0).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_what_is_shared_is_less_doubtful_than_what_is_not():
    rows, _ = _rows(people=30, answers=10, seed=7)
    shared, own = _of(rows, "shared", n_types=1, ridge=2.0)
    _, alone = _of(rows, "personal", ridge=2.0)
    name = shared.prepared.table.annotators[0]
    assert np.trace(own.of(name)) < np.trace(alone.of(name))
    assert np.linalg.eigvalsh(own.of(name)).min() > 0
    _, common = _of(rows, "pooled", ridge=0.01)
    assert common.of(name).tolist() == common.of("stranger").tolist()
    assert np.trace(common.of(name)) < np.trace(own.of(name))


def test_rewards_from_contexts():
    """Each annotator's set is the low-rank reward's, carried by her context."""
    rng = np.random.default_rng(8)
    rows = []
    for i in range(40):
        context = [float(i % 2), float(rng.normal())]
        for _ in range(15):
            a, b = rng.normal(size=(2, 4))
            gap = (a - b) @ (CENTRE * (1 if i % 2 else -1))
            first, second = (a, b) if rng.random() < 1 / (1 + np.exp(-2 * gap)) else (b, a)
            rows.append({"annotator_id": f"a{i:03d}", "prompt": "p", "chosen": first.tolist(), "split": "train",
                         "rejected": second.tolist(), "annotator_features": context})  # fmt: skip
    report, errors = _of(rows, "low-rank", n_types=1, ridge=0.01)
    names = report.prepared.table.annotators
    size = np.array([np.trace(errors.of(name)) for name in names])
    assert (size > 0).all()
    assert len(errors.names) == 40
    # A context far from the others is where a reward from contexts is least sure.
    far = np.linalg.norm(report.prepared.contexts, axis=1)
    assert np.corrcoef(size, far)[0, 1] > 0.7


def test_kept_in_a_folder_and_refused_by_name(personal):
    _, errors = personal
    assert read_errors({}) is None
    read = read_errors(errors.arrays())
    assert read.names == errors.names
    assert np.array_equal(read.covariance, errors.covariance)
    with pytest.raises(InputError, match="does not say how sure it is of 'nobody'"):
        HeadErrors(("a",), np.eye(2)[None]).of("nobody")


def test_an_annotator_called_as_a_type_has_errors_of_her_own():
    rows, _ = _rows(people=6, answers=20, seed=9)
    rows = [
        {**row, "annotator_id": "type_1" if row["annotator_id"].endswith("0") else row["annotator_id"]} for row in rows
    ]
    report, errors = _of(rows, "cluster", n_types=2, ridge=10.0)
    names, label = report.prepared.table.annotators, report.model.label
    hers = errors.of(f"{ANNOTATOR}type_1")
    assert hers.tolist() == errors.of(f"type_{label[names.index('type_1')] + 1}").tolist()
    assert errors.of("type_1").tolist() != errors.of("type_2").tolist()
    assert len(errors.names) == len(set(errors.names)) == 2 + len(report.prepared.trained)


def test_a_cluster_of_nobody_has_the_information_of_no_answers():
    """Of four clusters of people who agree some may be empty: 0 / 0 was a warning on the terminal."""
    nothing, eye = np.zeros((5, 2)), np.eye(2)
    assert np.array_equal(people_covariance(nothing, np.zeros(5), 0.0 * eye, 3.0), 0.0 * eye)
    assert np.array_equal(people_covariance(nothing, np.eye(5)[2], eye, 3.0), eye)
