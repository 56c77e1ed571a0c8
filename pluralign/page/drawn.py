"""Figures that matplotlib draws, as SVG inside the page: their own ids, no colours that vanish in the dark, and what
they show as CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pluralign.page.figure_numbers import HEAD, figure_rows
from pluralign.page.limits import FIGURE
from pluralign.page.svg import Chart, csv_text, safe
from sim.files.figure_files import any_names, kept
from sim.files.palette import LINES

_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_LINES = [colour.lower() for colour in LINES[:6]]
_ID = re.compile(r'\b(id="|xlink:href="#|href="#|url\(#)')


def drawn_charts(draw: Callable[[Path], object], prefix: str, name: str) -> list[Chart]:
    """What `draw` would write as files, as charts; nothing is written.  prefix: of ids, another for every call."""
    import matplotlib as mpl

    with any_names(), kept() as figures, mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        draw(Path("nowhere"))
        return [_chart(figure, f"{prefix}-{own}-", f"{name}-{own}") for own, figure in figures.items()]


def _chart(figure: Any, prefix: str, name: str) -> Chart:
    figure.patch.set_alpha(0.0)
    images = any(axes.images for axes in figure.axes)
    for axes in figure.axes:
        axes.patch.set_alpha(0.0)
    whole = io.StringIO()
    figure.savefig(whole, format="svg", bbox_inches="tight", metadata={"Date": None})
    title = " ".join(figure.get_suptitle().split("\n")[:1]) or "figure"
    panels = "; ".join(axes.get_title() or axes.get_ylabel() for axes in figure.axes if axes.get_title())
    told = f"panels: {panels}" if panels else "a plot; its numbers are in the CSV"
    text = whole.getvalue()
    if len(text) > FIGURE:
        svg = Markup("<p>This figure is too large for a page; its numbers are in the CSV.</p>")
    else:
        svg = Markup(_inlined(text, prefix, f"{title}: {told}", dark=not images))
    return Chart(svg, title, told, csv_text(HEAD, figure_rows(figure)), f"{name}.csv")


def _inlined(text: str, prefix: str, label: str, *, dark: bool) -> str:
    """Without what belongs to a file; ids that no other figure has; black as the page's own ink.

    dark: whether it may stand on a dark page as it is; a heat map's numbers are black on light cells.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = _ID.sub(lambda found: found[0] + prefix, body)
    if dark:
        body = _COLOUR.sub(_of_the_page, body)
    kind = "drawn" if dark else "drawn paper"
    # Letters of one size whatever the figure's width, and never smaller than they were drawn.
    width = float(re.search(r'width="([\d.]+)pt"', body)[1])  # type: ignore[index]
    size = f"max-width:{1.6 * width:.0f}px;min-width:{width:.0f}px"
    head = f'<svg role="img" aria-label="{safe(label)}" class="{kind}" style="{size}"'
    return re.sub(r"\s+\n", "\n", body.replace("<svg", head, 1))


def _of_the_page(found: re.Match[str]) -> str:
    """A colour of the palette, black or a grey as the page's own of that name, which another is in the dark."""
    colour = found[0]
    if colour in _LINES:
        return f"var(--c{_LINES.index(colour)})"
    light = int(colour[1:3], 16)
    if colour != "#" + 3 * colour[1:3] or light == 255:
        return colour
    return "currentColor" if light < 64 else "var(--quiet)" if light < 160 else "var(--faint)"
