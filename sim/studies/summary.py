"""The main numbers of a study as a table: mean and standard deviation over replicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def summary_table(rows: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> str:
    """One line a cell and method that has a regret: adjusted Rand index, weights, regrets, worst regret, seconds."""
    values: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for row in rows:
        if row["value"] is not None:
            of_cell = values.setdefault((*(row[name] for name in factors), row["method"]), {})
            of_cell.setdefault(row["metric"], []).append(row["value"])
            if row["metric"] == "regret/group_0":
                of_cell.setdefault("seconds", []).append(row["wall_s"])
    head = (*factors, "method", "ARI", "weights", "regret by group", "worst regret", "seconds")
    body = []
    for key, metrics in values.items():
        if "regret/group_0" not in metrics:
            continue
        by_group = zip(*(v for name, v in metrics.items() if name.startswith("regret/group_")), strict=True)
        worst = metrics.get("regret/worst") or [max(regrets) for regrets in by_group]
        body.append(
            (
                *map(str, key),
                _mean_sd(metrics.get("ari")),
                _several(metrics, "weight/group_"),
                _several(metrics, "regret/group_"),
                _mean_sd(worst),
                f"{np.mean(metrics['seconds']):.2f}",
            )
        )
    return pipe_table(head, body)


def means_table(rows: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> str:
    """One line a cell and method: the mean of each metric and the half width of its 95 % interval."""
    from sim.studies.plots import half_width

    values: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for row in rows:
        if row["value"] is not None:
            of_cell = values.setdefault((*(row[name] for name in factors), row["method"]), {})
            of_cell.setdefault(row["metric"], []).append(row["value"])
    metrics = list(dict.fromkeys(name for found in values.values() for name in found))
    body = [
        (
            *map(str, key),
            *(
                f"{np.mean(found[name]):.3g} ± {half_width(np.array(found[name])):.1g}" if name in found else ""
                for name in metrics
            ),
        )
        for key, found in values.items()
    ]
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


def _mean_sd(values: Sequence[float] | None) -> str:
    if not values:
        return ""
    spread = f" ({np.std(values, ddof=1):.2f})" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"


def _several(metrics: Mapping[str, Sequence[float]], prefix: str) -> str:
    return ", ".join(f"{np.mean(values):z.2f}" for name, values in metrics.items() if name.startswith(prefix))
