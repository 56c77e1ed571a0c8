"""Other people's recipes as methods: scored beside ours, adapted, saved and used; groups read where they are known."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from opposed import opposed_types
from tastes import rows_of_tastes

from pluralign.commands.fit import command
from sim.errors import InputError
from sim.estimators.ideal_points import fit_ideal_points
from sim.estimators.prototypes import fit_prototypes
from sim.estimators.variational_latent import latent_evidence
from sim.files.preference_files import table_of_rows, write_pairs
from sim.fitting.diagnostics.max_min import max_min_policies
from sim.fitting.head_errors import head_errors
from sim.fitting.methods.cluster_dpo import _labels
from sim.fitting.prepare import prepare
from sim.fitting.report import fit
from sim.fitting.save import load_fit, save_fit
from sim.fitting.settings import FitSettings
from sim.streams import Stream

BASELINES = ("maxmin-rlhf", "pal", "pal-distance", "vpl", "vpl-encoder")
COMMON = {"n_types": 2, "restarts": 2, "seed": 3}


@pytest.fixture(scope="module")
def report():
    """Two opposed types; the baselines stand beside one reward each."""
    return fit(
        opposed_types(n_annotators=40, answers=30),
        FitSettings("personal", max_types=4, beside=(*BASELINES, "group-dpo")),
    )


def test_each_finds_two_opposed_types(report):
    found = report.as_json()
    assert {*BASELINES, "group-dpo", "pooled", "shared", "cluster"} <= set(found["baselines"])
    assert found["settings"]["beside"] == [*BASELINES, "group-dpo"]
    pooled = found["baselines"]["pooled"]["known_users"]["log_likelihood"]
    for name in BASELINES:
        own = found["baselines"][name]["known_users"]
        assert own["log_likelihood"] > pooled + 0.1
        low, high = found["against_pooled"][name]["known_users"]["log_likelihood_interval"]
        assert 0 < low < high
    shown = found["new_users"][-1]
    for name in BASELINES:
        assert shown[name]["gain_over_pooled"] > 0.05, name
    assert found["new_users"][0]["vpl"]["log_likelihood"] < shown["vpl"]["log_likelihood"]
    assert shown["group-dpo"]["log_likelihood"] == found["new_users"][0]["group-dpo"]["log_likelihood"]


@pytest.mark.parametrize("name", [*BASELINES, "group-dpo"])
def test_saved_and_used(name, tmp_path):
    table = opposed_types(n_annotators=20, answers=20)
    settings = FitSettings(name, ridge=1.0) if name == "group-dpo" else FitSettings(name, ridge=1.0, **COMMON)
    report = fit(table, settings)
    save_fit(tmp_path / "fit", report)
    again = load_fit(tmp_path / "fit")
    x = table.features[:5]
    for who in (report.prepared.table.annotators[report.prepared.trained[0]], None):
        assert np.array_equal(again.score_items(x, who), report.saved().score_items(x, who))
    rows = report.prepared.answers(report.prepared.train)
    adapted = [again.method.adapt(model, rows).theta for model in (again.model, report.model)]
    assert np.array_equal(*adapted)
    assert head_errors(report.fits, report.prepared) is None, "their rewards do not shrink to the common one"
    parts = report.as_json()
    if name == "maxmin-rlhf":
        model, width = report.model, len(report.groups[0].against_pooled)
        apart = model.departures[0] - report.fits.centre
        assert [abs(row.coefficient) for row in report.groups[0].against_pooled] == pytest.approx(
            np.sort(np.abs(apart))[::-1][:width]
        )
        served = parts["max_min"]
        assert min(served["utilities"]) >= max(min(served["by_shares"]), min(served["largest"])) - 1e-9
        assert served["gap"] < 1e-5
        assert sum(served["weights"]) == pytest.approx(1.0)
    if name == "vpl-encoder":
        told = parts["amortisation"]
        assert told["best"] - 1.0 < told["encoder"] <= told["best"]
        # The same without an offset, the common reward being the decoder's.
        model, (mean, variance) = report.model, report.model.latents(rows)
        evidence = latent_evidence(
            model.centre, model.subspace, mean, variance[:, :, None] * np.eye(2), rows.differences, rows.annotator,
            rows.n_annotators, weights=rows.weights,
        )  # fmt: skip
        assert told["encoder"] == pytest.approx(evidence.sum() / len(report.prepared.trained))
        assert again.method.adapt(model, rows).theta == pytest.approx(model.theta)
    if name.startswith("pal"):
        assert sum(parts["mixture"]) == pytest.approx(1.0)


def test_a_cluster_of_nobody_is_not_the_worst_off():
    """The game among those with members, whatever reward an empty cluster was left with."""
    report = fit(opposed_types(n_annotators=20, answers=20), FitSettings("maxmin-rlhf", ridge=1.0, **COMMON))
    model, said = report.model, report.as_json()["max_min"]
    left = replace(
        model, departures=np.vstack([model.departures, [30.0, -40.0, -50.0]]), shares=np.append(model.shares, 0.0)
    )
    found = max_min_policies(left, report.prepared, said["beta"])
    for name in ("weights", "utilities", "by_shares", "largest"):
        assert found[name][:2] == pytest.approx(said[name]), name
    assert found["weights"][2] == 0.0
    assert found["value"] == pytest.approx(said["value"])
    assert found["utilities"][2] < found["value"], "it would have been the worst off"


def test_ideal_points_are_fitted_adapted_saved_and_scored(tmp_path):
    """Two kinds of people who want the same much of two features, or as little: no linear reward says so."""
    table = opposed_types(n_annotators=40, answers=30, seed=4)
    best = np.where(np.arange(40) % 2, 1.0, -1.0)[table.annotator, None] * np.array([0.8, 0.4, 0.0])
    far = [((table.features[j] - best) * [1.2, 1.2, 0.0]) ** 2 for j in (table.chosen, table.rejected)]
    margin = far[1].sum(axis=1) - far[0].sum(axis=1)
    first = np.random.default_rng(5).random(len(margin)) < 1 / (1 + np.exp(-margin))
    table = replace(
        table, group=None, chosen=np.where(first, table.chosen, table.rejected),
        rejected=np.where(first, table.rejected, table.chosen),
    )  # fmt: skip
    report = fit(table, FitSettings("pal-distance", n_types=2, ridge=3.0, restarts=2))
    found, model = report.as_json(), report.model
    own = found["test"]["known_users"]["log_likelihood"]
    for name in ("pooled", "personal", "shared", "cluster"):
        assert found["baselines"][name]["known_users"]["log_likelihood"] < own - 0.05, name
    assert found["new_users"][-1]["pal-distance"]["gain_over_pooled"] > 0.1
    assert found["curvature"][0] >= found["curvature"][1] > 0.5 > 0.1 > found["curvature"][2]
    save_fit(tmp_path / "fit", report)
    again, x = load_fit(tmp_path / "fit"), table.features[:5]
    standard = again.scales.standard("items", x)
    for who in (int(report.prepared.trained[0]), None):
        name = None if who is None else table.annotators[who]
        theta = model.centre + model.shares @ model.departures if who is None else model.theta[who]
        by_hand = standard @ theta - ((standard @ model.map.T) ** 2).sum(axis=1)
        assert again.score_items(x, name) == pytest.approx(by_hand)
        chances = again.predict_proba(x[1:], x[:-1], name)
        assert np.log(chances / (1 - chances)) == pytest.approx(np.diff(by_hand))
    assert again.score_items(1e200 * x[:1]).tolist() == [-np.inf], "too far to be squared, and no warning"
    assert np.isnan(again.predict_proba(1e200 * x[:1], 1e200 * x[1:2])).all(), "which `predict` refuses"
    # A new annotator who answers as one of the fit: her weights are the best of the logits' objective, so are these.
    rows = report.prepared.train & (table.annotator == report.prepared.trained[0])
    items = [table.features[side[rows]] for side in (table.chosen, table.rejected)]
    later = again.assign(*items, ["she"] * int(rows.sum())).fit
    assert later.score_items(x, "she") == pytest.approx(
        again.score_items(x, table.annotators[report.prepared.trained[0]]), abs=0.3
    )


def test_cluster_dpo_counts_an_answer_by_its_weight():
    """Nine to one for A of half of the people, one to nine of the others: as weights they part as they do as rows."""
    labels = []
    for repeated in (True, False):
        rows: list[dict[str, object]] = []
        for person in range(8):
            for side in (0, 1):
                features = [[float(side)], [float(1 - side)]]
                row = {"annotator_id": f"p{person}", "chosen": "AB"[side], "rejected": "BA"[side], "split": "train",
                       "chosen_features": features[0], "rejected_features": features[1]}  # fmt: skip
                weight = 9 if side == person % 2 else 1
                rows += [row] * weight if repeated else [{**row, "weight": weight}]
        prepared = prepare(table_of_rows(rows, "made"), Stream(0))
        labels.append(_labels(prepared.answers(prepared.train), 2, Stream(1)))
    assert (labels[0] == labels[1]).all()
    assert labels[0][0] != labels[0][1]


def test_known_groups_are_served_alike():
    """Two thirds of the answers are one group's: one reward serves it, the robust one both as well as one can."""
    found = fit(opposed_types(n_annotators=40, answers=30, seed=2), FitSettings("group-dpo")).as_json()
    robust = {row["group"]: row for row in found["robust"]["groups"]}
    assert set(robust) == {"A", "B"}
    losses = [row["training_loss"] for row in robust.values()]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    by_group = {row["group"]: row["methods"] for row in found["by_group"]}
    worst = {method: min(by_group[g][method]["log_likelihood"] for g in by_group) for method in ("pooled", "group-dpo")}
    assert worst["group-dpo"] > worst["pooled"] + 0.02
    low, high = by_group["A"]["group-dpo"]["log_likelihood_interval"]
    assert low < by_group["A"]["group-dpo"]["log_likelihood"] < high


