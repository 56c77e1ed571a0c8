"""One of several candidate responses a prompt, or a lottery over them, from what several parties get of each.

Nothing is decided here: every rule is a function of `sim.algorithms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from sim.algorithms.aggregation import aggregate, checked_alpha
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.max_min_rlhf import max_min_policy
from sim.algorithms.mechanism import Mechanism, floored
from sim.algorithms.pooling import pool_opinions
from sim.algorithms.von_neumann import mean_preferences, solve_exactly
from sim.algorithms.welfare import WelfareRule
from sim.arguments import require_between, require_not_negative, require_positive
from sim.errors import InputError
from sim.policies.finite import log_softmax
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.tables.pessimistic_candidates import SureRewards, Zero
from sim.tables.welfare import parse_rule

# Of a normal estimate whose standard error is known, a bound so many of them below it is right 19 times out of 20; of
# the methods' default fits see `examples/bounds_for_all.py`.
RADIUS = 1.645
_OWN = ("aggregate", "max-min", "pool", "von-neumann")
# Numbers of a pessimistic lottery's program, parties times candidates times features: of so many it takes some
# gigabytes.
_LARGEST = 5_000_000
# Beyond them differences of rewards over beta, and doubts, leave the numbers that there are.
_LEAST_BETA, _LARGEST_BETA, _LARGEST_RADIUS = 1e-9, 1e9, 1e6


def is_welfare(rule: str) -> bool:
    """Whether it is a welfare function, by name or as alpha=A."""
    return rule not in _OWN


@dataclass(frozen=True)
class HowToChoose:
    """rule: aggregate, pool, von-neumann, max-min, or a welfare function (nash, utilitarian, leximin, alpha=A).

    alpha: of aggregate and pool.  zero: rewards are known up to a number a party and prompt, and all rules but
    utilitarian, von-neumann and pool depend on it; None: worst for a welfare function, mean for aggregate.  lottery:
    probabilities where the rule has them (welfare functions, pool).  beta: of aggregate, the policy on the candidates
    that maximises E Agg - beta KL from the reference; of max-min, which is such a policy, the least mean reward of a
    party over all prompts in E Agg's place (needed).  mechanism: of pool, also what each party pays.
    pessimistic: of aggregate and welfare functions, by the least rewards over each party's confidence set, an ellipsoid
    of `radius` standard errors, in the place of its rewards.  [arXiv 2403.05006, Algorithm 1]
    """

    rule: str = "aggregate"
    alpha: float = 0.0
    zero: Zero | None = None
    lottery: bool = False
    beta: float | None = None
    mechanism: bool = False
    pessimistic: bool = False
    radius: float = RADIUS

    def __post_init__(self) -> None:
        if self.rule not in _OWN:
            parse_rule(self.rule)
        try:
            checked_alpha(self.alpha)
        except ValueError as error:
            raise InputError(str(error), fix="give a number, -inf or inf") from error
        try:
            require_not_negative(radius=self.radius)
            require_between(0.0, _LARGEST_RADIUS, radius=self.radius)
        except ValueError as error:
            raise InputError(str(error), fix="give standard errors, e.g. 1.645") from error
        if self.zero is not None and self.zero not in get_args(Zero):
            raise InputError(f"zero: expected mean, worst or fit, got '{self.zero}'", fix="give one of them")
        if self.beta is not None:
            try:
                require_positive(beta=self.beta)
                require_between(_LEAST_BETA, _LARGEST_BETA, beta=self.beta)
            except ValueError as error:
                raise InputError(str(error), fix="give nats, e.g. 0.1") from error
        if self.rule == "max-min" and self.beta is None:
            raise InputError("beta: max-min is the policy at some beta", fix="give beta")
        if self.lottery and self.rule == "aggregate" and self.beta is None:
            raise InputError("lottery: of aggregate it is the policy at some beta", fix="give beta")
        for name, rules in (("beta", ("aggregate", "max-min")), ("mechanism", ("pool",))):
            if getattr(self, name) and self.rule not in rules:
                raise InputError(f"{name}: belongs to rule {' and '.join(rules)}", fix=f"leave it out with {self.rule}")
        if self.alpha and self.rule not in ("aggregate", "pool"):
            raise InputError("alpha: belongs to aggregate and pool", fix="write rule alpha=A for a welfare function")
        if self.mechanism and np.isinf(self.alpha):
            raise InputError("mechanism: no distance has the min or the max rule as its barycentre",
                             fix="give a finite alpha")  # fmt: skip
        if self.pessimistic and self.rule in ("max-min", "pool", "von-neumann"):
            raise InputError("pessimistic: belongs to aggregate and welfare functions",
                             fix=f"leave it out with {self.rule}")  # fmt: skip
        if self.pessimistic and self.lottery and self.zero not in (None, self.counted_from):
            raise InputError(f"zero: sure lotteries of {self.rule} count from the {self.counted_from} candidate",
                             fix="leave it out")  # fmt: skip

    @property
    def counted_from(self) -> Zero:
        if self.zero is not None and not (self.pessimistic and self.lottery and self.rule not in _OWN):
            return self.zero
        # A sum of least gains would count each party's doubt about its worst candidate too.
        sums = self.pessimistic and self.rule not in _OWN and parse_rule(self.rule).alpha == 1.0
        return "mean" if self.rule in _OWN or sums else "worst"

    @property
    def is_mixed(self) -> bool:
        """Whether the answer is a lottery."""
        return self.lottery or self.beta is not None or self.rule == "von-neumann"


@dataclass(frozen=True, eq=False)
class CandidateChoice:
    """lottery: (A,) probabilities, 1 on the choice where there is no lottery.  value: (A,) what the rule makes of each
    candidate, None where it is of lotteries only.  order: (A,) numbers that order the candidates as a welfare function
    does, where values fall short of it: leximin goes on to the second-worst, and at alpha near 0 a value may be below
    all numbers.  gap: by how much another lottery may be better, as its algorithm
    certifies it, None for a choice.  costs: (M,) nats, of a mechanism.  bounds: (M, A) what each party is sure to get
    of each candidate, sure: (M,) of the lottery, and heard: (M,) who is sure of something by some candidate (by some
    lottery, where there is one), where the choice was pessimistic."""

    lottery: FloatArray
    value: FloatArray | None = None
    gap: float | None = None
    costs: FloatArray | None = None
    bounds: FloatArray | None = None
    sure: FloatArray | None = None
    heard: BoolArray | None = None
    order: FloatArray | None = None

    @property
    def choice(self) -> int:
        """The candidate, or the one of largest probability (the first of several)."""
        return int(self.lottery.argmax())


def choose_candidates(
    rewards: Sequence[FloatArray],
    how: HowToChoose,
    sure: SureRewards | None = None,
    ref_logps: Sequence[FloatArray] | None = None,
) -> list[CandidateChoice]:
    """rewards: a table (M parties, A candidates) a prompt, A of each prompt's own.  sure: what a pessimistic choice
    takes in their place (`sure_rewards`).  ref_logps: (A,) of each prompt, of the policy that `beta` keeps close to;
    uniform without, which candidates drawn from the policy stand for.

    Prompts with as many candidates go through a rule together.  Errors: InputError with the prompt's number (from 1)
    where the rule cannot choose.
    """
    if how.pessimistic:
        if sure is None:
            raise ValueError("sure must be given for a pessimistic choice")
        found = _pessimistic(sure, how)
    else:
        counted = [_counted(table, how.counted_from) for table in rewards]
        if how.rule == "max-min":
            assert how.beta is not None
            # One game for all prompts: who is worst off is decided by what a party gets in the mean over them.
            reference = None if ref_logps is None else [np.exp(log_softmax(own)) for own in ref_logps]
            served = max_min_policy(counted, how.beta, reference=reference)
            # The policy is the regularised optimum of the parties' mean reward at the weights that are worst for it.
            return [
                CandidateChoice(policy / policy.sum(), served.weights @ table, served.gap)
                for policy, table in zip(served.policies, counted, strict=True)
            ]
        found = _each(counted, how)
    if how.beta is None:
        return found
    start = [np.zeros(table.shape[1]) for table in rewards] if ref_logps is None else ref_logps
    return [_regularised(own, logps, how.beta) for own, logps in zip(found, start, strict=True)]


def _regularised(found: CandidateChoice, ref_logps: FloatArray, beta: float) -> CandidateChoice:
    """pi(a) proportional to pi_ref(a) exp(value(a) / beta), the maximum of E value - beta KL(pi, pi_ref)."""
    assert found.value is not None
    lottery = np.exp(log_softmax(ref_logps + found.value / beta))
    return replace(found, lottery=lottery, sure=None if found.bounds is None else found.bounds @ lottery)


def _each(tables: Sequence[FloatArray], how: HowToChoose) -> list[CandidateChoice]:
    """The choices of prompts from their tables, counted from the zero."""
    sizes = np.array([table.shape[1] for table in tables])
    found: dict[int, CandidateChoice] = {}
    for size in np.unique(sizes):
        where = np.flatnonzero(sizes == size)
        together = np.stack([tables[p] for p in where.tolist()]).astype(np.float64)
        found |= dict(zip(where.tolist(), _choose(together, how, where), strict=True))
    return [found[p] for p in range(len(tables))]


def _pessimistic(sure: SureRewards, how: HowToChoose) -> list[CandidateChoice]:
    """The rule on the bounds: welfare functions and Agg_alpha rise with every reward, so that the least reward of each
    party gives the least of the whole, candidate by candidate; lotteries have programs of their own."""
    bounds = [sure.bounds(p, how.counted_from) for p in range(len(sure.features))]
    if not (how.lottery and how.rule not in _OWN):
        return [
            replace(own, bounds=table, sure=table @ own.lottery, heard=np.ptp(table, axis=1) > 0)
            for own, table in zip(_each(bounds, how), bounds, strict=True)
        ]
    rule, found = parse_rule(how.rule), []
    for prompt, table in enumerate(bounds):
        n, size = table.shape[1], table.size * min(sure.features[prompt].shape)
        if size > _LARGEST:
            raise InputError(
                f"prompt {prompt + 1}: {len(table)} parties with {n} candidates of {sure.features[prompt].shape[1]} "
                f"features are a program of {size:.1e} numbers, and more than {_LARGEST:.0e} take too much memory",
                fix="give fewer parties or candidates, or leave out the lottery",
            )
        try:
            heard, left = sure.heard(prompt, rule, table)
            if heard.any():
                lottery, own, gap = sure.lottery(prompt, rule, heard)
            else:
                lottery, own, gap = np.full(n, 1.0 / n), np.zeros(len(table)), float(left.max())
        except RuntimeError as error:
            raise InputError(
                f"prompt {prompt + 1}: {error}", fix="try another radius, or leave out the lottery"
            ) from error
        found.append(CandidateChoice(lottery, None, gap, None, table, own, heard))
    return found


def _counted(table: FloatArray, zero: Zero) -> FloatArray:
    """(M, A) from its zero."""
    if zero == "fit":
        return table
    return np.asarray(table - (table.mean(axis=1) if zero == "mean" else table.min(axis=1))[:, None])


def _choose(tables: FloatArray, how: HowToChoose, where: IntArray) -> list[CandidateChoice]:
    """tables: (B, M, A); where: (B,) numbers of the prompts."""
    if how.rule == "aggregate":
        values = aggregate(tables, how.alpha)
        return [CandidateChoice(_sure(len(value), int(value.argmax())), value) for value in values]
    if how.rule == "pool":
        return _pooled(tables, how, where)
    if how.rule == "von-neumann":
        # P(a beats b) for somebody drawn at random, by each party's own Bradley-Terry chances.
        winner = solve_exactly(mean_preferences(tables))
        return [CandidateChoice(p, None, float(gap)) for p, gap in zip(winner.policy, winner.gap, strict=True)]
    rule = parse_rule(how.rule)
    if how.lottery and (np.ptp(tables, axis=2) > 0).all() and not (rule.needs_positive and (tables < 0).any()):
        together = best_lotteries(tables, rule)
        return [
            CandidateChoice(p, None, float(gap))
            for p, gap in zip(together.probabilities, together.optimality_gap, strict=True)
        ]
    return [_by_welfare(table, rule, how, int(p)) for table, p in zip(tables, where, strict=True)]


def opinions_of(rewards: FloatArray) -> FloatArray:
    """Each party's chances of choosing out of the candidates, softmax of its rewards (Luce); (..., M, A) -> the same.

    A chance that no number can hold would veto a candidate at alpha <= 0; the mechanism has the same floor.
    """
    weights = np.exp(rewards - rewards.max(axis=-1, keepdims=True))
    return floored(weights / weights.sum(axis=-1, keepdims=True))


def _pooled(tables: FloatArray, how: HowToChoose, where: IntArray) -> list[CandidateChoice]:
    opinions = opinions_of(tables)
    consensus, costs = pool_opinions(opinions, how.alpha), [None] * len(tables)
    if how.mechanism:
        rules = Mechanism(how.alpha)
        for prompt, own in zip(where.tolist(), opinions, strict=True):
            try:
                rules.require_payable(own)
            except ValueError as error:
                raise InputError(
                    f"prompt {prompt + 1}: {error}", fix="give another alpha, or leave out the mechanism"
                ) from error
        outcome = rules.outcome(opinions)
        consensus, costs = outcome.consensus, list(outcome.costs)
    return [
        CandidateChoice(p if how.lottery else _sure(len(p), int(p.argmax())), p, None, cost)
        for p, cost in zip(consensus, costs, strict=True)
    ]


def _by_welfare(table: FloatArray, rule: WelfareRule, how: HowToChoose, prompt: int) -> CandidateChoice:
    # Parties to whom all candidates are the same have no say, and would make every product zero.
    own = table[(np.ptp(table, axis=1) > 0)]
    n, lottery = table.shape[1], how.lottery
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
            f"{where}: every candidate is {_least(how)}, and {rule.name} cannot tell them apart",
            fix="ask for a lottery, or give more candidates",
        )
    return CandidateChoice(_sure(n, choice), rule.equivalent(own), order=_order(own, rule, choice))


def _order(table: FloatArray, rule: WelfareRule, choice: int) -> FloatArray | None:
    if rule.alpha == 1.0:
        return None
    if np.isneginf(rule.alpha):
        _, place = np.unique(np.sort(table, axis=0).T, axis=0, return_inverse=True)
        return np.asarray(place.reshape(-1), dtype=np.float64)
    return rule.advantage(table, choice)


def _least(how: HowToChoose) -> str:
    return "some party's worst" if not how.pessimistic else "no better for sure than some party's worst"


def _sure(n: int, choice: int) -> FloatArray:
    found = np.zeros(n)
    found[choice] = 1.0
    return found
