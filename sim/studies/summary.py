"""The main numbers of a study as a table: means and how far they are to be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.preferences import FloatArray
from sim.studies.results import Results


def half_width(values: FloatArray) -> float:
    """Half of Student's 95 % interval of the mean; 0 for one value."""
    from scipy.special import stdtrit  # scipy.stats has the same, and takes .4 s to import

    if len(values) < 2:
        return 0.0
    return float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))


def means_table(results: Results, factors: Sequence[str]) -> str:
    """One line a cell and method: the mean of each metric and the half width of its 95 % interval."""
    found = results.measured()
    metrics = list(found.by("metric"))
    body = []
    for key, own in found.by(*factors, "method").items():
        by_metric = {name: rows.values() for name, rows in own.by("metric").items()}
        shown = (
            f"{by_metric[name].mean():.3g} ± {half_width(by_metric[name]):.1g}" if name in by_metric else ""
            for name in metrics
        )
        body.append((*(map(str, key) if factors else (str(key),)), *shown))
    return pipe_table((*factors, "method", *metrics), body)


def pipe_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, readable as plain text too."""
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (head, *body)
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"
