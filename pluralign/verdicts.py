"""Verdicts on a screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pluralign.tables import cut_table
from pluralign.terminal import columns, rows
from theory.engine.checks import Check
from theory.report.table import COLUMNS, INTERVAL, NEEDED, cells_of

# What a narrow screen goes without first: a measured number keeps its bound beside it.
SPARED = (
    "departure seen", "share attained", INTERVAL, "controls caught", "power", "bound", "measured",
)  # fmt: skip


def verdict_table(checks: Sequence[Check], folder: Path) -> str:
    """The verdicts as far as the screen goes: first those that are not as expected, the others in their order."""
    shown = sorted(checks, key=lambda check: check.as_expected and all(own.caught for own in check.controls))
    if len(checks) <= rows():
        shown = list(checks)
    body = [cells_of(check) for check in shown]
    # The narrower the screen the fewer columns, the least needed first: one line a verdict.
    used = list(range(len(COLUMNS)))
    widths = [max(len(row[i]) for row in (COLUMNS, *body)) for i in used]
    while sum(widths[i] + 2 for i in used) - 2 > columns() and len(used) > len(NEEDED):
        used.remove(min((i for i in used if COLUMNS[i] not in NEEDED), key=lambda i: SPARED.index(COLUMNS[i])))
    rest = f"all, with every column, in {folder / 'verdicts.md'}; --json prints them"
    table = cut_table(
        [COLUMNS[i] for i in used], [[row[i] for i in used] for row in body], keys=1, width=columns(), rows=rows(),
        rest=rest,
    )  # fmt: skip
    missing = [COLUMNS[i] for i in range(len(COLUMNS)) if i not in used]
    if missing and len(body) <= rows():
        table += f"\n({', '.join(missing)}: in {folder / 'verdicts.md'}, or on a wider screen)"
    return table
