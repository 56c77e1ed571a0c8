"""Reference numbers of a study: a file beside it, held against the study before it runs."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sim.errors import InputError, short
from sim.reading import read_text
from sim.settings import load_yaml
from sim.studies.levels import setting_value
from sim.studies.settings_kept import names_of, resolved
from sim.studies.spec import StudySpec

# What a row says beside its cell.
_OWN = ("method", "metric", "value", "n", "decimals", "sd")
# 10^-decimals is a number.
_MOST_DECIMALS = 99


@dataclass(frozen=True)
class Reference:
    """source: where the numbers are from.  rows: as in the file, each factor's level, method, metric, value, n and
    decimals, and sd where it is known.  elsewhere: how many rows of the file are of cells that the study has not.
    settings: what all rows were measured at.  other: where the study is set otherwise, by what; then it has no rows."""

    source: str
    rows: Sequence[Mapping[str, Any]]
    elsewhere: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    other: str = ""


def reference_of(spec: StudySpec) -> Reference | None:
    """The study's, its rows those of the study's cells, by the factors of the grid; None where it names none.

    InputError where a row names something that is no setting, or not every factor, or where no row is of a cell. Rows
    measured at other settings than the study's are none of its: `other` says which.
    """
    if spec.reference is None:
        return None
    found = load_reference(spec.reference)
    factors, setting = next(spec.cells())
    given = {**spec.settings, **factors}
    fixed = resolved(setting, given)
    names, rows, why = names_of(spec.definition.setting), list[Mapping[str, Any]](), ""
    for name in found.settings:
        _require_name(name, names, spec.reference, field="settings")
        if name in spec.grid:
            fix = "write it in each row"
            raise InputError(f"the study varies {name}", file=spec.reference, field="settings", fix=fix)
    at = {name: setting_value(name, value, spec.reference) for name, value in found.settings.items()}
    differ = [name for name, value in at.items() if value not in (fixed.get(name), given.get(name))]
    if differ:
        other = f"{differ[0]} {short(at[differ[0]])}, and this study has {short(fixed.get(differ[0]))}"
        return replace(found, rows=(), elsewhere=len(found.rows), other=other)
    for number, row in enumerate(found.rows, start=1):
        own = {name: setting_value(name, value, spec.reference) for name, value in row.items() if name not in _OWN}
        for name in own:
            _require_name(name, (*names, *_OWN), spec.reference, row=number)
        for name, levels in spec.grid.items():
            if name not in own and len(levels) > 1:
                raise InputError(
                    f"is of no one cell: the study varies {name}", file=spec.reference, row=number, field=name,
                    fix="give the setting's field another name: in a row it means something else" if name in _OWN
                    else f"write it, one of {', '.join(map(str, levels))[:200]}",
                )  # fmt: skip
        absent = [
            name for name, level in own.items()
            if level not in (spec.grid[name] if name in spec.grid else (fixed.get(name), given.get(name)))
        ]  # fmt: skip
        if absent:
            why = why or f"the first has {absent[0]} {short(own[absent[0]])}, which is none of the study's"
            continue
        plain = {name: value for name, value in row.items() if name in _OWN}
        rows.append({**{name: level for name, level in own.items() if name in spec.grid}, **plain})
    if found.rows and not rows:
        raise InputError(
            f"no row is of a cell of this study: {why}", file=spec.reference, field="rows",
            fix="mend the levels, or leave `reference` out",
        )  # fmt: skip
    return replace(found, rows=rows, elsewhere=len(found.rows) - len(rows))


def _require_name(name: Any, names: Sequence[str], path: Path, **where: Any) -> None:
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        fix = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(names)}"
        raise InputError(f"unknown key '{name}'", file=path, fix=fix, **where)


def load_reference(path: Path) -> Reference:
    """A reference file's numbers."""
    content = load_yaml(read_text(path, "the study's reference numbers: mend the file, or remove `reference`"), path)
    if not isinstance(content, dict) or {*content, "settings"} != {"source", "rows", "settings"}:
        raise InputError("expected the keys source and rows, perhaps settings", file=path)
    if not isinstance(content["rows"], list):
        raise InputError("expected a list of numbers", file=path, field="rows")
    settings = content.get("settings") or {}
    if not isinstance(settings, dict):
        raise InputError("expected a mapping of settings", file=path, field="settings")
    for number, row in enumerate(content["rows"], start=1):
        _require_row(row, path, number)
    return Reference(str(content["source"]), content["rows"], settings=settings)


def _require_row(row: Any, path: Path, number: int) -> None:
    """method, metric, value (a number or one a group), n answers behind it, decimals it is rounded to; perhaps sd."""
    if not isinstance(row, dict):
        raise InputError(f"expected a mapping, got {short(row)}", file=path, row=number)

    def refuse(name: str, expected: str, got: Any) -> None:
        raise InputError(f"expected {expected}, got {short(got)}", file=path, row=number, field=name)

    for name in ("method", "metric", "value", "n", "decimals"):
        if name not in row:
            raise InputError("missing", file=path, row=number, field=name, fix="write it")
    for name in ("method", "metric"):
        if not isinstance(row[name], str):
            refuse(name, "a text", row[name])
    for name in ("value", "n", "decimals", "sd"):
        values = row.get(name, 0)
        for value in values if isinstance(values, list) and name in ("value", "sd") else [values]:
            if isinstance(value, bool) or not isinstance(value, int | float):
                refuse(name, "a number", value)
            if not abs(value) < math.inf:
                refuse(name, "a finite number", value)
            if (name == "n" and value <= 0) or (name == "sd" and value < 0):
                refuse(name, "a positive number" if name == "n" else "a number of at least 0", value)
    if not (isinstance(row["decimals"], int) and abs(row["decimals"]) <= _MOST_DECIMALS):
        refuse("decimals", f"a whole number of at most {_MOST_DECIMALS}", row["decimals"])
    if row["value"] == []:
        refuse("value", "a number or a list of numbers", [])
    several = len(row["value"]) if isinstance(row["value"], list) else 1
    if isinstance(row.get("sd"), list) and len(row["sd"]) != several:
        refuse("sd", f"one number, or {several} as value has", row["sd"])
