"""What a figure of matplotlib shows as rows of numbers, read off the figure itself: whoever drew it, nothing drawn is
left out without a word.

A series is called by its label. One that a legend should leave out has a label that begins with "_", and is called by
the rest of it; what has none is numbered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from pluralign.page.tick_names import Names
from sim.preferences import FloatArray

HEAD = ("panel", "series", "x", "y", "low", "high")
# panel, series, x (a name where the axis has names), y, the ends of its interval.
Row: TypeAlias = tuple[object, ...]
# The lower and the upper end of a bar, each (x, y).
Span: TypeAlias = tuple[FloatArray, FloatArray]
_UNNAMED = re.compile(r"(_child\d+|_container\d+|_nolegend_|_|)\Z")


def figure_rows(figure: Any) -> Iterator[Row]:
    """A row a point: lines, dots, bars and bands with their intervals, lines across a panel, cells of heat maps."""
    for place, axes in enumerate(figure.axes):
        # A scale of colours shows no numbers of its own.
        if not hasattr(axes, "_colorbar"):
            yield from _Panel(axes, place).rows()


class _Panel:
    def __init__(self, axes: Any, place: int) -> None:
        self.axes = axes
        self.name = axes.get_title() or axes.get_ylabel() or f"panel {place + 1}"
        self.x, self.y = Names(axes.xaxis), Names(axes.yaxis)
        self._told: set[int] = set()
        self._numbers: Counter[str] = Counter()

    def rows(self) -> Iterator[Row]:
        from matplotlib.container import BarContainer, ErrorbarContainer, StemContainer

        held: list[Any] = list(self.axes.containers)
        self._told.update(id(part) for one in held for part in _parts(one))
        with_bars = {id(one.errorbar) for one in held if isinstance(one, BarContainer)}
        bare = [one for one in held if isinstance(one, ErrorbarContainer) and one.lines[0] is None]
        alone = [one for one in bare if id(one) not in with_bars]
        loose = tuple([span for one in alone for span in _spans(one)[along]] for along in (0, 1))
        for one in held:
            if isinstance(one, ErrorbarContainer) and one.lines[0] is not None:
                yield from self._line(one.lines[0], self._series(one, "line"), _spans(one))
            elif isinstance(one, StemContainer):
                yield from self._line(one.markerline, self._series(one, "stems"))
            elif isinstance(one, BarContainer):
                yield from self._bars(one, loose)
        for along, spans in enumerate(loose):
            for low, high in spans:
                # One with no mark: its middle is in no file.
                name = (self.y, self.x)[along].near(low[1 - along])
                yield self._row("interval", name, None, float(low[along]), float(high[along]))
        for line in self.axes.lines:
            if id(line) not in self._told and len(line.get_xdata()):
                yield from self._any_line(line)
        for collection in self.axes.collections:
            if id(collection) not in self._told:
                yield from self._collection(collection)
        for patch in self.axes.patches:
            if id(patch) not in self._told:
                yield from self._patch(patch)
        for image in self.axes.images:
            yield from self._cells(image)

    def _series(self, artist: Any, kind: str) -> str:
        label = str(artist.get_label() or "")
        if _UNNAMED.match(label):
            self._numbers[kind] += 1
            return f"{kind} {self._numbers[kind]}"
        return label.removeprefix("_")

    def _row(self, series: str, x: object, y: object, low: float | None = None, high: float | None = None) -> Row:
        return self.name, series, x, y, low, high

    def _unlisted(self, artist: Any) -> Row:
        return self._row(f"not listed: {type(artist).__name__}", None, None)

    def _any_line(self, line: Any) -> Iterator[Row]:
        """A line across the panel has one number; what does not stand among the data has none."""
        across, up = (
            line.get_transform() is own
            for own in (self.axes.get_yaxis_transform(which="grid"), self.axes.get_xaxis_transform(which="grid"))
        )
        if across:
            yield self._row(self._series(line, "level"), None, float(line.get_ydata(orig=False)[0]))
        elif up:
            yield self._row(self._series(line, "place"), self.x.exact(line.get_xdata(orig=False)[0]), None)
        elif type(line).__name__ == "AxLine":
            yield self._unlisted(line)
        elif line.get_transform().contains_branch(self.axes.transData):
            yield from self._line(line, self._series(line, "points" if _dots(line) else "line"))

    def _line(self, line: Any, series: str, spans: Sequence[Sequence[Span]] = ((), ())) -> Iterator[Row]:
        x, y = (_numbers(own) for own in (line.get_xdata(orig=False), line.get_ydata(orig=False)))
        written, dots = np.asarray(line.get_xdata(orig=True)), _dots(line)
        ends = [_ends(list(spans[along]), x, y, along) for along in (0, 1)]
        # Values along x, of what is named along y, are read as bars that lie.
        lying = bool(self.y) and not self.x
        for i in range(len(y)):
            name = self.x.near(x[i]) if dots else self.x.exact(x[i])
            if name == x[i]:
                name = written[i].item() if hasattr(written[i], "item") else written[i]
            if lying:
                yield self._row(series, self.y.near(y[i]) if dots else self.y.exact(y[i]), float(x[i]), *ends[0][i])
            else:
                yield self._row(series, name, float(y[i]), *ends[1][i])
                if ends[0][i] != (None, None):
                    yield self._row(f"{series}, along x", float(y[i]), float(x[i]), *ends[0][i])

    def _bars(self, bars: Any, loose: Sequence[list[Span]]) -> Iterator[Row]:
        """Each from its own foot, with the interval that was drawn with it, or over it afterwards."""
        labels = [str(bar.get_label()) for bar in bars.patches]
        named = [label for label in labels if not _UNNAMED.match(label)]
        # A histogram's label is its first bar's.
        series = named[0] if len(named) == 1 else self._series(bars, "bars")
        value, names = (0, self.y) if bars.orientation == "horizontal" else (1, self.x)
        own = [] if bars.errorbar is None else _spans(bars.errorbar)[value]
        for place, bar in enumerate(bars.patches):
            corner, size = np.array(bar.get_xy()), np.array([bar.get_width(), bar.get_height()])
            foot, at = corner[value], (corner + size / 2)[1 - value]
            top = foot + size[value]
            span = own[place] if place < len(own) else _take(loose[value], at, top, value)
            ends = (None, None) if span is None else tuple(float(end[value] - foot) for end in span)
            yield self._row(labels[place] if len(named) > 1 else series, names.near(at), float(size[value]), *ends)

    def _collection(self, drawn: Any) -> Iterator[Row]:
        from matplotlib.collections import LineCollection, PathCollection, QuadMesh

        # Arrows and cells are of other kinds of polygons.
        band = type(drawn).__name__ in ("PolyCollection", "FillBetweenPolyCollection") and drawn.get_array() is None
        if isinstance(drawn, PathCollection):
            series, shades = self._series(drawn, "dots"), drawn.get_array()
            for i, (x, y) in enumerate(_numbers(drawn.get_offsets())):
                yield self._row(series, self.x.near(x), float(y))
                if shades is not None:
                    yield self._row(f"{series}, as colour", self.x.near(x), float(shades[i]))
        elif isinstance(drawn, LineCollection):
            series = self._series(drawn, "segments")
            for path in drawn.get_paths():
                yield from (self._row(series, self.x.exact(x), float(y)) for x, y in _numbers(path.vertices))
        elif band:
            series = self._series(drawn, "band")
            for path in drawn.get_paths():
                yield from self._band(series, path.vertices, along=getattr(drawn, "t_direction", "x"))
        elif isinstance(drawn, QuadMesh):
            corners, table = _numbers(drawn.get_coordinates()), _numbers(drawn.get_array())
            middle = (corners[1:, 1:] + corners[:-1, :-1]) / 2
            for (i, j), value in np.ndenumerate(table.reshape(middle.shape[:2])):
                yield self._row(str(self.y.near(middle[i, j, 1])), self.x.near(middle[i, j, 0]), float(value))
        else:
            yield self._unlisted(drawn)

    def _band(self, series: str, corners: FloatArray, along: str) -> Iterator[Row]:
        """Its lower and upper edge at each place."""
        at, ends = (corners[:, 0], corners[:, 1]) if along == "x" else (corners[:, 1], corners[:, 0])
        names = self.x if along == "x" else self.y
        for place in np.unique(at[np.isfinite(at)]):
            own = ends[at == place]
            yield self._row(series, names.exact(place), None, float(own.min()), float(own.max()))

    def _patch(self, patch: Any) -> Iterator[Row]:
        from matplotlib.patches import Polygon, StepPatch

        if isinstance(patch, StepPatch):
            series, (values, edges, _) = self._series(patch, "steps"), patch.get_data()
            for value, start, stop in zip(values, edges[:-1], edges[1:], strict=True):
                yield self._row(series, self.x.exact((start + stop) / 2), float(value))
        elif isinstance(patch, Polygon):
            series = self._series(patch, "outline")
            yield from (self._row(series, self.x.exact(x), float(y)) for x, y in patch.get_xy())
        else:
            yield self._unlisted(patch)

    def _cells(self, image: Any) -> Iterator[Row]:
        """Of a heat map: a row's name in place of a series', nothing where nothing was measured."""
        table = _numbers(image.get_array())
        if table.ndim != 2:
            yield self._unlisted(image)
            return
        left, right, bottom, top = image.get_extent()
        if image.origin == "upper":
            bottom, top = top, bottom
        down, across = table.shape
        for (i, j), value in np.ndenumerate(table):
            x, y = left + (j + 0.5) * (right - left) / across, bottom + (i + 0.5) * (top - bottom) / down
            yield self._row(str(self.y.near(y)), self.x.near(x), float(value))


def _parts(container: Any) -> Iterator[Any]:
    """Every artist that it is made of."""
    for part in container:
        yield from part if isinstance(part, tuple | list) else (part,)


def _dots(line: Any) -> bool:
    return str(line.get_linestyle()) in ("None", "none", "", " ")


def _numbers(values: Any) -> FloatArray:
    return np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)


def _spans(errorbar: Any) -> tuple[list[Span], list[Span]]:
    """The two ends of each of its bars along x, and along y, in the order of the points."""
    drawn = [[(path.vertices[0], path.vertices[-1]) for path in bars.get_paths()] for bars in errorbar.lines[2]]
    return drawn[0] if errorbar.has_xerr else [], drawn[-1] if errorbar.has_yerr else []


def _ends(spans: list[Span], x: FloatArray, y: FloatArray, along: int) -> list[tuple[float | None, float | None]]:
    """Of each point the ends of its interval along x (0) or y (1)."""
    found: list[tuple[float | None, float | None]] = []
    for point in zip(x, y, strict=True):
        span = _take(spans, point[1 - along], point[along], along)
        found.append((None, None) if span is None else (float(span[0][along]), float(span[1][along])))
    return found


def _take(spans: list[Span], at: float, value: float, along: int) -> Span | None:
    """The first that stands at this place and reaches over the value; it is then no other's."""
    room = 1e-9 * (1.0 + abs(value))
    for place, (low, high) in enumerate(spans):
        if abs(low[1 - along] - at) <= 1e-9 * (1.0 + abs(at)) and low[along] - room <= value <= high[along] + room:
            return spans.pop(place)
    return None
