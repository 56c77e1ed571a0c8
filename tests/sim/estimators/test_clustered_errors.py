"""The conditional logit against statsmodels, SciPy and finite differences; errors clustered by person."""

from pathlib import Path

import numpy as np
import pytest
from planted_choices import planted_choices
from real_files import real_file
from scipy.optimize import minimize

from sim.converters.converter import find_converter
from sim.estimators.choice_panel import (
    annotator_scores,
    choice_panel,
    choice_scores,
    derivatives,
    log_probabilities,
    pair_panel,
)
from sim.estimators.clustered_errors import LogitStatus, clustered_covariance, conditional_logit, is_separated
from sim.streams import Stream

THETA = np.array([1.0, -0.7, 0.3])


def _planted(seed=1, n_people=30, n_choices=6, spread=0.5, **more):
    varied = THETA + spread * Stream(seed, role="theta").normals((n_people, 3))
    return planted_choices(seed, n_people, n_choices, varied, **more)


def _pairs(seed=5):
    """Differences (n, d) and who, with taste that varies over people."""
    arrays, _ = _planted(seed, sizes=(2,))
    return arrays["rows"], arrays["annotator"]


def test_likelihood_of_a_hand_computed_choice():
    """Utilities 1, 0 and log 2, the first taken: e / (e + 1 + 2)."""
    sets = choice_panel(rows=[[1.0], [1.0 - np.log(2)]], starts=[0, 2], annotator=[0])
    log_chosen, chance = log_probabilities(np.array([1.0]), sets)
    assert log_chosen == pytest.approx([np.log(np.e / (np.e + 3))])
    assert chance == pytest.approx([1 / (np.e + 3), 2 / (np.e + 3)])


def test_huge_margins_are_finite():
    sets = choice_panel(rows=[[1e5], [-1e5], [-3e4]], starts=[0, 1, 3], annotator=[0, 0])
    log_chosen, chance = log_probabilities(np.array([1.0]), sets)
    assert log_chosen == pytest.approx([0.0, -1e5])
    assert chance == pytest.approx([0.0, 1.0, 0.0])


def test_gradient_and_information_are_those_of_finite_differences():
    arrays, _ = _planted()
    weights = Stream(2).uniforms(len(arrays["annotator"]))
    sets = choice_panel(**arrays, weights=weights)
    value, gradient, information = derivatives(THETA, sets)
    assert value == pytest.approx(weights @ log_probabilities(THETA, sets)[0], rel=1e-14)
    for k, step in enumerate(1e-5 * np.eye(3)):
        up, down = derivatives(THETA + step, sets), derivatives(THETA - step, sets)
        assert gradient[k] == pytest.approx((up[0] - down[0]) / 2e-5, rel=1e-7)
        assert information[k] == pytest.approx((down[1] - up[1]) / 2e-5, rel=1e-6)
    assert annotator_scores(THETA, sets).sum(axis=0) == pytest.approx(gradient)
    assert weights @ choice_scores(THETA, sets) == pytest.approx(gradient)


def test_equals_statsmodels_conditional_logit():
    from statsmodels.discrete.conditional_models import ConditionalLogit

    arrays, listed = _planted(seed=3)
    x = np.concatenate([features for _, features, _ in listed])
    y = np.concatenate([np.arange(len(features)) == taken for _, features, taken in listed]).astype(float)
    group = np.repeat(np.arange(len(listed)), [len(features) for _, features, _ in listed])
    theirs = ConditionalLogit(y, x, groups=group).fit(disp=0, method="newton", tol=1e-12)
    ours = conditional_logit(**arrays)
    assert ours.status is LogitStatus.CONVERGED
    assert ours.theta == pytest.approx(theirs.params, abs=1e-6)
    assert ours.log_likelihood == pytest.approx(theirs.llf, abs=1e-8)
    assert ours.errors == pytest.approx(theirs.bse, rel=1e-4)
    assert ours.null_log_likelihood == pytest.approx(-sum(np.log(len(features)) for _, features, _ in listed))


@pytest.mark.parametrize("ridge", [0.0, 3.0])
def test_equals_a_likelihood_written_out_and_maximised_by_scipy(ridge):
    arrays, listed = _planted(seed=4)
    weights = 0.5 + Stream(4).uniforms(len(listed))

    def loss(theta):
        total = 0.5 * ridge * theta @ theta
        for weight, (_, features, taken) in zip(weights, listed, strict=True):
            utility = features @ theta
            total -= weight * (utility[taken] - np.log(np.exp(utility).sum()))
        return total

    ours = conditional_logit(**arrays, weights=weights, ridge=ridge)
    theirs = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-6})
    assert ours.theta == pytest.approx(theirs.x, abs=1e-5)
    assert ours.log_likelihood - 0.5 * ridge * ours.theta @ ours.theta == pytest.approx(-theirs.fun, abs=1e-9)


