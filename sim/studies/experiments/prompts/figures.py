"""The figure of the study of prompts: how EM errs as prompts depend on the type, and what estimating that is worth."""

from __future__ import annotations

from pathlib import Path

from sim.studies.experiment import Figure
from sim.studies.plots import curve, finish, panels
from sim.studies.results import Results

_FIXED = {"em_dpo": "EM-DPO (Assumption 1)", "true_types": "types given"}
_METRICS = {
    "adjusted_rand": "adjusted Rand index of the types",
    "mixture_error": "error of the types' shares",
    "regret": "regret of one's policy, mean",
    "worst_type": "regret, worst-served type",
}


def titles(results: Results) -> dict[str, str]:
    """method -> its words, in the order they are drawn; prompts_<s> by their strength."""
    laws = sorted((m for m in results.levels("method") if m.startswith("prompts_")), key=lambda m: float(m[8:]))
    own = {method: f"with prompts' laws, prior of {method[8:]} answers" for method in laws}
    return {"em_dpo": _FIXED["em_dpo"], **own, "true_types": _FIXED["true_types"]}


def draw_prompts(results: Results, folder: Path) -> list[Path]:
    """Four measures against the correlation; a file a number of answers where there are several."""
    paths = []
    for answers in results.levels("answers") or [None]:
        own = results.where(answers=answers)
        figure, axes = panels(4)
        for axis, (metric, words) in zip(axes, _METRICS.items(), strict=True):
            for number, (method, title) in enumerate(titles(own).items()):
                if method == "true_types" and metric in ("adjusted_rand", "mixture_error"):
                    continue  # as it is given them
                curve(axis, own, "correlation", metric, title, number, dashed=method == "true_types", method=method)
            axis.set_xlabel("correlation of prompts with the type")
            axis.set_ylabel(words)
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        name = "prompts" if answers is None else f"prompts_{answers}_answers"
        title = "Prompts that depend on the type" + ("" if answers is None else f", {answers} answers an annotator")
        paths += finish(figure, own, title, folder, name, axes[2])
    return paths


FIGURES = {"prompts": Figure(draw_prompts, needs=("correlation",))}
