"""New annotators from answers that are not plain pairs, by the likelihood of the fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.fitting.events import events_of
from sim.fitting.kinds import likelihood_of
from sim.fitting.levels import Levels, levels_of
from sim.fitting.prepare import Answers, AnswerTable
from sim.fitting.saved import Assigned, SavedFit
from sim.fitting.splits import effective_weights
from sim.preferences import FloatArray


def assign_answers(fit: SavedFit, table: PairTable, items: FloatArray, told: FloatArray | None) -> Assigned:
    """What the fit makes of the annotators of a table; nothing is refitted.

    items: (n_items, d_file) in the user's units, in the fit's order.  told: (n, d_x) of each answer's annotator, or
    None.  Errors: InputError where the fit's likelihood is not for such answers.
    """
    likelihood = fit.summary["counts"]["likelihood"]
    if likelihood == "bradley-terry" and fit.summary["counts"]["answers"] != table.answers:
        likelihood = "auto"
    known = likelihood_of(table, likelihood)
    own, standard = known.table, fit.scales.standard("features", items)
    if own.grade is not None:
        standard[-1] = 0.0
    levels = None
    if fit.has_levels:
        levels = _levels_of_fit(fit, own, known.likelihood)
    everything = np.ones(len(own), dtype=np.bool_)
    n = len(own.annotators)
    people = None
    if told is not None:
        people = fit.contexts_of(told[np.unique(table.annotator, return_index=True)[1]], n)
    events = None
    if levels is None and (own.offered is not None or known.likelihood == "davidson"):
        further = fit.scales.further
        events, _ = events_of(own, standard[:, : standard.shape[1] - further], known.likelihood == "davidson")
    differences = standard[own.chosen] - standard[own.rejected]
    answers = Answers(
        differences, own.annotator, n, effective_weights(own, everything), own.chosen, own.rejected, standard, people,
        np.ones(len(own)) if own.weights is None else own.weights, AnswerTable(differences, own.chosen, own.rejected),
        everything, events=events, levels=levels,
    )  # fmt: skip
    model = fit.method.adapt(fit.fitted.model, answers)
    context = fit.context if fit.context is None or people is None else replace(fit.context, contexts=people)
    with_them = replace(
        fit, model=model, annotators=own.annotators, trained=np.arange(n), context=context, earlier=fit
    )  # fmt: skip
    columns = {name: np.asarray(rows) for name, rows in fit.method.table(model).items()}
    return Assigned(own.annotators, columns, with_them)


def _levels_of_fit(fit: SavedFit, table: PairTable, likelihood: str) -> Levels:
    """The levels of the answers, numbered as the fit numbers its own."""
    names, found = fit.summary["levels"]["names"], levels_of(table, likelihood)
    if found is None:
        found = Levels(np.zeros(len(table), dtype=np.int64), 1, True, False, ("strength 1",))
    place = {name: number for number, name in enumerate(names)}
    for name in found.names:
        if name not in place:
            raise InputError(
                f"level '{name}' is none of the fit's ({', '.join(names)})", file=table.source,
                fix="give answers on the same scale",
            )  # fmt: skip
    code = np.array([place[name] for name in found.names])[found.code]
    return Levels(code, len(names), fit.summary["levels"]["around_zero"], "tie" in names, tuple(names))
