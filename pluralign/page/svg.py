"""The one style of the page's own figures: sizes, colours, scales, axes and labels, as SVG without ids.

Colours are classes that the page's style sheet gives, so that a figure is dark where the page is; shapes and direct
labels say the same again. Every text is escaped here and nowhere else.
"""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pluralign.page.limits import CSV, LABEL, clipped
from sim.printable import printable

WIDTH, LEFT, RIGHT, FONT = 460, 12, 16, 13
COLOURS = 8
# A letter's width as a share of the font's size: what room a label is given.
_LETTER = 0.62


def number(value: float | None) -> str:
    """As a reader writes it: three digits, no sign before nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    told = f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
    mantissa, e, power = told.partition("e")
    told = f"{mantissa}e{int(power)}" if e else told
    return "0" if value == 0 or told in ("-0", "0") else told.replace("-", "−")


def width_of(text: str, size: float = FONT) -> float:
    return _LETTER * size * len(text)


def safe(text: object) -> Markup:
    return escape(printable(str(text)))


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, numbers in full; cut where there are too many, which the last line then says."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow(["" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in row])
        if out.tell() > CSV:
            writer.writerow([f"cut at {CSV >> 10} KiB"])
            break
    return out.getvalue()


@dataclass(frozen=True)
class Chart:
    """A figure to show: title; told: what it shows, for who does not see it; csv: every number in it, and its name."""

    svg: Markup
    title: str
    told: str
    csv: str
    name: str


@dataclass(frozen=True)
class Scale:
    """From numbers to pixels, straight, by decades, or by decades on either side of zero (symlog, from `least`)."""

    low: float
    high: float
    start: float
    end: float
    kind: str = "linear"
    least: float = 1.0

    def __call__(self, value: float) -> float:
        low, high = self._bent(self.low), self._bent(self.high)
        share = (self._bent(value) - low) / (high - low)
        return round(self.start + min(max(share, -0.02), 1.02) * (self.end - self.start), 1)

    def _bent(self, value: float) -> float:
        if self.kind == "log":
            return math.log10(max(value, 1e-300))
        if self.kind == "symlog":
            return math.copysign(math.log10(1.0 + abs(value) / self.least), value)
        return value

    def ticks(self) -> list[float]:
        if self.kind == "linear":
            return _round_ticks(self.low, self.high)
        if self.kind == "log":
            return _decades(self.low, self.high)
        above = [v for v in _decades(self.least, self.high) if v > 2 * self.least] if self.high > 0 else []
        below = [-v for v in _decades(self.least, -self.low) if v > 2 * self.least] if self.low < 0 else []
        return [*below[-2:], *([0.0] if self.low <= 0 <= self.high else []), *above[-4:]]


def _round_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten between, five at most; 1, 2 and 5 times these where there are few."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    step = max(1, -(-(last - first) // 5))
    found = [f * 10.0**k for k in range(first, last + 1, step) for f in factors]
    return [v for v in found if low * 0.999 <= v <= high * 1.001]


def scale_of(values: Iterable[float | None], start: float, end: float, *, kind: str = "", zero: bool = False) -> Scale:
    """A scale that shows all of these; where they lie decades apart, or kind says so, by decades."""
    # Differences of larger numbers, and ratios of smaller ones, would be no numbers.
    finite = [min(max(v, -1e150), 1e150) for v in values if v is not None and math.isfinite(v)]
    seen = [v if abs(v) > 1e-150 else 0.0 for v in finite] or [0.0, 1.0]
    if zero:
        seen.append(0.0)
    if kind == "log":
        above = [v for v in seen if v > 0] or [1.0, 10.0]
        low, high = min(above), max(above)
        return Scale(low / 1.15, high * 1.15 if high > low else low * 10, start, end, "log")
    sizes = sorted(abs(v) for v in seen if v)
    if sizes and sizes[-1] > 3000 * sizes[0] and kind != "linear":
        least = max(sizes[0], sizes[-1] * 1e-18)
        return Scale(min(0.0, 2 * min(seen)), max(0.0, 2 * max(seen)), start, end, "symlog", least)
    low, high = min(seen), max(seen)
    size = max(abs(low), abs(high))
    # What differs by rounding alone is one place.
    room = 0.06 * (high - low) if high - low > 1e-6 * size else 0.1 * size or 1.0
    return Scale(
        low if zero and low == 0 else low - room, high if zero and high == 0 < -low else high + room, start, end
    )


class Drawing:
    """Parts of one SVG in the order in which they are painted."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def line(self, x: float, y: float, to_x: float, to_y: float, kind: str) -> None:
        self._parts.append(f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" class="{kind}"/>')

    def bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        self._parts.append(
            f'<rect x="{min(x, x + width):g}" y="{y:g}" width="{abs(width):g}" height="{height:g}" class="{kind}"/>'
        )

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        at = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(f'<polyline points="{at}" class="{kind}"/>')

    def mark(self, x: float, y: float, shape: int, kind: str, size: float = 4.5) -> None:
        """Shapes by number: disc, square, triangle, diamond, triangle down, cross; told apart without colours."""
        s = size
        outlines = (
            "", f"M{x - s:g},{y - s:g}h{2 * s:g}v{2 * s:g}h{-2 * s:g}z",
            f"M{x:g},{y - s - 1:g}l{s + 1:g},{2 * s + 1:g}h{-2 * s - 2:g}z",
            f"M{x:g},{y - s - 1:g}l{s + 1:g},{s + 1:g}l{-s - 1:g},{s + 1:g}l{-s - 1:g},{-s - 1:g}z",
            f"M{x:g},{y + s + 1:g}l{s + 1:g},{-2 * s - 1:g}h{-2 * s - 2:g}z",
            f"M{x - s:g},{y - 1.5:g}h{s - 1.5:g}v{1.5 - s:g}h3v{s - 1.5:g}h{s - 1.5:g}v3h{1.5 - s:g}v{s - 1.5:g}h-3"
            f"v{1.5 - s:g}h{1.5 - s:g}z",
        )  # fmt: skip
        outline = outlines[shape % len(outlines)]
        if outline:
            self._parts.append(f'<path d="{outline}" class="{kind}"/>')
        else:
            self._parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{s:g}" class="{kind}"/>')

    def text(self, x: float, y: float, words: object, kind: str = "t", anchor: str = "start") -> None:
        at = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._parts.append(f'<text x="{x:g}" y="{y:g}" class="{kind}"{at}>{safe(clipped(words, LABEL))}</text>')

    def x_axis(self, scale: Scale, top: float, bottom: float, words: str) -> float:
        """Grid lines, their numbers and what is measured; numbers that would touch are left out.  Where it ends."""
        free = -math.inf
        for tick in sorted(scale.ticks()):
            x, told = scale(tick), number(tick)
            half = width_of(told, 12) / 2
            self.line(x, top, x, bottom, "grid")
            if x - half >= free and x + half <= WIDTH:
                self.text(x, bottom + 15, told, "t s", "middle")
                free = x + half + 6
        lines = textwrap.wrap(clipped(words, 3 * LABEL), int((scale.end - scale.start) / width_of("m", 12)))[:3]
        for place, line in enumerate(lines):
            self.text((scale.start + scale.end) / 2, bottom + 33 + 15 * place, line, "t s", "middle")
        return bottom + 27 + 15 * len(lines)

    def svg(self, height: float, title: str, told: str) -> Markup:
        return Markup(
            f'<svg viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" role="img" '
            f'aria-label="{safe(title)}: {safe(told)}" class="chart">{"".join(self._parts)}</svg>'
        )
