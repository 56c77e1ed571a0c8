"""The low-rank studies: each shipped file runs and draws, every method is what it says, settings refuse nonsense."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from figure_texts import require_words_apart
from places import EXPERIMENTS
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression

from pluralign.commands.study import command
from sim.algorithms.reduced_pessimism import suboptimality
from sim.streams import Stream
from sim.studies.cells import run_study
from sim.studies.experiments.low_rank.experiment import run_low_rank
from sim.studies.experiments.low_rank.methods import free_numbers, learn
from sim.studies.experiments.low_rank.setting import LowRankSetting, draw_replicate
from sim.studies.report import StudyReport
from sim.studies.results import Results
from sim.studies.spec import load_spec

SMALL = ["replicates=2", "targets=20"]
FILES = {
    "low_rank/scenarios": ["n=[300, 600]", "context_mean=[0.0, 1.0]"],
    "low_rank/controls": ["n=[300, 600]"],
    "low_rank/tuning": ["n=[300]", "shift=[exotic, none]"],
    "low_rank/dimension": ["d_x=[4, 6]", "rank=[1, 2]", "n=500"],
    "low_rank/assumed_rank": ["d_x=[6, 8]", "n=[500, 1000]", "largest=90"],
    "low_rank/partial": ["n=[300, 600, 2400]", "off_rank=[0.3, 0.9]"],
    "low_rank/power": ["n=[300, 600]", "power=[0.5, 2.0]"],
    "low_rank/candidates": ["n=[300]", "exotic=[0, 1, 5]"],
    "low_rank/unsafe": ["n=[300, 600]", "betas=[0.1, 1.0]"],
    "low_rank/hidden": ["n=[80, 240]", "users=[8]", "hidden=[0, 2, 4]"],
    "attributes/attributes": ["n=[300, 600]", "conflict=[0.0, 1.0]", "groups=4"],
}
DIRECT = ("low", "full")


def several(replicates, **keys):
    """The measurements of so many replicates, by (method, metric); (replicates,) each."""
    found = {}
    for r in range(replicates):
        for row in run_low_rank(LowRankSetting(**keys), Stream(11, "test", r), {}):
            found.setdefault((row.method, row.metric), []).append(row.value)
    return {key: np.array(values) for key, values in found.items()}


@pytest.mark.parametrize("name", FILES)
def test_shipped_files_run_and_draw(name, tmp_path):
    spec = load_spec(EXPERIMENTS / f"{name}.yaml", [*SMALL, *FILES[name]])
    run = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    assert np.isfinite(run.results.values()).all()
    report = StudyReport(run, None)
    figures = report.draw(tmp_path / "figures")
    require_words_apart(report.draw, tmp_path)
    assert figures
    assert all(path.stat().st_size > 5000 for path in figures)
    assert report.overview.startswith("|")
    assert "nan" not in report.overview


def test_every_shipped_study_is_tested():
    assert {
        f"{path.parent.name}/{path.stem}"
        for name in ("low_rank", "attributes")
        for path in (EXPERIMENTS / name).glob("*.yaml")
    } == set(FILES)


def test_a_tiny_study_from_the_command_line_resumes_to_the_same_numbers(tmp_path):
    line = [str(EXPERIMENTS / "low_rank" / "candidates.yaml"), "--engine", "local", "--json"]
    for key in ("replicates=2", "targets=20", "n=[200]", "exotic=[0, 2]"):
        line += ["--set", key]
    whole = CliRunner().invoke(command, [*line, "--out", str(tmp_path / "whole")])
    assert whole.exit_code == 0, whole.output
    (records,) = (tmp_path / "whole" / "cells").iterdir()
    lines = records.read_bytes().splitlines(keepends=True)
    assert len(lines) == 5, "the format, and a line a task"
    records.write_bytes(b"".join(lines[:2]))
    again = CliRunner().invoke(command, [*line, "--out", str(tmp_path / "whole")])
    assert json.loads(again.stdout)["resumed"] == 1
    other = CliRunner().invoke(command, [*line, "--out", str(tmp_path / "other")])
    assert other.exit_code == 0
    one, two = (Results.read(tmp_path / name / "results.parquet") for name in ("whole", "other"))
    assert [{**row, "wall_s": 0} for row in one.rows()] == [{**row, "wall_s": 0} for row in two.rows()]
    assert (tmp_path / "whole" / "candidates.png").stat().st_size > 5000
    seeded = CliRunner().invoke(command, [*line, "--seed", "3", "--out", str(tmp_path / "seeded")])
    assert seeded.exit_code == 0
    assert Results.read(tmp_path / "seeded" / "results.parquet")["value"] != one["value"]


def test_full_rank_pessimism_is_regularised_logistic_regression_on_products():
    """The whole path, subspace to policy, against scikit-learn on vec(x z') and a loop over actions."""
    setting = LowRankSetting(d_x=3, common=3, exotic_features=1, n=400, ridge=1e-3, targets=25)
    rows = run_low_rank(setting, Stream(2, "test"), {})
    drawn = draw_replicate(setting, Stream(2, "test"))
    product = np.stack([np.outer(x, z).ravel() for x, z in zip(drawn.contexts, drawn.differences, strict=True)])
    sign = np.where(np.arange(400) % 2 == 0, 1.0, -1.0)
    model = LogisticRegression(C=1 / (400 * 1e-3), fit_intercept=False, tol=1e-12, max_iter=10000)
    theta = model.fit(product * sign[:, None], sign > 0).coef_[0]
    p = 1 / (1 + np.exp(-product @ theta))
    M = (product * (p * (1 - p))[:, None]).T @ product / 400 + 1e-3 * np.eye(12)
    f = np.sqrt(chi2.ppf(0.9, 12) / 400)
    policy = np.zeros((25, 20))
    for j in range(25):
        bounds = []
        for a in range(20):
            psi = np.outer(drawn.targets.contexts[j], drawn.targets.features[j, a]).ravel()
            bounds.append(psi @ theta - f * np.sqrt(psi @ np.linalg.solve(M, psi)))
        policy[j, int(np.argmax(bounds))] = 1.0
    expected = suboptimality(policy, drawn.targets.rewards)
    found = {(row.method, row.metric): row.value for row in rows}
    assert found["full/pointwise/c=1", "regret"] == pytest.approx(expected, abs=1e-9)
    assert found["full", "error"] == pytest.approx(np.linalg.norm(theta - drawn.theta.ravel()), abs=1e-5)
    best = drawn.targets.features[np.arange(25), drawn.targets.rewards.argmax(axis=1)]
    psi = np.stack([np.outer(x, phi).ravel() for x, phi in zip(drawn.targets.contexts, best, strict=True)])
    each = np.sqrt((psi * np.linalg.solve(M, psi.T).T).sum(axis=1)).mean()
    joint = np.sqrt(psi.mean(axis=0) @ np.linalg.solve(M, psi.mean(axis=0)))
    gap = found["full/distributional/c=1", "gap"]
    assert found["full", "C*"] == pytest.approx(joint, rel=1e-4)
    assert found["full/pointwise/c=1", "bound"] == pytest.approx(2 * f * each, rel=1e-4)
    assert found["full/distributional/c=1", "bound"] == pytest.approx(2 * f * joint + gap, rel=1e-4)


def test_all_the_rank_there_is_is_full_rank():
    found = several(2, n=300, fit_rank=8, targets=40)
    for metric in ("regret", "value", "exotic"):
        for kind in ("greedy/c=0", "pointwise/c=1", "distributional/c=1"):
            assert found[f"low/{kind}", metric] == pytest.approx(found[f"full/{kind}", metric], abs=1e-9)
    assert found["low", "free"] == pytest.approx([80.0, 80.0])
    assert several(1, n=300, rank=2, targets=5)["low", "free"] == 32.0


def test_no_radius_is_greedy():
    # a number of actions may tie to rounding under a radius that is not quite zero
    found = several(3, n=500, scales=(1e-9,), targets=60)
    for name in DIRECT:
        for kind in ("pointwise", "distributional"):
            assert found[f"{name}/{kind}/c=1e-09", "regret"] == pytest.approx(found[f"{name}/greedy/c=0", "regret"])
    kl = several(2, n=500, scales=(1.0,), betas=(1e-6,), targets=60, kinds=("greedy", "pointwise"))
    assert kl["low/kl/beta=1e-06/c=0", "regret"] == pytest.approx(kl["low/greedy/c=0", "regret"], abs=1e-6)
    assert kl["low/kl/beta=1e-06/c=1", "regret"] == pytest.approx(kl["low/pointwise/c=1", "regret"], abs=1e-6)


def test_true_subspace_and_many_answers_leave_no_regret():
    found = several(2, d_x=4, common=4, exotic_features=0, rank=1, n=200_000, shift="none", estimators=("oracle",))
    for kind in ("greedy/c=0", "pointwise/c=1", "distributional/c=1"):
        assert found[f"oracle/{kind}", "regret"].max() < 0.01
    assert found["oracle", "error"].max() < 0.05
    assert found["uniform", "regret"].min() > 1.0


def test_exotic_candidates_fool_the_greedy_and_not_the_pessimist():
    few, many = (several(6, n=1000, exotic=exotic, targets=100) for exotic in (0, 20))
    assert many["low/greedy/c=0", "value"].mean() < 0.4 * few["low/greedy/c=0", "value"].mean()
    assert many["low/distributional/c=1", "value"].mean() > 0.9 * few["low/distributional/c=1", "value"].mean()
    assert (many["low/distributional/c=1", "regret"] < many["full/distributional/c=1", "regret"]).all()
    assert many["uniform", "exotic"] == pytest.approx(np.full(6, 2 / 3))
    assert many["behaviour", "exotic"] == pytest.approx(np.zeros(6))


def test_the_bound_is_a_bound_and_covered_contexts_matter():
    found = several(20, n=1500, targets=60, scales=(0.5, 1.0))
    half, whole = (found[f"low/pointwise/c={scale}", "bound/width"] for scale in ("0.5", "1"))
    assert half == pytest.approx(whole / 2)
    for name in DIRECT:
        for kind in ("distributional", "pointwise"):
            inside = found[f"{name}/{kind}/c=1", "regret"] <= found[f"{name}/{kind}/c=1", "bound"]
            assert inside.mean() >= 0.9
        assert found[name, "covers"].mean() >= 0.75
    assert (found["low/distributional/c=1", "bound/width"] < found["low/distributional/c=1", "bound"]).all()
    assert found["full/distributional/c=1", "bound/width"] == pytest.approx(
        found["full/distributional/c=1", "bound"], abs=1e-9
    )
    moved = several(4, n=1500, targets=60, shift="context")
    assert moved["low", "C*"].mean() > 2 * found["low", "C*"].mean()


def test_features_that_never_vary_are_left_out_and_cost():
    setting = LowRankSetting(shift="uncovered", common=5, exotic_features=3, n=2000, targets=40)
    drawn = draw_replicate(setting, Stream(4, "test"))
    assert (drawn.differences[:, 5:] == 0).all()
    assert np.abs(drawn.theta[:, 5:]).max() > 0.05
    learned = learn("low", setting, drawn, Stream(4, "test"))
    assert learned.theta[:, 5:] == pytest.approx(np.zeros((8, 3)), abs=1e-8)
    found = several(3, shift="uncovered", common=5, exotic_features=3, n=2000, targets=40)
    assert found["low", "error"].mean() == pytest.approx(found["low", "error/common"].mean())
    assert found["low", "C*"].mean() > 20


def test_split_answers_are_half_the_answers():
    whole, halves = (several(12, n=4000, data_use=use, shift="none", targets=10) for use in ("reuse", "split"))
    for name in DIRECT:
        assert 1.25 < halves[name, "error"].mean() / whole[name, "error"].mean() < 1.7


def test_references_take_the_features_mean_away():
    keys = {"n": 500, "targets": 60, "kinds": ("pointwise",)}
    for reference in ("behaviour_mean", "action0"):
        plain, moved = (several(2, **keys, reference=reference, feature_mean=mean) for mean in (0.0, 5.0))
        for name in DIRECT:
            assert moved[f"{name}/pointwise/c=1", "regret"] == pytest.approx(plain[f"{name}/pointwise/c=1", "regret"])
    zero, moved = (several(2, **keys, feature_mean=mean) for mean in (0.0, 5.0))
    assert (moved["low/pointwise/c=1", "regret"] != zero["low/pointwise/c=1", "regret"]).all()


def test_each_user_alone_is_each_users_own_regression():
    setting = LowRankSetting(
        users=6, n=180, common=4, exotic_features=0, exotic=0, estimators=("per_user",), targets=12
    )
    drawn = draw_replicate(setting, Stream(5, "test"))
    assert drawn.contexts[:6] == pytest.approx(drawn.contexts[6:12])
    assert drawn.targets.contexts[:6] == pytest.approx(drawn.contexts[:6])
    learned = learn("per_user", setting, drawn, Stream(5, "test"))
    sign = np.where(np.arange(180) // 6 % 2 == 0, 1.0, -1.0)
    for user in range(6):
        own = drawn.user == user
        model = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-12, max_iter=5000)
        model.fit((drawn.differences * sign[:, None])[own], sign[own] > 0)
        assert learned.theta[user] == pytest.approx(model.coef_[0], abs=1e-4)


def test_hidden_contexts_leave_users_and_take_from_strangers():
    keys = {"users": 20, "n": 2000, "common": 8, "exotic_features": 0, "exotic": 0, "targets": 40,
            "estimators": ("low", "per_user", "user_low", "context_free"), "kinds": ("greedy",)}  # fmt: skip
    seen, unseen = (several(6, **keys, hidden=hidden) for hidden in (0, 5))
    assert unseen["per_user", "agreement"] == pytest.approx(seen["per_user", "agreement"])
    assert unseen["user_low", "agreement"] == pytest.approx(seen["user_low", "agreement"])
    assert seen["user_low", "agreement"].mean() > seen["per_user", "agreement"].mean() + 0.03
    assert unseen["low", "agreement"].mean() < seen["low", "agreement"].mean() - 0.1
    assert seen["low", "agreement/strangers"].mean() > 0.85
    assert (seen["low", "agreement/strangers"] != seen["low", "agreement"]).all()
    assert ("per_user", "agreement/strangers") not in seen
    assert ("per_user/greedy/c=0", "regret/strangers") not in seen
    assert 0.4 < seen["context_free", "agreement/strangers"].mean() < 0.6


def test_a_mean_context_gives_the_context_free_something_to_learn():
    zero, two = (several(5, n=4000, context_mean=mean, shift="none", targets=80, estimators=("context_free",))
                 for mean in (0.0, 2.0))  # fmt: skip
    assert zero["context_free", "agreement"].mean() < 0.56
    assert two["context_free", "agreement"].mean() > 0.6


def test_chosen_ranks():
    found = several(4, n=3000, targets=10, estimators=("bic", "rank1", "rank3"), kinds=("greedy",))
    assert found["bic", "rank"] == pytest.approx(np.full(4, 2.0))
    assert found["rank3", "rank"] == pytest.approx(np.full(4, 3.0))
    # a rank too few misses a fixed part: sqrt(1/2) of the norm 1.5 of two equal singular values
    assert found["rank1", "error/common"].mean() == pytest.approx(1.5 / np.sqrt(2), abs=0.1)
    assert found["truth", "tail"] == pytest.approx(np.zeros(4), abs=1e-9)


def test_nuclear_norm_beats_the_unconstrained_fit():
    found = several(3, n=300, targets=10, estimators=("full", "nuclear"), kinds=("greedy",))
    assert (found["nuclear", "error"] < 0.8 * found["full", "error"]).all()
    assert (found["nuclear", "rank"] < 8).all()


def test_what_is_too_large_is_left_out_and_said():
    setting = LowRankSetting(n=200, targets=5, largest=79)
    rows = run_low_rank(setting, Stream(1, "test"), {})
    assert [(row.method, row.value) for row in rows if "left out" in row.status] == [("full", None)]
    assert free_numbers("full", setting) == 80
    assert free_numbers("low", setting) == 32
    assert free_numbers("context_free", setting) == 10


def test_partial_rank_has_a_tail():
    setting = LowRankSetting(off_rank=0.5, n=100, targets=5)
    drawn = draw_replicate(setting, Stream(1, "test"))
    values = np.linalg.svd(drawn.theta)[1]
    rows = {(row.method, row.metric): row.value for row in run_low_rank(setting, Stream(1, "test"), {})}
    assert rows["truth", "tail"] == pytest.approx(np.sqrt((values[2:] ** 2).sum()))
    assert 0.3 < rows["truth", "tail"] < 0.75
    assert drawn.theta[:, 6:] == pytest.approx(np.zeros((8, 4)))


def test_dials_move_what_they_say():
    base = LowRankSetting(n=50, targets=4)
    values = np.linalg.svd(draw_replicate(replace(base, rank=3, ratio=4.0), Stream(1)).theta)[1]
    assert values[0] / values[2] == pytest.approx(4.0)
    assert np.linalg.norm(values) == pytest.approx(1.5)
    power = np.linalg.svd(draw_replicate(replace(base, power=1.0), Stream(1)).theta)[1]
    assert power[:6] == pytest.approx(power[0] / np.arange(1, 7))
    far = draw_replicate(replace(base, tau=1e-6, n=2000), Stream(1)).differences
    assert far[:, 6:].std() == pytest.approx(1e-6, rel=0.05)
    unsafe, safe = (draw_replicate(replace(base, unsafe=worth), Stream(1)).targets for worth in (-2.0, 0.0))
    assert unsafe.rewards - safe.rewards == pytest.approx(np.where(safe.exotic, -2.0, 0.0) * np.ones((4, 1)))
    moved = draw_replicate(replace(base, shift="mean", targets=4000), Stream(1))
    assert moved.targets.contexts.mean(axis=0) == pytest.approx(np.repeat([1.0, 0.0], 4), abs=0.1)
    uneven = draw_replicate(replace(base, shift="isotropic", tau=0.01, n=4000), Stream(1)).differences
    assert uneven.std(axis=0)[[0, -1]] == pytest.approx([1.0, 0.01], rel=0.05)
