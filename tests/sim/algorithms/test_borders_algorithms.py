"""Algorithms refuse what they cannot work on, and say which argument is wrong."""

import numpy as np
import pytest
from borders import assert_complete, assert_refuses, assert_works, border, cases

from sim.algorithms.aggregation import aggregate, aggregate_prime, aggregate_weights, checked_alpha
from sim.algorithms.axioms import AXIOMS, Lexicographic, axiom_table
from sim.algorithms.cluster_dpo import cluster_dpo, mean_chosen_features
from sim.algorithms.cross_fit import Fixed, split_answers
from sim.algorithms.discrepancy import label_discrepancy, searched_discrepancy
from sim.algorithms.dpo import dpo, dpo_loss
from sim.algorithms.em_dpo import em_dpo, em_dpo_restarts, random_split
from sim.algorithms.fairness import (
    choice_invariance,
    pareto_lottery,
    pareto_option,
    pigou_dalton_lottery,
    pigou_dalton_option,
    smallest_share,
)
from sim.algorithms.group_robust_dpo import group_robust_dpo
from sim.algorithms.k_means import k_means
from sim.algorithms.max_min_rlhf import max_min_policy
from sim.algorithms.maximin_policy import maximin_policy
from sim.algorithms.minmax_dpo import minmax_dpo, weigh
from sim.algorithms.model_selection import (
    bic,
    choose_n_types_by_bic,
    choose_n_types_by_held_out,
    n_mixture_parameters,
    predictive_log_likelihood,
)
from sim.algorithms.opinion_distances import opinion_distance, printed_distance
from sim.algorithms.orderings import aggregation_rule
from sim.algorithms.pessimistic_aggregation import pessimistic_aggregate_policy
from sim.algorithms.pessimistic_welfare import (
    joint_policy,
    joint_value,
    log_welfare_bounds,
    pessimistic_lottery,
    statewise_policy,
    utilitarian_policy,
    welfare_value,
)
from sim.algorithms.pooling import checked_opinions, pool_opinions
from sim.algorithms.pop_dpo import pooled_pairs, pop_dpo_optimum
from sim.algorithms.prompt_laws import PromptLaws
from sim.algorithms.regret import checked_priorities, discrepancy, discrepancy_sampled, regret_matrix
from sim.algorithms.saddle_point import DirectGame, saddle_point_gradient, saddle_point_table
from sim.algorithms.stochastic_cluster_dpo import stochastic_cluster_dpo
from sim.algorithms.welfare import NASH, UTILITARIAN, WelfareRule, share_of_maximum
from sim.algorithms.worst_case_weights import exponentiated_step, worst_case_weights
from sim.estimators.confidence import Ellipsoid
from sim.estimators.party_confidence import PartyConfidence
from sim.policies.log_linear import ItemFeatures, LogLinear
from sim.preferences import PreferencePairs
from sim.streams import Stream

S = Stream(0, "borders")
NAN = float("nan")
NO_COUNT = (0, -1, 1.5)
REWARDS = S.normals((3, 4))
TABLE = S.child("table").uniforms((2, 3))
FLAT = np.full(3, 1 / 3)
SETS = PartyConfidence(np.array([[1.0, 0.0], [0.0, 1.0]]), np.tile(np.eye(2), (2, 1, 1)), np.full(2, 0.1))
FEATURES = S.child("features").normals((2, 3, 2))
STATES = {"features": FEATURES, "law": np.full(2, 0.5), "confidence": SETS}
CHOSEN = np.tile([0, 1], 6)
ANNOTATOR = np.repeat(np.arange(4), 3)
PAIRS = PreferencePairs(np.zeros(12, dtype=int), CHOSEN, np.full(12, 2), ANNOTATOR, 4)
HALVES = np.tile([0.5, 0.5], (4, 1))
DIFFERENCES = S.child("differences").normals((12, 2))
OPINIONS = np.array([[0.2, 0.8], [0.5, 0.5], [0.4, 0.6]])
LOG_RATIO = S.child("ratio").normals((2, 2, 3))
GAME = {"log_ratio": LOG_RATIO, "optimum": np.full((2, 2, 3), 1 / 3), "context_probabilities": np.full(2, 0.5),
        "priorities": np.ones(2)}  # fmt: skip