def test_what_cannot_be_is_one_line():
    plain, grouped = opposed_types(groups=False), opposed_types()
    contexts = table_of_rows(rows_of_tastes(people=12, answers=6), "made")
    cases = [
        (plain, FitSettings("group-dpo"), "^made.parquet, field 'group_id': method: 'group-dpo' needs known groups"),
        (plain, FitSettings("shared", beside=("pals",)), "^beside: there is none called 'pals'"),
        (plain, FitSettings("shared", beside=("cluster-dpo",)), "takes over the size of 'em-dpo'"),
        (contexts, FitSettings("low-rank", beside=("pal",)), "beside: low-rank is chosen on whole annotators"),
        (contexts, FitSettings("shared", beside=("low-rank",)), "needs what is known of annotators"),
    ]
    for table, settings, words in cases:
        with pytest.raises(InputError, match=words) as refused:
            fit(table, settings)
        assert "\n" not in str(refused.value)
    object.__setattr__(grouped, "group", ("", *grouped.group[1:]))
    with pytest.raises(InputError, match="everybody's group"):
        fit(grouped, FitSettings("group-dpo"))


@pytest.mark.parametrize("settings", [
    FitSettings("group-dpo"), FitSettings("shared", beside=("pal", "group-dpo")),
    FitSettings("group-dpo", features="words"), FitSettings("low-rank", features="words"),
])  # fmt: skip
def test_what_is_not_known_of_annotators_is_refused_before_anything_is_fitted(settings):
    """Nothing known of anybody, before features are made; of somebody, before the first method is tried."""
    said = []
    for first, table in (("", opposed_types(groups=False)), ("some", opposed_types())):
        if first:
            object.__setattr__(table, "group", ("", *table.group[1:]))
        with pytest.raises(InputError, match=r"needs (known groups|everybody's group)|the column is missing: low-rank"):
            fit(table, replace(settings, features="columns") if first else settings, said.append)
        assert [line for line in said if "held-out" in line or "fitting" in line or "words" in line] == []


