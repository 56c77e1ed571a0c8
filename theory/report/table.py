"""The verdict table: in the terminal, in Markdown, in the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.errors import InputError
from sim.files.atomic import write_text
from theory.engine.checks import Check

BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"
_COLUMNS = ("claim", "variant", "verdict", "measured", "bound", "95 % interval", "power", "controls caught")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _cells(check: Check) -> tuple[str, ...]:
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
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_cells(check) for check in checks)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def plain_table(checks: Sequence[Check]) -> str:
    """Aligned columns for the terminal."""
    rows = [_COLUMNS, *(_cells(check) for check in checks)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def update_readme(path: str | Path, checks: Sequence[Check]) -> None:
    """Replace what stands between the markers by the table."""
    target = Path(path)
    try:
        text = target.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from error
    if BEGIN not in text or END not in text:
        raise InputError(f"the markers {BEGIN} and {END} are missing", file=path, fix="write them where the table goes")
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    write_text(target, f"{head}{BEGIN}\n{markdown_table(checks)}\n{END}{tail}")
