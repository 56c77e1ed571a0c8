"""How many types: the Bayesian information criterion and held-out likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.algorithms.em_log_linear import em_log_linear, responsibilities_of
from sim.arguments import float_array, index_array, require_count, require_number, require_same_rows
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class TypeSelection:
    """candidates (m,) numbers of types, the criterion's value for each (smaller is better), the choice."""

    candidates: tuple[int, ...]
    criterion: FloatArray
    chosen: int


def bic(log_likelihood: float, n_parameters: int, n_answers: int) -> float:
    """-2 log-likelihood + n_parameters log n_answers (Schwarz 1978); smaller is better."""
    require_number(log_likelihood=log_likelihood)
    require_count("n_parameters", n_parameters, 0)
    require_count("n_answers", n_answers)
    return -2.0 * log_likelihood + n_parameters * float(np.log(n_answers))


def n_mixture_parameters(n_free: int, n_types: int) -> int:
    """Free parameters of K log-linear types with n_free identified coefficients each, and their shares."""
    require_count("n_free", n_free, 0)
    require_count("n_types", n_types)
    return n_free * n_types + n_types - 1


def predictive_log_likelihood(
    theta: FloatArray, responsibilities: FloatArray, differences: FloatArray, annotator: IntArray
) -> FloatArray:
    """log sum_k gamma_ik sigma(<theta_k, d_j>) for each new answer j of a known annotator; (n,), nats."""
    float_array("theta", theta, ("K", "d"))
    float_array("responsibilities", responsibilities, ("n_annotators", len(theta)))
    float_array("differences", differences, ("n", theta.shape[1]))
    index_array("annotator", annotator, len(responsibilities))
    require_same_rows(differences=differences, annotator=annotator)
    with np.errstate(divide="ignore"):
        joint = np.log(responsibilities[annotator]) + log_sigmoid(differences @ theta.T)
    return np.asarray(np.logaddexp.reduce(joint, axis=1))


def _require_candidates(candidates: Sequence[int]) -> None:
    if not len(candidates):
        raise ValueError("candidates must hold at least one number of types (got none)")
    for K in candidates:
        require_count("candidates", K)


def choose_n_types_by_bic(
    differences: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    candidates: Sequence[int],
    *,
    n_free: int | None = None,
    ridge: float = 1e-3,
    restarts: int = 10,
    stream: Stream,
) -> TypeSelection:
    """Smallest BIC over candidate numbers of types; n_free: identified coefficients a type (default rank)."""
    _require_candidates(candidates)
    free = int(np.linalg.matrix_rank(differences)) if n_free is None else n_free
    values = []
    for K in candidates:
        fitted = em_log_linear(
            differences, annotator, n_annotators, K, ridge=ridge, restarts=restarts, stream=stream.child(f"K/{K}")
        )
        values.append(bic(fitted.log_likelihood, n_mixture_parameters(free, K), len(differences)))
    return TypeSelection(tuple(candidates), np.array(values), int(candidates[int(np.argmin(values))]))


def choose_n_types_by_held_out(
    differences: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    candidates: Sequence[int],
    *,
    held_out: float = 0.2,
    ridge: float = 1e-3,
    restarts: int = 10,
    stream: Stream,
) -> TypeSelection:
    """Largest held-out likelihood of known annotators' later answers; criterion = -mean nats an answer."""
    _require_candidates(candidates)
    if not 0.0 < held_out < 1.0:
        raise ValueError(f"held_out must lie between 0 and 1 (got {held_out})")
    holds = stream.child("held-out").uniforms(len(differences)) < held_out
    values = []
    for K in candidates:
        fitted = em_log_linear(
            differences[~holds],
            annotator[~holds],
            n_annotators,
            K,
            ridge=ridge,
            restarts=restarts,
            stream=stream.child(f"K/{K}"),
        )
        gamma = responsibilities_of(fitted.theta, fitted.mixture, differences[~holds], annotator[~holds], n_annotators)
        scores = predictive_log_likelihood(fitted.theta, gamma, differences[holds], annotator[holds])
        values.append(-float(scores.mean()))
    return TypeSelection(tuple(candidates), np.array(values), int(candidates[int(np.argmin(values))]))