def test_command_line(tmp_path):
    write_pairs(tmp_path / "pairs.jsonl", opposed_types(n_annotators=10, answers=10))
    line = [str(tmp_path / "pairs.jsonl"), "--method", "group-dpo", "--ridge", "0.1", "--json"]
    done = CliRunner().invoke(command, [*line, "--beside", "maxmin-rlhf", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert {"maxmin-rlhf", "pooled"} <= set(json.loads(done.stdout)["baselines"])
    done = CliRunner().invoke(command, [*line, "--beside", "nothing", "--out", str(tmp_path / "no")])
    assert done.exit_code != 0
    assert "nothing" in str(done.exception)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("method", ["pal", "pal-distance"])
def test_a_fit_warns_of_a_descent_that_is_cut(method, monkeypatch):
    """And not of one that has settled."""
    table = opposed_types(n_annotators=12, answers=12)
    settings = FitSettings(method, n_types=2, ridge=10.0, restarts=1)
    place = "sim.fitting.methods." + ("pal.fit_prototypes" if method == "pal" else "pal_distance.fit_ideal_points")
    inner = fit_prototypes if method == "pal" else fit_ideal_points
    for rounds, warned in ((12, True), (20_000, False)):
        monkeypatch.setattr(place, partial(inner, max_rounds=rounds))
        warnings = fit(table, settings).as_json()["warnings"]
        assert any("had not settled after 12 rounds" in said for said in warnings) == warned
        assert any("had not settled" in said for said in warnings) == warned
