"""How much a reward that several people's answers make varies with who was asked: one person's answers go together."""

from __future__ import annotations

import numpy as np

from sim.choice_sets import ChoiceSets
from sim.estimators.choice_panel import annotator_scores
from sim.preferences import FloatArray, IntArray

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
    # One person's answers, or nobody's: of a cluster that nobody was left in.
    if (weight > 0).sum() < 2:
        return information
    share = weight / weight.sum()
    people, d = 1.0 / float(share @ share), scores.shape[1]
    if people <= 1.0:
        return information
    scores = scores - share[:, None] * scores.sum(axis=0)
    of_people = scores.T @ scores * (people / (people - 1.0))
    inverse = np.linalg.inv(information + ridge * np.eye(d))
    expected = float((inverse * information).sum())
    # Margins so large that no answer could have been another leave no information to compare with.
    effect = max(1.0, float((inverse * of_people).sum()) / expected) if expected > 0 else 1.0
    replaced = min(1.0, d / (people - 1.0))
    return np.asarray((1.0 - replaced) * of_people + replaced * effect * information)


def type_errors(
    slopes: FloatArray, weight: FloatArray, person: IntArray, information: FloatArray, ridge: float
) -> FloatArray:
    """Standard errors (d,) of a type's coefficients: roots of the diagonal of M^-1 C M^-1, M = I + ridge, C of
    `people_covariance`; NaN of a type that nobody is of.

    slopes: (n, d) of each answer's weighted log-likelihood.  weight: (n,) of these, responsibilities among it.
    person: (n,) whose they are; who trains not, or is of another type, has no weight and is not counted.
    """
    if weight.sum() < NOBODY:
        return np.full(len(information), np.nan)
    scores = np.stack([np.bincount(person, column) for column in slopes.T], axis=1)
    inverse = np.linalg.pinv(information + ridge * np.eye(len(information)), hermitian=True)
    of_person = np.asarray(np.bincount(person, weight), np.float64)
    varies = people_covariance(np.asarray(scores, np.float64), of_person, information, ridge)
    return np.asarray(np.sqrt(np.maximum(np.diag(inverse @ varies @ inverse), 0.0)))
