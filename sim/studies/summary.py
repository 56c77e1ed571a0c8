"""The main numbers of a study as a table: means and how far they are to be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from sim.studies.precision import told, yes_no
from sim.studies.results import Results


def means_table(results: Results, factors: Sequence[str]) -> str:
    """One line a cell and method: the mean of each metric and the half width of its 95 % interval."""
    found = results.measured()
    metrics, shares = list(found.by("metric")), yes_no(found)
    body = []
    for key, own in found.by(*factors, "method").items():
        by_metric = {name: rows.replicate_means() for name, rows in own.by("metric").items()}
        shown = (told(by_metric[name], share=name in shares) if name in by_metric else "" for name in metrics)
        body.append((*(map(str, key) if factors else (str(key),)), *shown))
    return pipe_table((*factors, "method", *metrics), body)


def pipe_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, readable as plain text too; names are people's, and stay in their cell."""
    rows = [[in_a_cell(cell) for cell in row] for row in (head, *body)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def in_a_cell(text: str) -> str:
    """The text as it stands in a cell of a Markdown table: a pipe escaped, lines in one."""
    return " ".join(text.splitlines()).replace("|", "\\|")
