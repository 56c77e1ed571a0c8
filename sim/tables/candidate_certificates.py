"""What can be said for a choice among candidates whoever made it: shares, efficiency, gaps, lies, axioms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.axioms import AXIOMS
from sim.algorithms.fairness import (
    Pareto,
    PigouDalton,
    choice_invariance,
    pareto_lottery,
    pareto_option,
    pigou_dalton_option,
    smallest_share,
)
from sim.algorithms.mechanism import Mechanism, best_misreports
from sim.algorithms.orderings import aggregation_rule
from sim.algorithms.welfare import share_of_maximum
from sim.errors import InputError
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.tables.candidates import CandidateChoice, HowToChoose, choose_candidates, is_welfare, opinions_of
from sim.tables.welfare import parse_rule

# Prompts and changes of scale and zero to each that the rule's invariance is tried on; profiles of each axiom.
_TRIED, _CHANGES, _PROFILES = 20, 20, 1000
# Parties times candidates times prompts that lies are searched for among: about a second.
_SEARCHED = 2000
# Of the share that the Nash lottery gives to the last digit of its solver.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Certificate:
    """Of one prompt, from what parties gain over their worst candidate, by their estimated rewards.

    share_of_maximum: (M,) of the most any candidate gives the party; 1 for a party to whom all are the same.
    smallest_share: the smallest of them among parties who prefer something.  one_over_m: whether it is at least 1 / M,
    M the number of these parties; certified: whether the sum that proves it for the Nash lottery says so, which is
    sufficient and not necessary, see `fairness.smallest_share`.  pareto: among candidates, or lotteries where the
    choice is one (tau then what `better` shows).  transfers: equalising transfers left, of a welfare function's
    candidate.
    optimality_gap: by how much another lottery may be better, 0 for a candidate and a closed form, which are exact;
    None of a pool, which maximises nothing.
    """

    share_of_maximum: FloatArray
    smallest_share: float
    one_over_m: bool
    certified: bool
    pareto: Pareto
    transfers: PigouDalton | None
    optimality_gap: float | None


def certificate(table: FloatArray, found: CandidateChoice, how: HowToChoose) -> Certificate:
    """table: (M, A) rewards."""
    gains = table - table.min(axis=1, keepdims=True)
    heard = gains.max(axis=1) > 0
    shares = np.asarray(share_of_maximum(gains, gains @ found.lottery))
    own = gains[heard]
    gap = None if how.rule == "pool" else 0.0 if found.gap is None else found.gap
    if not heard.any():
        return Certificate(shares, 1.0, True, True, Pareto(True, 0.0), None, gap)
    share, certified = smallest_share(own, found.lottery)
    transfers = None
    if how.is_mixed and found.lottery.max() < 1.0:
        pareto = pareto_lottery(own, found.lottery, largest=False)
    else:
        pareto = pareto_option(own, found.choice)
        if is_welfare(how.rule):
            transfers = pigou_dalton_option(own, found.choice, parse_rule(how.rule).equivalent(own))
    enough = share >= (1.0 - _ROUNDING) / len(own)
    return Certificate(shares, share, enough, certified, pareto, transfers, gap)


@dataclass(frozen=True, eq=False)
class Lies:
    """at_most: (M,) the most that any report could gain a party, summed over prompts, a proof.  best: (M,) the best
    report found, None where there are too many to search."""

    at_most: FloatArray
    best: FloatArray | None


def lies(tables: Sequence[FloatArray], how: HowToChoose) -> Lies:
    """What parties could gain by other opinions than their own, under the costs of the mechanism."""
    rules, opinions = Mechanism(how.alpha), [opinions_of(table) for table in tables]
    at_most = np.sum([rules.largest_gain(own, own) for own in opinions], axis=0)
    if sum(own.size for own in opinions) > _SEARCHED:
        return Lies(at_most, None)
    stream = Stream(0, "lies")
    return Lies(at_most, np.sum([best_misreports(rules, own, stream=stream).gain for own in opinions], axis=0))


def _choice(table: FloatArray, how: HowToChoose) -> int:
    """-1 where the rule has none, as Nash from the fit's zero of rewards that were moved below it."""
    try:
        # What is chosen does not depend on what parties pay, and a table made up here need not be payable.
        return choose_candidates([table], replace(how, mechanism=False))[0].choice
    except InputError:
        return -1


def axioms_of_rule(tables: Sequence[FloatArray], how: HowToChoose) -> dict[str, float]:
    """Shares of trials in which the rule obeys.

    scales, zeros: of choices on up to 20 of these prompts that stay when every party's rewards are multiplied or moved
    (`fairness.choice_invariance`); a rule without an answer to what was changed has not stayed.  Of aggregate also each
    axiom of `sim.algorithms.axioms`, on random profiles of as many parties (2 to 8).  Lotteries have none.
    """
    found: dict[str, float] = {}
    if not how.is_mixed and not how.pessimistic:
        stream, some = Stream(0, "axioms"), range(0, len(tables), -(-len(tables) // _TRIED))
        for name in ("scales", "zeros"):
            found[name] = float(np.mean([
                choice_invariance(
                    tables[p], lambda table: _choice(table, how), stream.at(replicate=p),
                    scales=name == "scales", zeros=name == "zeros", trials=_CHANGES,
                ).unchanged
                for p in some
            ]))  # fmt: skip
    if how.rule == "aggregate" and not how.pessimistic:
        people = min(max(len(tables[0]), 2), 8)
        for name, axiom in AXIOMS.items():
            stream = Stream(0, "axioms").child(name)
            found[name] = axiom.check(aggregation_rule(how.alpha), stream, trials=_PROFILES, n_annotators=people).score
    return found
