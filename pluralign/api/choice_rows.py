"""Rows of choices, each with the features of its alternatives, as the arrays that logit models take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.choice_sets import ChoiceSets
from sim.errors import InputError, short
from sim.estimators.choice_panel import choice_panel
from sim.files.answer_cells import cell_tie, cell_weight
from sim.files.file_rows import read_name, require_persons
from sim.files.item_features import LARGEST
from sim.files.pair_table import OF_WEIGHT_ZERO
from sim.preferences import FloatArray

_ROWS = "give rows with features, choice and annotator_id, or the path of a table"


@dataclass(frozen=True, eq=False)
class Choices:
    """What a model is fitted to: panel, names of features and of people, what was left out; source: the table's path,
    or what it was, None for arrays."""

    panel: ChoiceSets
    features: tuple[str, ...]
    annotators: tuple[str, ...]
    left_out: Mapping[str, int]
    source: str | None = None

    @property
    def arrays(self) -> dict[str, Any]:
        own = self.panel
        return {"rows": own.rows, "starts": own.starts, "annotator": own.annotator, "n_annotators": own.n_annotators,
                "weights": own.weights}  # fmt: skip


def choices_of_rows(answers: Sequence[Mapping[str, Any]], left_out: Mapping[str, int], source: str) -> Choices:
    """Rows with `features`, `choice` and `annotator_id`, perhaps `weight`, or of pairs.

    Who took none of the alternatives, or found neither of two better, took none of them: left out, and counted.
    Errors: InputError with row and field.
    """
    counted, names, people = dict(left_out), None, dict[str, int]()
    rows: list[FloatArray] = []
    starts, who, weights, first = [0], [], [], dict[str, dict[str, Any]]()
    for number, answer in enumerate(answers, start=1):
        where: dict[str, Any] = {"file": source, "row": number}
        offered, taken = _offered(answer, where)
        weight = cell_weight(answer["weight"], {**where, "field": "weight"}) if "weight" in answer else 1.0
        name = read_name(answer["annotator_id"], at := {**where, "field": "annotator_id"})
        why = OF_WEIGHT_ZERO if weight == 0 else "choices of none" if taken == -1 else "ties" if taken < 0 else ""
        if why:
            counted[why] = counted.get(why, 0) + 1
            continue
        names = names or list(offered[0])
        if any(set(part) != set(names) for part in offered):
            raise InputError(f"expected the features {', '.join(names)} of every alternative", file=source, row=number,
                             field="features", fix="give all alternatives of all choices the same")  # fmt: skip
        x = np.array([[part[name] for name in names] for part in offered])
        rows.append(x[taken] - np.delete(x, taken, axis=0))
        starts.append(starts[-1] + len(x) - 1)
        first.setdefault(name, at)
        who.append(people.setdefault(name, len(people)))
        weights.append(weight)
    if names is None:
        raise InputError(
            "there is no choice among the rows", file=source, fix="give choices of one of the alternatives"
        )
    require_persons(people, first.__getitem__)
    try:
        panel = choice_panel(
            rows=np.concatenate(rows), starts=starts, annotator=who, n_annotators=len(people), weights=weights
        )
    except ValueError as error:
        raise InputError(str(error), file=source) from error
    return Choices(panel, tuple(names), tuple(people), counted, source)


def _offered(answer: Mapping[str, Any], where: dict[str, Any]) -> tuple[list[dict[str, float]], int]:
    """(features of each alternative, the number of the one taken, -1 for none of them, -2 where neither is better)."""
    sides = ("chosen_features", "rejected_features")
    pair = all(side in answer for side in sides)
    for field in (*(sides if pair else ("features", "choice")), "annotator_id"):
        if answer.get(field) is None:
            # A column of empty cells is there, but says as little.
            problem = "is empty" if field in answer else "the column is missing"
            raise InputError(problem, field=field, fix=_ROWS, **where)
    if pair:
        tied = cell_tie(answer.get("tie"), {**where, "field": "tie"})
        return [_numbers(answer[side], {**where, "field": side}) for side in sides], -2 if tied else 0
    at = {**where, "field": "features"}
    if not isinstance(answer["features"], list) or len(answer["features"]) < 2:
        problem = f"expected a list of two or more alternatives, got {short(answer['features'])}"
        raise InputError(problem, fix="give an object name -> number for each of them", **at)
    offered, taken = [_numbers(part, at) for part in answer["features"]], answer["choice"]
    whole = isinstance(taken, int | float) and not isinstance(taken, bool) and taken in range(-1, len(offered))
    if not whole:
        raise InputError(f"expected the number of one of {len(offered)} alternatives, got {short(taken)}",
                         field="choice", fix="number from 0, -1 for none", **where)  # fmt: skip
    return offered, int(taken)


def _numbers(features: Any, where: dict[str, Any]) -> dict[str, float]:
    """The features of an alternative."""
    if not isinstance(features, Mapping) or not features:
        problem = f"expected an object name -> number of every alternative, got {short(features)}"
        raise InputError(problem, fix="name the numbers: {'price': 2.5, ...}", **where)
    found = {}
    for name, value in features.items():
        number = value.item() if isinstance(value, np.generic) else value
        # Compared, not math.isfinite: JSON has whole numbers that no float can hold.
        if isinstance(number, bool) or not isinstance(number, int | float) or not -LARGEST <= number <= LARGEST:
            problem = f"'{name}' is no finite number ({short(number)})"
            raise InputError(problem, fix="drop the row, or give a finite number", **where)
        found[str(name)] = float(number)
    return found
