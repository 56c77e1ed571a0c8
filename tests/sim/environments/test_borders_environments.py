"""The environments refuse what they cannot be, and say which argument is wrong."""

import numpy as np
import pytest
from borders import assert_complete, assert_refuses, assert_works, border, cases

from sim.environments.contextual_pool import ContextualPool
from sim.environments.episodic_mdp import EpisodicMDP, linear_mdp, random_mdp
from sim.environments.linear import LinearBandit, majority_bandit
from sim.environments.linear_types import LinearTypes
from sim.environments.low_rank import LowRankWorld, Targets, exotic_world, low_rank_matrix, plain_world
from sim.environments.preference_tables import (
    PreferenceCounts,
    PreferenceTables,
    bradley_terry_matrices,
    collect_counts,
    cyclic_matrix,
    is_transitive,
    uniform_pairs,
)
from sim.environments.registry import opposed_tastes
from sim.environments.tabular import TabularEnvironment, compromise_arm, random_tabular
from sim.environments.trajectory_pool import LowerBoundFamily, TrajectoryPool, sign_answers
from sim.environments.two_attributes import TwoAttributeWorld, two_attribute_world
from sim.streams import Stream

S = Stream(0, "borders")
EVEN = np.full(4, 0.25)
FLAT = np.full((2, 3), 1 / 3)
NAN = float("nan")
MDP = random_mdp(2, 3, 2, 2, S)
POOL = TrajectoryPool(S.normals((4, 2)), EVEN, EVEN)
CONTEXTUAL = ContextualPool(S.normals((2, 3, 2)), np.full(2, 0.5), FLAT, FLAT)
ATTRIBUTES = two_attribute_world(2, 3, S)
SDS = {name: np.ones(3) for name in ("feature_sd", "normal_sd", "exotic_sd")}
SIZES = {"n_states": 2, "n_actions": 2, "d": 2, "horizon": 2, "stream": S}
NO_COUNT = (0, -1, 1.5)

