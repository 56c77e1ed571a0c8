"""The figure of the types study: what each method is worth against how much annotators answer."""

from __future__ import annotations

from pathlib import Path

from sim.studies.experiment import Figure
from sim.studies.plots import curve, finish, log_x, panels
from sim.studies.results import Results

METHODS = {
    "pooled": "one reward for all", "em_dpo": "EM-DPO", "clusters": "k-means clusters", "true_types": "types given",
}  # fmt: skip


def draw_types(results: Results, folder: Path) -> list[Path]:
    """Held-out likelihood of all and of the worst-served type, and how well the types are found, against answers an
    annotator; a file a world where there are several."""
    paths = []
    worlds = results.levels("environment") or [None]
    for world in worlds:
        own = results.where(environment=world)
        figure, axes = panels(3)
        words = ("held-out log-likelihood, nats an answer", "the same, worst-served type", "adjusted Rand index")
        for axis, metric, label in zip(axes, ("log_likelihood", "worst_type", "adjusted_rand"), words, strict=True):
            for number, (method, title) in enumerate(METHODS.items()):
                curve(axis, own, "answers", metric, title, number, method=method)
            log_x(axis, own.levels("answers"), "answers an annotator")
            axis.set_ylabel(label)
        name = "types" if world is None else f"types_{str(world).replace(':', '_')}"
        title = "Finding unobserved types" + ("" if world is None else f": {world}")
        paths += finish(figure, results, title, folder, name, axes[0])
    return paths


FIGURES = {"types": Figure(draw_types, needs=("answers",))}
