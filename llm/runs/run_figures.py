"""Figures of a run: how training went, who is served (the paper's Figures 4 to 7), and what the policies write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm.base.folder_format import read_stamped
from llm.runs.run_folder import EVAL_AGAIN, TRAIN_AGAIN
from sim.errors import InputError
from sim.files.figure_files import save_figure, subplots
from sim.files.palette import AMBER, BLACK, BLUE, GREEN, ORANGE, PINK, SKY, YELLOW
from sim.reading import load_json

# By number of the group or of types, as in the documents' figures.
_COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, YELLOW, BLACK)


def draw_run(folder: Path) -> list[Path]:
    """Every figure that the folder's files allow; PNG and SVG in FOLDER/figures."""
    paths: list[Path] = []
    target = folder / "figures"
    metrics = folder / "metrics.jsonl"
    if metrics.is_file():
        rows = [load_json(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        coins = _coins(folder / "run.json")
        if any(row["phase"] == "round" for row in rows):
            paths += save_figure(training_figure(rows, coins), target, "training")
        if any("group_weights" in row for row in rows):
            paths += save_figure(group_weights_figure(rows, coins), target, "group_weights")
    path = folder / "eval.json"
    if path.is_file():
        content = read_stamped(path, EVAL_AGAIN)
        try:
            paths += save_figure(bars(content, clustered=True), target, "after_clustering")
            if any(row["kind"] == "minmax" for row in content["ensembles"]):
                paths += save_figure(bars(content, clustered=False), target, "after_aggregation")
            paths += save_figure(regret_figure(content), target, "worst_regret")
        except (KeyError, TypeError) as error:
            raise InputError(f"is not an evaluation of this version ({error})", file=path, fix=EVAL_AGAIN) from error
    return paths


def _coins(path: Path) -> list[float]:
    """What a coin has of held-out answers, as the run says; the two that it says are mostly one."""
    if not path.is_file():
        return []
    content = read_stamped(path, TRAIN_AGAIN)
    found = (content.get(name) for name in ("held_out_coin", "new_prompts_coin"))
    return sorted({round(coin, 6) for coin in found if coin is not None})


def training_figure(rows: list[dict[str, Any]], coins: Sequence[float] = ()) -> Any:
    """Likelihood, held-out likelihood and shares round by round; one line a number of types, and a coin's."""
    rounds = [row for row in rows if row["phase"] == "round"]
    figure, axes = subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    truth = any("adjusted_rand_index" in row for row in rounds)
    for place, n_types in enumerate(sorted({row["types"] for row in rounds})):
        own = [row for row in rounds if row["types"] == n_types]
        x = [row["round"] for row in own]
        label = f"{n_types} type{'s' if n_types > 1 else ''}"
        axes[0].plot(x, [row["log_likelihood"] for row in own], "o-", ms=3, color=_COLOURS[place % 8], label=label)
        for name, style in (("held_out", "o-"), ("new_prompts", "o:")):
            held = [np.nan if (value := row[f"{name}_log_likelihood"]) is None else value for row in own]
            axes[1].plot(x, held, style, ms=3, color=_COLOURS[place % 8], label=label if style == "o-" else None)
        if truth:
            values = [row.get("adjusted_rand_index", np.nan) for row in own]
            axes[2].plot(x, values, "o-", ms=3, color=_COLOURS[place % 8], label=label)
        else:
            for k in range(n_types):
                axes[2].plot(x, [row["mixture"][k] for row in own], "o-", ms=3, color=_COLOURS[(place + k) % 8])
    titles = (
        "training answers (log-likelihood, nats)",
        "held-out answers (nats an answer; dotted: new prompts)",
        "adjusted Rand index against the known groups" if truth else "shares of the groups",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("round")
        axis.grid(color="0.92")
        axis.locator_params(axis="x", integer=True)
    for coin in coins:
        axes[1].axhline(coin, color="0.6", linewidth=1, linestyle=":")
        # Above its line, which is the lowest thing in the panel whenever every round beats a coin.
        axes[1].annotate("a coin", (0.99, coin), xycoords=("axes fraction", "data"), ha="right", fontsize=7,
                         color="0.4", xytext=(0, 2), textcoords="offset points")  # fmt: skip
    axes[2].set_ylim(-0.05, 1.05)
    if len({row["types"] for row in rounds}) > 1:
        axes[0].legend(fontsize=7)
    return figure


def group_weights_figure(rows: list[dict[str, Any]], coins: Sequence[float] = ()) -> Any:
    """Of group-dpo: the known groups' weights step by step, and their losses round by round, with a coin's."""
    steps = [row["group_weights"] for row in rows if "group_weights" in row]
    rounds = [row for row in rows if row["phase"] == "round"]
    figure, axes = subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for place, name in enumerate(steps[0]):
        colour = _COLOURS[place % 8]
        axes[0].plot([step[name] for step in steps], color=colour, linewidth=1)
        own = [next(group for group in row["groups"] if group["name"] == name) for row in rounds]
        for field, style in (("", "o-"), ("held_out_", "o--"), ("new_prompts_", "o:")):
            told = [group[f"{field}log_likelihood"] for group in own]
            losses = [np.nan if value is None else -value for value in told]
            axes[1].plot([row["round"] for row in rounds], losses, style, ms=3, color=colour)
    for coin in coins:
        axes[1].axhline(-coin, color="0.6", linewidth=1, linestyle=":")
    labels = (
        ("weights of the groups", "step"),
        ("loss, nats an answer (dashed: held out; dotted: new prompts)", "round"),
    )
    for axis, (title, below) in zip(axes, labels, strict=True):
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(below)
        axis.grid(color="0.92")
        axis.locator_params(axis="x", integer=True)
    axes[0].set_ylim(-0.02, 1.02)
    # Names are a file's: one that begins with "_" would be left out, and a "$" is no formula.
    legend = axes[0].legend(axes[0].get_lines(), list(steps[0]), fontsize=7)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _rows_of(content: dict[str, Any], clustered: bool) -> list[tuple[str, str]]:
    """(key, label) of the policies a figure shows."""
    pooled = [(keys[0], f"{label} (pooled)" if label == "dpo" else label)
              for label, keys in content["grouping"].items() if len(keys) == 1]  # fmt: skip
    if clustered:
        return pooled + [(key, key) for keys in content["grouping"].values() if len(keys) > 1 for key in keys]
    weights = {row["name"]: ", ".join(f"{w:.2f}" for w in row["weights"]) for row in content["ensembles"]}
    rows = pooled + [
        (row["name"], f"{row['name']}\nw = ({weights[row['name']]})")
        for row in content["ensembles"] if row["kind"] == "minmax"
    ]  # fmt: skip
    return rows + [(key, key) for key in content["policies"] if key == "direct saddle point"]


def bars(content: dict[str, Any], clustered: bool) -> Any:
    """Margins and accuracies of each group: after clustering (Figures 4, 6) or after aggregation (5, 7)."""
    rows, groups = _rows_of(content, clustered), content["groups"]
    height = 0.42 * len(rows) * max(1.0, 0.4 * len(groups)) + 1.6
    figure, axes = subplots(1, 2, figsize=(11, height), layout="constrained", sharey=True)
    step = 0.8 / len(groups)
    for axis, metric in zip(axes, ("rewards/accuracies", "rewards/margins"), strict=True):
        for g, group in enumerate(groups):
            place = np.arange(len(rows)) - 0.4 + step * (g + 0.5)
            cells = [content["policies"][key] for key, _ in rows]
            values = np.array([np.nan if c[f"{metric}/group_{g}"] is None else c[f"{metric}/group_{g}"] for c in cells])
            spans = [c[f"{metric}_interval/group_{g}"] or [v, v] for c, v in zip(cells, values, strict=True)]
            low, high = np.array(spans, dtype=float).T
            axis.barh(
                place, values, height=0.9 * step, color=_COLOURS[g % 8],
                label=f"group {group['group']} ({group['name']}, {group['n_annotators']} people)",
                xerr=np.abs(np.stack([values - low, high - values])), error_kw={"elinewidth": 1, "ecolor": "0.25"},
            )  # fmt: skip
        axis.set_yticks(range(len(rows)), [label for _, label in rows], fontsize=8)
        axis.grid(axis="x", color="0.92")
        axis.set_axisbelow(True)
        axis.axvline(0.5 if metric.endswith("accuracies") else 0.0, color="0.3", linewidth=0.8)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    axes[0].set_xlim(0, 1.02)
    axes[0].set_xlabel("accuracy on each group's own answers")
    axes[1].set_xlabel("margin of implicit rewards")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(groups), fontsize=8, frameon=False)
    what = "after clustering" if clustered else "after aggregation (log-mixture over whole responses)"
    # Results from before it was told whose answers they are do not say it.
    whose = content.get("answers_from", "the answers evaluated on")
    figure.suptitle(f"{whose[0].upper()}{whose[1:]}, {what}; bars 95 % over annotators", fontsize=10)
    return figure


def regret_figure(content: dict[str, Any]) -> Any:
    """Each policy's worst-group regret on fresh samples; implied by the groups' policies, and by their scorers."""
    sampled = content["sampled"]
    kinds = [kind for kind in ("implicit", "scored") if f"worst_regret/{kind}" in sampled["reference"]]
    names = list(sampled)
    figure, axes = subplots(
        1, len(kinds), figsize=(4.2 + 3.6 * len(kinds), 0.3 * len(names) + 1.5), layout="constrained", sharey=True,
        squeeze=False,
    )  # fmt: skip
    # By adapters: of groups that share one the regret is that of its policy.
    called: dict[str, list[str]] = {}
    for group in content["groups"]:
        called.setdefault(group["adapter"], []).append(group["name"])
    what = "worst group's regret" if len(called) > 1 else "regret against the run's one policy"
    texts = {
        "implicit": "reward units, by the groups' own policies",
        "scored": "sd of the reference's samples, by each group's scorer",
    }
    for axis, kind in zip(axes[0], kinds, strict=True):
        for place, name in enumerate(names):
            row = sampled[name][f"worst_regret/{kind}"]
            colour = _COLOURS[row["group"] % 8]
            # Of one prompt there is no interval; results from before `estimate` was told have the mean alone.
            axis.plot(row["interval"] or [row["mean"]] * 2, [place, place], color=colour, linewidth=2)
            axis.plot(row.get("estimate", row["mean"]), place, "o", color=colour, ms=4)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_xlabel(f"{what} ({texts[kind]})", fontsize=8)
        axis.grid(axis="x", color="0.92")
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_COLOURS[k % 8], marker="o", label=f"group {k} ({', '.join(own)})")
        for k, own in enumerate(called.values())
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False,
                  title="which group is worst off", title_fontsize=8)  # fmt: skip
    figure.suptitle(f"Samples on {content['n_prompts']} prompts; lines 95 % over prompts", fontsize=10)
    return figure
