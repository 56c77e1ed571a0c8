"""Is the reward of low rank?  Singular values of the full fit against chance, and across halves of the people."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.fitting.contexts import ContextAnswers, fit_full
from sim.preferences import FloatArray, IntArray
from sim.running.threads import one_thread
from sim.streams import Stream

PERMUTATIONS = 200
HALVINGS = 5
LEVEL = 0.05
MOST = 0.9
_ALIKE = 10


@dataclass(frozen=True, eq=False)
class Spectrum:
    """values (q,), largest first, in standard deviations of the margin; null (3, q): 5 %, 50 % and 95 % quantiles of
    what chance gives in their place; p_value (q,).

    cross_fitted (q,): u_j' Theta v_j with u_j, v_j from one half of the people and Theta from the other, about 0 where
    there is nothing.  energy (q,): value of the one half times cross-fitted value, whose sum estimates |Theta|^2.
    """

    values: FloatArray
    null: FloatArray
    p_value: FloatArray
    cross_fitted: FloatArray
    energy: FloatArray

    @property
    def above(self) -> int:
        """How many of the first are above chance, one after the other."""
        below = np.flatnonzero(self.p_value > LEVEL)
        return int(below[0]) if len(below) else len(self.p_value)

    def share(self, rank: int) -> float | None:
        """Share of the energy both halves agree on that the first directions carry; None without any energy."""
        total = float(self.energy.sum())
        return float(self.energy[:rank].sum()) / total if total > 0 else None

    @property
    def carrying(self) -> int | None:
        """The smallest number of first directions that carries nine tenths of that energy."""
        return next((r for r in range(1, len(self.energy) + 1) if (self.share(r) or 0.0) >= MOST), None)

    def as_json(self, rank: int, ridge: float) -> dict[str, Any]:
        return {
            "singular_values": self.values.tolist(),
            "null_quantiles": dict(zip(("5 %", "50 %", "95 %"), self.null.tolist(), strict=True)),
            "p_value": self.p_value.tolist(),
            "cross_fitted": self.cross_fitted.tolist(),
            "cross_fitted_energy": self.energy.tolist(),
            "above_null": self.above,
            "carrying_nine_tenths": self.carrying,
            "share_of_energy": [self.share(r) for r in range(1, len(self.energy) + 1)],
            "share_of_energy_at_rank": self.share(rank),
            "permutations": PERMUTATIONS,
            "ridge": ridge,
            "units": "standard deviations of the margin: Theta without its intercept, contexts and items whitened",
        }


def _root(second: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(second)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def _tenths(answers: ContextAnswers, people: IntArray) -> list[IntArray]:
    """The people with answers, cut by their total weight into parts of equal size, of _ALIKE or more where there are as
    many."""
    total = np.bincount(answers.annotator, answers.weights, minlength=len(answers.contexts))[people]
    order = people[np.argsort(total, kind="stable")]
    return np.array_split(order, min(max(len(people) // _ALIKE, 1), 10))


# Long for its docstring; the two inner functions are one draw each.
@one_thread()
def context_spectrum(answers: ContextAnswers, ridge: float, stream: Stream) -> Spectrum:
    """Singular values of Sx^1/2 Theta Sz^1/2, Theta the full fit's rows that belong to contexts.

    The null: contexts dealt out anew among the people with about as many answers (tenths of the people by their total
    weight), the intercept left in place, and refitted; profiles of people who answered little are noisier, and dealing
    them to people who answered much would make another problem of it. The j-th value is held against the largest of a
    refit off the first j - 1 directions: the largest noise there is where they are not, and not the j-th largest. Exact
    for the first where, within a tenth, contexts are exchangeable; where the first are so strong that margins are large
    and answers say less, further ones are judged a little leniently.

    Sx, Sz: second moments of contexts over people and of differences over weighted answers, the same in every refit.
    """
    people = np.unique(answers.annotator)
    tenths = _tenths(answers, people)
    left = _root(answers.contexts[people, 1:].T @ answers.contexts[people, 1:] / len(people))
    z, w = answers.differences, answers.weights
    right = _root((z * w[:, None]).T @ z / w.sum())
    whole = fit_full(answers, ridge)
    start = np.zeros_like(whole)
    start[0] = whole[0]

    def whitened(theta: FloatArray) -> FloatArray:
        return np.asarray(left @ theta[1:] @ right)

    u, values, vt = np.linalg.svd(whitened(whole), full_matrices=False)

    def shuffled(number: int) -> FloatArray:
        contexts = answers.contexts.copy()
        for place, alike in enumerate(tenths):
            order = stream.child(f"null/{place}").at(replicate=number).permutation(len(alike))
            contexts[alike, 1:] = answers.contexts[alike[order], 1:]
        dealt = ContextAnswers(contexts, z, answers.annotator, w)
        rest, largest = whitened(fit_full(dealt, ridge, start, 1e-7)), np.empty(len(values))
        for j in range(len(values)):
            largest[j] = np.linalg.norm(rest, 2)
            rest = rest - np.outer(u[:, j], u[:, j] @ rest)
            rest = rest - np.outer(rest @ vt[j], vt[j])
        return largest

    def halved(number: int) -> tuple[FloatArray, FloatArray]:
        first = np.zeros(len(answers.contexts), dtype=np.bool_)
        order = people[stream.child("halves").at(replicate=number).permutation(len(people))]
        first[order[: len(people) // 2]] = True
        own = first[answers.annotator]
        one, other = (whitened(fit_full(answers.rows(mask), ridge, start, 1e-7)) for mask in (own, ~own))
        values, crossed = np.zeros(min(one.shape)), np.zeros(min(one.shape))
        for a, b in ((one, other), (other, one)):
            u, s, vt = np.linalg.svd(a, full_matrices=False)
            across = ((u.T @ b) * vt).sum(axis=1)
            values, crossed = values + s * across / 2, crossed + across / 2
        return values, crossed

    # Each draw is a function of its number alone, so that the order they finish in changes nothing.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        null = np.array(list(pool.map(shuffled, range(PERMUTATIONS))))
        halves = list(pool.map(halved, range(HALVINGS))) if len(people) > 3 else []
    nothing = [(np.zeros_like(values), np.zeros_like(values))]
    energy, crossed = (np.mean(part, axis=0) for part in zip(*(halves or nothing), strict=True))
    return Spectrum(
        values=values,
        null=np.quantile(null, (LEVEL, 0.5, 1 - LEVEL), axis=0),
        p_value=(1 + (null >= values).sum(axis=0)) / (1 + PERMUTATIONS),
        cross_fitted=crossed,
        energy=energy,
    )


def premise(spectrum: Spectrum) -> str:
    """What the singular values say of the assumption, for a reader."""
    above, q, few = spectrum.above, len(spectrum.values), spectrum.carrying
    if not q:
        return "no rank to speak of: contexts do not vary over the training annotators"
    if not above:
        return (
            f"none of {q} singular values is above what contexts dealt out at random give: these contexts do not tell "
            "whose taste is whose, and there is no rank to speak of"
        )
    counted = f"{above} of {q} singular values are above chance, one after the other (95 %)"
    share = None if few is None else spectrum.share(few)
    if few is None or share is None:
        return f"low rank cannot be judged: {counted}, but halves of the people do not agree on them"
    verdict = "looks true" if few <= q / 4 else "does not look true" if few > q / 2 else "is at best roughly true"
    carried = f"{few} directions carry {min(share, 1.0):.0%} of what halves of the people agree on"
    return f"low rank {verdict}: {carried}; {counted}"
