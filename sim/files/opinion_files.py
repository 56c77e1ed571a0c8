"""Probabilistic opinions in files: Parquet and JSONL, one row an opinion, and CSV, long or as a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.arguments import SUM_TOLERANCE
from sim.errors import InputError, short
from sim.files.answer_sources import read_row_set
from sim.files.file_rows import read_name, require_persons
from sim.files.number_tables import NumberTable, as_number, is_finite, read_cells, read_number_table
from sim.preferences import FloatArray

_ALIASES = ("annotator_id", "user_id", "annotator")
_LONG = ("candidate", "prob")


@dataclass(frozen=True, eq=False)
class Question:
    """One prompt: candidates (K,), annotators (n,) and their opinions (n, K), rows on the simplex."""

    prompt: str
    candidates: tuple[str, ...]
    annotators: tuple[str, ...]
    opinions: FloatArray


def read_opinions(path: str | Path, *, alone: bool = True) -> tuple[Question, ...]:
    """Read and check opinions; the first problem is reported with file, row and field.

    alone: whether they are pooled by themselves, where a candidate that nobody gives anything has no place.

    Parquet, JSONL: `annotator_id` (or `user_id`, `annotator`), `prompt_id` (optional if there is one question),
    `candidates` (list of names), `probs` (list of numbers, not negative, sum 1 up to 1e-4). CSV: a matrix with a row an
    annotator and a column a candidate, or long with `annotator_id`, `prompt_id`, `candidate`, `prob`.
    """
    place = Path(path)
    if place.name.lower().endswith((".csv", ".tsv")):
        lines = read_cells(place, "annotator")
        rows = _long_rows(place, lines) if set(_LONG) <= set(lines[0][1]) else _matrix_rows(place)
    else:
        found = read_row_set(place)
        rows = [(number, row) for (_, number), row in zip(found.places, found.rows, strict=True)]
    return _questions(place, rows, alone)


def opinions_of_rows(rows: Sequence[dict[str, Any]], source: str | Path, *, alone: bool = True) -> tuple[Question, ...]:
    """The same for rows in memory: an opinion a row (`candidates`, `probs`), or a probability a row (`candidate`,
    `prob`).  source: what messages name."""
    numbered = list(enumerate(rows, start=1))
    collected = _collected(source, numbered) if set(_LONG) <= set(rows[0] if rows else ()) else numbered
    return _questions(source, collected, alone)


def opinions_of_table(table: NumberTable, *, alone: bool = True) -> tuple[Question, ...]:
    """One question: a row an annotator, a column a candidate."""
    return _questions(table.source, _table_rows(table), alone)


def _matrix_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    return _table_rows(read_number_table(path, row="annotator", column="candidate", entry="the probability"))


def _table_rows(table: NumberTable) -> list[tuple[int, dict[str, Any]]]:
    return [
        (line, {"annotator_id": name, "candidates": list(table.columns), "probs": values.tolist()})
        for line, name, values in zip(table.lines, table.rows, table.values, strict=True)
    ]


def _long_rows(path: Path, lines: list[tuple[int, list[str]]]) -> list[tuple[int, dict[str, Any]]]:
    header, rows = lines[0][1], []
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"expected {len(header)} columns as in the first row, got {len(cells)}", file=path, row=number,
                fix="make the table rectangular",
            )  # fmt: skip
        rows.append((number, dict(zip(header, cells, strict=True))))
    return _collected(path, rows)


def _collected(path: str | Path, lines: Sequence[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    """A probability a row -> an opinion a row, at its first one's place."""
    collected: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
    for number, row in lines:
        value = as_number(row.get("prob"))
        if value is None:
            raise InputError(
                f"expected a number, got '{row.get('prob')}'", file=path, row=number, field="prob",
                fix="write the probability as a plain number",
            )  # fmt: skip
        name, prompt = next((row[alias] for alias in _ALIASES if alias in row), ""), row.get("prompt_id", "")
        _, opinion = collected.setdefault(
            (str(name), str(prompt)),
            (number, {"annotator_id": name, "prompt_id": prompt, "candidates": [], "probs": []}),
        )
        opinion["candidates"].append(row.get("candidate"))
        opinion["probs"].append(value)
    rows = list(collected.values())
    if any("prompt_id" in row for _, row in lines):
        return rows
    return [(n, {k: v for k, v in r.items() if k != "prompt_id"}) for n, r in rows]


