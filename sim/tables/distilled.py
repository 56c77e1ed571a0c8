"""A choice among candidates as weighted pairs of them, which plain DPO then trains a policy on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from sim.arguments import require_count
from sim.errors import InputError
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from sim.tables.candidates import CandidateChoice, HowToChoose

Kind: TypeAlias = Literal["pop-dpo", "aggregated", "weighted"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# A pair whose weight rounds to nothing says nothing.
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class DistilledPairs:
    """prompt, chosen, rejected: (n,) numbers of the prompt and of its candidates; weight: (n,)."""

    prompt: IntArray
    chosen: IntArray
    rejected: IntArray
    weight: FloatArray


def distilled_pairs(
    rewards: Sequence[FloatArray],
    choices: Sequence[CandidateChoice],
    how: HowToChoose,
    kind: Kind,
    stream: Stream,
    *,
    pairs: int = 20,
) -> DistilledPairs:
    """Pairs of each prompt's candidates, all of them or `pairs` at random, labelled by what was chosen.

    pop-dpo: of rule pool.  Both orders, weighted by q(a) / (q(a) + q(b)), q the pool of the parties' chances over all
    of the prompt's candidates: DPO's expected loss is least at pi_ref q^(1 / beta), what Algorithm 5 is meant to end
    at.  [arXiv 2405.00254, Algorithm 5, over its draw]  It asks of two candidates and pools the opinions of these two;
    of three or more, pools of pairs are the chances of no one q unless alpha = 0, and would lead elsewhere.  [derived]
    aggregated: the one that the rule puts first, weight 1; equal ones are left out.
    weighted: of aggregate and max-min.  Both orders, weighted by sigma(V(a) - V(b)), V the aggregate, or the parties'
    mean reward at max-min's weights: DPO's expected loss on the answers of somebody whose reward it is, least at
    pi_ref exp(V / beta), the policy that `beta` of the choice gives.
    Errors: InputError where the rule has no such labels.
    """
    require_count("pairs", pairs)
    _require_labels(choices, how, kind)
    drawn = [_drawn(table.shape[1], pairs, stream.at(replicate=p)) for p, table in enumerate(rewards)]
    prompt = np.repeat(np.arange(len(rewards)), [len(two) for two in drawn])
    two = np.concatenate(drawn)
    value = np.concatenate([_value(own, kind)[at] for own, at in zip(choices, drawn, strict=True)])
    first, second = np.concatenate([value, value[:, ::-1]]).T
    weight = (first > second).astype(np.float64) if kind == "aggregated" else np.exp(log_sigmoid(first - second))
    prompt, chosen, rejected = np.tile(prompt, 2), two.T.ravel(), two[:, ::-1].T.ravel()
    kept = weight > _LEAST
    order = np.argsort(np.asarray(prompt)[kept], kind="stable")
    return DistilledPairs(*(np.asarray(column)[kept][order] for column in (prompt, chosen, rejected, weight)))


def _value(found: CandidateChoice, kind: Kind) -> FloatArray:
    """(A,) what labels go by."""
    value = found.order if kind == "aggregated" and found.order is not None else found.value
    assert value is not None
    # Opinions have the mechanism's floor, and so has their pool: no logarithm of zero.
    return np.log(value) if kind == "pop-dpo" else value


def _require_labels(choices: Sequence[CandidateChoice], how: HowToChoose, kind: Kind) -> None:
    if kind not in KINDS:
        raise InputError(f"distil: there is nothing called '{kind}'", fix=f"give one of {', '.join(KINDS)}")
    wanted = {"pop-dpo": ("pool",), "weighted": ("aggregate", "max-min")}.get(kind, (how.rule,))
    if how.rule not in wanted:
        raise InputError(
            f"distil: {kind} belongs to rule {' or '.join(wanted)}", fix=f"choose by {wanted[0]}, or distil aggregated"
        )
    if kind == "aggregated" and any(own.value is None for own in choices):
        raise InputError(
            f"distil: lotteries of {how.rule} value no candidate alone",
            fix="choose by aggregate, or by a welfare function without lottery",
        )


def _drawn(n: int, pairs: int, stream: Stream) -> IntArray:
    """(m, 2) different candidates, the smaller number first; m at most `pairs`."""
    every = np.stack(np.triu_indices(n, 1), axis=1)
    if len(every) <= pairs:
        return every
    return every[np.sort(stream.permutation(len(every))[:pairs])]
