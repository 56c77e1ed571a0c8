"""Log-probabilities as a method gives them; those of one's own are held to being such."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sim.errors import InputError, short
from sim.files.pair_table import PairTable
from sim.files.preference_files import place_of
from sim.fitting.method import Method
from sim.fitting.methods import METHODS
from sim.fitting.prepare import Answers, AnswerTable
from sim.preferences import FloatArray

# log P above 0 by rounding: float32 at margins of some hundred.
_ROUNDING = 1e-4


def log_chances(method: Method[Any], model: Any, answers: Answers, table: PairTable | None = None) -> FloatArray:
    """`method.log_likelihood`, (n,).  table: of which the answers are rows, for messages.

    A method of one's own must give one number an answer, none above 0: with log P > 0 it would be scored as better than
    one that knows every answer.

    Errors: InputError with the method, and the file and row of the answer where these are known.
    """
    found = method.log_likelihood(model, answers)
    if METHODS.is_ours(method.name):
        return found
    said = f"method {method.name}: log_likelihood"
    values = np.asarray(found)
    if values.shape != (len(answers),) or values.dtype.kind not in "fiu":
        came = f"{values.dtype} {values.shape}" if values.dtype.kind in "fiub" else short(found)
        raise InputError(f"{said} must return one number an answer, ({len(answers)},) (got {came})",
                         fix="return log P(chosen above rejected) of each row of answers.differences")  # fmt: skip
    bad = np.flatnonzero(~(values <= _ROUNDING))
    if len(bad):
        row, value = int(bad[0]), float(values[bad[0]])
        what = "must be at most 0, the logarithm of a probability" if value > 0 else "must be a number"
        where = {} if table is None else place_of(table, int(answers.places[row]))
        raise InputError(
            f"{said} {what} (got {value:.6g} for {'this answer' if where else f'row {row + 1} of {len(answers)}'}; "
            f"{len(bad)} such)", fix="return log P(chosen above rejected)", **where,
        )  # fmt: skip
    return np.minimum(values.astype(np.float64), 0.0)


def require_chances(method: Method[Any], model: Any, answers: Answers, scores: FloatArray, table: PairTable) -> None:
    """InputError where a method of one's own gives an answer and its opposite more than 1 together.

    answers: pairs; scores: (n,) their `log_chances`.  Ties may have the rest.
    """
    if METHODS.is_ours(method.name) or not len(answers):
        return
    turned = AnswerTable(-answers.table.differences, answers.table.rejected, answers.table.chosen)
    opposite = replace(
        answers, differences=-answers.differences, chosen=answers.rejected, rejected=answers.chosen, table=turned
    )
    both = np.logaddexp(scores, log_chances(method, model, opposite))
    bad = np.flatnonzero(both > _ROUNDING)
    if len(bad):
        row = int(bad[0])
        chance = f"{np.exp(both[row]):.4g} together, more than 1 ({len(bad)} such)"
        raise InputError(
            f"method {method.name}: log_likelihood gives this answer and its opposite {chance}",
            fix="return log P(chosen above rejected), and log of the rest where the two are exchanged",
            **place_of(table, int(answers.places[row])),
        )  # fmt: skip


def of_answers(method: Method[Any], model: Any, table: PairTable) -> Callable[[Answers], FloatArray]:
    """answers -> `log_chances` of one model."""
    return lambda answers: log_chances(method, model, answers, table)
