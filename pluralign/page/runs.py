"""A run of `llm train` for the page: how training went, whom its policies serve, their weights, and what they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pluralign.page.charts import Curve, Line, Row, curves_chart, rows_chart
from pluralign.page.fits import read_responsibilities, responsibility_chart
from pluralign.page.folders import Result, Sources
from pluralign.page.fronts import front_chart
from pluralign.page.limits import clipped
from pluralign.page.svg import Chart
from sim.errors import InputError
from sim.files.atomic import Json
from sim.reading import load_json

_AGAIN = "run `pluralign llm {}` again"
_EXAMPLES, _POLICIES = 12, 12


@dataclass(frozen=True)
class Sample:
    """What each policy wrote to one prompt."""

    prompt: str
    responses: Mapping[str, str]


@dataclass(frozen=True)
class RunShown:
    """A folder of `llm train` on the page.  margins: a row a policy and group; unsampled: why no samples are shown."""

    name: str
    anchor: str
    method: str
    told: Mapping[str, str]
    notes: tuple[str, ...]
    charts: tuple[Chart, ...]
    samples: tuple[Sample, ...]
    unsampled: str


def run_shown(result: Result, place: int, sources: Sources) -> RunShown:
    """mixture.json, run.json, eval.json, minmax.json, metrics.jsonl and responsibilities.parquet, those that are there;
    each held against its checksum."""
    folder, name = result.folder, result.name.replace("/", "-")
    mixture = _stamped(folder / "mixture.json", sources, "train") or {}
    _require_unchanged(folder, mixture)
    run = _stamped(folder / "run.json", sources, "train") or {}
    found = _stamped(folder / "eval.json", sources, "eval")
    minmax = _stamped(folder / "minmax.json", sources, "minmax")
    at = folder / "mixture.json"
    try:
        charts: list[Chart | None] = [_training(folder / "metrics.jsonl", sources, name, _coins(run))]
        adapters = [str(adapter) for adapter in mixture["adapters"]]
        names = _names(adapters, found)
        read = read_responsibilities(folder / "responsibilities.parquet", sources)
        if read is not None:
            charts.append(responsibility_chart(read[1], read[0], names[: read[1].shape[1]],
                                               f"{name}-responsibilities.csv"))  # fmt: skip
        if found is not None:
            at = folder / "eval.json"
            charts += [*_served(found, name), *_sampled(found, name)]
        if minmax is not None:
            at = folder / "minmax.json"
            charts += [_weights(minmax, names, name), _front(minmax, mixture, names, name)]
        notes = (*run.get("notes", ()), *_outdated(folder, found))
        return RunShown(
            result.name, f"run{place}", str(mixture["method"]), _told(mixture, run, names),
            tuple(clipped(note) for note in notes), tuple(c for c in charts if c is not None),
            _examples(found), _unsampled(found),
        )  # fmt: skip
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        fix = _AGAIN.format({"eval.json": "eval", "minmax.json": "minmax"}.get(at.name, "train"))
        raise InputError(f"is not of this version ({type(error).__name__}: {error})", file=at, fix=fix) from error


def _outdated(folder: Path, found: Mapping[str, Json] | None) -> list[str]:
    from llm.runs.run_folder import outdated

    note = None if found is None else outdated(folder, found)
    return [] if note is None else [note]


def _stamped(path: Path, sources: Sources, command: str) -> dict[str, Any] | None:
    from llm.base.folder_format import read_stamped

    return read_stamped(sources.note(path), _AGAIN.format(command)) if path.is_file() else None


def _require_unchanged(folder: Path, mixture: Mapping[str, Json]) -> None:
    """The files that the page reads are those of the run; its tensors are not read."""
    from llm.base.folder_format import require_unchanged

    files = {name: digest for name, digest in (mixture.get("files") or {}).items() if "/" not in str(name)}
    require_unchanged(folder, files, _AGAIN.format("train"))


def _called(found: Mapping[str, Json]) -> dict[str, str]:
    """Adapter -> its groups as the evaluation calls them, in the adapters' order."""
    names: dict[str, list[str]] = {}
    for row in found["groups"]:
        names.setdefault(row["adapter"], []).append(str(row["name"]))
    return {adapter: ", ".join(own) for adapter, own in names.items()}


def _names(adapters: Sequence[str], found: Mapping[str, Json] | None) -> list[str]:
    """The groups as the file calls them, where an evaluation found out; else their adapters."""
    if found is None:
        return list(adapters)
    called = _called(found)
    return [f"{adapter} ({called[adapter]})" if called.get(adapter) not in (None, adapter) else adapter
            for adapter in adapters]  # fmt: skip


def _told(mixture: Mapping[str, Json], run: Mapping[str, Json], names: Sequence[str]) -> dict[str, str]:
    shares = ", ".join(f"{name} {share:.3f}" for name, share in zip(names, mixture["mixture"], strict=True))
    told = {"shares of the groups": shares, "beta": f"{mixture['beta']:g}"}
    for key, words, form in (
        ("n_annotators", "annotators", ","), ("n_pairs", "answers", ","),
        ("held_out_log_likelihood", "held-out answers, nats an answer", ".4f"),
        ("new_prompts_log_likelihood", "answers to new prompts, nats an answer", ".4f"),
        ("adjusted_rand_index", "adjusted Rand index against the known groups", ".3f"),
    ):  # fmt: skip
        if run.get(key) is not None:
            told[words] = format(run[key], form)
    if run.get("status"):
        told["how it ended"] = clipped(run["status"], 300)
    return told


