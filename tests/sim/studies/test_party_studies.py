"""The studies of many parties: each runs, draws its figures, and says what is known from elsewhere."""

import numpy as np
import pytest
from figure_texts import require_words_apart
from places import EXPERIMENTS

from sim.algorithms.von_neumann import solve_matrices
from sim.environments.preference_tables import PreferenceCounts, is_transitive
from sim.streams import Stream
from sim.studies.cells import run_study
from sim.studies.experiments.pessimism.experiment import run_pessimism
from sim.studies.experiments.pessimism.setting import PessimismSetting
from sim.studies.experiments.profiles.experiment import gains_of_profile, run_profiles
from sim.studies.experiments.profiles.setting import PROFILES, ProfileSetting
from sim.studies.experiments.representation.experiment import population as representation_population
from sim.studies.experiments.representation.experiment import run_representation
from sim.studies.experiments.representation.figures import crossing
from sim.studies.experiments.representation.setting import RepresentationSetting
from sim.studies.experiments.reward_free.experiment import (
    population,
    run_reward_free,
    utilitarian_fit,
)
from sim.studies.experiments.reward_free.setting import RewardFreeSetting
from sim.studies.experiments.scaling.experiment import run_scaling
from sim.studies.experiments.scaling.setting import ScalingSetting
from sim.studies.report import StudyReport
from sim.studies.spec import load_spec

FILES = {
    "representation/violated": ["violation=[0.0, 1.0]", "parties=6", "dimension=6"],
    "representation/rank": ["fit_rank=[1, 3]", "parties=6", "dimension=6"],
    "representation/outliers": ["outlier_share=[0.0, 0.5]", "parties=6", "dimension=6"],
    "representation/sharing_gain": ["parties=[2, 6]", "answers=[50, 100]", "dimension=6"],
    "scaling/party_scaling": ["parties=[1, 4]", "answers=200"],
    "pessimism/pessimism_map": ["parties=[1, 3]", "few=[2, 200]", "well=300"],
    "profiles/welfare_profiles": ["parties=4", "actions=5", "answers=[50, 200]"],
    "types/types": ["annotators=12", "answers=[3, 6]", "test_answers=4"],
    "prompts/prompts_by_type": ["annotators=20", "answers=[2, 4]", "correlation=[0.0, 1.0]", "restarts=1"],
    "reward_free/reward_free": ["parties=[2, 3]", "cyclic=[0.0, 1.0]", "spread=[0.3, 1.0]"],
}


def mean(rows, method, metric):
    return float(
        np.mean([row.value for found in rows for row in found if (row.method, row.metric) == (method, metric)])
    )


@pytest.mark.parametrize("name", FILES)
def test_shipped_files_run_and_draw(name, tmp_path):
    spec = load_spec(EXPERIMENTS / f"{name}.yaml", [*FILES[name], "replicates=2"])
    run = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    assert np.isfinite(run.results.values()).all()
    report = StudyReport(run, None)
    figures = report.draw(tmp_path / "figures")
    require_words_apart(report.draw, tmp_path)
    assert figures
    assert all(path.stat().st_size > 2000 for path in figures)
    assert report.overview.startswith("|")


def test_every_shipped_study_is_tested():
    shipped = {f"{path.parent.name}/{path.stem}" for path in EXPERIMENTS.glob("*/*.yaml")}
    elsewhere = ("bandit", "low_rank", "attributes", "best_of_n", "tastes")
    assert {name for name in shipped if name.split("/")[0] not in elsewhere} == set(FILES)


def test_sharing_pays_with_a_common_subspace_and_not_without():
    near, far, reshuffled = (
        [run_representation(RepresentationSetting(**keys), Stream(1, "t", r), {}) for r in range(8)]
        for keys in ({}, {"violation": 1.0}, {"permuted": True})
    )
    assert mean(near, "oracle", "error") < mean(near, "shared", "error") < 0.6 * mean(near, "separate", "error")
    assert mean(far, "shared", "error") > mean(far, "separate", "error")
    # reshuffled answers say nothing of a party: the fit is as far off as theta = 0
    assert mean(reshuffled, "shared", "error") > 0.9


def test_violated_rewards_keep_their_length_and_leave_the_subspace():
    for w in (0.0, 0.6, 1.0):
        theta, subspace = representation_population(RepresentationSetting(violation=w), Stream(9))
        assert np.linalg.norm(theta, axis=1) == pytest.approx(np.ones(32))
        off = theta - theta @ subspace @ subspace.T
        assert np.linalg.norm(off, axis=1) == pytest.approx(np.full(32, w), abs=1e-9)


def test_crossing_by_hand():
    assert crossing([0, 1, 2], np.array([0.0, 1.0, 3.0]), np.array([2.0, 2.0, 2.0])) == pytest.approx(1.5)
    assert np.isnan(crossing([0, 1], np.array([3.0, 3.0]), np.array([2.0, 2.0])))


