"""`fit --method low-rank`: estimates against other solvers, honest choices, bad input, as typed."""

import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.optimize import minimize
from tastes import CONTEXT, ITEM, drawn_context_answers, objective, rows_of_tastes, table_of_tastes

from pluralign.__main__ import main
from sim.estimators.low_rank import fit_full_rank
from sim.files.preference_files import table_of_rows, write_pairs
from sim.fitting import contexts
from sim.fitting.contexts import ContextAnswers, context_answers, fit_full, fit_of_rank, known_contexts
from sim.fitting.figures import draw_fit
from sim.fitting.low_rank_choice import RIDGES, choose_low_rank, folds_of
from sim.fitting.prepare import prepare
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings
from sim.fitting.text import fit_text
from sim.streams import Stream


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_of_tastes(tmp_path_factory)


@pytest.fixture(scope="module")
def smaller(tmp_path_factory):
    """Of the same tastes, for what does not depend on how many people there are."""
    return table_of_tastes(tmp_path_factory, people=60)


@pytest.fixture(scope="module")
def report(table):
    return fit(table, FitSettings("low-rank", shift="indicator"))


@pytest.fixture(scope="module")
def answers():
    return drawn_context_answers()


@pytest.mark.parametrize("offset", [False, True])
def test_the_full_fit_is_newtons(answers, offset):
    """Limited-memory BFGS by person against Newton's method answer by answer."""
    own = replace(answers, offset=0.7 * answers.differences[:, 0]) if offset else answers
    theta = fit_full(own, 0.01, tolerance=1e-15)
    newton = fit_full_rank(
        own.contexts[own.annotator], own.differences, weights=own.weights, offset=own.offset, ridge=0.01
    ).theta  # fmt: skip
    assert theta == pytest.approx(newton, abs=2e-5)
    assert own.margins(theta) == pytest.approx(
        ((own.contexts @ theta)[own.annotator] * own.differences).sum(axis=1)
        + (0.0 if own.offset is None else own.offset)
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_a_full_fit_to_features_of_very_different_spread_takes_few_passes(weighted, monkeypatch):
    """Contexts as large as an intercept's and small ones, features as of hidden states, in directions of their own."""
    rng = np.random.default_rng(3)
    people, n, d = 60, 3000, 24
    x = np.hstack([np.full((people, 1), 10.0), rng.normal(size=(people, 3)) * [1.0, 0.1, 3.0]])
    z = (rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -2.0) @ np.linalg.qr(rng.normal(size=(d, d)))[0]
    person, weights = rng.integers(people, size=n), rng.uniform(size=n) if weighted else np.ones(n)
    weights[:5] = 0.0 if weighted else 1.0
    u = ((x @ (rng.normal(size=(4, d)) / np.array([[20.0], [2.0], [2.0], [2.0]])))[person] * z).sum(axis=1)
    z *= np.where(rng.uniform(size=n) < 1 / (1 + np.exp(-u)), 1.0, -1.0)[:, None]
    own = ContextAnswers(x, z, person, weights, 0.3 * z[:, 0])
    passes, counted = [0], contexts.losses_and_slopes

    def count(*arguments):
        passes[0] += 1
        return counted(*arguments)

    monkeypatch.setattr(contexts, "losses_and_slopes", count)
    newton = fit_full_rank(x[person], z, weights=weights, offset=own.offset, ridge=1e-4)
    for start in (None, rng.normal(size=(4, d)) / 10.0):
        passes[0] = 0
        theta = fit_full(own, 1e-4, start, 1e-9)
        assert objective(own, theta, 1e-4) == pytest.approx(newton.loss, abs=1e-7)
        assert passes[0] < 60


def test_the_low_rank_fit_is_scipys(answers):
    """The same minimum as SciPy's BFGS on the two factors from many starts."""
    start = fit_full(answers, 0.01)
    fit = fit_of_rank(answers, 2, 0.01, start, 1e-13)
    assert np.linalg.matrix_rank(fit.theta, tol=1e-8) == 2
    best = np.inf
    for number in range(6):
        first = Stream(number, "start").normals(16)

        def loss(flat):
            return objective(answers, flat[:8].reshape(4, 2) @ flat[8:].reshape(4, 2).T, 0.01)

        best = min(best, minimize(loss, first, method="BFGS").fun)
    assert objective(answers, fit.theta, 0.01) == pytest.approx(best, abs=1e-6)
    assert objective(answers, start, 0.01) < best


def test_strangers_are_served_by_their_context(report):
    """Two directions of taste: the gain reaches people who answered nothing, and rank beyond three buys nothing."""
    summary = report.as_json()
    gain = summary["against_pooled"]
    for users in ("known_users", "unseen_users"):
        assert gain["low-rank"][users]["log_likelihood_interval"][0] > 0.05
    assert gain["personal"]["unseen_users"]["log_likelihood"] == pytest.approx(0.0, abs=1e-12)
    assert gain["low-rank"]["unseen_users"]["log_likelihood"] > gain["popularity"]["unseen_users"]["log_likelihood"]
    # One direction of the reward common to all and two of contexts.
    assert summary["selection"]["smallest_rank_within_one_standard_error"] == 3
    assert np.linalg.matrix_rank(report.model.theta, tol=1e-8) == summary["rank"] == summary["n_types"] in (3, 4)
    assert summary["spectrum"]["above_null"] == 2
    assert summary["spectrum"]["carrying_nine_tenths"] == 2
    first = summary["groups"][0]
    assert (first["context"][0]["feature"], first["against_pooled"][0]["feature"]) == ("age", "music")
    assert first["context"][0]["coefficient"] * first["against_pooled"][0]["coefficient"] > 0.5
    assert summary["baselines"]["coin"]["unseen_users"]["log_likelihood"] == pytest.approx(np.log(0.5))
    assert not summary["warnings"]


def test_the_scores_are_those_of_theta(report):
    """Accuracy and log-likelihood of unseen people, by hand from the saved numbers."""
    prepared = report.prepared
    rows = np.flatnonzero(prepared.unseen)
    u = [prepared.known.contexts[prepared.annotator[j]] @ report.model.theta @ prepared.differences[j] for j in rows]
    test = report.as_json()["test"]["unseen_users"]
    assert test["log_likelihood"] == pytest.approx(-np.logaddexp(0, -np.array(u)).mean())
    assert test["accuracy"] == pytest.approx((np.array(u) > 0).mean())
    told = prepared.table.annotator_features
    trained = np.unique(prepared.annotator[prepared.train])
    assert prepared.known.contexts[:, 1:] == pytest.approx(
        (told - told[trained].mean(axis=0)) / told[trained].std(axis=0)
    )
    assert (prepared.known.contexts[:, 0] == 10.0).all()


def test_choices_never_read_test_answers(tmp_path_factory):
    """Turning every test and unseen answer round changes scores and no choice, no Theta, no singular value."""
    split = prepare(table_of_tastes(tmp_path_factory, people=60, answers=160, n_items=24), Stream(0, cell="fit")).table
    other = split.split != 0
    turned = replace(
        split,
        chosen=np.where(other, split.rejected, split.chosen),
        rejected=np.where(other, split.chosen, split.rejected),
    )
    straight, back = (fit(t, FitSettings("low-rank", shift="indicator")) for t in (split, turned))
    assert straight.as_json()["selection"] == back.as_json()["selection"]
    assert straight.as_json()["spectrum"] == back.as_json()["spectrum"]
    assert np.array_equal(straight.model.theta, back.model.theta)
    for scenario in ("with_shift", "without_shift"):
        tuning = [r.as_json()["serving"][scenario]["tuning"] for r in (straight, back)]
        assert tuning[0] == tuning[1]
        assert len({worth for of in tuning[0].values() for worth in of.values()}) > 3
    accuracy = [r.as_json()["test"]["unseen_users"]["accuracy"] for r in (straight, back)]
    assert accuracy[0] == pytest.approx(1 - accuracy[1])


def test_ranks_are_judged_on_people_they_were_not_fitted_to(table):
    """Held-out scores by hand: Newton on two folds of people, scored on the third."""
    prepared = known_contexts(prepare(table, Stream(0, cell="fit")))
    own = context_answers(prepared.answers(prepared.train))
    fold = folds_of(own, Stream(2))
    assert sorted(np.bincount(fold[fold >= 0])) == sorted(
        len(part) for part in np.array_split(np.arange((fold >= 0).sum()), 3)
    )
    choice = choose_low_rank(own, fold, (5,), None, lambda _: None)
    ridge, scores = choice.full.ridge, []
    for number in range(3):
        held = fold[own.annotator] == number
        kept = own.rows(~held)
        theta = fit_full_rank(
            kept.contexts[kept.annotator], kept.differences, weights=kept.weights, ridge=ridge
        ).theta  # fmt: skip
        scores.append(-np.logaddexp(0, -own.rows(held).margins(theta)))
    assert choice.full.held_out == pytest.approx(np.concatenate(scores).mean(), abs=1e-5)
    low = next(c for c in choice.candidates if c.method == "low-rank" and c.ridge == ridge)
    # Rank five of five is no bound. Fits stop at gains of 1e-9 nats; on other answers the square root of that shows.
    assert low.held_out == pytest.approx(choice.full.held_out, abs=5e-5)


def test_scores_that_fall_before_they_rise_do_not_end_the_search():
    """Tastes about a mean of zero: under strong ridges the reward common to all is all that is free, and overfits.  By
    Newton's method, ridge by ridge."""
    stream = Stream(2, "tastes-about-zero")
    x, z = stream.child("x").normals((30, 2)), stream.child("z").normals((1200, 4))
    person, x = np.repeat(np.arange(30), 40), x - x.mean(axis=0)
    u = ((x @ stream.child("theta").normals((2, 4)))[person] * z).sum(axis=1)
    z *= np.where(stream.child("wins").uniforms(1200) < 1 / (1 + np.exp(-u)), 1.0, -1.0)[:, None]
    own = ContextAnswers(np.hstack([np.full((30, 1), 10.0), x]), z, person, np.ones(1200))
    fold, scores = folds_of(own, Stream(2)), []
    for ridge in RIDGES:
        margins = np.empty(1200)
        for number in range(3):
            held = fold[person] == number
            kept = own.rows(~held)
            theta = fit_full_rank(kept.contexts[kept.annotator], kept.differences, ridge=ridge).theta
            margins[held] = own.rows(held).margins(theta)
        scores.append(-np.logaddexp(0, -margins).mean())
    best = max(scores)
    assert scores[-1] > scores[-2] > scores[-3] > scores[-4], "no dip, or one too short"
    choice = choose_low_rank(own, fold, (2,), None, lambda _: None)
    found = {c.ridge: c.held_out for c in choice.candidates if c.method == "full-rank"}
    assert [found[ridge] for ridge in RIDGES] == pytest.approx(scores, abs=1e-4)
    assert choice.full.ridge == RIDGES[scores.index(best)]
    assert choice.low.held_out > best - 0.01 > np.log(0.5) + 0.1


def test_answers_at_random_are_said_to_be(tmp_path):
    """Of contexts and tastes without a pattern the strongest ridges are the best, and the report says so."""
    rows = rows_of_tastes(people=24, answers=6)
    for number in np.flatnonzero(Stream(3, "turn").uniforms(len(rows)) < 0.5):
        row = rows[number]
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
        row["chosen_features"], row["rejected_features"] = row["rejected_features"], row["chosen_features"]
    summary = fit(table_of_rows(rows, tmp_path / "pairs.jsonl"), FitSettings("low-rank")).as_json()
    assert any("next to nothing" in warning or "coin" in warning for warning in summary["warnings"])
    chosen = summary["selection"]["chosen"]
    assert min(chosen[name]["held_out"] for name in ("low-rank", "full-rank")) > np.log(0.5) - 0.005


def test_few_answers_are_asked_for_separability_whatever_the_ridge(tmp_path):
    rows = [r for r in rows_of_tastes(people=12, answers=8) if r["annotator_id"] != "p0"]
    table = table_of_rows(rows, tmp_path / "pairs.jsonl")
    for ridge in (0.01, 30.0):
        report = fit(table, FitSettings("low-rank", n_types=5, ridge=ridge))
        used = context_answers(report.prepared.answers(report.prepared.train))
        free = fit_of_rank(used, 5, 1e-7, np.zeros(report.model.theta.shape)).separable
        assert free
        assert report.as_json()["fit"]["separable"]


def test_what_answers_do_not_identify_is_named_and_left_out(tmp_path):
    rows = rows_of_tastes(people=20, answers=20)
    for row in rows:
        told = row["annotator_features"]
        told["always"], told["age and tea"] = 0.1, told["age"] + 2 * told["tea"]
        for side in ("chosen_features", "rejected_features"):
            row[side] = {**row[side], "colour": 0.3, "plot again": -3 * row[side]["plot"] + 1}
    table = table_of_rows(rows, tmp_path / "pairs.jsonl")
    summary = fit(table, FitSettings("low-rank", n_types=2)).as_json()
    assert summary["unidentified"] == {
        "context_constant": ["always"], "context_collinear": {"age and tea": ["age", "tea"]},
        "item_constant": ["colour"], "item_collinear": {"plot again": ["plot"]},
    }  # fmt: skip
    assert summary["counts"]["context"] == ["intercept", *CONTEXT]
    assert summary["counts"]["features"] == list(ITEM)
    for name in ("'always'", "'age and tea'", "'colour'", "'plot again'"):
        assert sum(name in warning for warning in summary["warnings"]) == 1
    plain = fit(
        table_of_rows(rows_of_tastes(people=20, answers=20), tmp_path / "pairs.jsonl"),
        FitSettings("low-rank", n_types=2),
    ).as_json()
    assert summary["test"] == plain["test"]


def _gap(row):
    return abs(row["chosen_features"]["plot"] - row["rejected_features"]["plot"])


def test_answers_without_a_mistake_are_said_to_be_separable(tmp_path):
    rows = [r for r in rows_of_tastes(people=30, answers=30) if _gap(r) > 0.3]
    for row in rows:
        if row["chosen_features"]["plot"] < row["rejected_features"]["plot"]:
            row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
            row["chosen_features"], row["rejected_features"] = row["rejected_features"], row["chosen_features"]
    table = table_of_rows(rows, tmp_path / "pairs.jsonl")
    report = fit(table, FitSettings("low-rank", n_types=1))
    assert report.as_json()["fit"]["separable"]
    assert any("separable at rank 1" in warning for warning in report.as_json()["warnings"])
    assert np.isfinite(report.model.theta).all()


@pytest.mark.parametrize(("people", "answers"), [(1, 12), (2, 2), (5, 6)])
def test_hardly_any_answers(tmp_path, people, answers):
    table = table_of_rows(rows_of_tastes(people=people, answers=answers), tmp_path / "few.jsonl")
    summary = fit(table, FitSettings("low-rank")).as_json()
    read = json.loads(json.dumps(summary, allow_nan=False))
    assert summary["rank"] >= 1
    assert summary["warnings"]
    assert "low-rank, size" in fit_text(read, "here")
    assert {path.name for path in draw_fit(read, tmp_path / "figures")} >= {"spectrum.png", "gains.png"}


def _type(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
    code = main()
    out, err = capsys.readouterr()
    return code, out, err


def test_as_typed(smaller, tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "pairs.parquet", tmp_path / "fit"
    write_pairs(path, smaller)
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
        assert {"known_users", "unseen_users"} <= set(row)
        assert all(fields <= set(row[users]) for users in ("known_users", "unseen_users"))
    assert {"mixture", "groups", "out", "premise", "spectrum", "serving", "unidentified"} <= set(answer)
    parameters = json.loads((out / "parameters.json").read_text())
    rewards = pq.read_table(out / "annotators.parquet").to_pydict()
    # Everybody's reward is there, also of people who are only in `unseen`.
    assert len(rewards["annotator_id"]) == 60
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
        "annotators.parquet",
        "model.npz",
        "checksums.json",
        "figures",
        "report.html",
    }
    # The folder counts as an earlier fit: it is replaced, with no figure of the other one left.
    assert _type(monkeypatch, capsys, *words[:5], "2", "--out", out)[0] == 0
    assert not (out / "figures").exists()


def test_the_same_numbers_whatever_the_number_of_threads(smaller, monkeypatch):
    import os

    first = fit(smaller, FitSettings("low-rank", n_types=2, shift="indicator")).as_json()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert fit(smaller, FitSettings("low-rank", n_types=2, shift="indicator")).as_json() == first


def test_the_final_fit_is_the_one_chosen(report):
    answers = context_answers(report.prepared.answers(report.prepared.train))
    row = report.as_json()["selection"]["chosen"]["low-rank"]
    best = max(
        (c for c in report.as_json()["selection"]["candidates"] if c["method"] == "low-rank"),
        key=lambda c: c["held_out"],
    )
    assert row == best
    full = report.as_json()["selection"]["chosen"]["full-rank"]
    assert report.fits.fitted["full-rank"][1].theta == pytest.approx(fit_full(answers, full["ridge"]), abs=1e-8)
    assert objective(answers, report.model.theta, row["ridge"]) == pytest.approx(report.model.fitted.loss, abs=1e-9)