def _coins(run: Mapping[str, Json]) -> tuple[Line, ...]:
    """What a coin has of held-out answers, where the run says it; mostly the same of both kinds."""
    found = (run.get(name) for name in ("held_out_coin", "new_prompts_coin"))
    return tuple(Line(coin, "a coin") for coin in sorted({round(coin, 6) for coin in found if coin is not None}))


def _training(path: Path, sources: Sources, name: str, coins: tuple[Line, ...]) -> Chart | None:
    """Held-out log-likelihood by round, a curve a number of types."""
    if not path.is_file():
        return None
    lines = sources.note(path).read_text(encoding="utf-8").splitlines()
    rounds = [row for row in map(load_json, lines) if isinstance(row, dict) and row.get("phase") == "round"]
    curves: list[Curve] = []
    for types in sorted({row["types"] for row in rounds}):
        own = [row for row in rounds if row["types"] == types]
        for field, words in (("held_out", "held out"), ("new_prompts", "new prompts")):
            y = [row.get(f"{field}_log_likelihood") for row in own]
            if len(own) > 1 and any(value is not None for value in y):
                curves.append(
                    Curve(
                        f"{words}, {types} type{'s' if types > 1 else ''}",
                        [row["round"] for row in own],
                        y,
                        colour=len(curves),
                    )
                )
    if not curves:
        return None
    return curves_chart(curves, "Training", ("round", "log-likelihood, nats an answer"), f"{name}-training.csv",
                        lines=coins)  # fmt: skip


def _served(found: Mapping[str, Json], name: str) -> list[Chart]:
    """Accuracy and margin of every policy on every group's answers; baselines of ensembles are in the CSV of none."""
    groups, whose = found["groups"], str(found.get("answers_from", "the answers evaluated on"))
    shown = [key for key in found["policies"] if not key.endswith(("component average", "token average (baseline)"))]
    charts = []
    for metric, title, words, line in (
        ("rewards/margins", "Margins", "margin of implicit rewards (95 % over annotators)", Line(0.0, "indifferent")),
        ("rewards/accuracies", "Accuracies", "accuracy on the group's own answers (95 %)", Line(0.5, "a coin")),
    ):  # fmt: skip
        rows = []
        for key in shown:
            row = found["policies"][key]
            rows += [
                Row(str(group["name"]), row[f"{metric}/group_{g}"], _pair(row[f"{metric}_interval/group_{g}"]), g, key)
                for g, group in enumerate(groups)
            ]
        charts.append(rows_chart(rows, f"{title} on {whose}", words,
                                 f"{name}-{title.lower()}.csv", lines=(line,)))  # fmt: skip
    return charts


def _pair(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (float(interval[0]), float(interval[1]))


def _sampled(found: Mapping[str, Json], name: str) -> list[Chart]:
    """The worst-off group's regret on fresh samples, by the groups' policies and by their scorers."""
    charts, names = [], dict(enumerate(_called(found).values()))
    title = "Worst-off group's regret" if len(names) > 1 else "Regret against the run's one policy"
    for kind, words in (("implicit", "reward units, by the groups' own policies"),
                        ("scored", "standard deviations of the reference's scores, by the scorers")):  # fmt: skip
        rows: list[Row] = []
        for key, row in found["sampled"].items():
            worst = row.get(f"worst_regret/{kind}")
            if worst is not None:
                who = names.get(worst["group"], str(worst["group"]))
                rows.append(
                    Row(
                        f"{key}: {who}",
                        worst.get("estimate", worst["mean"]),
                        _pair(worst["interval"]),
                        int(worst["group"]),
                    )
                )
        if rows:
            charts.append(rows_chart(rows, f"{title} on samples, {kind}", words,
                                     f"{name}-worst-regret-{kind}.csv", least=0.0))  # fmt: skip
    return charts


def _weights(minmax: Mapping[str, Json], names: Sequence[str], name: str) -> Chart:
    rows = []
    for own in minmax["tuples"]:
        told = "priorities " + ", ".join(f"{c:g}" for c in own["priorities"])
        spans = own.get("weights_interval") or [None] * len(own["weights"])
        rows += [Row(names[k], weight, _pair(spans[k]), k, told) for k, weight in enumerate(own["weights"])]
    return rows_chart(rows, "MinMax weights by priorities", "weight of the group's policy (95 %)",
                      f"{name}-weights.csv", bars=True, most=1.0)  # fmt: skip


def _front(minmax: Mapping[str, Json], mixture: Mapping[str, Json], names: Sequence[str], name: str) -> Chart | None:
    """Of mixing the groups' policies, by the regrets that were sampled."""
    own = minmax["tuples"][0]
    priorities = np.asarray(own["priorities"], dtype=float)
    regret = np.asarray(own["regret"], dtype=float)[-len(priorities) :] / priorities[:, None]
    mixtures = {f"MinMax {','.join(f'{c:g}' for c in row['priorities'])}": np.asarray(row["weights"], dtype=float)
                for row in minmax["tuples"]}  # fmt: skip
    return front_chart(regret, [f"{n}'s policy" for n in names], np.asarray(mixture["mixture"], dtype=float), names,
                       mixtures, "Pareto front of mixing the groups' policies", f"{name}-front.csv")  # fmt: skip


def _examples(found: Mapping[str, Json] | None) -> tuple[Sample, ...]:
    rows = (found or {}).get("examples", ())[:_EXAMPLES]
    return tuple(
        Sample(clipped(row["prompt"]),
               {str(key): clipped(text) for key, text in list(row["responses"].items())[:_POLICIES]})
        for row in rows
    )  # fmt: skip


def _unsampled(found: Mapping[str, Json] | None) -> str:
    if found is None:
        return "No samples: this run was not evaluated (pluralign llm eval)."
    if not found.get("examples"):
        return "No samples: this evaluation kept none; `pluralign llm eval` run again keeps some."
    return ""
