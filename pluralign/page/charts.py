"""The kinds of figures of the page: numbers with intervals against a line, bars, curves, and a plane with a front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pluralign.page.limits import LABEL, ROWS, clipped
from pluralign.page.svg import COLOURS, FONT, LEFT, RIGHT, WIDTH, Chart, Drawing, csv_text, number, scale_of, width_of

_ROW = 36


@dataclass(frozen=True)
class Row:
    """A number with its interval; colour: of its mark and shape, by number.  heading: said once above a run of rows
    that have the same."""

    label: str
    value: float | None
    interval: tuple[float, float] | None = None
    colour: int = 0
    heading: str = ""
    hollow: bool = False


@dataclass(frozen=True)
class Line:
    """What theory says, a coin gives, or nothing is: a line across all rows."""

    at: float
    label: str


def rows_chart(
    rows: Sequence[Row], title: str, words: str, name: str, *, lines: Sequence[Line] = (), bars: bool = False,
    least: float | None = None, most: float | None = None,
) -> Chart:  # fmt: skip
    """A row a number: its label and its number above, its mark (or bar from zero) and interval below."""
    rows = [_known(row) for row in rows[:ROWS]]
    seen = [v for row in rows for v in (row.value, *(row.interval or ()))] + [line.at for line in lines]
    seen += [v for v in (least, most) if v is not None]
    scale = scale_of(seen, LEFT + 4, WIDTH - RIGHT - 4, zero=bars)
    drawing, top = Drawing(), 6.0 + 16 * bool(lines)
    y, heading, placed = top, "", []
    for row in rows:
        if row.heading != heading:
            heading = row.heading
            y += 22
            placed.append((y - 4, row, True))
        placed.append((y + 14, row, False))
        y += _ROW
    bottom = y + 2
    height = drawing.x_axis(scale, top, bottom, words)
    if bars:
        drawing.line(scale(0.0), top, scale(0.0), bottom, "axis")
    _references(drawing, lines, scale, top, bottom)
    for at, row, is_heading in placed:
        if is_heading:
            drawing.text(LEFT, at, row.heading, "t b")
        else:
            _row(drawing, row, at, scale, bars)
    told = "; ".join(_told(row) for row in rows[:12]) + ("; …" if len(rows) > 12 else "")
    said = "".join(f"; line at {number(line.at)}: {line.label}" for line in lines)
    table = csv_text(
        ("group", "label", "value", "low", "high"),
        [*((r.heading, r.label, r.value, *(r.interval or (None, None))) for r in rows),
         *(("line", line.label, line.at, None, None) for line in lines)],
    )  # fmt: skip
    return Chart(drawing.svg(height, title, told + said), title, told + said, table, name)


def _known(row: Row) -> Row:
    """Without what is no number, or no end of an interval."""
    value = row.value if row.value is not None and math.isfinite(row.value) else None
    whole = row.interval is not None and all(math.isfinite(end) for end in row.interval)
    return replace(row, value=value, interval=row.interval if whole else None)


def _told(row: Row) -> str:
    span = "" if row.interval is None else f" [{number(row.interval[0])}, {number(row.interval[1])}]"
    return f"{clipped(f'{row.heading} {row.label}'.strip(), LABEL)} {number(row.value)}{span}"


def _row(drawing: Drawing, row: Row, at: float, scale: object, bars: bool) -> None:
    assert callable(scale)
    kind = f"c{row.colour % COLOURS}"
    told = "" if row.value is None and row.interval else number(row.value)
    if row.interval is not None and not math.isclose(*row.interval):
        told += f"  [{number(row.interval[0])}, {number(row.interval[1])}]"
    drawing.text(WIDTH - RIGHT, at, told, "t s n", "end")
    room = (WIDTH - RIGHT - LEFT - width_of(told, 12) - 10) / width_of("m")
    drawing.text(LEFT, at, clipped(row.label, max(int(room), 8)))
    y = at + 11
    if bars and row.value is not None:
        drawing.bar(scale(0.0), y - 5, scale(row.value) - scale(0.0), 10, f"f {kind}")
    if row.interval is not None:
        low, high = (scale(end) for end in row.interval)
        drawing.line(low, y, high, y, "span" if bars else f"l {kind}")
        for end in (low, high):
            drawing.line(end, y - 4, end, y + 4, "span" if bars else f"l {kind}")
    if not bars and row.value is not None:
        drawing.mark(scale(row.value), y, row.colour, f"{'h' if row.hollow else 'f'} {kind}")


def _references(drawing: Drawing, lines: Sequence[Line], scale: object, top: float, bottom: float) -> None:
    assert callable(scale)
    free = -math.inf
    for line in sorted(lines, key=lambda one: one.at):
        x = scale(line.at)
        drawing.line(x, top - 4, x, bottom, "theory")
        half = width_of(line.label, 12) / 2
        middle = min(max(x, half + 2), WIDTH - half - 2)
        if middle - half >= free:
            drawing.text(middle, top - 7, line.label, "t s", "middle")
            free = middle + half + 6


@dataclass(frozen=True)
class Curve:
    """y over x; low, high: intervals, where there are any.  dashed: not measured, but what theory says."""

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    colour: int = 0
    dashed: bool = False


def curves_chart(
    curves: Sequence[Curve], title: str, words: tuple[str, str], name: str, *, log: bool = False,
    lines: Sequence[Line] = (),
) -> Chart:  # fmt: skip
    """Curves with their names at their ends; log: both axes by decades.  words: of the two axes."""
    longest = max((width_of(clipped(c.label, 24)) for c in curves), default=0.0)
    kind, right = ("log" if log else "linear"), WIDTH - 14 - longest
    top, bottom = 28.0, 250.0
    every = [v for c in curves for v in (*c.y, *c.low, *c.high) if v is not None and (v > 0 or not log)]
    across = scale_of([v for c in curves for v in c.x], 58, right, kind=kind)
    up = scale_of([*every, *(line.at for line in lines)], bottom, top, kind=kind)
    drawing = Drawing()
    height = drawing.x_axis(across, top, bottom, words[0])
    for tick in up.ticks():
        drawing.line(58, up(tick), right, up(tick), "grid")
        drawing.text(52, up(tick) + 4, number(tick), "t s", "end")
    drawing.text(LEFT, 14, words[1], "t s")
    for line in lines:
        drawing.line(58, up(line.at), right, up(line.at), "theory")
        drawing.text(62, up(line.at) - 4, line.label, "t s")
    ends = []
    for curve in curves:
        own = [(across(x), up(y), i) for i, (x, y) in enumerate(zip(curve.x, curve.y, strict=True))
               if y is not None and math.isfinite(y) and (y > 0 or not log)]  # fmt: skip
        if not own:
            continue
        drawing.path([(x, y) for x, y, _ in own], "theory-path" if curve.dashed else f"l c{curve.colour % COLOURS}")
        kind = f"c{curve.colour % COLOURS}"
        for x, y, i in own if not curve.dashed else ():
            low, high = (curve.low[i], curve.high[i]) if curve.low else (None, None)
            if low is not None and high is not None:
                drawing.line(x, up(low if low > 0 or not log else up.low), x, up(high), f"l {kind}")
            drawing.mark(x, y, curve.colour, f"f {kind}", 3.5)
        ends.append((own[-1][1], curve))
    for y, curve in _apart(ends):
        drawing.text(right + 8, y + 4, clipped(curve.label, 24))
    told = "; ".join(f"{clipped(c.label, LABEL)} from {number(_end(c, 0))} to {number(_end(c, -1))}" for c in curves)
    rows = [(c.label, x, y, c.low[i] if c.low else None, c.high[i] if c.high else None)
            for c in curves for i, (x, y) in enumerate(zip(c.x, c.y, strict=True))]  # fmt: skip
    return Chart(drawing.svg(height, title, told), title, told, csv_text(("series", "x", "y", "low", "high"), rows),
                 name)  # fmt: skip


def _end(curve: Curve, place: int) -> float | None:
    known = [y for y in curve.y if y is not None]
    return known[place] if known else None


def _apart(ends: list[tuple[float, Curve]]) -> list[tuple[float, Curve]]:
    """Labels moved down until none touches the one above."""
    placed: list[tuple[float, Curve]] = []
    for y, curve in sorted(ends, key=lambda end: end[0]):
        placed.append((max(y, placed[-1][0] + FONT + 2) if placed else y, curve))
    return placed


@dataclass(frozen=True)
class Point:
    """A choice in the plane; known: a fairness rule's (filled), or a policy's (hollow)."""

    label: str
    x: float
    y: float
    rule: bool = False


def plane_chart(
    points: Sequence[Point], front: Sequence[tuple[float, float]], title: str, words: tuple[str, str], name: str
) -> Chart:
    """The front as a line, rules and policies as numbered marks, their names below: labels in it would lie on top of
    each other where rules agree."""
    points = [p for p in points if math.isfinite(p.x) and math.isfinite(p.y)][:24]
    across = scale_of([*(p.x for p in points), *(x for x, _ in front)], 58, WIDTH - RIGHT, kind="linear")
    top, bottom = 28.0, 290.0
    up = scale_of([*(p.y for p in points), *(y for _, y in front)], bottom, top, kind="linear")
    drawing = Drawing()
    y = drawing.x_axis(across, top, bottom, words[0]) + 18
    for tick in up.ticks():
        drawing.line(58, up(tick), WIDTH - RIGHT, up(tick), "grid")
        drawing.text(52, up(tick) + 4, number(tick), "t s", "end")
    drawing.text(LEFT, 14, words[1], "t s")
    drawing.path([(across(x), up(y)) for x, y in front], "l c0")
    for place, point in enumerate(points):
        kind = f"{'f' if point.rule else 'h'} c{1 if point.rule else 6}"
        shape = 3 if point.rule else 0
        at = (across(point.x), up(point.y))
        drawing.mark(*at, shape, kind, 5)
        # Where several agree, numbers stand beside each other.
        same = sum(abs(across(o.x) - at[0]) < 9 and abs(up(o.y) - at[1]) < 12 for o in points[:place])
        drawing.text(at[0] + 9 + 15 * same, at[1] - 6, str(place + 1), "t s b")
        drawing.mark(LEFT + 6, y - 4, shape, kind, 4.5)
        drawing.text(LEFT + 18, y, f"{place + 1}  {clipped(point.label, 34)}")
        drawing.text(WIDTH - RIGHT, y, f"{number(point.x)}, {number(point.y)}", "t s n", "end")
        y += 19
    told = "; ".join(f"{p.label} at {number(p.x)}, {number(p.y)}" for p in points)
    rows: list[tuple[object, ...]] = [("rule" if p.rule else "policy", p.label, float(p.x), float(p.y)) for p in points]
    rows += [("front", "", float(x), float(y)) for x, y in front]
    table = csv_text(("kind", "label", *words), rows)
    return Chart(drawing.svg(y, title, told), title, told, table, name)
