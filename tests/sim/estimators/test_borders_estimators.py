"""Estimators refuse what they cannot estimate from, and say which argument is wrong."""

import numpy as np
import pytest
from borders import assert_complete, assert_refuses, assert_works, border, cases

from sim.estimators.bootstrap import annotator_interval, annotator_intervals, cluster_interval, cluster_intervals
from sim.estimators.choice_panel import choice_panel, pair_panel
from sim.estimators.clustered_errors import clustered_covariance, conditional_logit, limits_by_person
from sim.estimators.confidence import Ellipsoid, answer_covariance
from sim.estimators.likelihood_set import LikelihoodSet
from sim.estimators.mixed_logit import mixed_logit
from sim.estimators.nuclear_norm import fit_nuclear_norm, largest_penalty
from sim.estimators.panel_draws import normal_draws
from sim.estimators.party_confidence import PartyConfidence, gains, party_confidence
from sim.estimators.party_rewards import estimate_party_rewards, estimation_rate
from sim.estimators.plackett_luce import fit_plackett_luce
from sim.estimators.rank_choice import choose_rank, penalty
from sim.estimators.reduced_confidence import reduced_confidence, reduced_fit, scaled_error
from sim.estimators.reduced_subspace import ReducedSubspace, reduced_subspace
from sim.estimators.unidentified import screen_columns
from sim.streams import Stream

S = Stream(0, "borders")
NAN = float("nan")
NO_COUNT = (0, -1, 1.5)
X, Z = S.normals((20, 3)), S.child("z").normals((20, 2))
THETA = S.child("theta").normals((3, 2))
SPACE = reduced_subspace(THETA, 1)
PARTIES = {"theta": np.zeros((2, 3)), "covariance": np.tile(np.eye(3), (2, 1, 1)), "radius": np.ones(2)}
SET = PartyConfidence(**PARTIES)
CHOICES = {"rows": S.child("rows").normals((24, 2)), "starts": np.arange(0, 25, 2), "annotator": np.arange(12) % 4,
           "n_annotators": 4, "weights": np.ones(12)}  # fmt: skip
CHOICES_BAD = {
    "rows": "nan axis", "starts": ("short", "index", "minus", [0, 0, *range(4, 25, 2)]),
    "annotator": "index minus short axis", "n_annotators": (0, 1.5), "weights": "nan minus short",
}  # fmt: skip

BORDERS = (
    border(annotator_interval, {"values": np.arange(6.0), "annotator": np.arange(6), "stream": S},
           values="nan axis", annotator="short", weights=(np.full(6, NAN), np.ones(5))),
    border(annotator_intervals, {"values": np.ones((2, 6)), "annotator": np.arange(6), "stream": S},
           values="nan axis", annotator="short", weights=(np.full(6, NAN), np.ones(5))),
    border(cluster_interval, {"values": np.arange(6.0), "cluster": np.arange(6), "stream": S, "draws": 10},
           values="nan axis", cluster="short", level=(NAN, 0.0, 1.0), draws=NO_COUNT),
    border(cluster_intervals, {"values": np.ones((2, 6)), "cluster": np.arange(6), "stream": S, "draws": 10},
           values="nan axis", cluster="short", level=(NAN, 0.0, 1.0), draws=NO_COUNT),
    border(Ellipsoid, {"estimate": np.zeros(2), "covariance": np.eye(2), "radius": 1.0},
           estimate="nan axis", covariance="nan short axis", radius=(NAN, -1.0)),
    border(answer_covariance, {"differences": Z, "regularisation": 0.1},
           differences=("nan", np.zeros(3)), regularisation=(NAN, -1.0)),
    border(LikelihoodSet, {"differences": Z, "drop": 1.0}, differences="nan axis", drop=(NAN, -1.0), ridge=(NAN, 0.0)),
    border(largest_penalty, {"contexts": X, "differences": Z}, contexts="nan short", differences="nan short"),
    border(PartyConfidence, PARTIES, theta="nan axis", covariance="nan short narrow", radius="nan minus short"),
    border(SET.gain_bounds, {"features": np.zeros((2, 4, 3))}, features="narrow axis"),
    border(SET.errors, {"truth": np.zeros((2, 3))}, truth="short axis"),
    border(party_confidence, {"differences": np.ones((2, 5, 3)), "theta": np.zeros((2, 3)), "radius": 1.0},
           differences="nan short narrow", theta="nan axis", radius=(NAN, -1.0), regularisation=(NAN, -1.0)),
    border(gains, {"theta": np.zeros((2, 3)), "features": np.zeros((2, 4, 3))},
           theta="nan axis", features="nan narrow"),
    border(estimate_party_rewards,
           {"differences": S.normals((1, 3, 8, 3)), "method": "oracle", "rank": 1, "subspace": np.eye(3)[:, :1]},
           differences="nan axis", method=("alone",), subspace=("nan", "short", None), ridge=(NAN, 0.0),
           longest=(NAN, 0.0)),
    border(estimation_rate, {"n": 10, "parties": 2, "d": 3, "rank": 1}, n=NO_COUNT, parties=NO_COUNT, d=NO_COUNT,
           rank=NO_COUNT, delta=(NAN, 0.0, 1.0)),
    border(fit_plackett_luce, {"features": S.normals((5, 3, 2)), "n_ranked": 2, "weights": np.ones(5),
                               "start": np.zeros(2)},
           features="nan axis", n_ranked=(0, 4), weights="nan minus short", start="nan short", ridge=(NAN, -1.0),
           tolerance=(NAN, 0.0), max_steps=(-1, 1.5)),
    border(penalty, {"criterion": "bic", "n": 10, "d_x": 2, "d_phi": 2},
           criterion=("best", "held_out"), n=NO_COUNT, d_x=NO_COUNT, d_phi=NO_COUNT),
    border(choice_panel, CHOICES, **CHOICES_BAD),
    border(pair_panel, {"differences": Z, "annotator": np.arange(20)}, differences="nan axis", annotator="short axis",
           n_annotators=(0, 1.5), weights=([1.0], np.zeros(20))),
    border(conditional_logit, CHOICES, **CHOICES_BAD, ridge=(NAN, -1.0), tolerance=(NAN, -1.0), max_steps=(-1, 1.5)),
    border(clustered_covariance, {"information": np.eye(2), "scores": Z}, information="nan short narrow",
           scores="nan axis", clusters=(0, 21, 1.5)),
    border(limits_by_person, {"estimate": np.ones(2), "errors": np.ones(2), "people": 3}, estimate="nan axis",
           errors="short axis", people=NO_COUNT, level=(NAN, 0.0, 1.0)),
    border(mixed_logit, {**CHOICES, "random": [0], "draws": 4, "start": np.ones(3)}, **CHOICES_BAD,
           random=([2], [-1], [0.5]), draws=NO_COUNT, kind=("uniform",), start="nan short axis", tolerance=(NAN, -1.0),
           max_steps=(-1, 1.5)),
    border(normal_draws, {"n_people": 2, "dimension": 1, "draws": 4, "stream": S}, n_people=NO_COUNT,
           dimension=(-1, 1.5), draws=NO_COUNT, kind=("uniform",)),
    border(choose_rank, {"contexts": X, "differences": Z, "ranks": [1], "fold": np.arange(20) % 2},
           contexts="nan short axis", differences="nan short axis", ranks=((), (9,)), criterion=("best",),
           fold="short", ridge=(NAN, -1.0)),
    border(reduced_fit, {"psi": Z, "ridge": 0.1}, psi="nan axis", ridge=(NAN, -1.0)),
    border(reduced_confidence, {"subspace": SPACE, "contexts": X, "differences": Z, "mode": "theory", "truth": THETA},
           contexts="nan short narrow", differences="nan short narrow", mode=("exact",), delta=(NAN, 0.0, 1.0),
           scale=(NAN, -1.0), ridge=(NAN, -1.0), truth=("nan", "short", None), dimension=(0.0, -1.0, NAN)),
    border(scaled_error, {"ellipsoid": Ellipsoid(np.zeros(2), np.eye(2), 1.0), "truth": np.ones(2)},
           truth="short axis"),
    border(ReducedSubspace, {"left": np.eye(3), "right": np.eye(2), "rank": 1},
           left="nan short", right="nan short", rank=(0, 3)),
    border(SPACE.vector, {"theta": THETA}, theta="short axis"),
    border(SPACE.matrix, {"vector": SPACE.vector(THETA)}, vector="short axis"),
    border(reduced_subspace, {"theta": THETA, "rank": 1}, theta="nan axis", rank=(0, 3)),
    border(screen_columns, {"matrix": X, "names": ["a", "b", "c"]},
           matrix="nan axis", names=(["a"],), tolerance=(NAN, 0.0)),
)  # fmt: skip

