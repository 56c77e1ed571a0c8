"""New annotators from answers that are not plain pairs, by the likelihood of the fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.answer_kinds.events import TIE
from sim.answer_kinds.kinds import Likelihood, likelihood_of
from sim.answer_kinds.levels import Levels, levels_of
from sim.errors import InputError
from sim.files.pair_table import NONE_OF_THEM, PairTable
from sim.fitting.own_methods import table_of
from sim.fitting.predict_sets import with_columns
from sim.fitting.prepare import Answers, AnswerTable, scored_and_learned
from sim.fitting.saved import Assigned, SavedFit
from sim.fitting.splits import effective_weights, is_designed
from sim.preferences import FloatArray


def is_for_tables(fit: SavedFit, table: PairTable) -> bool:
    """Whether these answers, or this fit, are of other kinds than plain pairs, or weigh as no arrays would tell."""
    other = table.answers != "pairs" or table.tie is not None or is_designed(table)
    return other or fit.has_levels or fit.scales.further > 0


def assign_answers(fit: SavedFit, table: PairTable, items: FloatArray, told: FloatArray | None) -> Assigned:
    """What the fit makes of the annotators of a table, in the order in which they appear; nothing is refitted.

    items: (n_items, d_file) in the user's units, in the fit's order.  told: (n, d_x) of each answer's annotator, or
    None.  Errors: InputError where the fit knows nothing of such answers.
    """
    further = fit.further
    likelihood = _likelihood(fit, table, further)
    own, standard = likelihood_of(table, likelihood).table, fit.scales.standard("features", items)
    if own.grade is not None:
        standard[-1] = 0.0
    if own.offered is not None and own.offered.none >= 0:
        if NONE_OF_THEM not in further:
            raise InputError(
                "somebody took none of those offered, which nobody did in the fit", file=table.source, field="choice",
                fix="leave these choices out",
            )  # fmt: skip
        standard[own.offered.none] = 0.0
    everything, n = np.ones(len(own), dtype=np.bool_), len(own.annotators)
    people = None
    if told is not None:
        people = fit.contexts_of(told[np.unique(table.annotator, return_index=True)[1]], n)
    levels = _levels_of_fit(fit, own, likelihood) if fit.has_levels else None
    events = learned = None
    if levels is None:
        bare = standard[:, : standard.shape[1] - len(further)]
        events, learned, names = scored_and_learned(own, bare, likelihood, NONE_OF_THEM in further)
        events, learned = (None if part is None else with_columns(part, names, further) for part in (events, learned))
    differences = standard[own.chosen] - standard[own.rejected]
    answers = Answers(
        differences, own.annotator, n, effective_weights(own, everything), own.chosen, own.rejected, standard, people,
        np.ones(len(own)) if own.weights is None else own.weights, AnswerTable(differences, own.chosen, own.rejected),
        everything, events=events, learned=learned, levels=levels,
    )  # fmt: skip
    model = fit.method.adapt(fit.fitted.model, answers)
    context = fit.context if fit.context is None or people is None else replace(fit.context, contexts=people)
    with_them = replace(
        fit, model=model, annotators=own.annotators, trained=np.arange(n), context=context, earlier=fit,
        errors=None,
    )  # fmt: skip
    columns = {name: np.asarray(rows) for name, rows in table_of(fit.method, model, n).items()}
    return Assigned(own.annotators, columns, with_them)


def _likelihood(fit: SavedFit, table: PairTable, further: tuple[str, ...]) -> Likelihood:
    """By which likelihood the fit takes such answers: that of its own, or the one without what it does not know."""
    counts = fit.summary["counts"]
    own, kind = counts.get("likelihood", "bradley-terry"), counts.get("answers", "pairs")
    if fit.has_levels and kind != table.answers:
        raise InputError(
            f"the answers are {table.answers}, and the fit is of {kind} by {own}", file=table.source,
            fix=f"give {kind}, or fit again",
        )  # fmt: skip
    if fit.has_levels and own == "cumulative-logit" and table.answers == "pairs" and table.strength is None:
        raise InputError(
            "the column is missing: the fit is of how much better one is", file=table.source, field="strength",
            fix="say how much chosen is above rejected, or fit again without strengths",
        )  # fmt: skip
    if fit.has_levels:
        found: Likelihood = own
    elif table.answers in ("choices", "rankings"):
        found = "bradley-terry" if own == "bradley-terry" and kind in ("choices", "rankings") else "plackett-luce"
    elif table.answers == "grades":
        raise InputError(f"the answers are grades, and the fit is of {kind}", file=table.source, fix=f"give {kind}")
    else:
        found = "davidson" if TIE in further else "bradley-terry"
    return found


def _levels_of_fit(fit: SavedFit, table: PairTable, likelihood: str) -> Levels:
    """The levels of the answers, numbered as the fit numbers its own."""
    told = fit.summary["levels"]
    names, found = told["names"], levels_of(table, likelihood)
    assert found is not None
    place = {name: number for number, name in enumerate(names)}
    for name in found.names:
        if name not in place:
            raise InputError(
                f"level '{name}' is none of the fit's ({', '.join(names)})", file=table.source,
                fix="give answers on the same scale",
            )  # fmt: skip
    code = np.array([place[name] for name in found.names])[found.code]
    return Levels(code, len(names), told["around_zero"], "tie" in names, tuple(names))
