"""Figures about rank: dimension and rank, the rank assumed, and rewards that are only nearly low-rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sim.preferences import FloatArray
from sim.studies.experiments.low_rank.method_looks import BIC, FULL, LOW, complete, ratio
from sim.studies.experiments.low_rank.method_names import MethodName
from sim.studies.experiments.low_rank.setting import given_rank
from sim.studies.experiments.low_rank.tables import Crossing, crossing, slope
from sim.studies.plots import finish, log_x, log_y, look, of_true_rank, panels, plain_logs, points
from sim.studies.results import Results


def draw_dimension(results: Results, folder: Path) -> list[Path]:
    """Regret against k and against r, and the ratio of both methods' regrets against k / D.

    The ratio is of the replicates both methods have, the power of those that all cells have; nothing is drawn of a cell
    that was lost.
    """
    ranks = results.levels("rank")
    figure, axes = panels(3)
    every: list[tuple[float, str]] = []
    shares: list[float] = []
    both = ((LOW.text, "regret"), (FULL.text, "regret"))
    for number, d in enumerate(results.levels("d_x")):
        at = complete(results, {rank: {"d_x": d, "rank": rank} for rank in ranks}, *both, ("low", "free"),
                      ("full", "free"))  # fmt: skip
        if not at:
            continue
        low, full = ([results.of(cell, m.text, "regret") for cell in at.values()] for m in (LOW, FULL))
        k, D = ([float(results.of(cell, m, "free")[0]) for cell in at.values()] for m in ("low", "full"))
        every += list(zip(k, at.values(), strict=True))
        label = f"{d} contexts, {D[0] / d:g} features"
        points(axes[0], k, low, label, number)
        points(axes[1], list(at), low, label, number)
        points(axes[1], list(at), full, label, number, "--")
        found = [ratio(*results.paired(*((cell, *own) for own in both))) for cell in at.values()]
        share = [a / b for a, b in zip(k, D, strict=True)]
        shares += share
        axes[2].errorbar(share, [r for r, _ in found], yerr=[e for _, e in found], **{**look(number), "linestyle": ""})
    if not every:
        return []
    paired = results.paired(*((cell, LOW.text, "regret") for _, cell in every))
    power, half = slope([k for k, _ in every], paired)
    known = "" if np.isnan(half) else f" ± {half:.2f}"
    grows = "" if np.isnan(power) else f": regret grows like k to the {power:.2f}{known}"
    line = np.geomspace(min(0.12, *shares), 1.0, 20)
    axes[2].plot(line, line, color="0.3", linewidth=1, linestyle=":", label="k / D")
    axes[2].plot(line, np.sqrt(line), color="0.3", linewidth=1, linestyle="--", label="square root of k / D")
    axes[2].legend(fontsize=8, frameon=False, loc="upper left")
    axes[0].set_title(f"PRS{grows}", fontsize=10)
    axes[1].set_title("PRS (solid) and full rank (dashed)", fontsize=10)
    axes[2].set_title("Regret of PRS over full rank", fontsize=10)
    for axis, words in zip(axes, ("regret", "regret", "ratio"), strict=True):
        log_y(axis, words)
    for axis, words in ((axes[0], "free numbers k of the reduced subspace"), (axes[2], "k / D, D of the whole")):
        axis.set_xscale("log")
        plain_logs(axis.xaxis)
        axis.set_xlabel(words)
    axes[1].set_xticks(ranks)
    axes[1].set_xlabel("rank")
    return finish(figure, results, "Dimension and rank under exotic actions", folder, "dimension", axes[0])


def draw_assumed_rank(results: Results, folder: Path) -> list[Path]:
    """Error, coverage, regret and time against the rank that is fitted; "full" beyond the last."""
    ranks = sorted(rank for name in results.measured().by("method") if (rank := given_rank(name)) is not None)
    if not ranks:
        return []
    names = [*(f"rank{rank}" for rank in ranks), "full"]
    x = [*ranks, ranks[-1] + 1]
    delta = results.settings.get("delta")
    covering = "sets that cover" + ("" if delta is None else f" (asked: {1.0 - delta:g})")
    metrics = (("error/common", "error on common features"), ("covers", covering),
               ("regret", "regret of the pessimistic policy"), ("seconds", "seconds (median)"))  # fmt: skip
    figure, axes = panels(4)
    answers = results.levels("n") or [None]
    for number, d in enumerate(results.levels("d_x") or [None]):
        for n in answers:
            keys = {name: value for name, value in (("d_x", d), ("n", n)) if value is not None}
            label = ", ".join(f"{value:,} {'contexts' if name == 'd_x' else 'answers'}" for name, value in keys.items())
            cell = next(iter(results.cells(**keys)), None)
            if cell is None:
                continue
            line = "-" if n == answers[-1] else "--"
            for axis, (metric, _) in zip(axes, metrics, strict=True):
                found = [(at, _values(results, cell, name, metric)) for at, name in zip(x, names, strict=True)]
                there = [(at, values) for at, values in found if values.size]
                fitted = [(at, values) for at, values in there if at <= ranks[-1]]
                draw = _shares if metric == "covers" else points
                draw(axis, [at for at, _ in fitted], [values for _, values in fitted], label, number, line)
                whole = [values for at, values in there if at > ranks[-1]]
                if whole:
                    draw(axis, [x[-1]], whole, "", number, line)
    for axis, (metric, words) in zip(axes, metrics, strict=True):
        axis.set_xticks(x, [*map(str, ranks), "full"])
        axis.set_xlabel("rank fitted")
        axis.set_ylabel(words)
        if metric != "covers":
            log_y(axis, words)
    axes[1].set_ylim(-0.03, 1.03)
    if delta is not None:
        axes[1].axhline(1.0 - delta, color="0.3", linestyle=":", linewidth=1)
    return finish(figure, results, "The rank that is fitted" + of_true_rank(results), folder, "assumed-rank", axes[0])


def _values(results: Results, cell: str, name: str, metric: str) -> FloatArray:
    if metric == "seconds":
        return np.array([results.seconds(cell, name)]) if results.of(cell, name, "rank").size else np.empty(0)
    return results.of(cell, MethodName(name, "distributional", 1.0).text if metric == "regret" else name, metric)


def _shares(axes: Any, x: list[float], values: list[FloatArray], label: str, number: int, line: str) -> None:
    """Shares with exact binomial intervals."""
    from scipy.stats import binomtest

    share = np.array([own.mean() for own in values])
    limits = [binomtest(int(own.sum()), own.size).proportion_ci() for own in values]
    errors = np.array([share - [own.low for own in limits], [own.high for own in limits] - share])
    axes.errorbar(x, share, yerr=errors, label=label, linestyle=line, **look(number))


def draw_crossing(results: Results, folder: Path) -> list[Path]:
    """Ratio of regrets against answers; where it crosses 1 against (D - k) / tail^2; BIC over the better of both.

    Ratios are of the replicates that the methods of a cell have in common, crossings of those that all cells of a line
    have; a cell that was lost is left out.
    """
    partial = len(results.levels("off_rank")) > 1
    factor, words = ("off_rank", "dense part {:g} of the norm") if partial else ("power", "power {:g}")
    answers = results.levels("n")
    figure, axes = panels(3)
    by_regret: list[tuple[float, Crossing]] = []
    by_error: list[tuple[float, Crossing]] = []
    regrets = tuple((method.text, "regret") for method in (LOW, FULL, BIC))
    errors = tuple((name, "error/common") for name in ("low", "full"))
    for number, level in enumerate(results.levels(factor)):
        at = complete(results, {n: {factor: level, "n": n} for n in answers}, *regrets, *errors,
                      ("truth", "tail"), ("low", "free"), ("full", "free"))  # fmt: skip
        if not at:
            continue
        cells, first = list(at.values()), next(iter(at.values()))
        tail = float((results.of(first, "truth", "tail") ** 2).mean())
        saved = float(results.of(first, "full", "free")[0] - results.of(first, "low", "free")[0])
        across = results.paired(*((cell, *own) for own in (*regrets[:2], *errors) for cell in cells))
        low, full, low_error, full_error = across.reshape(4, len(cells), -1)
        if across.size and tail:
            by_regret.append((saved / tail, crossing(list(at), low - full)))
            by_error.append((saved / tail, crossing(list(at), low_error**2 - full_error**2)))
        own = [results.paired(*((cell, *method) for method in regrets)) for cell in cells]
        for axis, pairs in (
            (axes[0], [ratio(low, full) for low, full, _ in own]),
            (axes[2], [ratio(bic, low if low.mean() < full.mean() else full) for low, full, bic in own]),
        ):
            axis.errorbar(list(at), [r for r, _ in pairs], yerr=[e for _, e in pairs], label=words.format(level),
                          **look(number))  # fmt: skip
    if not axes[0].containers:
        return []
    _crossings(axes[1], by_regret, answers, "by regret", 5)
    _crossings(axes[1], by_error, answers, "by squared error", 6)
    titles = ("PRS over full rank (below 1: PRS is better)", "Where full rank becomes better", "Rank chosen by BIC")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
    for axis, name in ((axes[0], "ratio of regrets"), (axes[2], "regret over the better of both")):
        axis.axhline(1.0, color="0.3", linewidth=1)
        log_x(axis, answers, "answers")
        log_y(axis, name)
    rank = results.settings.get("rank")
    nearly = f"Rewards that are only nearly of {'low rank' if rank is None else f'rank {rank}'}"
    title = nearly if partial else "Singular values that fall like a power"
    return finish(figure, results, title, folder, "partial" if partial else "power", axes[0])


def _crossings(axes: Any, several: list[tuple[float, Crossing]], answers: list[int], label: str, number: int) -> None:
    """n_cross against (D - k) / tail^2 with 95 % limits where they are known (cut where no answers were measured), and
    the line of slope 1 through those that lie inside."""
    axes.set_xscale("log")
    plain_logs(axes.xaxis)
    axes.set_xlabel("(D - k) / tail²")
    log_y(axes, "answers")
    least, most = answers[0], answers[-1]
    axes.set_ylim(0.8 * least, 1.25 * most)
    inside = [(x, own) for x, own in several if least < own.at < most]
    if not inside:
        return
    x, at = np.array([x for x, _ in inside]), np.array([own.at for _, own in inside])
    low, high = (np.clip([getattr(own, end) for _, own in inside], least, most) for end in ("low", "high"))
    own_look = {**look(number), "linestyle": ""}
    axes.errorbar(x, at, yerr=np.maximum([at - low, high - at], 0), label=label, **own_look)
    constant = float(np.exp(np.log(at / x).mean()))
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, constant * ends, color=own_look["color"], linestyle=":", linewidth=1,
              label=f"{constant:.2g} (D - k) / tail²")  # fmt: skip
    axes.legend(fontsize=8, frameon=False, loc="upper left")
