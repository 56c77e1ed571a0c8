"""`pluralign fit`: scores by brute force, recovery of known groups, bad input, an all-or-nothing result folder."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from opposed import opposed_types

from pluralign.commands.fit import command
from sim.errors import InputError
from sim.estimators.bootstrap import cluster_interval
from sim.files.preference_files import write_pairs
from sim.fitting.compare import held_out_by
from sim.fitting.diagnostics.regret import group_regrets
from sim.fitting.prepare import prepare
from sim.fitting.report import fit
from sim.fitting.save import save_fit
from sim.fitting.settings import FitSettings
from sim.fitting.splits import effective_weights, hold_out, way_to_hold_out
from sim.fitting.type_model import fit_types
from sim.streams import Stream


@pytest.fixture(scope="module")
def fitted():
    return fit(opposed_types(), FitSettings(max_types=4, restarts=4))


def test_two_opposed_groups_are_found(fitted):
    summary = fitted.as_json()
    # Held-out likelihood may keep a type that nearly nobody belongs to; the people are grouped right all the same.
    assert summary["n_types"] in (2, 3)
    assert summary["adjusted_rand_index"] > 0.95
    gain = summary["differences"]["dpo"]["known_users"]
    assert gain["log_likelihood_interval"][0] > 0.05
    assert summary["few_shot"][-1]["gain_over_pooled_interval"][0] > 0
    traits = [group["against_pooled"][0]["feature"] for group in summary["groups"][:2]]
    assert traits == ["plot", "plot"]
    assert sum(group["n_annotators"] for group in summary["groups"]) == len(
        np.unique(fitted.prepared.annotator[fitted.prepared.train])
    )


def test_shares_are_those_of_the_people():
    report = fit(opposed_types(), FitSettings(n_types=2, restarts=4, ridge=0.03))
    truth = np.mean([name == "B" for name in report.prepared.table.group])
    assert report.as_json()["mixture"] == pytest.approx([truth, 1 - truth], abs=0.08)


def test_one_group_is_not_split():
    summary = fit(opposed_types(opposed=False), FitSettings(max_types=3, restarts=3)).as_json()
    gain = summary["differences"]["dpo"]["known_users"]["log_likelihood"]
    assert abs(gain) < 0.01


def test_predictions_by_brute_force(fitted):
    prepared, model = fitted.prepared, fitted.model
    ours = held_out_by(fitted.fits.asked, model, prepared).sets()
    for name, mask in (("known_users", prepared.test), ("unseen_users", prepared.unseen)):
        rows = np.flatnonzero(mask)[:50]
        for j, scored in zip(rows, ours[name], strict=False):
            gamma = model.responsibilities[prepared.annotator[j]] if name == "known_users" else model.mixture
            chance = sum(
                gamma[k] / (1 + np.exp(-prepared.differences[j] @ model.theta[k])) for k in range(model.n_types)
            )
            assert scored == pytest.approx(np.log(chance), abs=1e-10)


def test_minmax_is_no_worse_for_the_worst_group(fitted):
    regret = fitted.as_json()["regret"]
    assert regret["worst_group"]["minmax_dpo"] <= regret["worst_group"]["pooled_dpo"] + 1e-9
    assert regret["value"] >= regret["lp_value"] - 1e-9
    assert regret["value"] - regret["lp_value"] <= regret["gap"] + 1e-9
    assert np.diag(regret["matrix"]) == pytest.approx(0)


def test_pooled_policy_may_be_mixed_in(fitted):
    """A compromise that beats every mixture of two extreme policies is used; by grid search over the mixtures."""
    prepared = fitted.prepared
    theta = np.array([[1.0, 1.5, 0.0], [-1.0, 1.5, 0.0]])
    model = replace(fitted.model, theta=theta, mixture=np.array([0.5, 0.5]))
    pooled = np.array([0.0, 1.5, 0.0])
    c = np.array([1.0, 2.0])
    regret = group_regrets(model, pooled, prepared, 1.0, c)
    wider = regret.with_pooled
    columns = np.column_stack([regret.matrix, c * regret.pooled_dpo])
    grid = np.linspace(0, 1, 401)
    first, second = (side.ravel() for side in np.meshgrid(grid, grid))
    inside = first + second <= 1
    weights = np.stack([first, second, 1 - first - second])[:, inside]
    assert wider.value == pytest.approx((columns @ weights).max(axis=0).min(), abs=5e-3)
    assert wider.weights[-1] > 0.1
    assert wider.value < min(regret.lp_value, regret.worst_pooled_dpo) - 1e-3
    assert c * wider.regret_per_group == pytest.approx(columns @ wider.weights)


def test_regrets_by_brute_force(fitted):
    """beta (E_pi_z h_z - E_pi h_z) is a difference of expected rewards: the identity, on the fitted policies."""
    prepared, model, beta = fitted.prepared, fitted.model, fitted.settings.beta
    used = np.unique(np.r_[prepared.table.chosen[prepared.train], prepared.table.rejected[prepared.train]])
    rewards = prepared.features[used] @ np.vstack([model.theta, fitted.fits.centre]).T
    policies = np.exp(rewards / beta)
    policies /= policies.sum(axis=0)
    value = rewards.T @ policies
    expected = [value[z, z] - value[z, -1] for z in range(model.n_types)]
    assert fitted.as_json()["regret"]["pooled_dpo"] == pytest.approx(expected, abs=1e-9)


def test_held_out_answers_touch_no_training_item(fitted):
    prepared = fitted.prepared
    for i in range(prepared.n_annotators):
        own = prepared.annotator == i
        sides = [
            set(prepared.table.chosen[own & mask]) | set(prepared.table.rejected[own & mask])
            for mask in (prepared.train, prepared.test)
        ]
        assert not sides[0] & sides[1]
    assert prepared.test.any()
    assert not set(prepared.annotator[prepared.unseen]) & set(prepared.annotator[prepared.train])


def test_items_that_come_once_are_split_at_random():
    table = opposed_types(n_items=40_000, answers=20)
    assert way_to_hold_out(table) == "answers"
    kept, held = hold_out(table, np.ones(len(table), bool), 0.25, Stream(1), way_to_hold_out(table))
    assert (kept | held).all()
    assert held.mean() == pytest.approx(0.25, abs=0.05)
    assert effective_weights(table, kept)[kept] == pytest.approx(1.0, abs=0.1)


def _asked_often(**changes):
    """Thirty items, about which each annotator is asked again and again, under four prompts."""
    table = opposed_types(n_items=30, answers=40)
    n = len(table)
    return replace(table, prompts=("a", "b", "c", "d"), prompt=np.arange(n) % 4, split=None, **changes)


def test_what_is_held_out_goes_by_how_items_recur():
    assert way_to_hold_out(_asked_often()) == "items"
    assert way_to_hold_out(_asked_often(features=None)) == "answers"
    assert way_to_hold_out(_asked_often(kind="vector")) == "answers"
    assert way_to_hold_out(_asked_often(), "prompts") == "prompts"
    with pytest.raises(InputError, match="there is one prompt only"):
        way_to_hold_out(replace(_asked_often(), prompts=("a",), prompt=np.zeros(len(_asked_often()), int)), "prompts")


@pytest.mark.parametrize("by", ["answers", "items", "prompts", "people"])
def test_each_way_of_holding_out(by):
    table = _asked_often()
    prepared = prepare(table, Stream(3), by)
    own = prepared.table
    train, test = prepared.train, prepared.test
    assert prepared.held_out == by
    assert not set(own.annotator[prepared.unseen]) & set(own.annotator[train | test])
    if by == "people":
        assert not test.any()
    else:
        assert 0.05 < test.sum() / (train | test).sum() < 0.5
    if by in ("answers", "people"):
        assert len(own) == len(table)
    if by == "prompts":
        assert not set(own.prompt[train]) & set(own.prompt[test])
        assert len(own) == len(table)


def test_effective_weights_by_hand():
    """Three answers about three items: at most two independent comparisons."""
    table = opposed_types(n_annotators=1, answers=3, n_items=3)
    object.__setattr__(table, "chosen", np.array([0, 1, 0]))
    object.__setattr__(table, "rejected", np.array([1, 2, 2]))
    assert effective_weights(table, np.ones(3, bool)) == pytest.approx(2 / 3)


def test_group_id_is_never_read_by_the_estimator():
    with_truth, without = (
        fit(opposed_types(groups=groups), FitSettings(n_types=2, restarts=2, ridge=0.1)) for groups in (True, False)
    )
    assert (with_truth.model.theta == without.model.theta).all()
    assert "adjusted_rand_index" not in without.as_json()


def test_types_are_compared_with_the_groups_that_are_known():
    table, settings = opposed_types(), FitSettings(n_types=2, restarts=2, ridge=0.1)
    half = replace(table, group=tuple(name if i % 2 else "" for i, name in enumerate(table.group)))
    report = fit(half, settings)
    assert report.as_json()["adjusted_rand_index"] > 0.9
    assert any("training annotators have no group_id" in text for text in report.as_json()["warnings"])
    nobody = fit(replace(table, group=("",) * table.n_annotators), settings).as_json()
    assert "adjusted_rand_index" not in nobody


def test_cluster_interval_against_a_plain_bootstrap():
    values, cluster = Stream(1).normals(300) + 0.3, np.repeat(np.arange(30), 10)
    low, high = cluster_interval(values, cluster, Stream(2))
    rng = np.random.default_rng(0)
    means = [values.reshape(30, 10)[rng.integers(30, size=30)].mean() for _ in range(4000)]
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.02)
    assert cluster_interval(values, np.zeros(300), Stream(2)) == (-np.inf, np.inf)


@pytest.mark.parametrize("method", ["dpo", "cluster-dpo", "em-dpo"])
def test_command_prints_the_object_of_the_format(tmp_path, method):
    path, out = tmp_path / "pairs.parquet", tmp_path / "result"
    write_pairs(path, opposed_types())
    types = [] if method == "dpo" else ["--types", "2", "--restarts", "2"]
    options = [str(path), "--method", method, *types, "--out", str(out), "--json"]
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["method"] == method
    assert answer["n_types"] == (1 if method == "dpo" else 2)
    assert sum(answer["mixture"]) == pytest.approx(1)
    fields = {"n_pairs", "accuracy", "accuracy_interval", "log_likelihood", "log_likelihood_interval"}
    for scored in (answer["test"], *answer["baselines"].values()):
        for users in ("known_users", "unseen_users"):
            assert fields <= set(scored[users])
    assert "length" in answer["baselines"]
    assert answer["groups"]
    assert answer["out"] == str(out)
    assert json.loads((out / "fit.json").read_text())["mixture"] == answer["mixture"]
    assert yaml.safe_load((out / "resolved.yaml").read_text())["settings"]["seed"] == 0
    shares = pq.read_table(out / "annotators.parquet").to_pandas().filter(like="group_").sum(axis=1)
    assert shares.to_numpy() == pytest.approx(1.0)
    assert {p.name for p in tmp_path.iterdir()} == {"pairs.parquet", "result"}


def test_same_seed_same_numbers():
    one, two = (fit(opposed_types(), FitSettings(n_types=2, restarts=2, ridge=0.1)).as_json() for _ in range(2))
    assert json.dumps(one) == json.dumps(two)


def test_separable_answers_are_said_and_the_fit_is_finite():
    table = opposed_types(opposed=False)
    best = table.features[:, 0]
    swap = best[table.chosen] < best[table.rejected]
    chosen, rejected = np.where(swap, table.rejected, table.chosen), np.where(swap, table.chosen, table.rejected)
    object.__setattr__(table, "chosen", chosen)
    object.__setattr__(table, "rejected", rejected)
    report = fit(table, FitSettings(n_types=2, restarts=2))
    assert any("separable" in warning for warning in report.as_json()["warnings"])
    assert np.isfinite(report.model.theta).all()


def test_bad_requests(tmp_path):
    with pytest.raises(InputError, match=r"500 types and only \d+ annotators"):
        fit(opposed_types(), FitSettings(n_types=500))
    with pytest.raises(InputError, match="priorities"):
        fit(opposed_types(), FitSettings(n_types=2, restarts=1, ridge=0.1, priorities=(1.0, -1.0)))
    bare = opposed_types(n_items=79)
    object.__setattr__(bare, "features", None)
    object.__setattr__(bare, "items", tuple(f"text {j}" for j in range(len(bare) + 600)))
    with pytest.raises(InputError, match="add columns chosen_features"):
        prepare(bare, Stream())
    path = tmp_path / "pairs.parquet"
    write_pairs(path, opposed_types())
    result = CliRunner().invoke(command, [str(path), "--method", "em-dop"])
    assert isinstance(result.exception, InputError)
    assert "did you mean 'em-dpo'" in str(result.exception)
    assert CliRunner().invoke(command, [str(path), "--types", "0"]).exit_code == 2


def test_items_without_features_get_a_strength_each():
    table = opposed_types(n_items=12, opposed=False)
    object.__setattr__(table, "features", None)
    prepared = prepare(table, Stream())
    model = fit_types(prepared.answers(prepared.train), 1, 1e-3, None, 1, Stream())
    truth = opposed_types(n_items=12, opposed=False).features @ np.array([2.0, 0.5, 0.0])
    assert np.corrcoef(prepared.features @ model.theta[0], truth)[0, 1] > 0.97


def test_a_foreign_folder_is_not_overwritten(tmp_path, fitted):
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("do not lose")
    with pytest.raises(InputError, match="holds no earlier fit"):
        save_fit(foreign, fitted)
    assert (foreign / "thesis.txt").read_text() == "do not lose"
    save_fit(tmp_path / "fit", fitted)
    (tmp_path / "fit" / "notes.txt").write_text("mine too")
    with pytest.raises(InputError, match=r"holds 'notes\.txt'"):
        save_fit(tmp_path / "fit", fitted)
    assert (tmp_path / "fit" / "notes.txt").exists()
    (tmp_path / "fit" / "notes.txt").unlink()
    save_fit(tmp_path / "fit", fitted)
    assert {p.name for p in tmp_path.iterdir()} == {"mine", "fit"}