def _opinion(row: dict[str, Any], where: dict[str, Any]) -> tuple[list[str], list[float]]:
    """Candidates and probabilities of one row, checked."""
    candidates, probs = row.get("candidates"), row.get("probs")
    for field, value in (("candidates", candidates), ("probs", probs)):
        if not isinstance(value, list) or not value:
            raise InputError(
                f"expected a list, got {short(value)}", field=field, fix="give one entry a candidate", **where
            )
    assert isinstance(candidates, list)
    assert isinstance(probs, list)
    if len(candidates) != len(probs):
        raise InputError(
            f"expected {len(candidates)} numbers, one a candidate, got {len(probs)}", field="probs",
            fix="give one entry a candidate", **where,
        )  # fmt: skip
    names = [read_name(value, {**where, "field": "candidates"}, "candidate") for value in candidates]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"candidate '{twice}' stands twice", field="candidates", fix="name each once", **where)
    for name, value in zip(names, probs, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
            raise InputError(
                f"the probability of '{name}' is not a number ({short(value)})", field="probs", fix="give a number",
                **where,
            )  # fmt: skip
        if value < 0:
            raise InputError(
                f"the probability of '{name}' is negative ({value:g})", field="probs", fix="give a number from 0 to 1",
                **where,
            )  # fmt: skip
    total = float(sum(probs))
    if total == 0:
        raise InputError("the annotator gave no candidate anything", field="probs", fix="drop the row", **where)
    if abs(total - 1.0) > SUM_TOLERANCE:
        # Where one is 1 or more, it may be the number of a row among the probabilities.
        ids = "; if one is a row's number, head that column annotator_id" if max(probs) >= 1 else ""
        raise InputError(
            f"the probabilities sum to {total:.6g}, expected 1", field="probs", fix=f"divide them by their sum{ids}",
            **where,
        )  # fmt: skip
    return names, [float(value) / total for value in probs]


def _questions(path: str | Path, rows: list[tuple[int, dict[str, Any]]], alone: bool) -> tuple[Question, ...]:
    if not rows:
        raise InputError("the file holds no opinions", file=path, fix="write one opinion a row")
    present = {name for _, row in rows for name in row}
    here = [name for name in _ALIASES if name in present]
    if not here:
        raise InputError("the column is missing", file=path, field="annotator_id", fix="say whose opinion a row is")
    order: dict[str, tuple[str, ...]] = {}
    found: dict[str, dict[str, list[float]]] = {}
    first: dict[str, int] = {}
    for number, row in rows:
        where: dict[str, Any] = {"file": path, "row": number}
        annotator = read_name(row.get(here[0]), {**where, "field": here[0]})
        first.setdefault(annotator, number)
        prompt = (
            read_name(row.get("prompt_id"), {**where, "field": "prompt_id"}, "prompt")
            if "prompt_id" in present
            else "all"
        )
        names, probs = _opinion(row, where)
        known = order.setdefault(prompt, tuple(names))
        if set(names) != set(known):
            odd = sorted(set(names) ^ set(known))[0]
            raise InputError(
                f"candidate '{odd}' of prompt '{prompt}' is in one opinion and not in another", field="candidates",
                fix="give every candidate in every opinion, 0 where there is none", **where,
            )  # fmt: skip
        if annotator in found.setdefault(prompt, {}):
            raise InputError(
                f"annotator '{annotator}' has two opinions on prompt '{prompt}'", fix="keep one of them", **where
            )
        found[prompt][annotator] = [probs[names.index(name)] for name in known]
    require_persons(first, lambda who: {"file": path, "row": first[who], "field": here[0]})
    questions = []
    for prompt, opinions in found.items():
        table = np.array(list(opinions.values()))
        empty = np.flatnonzero(table.sum(axis=0) == 0)
        if alone and len(empty):
            raise InputError(
                f"nobody gives candidate '{order[prompt][empty[0]]}' of prompt '{prompt}' anything", file=path,
                field="probs", fix="drop the candidate",
            )  # fmt: skip
        if len(order[prompt]) < 2:
            raise InputError(
                f"prompt '{prompt}' has one candidate", file=path, field="candidates", fix="give two or more"
            )
        questions.append(Question(prompt, order[prompt], tuple(opinions), table))
    return tuple(questions)
