"""Policies refuse what they cannot be, and say which argument is wrong."""

import numpy as np
import pytest
from borders import assert_complete, assert_refuses, assert_works, border, cases

from sim.policies.log_linear import ArmFeatures, ItemFeatures, LogLinear
from sim.policies.mixture import FiniteMixture, Mixture
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import PreferencePairs, Rankings

NAN = float("nan")
NO_COUNT = (0, -1, 1.5)
FLAT = np.full((2, 3), 1 / 3)
POLICIES = [SoftmaxTable(FLAT), SoftmaxTable(FLAT)]
ZERO = np.zeros(4, dtype=np.int64)
ROWS = {"contexts": ZERO, "chosen": ZERO, "rejected": ZERO + 1}
CONTEXTS = np.zeros((4, 2))


def fit_table(contexts, chosen, rejected, weights):
    SoftmaxTable(FLAT).fit(PreferencePairs(contexts, chosen, rejected, ZERO, 1), weights)


def fit_table_to_rankings(contexts, responses):
    SoftmaxTable(FLAT).fit(Rankings(contexts, responses, ZERO, 1, n_ranked=2), np.ones(4))


def fit_log_linear(contexts, chosen, rejected, weights):
    LogLinear(ArmFeatures(3, 2)).fit(PreferencePairs(contexts, chosen, rejected, ZERO, 1), weights)


def fit_items(chosen, rejected, weights):
    LogLinear(ItemFeatures(np.eye(3))).fit(PreferencePairs(ZERO, chosen, rejected, ZERO, 1), weights)


BORDERS = (
    border(SoftmaxTable, {"reference": FLAT, "rewards": np.zeros((2, 3))},
           reference="nan minus axis", rewards="nan short axis", beta=(NAN, 0.0), ridge=(NAN, 0.0)),
    border(fit_table, {**ROWS, "weights": np.ones(4)},
           contexts="index minus", chosen="index minus", rejected="index minus short",
           weights="nan minus short"),
    border(fit_table_to_rankings, {"contexts": ZERO, "responses": np.tile([0, 1, 2], (4, 1))},
           contexts="index minus short", responses="index minus"),
    border(ArmFeatures, {"n_actions": 3, "dimension": 2}, n_actions=NO_COUNT, dimension=NO_COUNT),
    border(ItemFeatures, {"table": np.eye(3)}, table="nan axis"),
    border(LogLinear, {"features": ArmFeatures(3, 2), "theta": np.zeros(9), "reference": np.full(3, 1 / 3)},
           theta="nan short", reference="nan minus short", beta=(NAN, 0.0), ridge=(NAN, 0.0)),
    border(fit_log_linear, {**ROWS, "contexts": CONTEXTS, "weights": np.ones(4)},
           contexts="nan narrow", chosen="index minus", rejected="index minus", weights="nan minus short"),
    border(fit_items, {"chosen": ZERO, "rejected": ZERO + 1, "weights": np.ones(4)},
           chosen="index minus", rejected="index minus", weights="nan"),
    border(Mixture, {"policies": POLICIES, "weights": np.full(2, 0.5)},
           policies=([],), weights="nan minus short axis"),
    border(FiniteMixture, {"policies": POLICIES, "weights": np.full(2, 0.5)},
           policies=([],), weights="nan minus short axis"),
)  # fmt: skip

EXCUSED = {
    "log_softmax": "elementwise, in every inner loop; a NaN stays a NaN",
    "draw_actions": "log-probabilities of a policy, -inf allowed",
    "choice_log_likelihood": "called every round of EM on answers that the policy's fit has looked at",
}
ELSEWHERE: dict[str, str] = {}


@pytest.mark.parametrize("own", BORDERS, ids=lambda own: own.name)
def test_good_arguments_work(own):
    assert_works(own)


@pytest.mark.parametrize(("own", "argument", "value"), cases(BORDERS))
def test_a_bad_argument_is_named(own, argument, value):
    assert_refuses(own, argument, value)


def test_every_public_name_is_in_the_table_or_excused():
    assert_complete("sim.policies", BORDERS, EXCUSED, ELSEWHERE)