def test_clustered_errors_of_pairs_equal_statsmodels():
    """As labelled logistic regression, half of the rows turned round; their correction also counts answers."""
    from statsmodels.discrete.discrete_model import Logit

    rows, who = _pairs()
    label = np.arange(len(rows)) % 2
    x = np.where(label[:, None] == 1, rows, -rows)
    theirs = Logit(label, x).fit(
        disp=0, tol=1e-12, cov_type="cluster", cov_kwds={"groups": who, "use_correction": False}
    )
    ours = conditional_logit(rows=rows, starts=np.arange(len(rows) + 1), annotator=who)
    assert ours.theta == pytest.approx(theirs.params, abs=1e-8)
    groups = len(np.unique(who))
    assert ours.clustered == pytest.approx(theirs.cov_params() * groups / (groups - 1), rel=1e-6)
    assert np.array_equal(pair_panel(differences=rows, annotator=who).starts, np.arange(len(rows) + 1))


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_limits_by_person_are_statsmodels_with_students_t(level):
    """Of seven people; theirs without G / (G - 1), of which they have another form."""
    from statsmodels.discrete.discrete_model import Logit

    rows, who = _pairs()
    who = who % 7
    label = np.arange(len(rows)) % 2
    theirs = Logit(label, np.where(label[:, None] == 1, rows, -rows)).fit(
        disp=0, tol=1e-12, cov_type="cluster", cov_kwds={"groups": who, "use_correction": False}, use_t=True
    )
    ours = conditional_logit(rows=rows, starts=np.arange(len(rows) + 1), annotator=who)
    assert ours.people == 7
    half = np.diff(theirs.conf_int(alpha=1 - level), axis=1) * np.sqrt(7 / 6)
    assert np.diff(ours.limits(level), axis=1) == pytest.approx(half, rel=1e-6)
    assert ours.limits(level).mean(axis=1) == pytest.approx(ours.theta)


@pytest.mark.parametrize(("people", "normal"), [(2, 0.8), (6, 0.93)])
def test_limits_of_few_people_hold_the_truth(people, normal):
    """With 1.96 errors, .71 and .90 of the time."""
    truth, held, too_few = np.array([0.5, -0.3]), [], []
    for seed in range(300):
        stream = Stream(11, replicate=seed)
        who = np.repeat(np.arange(people), 60)
        x = stream.child("x").normals((len(who), 2))
        first = stream.child("u").uniforms(len(x)) < 1 / (1 + np.exp(-x @ truth))
        fit = conditional_logit(rows=np.where(first[:, None], x, -x), starts=np.arange(len(x) + 1), annotator=who)
        low, high = fit.limits().T
        held.append((low < truth) & (truth < high))
        too_few.append(np.abs(fit.theta - truth) < 1.96 * fit.clustered_errors)
    assert 0.92 < np.mean(held) < 0.98
    assert np.mean(too_few) < normal


def test_limits_of_one_person_are_not_known():
    rows, _ = _pairs()
    fit = conditional_logit(rows=rows, starts=np.arange(len(rows) + 1), annotator=np.zeros(len(rows), dtype=int))
    assert np.isnan(fit.limits()).all()
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        fit.limits(95)


def test_clustered_errors_do_not_count_who_did_not_answer():
    arrays, _ = _planted()
    renumbered = {**arrays, "annotator": 2 * arrays["annotator"]}
    once, more = conditional_logit(**arrays), conditional_logit(**renumbered, n_annotators=100)
    assert more.clustered == pytest.approx(once.clustered)
    assert more.scores.shape == (100, 3)


def test_doubling_every_answer_of_a_person_moves_the_classical_errors_only():
    """Twice the same answers are no news, and the sandwich by person knows."""
    arrays, _ = _planted()
    m = len(arrays["rows"])
    twice = {
        "rows": np.concatenate([arrays["rows"]] * 2),
        "starts": np.concatenate([arrays["starts"], arrays["starts"][1:] + m]),
        "annotator": np.concatenate([arrays["annotator"]] * 2),
    }
    once, doubled = conditional_logit(**arrays), conditional_logit(**twice)
    assert doubled.clustered_errors == pytest.approx(once.clustered_errors, rel=1e-6)
    assert doubled.errors == pytest.approx(once.errors / np.sqrt(2), rel=1e-6)