CHANCES = {"first": np.full(12, 0.5), "second": np.full(12, 0.4), "differences": DIFFERENCES, "radius": 1.0}
ELLIPSOID = Ellipsoid(np.zeros(2), np.eye(2), 0.1)


def _policies(n=2):
    return [LogLinear(ItemFeatures(np.eye(3)), theta=np.eye(3)[k % 3]) for k in range(n)]


def _worst(weights):
    return -np.sign(weights)


BORDERS = (
    border(checked_alpha, {"alpha": 0.0}, alpha=(NAN,)),
    border(aggregate, {"rewards": REWARDS, "alpha": 0.5}, rewards=("nan", np.zeros(3)), alpha=(NAN,)),
    border(aggregate_prime, {"rewards": REWARDS, "alpha": 0.5}, rewards=("nan", np.zeros(3)), alpha=(NAN, np.inf)),
    border(aggregate_weights, {"rewards": REWARDS, "alpha": 0.5}, rewards=("nan", np.zeros(3)), alpha=(NAN,)),
    border(aggregation_rule, {"alpha": 0.5}, alpha=(NAN,)),
    border(axiom_table, {"rules": [Lexicographic()], "stream": S, "trials": 5}, trials=NO_COUNT,
           n_annotators=(0, 1)),
    border(AXIOMS["symmetry"].check, {"rule": Lexicographic(), "stream": S, "trials": 5}, trials=NO_COUNT,
           n_annotators=(0, 1)),
    border(mean_chosen_features, {"features": DIFFERENCES, "annotator": ANNOTATOR, "n_annotators": 4,
                                  "weights": np.ones(len(ANNOTATOR))},
           features="nan short axis", annotator="index minus short", n_annotators=(0, 1.5), weights="nan minus short"),
    border(k_means, {"points": DIFFERENCES, "n_clusters": 2, "stream": S}, points="nan axis", n_clusters=NO_COUNT),
    border(cluster_dpo, {"pairs": PAIRS, "chosen_features": np.eye(3)[CHOSEN], "policies": _policies(), "stream": S},
           chosen_features="nan short axis", policies=([],)),
    border(split_answers, {"annotator": ANNOTATOR, "stream": S, "question": ANNOTATOR}, annotator="minus axis nan",
           question="minus axis short nan"),
    border(Fixed, {"responsibilities": HALVES}, responsibilities="nan minus axis"),
    border(label_discrepancy, CHANCES, first="nan short", second="nan short", differences="nan axis",
           radius=(NAN, -1.0)),
    border(searched_discrepancy, {**CHANCES, "directions": 20}, first="nan short", second="nan short",
           differences="nan narrow", radius=(NAN, -1.0), directions=NO_COUNT),
    border(dpo, {"policy": _policies()[0], "observations": PAIRS, "weights": np.ones(12)},
           weights=("nan", "minus", "short", np.ones(1))),
    border(dpo_loss, {"log_likelihood": -np.ones(3), "weights": np.ones(3)}, log_likelihood="nan axis",
           weights="nan minus short"),
    border(em_dpo, {"observations": PAIRS, "policies": _policies(), "start": HALVES, "max_rounds": 1},
           policies=([],), start="nan short axis", max_rounds=(-1, 1.5), tolerance=(NAN, -1.0)),
    border(em_dpo_restarts, {"observations": PAIRS, "make_policies": lambda _: _policies(), "restarts": 1,
                             "stream": S, "max_rounds": 1},
           restarts=NO_COUNT, max_rounds=(-1,), tolerance=(NAN,)),
    border(PromptLaws, {"prompt": np.array([0, 1, 2]), "strength": 5.0}, prompt="minus axis nan",
           strength=(NAN, 0.0)),
    border(random_split, {"n_annotators": 4, "n_types": 2, "stream": S}, n_annotators=NO_COUNT,
           n_types=(0, 5)),
    border(pareto_option, {"table": TABLE, "option": 1}, table="nan axis", option=(3, -1, 1.5)),
    border(pareto_lottery, {"table": TABLE, "lottery": FLAT}, table="nan axis", lottery="nan minus short"),
    border(pigou_dalton_option, {"table": TABLE, "option": 1, "worth": np.zeros(3)}, table="nan axis",
           option=(3, -1), worth="nan short"),
    border(pigou_dalton_lottery, {"table": TABLE, "lottery": FLAT, "pairs": [(0, 1)]}, table="nan axis",
           lottery="nan minus short", pairs=([(0, 2)], [(-1, 0)])),
    border(smallest_share, {"table": TABLE, "lottery": FLAT}, table="nan axis", lottery="nan minus short"),
    border(choice_invariance, {"table": TABLE, "choose": lambda table: int(table.sum(axis=0).argmax()), "stream": S,
                               "trials": 5},
           table="nan axis", trials=NO_COUNT),
    border(group_robust_dpo, {"differences": S.normals((6, 2)), "group": np.arange(6) % 2, "n_groups": 2,
                              "weights": np.ones(6)},
           differences="nan axis", group="index minus short", n_groups=NO_COUNT, weights=("nan", "minus", np.zeros(6)),
           ridge=(NAN, 0.0), tolerance=(NAN, 0.0), max_rounds=(0, 1.5)),
    border(max_min_policy, {"rewards": [TABLE], "beta": 0.5, "shares": np.ones(1), "reference": [FLAT]},
           rewards=([], [TABLE[0]], [TABLE * NAN]), beta=(NAN, 0.0), shares="nan axis",
           reference=([FLAT[:2]], [FLAT, FLAT]), tolerance=(NAN, 0.0), max_rounds=(0, 1.5)),
    border(worst_case_weights, {"reply": lambda p: (float(p[0]), np.array([1.0, 0.0]), None), "K": 2}, K=NO_COUNT,
           tolerance=(NAN, 0.0), max_rounds=(0, 1.5)),
    border(exponentiated_step, {"log_weights": np.log([0.5, 0.5]), "losses": np.array([1.0, 0.0]), "step": 0.1},
           log_weights="nan axis", losses="nan short axis", step=(NAN, -1.0)),
    border(maximin_policy, {"worst_reward": _worst, "reference": FLAT, "context": np.zeros(3, dtype=int)},
           reference="nan minus axis", context="minus short", tolerance=(NAN, 0.0), max_rounds=NO_COUNT),
    border(minmax_dpo, {"policies": _policies(), "contexts": np.zeros(2), "beta": 1.0, "priorities": np.ones(2),
                        "rounds": 5},
           policies=([],), beta=(NAN, 0.0), priorities="nan minus short", rounds=NO_COUNT, samples=(0, -1)),
    border(weigh, {"policies": _policies(), "discrepancy": np.eye(2), "beta": 1.0, "rounds": 5,
                   "standard_error": np.eye(2)},
           discrepancy="nan short axis", beta=(NAN, 0.0), priorities=(np.ones(3),), rounds=NO_COUNT,
           standard_error="short"),
    border(bic, {"log_likelihood": -1.0, "n_parameters": 1, "n_answers": 5}, log_likelihood=(NAN,),
           n_parameters=(-1,), n_answers=NO_COUNT),
    border(n_mixture_parameters, {"n_free": 2, "n_types": 2}, n_free=(-1,), n_types=NO_COUNT),
    border(predictive_log_likelihood, {"theta": np.eye(2), "responsibilities": HALVES, "differences": DIFFERENCES,
                                       "annotator": ANNOTATOR},
           theta="nan axis", responsibilities="nan narrow", differences="nan narrow short",
           annotator="index minus short"),
    border(choose_n_types_by_bic, {"differences": DIFFERENCES, "annotator": ANNOTATOR, "n_annotators": 4,
                                   "candidates": [1], "restarts": 1, "stream": S},
           candidates=([], [0]), n_free=(-1,), ridge=(NAN, 0.0)),
    border(choose_n_types_by_held_out, {"differences": DIFFERENCES, "annotator": ANNOTATOR, "n_annotators": 4,
                                        "candidates": [1], "restarts": 1, "stream": S},
           candidates=([], [0]), held_out=(NAN, 0.0, 1.0), ridge=(NAN, 0.0)),
    border(opinion_distance, {"opinions": OPINIONS, "consensus": OPINIONS[0], "alpha": 0.5},
           opinions="nan minus", consensus="nan minus short", alpha=(NAN, np.inf)),
    border(printed_distance, {"opinions": OPINIONS, "consensus": OPINIONS[0], "alpha": 0.5},
           opinions="nan minus", consensus="nan minus short", alpha=(NAN, 0.0, 1.0)),
    border(pessimistic_aggregate_policy, {"features": FEATURES[0], "reference": FLAT, "ellipsoids": [ELLIPSOID],
                                          "alpha": 0.0, "stream": S, "starts": 1},
           features="nan axis", reference="nan minus short", ellipsoids=([],), alpha=(NAN,), starts=(-1,),
           tolerance=(NAN, 0.0)),
    border(statewise_policy, {"bounds": TABLE[:, None], "rule": NASH}, bounds="nan axis"),
    border(welfare_value, {"gains": TABLE[:, None], "law": np.ones(1), "policy": np.zeros(1, dtype=int),
                           "rule": NASH},
           gains="nan axis", law="nan minus axis", policy=("index", np.array([-2]), "axis")),
    border(utilitarian_policy, {**STATES, "reference": np.zeros(2)}, features="nan narrow", law="nan minus short",
           reference="nan short"),
    border(pessimistic_lottery, {"features": FEATURES[0], "confidence": SETS, "rule": UTILITARIAN},
           features="nan narrow axis"),
    border(joint_value, {**STATES, "policy": np.zeros(2, dtype=int), "sweeps": 1}, features="nan narrow",
           law="nan minus short", policy="index minus short", sweeps=NO_COUNT),
    border(joint_policy, {**STATES, "features": FEATURES[:, :1]}, features="nan narrow", law="nan minus short"),
    border(log_welfare_bounds, {"gains": TABLE, "widths": TABLE, "radius": 0.1}, gains="nan", widths="nan short",
           radius=(NAN, -1.0)),
    border(checked_opinions, {"opinions": OPINIONS}, opinions=("nan", "minus", OPINIONS[0], 2 * OPINIONS)),
    border(pool_opinions, {"opinions": OPINIONS, "alpha": 1.0}, opinions="nan minus", alpha=(NAN,)),
    border(pooled_pairs, {"contexts": np.arange(3), "candidates": np.tile([0, 1], (3, 1)), "opinions": OPINIONS[None],
                          "alpha": 1.0, "draws": 2, "stream": S},
           contexts="short", candidates="short narrow", opinions="nan minus narrow", alpha=(NAN,), draws=NO_COUNT,
           stream=(None,)),
    border(pop_dpo_optimum, {"reference": FLAT, "consensus": FLAT, "beta": 1.0}, reference="nan minus",
           consensus="nan minus", beta=(NAN, 0.0)),
    border(checked_priorities, {"priorities": np.ones(2), "n_groups": 2}, priorities="nan minus short"),
    border(discrepancy, {"policies": _policies(), "contexts": np.zeros(2), "probabilities": np.full(2, 0.5)},
           policies=([],), probabilities="nan minus short"),
    border(discrepancy_sampled, {"policies": _policies(), "contexts": np.zeros(2), "stream": S}, policies=([],),
           contexts=(np.zeros(0),), samples=NO_COUNT),
    border(regret_matrix, {"discrepancy": np.eye(2), "beta": 1.0, "standard_error": np.eye(2)},
           discrepancy="nan short axis", beta=(NAN, 0.0), priorities=(np.ones(3), np.zeros(2)),
           standard_error="short"),
    border(DirectGame, GAME, log_ratio="nan axis", optimum="nan short", context_probabilities="nan minus short",
           beta=(NAN, 0.0), priorities="nan minus short"),
    border(saddle_point_table, {"game": DirectGame(**GAME), "rounds": 2}, rounds=NO_COUNT, step=(NAN, 0.0)),
    border(saddle_point_gradient, {"game": DirectGame(**GAME), "rounds": 2}, rounds=NO_COUNT,
           policy_step=(NAN, 0.0), group_step=(NAN, 0.0)),
    border(stochastic_cluster_dpo, {"policies": _policies(), "pairs": PAIRS, "rounds": 1, "stream": S},
           policies=([], _policies(5)), rounds=(-1, 1.5), steps=NO_COUNT),
    border(WelfareRule, {"alpha": 0.0}, alpha=(NAN, 2.0)),
    border(NASH.best, {"utilities": TABLE}, utilities=("nan", np.zeros(3))),
    border(share_of_maximum, {"utilities": TABLE, "chosen": TABLE[:, 0]}, utilities="nan", chosen="nan short"),
)  # fmt: skip

