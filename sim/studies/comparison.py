"""A study's means beside reference numbers: difference, joint standard error, and whether they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sim.errors import InputError
from sim.studies.results import Results
from sim.studies.summary import pipe_table

JOINT_ERRORS = 3.0


@dataclass(frozen=True)
class Compared:
    """One number. `agrees`: |measured - reference| <= 3 joint standard errors, rounding of the reference included."""

    cell: str
    method: str
    metric: str
    reference: float
    measured: float
    sd: float
    joint_error: float
    agrees: bool


@dataclass(frozen=True)
class Reference:
    """source: where the numbers are from.  rows: as in the file, each factor's level, method, metric, value, n and
    decimals, and sd where it is known."""

    source: str
    rows: Sequence[Mapping[str, Any]]


def load_reference(path: Path) -> Reference:
    """A reference file's numbers."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError("the reference numbers cannot be read", file=path, fix="remove `reference`") from error
    if not isinstance(content, dict) or set(content) != {"source", "rows"}:
        raise InputError("expected the keys source and rows", file=path)
    if not isinstance(content["rows"], list):
        raise InputError("expected a list of numbers", file=path, field="rows")
    for number, row in enumerate(content["rows"], start=1):
        _require_row(row, path, number)
    return Reference(str(content["source"]), content["rows"])


def _require_row(row: Any, path: Path, number: int) -> None:
    """method, metric, value (a number or one a group), n answers behind it, decimals it is rounded to; perhaps sd."""
    if not isinstance(row, dict):
        raise InputError(f"expected a mapping, got {row!r}", file=path, row=number)
    for name in ("method", "metric", "value", "n", "decimals"):
        if name not in row:
            raise InputError("missing", file=path, row=number, field=name, fix="write it")
    for name in ("value", "n", "decimals", "sd"):
        values = row.get(name, 0)
        for value in values if isinstance(values, list) and name in ("value", "sd") else [values]:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"expected a number, got {value!r}", file=path, row=number, field=name)


def compare(results: Results, reference: Reference) -> list[Compared]:
    """Each reference number this study also measured, at the same cell, method and metric; one replicate has no
    standard error and is compared with nothing."""
    out = []
    for entry in reference.rows:
        cell = {k: v for k, v in entry.items() if k not in ("metric", "value", "sd", "n", "decimals")}
        values = np.atleast_1d(entry["value"])
        spread = np.broadcast_to(entry.get("sd", np.nan), values.shape)
        for place, (value, sd) in enumerate(zip(values, spread, strict=True)):
            name = entry["metric"]
            if isinstance(entry["value"], list):
                name += f"/{'arm' if name == 'mass' else 'group'}_{place}"
            measured = results.where(**cell, metric=name).values()
            if measured.size < 2:
                continue
            own = float(measured.std(ddof=1))
            theirs = own if np.isnan(sd) else float(sd)
            # A number rounded to d decimals is off by a uniform error of width 10^-d.
            rounding = 10.0 ** -entry["decimals"] / np.sqrt(12.0)
            joint = float(np.sqrt(own**2 / measured.size + theirs**2 / entry["n"] + rounding**2))
            mean = float(measured.mean())
            out.append(
                Compared(
                    cell=", ".join(str(v) for k, v in cell.items() if k != "method"),
                    method=entry["method"],
                    metric=name,
                    reference=float(value),
                    measured=mean,
                    sd=own,
                    joint_error=joint,
                    agrees=abs(mean - float(value)) <= JOINT_ERRORS * joint,
                )
            )
    return out


def markdown_table(compared: Sequence[Compared], source: str) -> str:
    """The comparison as Markdown, readable as plain text too."""
    head = ("cell", "method", "metric", "reference", "measured", "sd", "difference", "joint s.e.", "within 3")
    body = [
        (
            c.cell, c.method, c.metric, f"{c.reference:g}", f"{c.measured:z.3f}", f"{c.sd:.3f}",
            f"{c.measured - c.reference:+z.3f}", f"{c.joint_error:.3f}", "yes" if c.agrees else "NO",
        )
        for c in compared
    ]  # fmt: skip
    return f"Reference: {source}. sd over replicates.\n\n" + pipe_table(head, body)