def test_clustered_intervals_cover_where_classical_ones_do_not():
    """A feature that is the same in all of a person's choices, and tastes for it that differ: her answers are alike."""
    covered = np.zeros(2)
    replicates, n_people, n_choices = 200, 60, 10
    for r in range(replicates):
        stream = Stream(7, replicate=r)
        own = np.repeat(stream.child("x").normals(n_people), n_choices)
        taste = np.repeat(stream.child("taste").normals(n_people), n_choices)
        # The answer's sign is symmetric over people, so that the population's coefficient is zero.
        taken = stream.child("u").uniforms(len(own)) < 1 / (1 + np.exp(-own * taste))
        rows = np.where(taken, own, -own)[:, None]
        fit = conditional_logit(
            rows=rows, starts=np.arange(len(rows) + 1), annotator=np.repeat(np.arange(n_people), n_choices)
        )
        covered += [abs(fit.theta[0]) < 1.96 * fit.errors[0], abs(fit.theta[0]) < 1.96 * fit.clustered_errors[0]]
    assert covered[1] / replicates > 0.90
    assert covered[0] / replicates < 0.75


def test_separated_choices_are_said():
    arrays, _ = _planted()
    rows = arrays["rows"].copy()
    rows[:, 2] = np.abs(rows[:, 2])
    rows[rows[:, 2] < 0.5, 2] = 0.0
    fit = conditional_logit(**{**arrays, "rows": rows})
    assert fit.status is LogitStatus.SEPARATED
    assert "give a ridge" in fit.status.message
    assert np.isnan(fit.errors).all()
    assert np.isnan(fit.clustered_errors).all()
    assert is_separated(choice_panel(**{**arrays, "rows": rows}))
    assert not is_separated(choice_panel(**arrays))
    assert conditional_logit(**{**arrays, "rows": rows}, ridge=0.1).status is LogitStatus.CONVERGED


def test_one_contradiction_is_enough():
    """Next to separated: a coefficient far out, and a maximum all the same."""
    x = np.linspace(1.0, 2.0, 400)[:, None]
    x[0] = -1e-3
    fit = conditional_logit(rows=x, starts=np.arange(401), annotator=np.arange(400))
    assert fit.status is LogitStatus.CONVERGED
    assert fit.theta[0] > 3


def test_collinear_features_are_refused_by_name():
    arrays, _ = _planted()
    rows = np.column_stack([arrays["rows"], 2 * arrays["rows"][:, 0]])
    with pytest.raises(ValueError, match=r"combination of the columns \[0, 3\]"):
        conditional_logit(**{**arrays, "rows": rows})
    assert conditional_logit(**{**arrays, "rows": rows}, ridge=0.1).status is LogitStatus.CONVERGED


@pytest.mark.parametrize(("further", "free"), [
    ([[0.0], [0.0], [0.0]], [3]),  # the same in all alternatives
    ([[1e6], [0.0], [0.0]], [0, 3]),  # a multiple of the first, in other units
    ([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], [0, 1, 3, 4]),  # a difference of two, and one that never differs
])  # fmt: skip
def test_what_a_ridge_alone_decides_has_no_errors(further, free):
    """The others' are as they are without it: SVD says of which unit vectors the rows' span holds none."""
    arrays, _ = _planted()
    rows = np.column_stack([arrays["rows"], arrays["rows"] @ further])
    fit = conditional_logit(**{**arrays, "rows": rows}, ridge=0.1)
    _, values, axes = np.linalg.svd(rows / np.maximum(np.abs(rows).max(axis=0), 1e-300))
    spanned = np.linalg.norm(axes[: np.count_nonzero(values > 1e-9)], axis=0) > 1 - 1e-9
    assert np.flatnonzero(~spanned).tolist() == free
    for errors in (fit.errors, fit.clustered_errors):
        assert np.flatnonzero(np.isnan(errors)).tolist() == free
    if free == [3]:
        alone = conditional_logit(**arrays, ridge=0.1)
        assert fit.errors[:3] == pytest.approx(alone.errors, rel=1e-6)
        assert fit.clustered_errors[:3] == pytest.approx(alone.clustered_errors, rel=1e-6)
    assert conditional_logit(**arrays, ridge=0.1).identified.all()


