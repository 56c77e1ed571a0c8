"""What every policy over finitely many actions shares: log-probabilities, ratios and sampling."""

from __future__ import annotations

import abc

import numpy as np

from sim.preferences import AnyArray, FloatArray, IntArray
from sim.streams import Stream


def log_softmax(logits: FloatArray) -> FloatArray:
    """log softmax over the last axis, shifted by the maximum (logits scale with 1 / beta)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def draw_actions(log_probabilities: FloatArray, stream: Stream) -> IntArray:
    """One action a row by the Gumbel-max trick; (n, n_actions) -> (n,)."""
    noise = stream.gumbels(log_probabilities.shape)
    return np.asarray(np.argmax(log_probabilities + noise, axis=1), dtype=np.int64)


class RewardPolicy(abc.ABC):
    """A policy of the form log pi(a|x) = log pi_ref(a|x) + r(x, a) / beta - log Z(x).

    This is the KL-regularised optimum of its own reward r (arXiv 2405.15065, section 3), so that
    beta log(pi / pi_ref) = r - beta log Z(x): margins do not depend on beta, probabilities do.
    """

    beta: float

    @abc.abstractmethod
    def rewards(self, contexts: AnyArray) -> FloatArray:
        """r(x, a) for every action; (n, n_actions)."""

    @abc.abstractmethod
    def reference_log_probabilities(self, contexts: AnyArray) -> FloatArray:
        """log pi_ref(a | x); (n, n_actions)."""

    def log_probabilities(self, contexts: AnyArray) -> FloatArray:
        """log pi(a | x); (n, n_actions)."""
        return log_softmax(self.reference_log_probabilities(contexts) + self.rewards(contexts) / self.beta)

    def log_ratio(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """log(pi / pi_ref) at the given actions, normalised; (n,)."""
        rows = np.arange(len(responses))
        ratio = self.log_probabilities(contexts) - self.reference_log_probabilities(contexts)
        return np.asarray(ratio[rows, responses])

    def sample(self, contexts: AnyArray, stream: Stream) -> IntArray:
        """One action a context, drawn from pi."""
        return draw_actions(self.log_probabilities(contexts), stream)
