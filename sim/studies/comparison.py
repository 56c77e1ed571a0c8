"""A study's means beside reference numbers: difference, joint standard error, and whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import InputError
from sim.studies.precision import standard_error, yes_no
from sim.studies.reference import Reference
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


def compare(results: Results, reference: Reference) -> list[Compared]:
    """Each reference number this study also measured, at the same cell, method and metric; one replicate has no
    standard error and is compared with nothing.  InputError where a row is of several cells: there is no one number."""
    out, shares = [], yes_no(results)
    for number, entry in enumerate(reference.rows, start=1):
        cell = {k: v for k, v in entry.items() if k not in ("metric", "value", "sd", "n", "decimals")}
        values = np.atleast_1d(entry["value"])
        spread = np.broadcast_to(entry.get("sd", np.nan), values.shape)
        for place, (value, sd) in enumerate(zip(values, spread, strict=True)):
            name = entry["metric"]
            if isinstance(entry["value"], list):
                name += f"/{'arm' if name == 'mass' else 'group'}_{place}"
            found = results.where(**cell, metric=name).measured()
            if len(found.by("cell_id")) > 1:
                raise InputError(
                    f"reference row {number} is of {len(found.by('cell_id'))} cells", fix="let it name every factor"
                )
            measured = found.replicate_means()
            if measured.size < 2:
                continue
            own = float(measured.std(ddof=1))
            if name in shares:
                own = standard_error(measured, share=True) * np.sqrt(measured.size)
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