def test_gradients_that_are_all_zero_say_nothing_about_people():
    """Two people who choose each of two opposite alternatives once: theta = 0, and so is every gradient. A third choice
    of one of them tells them apart."""
    rows, starts = np.array([[1.0], [-1.0], [2.0], [-2.0]]), np.arange(5)
    fit = conditional_logit(rows=rows, starts=starts, annotator=[0, 0, 1, 1])
    assert fit.errors == pytest.approx([np.sqrt(4 / 10)])
    assert np.isnan(fit.clustered_errors).all()
    assert not fit.spread_seen.any()
    more = conditional_logit(rows=np.append(rows, [[1.0]], axis=0), starts=np.arange(6), annotator=[0, 0, 1, 1, 1])
    assert more.clustered_errors[0] > 0.01
    light = conditional_logit(
        rows=np.append(rows, [[1.0]], axis=0), starts=np.arange(6), annotator=[0, 0, 1, 1, 1], weights=np.full(5, 1e-9)
    )
    assert light.clustered_errors == pytest.approx(more.clustered_errors), "no scale of all weights matters"


def test_one_person_has_no_clustered_errors():
    assert np.isnan(clustered_covariance(np.eye(2), np.ones((1, 2)))).all()


def test_the_step_limit_is_said():
    arrays, _ = _planted()
    assert conditional_logit(**arrays, max_steps=1).status is LogitStatus.MAX_STEPS


def of_table(path: Path):
    """The arrays of a table of choices."""
    made = find_converter("choices").answers([path], "choices")
    people = {name: i for i, name in enumerate(made.annotators)}
    rows, starts = [], [0]
    for row in made.rows:
        pair = made.kind == "pairs"
        offered = [row["chosen_features"], row["rejected_features"]] if pair else row["features"]
        x = np.array([list(features.values()) for features in offered])
        taken = 0 if pair else row["choice"]
        rows.append(x[taken] - np.delete(x, taken, axis=0))
        starts.append(starts[-1] + len(x) - 1)
    who = np.array([people[row["annotator_id"]] for row in made.rows])
    return {"rows": np.concatenate(rows), "starts": np.array(starts), "annotator": who}


def test_electricity():
    """The published log-likelihood, -4958.65; clustered errors are larger, people answer 12 times each."""
    fit = conditional_logit(**of_table(real_file("choices/electricity.csv.gz")))
    assert fit.log_likelihood == pytest.approx(-4958.65, abs=0.01)
    assert fit.null_log_likelihood == pytest.approx(-4308 * np.log(4))
    assert (fit.clustered_errors > 1.2 * fit.errors).all()


def test_train():
    """mlogit's vignette: coefficients of price, time, change and comfort in euros and hours, -1724.15."""
    fit = conditional_logit(**of_table(real_file("choices/train.csv.gz")))
    assert fit.log_likelihood == pytest.approx(-1724.15, abs=0.01)
    in_their_units = fit.theta * [100 / 2.20371, 60, 1, 1]
    assert in_their_units == pytest.approx([-0.0673580, -1.7205514, -0.3263409, -0.9457256], abs=1e-3)


@pytest.mark.parametrize("weight", [1e-10, 1e-4, 1e6])
def test_units_of_the_weights_do_not_matter(weight):
    """All answers 10^-10 times: the same maximum, not where a search for 10^-9 nats happens to stop."""
    arrays, _ = _planted(5)
    n = len(arrays["starts"]) - 1
    plain = conditional_logit(**arrays, ridge=0.1)
    found = conditional_logit(**arrays, weights=np.full(n, weight), ridge=0.1 * weight)
    assert found.status is LogitStatus.CONVERGED
    assert found.steps == plain.steps
    assert found.theta == pytest.approx(plain.theta, rel=1e-9)
    rows = np.abs(arrays["rows"][:, :1])
    separated = conditional_logit(
        rows=rows, starts=arrays["starts"], annotator=arrays["annotator"], weights=np.full(n, weight)
    )
    assert separated.status is LogitStatus.SEPARATED


@pytest.mark.parametrize("units", [[1e5, 1e-3], [1e-7, 1e7], [1e-8, 1e-8]])
@pytest.mark.parametrize("ridge", [0.0, 1e-20])
def test_units_of_the_features_do_not_matter(units, ridge):
    """A price in cents beside a share: the same model, with coefficients in other units."""
    arrays, _ = planted_choices(3, 20, 8, np.tile([1.0, -1.0], (20, 1)))
    plain = conditional_logit(**arrays)
    found = conditional_logit(**arrays | {"rows": arrays["rows"] * units}, ridge=ridge)
    assert found.status is LogitStatus.CONVERGED
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-6)
    for name in ("theta", "errors", "clustered_errors"):
        assert getattr(found, name) * units == pytest.approx(getattr(plain, name), rel=1e-3 if ridge else 1e-6), name
    assert found.identified.all()