NUCLEAR = border(
    fit_nuclear_norm, {"contexts": X, "differences": Z, "penalty": 0.1},
    contexts="nan short", differences="nan short", penalty=(NAN, 0.0),
)  # fmt: skip
BORDERS = (*BORDERS, NUCLEAR)

EXCUSED = {
    "SpreadOverPeople": "of checked answers",
    "edge_limits": "of a mean's checked parts",
    "half_over_people": "of a mean's checked parts",
    "curvature": "elementwise; infinite margins have curvature 0",
    "chi2_quantile": "of a checked level",
    "ConditionalLogit": "a result",
    "MixedLogit": "a result",
    "SimulatedLikelihood": "made by mixed_logit, which checks",
    "annotator_scores": "of a checked panel",
    "choice_scores": "of a checked panel",
    "derivatives": "of a checked panel",
    "free_entries": "two values",
    "information_matrix": "of a checked likelihood",
    "is_separated": "of a checked panel",
    "inverse": "of the information of checked choices",
    "whitening": "of scores of checked choices",
    "log_probabilities": "of a checked panel",
    "AnswerSpectrum": "a result",
    "answer_spectrum": "of answers that fit_shared and cluster_users checked",
    "WideAnswers": "the same",
    "WideClusters": "the same",
    "WideFit": "a result",
    "fit_wide_subspace": "the same",
    "in_threes": "of a number of vectors that these checked",
    "PlackettLuceFit": "a result",
    "RankChoice": "a result",
    "Screened": "a result",
}
ELSEWHERE = {
    "bilinear_choices": "test_bilinear_choices.py",
    "bradley_terry": "test_borders_fits.py",
    "low_rank": "test_borders_fits.py",
    "low_rank_descent": "test_borders_fits.py",
    "low_rank_rankings": "test_borders_fits.py",
    "ideal_points": "test_borders_fits.py",
    "latent_encoder": "test_borders_fits.py",
    "prototypes": "test_borders_fits.py",
    "shared_representation": "test_borders_fits.py",
    "user_clusters": "test_borders_fits.py",
    "variational_latent": "test_borders_fits.py",
    "full_rank": "test_borders_fits.py",
    "low_rank_problem": "test_borders_fits.py",
}


@pytest.mark.parametrize("own", BORDERS, ids=lambda own: own.name)
def test_good_arguments_work(own):
    assert_works(own)


@pytest.mark.parametrize(("own", "argument", "value"), cases(BORDERS))
def test_a_bad_argument_is_named(own, argument, value):
    assert_refuses(own, argument, value)


def test_every_public_name_is_in_the_table_or_excused():
    assert_complete("sim.estimators", BORDERS, EXCUSED, ELSEWHERE)
