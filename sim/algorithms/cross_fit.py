"""E-steps for policies that memorise: cross-fitting, and responsibilities that stay what they are."""

from __future__ import annotations

import numpy as np

from sim.algorithms.em_dpo import Posterior, soft_posterior
from sim.arguments import index_array, probability_array, require_same_rows, require_shape
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream


def split_answers(annotator: IntArray, stream: Stream, question: IntArray | None = None) -> BoolArray:
    """A random half of each annotator's answers (the smaller half where the number is odd); (n,) mask.

    question: (n,) whose answers are about the same thing: each annotator's answers to one question count as one, and
    are in the same half, or one would tell the other.  None where all differ.
    """
    require_shape("annotator", index_array("annotator", annotator), ("n",))
    if question is not None:
        require_shape("question", index_array("question", question), ("n",))
        require_same_rows(annotator=annotator, question=question)
        both = np.stack([annotator, question], axis=1)
        _, first, back = np.unique(both, axis=0, return_index=True, return_inverse=True)
        once = np.sort(first)
        half = np.zeros(len(annotator), dtype=np.bool_)
        half[once] = split_answers(annotator[once], stream)
        return half[first[back.reshape(-1)]]
    order = np.lexsort((stream.uniforms(len(annotator)), annotator))
    sorted_annotator = annotator[order]
    counts = np.bincount(annotator)
    place = np.arange(len(annotator)) - np.repeat(np.cumsum(counts) - counts, counts)
    half = np.empty(len(annotator), dtype=np.bool_)
    half[order] = place < counts[sorted_annotator] // 2
    return half


class CrossFit:
    """An E-step that scores the half of each annotator's answers its policies were not just trained on.

    A policy flexible enough to memorise gives the answers it was trained on a high likelihood whoever gave
    them, so in-sample scores return the split it started from, round after round. Here each M-step sees one
    half, the E-step the other, and the halves change places every round.  Pass `first(split)` as em_dpo's start.
    The likelihood it reports is that of the scored half alone: do not read its trace as monotone.
    An annotator with a single answer is scored in every second round only; between, she keeps the mixture.
    question: see `split_answers`.
    """

    def __init__(self, annotator: IntArray, stream: Stream, question: IntArray | None = None) -> None:
        self._half = split_answers(annotator, stream.child("cross-fit"), question)
        self._trained = True

    def _rows(self, trained: bool) -> FloatArray:
        return np.asarray(self._half == trained, dtype=np.float64)

    def first(self, responsibilities: FloatArray, annotator: IntArray) -> Posterior:
        """The start: responsibilities (n_annotators, K), answers of the first half alone."""
        weights = responsibilities[annotator] * self._rows(True)[:, None]
        return Posterior(responsibilities, weights, float("nan"))

    def __call__(self, answers: FloatArray, annotator: IntArray, n_annotators: int, mixture: FloatArray) -> Posterior:
        scored = self._rows(not self._trained)
        soft = soft_posterior(answers * scored[:, None], annotator, n_annotators, mixture)
        self._trained = not self._trained
        weights = soft.answer_weights * self._rows(self._trained)[:, None]
        return Posterior(soft.responsibilities, weights, soft.log_likelihood)


class Fixed:
    """An E-step that keeps given responsibilities (n_annotators, K): clusters, or a known grouping.

    log_likelihood is the classification likelihood sum_ik gamma_ik S_ik.
    """

    def __init__(self, responsibilities: FloatArray) -> None:
        self.responsibilities = probability_array("responsibilities", responsibilities, ("n_annotators", "K"))

    def __call__(self, answers: FloatArray, annotator: IntArray, n_annotators: int, mixture: FloatArray) -> Posterior:
        weights = self.responsibilities[annotator]
        return Posterior(self.responsibilities, weights, float((weights * answers).sum()))
