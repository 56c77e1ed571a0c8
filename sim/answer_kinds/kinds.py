"""Which likelihood the answers of a table have, and what it leaves out of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from sim.errors import InputError
from sim.files.pair_table import Offered, PairTable

# How likely an answer is, given rewards.
Likelihood: TypeAlias = Literal["bradley-terry", "davidson", "rao-kupper", "cumulative-logit", "plackett-luce"]
AskedLikelihood: TypeAlias = Literal["auto"] | Likelihood
LIKELIHOODS = ("auto", *get_args(Likelihood))

# What may be asked for of each kind of answer; the first is what `auto` is, where ties or strengths need nothing else.
_OF_KIND: dict[str, tuple[Likelihood, ...]] = {
    "pairs": ("bradley-terry", "davidson", "rao-kupper", "cumulative-logit"),
    "ratings": ("bradley-terry", "davidson"),
    "choices": ("plackett-luce", "bradley-terry"),
    "rankings": ("plackett-luce", "bradley-terry"),
    "grades": ("cumulative-logit",),
}
TIES, TIED_PAIRS = "that are ties", "comparisons within ratings that tie"
# Of what is counted as comparisons, the answers that had no other.
ALL_TIED = "ratings without two scores that differ, left out"


@dataclass(frozen=True, eq=False)
class Told:
    """A table, the likelihood of its answers, and which of its columns that likelihood does not use."""

    table: PairTable
    likelihood: Likelihood
    unused: tuple[str, ...]


def likelihood_of(table: PairTable, asked: AskedLikelihood) -> Told:
    """The likelihood asked for, or the one that uses all that the answers say; ties it has no place for are left out
    and counted.

    auto: strengths by cumulative logit, else ties by Davidson, else Bradley-Terry; choices and rankings by
    Plackett-Luce; grades of one item each by cumulative logit.
    """
    possible = _OF_KIND[table.answers]
    if asked != "auto" and asked not in possible:
        raise InputError(
            f"likelihood: {asked} is not for {table.answers}", file=table.source, fix=f"give {', '.join(possible)}"
        )
    ties = _has_ties(table)
    found: Likelihood = possible[0] if asked == "auto" else asked
    if asked == "auto" and table.strength is not None:
        found = "cumulative-logit"
    elif asked == "auto" and ties and "davidson" in possible:
        found = "davidson"
    if found in ("davidson", "rao-kupper") and not ties:
        found = "bradley-terry"  # the same without a tie; one that no answer could be is not estimated
    if found == "cumulative-logit" and table.answers == "pairs" and table.strength is None:
        if asked != "auto" and not ties:
            raise InputError(
                "likelihood: cumulative-logit needs strengths, and the answers have none", file=table.source,
                field="strength", fix="add the column, or leave the likelihood to be chosen",
            )  # fmt: skip
        found = "rao-kupper"
    unused = ("strength",) if table.strength is not None and found != "cumulative-logit" else ()
    return Told(_without_ties(table) if found == "bradley-terry" else table, found, unused)


def _has_ties(table: PairTable) -> bool:
    if table.offered is not None:
        return bool(table.offered.tie.any())
    return table.tie is not None and bool(table.tie.any())


def _without_ties(table: PairTable) -> PairTable:
    """Which the likelihood of pairs has no place for; how many goes to what is left out."""
    if table.offered is not None:
        return _without_tied_pairs(table)
    if table.tie is None:
        return table
    if table.tie.all():
        fix = "give answers that say which is better, or fit with likelihood davidson"
        raise InputError("every answer is a tie", file=table.source, field="tie", fix=fix)
    left_out = (*table.left_out, (TIES, int(table.tie.sum())))
    return replace(table.select(~table.tie), tie=None, left_out=left_out)


def _without_tied_pairs(table: PairTable) -> PairTable:
    own = table.offered
    assert own is not None
    if not own.tie.any():
        return table
    kept = ~own.tie
    if not kept.any():
        fix = "give scores that say which is better, or likelihood davidson"
        raise InputError("every two scores are equal", file=table.source, field="scores", fix=fix)
    sizes = np.diff(own.starts)
    left = Offered(
        own.answer[kept], own.taken[kept], np.concatenate([[0], np.cumsum(sizes[kept])]),
        own.others[np.repeat(kept, sizes)], own.weight[kept], own.tie[kept],
    )  # fmt: skip
    answers = np.unique(left.answer)
    first = np.searchsorted(left.answer, answers)
    chosen, rejected = table.chosen.copy(), table.rejected.copy()
    chosen[answers], rejected[answers] = left.taken[first], left.others[left.starts[first]]
    # `select` numbers the answers that are left anew.
    whole = replace(table, chosen=chosen, rejected=rejected, offered=left)
    left_out = (*table.left_out, (TIED_PAIRS, int(own.tie.sum())))
    lost = len(table) - len(answers)
    noted = (*table.noted, (ALL_TIED, lost)) if lost else table.noted
    return replace(whole.select(answers), left_out=left_out, noted=noted)


def pairs_of_choices(table: PairTable) -> PairTable:
    """Choices out of more than two as if the taken had been compared with each other alternative by itself: 1 / (J - 1)
    of the weight each, so that a choice weighs what it did."""
    own = table.offered
    assert own is not None
    sizes = np.diff(own.starts)
    m = len(own.others)
    pairs = Offered(
        np.repeat(own.answer, sizes), np.repeat(own.taken, sizes), np.arange(m + 1), own.others,
        np.repeat(own.weight / sizes, sizes), np.zeros(m, dtype=np.bool_), own.none,
    )  # fmt: skip
    return replace(table, offered=pairs)
