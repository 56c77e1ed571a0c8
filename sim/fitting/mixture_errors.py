"""How sure a mixture of types is of everything it estimates at once: coefficients, shares of types, thresholds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.answer_kinds.level_slopes import ThresholdSlopes
from sim.choice_sets import ChoiceSets
from sim.fitting.people_errors import NOBODY, people_parts
from sim.fitting.prepare import Answers
from sim.preferences import FloatArray, IntArray

# Of a combination of parameters, in units of what the complete answers say of each: below it nothing is known of it.
_FLAT = 1e-6
# Part of such a combination above which a parameter is one of those that make it up.
_INVOLVED = 1e-3


class Mixture(NamedTuple):
    """theta (K, d), shares (K,) and responsibilities (N, K) of types that somebody is of; ridge: of the weight of each
    type's answers, to the centre (d,)."""

    theta: FloatArray
    shares: FloatArray
    responsibilities: FloatArray
    ridge: float
    centre: FloatArray


class Scale(NamedTuple):
    """Thresholds of n answers with levels: their slopes, whose each answer is, and how much it counts, (n,)."""

    slopes: ThresholdSlopes
    annotator: IntArray
    weights: FloatArray


class Joint(NamedTuple):
    """Of p = K d + K - 1 + T parameters: theta type by type, log(share_k / share_K), thresholds.

    scores: (N, p) gradient of each annotator's observed log-likelihood less her answers' part of the ridge.
    information: (p, p) minus the Hessian of the observed log-likelihood, without the ridge.  slope: (p, p) minus the
    Jacobian of the scores' sum, (row: of which score, column: by which parameter).  complete: (p, p), what the
    information would be if types were seen; with the ridge.  weights: of each block of parameters, (N,) how much each
    annotator counts.  blocks: places of the K types' coefficients, of the shares and of the thresholds.
    """

    scores: FloatArray
    information: FloatArray
    slope: FloatArray
    complete: FloatArray
    weights: list[FloatArray]
    blocks: list[IntArray]


def joint_information(mixture: Mixture, sets: ChoiceSets, scale: Scale | None = None) -> Joint:
    """Louis (J. R. Statist. Soc. B 44, 1982): with s_ik the gradient of annotator i's log eta_k prod_j P_kj,

        score_i = sum_k gamma_ik s_ik,
        information = sum_i sum_k gamma_ik B_ik - sum_i [sum_k gamma_ik s_ik s_ik' - score_i score_i'],

    B_ik minus the Hessian of the same: what is not known of who is of which type is taken off.  The ridge of a type,
    a part of the weight of its answers, moves with responsibilities; so `slope` has the derivative of
    gamma_ik w_i ridge (theta_k - centre) too.                                                           [derived]
    """
    theta, gamma = mixture.theta, mixture.responsibilities
    (K, d), N = theta.shape, sets.n_annotators
    T = 0 if scale is None else scale.slopes.rows.shape[1]
    blocks = [np.arange(k * d, (k + 1) * d) for k in range(K)]
    blocks += [np.arange(K * d, K * d + K - 1), np.arange(K * d + K - 1, K * d + K - 1 + T)]
    p = K * d + K - 1 + T
    of_person = np.asarray(np.bincount(sets.annotator, sets.weights, N), np.float64)
    here = of_person > 0
    complete, twice, score = np.zeros((p, p)), np.zeros((p, p)), np.zeros((N, p))
    pulled = np.zeros((K, p))
    shares = np.eye(K)[:, : K - 1] - mixture.shares[: K - 1]
    fixed = np.zeros((N, T))
    if scale is not None:
        slopes, weight = scale.slopes, scale.weights
        fixed = _sums(slopes.constant * weight[:, None], scale.annotator, N)
        apart = slopes.apart * (slopes.bent * weight)[:, None]
        complete[np.ix_(blocks[-1], blocks[-1])] = apart.T @ slopes.apart + slopes.held
    for k in range(K):
        of_rows, information = _of_type(theta[k], gamma[:, k], sets, None if scale is None else scale.slopes.rows)
        place = np.concatenate([blocks[k], blocks[-1], blocks[-2]])
        seen = place[: d + T]
        complete[np.ix_(seen, seen)] += information
        of_rows[:, d:] += fixed
        own = np.hstack([of_rows, here[:, None] * shares[k]])
        share = own * gamma[:, k, None]
        score[:, place] += share
        if K > 1:
            twice[np.ix_(place, place)] += own.T @ share
            pulled[k, place] += (of_person * gamma[:, k]) @ own
    if K > 1:
        pulled -= (of_person[:, None] * gamma).T @ score
        twice -= score.T @ score
    of_shares = np.diag(mixture.shares[: K - 1]) - np.outer(mixture.shares[: K - 1], mixture.shares[: K - 1])
    complete[np.ix_(blocks[-2], blocks[-2])] += here.sum() * of_shares
    information = complete - twice
    slope = information.copy()
    away, mass = mixture.ridge * (theta - mixture.centre), of_person @ gamma
    for k, own in enumerate(blocks[:K]):
        slope[own, own] += mixture.ridge * mass[k]
        complete[own, own] += mixture.ridge * mass[k]
        slope[own] += np.outer(away[k], pulled[k])
        score[:, own] -= np.outer(of_person * gamma[:, k], away[k])
    weights = [of_person * gamma[:, k] for k in range(K)] + [here.astype(np.float64), of_person]
    return Joint(score, information, slope, complete, weights, blocks)


