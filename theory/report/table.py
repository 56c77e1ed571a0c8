"""The verdict table: in the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from sim.studies.summary import in_a_cell
from theory.engine.checks import Check

# Most are of 95 %; a mean that is to lie within limits has two tests of 5 %, so one of 90 %, and its cell says so.
INTERVAL = "interval (95 % or as said)"
COLUMNS = (
    "claim", "variant", "verdict", "measured", "bound", INTERVAL, "share attained", "power", "departure seen",
    "controls caught",
)  # fmt: skip
# Without these a row says nothing.
NEEDED = ("claim", "variant", "verdict")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _band(check: Check) -> str:
    return "" if check.band is None else f"{check.band[0]:g} to {check.band[1]:g}"


def measured_in(check: Check) -> str:
    """The measured number, and in how many draws where others tested nothing."""
    inside = "" if check.tested is None else f" (in {check.tested} of {check.replicates} draws)"
    return _number(check.measured) + inside


def cells_of(check: Check) -> tuple[str, ...]:
    interval = "-"
    if check.interval is not None:
        low, high = check.interval
        interval = f"[{_number(low)}, {_number(high)}] {check.interval_of}".strip()
    surprise = "" if check.verdict is check.expected else f" (expected {check.expected})"
    surprise += "" if check.tight else f" (attains {_number(check.attained)} of the bound, expected {_band(check)})"
    caught = sum(control.caught for control in check.controls)
    seen = "not measured" if check.departure_power is None else f"{check.departure_power:.2f} ({check.departs})"
    return (
        f"{check.claim_id} (arithmetic)" if check.arithmetic else check.claim_id,
        check.variant.replace("_", " "),
        f"{check.verdict}{surprise}",
        measured_in(check),
        f"{check.relation} {_number(check.bound)}",
        interval,
        "-" if check.attained is None else f"{check.attained:.2g}" + (f" ({_band(check)})" if check.band else ""),
        f"{check.power:.2f}",
        seen,
        f"{caught}/{len(check.controls)}",
    )


def markdown_rows(rows: Sequence[Sequence[str]]) -> str:
    """A table of GitHub Markdown, its head the first row; a pipe inside a cell is escaped, and lines are one."""
    head, *body = rows
    lines = [head, ("---",) * len(head), *body]
    return "\n".join("| " + " | ".join(map(in_a_cell, row)) + " |" for row in lines)


def markdown_table(checks: Sequence[Check]) -> str:
    return markdown_rows([COLUMNS, *(cells_of(check) for check in checks)])


def plain_table(checks: Sequence[Check]) -> str:
    """Aligned columns for the terminal."""
    rows = [COLUMNS, *(cells_of(check) for check in checks)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
