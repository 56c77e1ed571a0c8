"""`pluralign fit --method low-rank`: choice, scores, the spectrum, serving, and what is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.estimators.bradley_terry import FitStatus
from sim.estimators.low_rank import LowRankFit, manifold_dimension
from sim.files.pair_table import PairTable
from sim.fitting.common_rewards import choose_pooled, choose_strengths, crossed_advantages
from sim.fitting.low_rank import (
    INTERCEPT,
    RANKS,
    RIDGES,
    Known,
    LowRankCandidate,
    LowRankChoice,
    answer_log_likelihood,
    choose_low_rank,
    context_answers,
    fit_chosen,
    folds_of,
    known_contexts,
)
from sim.fitting.personal import choose_personal, fit_personal, pooled_centre
from sim.fitting.prepare import Prepared, prepare
from sim.fitting.scores import both_sets, differences, length_predictions, predictions
from sim.fitting.serving import region_of
from sim.fitting.serving_report import pessimism_test
from sim.fitting.spectrum import context_spectrum, premise
from sim.fitting.user_contexts import ContextAnswers, fit_full, fit_of_rank, one_thread
from sim.likelihoods import log_sigmoid
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream

_NAMED = 3
# Wrong answers, at most, of a fit that might be made without any; answers a free number, at least, of which some must
# be wrong if they say nothing (Cover, IEEE Transactions on Electronic Computers 14 (1965), 326-334: two).
_NEARLY, _FEW = 0.02, 4


@dataclass(frozen=True)
class LowRankSettings:
    """rank, ridge None: chosen on held-out training people.  shift: a region of items, see `serving.region_of`."""

    rank: int | None = None
    ridge: float | None = None
    shift: str | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class LowRankReport:
    """The fit, the full Theta beside it, and the summary."""

    settings: LowRankSettings
    prepared: Prepared
    known: Known
    fit: LowRankFit
    full: FloatArray
    pooled: FloatArray
    summary: dict[str, Any]


@one_thread()
def fit_low_rank_preferences(
    table: PairTable, settings: LowRankSettings, on_progress: Callable[[str], None] | None = None
) -> LowRankReport:
    """Choose, fit, score; test answers and unseen people are read once, at the end."""
    say = on_progress or (lambda _: None)
    stream = Stream(settings.seed, cell="fit")
    if settings.shift is not None:
        region_of(table, settings.shift)  # refused before the work, not after
    prepared, known = known_contexts(prepare(table, stream))
    d_x, d_phi = known.contexts.shape[1], prepared.differences.shape[1]
    people = len(np.unique(prepared.annotator[prepared.train]))
    say(f"{int(prepared.train.sum())} training answers of {people} people, {d_x} context and {d_phi} item features")
    if settings.rank is not None and settings.rank > min(d_x, d_phi):
        raise InputError(
            f"--types: rank {settings.rank} and at most {min(d_x, d_phi)} is possible with {d_x} context and {d_phi} "
            "item features (intercept counted, unidentified ones not)",
            file=table.source, fix="ask for less, or use --types auto",
        )  # fmt: skip
    answers = context_answers(prepared, known, prepared.train)
    fold = folds_of(answers, stream.child("people"))
    ranks = RANKS if settings.rank is None else (settings.rank,)
    choice = choose_low_rank(answers, fold, ranks, settings.ridge, say)
    low, full = fit_chosen(answers, choice)
    common, popular = choose_pooled(prepared, fold), choose_strengths(prepared, fold)
    centre = pooled_centre(prepared, prepared.train, common.ridge)
    _, tried = choose_personal(prepared, {"personal": (0,)}, stream, say)
    own_ridge = max((c for c in tried if c.method == "personal"), key=lambda c: c.held_out).ridge
    personal = fit_personal(prepared, prepared.train, "personal", 0, own_ridge, centre, stream)
    advantage = crossed_advantages(prepared, popular.ridge, fold)
    beside = replace(answers, offset=advantage[prepared.train])
    # On top of what everybody thinks of each item: the same rank and ridge, nothing chosen anew.
    both = fit_of_rank(beside, low.rank, choice.low.ridge, fit_full(beside, choice.low.ridge)).theta

    def scored(score: Callable[[BoolArray], FloatArray]) -> dict[str, FloatArray]:
        return {"known_users": score(prepared.test), "unseen_users": score(prepared.unseen)}

    def of(theta: FloatArray, offset: FloatArray | None = None) -> dict[str, FloatArray]:
        return scored(lambda rows: answer_log_likelihood(prepared, known, theta, rows, offset))

    say("singular values against chance")
    spectrum = context_spectrum(answers, choice.full.ridge, stream.child("spectrum"))
    serving = None
    if settings.shift is not None:
        serving = pessimism_test(
            prepared, known, choice, ranks, settings.ridge, settings.shift, stream.child("serving"), say
        )
    say("scoring held-out answers")
    predicted = {
        "low-rank": of(low.theta),
        "full-rank": of(full),
        "pooled": scored(lambda rows: np.asarray(log_sigmoid(prepared.differences[rows] @ centre))),
        "personal": scored(lambda rows: personal.log_likelihood(prepared, rows)),
        "popularity": scored(lambda rows: np.asarray(log_sigmoid(advantage[rows]))),
        "low-rank-on-popularity": of(both, advantage),
        "coin": predictions(None, prepared),
        "length": length_predictions(prepared),
    }
    score, separable = stream.child("score"), _separable(answers, low)
    against_pooled = {
        name: differences(predicted[name], predicted["pooled"], prepared, score)
        for name in predicted if name not in ("pooled", "coin", "length")
    }  # fmt: skip
    summary: dict[str, Any] = {
        "kind": "low-rank",
        "method": "low-rank",
        "n_types": low.rank,
        "rank": low.rank,
        "mixture": [1.0],
        "test": both_sets(predicted["low-rank"], prepared, score),
        "baselines": {
            name: both_sets(other, prepared, score) for name, other in predicted.items() if name != "low-rank"
        },
        "differences": {
            name: differences(predicted["low-rank"], other, prepared, score)
            for name, other in predicted.items() if name != "low-rank"
        },
        "against_pooled": against_pooled,
        "premise": premise(spectrum),
        "spectrum": spectrum.as_json(low.rank, choice.full.ridge),
        "serving": serving,
        "groups": directions(low, prepared, known),
        "selection": {
            "by": "mean log-likelihood of whole held-out training people, from their context alone (personal: of held-"
            "out items of the same people); test answers were not read",
            "chosen": {
                "low-rank": _plain(choice.low), "full-rank": _plain(choice.full), "popularity": _plain(popular),
                "pooled": _plain(common), "personal": {"ridge": own_ridge},
            },
            "candidates": [_plain(candidate) for candidate in choice.candidates],
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
            "context_collinear": {name: list(of_) for name, of_ in known.people.collinear.items()},
            "item_constant": list(known.items.constant),
            "item_collinear": {name: list(of_) for name, of_ in known.items.collinear.items()},
        },
        "counts": {
            "train_pairs": int(prepared.train.sum()),
            "effective_train_pairs": float(prepared.weight.sum()),
            "annotators": prepared.n_annotators,
            "items": len(prepared.table.items),
            "features": list(prepared.feature_names),
            "context": list(known.names),
        },
        "warnings": _warnings(prepared, known, low, choice, separable),
        "settings": asdict(settings),
    }  # fmt: skip
    return LowRankReport(settings, prepared, known, low, full, centre, summary)


def _plain(candidate: LowRankCandidate) -> dict[str, Any]:
    row = asdict(candidate)
    return row if np.isfinite(candidate.held_out) else {**row, "held_out": None}


def _separable(answers: ContextAnswers, low: LowRankFit) -> bool:
    """Whether some Theta of this rank puts every answer on the right side, so that only the ridge keeps it finite.

    A fit almost without a ridge is asked, where the one in use is almost always right or the answers are few.
    """
    used = answers.rows(answers.weight > 0)
    few = len(used.person) < _FEW * manifold_dimension(low.theta.shape[0], low.theta.shape[1], low.rank)
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
    ranks = [candidate.rank for candidate in choice.candidates if candidate.method == "low-rank"]
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
    if not prepared.test.any():
        found.append("no held-out answers of known annotators: give a split or more answers each")
    if not prepared.unseen.any():
        found.append("no unseen annotators: nothing is known about people outside the file")
    return found


def directions(low: LowRankFit, prepared: Prepared, known: Known) -> list[dict[str, Any]]:
    """The directions in which tastes differ: singular vectors of Theta without its intercept, strongest first.

    share: of its squared singular values.  context: whose taste it is; against_pooled: what they like more.
    """
    u, s, vt = np.linalg.svd(low.theta[1:], full_matrices=False)
    out = []
    for k in range(min(low.rank, len(s))):
        # The sign of a pair of vectors is arbitrary: the strongest context comes out positive.
        sign = np.sign(u[np.abs(u[:, k]).argmax(), k]) or 1.0
        context, item = sign * u[:, k], sign * vt[k]
        out.append({
            "group": f"direction {k + 1}",
            "share": float(s[k] ** 2 / (s**2).sum()) if s.any() else None,
            "context": [
                {"feature": known.names[1 + j], "coefficient": float(context[j])}
                for j in np.argsort(-np.abs(context), kind="stable")[:6]
            ],
            "against_pooled": [
                {"feature": prepared.feature_names[j], "coefficient": float(item[j])}
                for j in np.argsort(-np.abs(item), kind="stable")[:6]
            ],
        })  # fmt: skip
    return out
