"""The study of types: in a world whose answers are known, who finds the types is served, and who does not is not."""

import numpy as np
import pytest

import pluralign as pl
from sim.environments.contextual_pool import ContextualPool
from sim.environments.linear import LinearBandit
from sim.environments.linear_types import LinearTypes
from sim.environments.low_rank import low_rank_matrix, plain_world
from sim.environments.registry import as_environment, find_environment, opposed_tastes
from sim.environments.tabular import random_tabular
from sim.errors import InputError
from sim.populations.simulated import simulate_pairs, table_of
from sim.streams import Stream
from sim.studies.experiments.types import experiment
from sim.studies.experiments.types.experiment import run_types
from sim.studies.experiments.types.setting import TypesSetting


def _several(replicates, **keys):
    found = {}
    for r in range(replicates):
        for row in run_types(TypesSetting(**keys), Stream(3, "types", r), {}):
            found.setdefault((row.method, row.metric), []).append(row.value)
    return {key: np.mean(values) for key, values in found.items()}


def test_opposed_types_need_to_be_told_apart():
    found = _several(6, annotators=60, answers=20)
    assert found["em_dpo", "adjusted_rand"] > 0.95
    assert found["em_dpo", "worst_type"] > found["pooled", "worst_type"] + 0.1
    assert abs(found["em_dpo", "log_likelihood"] - found["true_types", "log_likelihood"]) < 0.01
    assert found["pooled", "accuracy"] < 0.65 < 0.74 < found["em_dpo", "accuracy"]
    assert ("pooled", "adjusted_rand") not in found


def test_answers_at_even_odds_are_half_right():
    """One item in the place of two: nobody can order it, and every method called all of its answers wrong."""
    law = np.full((1, 2), 0.5)
    one = LinearTypes(ContextualPool(np.ones((1, 2, 3)), np.ones(1), law, law), np.eye(2, 3))
    rows = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(experiment, "find_environment", lambda name: one)
        for row in run_types(TypesSetting(annotators=6, answers=4, restarts=1), Stream(3, "types"), {}):
            rows[row.method, row.metric] = row.value
    assert {value for (_, metric), value in rows.items() if metric == "accuracy"} == {0.5}


def test_simulated_answers_are_asked_of_everybody_and_those_to_one_item_twice_left_out():
    """Counted in the pairs that the same seed draws."""
    world, stream = opposed_tastes(n_items=4), Stream(0, cell="simulate")
    pairs, _ = simulate_pairs(world, 5, 20, stream)
    told = np.bincount(pairs.annotator[pairs.chosen != pairs.rejected], minlength=5)
    assert told.min() < 20
    found = pl.simulate("opposed_tastes", n_annotators=5, answers=20, seed=0, n_items=4)
    assert np.array_equal(np.bincount(found.annotator, minlength=5), told)


def test_where_all_are_alike_one_reward_is_as_good():
    """The control: one type of annotator, two looked for."""
    one = _several(6, environment="opposed_tastes", annotators=60, answers=20, mixture=(1.0, 0.0), types=2)
    assert one["pooled", "log_likelihood"] > one["em_dpo", "log_likelihood"] - 0.002
    assert one["em_dpo", "adjusted_rand"] < 0.5, "1 only where no second type was found"


def test_few_answers_do_not_tell_types():
    assert _several(6, annotators=60, answers=1)["em_dpo", "adjusted_rand"] < 0.3


def _worlds():
    bandit = LinearBandit(Stream(1).normals((2, 3, 4)), "cube")
    tabular = random_tabular(2, 4, 3, Stream(2))
    low_rank = plain_world(low_rank_matrix(3, 4, 2, Stream(3)))
    tastes = opposed_tastes()
    return {
        "bandit": (bandit, bandit.coefficients.reshape(2, -1)),
        "tabular": (tabular, tabular.rewards.reshape(2, -1)),
        "low_rank": (low_rank, low_rank.theta.reshape(1, -1)),
        "tastes": (tastes, tastes.theta),
    }


@pytest.mark.parametrize("name", _worlds())
def test_rewards_are_linear_in_the_features(name):
    world, theta = _worlds()[name]
    contexts = world.draw_contexts(50, Stream(4))
    offers = world.draw_offers(contexts, 2, Stream(5))
    types = np.arange(50) % world.n_types
    features = world.features_of(world.shown(contexts), offers)
    assert features.shape == (50, 2, theta.shape[1])
    rewards = world.rewards_of(contexts, types, offers, Stream(6))
    assert np.einsum("njd,nd->nj", features, theta[types]) == pytest.approx(rewards, abs=1e-12)


def test_simulated_answers_as_a_table():
    """Items are told apart by their features; each row's features are those of its responses."""
    pairs, features = simulate_pairs(opposed_tastes(n_items=9), 12, 30, Stream(7), (0.25, 0.75))
    table = table_of(pairs, features)
    assert len(table.items) == 9
    assert (table.features[table.chosen] == features[:, 0]).all()
    assert (table.features[table.rejected] == features[:, 1]).all()
    assert table.group == tuple(f"type {z + 1}" for z in pairs.group)
    again, _ = simulate_pairs(opposed_tastes(n_items=9), 12, 30, Stream(7), (0.25, 0.75))
    assert (again.chosen == pairs.chosen).all()


class Wrong:
    n_types = 1

    def __init__(self, fault=""):
        self.fault = fault
        if fault == "lacks":
            self.preferred = None

    def draw_contexts(self, n, stream):
        return stream.uniforms(n)

    def shown(self, contexts):
        return contexts

    def draw_offers(self, contexts, n_offered, stream):
        return stream.normals((len(contexts), n_offered, 2))

    def preferred(self, contexts, types, offered):
        if self.fault == "raises":
            raise KeyError("no such thing")
        return np.full(len(contexts), 0.5)

    def features_of(self, contexts, responses):
        if self.fault == "nan":
            return responses * np.nan
        return responses[:, 0] if self.fault == "shape" else responses


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raises", r"environment Wrong raised KeyError \(test_types.py, line \d+\): 'no such thing'"),
        ("nan", r"features_of must return finite numbers \(40, 2, d\)"),
        ("shape", r"features_of must return finite numbers .* got \(40, 2\)"),
    ],
)
def test_what_a_world_of_ones_own_does_wrong_is_said(fault, message):
    simulate_pairs(as_environment(Wrong()), 8, 5, Stream(1))
    with pytest.raises(InputError, match=message):
        simulate_pairs(as_environment(Wrong(fault)), 8, 5, Stream(1))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("opposed_taste", {}, "did you mean 'opposed_tastes'"),
        ("opposed_tastes", {"types": 3}, r"raised TypeError.*unexpected keyword argument 'types'"),
        ("opposed_tastes", {"n_types": 0}, "n_types must be a whole number"),
        ("json:loads", {}, "raised TypeError"),
        ("json:__name__", {}, "expected a world or what makes one, got str"),
        ("collections:OrderedDict", {}, "does not say n_types"),
    ],
)
def test_what_is_no_world_is_said(name, settings, message):
    with pytest.raises(InputError, match=message):
        find_environment(name, **settings)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mixture": (0.5, 0.3, 0.2)}, "mixture must have 2 shares"),
        ({"annotators": 1}, "types must not exceed the 1 annotators"),
        ({"ridge": 0.0}, "ridge must be positive"),
        ({"environment": "opposed"}, "environment: there is none called 'opposed'"),
    ],
)
def test_settings_are_checked(keys, message):
    with pytest.raises(ValueError, match=message):
        TypesSetting(**keys)
