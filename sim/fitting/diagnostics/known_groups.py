"""Held-out scores of every fitted method, group by known group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.estimators.bootstrap import LOG_CHANCE, annotator_interval
from sim.files.atomic import Json
from sim.fitting.chances import log_chances
from sim.fitting.method import Fits
from sim.fitting.prepare import Prepared
from sim.streams import Stream
from sim.weighted_means import mean_of


def groups_held_out(fits: Fits, prepared: Prepared, names: Sequence[str], stream: Stream) -> list[Json]:
    """An entry a group: n_pairs of known annotators held out, and by method the mean log-likelihood, nats, with its
    interval over annotators."""
    answers = prepared.answers(prepared.test)
    assert answers.groups is not None
    own = np.array(answers.groups)[answers.annotator]
    table = prepared.table
    scores = {name: log_chances(method, model, answers, table) for name, (method, model) in fits.fitted.items()}
    found: list[Json] = []
    for name in names:
        rows = own == name
        weights = answers.given_weights[rows]
        by_method = {
            method: {
                "log_likelihood": mean_of(values[rows], weights),
                "log_likelihood_interval": annotator_interval(
                    values[rows], answers.annotator[rows], stream.child(f"groups/{name}"), weights=weights,
                    within=LOG_CHANCE,
                ),
            }
            for method, values in scores.items() if rows.any()
        }  # fmt: skip
        found.append({"group": name, "n_pairs": int(rows.sum()), "methods": by_method})
    return found
