"""What fits over many features share: second moments of the answers, and the directions in which annotators differ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sim.preferences import FloatArray, IntArray
from sim.running.threads import one_thread


@dataclass(frozen=True, eq=False)
class AnswerSpectrum:
    """values (d,), vectors (d, d), ascending: sum_j w_j x_j x_j' = E diag(values) E'.

    directions (d, most): leading directions of the annotators' scores at zero, whitened, where subspaces start from.
    """

    values: FloatArray
    vectors: FloatArray
    directions: FloatArray


@one_thread()
def answer_spectrum(
    differences: FloatArray, annotator: IntArray, n_annotators: int, weights: FloatArray | None = None
) -> AnswerSpectrum:
    """differences: (n, d).  annotator: (n,).  weights: (n,), ones if None.

    directions: eigenvectors of sum_i s_i s_i', the largest value first, s_i = Sigma^-1 sum_j w_ij x_ij: for Gaussian
    features the expected score is a multiple of Sigma theta_i.
    """
    own = np.ones(len(differences)) if weights is None else weights
    weighted = differences * own[:, None]
    covariance = weighted.T @ differences
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0.0)
    order = np.argsort(annotator, kind="stable")
    edges = np.searchsorted(annotator[order], np.arange(n_annotators + 1))
    moments = np.stack([weighted[order[lo:hi]].sum(axis=0) for lo, hi in pairwise(edges)])
    # Scores where answers say next to nothing are rounding errors.
    scores = ((moments @ vectors) / (values + 1e-6 * values.sum() + 1e-300)) @ vectors.T
    directions = np.linalg.eigh(scores.T @ scores)[1][:, ::-1]
    return AnswerSpectrum(values, vectors, np.ascontiguousarray(directions))
