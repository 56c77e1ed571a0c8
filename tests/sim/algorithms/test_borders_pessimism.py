"""Pessimistic policies refuse what no policy can be made of: NaN, a reference off the simplex, targets without rows."""

import numpy as np
import pytest
from borders import assert_refuses, assert_works, border, cases

from sim.algorithms.pessimistic_policy import likelihood_pessimistic_policy, pessimistic_policy
from sim.algorithms.prs import fit_reward, learn_reward, prs
from sim.algorithms.reduced_pessimism import (
    distributional_policy,
    greedy_policy,
    lower_bounds,
    mean_value,
    pointwise_policy,
    reduced_policy,
    regularised_policy,
    relative_features,
    scaled_actions,
    suboptimality,
)
from sim.estimators.confidence import Ellipsoid
from sim.estimators.likelihood_set import LikelihoodSet
from sim.streams import Stream

S = Stream(0, "borders-policies")
NAN = float("nan")
FEATURES = S.child("features").normals((3, 2))
FLAT = np.full(3, 1 / 3)
OFF = (np.array([5.0, -1.0, 0.0]), np.full(3, 0.5))
ELLIPSOID = Ellipsoid(np.ones(2), np.eye(2), 0.1)
PSI = S.child("psi").normals((4, 3, 2))
OF_PSI = {"psi": PSI, "ellipsoid": ELLIPSOID}
BAD_PSI = ("nan", "narrow", "axis", PSI[0], PSI[:0], PSI[:, :0])
POLICY = np.full((4, 3), 1 / 3)
X, Z = S.child("x").normals((60, 3)), S.child("z").normals((60, 4))
TARGETS = {"target_contexts": S.child("tx").normals((5, 3)), "target_features": S.child("tf").normals((5, 2, 4))}
ANSWERS = {"contexts": X, "differences": Z, "rank": 1}
REWARD = learn_reward(**ANSWERS)
OF_TARGETS = {"contexts": TARGETS["target_contexts"], "features": TARGETS["target_features"]}

BORDERS = [
    border(pessimistic_policy, {"features": FEATURES, "reference": FLAT, "ellipsoid": ELLIPSOID, "max_steps": 5},
           features=("nan", "narrow", "axis", FEATURES[:0]), reference=("nan", "short", "axis", *OFF),
           tolerance=(NAN, -1.0), max_steps=(0, -1, 1.5)),
    border(likelihood_pessimistic_policy,
           {"features": FEATURES, "reference": FLAT, "rewards": LikelihoodSet(X[:20, :2], 0.1)},
           features="nan narrow axis", reference=("nan", "short", *OFF), tolerance=(NAN, 0.0)),
    border(relative_features, {"features": PSI, "reference": "behaviour_mean", "behaviour": np.zeros(2)},
           features=("nan", "axis", PSI[0]), reference=("first",), behaviour=("nan", "short", "axis", None)),
    border(scaled_actions, OF_PSI, psi=BAD_PSI),
    border(lower_bounds, OF_PSI, psi=BAD_PSI),
    border(greedy_policy, OF_PSI, psi=BAD_PSI),
    border(pointwise_policy, OF_PSI, psi=BAD_PSI),
    border(distributional_policy, {**OF_PSI, "max_sweeps": 2}, psi=BAD_PSI, tolerance=(NAN, -1.0),
           max_sweeps=(-1, 1.5), start=("cold",)),
    border(reduced_policy, {**OF_PSI, "kind": "distributional"}, psi=BAD_PSI, kind=("dist",), tolerance=(NAN, -1.0),
           max_sweeps=(-1,)),
    border(scaled_actions(**OF_PSI).distributional, {"constant": 1.0}, constant=(NAN, -1.0), tolerance=(NAN,),
           max_sweeps=(-1,)),
    border(mean_value, {"policy": POLICY, **OF_PSI}, policy="nan short narrow", psi=("nan", "narrow", PSI[0])),
    border(regularised_policy, {**OF_PSI, "beta": 1.0, "reference": POLICY}, psi=BAD_PSI, beta=(NAN, 0.0, -1.0),
           reference=("nan", "minus", "short", 2 * POLICY)),
    border(suboptimality, {"policy": POLICY, "rewards": PSI[:, :, 0]}, policy="nan axis", rewards="nan short narrow"),
    border(prs, {**ANSWERS, **TARGETS}, contexts="nan short axis", differences="nan axis", rank=(0, 4, True),
           target_contexts=("nan", "short", "narrow", "axis"),
           target_features=("nan", "narrow", "axis", TARGETS["target_features"][:1], TARGETS["target_features"][:, :0]),
           kind=("optimistic",), scale=(NAN, -1.0), ridge=(NAN, -1.0)),
    border(learn_reward, {**ANSWERS, "second": (X, Z)}, contexts="nan short", second=((X,),), scale=(NAN, -1.0)),
    border(fit_reward, {**ANSWERS, "ridge": 1e-3}, contexts="nan short", differences="nan", rank=(0, 4)),
    border(REWARD.psi, OF_TARGETS, contexts="nan narrow axis short", features=("nan", "narrow", "axis")),
    border(REWARD.policy, OF_TARGETS, contexts="nan narrow axis short", features="nan narrow axis"),
    border(REWARD.at_scale, {"scale": 1.0}, scale=(NAN, -1.0)),
]  # fmt: skip


@pytest.mark.parametrize("own", BORDERS, ids=lambda own: own.name)
def test_good_arguments_work(own):
    assert_works(own)


@pytest.mark.parametrize(("own", "argument", "value"), cases(BORDERS))
def test_a_bad_argument_is_named(own, argument, value):
    assert_refuses(own, argument, value)


@pytest.mark.parametrize("part", [0, 1])
def test_the_second_answers_are_looked_at(part):
    second = [X, Z]
    second[part] = second[part] * np.nan
    with pytest.raises(ValueError, match="contexts must be finite" if part == 0 else "differences must be finite"):
        learn_reward(**ANSWERS, second=tuple(second))


def test_one_row_of_targets_is_not_spread_over_all():
    with pytest.raises(ValueError, match="target_contexts has 5 rows and target_features 1"):
        prs(X, Z, 1, TARGETS["target_contexts"], TARGETS["target_features"][:1])
