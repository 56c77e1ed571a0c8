"""The table of the study of tastes: accuracy of every method wherever answers were held out, and who wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sim.estimators.bootstrap import half_over_people
from sim.studies.results import PART, Results
from sim.studies.summary import pipe_table

# In the order of a reader: what knows least of a person first.
METHODS = {
    "pooled": "one for all", "personal": "one each", "shared": "shared subspace", "cluster": "clusters",
    "low_rank": "low rank", "maxmin-rlhf": "MaxMin-RLHF", "pal": "PAL",
    "pal-distance": "PAL, ideal points", "vpl": "VPL", "vpl-encoder": "VPL, an encoder", "truth": "truth",
}  # fmt: skip
PLACES = {"answers": "held-out answers", "prompts": "new prompts"}


def place_title(where: str) -> str:
    """What was held out, in words."""
    shown = where.removeprefix("after_")
    return PLACES.get(where, f"new annotators, {shown} answers")


def places(results: Results) -> list[str]:
    """Everything that was held out, in the order it was measured."""
    return list(dict.fromkeys(metric.partition("/")[0] for metric in results.measured()["metric"] if metric))


def people(results: Results, where: str) -> float:
    """How many annotators a place's numbers are of, the mean over seeds; nan in results of before it was measured."""
    found = results.where(metric=f"{where}/people").values()
    return float(found.mean()) if len(found) else float("nan")


def mean_and_half(results: Results, method: str, metric: str) -> tuple[float, float] | None:
    """Mean over seeds, and half of its 95 % interval over annotators (nan: there is none); None where nothing was
    measured.

    Where every seed draws annotators of its own, the half is sqrt(sum of squared halves) / seeds.  Real ones are the
    same in every seed, and more seeds are no more people: there it is of the mean over seeds, person by person."""
    values = results.where(method=method, metric=metric).values()
    if not len(values):
        return None
    shares, own = (_by_person(results, method, name) for name in (f"{metric.partition('/')[0]}/share", metric))
    if own:
        return float(values.mean()), _half_of_same(own, shares)
    halves = results.where(method=method, metric=f"{metric}/half").values()
    half = float(np.sqrt((halves**2).sum()) / len(halves)) if len(halves) else float("nan")
    return float(values.mean()), half


def _by_person(results: Results, method: str, metric: str) -> dict[tuple[int, str], float]:
    """(seed, annotator) -> her number."""
    start = f"{metric}{PART}"
    found = results.where(method=method).measured()
    rows = zip(found["replicate"], found["metric"], found["value"], strict=True)
    return {(seed, name.removeprefix(start)): value for seed, name, value in rows if name.startswith(start)}


def _half_of_same(own: Mapping[tuple[int, str], float], shares: Mapping[tuple[int, str], float]) -> float:
    """The mean over seeds is a sum over people of u_i = mean_r p_ir (v_ir - m_r), m_r = sum_i p_ir v_ir, and m."""
    seeds, who = sorted({seed for seed, _ in own}), sorted({name for _, name in own})
    value, share = (np.array([[of.get((seed, name), 0.0) for name in who] for seed in seeds]) for of in (own, shares))
    apart = share * (value - (share * value).sum(axis=1, keepdims=True))
    return half_over_people(apart.mean(axis=0))


def winners(results: Results, where: str) -> list[str]:
    """The method of largest mean log-likelihood, and after it those it is not told apart from: the 95 % interval of the
    difference, over annotators, holds zero."""
    found = {}
    for name in METHODS:
        own = mean_and_half(results, name, f"{where}/log_likelihood")
        if own is not None and name != "truth":
            found[name] = own[0]
    if not found:
        return []
    best = max(found, key=lambda name: found[name])
    alike = []
    for name in found:
        gap = None if name == best else mean_and_half(results, best, f"{where}/over_{name}")
        if gap is not None and not gap[0] > gap[1]:
            alike.append(name)
    return [best, *alike]


def level_text(level: object) -> str:
    """A factor's level for a reader: of a file its name."""
    return Path(level).stem if isinstance(level, str) and "." in level else str(level)


def _few(these: float, most: float, where: str) -> str:
    """Not everybody has so many answers to show."""
    return f" ({these:.3g} of {most:.3g} people)" if where.startswith("after_") and these < most else ""


def _told(mean: float, half: float) -> str:
    """So few people that are all the same say nothing of others."""
    return f"{mean:.3f}" + (f" ± {half:.3f}" if np.isfinite(half) else "")


def tastes_table(results: Results, factors: Sequence[str]) -> str:
    """A line a cell and place: accuracies with half of their 95 % interval over annotators, and who wins by
    log-likelihood (those it is not told apart from in brackets)."""
    measured = results.measured()
    methods = [name for name in METHODS if name in set(measured["method"])]
    body = []
    cells = measured.by(*factors) if factors else {(): measured}
    for key, own in cells.items():
        levels = key if isinstance(key, tuple) else (key,)
        most = max((people(own, where) for where in places(own) if where.startswith("after_")), default=0.0)
        for where in places(own):
            shown = [mean_and_half(own, name, f"{where}/accuracy") for name in methods]
            first, *alike = [METHODS[name] for name in winners(own, where)]
            body.append((
                *map(level_text, levels), place_title(where) + _few(people(own, where), most, where),
                *("" if one is None else _told(*one) for one in shown),
                first + (f" ({', '.join(alike)})" if alike else ""),
            ))  # fmt: skip
    return pipe_table((*factors, "held out", *(METHODS[name] for name in methods), "best by log-likelihood"), body)