def test_one_reward_for_all_loses_the_worst_off():
    rows = [run_scaling(ScalingSetting(parties=8, answers=800), Stream(2, "t", r), {}) for r in range(8)]
    assert mean(rows, "leximin", "lost/pooled") > 0.4 > mean(rows, "leximin", "lost/shared")
    assert mean(rows, "utilitarian", "lost/pooled") < 0.1


def test_a_shared_worst_action_keeps_coverage_flat():
    """The expected covariance is the same for all parties, so that more of them change nothing."""
    few, many = (
        [
            run_scaling(ScalingSetting(parties=M, shared_worst=True, coverage_power=2.0), Stream(3, "t", r), {})
            for r in range(6)
        ]
        for M in (2, 16)
    )
    assert mean(many, "leximin", "coverage") == pytest.approx(mean(few, "leximin", "coverage"), rel=0.1)


def test_pessimism_pays_where_the_known_actions_are_good():
    good, any_known = (
        [run_pessimism(PessimismSetting(few=few, expert=expert), Stream(4, "t", r), {}) for r in range(25)]
        for few, expert in ((3, True), (60, False))
    )
    assert mean(good, "z=1", "regret") < 0.1 < mean(good, "z=0", "regret") < mean(good, "z=-2", "regret") + 0.05
    assert mean(any_known, "z=0", "regret") < mean(any_known, "z=1", "regret")
    assert mean(any_known, "joint", "regret") < mean(any_known, "z=1", "regret")


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles(profile):
    setting = ProfileSetting(profile=profile, parties=6, actions=6, answers=200)
    gains = gains_of_profile(setting, Stream(5))
    assert gains.min() == 0.0
    assert gains[1:].max() <= 1.0
    assert bool(gains[0].max() > 2.0) is (profile == "loud")
    rows = [run_profiles(setting, Stream(5, "t", r), {}) for r in range(6)]
    assert mean(rows, "nash", "scale_matters") == 0.0
    assert mean(rows, "leximin", "least") >= 0.0
    for rule in ("nash", "leximin"):
        assert mean(rows, rule, "transfers") == 0.0
    assert mean(rows, "nash", "smallest_share") >= 1 / 6 - 1e-6
    assert mean(rows, "nash", "nash_lost") == pytest.approx(0.0, abs=1e-6)


def test_reward_free_population():
    matrices, rewards = population(RewardFreeSetting(parties=4, cyclic=0.5), Stream(6))
    assert [is_transitive(N) for N in matrices] == [False, False, True, True]
    assert (matrices[:, 0, 1] > 0).all()
    assert (rewards[:2] == 0).all()


def test_reward_free_winner_is_less_exploitable_than_borda_among_cyclic_parties():
    rows = [run_reward_free(RewardFreeSetting(cyclic=1.0), Stream(7, "t", r), {}) for r in range(8)]
    assert mean(rows, "winner", "exploitability") < 0.5 * mean(rows, "borda", "exploitability")
    plain = [run_reward_free(RewardFreeSetting(parties=2), Stream(7, "t", r), {}) for r in range(8)]
    assert mean(plain, "truth", "agrees") == 1.0


def test_utilitarian_fit_against_scipy():
    from scipy.optimize import minimize

    wins = np.floor(40 * Stream(8).uniforms((1, 1, 4, 4)))
    wins[..., np.arange(4), np.arange(4)] = 0

    def loss(r):
        gap = r[:, None] - r[None]
        return float((wins[0, 0] * np.logaddexp(0, -gap)).sum() + 0.25 * (r**2).sum())

    best = minimize(loss, np.zeros(4)).x.argmax()
    assert utilitarian_fit(PreferenceCounts(wins))[0].argmax() == best
    assert solve_matrices(np.zeros((1, 2, 2))).value[0] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("setting", "keys", "words"),
    [
        (RepresentationSetting, {"violation": 1.2}, "violation must lie"),
        (RepresentationSetting, {"parties": 0}, "whole number"),
        (RepresentationSetting, {"permuted": 1}, "true or false"),
        (RepresentationSetting, {"fit_rank": 40}, "below the dimension"),
        (ScalingSetting, {"budget": "none"}, "budget must be one of"),
        (ScalingSetting, {"coverage_power": -1.0}, "must not be negative"),
        (PessimismSetting, {"known": 20}, "known must be below"),
        (ProfileSetting, {"profile": "x"}, "profile must be one of"),
        (RewardFreeSetting, {"cyclic": 2.0}, "cyclic must lie"),
    ],
)
def test_bad_settings(setting, keys, words):
    with pytest.raises(ValueError, match=words):
        setting(**keys)


def test_rows_of_a_study_are_found_again(tmp_path):
    spec = load_spec(EXPERIMENTS / "representation" / "rank.yaml", ["replicates=2", "fit_rank=[1, 2]", "parties=6"])
    run = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    assert run.results.where(method="shared", metric="error", fit_rank=2).values().shape == (2,)
    again = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    assert again.resumed == again.tasks
