"""Covariances of heads equal what refits, second differences and the joint Gaussian say, and their bounds hold."""

from dataclasses import replace

import numpy as np
import pytest

import pluralign as pl
from sim.errors import InputError
from sim.fitting.head_errors import ANNOTATOR, HeadErrors, head_errors, moved, read_errors

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
    return _of(_rows()[0], "personal", ridge=2.0)


@pytest.fixture(scope="module")
def ranked():
    return _of(_rows(people=6, answers=12, kind="rankings")[0], "personal", ridge=2.0)


@pytest.mark.parametrize("which", ["personal", "ranked"])
def test_the_common_reward(which, request):
    """Of somebody without answers under next to no freedom: minus the inverse of second differences of the penalised
    likelihood of everybody's answers."""
    report, errors = request.getfixturevalue(which)
    fits, answers = report.fits, report.prepared.answers(report.prepared.train)
    ridge = fits.fitted["pooled"][1].ridge
    choices = answers.choices()

    def value(theta):
        if choices is None:
            own = answers.weights @ -np.logaddexp(0, -answers.differences @ theta)
            return own - 0.5 * ridge * answers.weights.sum() * theta @ theta
        return choices.weights @ choices.log_likelihood(theta) - 0.5 * ridge * choices.weights.sum() * theta @ theta

    common = np.linalg.inv(-_second_differences(value, fits.centre))
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