def joint_errors(joint: Joint, shares: FloatArray) -> FloatArray:
    """Standard errors (p,): roots of the diagonal of A^-1 C A^-T, A the slope, C of `score_covariance` block by block:

        C = a a' * (sum_i g_i g_i') + b b' * I,    a_p^2 and b_p^2 those of the parameter's block     [derived]

    (`people_parts`), which for types that share nobody is each type's own.  NaN of what the answers do not tell at all,
    and of all coefficients of types whose shares (K,) they do not tell, as where two are one: nobody's answers pull
    these apart, and the sandwich would take that for certainty.
    """
    units = np.sqrt(np.maximum(np.diag(joint.complete), 1e-300))
    scaled = joint.slope / np.outer(units, units)
    p = len(units)
    inverse, unknown = None, np.zeros(p, dtype=np.bool_)
    if not _is_positive(scaled - _FLAT * np.eye(p)):
        left, values, right = np.linalg.svd(scaled)
        told = values > _FLAT
        inverse, flat = (right[told].T / values[told]) @ left[:, told].T, right[~told].T
        unknown = np.abs(flat).max(axis=1, initial=0.0) > _INVOLVED
        odds = np.zeros((len(shares), flat.shape[1]))
        of_shares = units[joint.blocks[-2]]
        odds[:-1] = flat[joint.blocks[-2]] * (of_shares.max(initial=0.0) / of_shares)[:, None]
        moved = shares[:, None] * np.abs(odds - shares @ odds)
        for k in np.flatnonzero((moved > _INVOLVED).any(axis=1)):
            unknown[joint.blocks[k]] = True
    information = _without_negative(joint.information / np.outer(units, units))
    complete, scores = joint.complete / np.outer(units, units), joint.scores / units
    own, replaced = np.zeros(p), np.zeros(p)
    for block, weight in zip(joint.blocks, joint.weights, strict=True):
        if not len(block):
            continue
        at = np.ix_(block, block)
        inverse_of = np.asarray(np.linalg.inv(complete[at]), np.float64)
        found = people_parts(scores[:, block], weight, information[at], inverse_of)
        scores[:, block], own[block], replaced[block] = found[0], np.sqrt(found[1]), np.sqrt(found[2])
    scores *= own
    varies = scores.T @ scores + replaced[:, None] * information * replaced
    if inverse is None:
        half = np.linalg.solve(scaled, varies)
        variance = np.diag(np.linalg.solve(scaled, half.T))
    else:
        variance = np.diag(inverse @ varies @ inverse.T)
    return np.asarray(np.where(unknown, np.nan, np.sqrt(np.maximum(variance, 0.0)) / units))


def type_errors_of(mixture: Mixture, sets: ChoiceSets, scale: Scale | None = None) -> FloatArray:
    """`joint_errors` of theta, (K, d); NaN of a type that nobody is of."""
    K, d = mixture.theta.shape
    out = np.full((K, d), np.nan)
    of_person = np.bincount(sets.annotator, sets.weights, sets.n_annotators)
    somebody = of_person @ mixture.responsibilities >= NOBODY
    if not somebody.any():
        return out
    shares = mixture.shares[somebody]
    alive = mixture._replace(
        theta=mixture.theta[somebody], shares=shares / shares.sum(),
        responsibilities=mixture.responsibilities[:, somebody],
    )  # fmt: skip
    found = joint_errors(joint_information(alive, sets, scale), alive.shares)
    out[somebody] = found[: alive.theta.size].reshape(alive.theta.shape)
    return out


def sets_of(answers: Answers) -> ChoiceSets:
    """Answers as choices, plain pairs among them, with their weights."""
    own = answers.choices()
    if own is not None:
        return own
    n = len(answers)
    return ChoiceSets(
        answers.differences, np.arange(n + 1), answers.annotator, answers.n_annotators, answers.weights, np.zeros(n)
    )


def _of_type(
    theta: FloatArray, gamma: FloatArray, sets: ChoiceSets, shared: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """(gradient (N, d + T) of each annotator's log-likelihood under one type, minus the Hessian (d + T, d + T) of the
    answers, each by its responsibility)."""
    rows = sets.rows if shared is None else np.hstack([sets.rows, shared])
    z, first, sizes = sets.offset + sets.rows @ theta, sets.starts[:-1], np.diff(sets.starts)
    share = sets.weights * gamma[sets.annotator]
    if len(sets) == len(rows):
        wrong = 1.0 / (1.0 + np.exp(np.clip(z, -700, 700)))
        mean = rows * wrong[:, None]
        information = (rows * (share * wrong * (1.0 - wrong))[:, None]).T @ rows
    else:
        low = np.minimum(np.minimum.reduceat(z, first), 0.0)
        with np.errstate(under="ignore"):
            chance = np.exp(np.repeat(low, sizes) - z)
            chance /= np.repeat(np.exp(low) + np.add.reduceat(chance, first), sizes)
        mean = np.add.reduceat(rows * chance[:, None], first, axis=0)
        information = (rows * (chance * np.repeat(share, sizes))[:, None]).T @ rows
        information -= (mean * share[:, None]).T @ mean
    return _sums(mean * sets.weights[:, None], sets.annotator, sets.n_annotators), np.asarray(information)


def _sums(values: FloatArray, person: IntArray, n_people: int) -> FloatArray:
    """Of each person's rows; (n, k) -> (n_people, k)."""
    found = np.empty((n_people, values.shape[1]))
    for k, column in enumerate(values.T):
        found[:, k] = np.bincount(person, column, n_people)
    return found


def _is_positive(matrix: FloatArray) -> bool:
    """Whether the symmetric part is positive definite."""
    try:
        np.linalg.cholesky(0.5 * (matrix + matrix.T))
    except np.linalg.LinAlgError:
        return False
    return True


def _without_negative(matrix: FloatArray) -> FloatArray:
    """Its part without negative eigenvalues: a fit that a ridge holds is no maximum of the likelihood alone."""
    if _is_positive(matrix):
        return matrix
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)
