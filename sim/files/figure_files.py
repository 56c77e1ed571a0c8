"""Figures as files: PNG to look at, SVG to print; or on a screen, and no file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sim.files.atomic import replacing
from sim.printable import printable

_SHOWN: ContextVar[list[Any] | None] = ContextVar("shown", default=None)
_DPI = 150
_KEPT: ContextVar[dict[str, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def on_screen() -> Iterator[list[Any]]:
    """Figures made inside are pyplot's, for the backend in use, and stand in this list; `save_figure` writes none."""
    figures: list[Any] = []
    token = _SHOWN.set(figures)
    try:
        yield figures
        for figure in figures:
            _read_plainly(figure)
    finally:
        _SHOWN.reset(token)


@contextmanager
def kept() -> Iterator[dict[str, Any]]:
    """Figures that `save_figure` is given inside stand in this mapping by name, and no file is written."""
    figures: dict[str, Any] = {}
    token = _KEPT.set(figures)
    try:
        yield figures
    finally:
        _KEPT.reset(token)


def subplots(rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """Like pyplot's, without its state: a figure to be written needs no screen and leaves nothing behind.

    options: figsize and layout of the figure, the others of its panels.
    """
    whole = {name: options.pop(name) for name in ("figsize", "layout") if name in options}
    shown = _SHOWN.get()
    if shown is None:
        from matplotlib.figure import Figure

        figure: Any = Figure(**whole)
    else:
        import matplotlib.pyplot as plt

        figure = plt.figure(**whole)
        shown.append(figure)
    return figure, figure.subplots(rows, columns, **options)


@contextmanager
def any_names() -> Iterator[None]:
    """Names in people's files may be longer than the figure, or of letters that the font does not have: these are cut,
    and shown as boxes; a line of matplotlib's each on the terminal helps nobody."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s).*layout not applied|.*missing from font", UserWarning)
        yield


def save_figure(figure: Any, folder: str | Path, name: str) -> list[Path]:
    """NAME.png and NAME.svg, each written whole or not at all; nothing inside `on_screen` or `kept`."""
    _without_control(figure)
    _read_plainly(figure)
    held = _KEPT.get()
    if held is not None:
        held[name] = figure
        return []
    shown = _SHOWN.get()
    if shown is not None:
        if figure not in shown:
            shown.append(figure)
        return []
    import matplotlib.pyplot as plt
    from matplotlib import rc_context, rcParams

    paths = []
    with any_names(), rc_context({"svg.hashsalt": name}):
        # Where things stand is worked out once: by itself `savefig` does it twice a file, most of a figure's time.
        figure.set_dpi(_DPI)
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
        shown_part = figure.get_tightbbox().padded(rcParams["savefig.pad_inches"])
        for suffix in ("png", "svg"):
            path = Path(folder) / f"{name}.{suffix}"
            with replacing(path) as temporary:
                # Without a date, and with the ids' salt fixed, an unchanged figure is an unchanged file.
                dated = {"Date": None} if suffix == "svg" else {}
                figure.savefig(temporary, dpi=_DPI, bbox_inches=shown_part, metadata=dated)
            paths.append(path)
    plt.close(figure)
    return paths


def _read_plainly(figure: Any) -> None:
    """Names are people's: a "$" in one begins no formula. What matplotlib itself writes of powers of ten is text of
    ours, as setting its formulas took a third of a figure's time; the number that it takes out of labels stays one."""
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter, ScalarFormatter

    from sim.files.plain_powers import PlainPowers

    powers = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for of, take in ((axis.get_major_formatter, axis.set_major_formatter),
                             (axis.get_minor_formatter, axis.set_minor_formatter)):  # fmt: skip
                if isinstance(of(), LogFormatter):
                    take(PlainPowers(of()))
            # Labels are made when they are asked for, and keep what is said of them.
            labels = axis.get_ticklabels(which="both")
            if isinstance(axis.get_major_formatter(), ScalarFormatter):
                powers |= {*labels, axis.get_offset_text()}
    for text in figure.findobj(Text):
        if text not in powers:
            text.set_parse_math(False)


def _without_control(figure: Any) -> None:
    """Control characters of names written out: as they are, no reader of XML opens the SVG they stand in."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = axis.get_major_formatter()
            if isinstance(labels, FixedFormatter | FuncFormatter):
                axis.set_major_formatter(FuncFormatter(lambda x, place, labels=labels: printable(labels(x, place))))
    for text in figure.findobj(Text):
        if (shown := printable(text.get_text())) != text.get_text():
            text.set_text(shown)
