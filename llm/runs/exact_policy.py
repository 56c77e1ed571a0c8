"""Every response of a language model with few words: expectations are sums over sequences, and nothing is sampled.

A response is what sampling may write: tokens up to an end token, or `length` of them without one. Under any policy of
the base the probabilities of these responses sum to one, so

    R_z(pi) = E_x sum_y pi(y | x) r_z(x, y),    KL(pi || pi_ref) = E_x sum_y pi(y | x) log(pi / pi_ref)(y | x)

are exact up to the rounding of the model. With V tokens there are about V^length responses a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm.base.shared_base import SharedBase
from sim.policies.protocol import ScoredPolicy
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import FloatArray, IntArray

# More responses than this to a prompt are no small vocabulary.
_MOST = 100_000
# Single precision leaves a sum of probabilities this far from one; a response left out would be further.
_SUM = 1e-4


@dataclass(frozen=True, eq=False)
class ExactResponses:
    """Prompts (S,) and all responses (A,) of at most `length` tokens, as numbers of the base's token store."""

    base: SharedBase
    prompts: IntArray
    responses: IntArray

    def log_probabilities(self, policy: ScoredPolicy) -> FloatArray:
        """log pi(y | x) of every response, of anything that has log-ratios: an adapter, the reference, an ensemble;
        (S, A).  ValueError where they do not sum to one."""
        rows = self._rows()
        table = (self.base.reference(*rows) + policy.log_ratio(*rows)).reshape(len(self.prompts), -1)
        off = float(np.abs(np.exp(table).sum(axis=1) - 1.0).max())
        if not off <= _SUM:
            raise ValueError(f"the responses must be all of them: their probabilities sum to one up to {off:.2g}")
        return np.asarray(table)

    def reference(self) -> FloatArray:
        """pi_ref(y | x), rows scaled to sum to one in double precision; (S, A)."""
        table = np.exp(self.base.reference(*self._rows()).reshape(len(self.prompts), -1))
        return np.asarray(table / table.sum(axis=1, keepdims=True))

    def implicit_rewards(self, policy: ScoredPolicy, beta: float) -> FloatArray:
        """beta log(pi / pi_ref) of every response; (S, A)."""
        return np.asarray(beta * policy.log_ratio(*self._rows()).reshape(len(self.prompts), -1))

    def table(self, policy: ScoredPolicy, beta: float) -> SoftmaxTable:
        """The policy as a table over (prompt, response), for the exact algorithms of `sim`: contexts are the places of
        prompts, actions those of responses."""
        self.log_probabilities(policy)
        return SoftmaxTable(self.reference(), beta=beta, rewards=self.implicit_rewards(policy, beta))

    def kl_to_reference(self, policy: ScoredPolicy) -> FloatArray:
        """KL(pi || pi_ref) at each prompt; (S,), nats."""
        log_p = self.log_probabilities(policy)
        return np.asarray((np.exp(log_p) * policy.log_ratio(*self._rows()).reshape(log_p.shape)).sum(axis=1))

    def expected(self, policy: ScoredPolicy, rewards: FloatArray) -> FloatArray:
        """sum_y pi(y | x) r_z(x, y) at each prompt; rewards (K, S, A) -> (K, S)."""
        return np.asarray((np.exp(self.log_probabilities(policy)) * rewards).sum(axis=2))

    def _rows(self) -> tuple[IntArray, IntArray]:
        S, A = len(self.prompts), len(self.responses)
        return np.repeat(self.prompts, A), np.tile(self.responses, S)


def exact_responses(base: SharedBase, prompts: IntArray, length: int) -> ExactResponses:
    """All responses of at most `length` tokens: those that end, and those that `length` cuts.

    ValueError where there would be more than 100,000: exact sums are for small vocabularies.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1 (got {length})")
    vocabulary = int(base.model.config.vocab_size)
    going = vocabulary - len(base.ends)
    count = sum(going**t * len(base.ends) for t in range(length)) + going**length
    if count > _MOST:
        raise ValueError(
            f"length must leave at most {_MOST:,} responses (got {length}: {vocabulary} tokens make {count:,})"
        )
    finished: list[list[int]] = []
    open_: list[list[int]] = [[]]
    for _ in range(length):
        longer = [[*start, token] for start in open_ for token in range(vocabulary)]
        finished += [row for row in longer if row[-1] in base.ends]
        open_ = [row for row in longer if row[-1] not in base.ends]
    return ExactResponses(base, np.asarray(prompts, dtype=np.int64), base.store.add_all(finished + open_))
