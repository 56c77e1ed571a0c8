"""Table of the bandit study: what each method recovers, plays and loses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.preferences import FloatArray
from sim.studies.results import Results
from sim.studies.summary import pipe_table


def table_bandit(results: Results, factors: Sequence[str]) -> str:
    """One line a cell and method that has a regret: adjusted Rand index, weights, regrets, worst regret, seconds."""
    head = (*factors, "method", "ARI", "weights", "regret by group", "worst regret", "seconds")
    body = []
    for key, rows in results.measured().by(*factors, "method").items():
        metrics = {name: own.values() for name, own in rows.by("metric").items()}
        if "regret/group_0" not in metrics:
            continue
        by_group = [values for name, values in metrics.items() if name.startswith("regret/group_")]
        worst = metrics.get("regret/worst", np.max(by_group, axis=0))
        seconds = rows.where(metric="regret/group_0")["wall_s"]
        body.append(
            (
                *(map(str, key) if factors else (str(key),)),
                _mean_sd(metrics.get("ari")),
                _several(metrics, "weight/group_"),
                _several(metrics, "regret/group_"),
                _mean_sd(worst),
                f"{np.mean(seconds):.2f}",
            )
        )
    return pipe_table(head, body)


def _mean_sd(values: FloatArray | None) -> str:
    if values is None:
        return ""
    spread = f" ({values.std(ddof=1):.2f})" if len(values) > 1 else ""
    return f"{values.mean():.2f}{spread}"


def _several(metrics: dict[str, FloatArray], prefix: str) -> str:
    return ", ".join(f"{values.mean():z.2f}" for name, values in metrics.items() if name.startswith(prefix))
