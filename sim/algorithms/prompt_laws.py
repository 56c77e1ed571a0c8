"""Prompts that depend on the type of who is asked: what EM drops under Assumption 1 of arXiv 2405.15065, estimated.

With prompts X_i of annotator i independent of her type, p(X_i | z) cancels in the E-step (Appendix C).  Where types
meet different prompts it does not:

    gamma_ik proportional to eta_k prod_j p_k(x_j) P(answer j | x_j, k)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sim.arguments import index_array, require_positive, require_shape
from sim.preferences import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class PromptLaws:
    """Types' laws over prompts, an argument of `em_dpo`; estimated in turn with the policies.

    p_k(x) = (sum_j w_j gamma_{i(j) k} 1{x_j = x} + strength q(x)) / (sum_j w_j gamma_{i(j) k} + strength)

    with q(x) the frequencies in all answers: the maximum a posteriori under a Dirichlet(1 + strength q) prior, so the
    likelihood less its penalty stays monotone.  A large strength is Assumption 1: every type meets the same prompts,
    and EM is the paper's.  A small one lets annotators who share prompts by chance be taken for a type.

    prompt: (n,) the prompt of each answer, or a group of prompts that is alike, as numbers from 0.
    strength: in answers a type; the prior counts for as many as that.
    """

    prompt: IntArray
    strength: float = 20.0
    n_prompts: int = field(init=False)

    def __post_init__(self) -> None:
        require_shape("prompt", index_array("prompt", self.prompt), ("n",))
        require_positive(strength=self.strength)
        object.__setattr__(self, "n_prompts", int(self.prompt.max(initial=-1)) + 1)

    def frequencies(self, weights: FloatArray) -> FloatArray:
        """q: of each prompt among all answers; (n_prompts,)."""
        counts = np.bincount(self.prompt, weights=weights, minlength=self.n_prompts)
        return np.asarray(counts / counts.sum())

    def fitted(self, answer_weights: FloatArray, weights: FloatArray) -> FloatArray:
        """log(p_k(x) / q(x)); answer_weights (n, K) of an E-step, weights (n,) of the answers; (n_prompts, K).

        Zero for a prompt without answers.
        """
        q = self.frequencies(weights)
        columns = (weights[:, None] * answer_weights).T
        counts = np.stack([np.bincount(self.prompt, column, self.n_prompts) for column in columns], axis=1)
        mass = counts.sum(axis=0)
        # Of the departure from q: under a strong prior log p - log q would be rounding.
        departure = np.where(q[:, None] > 0, counts / np.maximum(q, 1e-300)[:, None] - mass, 0.0)
        return np.asarray(np.log1p(departure / (mass + self.strength)))

    def penalty(self, log_ratios: FloatArray, weights: FloatArray) -> float:
        """-sum_k strength sum_x q(x) log(p_k(x) / q(x)): zero where every law is q, positive elsewhere; nats."""
        return float(-self.strength * (self.frequencies(weights) @ log_ratios).sum())


class RunningLaws:
    """The laws as they are in a run of EM: laws (n_prompts, K), and scores (n, K), w_j log(p_k(x_j) / q(x_j)); none and
    zeros where no prompts were given."""

    def __init__(self, prompts: PromptLaws | None, weights: FloatArray, n_types: int) -> None:
        self._prompts, self._weights = prompts, weights
        self.scores: FloatArray = np.zeros((len(weights), n_types))
        self.laws: FloatArray = np.zeros((0, n_types))
        self.penalty = 0.0
        if prompts is not None:
            if len(prompts.prompt) != len(weights):
                raise ValueError(f"prompts must name one an answer, {len(weights)} (got {len(prompts.prompt)})")
            self.fit(np.ones((len(weights), n_types)))

    def fit(self, answer_weights: FloatArray) -> None:
        """The M-step of the laws, of an E-step's weights (n, K)."""
        prompts = self._prompts
        if prompts is None:
            return
        ratios = prompts.fitted(answer_weights, self._weights)
        self.laws = prompts.frequencies(self._weights)[:, None] * np.exp(ratios)
        self.scores = self._weights[:, None] * ratios[prompts.prompt]
        self.penalty = prompts.penalty(ratios, self._weights)
