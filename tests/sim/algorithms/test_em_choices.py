"""EM over choices: equal to EM over pairs on sets of two, and to plain NumPy and SciPy on larger ones."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from sim.algorithms.em_choices import choice_responsibilities, em_choice_sets, em_choices, fit_choices
from sim.algorithms.em_log_linear import em_log_linear, responsibilities_of
from sim.choice_sets import ChoiceSets, choice_log_likelihood, choice_sets
from sim.preferences import FloatArray
from sim.streams import Stream


def _ragged(seed: int, n: int = 300, people: int = 40, d: int = 5) -> ChoiceSets:
    """Sets of two to five alternatives, answers of two opposed tastes, some people without an answer."""
    draw = np.random.default_rng(seed)
    annotator = draw.integers(0, people - 3, n)
    taste = draw.normal(size=d)
    rows, starts = [], [0]
    for e in range(n):
        offered = draw.normal(size=(draw.integers(2, 6), d))
        utility = offered @ taste * (1 if annotator[e] % 2 else -1)
        taken = int(np.argmax(utility + draw.gumbel(size=len(offered))))
        rows.append(offered[taken] - np.delete(offered, taken, axis=0))
        starts.append(starts[-1] + len(rows[-1]))
    weights, offset = draw.uniform(0.5, 2.0, n), draw.normal(size=starts[-1]) * 0.3
    return choice_sets(np.concatenate(rows), np.array(starts), annotator, people, weights, offset)


def _scores(choices: ChoiceSets, theta: FloatArray) -> FloatArray:
    """Plain: one softmax a choice; (E,)."""
    margins = choices.offset + choices.rows @ theta
    sets = [margins[a:b] for a, b in zip(choices.starts, choices.starts[1:], strict=False)]
    return np.array([-logsumexp(np.concatenate([[0.0], -z])) for z in sets])


def test_sets_of_two_are_pairs() -> None:
    draw = np.random.default_rng(1)
    x, who, w = draw.normal(size=(2_000, 6)), draw.integers(0, 90, 2_000), draw.uniform(0.5, 2, 2_000)
    for estep in ("soft", "hard"):
        ours = em_choices(
            x, np.arange(2_001), who, 90, 3, weights=w, ridge=0.1, restarts=4, estep=estep, stream=Stream(3),
            centre=np.full(6, 0.2),
        )  # fmt: skip
        theirs = em_log_linear(
            x, who, 90, 3, weights=w, ridge=0.1, restarts=4, estep=estep, stream=Stream(3), centre=np.full(6, 0.2)
        )
        np.testing.assert_allclose(ours.theta, theirs.theta, atol=1e-9)
        np.testing.assert_allclose(ours.trace, theirs.trace, rtol=1e-10)
    gamma = choice_responsibilities(
        theirs.theta, theirs.mixture, choice_sets(x, np.arange(2_001), who, 90, w)
    )  # fmt: skip
    np.testing.assert_allclose(
        gamma, responsibilities_of(theirs.theta, theirs.mixture, x, who, 90, w), atol=1e-12
    )  # fmt: skip


def test_one_reward_is_the_maximum() -> None:
    choices = _ragged(2)

    def objective(theta: FloatArray) -> float:
        penalty = 0.5 * 0.05 * choices.weights.sum() * float((theta - 0.1) @ (theta - 0.1))
        return penalty - float(choices.weights @ _scores(choices, theta))

    best = minimize(objective, np.zeros(5), method="BFGS", options={"gtol": 1e-7})
    found = fit_choices(choices, ridge=0.05, centre=np.full(5, 0.1))
    np.testing.assert_allclose(found, best.x, atol=1e-5)
    # Five steps are enough where gradient and Hessian are exact: Newton's method then doubles its digits a step.
    five = em_choice_sets(choices, 1, ridge=0.05, max_rounds=0, newton_steps=5, centre=np.full(5, 0.1))
    np.testing.assert_allclose(five.theta[0], found, atol=1e-9)


def test_the_fixed_point_is_one_of_plain_em() -> None:
    """At the end neither an E-step nor any M-step by SciPy moves anything, and the likelihood is the plain one."""
    choices = _ragged(3)
    found = em_choice_sets(choices, 2, ridge=0.05, restarts=3, tolerance=1e-13, max_rounds=3_000, stream=Stream(5))
    scores = np.stack([_scores(choices, theta) * choices.weights for theta in found.theta], axis=1)
    totals = np.stack([np.bincount(choices.annotator, own, 40) for own in scores.T], axis=1) + np.log(found.mixture)
    assert found.log_likelihood == pytest.approx(logsumexp(totals, axis=1).sum(), rel=1e-10)
    gamma = np.exp(totals - logsumexp(totals, axis=1, keepdims=True))
    np.testing.assert_allclose(found.responsibilities, gamma, atol=1e-8)
    np.testing.assert_allclose(choice_responsibilities(found.theta, found.mixture, choices), gamma, atol=1e-8)
    np.testing.assert_allclose(found.mixture, gamma.mean(axis=0), atol=1e-5)
    for k in range(2):
        share = choices.weights * gamma[choices.annotator, k]

        def objective(theta: FloatArray, share: FloatArray = share) -> float:
            return 0.5 * 0.05 * share.sum() * float(theta @ theta) - float(share @ _scores(choices, theta))

        best = minimize(objective, found.theta[k] + 0.1, method="BFGS", options={"gtol": 1e-7})
        np.testing.assert_allclose(found.theta[k], best.x, atol=1e-4)


def test_choices_of_one_and_of_many_threads_agree() -> None:
    """The shared passes sum in another order, and no more."""
    import sim.algorithms.em_choices as module

    choices = _ragged(4, n=3_000, people=200)
    alone = em_choice_sets(choices, 2, restarts=1, stream=Stream(1), max_rounds=30)
    before = module._PARALLEL_FROM
    try:
        module._PARALLEL_FROM = 1
        shared = em_choice_sets(choices, 2, restarts=1, stream=Stream(1), max_rounds=30)
    finally:
        module._PARALLEL_FROM = before
    np.testing.assert_allclose(alone.theta, shared.theta, rtol=1e-8)


def test_far_margins_stay_finite() -> None:
    margins = np.array([900.0, -900.0, 0.0, -1e6])
    got = choice_log_likelihood(margins, np.array([0, 1, 3, 4]))
    np.testing.assert_allclose(got, [0.0, -900.0, -1e6], atol=1e-9)
    choices = choice_sets(margins[:, None], np.array([0, 1, 3, 4]), np.zeros(3, dtype=np.int64), 1)
    assert np.isfinite(fit_choices(choices, ridge=1e-3)).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"starts": np.array([0, 2, 2, 3])}, "starts"),
        ({"starts": np.array([0, 2])}, "starts"),
        ({"annotator": np.array([0, 9])}, "annotator"),
        ({"annotator": np.array([0])}, "annotator"),
        ({"rows": np.full((3, 2), np.nan)}, "rows"),
        ({"offset": np.zeros(2)}, "offset"),
        ({"weights": np.array([1.0, -1.0])}, "weights"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], named: str) -> None:
    given = {"rows": np.ones((3, 2)), "starts": np.array([0, 2, 3]), "annotator": np.array([0, 1]), "n_annotators": 2}
    given |= change
    with pytest.raises(ValueError, match=named):
        choice_sets(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("types", "known"), [(1, -4958.65), (2, -4526.83), (3, -4298.04), (4, -4138.64)])
def test_electricity_contracts(types: int, known: float) -> None:
    """Log-likelihoods of conditional logit and latent classes as others compute them, or better."""
    folder = os.environ.get("PLURALIGN_DATA")
    path = Path(folder or "nowhere") / "choices" / "electricity.csv.gz"
    if not path.exists():
        pytest.skip("set PLURALIGN_DATA to the folder that holds choices/electricity.csv.gz (Huber and Train 2001)")
    with gzip.open(path, "rt") as file:
        table = list(csv.DictReader(file))
    x = np.array([[float(row[name]) for name in ("pf", "cl", "loc", "wk", "tod", "seas")] for row in table])
    taken = np.array([row["choice"] == "TRUE" for row in table]).reshape(-1, 4).argmax(axis=1)
    who = np.array([int(row["id"]) - 1 for row in table])[::4]
    offered = x.reshape(-1, 4, 6)
    rows = np.concatenate([o[j] - np.delete(o, j, axis=0) for o, j in zip(offered, taken, strict=True)])
    found = em_choices(
        rows, np.arange(len(offered) + 1) * 3, who, 361, types, ridge=1e-9, restarts=8, max_rounds=2_000,
        tolerance=1e-10, stream=Stream(0),
    )  # fmt: skip
    assert found.log_likelihood > known - 0.01
    if types == 1:
        assert found.log_likelihood == pytest.approx(known, abs=0.01)
