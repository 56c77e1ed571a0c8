"""One of several candidate responses a prompt, or a lottery over them, from what several parties get of each.

Nothing is decided here: every rule is a function of `sim.algorithms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from sim.algorithms.aggregation import aggregate, checked_alpha
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.mechanism import Mechanism, floored
from sim.algorithms.pooling import pool_opinions
from sim.algorithms.von_neumann import solve_matrices
from sim.algorithms.welfare import WelfareRule
from sim.arguments import require_positive
from sim.errors import InputError
from sim.preferences import FloatArray, IntArray
from sim.tables.welfare import parse_rule

# Where a party's reward is zero in each prompt: at its mean candidate, at its worst, or where the fit has it.
Zero: TypeAlias = Literal["mean", "worst", "fit"]
_OWN = ("aggregate", "pool", "von-neumann")


@dataclass(frozen=True)
class HowToChoose:
    """rule: aggregate, pool, von-neumann, or a welfare function (nash, utilitarian, leximin, alpha=A).

    alpha: of aggregate and pool.  zero: rewards are known up to a number a party and prompt, and all rules but
    utilitarian, von-neumann and pool depend on it; None: worst for a welfare function, mean for aggregate.  lottery:
    probabilities where the rule has them (welfare functions, pool).  beta: of aggregate, the policy on the candidates
    that maximises E Agg - beta KL from the uniform one.  mechanism: of pool, also what each party pays.
    """

    rule: str = "aggregate"
    alpha: float = 0.0
    zero: Zero | None = None
    lottery: bool = False
    beta: float | None = None
    mechanism: bool = False

    def __post_init__(self) -> None:
        if self.rule not in _OWN:
            parse_rule(self.rule)
        try:
            checked_alpha(self.alpha)
        except ValueError as error:
            raise InputError(str(error), fix="give a number, -inf or inf") from error
        if self.zero is not None and self.zero not in get_args(Zero):
            raise InputError(f"zero: expected mean, worst or fit, got '{self.zero}'", fix="give one of them")
        if self.beta is not None:
            require_positive(beta=self.beta)
        if self.lottery and self.rule == "aggregate" and self.beta is None:
            raise InputError("lottery: of aggregate it is the policy at some beta", fix="give beta")
        for name, rules in (("beta", ("aggregate",)), ("mechanism", ("pool",))):
            if getattr(self, name) and self.rule not in rules:
                raise InputError(f"{name}: belongs to rule {rules[0]}", fix=f"leave it out with {self.rule}")
        if self.alpha and self.rule not in ("aggregate", "pool"):
            raise InputError("alpha: belongs to aggregate and pool", fix="write rule alpha=A for a welfare function")
        if self.mechanism and np.isinf(self.alpha):
            raise InputError("mechanism: no distance has the min or the max rule as its barycentre",
                             fix="give a finite alpha")  # fmt: skip

    @property
    def counted_from(self) -> Zero:
        if self.zero is not None:
            return self.zero
        return "mean" if self.rule in _OWN else "worst"

    @property
    def is_mixed(self) -> bool:
        """Whether the answer is a lottery."""
        return self.lottery or self.beta is not None or self.rule == "von-neumann"


@dataclass(frozen=True, eq=False)
class CandidateChoice:
    """lottery: (A,) probabilities, 1 on the choice where there is no lottery.  value: (A,) what the rule makes of each
    candidate, None where it is of lotteries only.  gap: by how much another lottery may be better, as its algorithm
    certifies it, None for a choice.  costs: (M,) nats, of a mechanism."""

    lottery: FloatArray
    value: FloatArray | None = None
    gap: float | None = None
    costs: FloatArray | None = None

    @property
    def choice(self) -> int:
        """The candidate, or the one of largest probability (the first of several)."""
        return int(self.lottery.argmax())


def choose_candidates(rewards: Sequence[FloatArray], how: HowToChoose) -> list[CandidateChoice]:
    """rewards: a table (M parties, A candidates) a prompt, A of each prompt's own.

    Prompts with as many candidates go through a rule together.  Errors: InputError with the prompt's number (from 1)
    where the rule cannot choose.
    """
    sizes = np.array([table.shape[1] for table in rewards])
    found: dict[int, CandidateChoice] = {}
    for size in np.unique(sizes):
        where = np.flatnonzero(sizes == size)
        tables = np.stack([rewards[p] for p in where.tolist()]).astype(np.float64)
        found |= dict(zip(where.tolist(), _choose(_counted(tables, how.counted_from), how, where), strict=True))
    return [found[p] for p in range(len(rewards))]


def _counted(tables: FloatArray, zero: Zero) -> FloatArray:
    if zero == "fit":
        return tables
    start = tables.mean(axis=2, keepdims=True) if zero == "mean" else tables.min(axis=2, keepdims=True)
    return np.asarray(tables - start)


def _choose(tables: FloatArray, how: HowToChoose, where: IntArray) -> list[CandidateChoice]:
    """tables: (B, M, A); where: (B,) numbers of the prompts."""
    if how.rule == "aggregate":
        return _aggregated(aggregate(tables, how.alpha), how.beta)
    if how.rule == "pool":
        return _pooled(tables, how)
    if how.rule == "von-neumann":
        # P(a beats b) for somebody drawn at random, by each party's own Bradley-Terry chances.
        wins = np.zeros((len(tables), tables.shape[2], tables.shape[2]))
        for party in range(tables.shape[1]):  # all at once would be M times the memory
            own = tables[:, party]
            wins += np.tanh(0.5 * (own[:, :, None] - own[:, None, :])) / tables.shape[1]
        winner = solve_matrices(wins)
        return [CandidateChoice(p, None, float(gap)) for p, gap in zip(winner.policy, winner.gap, strict=True)]
    rule = parse_rule(how.rule)
    return [_by_welfare(table, rule, how.lottery, int(p)) for table, p in zip(tables, where, strict=True)]


def _aggregated(values: FloatArray, beta: float | None) -> list[CandidateChoice]:
    if beta is None:
        return [CandidateChoice(_sure(len(value), int(value.argmax())), value) for value in values]
    weights = np.exp((values - values.max(axis=1, keepdims=True)) / beta)
    chances = weights / weights.sum(axis=1, keepdims=True)
    return [CandidateChoice(p, value) for p, value in zip(chances, values, strict=True)]


def _pooled(tables: FloatArray, how: HowToChoose) -> list[CandidateChoice]:
    """Opinions are each party's chances of choosing out of the candidates, softmax of its rewards (Luce)."""
    weights = np.exp(tables - tables.max(axis=2, keepdims=True))
    opinions = weights / weights.sum(axis=2, keepdims=True)
    # A chance that no number can hold would veto a candidate at alpha <= 0; the mechanism has the same floor.
    opinions = floored(opinions)
    consensus, costs = pool_opinions(opinions, how.alpha), [None] * len(tables)
    if how.mechanism:
        outcome = Mechanism(how.alpha).outcome(opinions)
        consensus, costs = outcome.consensus, list(outcome.costs)
    return [
        CandidateChoice(p if how.lottery else _sure(len(p), int(p.argmax())), p, None, cost)
        for p, cost in zip(consensus, costs, strict=True)
    ]


def _by_welfare(table: FloatArray, rule: WelfareRule, lottery: bool, prompt: int) -> CandidateChoice:
    # Parties to whom all candidates are the same have no say, and would make every product zero.
    own = table[(np.ptp(table, axis=1) > 0)]
    n = table.shape[1]
    if not len(own):
        return CandidateChoice(np.full(n, 1.0 / n) if lottery else _sure(n, 0), np.zeros(n), 0.0 if lottery else None)
    where = f"prompt {prompt + 1}"
    if rule.needs_positive and (own < 0).any():
        raise InputError(f"{where}: {rule.name} needs rewards of at least 0", fix="count from zero='worst'")
    if lottery:
        best = best_lotteries(own[None], rule)
        return CandidateChoice(best.probabilities[0], None, float(best.optimality_gap[0]))
    choice = int(rule.best(own))
    if choice < 0:
        raise InputError(
            f"{where}: every candidate is some party's worst, and {rule.name} cannot tell them apart",
            fix="ask for a lottery, or give more candidates",
        )
    return CandidateChoice(_sure(n, choice), rule.equivalent(own))


def _sure(n: int, choice: int) -> FloatArray:
    found = np.zeros(n)
    found[choice] = 1.0
    return found