_RESULT = "a result"
EXCUSED = {
    "sizes": "of welfare that its callers have checked; it may be infinite",
    "rounding": "of welfare that its callers have checked; it may be infinite",
    "power_sign": "of profiles that the axioms draw",
    "Aggregation": "made by aggregation_rule, which checks alpha",
    "barrier_weights": "of rewards that max_min_policy has checked",
    "worst_case_at": "of weights that its callers have made",
    "error_of_mean": "of values that its callers have measured",
    "SampledDiscrepancy": "a result",
    "GroupRobustFit": "a result",
    "MaxMinPolicy": "a result",
    "WorstCase": "a result",
    "set_numbers": "of features that its callers have checked",
    "utilitarian_program": "of shapes that its callers have checked",
    "ceiling_program": "of shapes that its callers have checked",
    "block_program": "of shapes that its callers have checked",
    "welfare_program": "of shapes that its callers have checked",
    "level_program": "of shapes that its callers have checked",
    "floor_program": "of shapes that its callers have checked",
    "find_rule": "a name; what is not one is refused in test_own_rules",
    "as_rule": "anything; what is no rule is refused in test_own_rules",
    "log_mean_exp": "the formula under the checked functions; logarithms may be -inf",
    "reward_shares": "the formula under the checked function",
    "distance_gradient": "the inner loop of the search for misreports, whose opinions were checked; zeros allowed",
    "Welfare": "a name and a rule of the caller's, whose answers are looked at",
    "Lexicographic": "a flag",
    "Monotonicity": "no argument",
    "Symmetry": "no argument",
    "Continuity": "no argument",
    "UnconcernedAgents": "no argument",
    "ScaleIndependence": "no argument",
    "TranslationIndependence": "a flag",
    "known_rules": "takes nothing",
    "CrossFit": "hands its annotator to split_answers, which names it",
    "annotator_scores": "called every round of EM on answers whose annotators were checked",
    "soft_posterior": "an E-step: every round of EM on answers whose annotators were checked",
    "hard_posterior": "an E-step: every round of EM on answers whose annotators were checked",
    "Posterior": "what an E-step returns, every round",
    "RunningLaws": "what a run of EM keeps of checked laws; a wrong length is refused in test_prompt_laws",
    "constants_of": "a field of answers, of either form",
    "pop_dpo": "hands its pairs to the policy's fit",
    "saddle_point_lp": "takes a game that was checked",
    **dict.fromkeys(
        ("AxiomResult", "ClusterResult", "EMRound", "EMResult", "Pareto", "Invariance",
         "MaximinPolicy", "MinMaxResult", "TypeSelection", "StochasticPolicy", "PessimisticLottery", "RegretMatrix",
         "SaddlePointResult"), _RESULT,
    ),
    "PigouDalton": "a result, and an axiom with flags",
}  # fmt: skip
ELSEWHERE = {
    "choice_clusters": "test_choice_clusters.py",
    "em_choices": "test_em_choices.py",
    "em_log_linear": "test_borders_em.py",
    "hedge": "test_borders_em.py",
    "lotteries": "test_borders_em.py",
    "mechanism": "test_borders_em.py",
    "pessimistic_policy": "test_borders_pessimism.py",
    "prs": "test_borders_pessimism.py",
    "reduced_pessimism": "test_borders_pessimism.py",
    "von_neumann": "test_borders_em.py",
}


@pytest.mark.parametrize("own", BORDERS, ids=lambda own: own.name)
def test_good_arguments_work(own):
    assert_works(own)


@pytest.mark.parametrize(("own", "argument", "value"), cases(BORDERS))
def test_a_bad_argument_is_named(own, argument, value):
    assert_refuses(own, argument, value)


def test_every_public_name_is_in_the_table_or_excused():
    assert_complete("sim.algorithms", BORDERS, EXCUSED, ELSEWHERE)
