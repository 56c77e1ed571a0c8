"""What a reader stumbles over in a figure: words that lie on each other, or on another panel."""

from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from sim.files.figure_files import kept


def require_words_apart(draw, folder):
    """Of every figure that is drawn; nothing is written."""
    with kept() as figures:
        draw(folder)
    assert figures
    for name, figure in figures.items():
        found = overlaps(figure)
        if found:
            pytest.fail(f"{name}: {found}")


def overlaps(figure):
    """Pairs of titles, names of axes and legends that cover each other, or a panel that is not theirs."""
    FigureCanvasAgg(figure).draw()
    words = [(None, text) for text in figure.texts]
    words += [(None, text) for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        if axes.get_visible():
            own = [axes.title, *([axes.xaxis.label, axes.yaxis.label] if axes.axison else [])]
            words += [(axes, text) for text in own]
            words += [(axes, text) for text in (axes.get_legend().get_texts() if axes.get_legend() else ())]
    boxes = [(own, text.get_text(), text.get_window_extent().padded(-1)) for own, text in words if text.get_text()]
    found = [(a, b) for (_, a, first), (_, b, second) in combinations(boxes, 2) if first.overlaps(second)]
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.axison]
    found += [(text, axes.get_title()) for own, text, box in boxes for axes in panels
              if axes is not own and box.overlaps(axes.get_window_extent())]  # fmt: skip
    return found
