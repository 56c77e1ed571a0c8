"""Populations refuse what they cannot be, and say which argument is wrong."""

import numpy as np
import pytest
from borders import assert_complete, assert_refuses, assert_works, border, cases

from sim.environments.tabular import random_tabular
from sim.populations.behaviour import Behaviour, concentrability, feature_concentrability
from sim.populations.choice import BradleyTerry, NoisyArgmax, PlackettLuce
from sim.populations.collect import collect_pairs, collect_rankings
from sim.populations.latent_types import LatentTypes
from sim.populations.shared_representation import (
    SharedRepresentation,
    clustered_heads,
    random_subspace,
    shared_population,
)
from sim.populations.simulated import simulate_pairs
from sim.streams import Stream

S = Stream(0, "borders")
NAN = float("nan")
NO_COUNT = (0, -1, 1.5)
WORLD = random_tabular(2, 2, 3, S)
ASKED = {"environment": WORLD, "population": LatentTypes(np.full(2, 0.5)), "n_annotators": 3, "stream": S}

BORDERS = (
    border(simulate_pairs, {"environment": WORLD, "n_annotators": 3, "answers": 2, "stream": S},
           n_annotators=NO_COUNT, answers=NO_COUNT),
    border(Behaviour, {}, coverage=(NAN, 0.0, 1.1), favourite=(-1, 0.5)),
    border(Behaviour(0.5).draw, {"n": 3, "n_offered": 2, "n_actions": 3, "stream": S}, n_offered=(1, 4)),
    border(concentrability, {"target": np.full((2, 3), 1 / 3), "behaviour": np.full(3, 1 / 3)},
           target="nan minus axis", behaviour="nan minus short"),
    border(feature_concentrability, {"target_features": np.zeros((4, 2)), "behaviour_features": np.ones((5, 2, 2))},
           target_features="nan axis", behaviour_features="nan axis narrow", ridge=(NAN, -1.0)),
    border(PlackettLuce, {}, scale=(NAN, 0.0, -1.0)),
    border(BradleyTerry, {}, scale=(NAN, 0.0, -1.0)),
    border(NoisyArgmax, {}, sd=(NAN, 0.0, -1.0)),
    border(BradleyTerry().choose_first, {"first": np.zeros(3), "second": np.zeros(3), "stream": S},
           first="nan axis", second="nan short"),
    border(NoisyArgmax().choose_first, {"first": np.zeros(3), "second": np.zeros(3), "stream": S},
           first="nan axis", second="nan short"),
    border(PlackettLuce().order, {"utility": np.zeros((3, 2)), "stream": S}, utility="nan axis"),
    border(LatentTypes, {"mixture": np.full(2, 0.5)}, mixture="nan minus short axis"),
    border(LatentTypes(np.full(2, 0.5)).draw, {"n_annotators": 3, "stream": S}, n_annotators=NO_COUNT),
    border(collect_pairs, {**ASKED, "pairs_per_annotator": 2}, n_annotators=NO_COUNT, pairs_per_annotator=NO_COUNT,
           population=(LatentTypes(np.full(3, 1 / 3)),)),
    border(collect_rankings, {**ASKED, "rankings_per_annotator": 2}, n_annotators=NO_COUNT,
           rankings_per_annotator=NO_COUNT, population=(LatentTypes(np.full(3, 1 / 3)),), n_offered=(1, 4),
           n_ranked=(0, 4)),
    border(SharedRepresentation, {"subspace": np.eye(3)[:, :2], "theta": np.zeros((4, 3))},
           subspace="nan axis", theta="nan narrow"),
    border(random_subspace, {"d": 3, "k": 2, "stream": S}, d=NO_COUNT, k=(0, 4)),
    border(shared_population, {"n_annotators": 3, "d": 3, "k": 2, "stream": S}, n_annotators=NO_COUNT, d=NO_COUNT,
           k=(0, 4), length=(NAN, 0.0), layout=("round",)),
    border(clustered_heads, {"n_annotators": 3, "n_clusters": 2, "stream": S}, n_annotators=NO_COUNT,
           n_clusters=NO_COUNT, length=(NAN, -1.0), spread=(NAN, -1.0)),
)  # fmt: skip

EXCUSED = {"table_of": "what `simulate_pairs` returned"}
ELSEWHERE = {"feature_pairs": "test_feature_pairs.py"}


@pytest.mark.parametrize("own", BORDERS, ids=lambda own: own.name)
def test_good_arguments_work(own):
    assert_works(own)


@pytest.mark.parametrize(("own", "argument", "value"), cases(BORDERS))
def test_a_bad_argument_is_named(own, argument, value):
    assert_refuses(own, argument, value)


def test_every_public_name_is_in_the_table_or_excused():
    assert_complete("sim.populations", BORDERS, EXCUSED, ELSEWHERE)
