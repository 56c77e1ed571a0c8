"""How much a reward that several people's answers make varies with who was asked: one person's answers go together."""

from __future__ import annotations

import numpy as np

from sim.choice_sets import ChoiceSets
from sim.estimators.choice_panel import annotator_scores
from sim.preferences import FloatArray

# Answers, responsibilities and all, below which a type has none, as in EM's own steps.
NOBODY = 1e-12


def score_covariance(theta: FloatArray, sets: ChoiceSets, information: FloatArray, ridge: float) -> FloatArray:
    """Covariance of the gradient at theta, people independent of each other and not the answers of one; (d, d).

        (1 - r) J + r f I,    J = G / (G - 1) sum_i g_i g_i',    g_i = s_i - w_i / w sum_l s_l

    J the middle of the sandwich by person (Liang and Zeger 1986): s_i the gradient of annotator i's answers, w_i their
    weight, so that g_i is that of her penalised likelihood where each answer bears its share of the ridge.
    G = w^2 / sum_i w_i^2 (Kish 1965) makes J right on average where answers are independent, however unequal people's
    are.  From few people it has no full rank: r = min(1, d / (G - 1)) of it is replaced by the information times the
    design effect f = max(1, tr M^-1 J / tr M^-1 I), M = I + ridge, as Morel, Bokossa and Neerchal (2003) add
    theirs.                                                                                            [derived]

    information: (d, d), I, what it would be if all answers were independent; of one person's that is taken.
    ridge: on theta, in the weight of answers.
    """
    weight = np.asarray(np.bincount(sets.annotator, sets.weights, sets.n_annotators), np.float64)
    return people_covariance(annotator_scores(theta, sets), weight, information, ridge)


def people_covariance(scores: FloatArray, weight: FloatArray, information: FloatArray, ridge: float) -> FloatArray:
    """`score_covariance` of scores s_i (N, d) and weights w_i (N,) of annotators, zero of those without answers."""
    inverse = np.asarray(np.linalg.inv(information + ridge * np.eye(scores.shape[1])), np.float64)
    scores, own, replaced = people_parts(scores, weight, information, inverse)
    return np.asarray(own * (scores.T @ scores) + replaced * information)


def people_parts(
    scores: FloatArray, weight: FloatArray, information: FloatArray, inverse: FloatArray
) -> tuple[FloatArray, float, float]:
    """(g (N, d), a, b) of `score_covariance` = a g'g + b I: a = (1 - r) G / (G - 1), b = r f; inverse: M^-1."""
    # One person's answers, or nobody's: of a cluster that nobody was left in.
    if (weight > 0).sum() < 2:
        return scores, 0.0, 1.0
    share = weight / weight.sum()
    people, d = 1.0 / float(share @ share), scores.shape[1]
    if people <= 1.0:
        return scores, 0.0, 1.0
    scores = scores - share[:, None] * scores.sum(axis=0)
    known = people / (people - 1.0)
    expected = float((inverse * information).sum())
    # Margins so large that no answer could have been another leave no information to compare with.
    found = known * float(((scores @ inverse) * scores).sum())
    effect = max(1.0, found / expected) if expected > 0 else 1.0
    replaced = min(1.0, d / (people - 1.0))
    return scores, (1.0 - replaced) * known, replaced * effect