BORDERS = (
    border(TabularEnvironment,
           {"rewards": np.zeros((2, 2, 3)), "context_probabilities": np.full(2, 0.5), "reference": FLAT},
           rewards="nan axis", context_probabilities="nan short minus", reference="nan short minus narrow"),
    border(random_tabular, {"n_types": 2, "n_contexts": 2, "n_actions": 2, "stream": S},
           n_types=NO_COUNT, n_contexts=NO_COUNT, n_actions=NO_COUNT, scale=(NAN, 0.0)),
    border(compromise_arm, {"compromise": 1.0}, compromise=(NAN,), n_types=NO_COUNT, own=(NAN,)),
    border(LinearBandit, {"coefficients": np.zeros((2, 2, 3))},
           coefficients="nan axis", context_law=("square",), noise_sd=(NAN, -1.0, np.inf)),
    border(majority_bandit, {}, n_types=NO_COUNT, dimension=NO_COUNT, scale=(NAN,), noise_sd=(NAN, -1.0)),
    border(opposed_tastes, {}, n_types=NO_COUNT, n_features=(2, 0), n_items=(1,), strength=(NAN,)),
    border(ContextualPool,
           {"features": np.zeros((2, 3, 2)), "law": np.full(2, 0.5), "first": FLAT, "second": FLAT,
            "reference": np.array([0, 2])},
           features="nan axis", law="nan short minus", first="nan narrow", second="nan narrow",
           reference="index minus short"),
    border(TrajectoryPool, {"features": np.zeros((4, 2)), "first": EVEN, "second": EVEN, "reference": 1},
           features="nan axis", first="nan short minus", second="nan short minus", reference=(4, -1, 1.0)),
    border(sign_answers, {"differences": np.ones((3, 5, 2)), "theta": np.ones((3, 2)), "stream": S},
           differences="nan", theta="nan short narrow axis"),
    border(LowerBoundFamily, {"k": 3, "concentrability": 2.0, "margin": 0.1},
           k=(4, 0), concentrability=(NAN, 0.0), margin=(NAN, 0.0)),
    border(EpisodicMDP, {"transitions": np.full((1, 2, 3, 2), 0.5), "law": np.full(2, 0.5),
                         "features": np.zeros((2, 3, 2))},
           transitions="nan narrow axis minus", law="nan short minus", features="nan axis"),
    border(random_mdp, SIZES, n_states=NO_COUNT, n_actions=NO_COUNT, d=NO_COUNT, horizon=NO_COUNT),
    border(linear_mdp, SIZES, n_states=NO_COUNT, n_actions=NO_COUNT, d=NO_COUNT, horizon=NO_COUNT),
    border(low_rank_matrix, {"d_x": 3, "d_phi": 3, "rank": 2, "stream": S, "columns": 3},
           d_x=NO_COUNT, d_phi=NO_COUNT, rank=(0, 4), columns=(0, 4), norm=(NAN, 0.0), ratio=(NAN, 0.5),
           power=(NAN, -1.0), off_rank=(NAN, -1.0)),
    border(Targets, {"contexts": np.zeros((5, 2)), "features": np.zeros((5, 4, 3)), "rewards": np.zeros((5, 4)),
                     "exotic": np.zeros(4, dtype=bool)},
           contexts="nan short", features="nan short", rewards="nan axis", exotic="short"),
    border(LowRankWorld, {"theta": np.zeros((2, 3)), "context_sd": np.ones(2), "context_mean": np.zeros(2), **SDS},
           theta="nan axis", context_sd=("nan", "minus", np.ones(3)), feature_sd="nan minus short",
           normal_sd="nan minus short", exotic_sd="nan minus short", context_mean=("nan", np.zeros(3)),
           normal=(-1, 1.5), exotic=(-1,), hidden=(2, -1), unsafe=(NAN,), flips=(NAN, -0.1, 1.1)),
    border(plain_world, {"theta": np.zeros((2, 3))}, theta="nan axis"),
    border(exotic_world, {"theta": np.zeros((2, 3)), "common": 1},
           theta="nan axis", common=(0, 4), tau=(NAN, -1.0), exotic_scale=(NAN,), normal=(-1,), exotic=(-1,),
           unsafe=(NAN,)),
    border(TwoAttributeWorld, {name: getattr(ATTRIBUTES, name) for name in (
               "theta", "context_sd", "feature_sd", "normal_sd", "exotic_sd", "shares", "helpful", "safe",
               "temptation")},
           theta="nan", shares="nan short minus", helpful="nan short", safe="nan short", temptation=(NAN,)),
    border(two_attribute_world, {"groups": 2, "d_phi": 3, "stream": S},
           groups=(1, 1.5), d_phi=(1,), norm=(NAN, 0.0), conflict=(NAN,), skew=(NAN, 0.0), normal=(-1,),
           tempting=(-1,), temptation=(NAN,)),
    border(PreferenceCounts, {"wins": np.zeros((2, 1, 3, 3))}, wins="nan minus axis narrow"),
    border(PreferenceTables,
           {"matrices": np.zeros((2, 1, 3, 3)), "state_law": np.ones(1), "pair_law": uniform_pairs(3)},
           matrices=("nan", "axis", "narrow", np.ones((2, 1, 3, 3))), state_law="nan axis", pair_law="nan short axis"),
    border(LinearTypes, {"world": POOL, "theta": np.ones((3, 2))}, theta="nan narrow axis"),
    border(LinearTypes(POOL, np.ones((3, 2))).preferred,
           {"contexts": np.zeros(2), "types": np.zeros(2, dtype=int), "offered": np.zeros((2, 2), dtype=int)},
           types="index minus"),
    border(bradley_terry_matrices, {"rewards": np.zeros((2, 3))}, rewards="nan"),
    border(cyclic_matrix, {"n_actions": 3, "strength": 0.5}, n_actions=(1, 2.0), strength=(NAN, 2.0)),
    border(collect_counts, {"matrices": np.zeros((2, 1, 3, 3)), "per_annotator": 5, "pair_law": uniform_pairs(3),
                            "state_law": np.ones(1), "stream": S},
           matrices=("nan", "axis", "narrow", np.full((2, 1, 3, 3), 2.0)), per_annotator=NO_COUNT,
           pair_law="nan short", state_law="nan axis"),
    border(uniform_pairs, {"n_actions": 3}, n_actions=(1, 2.0)),
    border(is_transitive, {"matrix": np.zeros((3, 3))}, matrix="nan short"),
    # Methods that take arrays of the caller's.
    border(POOL.rewards, {"theta": np.ones((3, 2)), "shifts": np.zeros(3)}, theta="narrow axis", shifts="short"),
    border(POOL.collect, {"theta": np.ones((3, 2)), "per_annotator": 2, "stream": S},
           theta="nan narrow", per_annotator=NO_COUNT),
    border(CONTEXTUAL.rewards, {"theta": np.ones((3, 2))}, theta="narrow axis"),
    border(CONTEXTUAL.collect, {"theta": np.ones((3, 2)), "per_annotator": 2, "stream": S},
           theta="nan narrow", per_annotator=NO_COUNT),
    border(MDP.value, {"policy": np.zeros((2, 2), dtype=int), "reward": np.zeros((2, 3))},
           policy="index minus short", reward="nan short"),
    border(MDP.occupancy, {"policy": np.zeros((2, 2), dtype=int)}, policy="index minus short"),
    border(MDP.collect, {"theta": np.ones((3, 2)), "per_annotator": 2, "behaviour": FLAT, "stream": S},
           theta="nan narrow", per_annotator=NO_COUNT, behaviour="nan minus narrow"),
)  # fmt: skip

EXCUSED = {
    "find_environment": "a name; what is not one is refused in test_types",
    "as_environment": "anything; what is no world is refused in test_types",
    "maxmin_example": "takes nothing",
    "three_arms": "takes nothing",
    "BradleyTerryWorld": "takes nothing",
    "sigmoid": "elementwise",
    "noisy_sigmoid": "elementwise, of margins that a world computed",
    "distinct_actions": "numbers and counts that its callers checked; an impossible n_offered is refused and named",
    "successive_actions": "as distinct_actions",
    "require_pairs": "a check itself",
}
ELSEWHERE: dict[str, str] = {}


@pytest.mark.parametrize("own", BORDERS, ids=lambda own: own.name)
def test_good_arguments_work(own):
    assert_works(own)


@pytest.mark.parametrize(("own", "argument", "value"), cases(BORDERS))
def test_a_bad_argument_is_named(own, argument, value):
    assert_refuses(own, argument, value)


def test_every_public_name_is_in_the_table_or_excused():
    assert_complete("sim.environments", BORDERS, EXCUSED, ELSEWHERE)
