"""Tables for a screen: as wide as it is, and no longer."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ELLIPSIS = "..."
_NARROWEST = 6


def on_screen(text: str, *, width: int, rows: int, rest: str) -> str:
    """The text with each of its Markdown tables made to fit: at most `width` columns wide and `rows` rows long.

    A table that is too wide is broken into several, each with the columns that say what a row is (up to `method`). Of
    one that is too long the first rows are shown, and a line says how many there are and where the rest is: `rest`.
    Other lines are left as they are.
    """
    out: list[str] = []
    table: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
            continue
        if table:
            out.append(_fitted(table, width, rows, rest))
            table = []
        out.append(line)
    return "\n".join(out).rstrip("\n")


def _fitted(lines: Sequence[str], width: int, rows: int, rest: str) -> str:
    cells = [_cells(line) for line in lines]
    head, body = cells[0], [row for row in cells[1:] if not all(set(cell) <= {"-"} for cell in row)]
    if any(len(row) != len(head) for row in body):
        # No table we wrote: cut, so that nothing is broken over two lines.
        return "\n".join(clipped(line, width) for line in lines)
    keys = head.index("method") + 1 if "method" in head else 1
    return cut_table(head, body, keys=keys, width=width, rows=rows, rest=rest)


def cut_table(
    head: Sequence[str], body: Sequence[Sequence[str]], *, keys: int, width: int, rows: int, rest: str
) -> str:
    """`head` and `body` as aligned columns within the width, the first `keys` repeated where it is broken."""
    shown = list(body[:rows])
    blocks = _blocks(head, shown, keys, width)
    parts = [
        plain_table([head[i] for i in block], [[row[i] for i in block] for row in shown], width) for block in blocks
    ]
    if len(body) > rows:
        parts[-1] += f"\n({rows} of {len(body)} rows; {rest})"
    return "\n\n".join(parts)


def _blocks(head: Sequence[str], body: Sequence[Sequence[str]], keys: int, width: int) -> list[list[int]]:
    """Which columns stand beside each other."""
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    first = list(range(keys))
    blocks, used = [list(first)], sum(widths[i] + 2 for i in first)
    key_width = used
    for i in range(keys, len(head)):
        if used + widths[i] > width and len(blocks[-1]) > keys:
            blocks.append(list(first))
            used = key_width
        blocks[-1].append(i)
        used += widths[i] + 2
    return blocks


def plain_table(head: Sequence[str], body: Sequence[Sequence[str]], width: int) -> str:
    """Aligned columns; where they do not fit the widest give way."""
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    rows = [head, ["-" * own for own in widths], *body]
    lines = ("  ".join(clipped(cell, own).ljust(own) for cell, own in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def clipped(text: str, width: int) -> str:
    """At most `width` characters, the last three dots where it was longer."""
    return text if len(text) <= width else text[: max(width - len(_ELLIPSIS), 0)] + _ELLIPSIS


def _cells(line: str) -> list[str]:
    """Of a Markdown row; a pipe inside a cell is escaped."""
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]
