"""The verdict table: in the terminal, in Markdown, in the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.errors import InputError
from sim.files.atomic import write_text
from sim.reading import read_text
from theory.engine.checks import Check

BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"
COLUMNS = ("claim", "variant", "verdict", "measured", "bound", "95 % interval", "power", "controls caught")
# Without these a row says nothing.
NEEDED = ("claim", "variant", "verdict")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def cells_of(check: Check) -> tuple[str, ...]:
    interval = "-"
    if check.interval is not None:
        low, high = check.interval
        interval = f"[{_number(low)}, {_number(high)}] {check.interval_of}".strip()
    surprise = "" if check.as_expected else f" (expected {check.expected})"
    caught = sum(control.caught for control in check.controls)
    return (
        check.claim_id,
        check.variant.replace("_", " "),
        f"{check.verdict}{surprise}",
        _number(check.measured),
        f"{check.relation} {_number(check.bound)}",
        interval,
        f"{check.power:.2f}",
        f"{caught}/{len(check.controls)}",
    )


def markdown_table(checks: Sequence[Check]) -> str:
    """GitHub Markdown; a pipe inside a cell is escaped."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(cells_of(check) for check in checks)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def plain_table(checks: Sequence[Check]) -> str:
    """Aligned columns for the terminal."""
    rows = [COLUMNS, *(cells_of(check) for check in checks)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def readme_parts(path: str | Path) -> tuple[str, str]:
    """What stands before the markers' begin and after their end."""
    text = read_text(path, "name a file of yours with the markers in it")
    if BEGIN not in text or END not in text:
        raise InputError(f"the markers {BEGIN} and {END} are missing", file=path, fix="write them where the table goes")
    head, rest = text.split(BEGIN, 1)
    return head, rest.split(END, 1)[1]


def update_readme(path: str | Path, checks: Sequence[Check]) -> None:
    """Replace what stands between the markers by the table."""
    head, tail = readme_parts(path)
    write_text(path, f"{head}{BEGIN}\n{markdown_table(checks)}\n{END}{tail}")
