"""Ensembles: draw a policy once, then let it answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.arguments import probability_array
from sim.policies.finite import log_softmax
from sim.policies.protocol import FinitePolicy, ScoredPolicy
from sim.preferences import AnyArray, FloatArray, IntArray
from sim.streams import Stream


class Mixture:
    """pi = sum_k w_k pi_k as a sequence-level mixture (arXiv 2405.15065, section 4).

    `sample` draws k ~ w once a row and lets pi_k answer; log pi = logsumexp_k(log w_k + log pi_k). Averaging
    token by token, or merging parameters, is a different policy.
    """

    def __init__(self, policies: Sequence[ScoredPolicy], weights: FloatArray) -> None:
        if not policies:
            raise ValueError("policies must hold at least one policy (got none)")
        self.policies = tuple(policies)
        self.weights = probability_array("weights", weights, (len(self.policies),), 1e-9)
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(self.weights)

    def log_ratio(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """log(pi / pi_ref) = logsumexp_k(log w_k + log(pi_k / pi_ref)), exact; (n,)."""
        parts = [policy.log_ratio(contexts, responses) for policy in self.policies]
        return np.asarray(np.logaddexp.reduce(np.stack(parts) + self._log_weights[:, None], axis=0))

    def draw_members(self, n: int, stream: Stream) -> IntArray:
        """Which policy answers each of n rows."""
        return stream.child("member").choice(self.weights, n)

    def sample(self, contexts: AnyArray, stream: Stream) -> AnyArray:
        """One response a row; the member is drawn once for the whole response."""
        member = self.draw_members(len(contexts), stream)
        answers: AnyArray | None = None
        for k, policy in enumerate(self.policies):
            rows = np.flatnonzero(member == k)
            if rows.size:
                drawn = policy.sample(contexts[rows], stream.child(f"policy/{k}"))
                if answers is None:
                    answers = np.empty((len(contexts), *drawn.shape[1:]), dtype=drawn.dtype)
                answers[rows] = drawn
        return np.empty(0, dtype=np.int64) if answers is None else answers


class FiniteMixture(Mixture):
    """A mixture of policies over finitely many actions: probabilities are exact."""

    def __init__(self, policies: Sequence[FinitePolicy], weights: FloatArray) -> None:
        super().__init__(policies, weights)
        self._finite = tuple(policies)

    def log_probabilities(self, contexts: AnyArray) -> FloatArray:
        """log sum_k w_k pi_k(a | x); (n, n_actions)."""
        parts = np.stack([policy.log_probabilities(contexts) for policy in self._finite])
        return np.asarray(np.logaddexp.reduce(parts + self._log_weights[:, None, None], axis=0))

    def reference_log_probabilities(self, contexts: AnyArray) -> FloatArray:
        return self._finite[0].reference_log_probabilities(contexts)

    def geometric_log_probabilities(self, contexts: AnyArray) -> FloatArray:
        """log of the normalised prod_k pi_k^{w_k}: a labelled baseline, not the paper's ensemble."""
        parts = np.stack([policy.log_probabilities(contexts) for policy in self._finite])
        return log_softmax(np.tensordot(self.weights, parts, axes=1))
