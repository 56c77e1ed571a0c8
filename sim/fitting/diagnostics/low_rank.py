"""What a low-rank fit says of itself: directions of taste, the spectrum, serving under a shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.estimators.bradley_terry import FitStatus
from sim.estimators.low_rank import LowRankFit, manifold_dimension
from sim.files.atomic import Json
from sim.fitting.contexts import ContextAnswers, fit_of_rank
from sim.fitting.described import Group, strongest
from sim.fitting.diagnostics.pessimism import pessimism_test
from sim.fitting.diagnostics.spectrum import context_spectrum, premise
from sim.fitting.identified import untested
from sim.fitting.known import INTERCEPT, Known
from sim.fitting.low_rank_choice import RIDGES, LowRankChoice
from sim.fitting.method import Candidate, Diagnosis, Fits, Say
from sim.fitting.prepare import Prepared
from sim.fitting.settings import FitSettings
from sim.preferences import FloatArray
from sim.streams import Stream

_NAMED = 3
# Wrong answers, at most, of a fit that might be made without any; answers a free number, at least, of which some must
# be wrong if they say nothing (Cover, IEEE Transactions on Electronic Computers 14 (1965), 326-334: two).
_NEARLY, _FEW = 0.02, 4


@dataclass(frozen=True, eq=False)
class LowRankWork:
    """The training answers, what was chosen, both fits, and the ranks that were tried."""

    answers: ContextAnswers
    choice: LowRankChoice
    low: LowRankFit
    full: FloatArray
    ranks: tuple[int, ...]


def diagnose_low_rank(fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
    """Is the premise true, and does pessimism pay?"""
    work, known = fits.model.work, prepared.known
    assert known is not None
    choice, low, answers = work.choice, work.low, work.answers
    say("singular values against chance")
    spectrum = context_spectrum(answers, choice.full.ridge, stream.child("spectrum"))
    serving = None
    if settings.shift is not None:
        serving = pessimism_test(
            prepared, choice, work.ranks, settings.ridge, settings.shift, stream.child("serving"), say
        ).as_json()
    separable = _separable(answers, low)
    by = (
        "mean log-likelihood of whole held-out training people, from their context alone (personal: of held-out items "
        "of the same people); test answers were not read"
    )
    if not np.isfinite(choice.low.held_out):
        by = "nothing: too few people to hold any out; test answers were not read"
    d_x, d_phi = low.theta.shape
    parts: dict[str, Json] = {
        "kind": "low-rank",
        "rank": low.rank,
        "premise": premise(spectrum),
        "spectrum": spectrum.as_json(low.rank, choice.full.ridge),
        "serving": serving,
        "selection": {
            "by": by,
            "chosen": {name: _with_rank(candidate) for name, candidate in fits.choice.chosen.items()},
            "candidates": [_with_rank(candidate) for candidate in choice.candidates],
            "smallest_rank_within_one_standard_error": choice.parsimonious,
            "form": f"the reward common to all is a row of Theta (its context is {INTERCEPT:g}), not an offset",
        },
        "fit": {
            "loss": low.loss, "rounds": low.rounds, "gradient": low.gradient, "status": FitStatus(low.status).name,
            "separable": separable, "parameters": manifold_dimension(d_x, d_phi, low.rank),
            "full_parameters": d_x * d_phi,
        },
        "unidentified": {
            "context_constant": list(known.people.constant),
            "context_collinear": {name: list(of) for name, of in known.people.collinear.items()},
            "item_constant": list(known.items.constant),
            "item_collinear": {name: list(of) for name, of in known.items.collinear.items()},
        },
        "counts": {"context": list(known.names)},
    }  # fmt: skip
    return Diagnosis(parts, tuple(_warnings(prepared, known, low, choice, separable)))


def _with_rank(candidate: Candidate) -> dict[str, Json]:
    return {"rank": candidate.size, **candidate.as_json()}


def _separable(answers: ContextAnswers, low: LowRankFit) -> bool:
    """Whether some Theta of this rank puts every answer on the right side, so that only the ridge keeps it finite.

    A fit almost without a ridge is asked, where the one in use is almost always right or the answers are few.
    """
    used = answers.rows(answers.weights > 0)
    few = len(used.annotator) < _FEW * manifold_dimension(low.theta.shape[0], low.theta.shape[1], low.rank)
    if low.separable or (not few and (used.margins(low.theta) <= 0).mean() > _NEARLY):
        return low.separable
    return fit_of_rank(used, low.rank, 1e-7, low.theta).separable


def _warnings(prepared: Prepared, known: Known, low: LowRankFit, choice: LowRankChoice, separable: bool) -> list[str]:
    found = []
    for what, screened in (("context", known.people), ("item", known.items)):
        for name in screened.constant:
            found.append(f"{what} feature '{name}' does not vary over the training answers and is left out")
        for name, of in screened.collinear.items():
            rest = f" and {len(of) - _NAMED} more" if len(of) > _NAMED else ""
            found.append(f"{what} feature '{name}' is a combination of {', '.join(of[:_NAMED])}{rest} and is left out")
    if separable:
        found.append(
            f"the training answers are separable at rank {low.rank}: every one is on the right side, the ridge alone "
            "decides how long Theta is; chances near 0 and 1 are not known"
        )
    if low.status is not FitStatus.CONVERGED:
        found.append(f"the low-rank fit ended early: {low.status.message}")
    ranks = [candidate.size for candidate in choice.candidates if candidate.method == "low-rank"]
    if len(set(ranks)) > 1 and low.rank == max(ranks):
        found.append(
            f"the rank, {low.rank}, is the largest that was tried: the bound does little that the ridge does not"
        )
    if max(choice.low.ridge, choice.full.ridge) == RIDGES[-1]:
        found.append(f"the ridge, {RIDGES[-1]:g}, is the largest that was tried: the answers say next to nothing")
    elif np.isfinite(choice.low.held_out) and choice.low.held_out < np.log(0.5):
        found.append("people held out are predicted worse than by a coin: contexts say nothing about tastes here")
    if not np.isfinite(choice.low.held_out):
        found.append("too few people to hold any out: rank and ridge are not chosen but assumed")
    if (why := untested(prepared)) is not None:
        found.append(why)
    if not prepared.unseen.any():
        found.append("no unseen annotators: nothing is known about people outside the file")
    return found


def describe_directions(theta: FloatArray, rank: int, prepared: Prepared) -> tuple[Group, ...]:
    """The directions in which tastes differ: singular vectors of Theta without its intercept, strongest first.

    share: of its squared singular values.  context: whose taste it is; against_pooled: what they like more.
    """
    assert prepared.known is not None
    u, s, vt = np.linalg.svd(theta[1:], full_matrices=False)
    out = []
    for k in range(min(rank, len(s))):
        # The sign of a pair of vectors is arbitrary: the strongest context comes out positive.
        sign = np.sign(u[np.abs(u[:, k]).argmax(), k]) or 1.0
        out.append(
            Group(
                group=f"direction {k + 1}",
                share=float(s[k] ** 2 / (s**2).sum()) if s.any() else None,
                against_pooled=strongest(sign * vt[k], prepared.feature_names),
                context=strongest(sign * u[:, k], prepared.known.names[1:]),
            )
        )
    return tuple(out)
