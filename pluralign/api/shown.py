"""Results that print as a short table, and as one in a notebook."""

from __future__ import annotations

import abc
import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from sim.printable import printable

WIDTH, LINES = 80, 15
_MOST_HTML_ROWS = 50
_LEAST_COLUMN, _FIRST = 8, 24


@dataclass(frozen=True)
class Page:
    """A line of title, a table (numbers, texts or None for nothing known), and a line each of notes."""

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    notes: Sequence[str] = ()

    def text(self) -> str:
        """At most 15 lines of 80 columns; what does not fit is counted."""
        notes = [_short(note, WIDTH) for note in self.notes][:3]
        room = LINES - 1 - len(notes) - bool(self.head)
        lines, rows = [_short(self.title, WIDTH)], list(self.rows)
        left_out = 0
        if self.head:
            shown, left_out = _aligned(self.head, rows[:room])
            if left_out or len(rows) > room:
                rows = rows[: room - 1]
                shown = shown[: 1 + len(rows)]
            lines += shown
        hidden = [(len(self.rows) - len(rows), "rows"), (left_out, "columns")]
        if any(count for count, _ in hidden):
            lines.append("... and " + ", ".join(f"{count} {what}" for count, what in hidden if count) + " more")
        return "\n".join([*lines, *notes])

    def html(self) -> str:
        """The same as HTML, escaped; at most 50 rows."""
        rows = list(self.rows)[:_MOST_HTML_ROWS]
        notes = list(self.notes)
        if len(rows) < len(self.rows):
            notes.insert(0, f"... and {len(self.rows) - len(rows)} rows more")
        head = "".join(f"<th>{_escaped(name)}</th>" for name in self.head)
        body = "".join(
            "<tr>" + "".join(f"<td>{_escaped(_cell(value))}</td>" for value in row) + "</tr>" for row in rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if self.head else ""
        after = "".join(f"<p>{_escaped(note)}</p>" for note in notes)
        return f"<div><p><b>{_escaped(self.title)}</b></p>{table}{after}</div>"


class Shown(abc.ABC):
    """A result: `as_dict` is what the command's --json prints, `repr` and a notebook show `page`."""

    def __init_subclass__(cls, **named: Any) -> None:
        """Whatever a result's `as_dict` is made of, who changes what it gave changes nothing of the result."""
        super().__init_subclass__(**named)
        if "as_dict" in vars(cls):
            # To mypy a method is not to be assigned to; a decorator on each class would be forgotten on the next.
            cls.as_dict = _copying(cls.as_dict)  # type: ignore[assignment]

    @abc.abstractmethod
    def page(self) -> Page:
        """What a reader looks for first."""

    @abc.abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain values that JSON holds; the caller's own, to change."""

    def __repr__(self) -> str:
        return printable(self.page().text())

    def _repr_html_(self) -> str:
        return self.page().html()


def _copying(told: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """The same method, whose containers are the caller's."""

    @wraps(told)
    def own(result: Any) -> dict[str, Any]:
        copied: dict[str, Any] = _copied(told(result))
        return copied

    return own


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    # A named tuple takes its parts one by one, and holds nothing that can be changed.
    return type(value)(map(_copied, value)) if type(value) in (list, tuple) else value


def plotted(draw: Callable[[], Any]) -> Any:
    """The axes `draw` made, for the screen: one, or an array of them. Nothing is written, no backend is chosen."""
    import numpy as np

    from sim.files.figure_files import on_screen

    with on_screen() as figures:
        draw()
    axes = [own for figure in figures for own in figure.axes if own.get_visible()]
    return axes[0] if len(axes) == 1 else np.array(axes, dtype=object)


def bars(title: str, series: Mapping[str, Sequence[float]], names: Sequence[str], label: str) -> Any:
    """Horizontal bars, a row a name, a colour a series; the first name on top."""
    from sim.files.figure_files import subplots
    from sim.files.palette import GROUPS

    def draw() -> None:
        _, axis = subplots(figsize=(6.4, 1.2 + 0.3 * len(names) * max(len(series), 1)), layout="constrained")
        height = 0.8 / len(series)
        for number, (name, values) in enumerate(series.items()):
            at = [place + height * (number - (len(series) - 1) / 2) for place in range(len(names))]
            axis.barh(at, list(values), height=0.92 * height, color=GROUPS[number % len(GROUPS)], label=name)
        axis.set_yticks(range(len(names)), list(names))
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_xlabel(label)
        axis.set_title(title, fontsize=10)
        axis.axvline(0.0, color="0.3", linewidth=0.8)
        axis.grid(axis="x", color="0.92")
        axis.set_axisbelow(True)
        if len(series) > 1:
            axis.legend(fontsize=8)

    return plotted(draw)


def finite_or_text(value: float) -> float | str:
    """As JSON can hold it: infinity as text."""
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _escaped(text: str) -> str:
    """As a notebook shows it: neither its marks nor its control characters do anything."""
    return html.escape(printable(text))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return "0" if abs(value) < 1e-12 else f"{value:.4g}"  # rounding of a zero is no finding
    return " ".join(str(value).split())


def _short(text: str, width: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= width else plain[: max(width - 3, 0)] + "..."


def _aligned(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[list[str], int]:
    """Columns two blanks apart, and how many had no room: texts are shortened, the widest first, then the last columns
    left out; of the first column, which names the rows, 24 letters stay."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    numbers = [all(isinstance(row[k], int | float | None) for row in rows) for k in range(len(head))]
    widths = [max(len(line[k]) for line in cells) for k in range(len(head))]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH:
        texts = [k for k in range(len(widths)) if not numbers[k] and widths[k] > (_LEAST_COLUMN if k else _FIRST)]
        if texts:
            widths[max(texts, key=lambda k: widths[k])] -= 1
        else:
            widths.pop()
    lines = []
    for line in cells:
        parts = [_short(line[k], width) for k, width in enumerate(widths)]
        parts = [
            part.rjust(width) if number else part.ljust(width)
            for part, width, number in zip(parts, widths, numbers, strict=False)
        ]
        lines.append("  ".join(parts).rstrip())
    return lines, len(head) - len(widths)
