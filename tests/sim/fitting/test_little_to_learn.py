"""Fits where answers say little: that cancel, that differ in nothing, of few people, of nobody; and their errors."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit, log_expit

from pluralign.__main__ import main
from sim.choice_sets import ChoiceSets
from sim.errors import InputError
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.files.preference_files import table_of_rows
from sim.fitting.mixture_errors import Mixture, type_errors_of
from sim.fitting.predict import assign_pairs
from sim.fitting.report import fit
from sim.fitting.save import load_fit, save_fit
from sim.fitting.settings import FitSettings
from sim.streams import Stream

POINTS = {"x": [0.0, 1.0], "y": [1.0, 0.0], "z": [2.0, 3.0]}


def _table(rows):
    return table_of_rows(rows, "answers.jsonl")


def _row(who, chosen, rejected, **more):
    return {
        "annotator_id": who, "chosen": chosen, "rejected": rejected, "chosen_features": POINTS[chosen],
        "rejected_features": POINTS[rejected], **more,
    }  # fmt: skip


def _people(count, answers, taste=1.0, seed=0):
    """Pairs of points of two features, people of normal tastes; (rows (n, 2), annotator (n,))."""
    stream = Stream(seed, "few people")
    own = taste * stream.child("theta").normals((count, 2))
    x, who = stream.child("x").normals((count * answers, 2)), np.repeat(np.arange(count), answers)
    first = stream.child("choice").uniforms(len(x)) < expit((x * own[who]).sum(axis=1))
    return np.where(first[:, None], x, -x), who


def test_both_orders_of_every_pair_give_everybody_the_reward_of_all():
    """Nobody departs from it in any direction: the subspace that is fitted beside is of nothing."""
    twice = [_row(f"a{i}", *pair, split="train") for i in range(6) for pair in ("xy", "yx", "xz", "zx")]
    report = fit(_table(twice), FitSettings("shared", n_types=1))
    assert report.model.theta == pytest.approx(np.zeros((6, 2)), abs=1e-12)


def test_answers_that_differ_in_no_feature_are_refused():
    same = [
        _row(f"a{i}", "x", "y", prompt=f"q{i}{j}", rejected_features=POINTS["x"]) for i in range(6) for j in range(4)
    ]
    other = [{**row, "chosen_features": POINTS["z"], "rejected_features": POINTS["z"]} for row in same[::2]]
    with pytest.raises(InputError, match="no training answer is between items whose features differ"):
        fit(_table([*same[1::2], *other]), FitSettings("personal"))


@pytest.mark.parametrize("people", [3, 6])
def test_errors_of_few_people_are_the_spread_over_draws_of_people(people):
    """Mean reported variance against the variance of the fits themselves, each of other people. The sandwich without
    its G / (G - 1) has (G - 1) / G of it at most, .6 and .8 here."""
    found, errors = [], []
    for seed in range(250):
        x, who = _people(people, 30, seed=seed)
        ridge = 1e-3 * len(x)
        theta = fit_bradley_terry(x, ridge=ridge).theta
        found.append(theta)
        # The first of these people does not train.
        n = len(x)
        sets = ChoiceSets(x, np.arange(n + 1), who + 1, people + 1, np.ones(n), np.zeros(n))
        alone = Mixture(theta[None], np.ones(1), np.ones((people + 1, 1)), ridge / n, np.zeros(2))
        errors.append(type_errors_of(alone, sets)[0])
    ratio = np.mean(np.square(errors)) / np.var(found, axis=0, ddof=1).mean()
    assert 0.8 < ratio < 1.25


@pytest.mark.parametrize("kind", ["pairs", "choices"])
def test_errors_of_one_person_are_those_of_independent_answers(kind):
    """H^-1 I H^-1 by finite differences of the penalised loss; they were 0, as if all were known of her."""
    x, _ = _people(1, 40)
    features = [{"chosen_features": [0.0, 0.0], "rejected_features": (-own).tolist()} for own in x]
    rows = [
        {"annotator_id": "a", "chosen": f"c{j}", "rejected": f"r{j}", "split": "train", **own}
        for j, own in enumerate(features)
    ]
    if kind == "choices":
        rows = [
            {"annotator_id": "a", "prompt": f"q{j}", "responses": ["c", "r"], "choice": 0, "split": "train",
             "features": [own["chosen_features"], own["rejected_features"]]}
            for j, own in enumerate(features)
        ]  # fmt: skip
    report = fit(_table(rows), FitSettings("em-dpo", n_types=1, ridge=0.01))
    prepared, traits = report.prepared, report.groups[0].strongest_features
    z = prepared.answers(prepared.train).differences
    weight = prepared.weights[prepared.train]
    ridge = 0.01 * weight.sum()

    def loss(theta, ridge=ridge):
        return -float(weight @ log_expit(z @ theta)) + 0.5 * ridge * float(theta @ theta)

    best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9}).x

    def slope(theta):
        return approx_fprime(theta, loss, 1e-6)

    hessian = np.stack([(slope(best + 1e-4 * e) - slope(best - 1e-4 * e)) / 2e-4 for e in np.eye(2)])
    inverse = np.linalg.inv(hessian)
    errors = np.sqrt(np.diag(inverse @ (hessian - ridge * np.eye(2)) @ inverse))
    told = {trait.feature: trait.standard_error for trait in traits}
    assert [told[name] for name in prepared.feature_names] == pytest.approx(errors, rel=2e-3)


@pytest.mark.parametrize("method", ["cluster-dpo", "em-dpo"])
def test_a_type_that_nobody_is_of_has_no_errors(method):
    """Nor have types that are one: of people who all answer alike EM makes three of the same reward."""
    x, _ = _people(1, 12)
    rows = [
        {"annotator_id": f"a{i}", "chosen": f"c{j}", "rejected": f"r{j}", "split": "train",
         "chosen_features": own.tolist(), "rejected_features": [0.0, 0.0]}
        for i in range(8) for j, own in enumerate(x)
    ]  # fmt: skip
    report = fit(_table(rows), FitSettings(method, n_types=3))
    empty = [group for group in report.groups if group.share < 1e-12]
    assert len(empty) == (2 if method == "cluster-dpo" else len(empty))
    for group in report.groups:
        known = [trait.standard_error is not None for trait in group.against_pooled]
        assert all(known) if group not in empty and method == "cluster-dpo" else not any(known)


def _by_prompt(people, tag, seed):
    """Answers A to D, whose features are others under every prompt."""
    stream, rows = Stream(seed, "by prompt"), []
    for i in range(people):
        for q in range(12):
            features = dict(zip("ABCD", stream.child(f"{i}/{q}").normals((4, 2)).tolist(), strict=True))
            one, other = sorted("ABCD", key=lambda name: (-features[name][0], name))[:2]
            rows.append(
                {"annotator_id": f"{tag}{i}", "prompt": f"{tag}{i}/{q}", "chosen": one, "rejected": other,
                 "chosen_features": dict(zip("xy", features[one], strict=True)),
                 "rejected_features": dict(zip("xy", features[other], strict=True))}
            )  # fmt: skip
    return rows


@pytest.mark.parametrize("method", ["em-dpo", "personal"])
def test_new_people_answer_with_items_of_a_prompt(method, tmp_path, monkeypatch, capsys):
    """As where each item has a name of its own; by the command too."""
    settings = FitSettings(method, n_types=2 if method == "em-dpo" else None, restarts=1)
    save_fit(tmp_path / "fit", fit(_table(_by_prompt(8, "p", 1)), settings))
    read, rows = load_fit(tmp_path / "fit"), _by_prompt(2, "new", 2)
    apart = [
        {**row, "chosen": f"{j} {row['chosen']}", "rejected": f"{j} {row['rejected']}"} for j, row in enumerate(rows)
    ]
    asked = np.array([[1.0, 0.0], [0.0, 1.0]])
    for who in ("new0", "new1"):
        expected = assign_pairs(read, _table(apart)).fit.score_items(asked, who)
        assert assign_pairs(read, _table(rows)).fit.score_items(asked, who) == pytest.approx(expected, abs=1e-12)
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "items.jsonl").write_text(json.dumps({"item": "i", "features": {"x": 1.0, "y": 0.0}}) + "\n")
    words = ["predict", tmp_path / "fit", tmp_path / "items.jsonl", "--answers", tmp_path / "new.jsonl"]
    monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
    assert main() == 0
    assert "new0" in capsys.readouterr().out


def test_people_may_come_one_by_one(tmp_path):
    """Each is served by the fit that was assigned when she came, however many came since."""
    save_fit(tmp_path, fit(_table(_by_prompt(6, "p", 1)), FitSettings("personal")))
    first = load_fit(tmp_path)
    one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    now = first.assign(one, other, ["early"]).fit
    expected = now.score_items(one, "early")
    for number in range(1100):
        now = replace(now, annotators=(f"new {number}",), earlier=now)
    now = now.assign(one, other, ["late"]).fit
    assert now.fitted is first
    assert len(now.known) == len(first.known) + 1102
    for who in ("early", "new 0", "late"):
        assert now.score_items(one, who) == pytest.approx(expected, abs=1e-12)
