"""A fit for the page: who its types are, in features and in responses, whom one policy for all would cost what, and how
sure it is of whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pluralign.page.charts import Curve, Line, Row, curves_chart, rows_chart
from pluralign.page.folders import Result, Sources
from pluralign.page.fronts import front_chart
from pluralign.page.limits import GROUPS, PEOPLE, clipped
from pluralign.page.svg import Chart, csv_text
from sim.errors import InputError, require_utf8
from sim.files.atomic import Json
from sim.files.checksums import require_unchanged
from sim.fitting.saved import FORMAT

_AGAIN = "run `pluralign fit` again"
# How sure a fit is of an annotator: the largest of her responsibilities.
_SURE = ((0.99, "at least 99 % sure"), (0.9, "90 to 99 %"), (0.7, "70 to 90 %"), (0.0, "less than 70 %"))


@dataclass(frozen=True)
class TypeShown:
    """A type, cluster or direction: its share and people, its strongest departures from the common reward, and
    responses that it prefers more, and less, than everybody together."""

    name: str
    share: float | None
    people: int | None
    more: tuple[str, ...]
    less: tuple[str, ...]
    more_words: tuple[str, ...]
    less_words: tuple[str, ...]
    favourites: tuple[str, ...]
    chart: Chart | None


@dataclass(frozen=True)
class FitShown:
    """A `fit` folder on the page."""

    name: str
    anchor: str
    method: str
    title: str
    told: Mapping[str, str]
    warnings: tuple[str, ...]
    types: tuple[TypeShown, ...]
    charts: tuple[Chart, ...]


def fit_shown(result: Result, place: int, sources: Sources) -> FitShown:
    """fit.json and annotators.parquet of a folder."""
    path = result.folder / "fit.json"
    fit = sources.json(path, _AGAIN)
    if fit.get("format") != FORMAT:
        raise InputError(f"has format {fit.get('format')!r}, this version reads {FORMAT}", file=path, fix=_AGAIN)
    require_unchanged(result.folder, "fit.json", "annotators.parquet")
    name = result.name.replace("/", "-")
    try:
        charts = [_scores(fit, users, name) for users in ("known_users", "unseen_users")]
        charts += [_few_shot(fit, name), _selection(fit, name)]
        if "regret" in fit:
            charts += [_regret(fit, name), _weights(fit, name), _front(fit, name)]
        charts.append(_responsibilities(result.folder / "annotators.parquet", sources, name))
        return FitShown(
            result.name, f"fit{place}", str(fit["method"]), str(fit["titles"].get(fit["method"], fit["method"])),
            _told(fit), tuple(clipped(warning) for warning in fit["warnings"]),
            tuple(_type(group, number, name) for number, group in enumerate(fit["groups"][:GROUPS])),
            tuple(chart for chart in charts if chart is not None),
        )  # fmt: skip
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise InputError(f"is not a fit of this version ({error})", file=path, fix=_AGAIN) from error


def _told(fit: Mapping[str, Json]) -> dict[str, str]:
    counts = fit["counts"]
    told = {
        "answers it learned from": f"{counts['train_pairs']:,}", "people": f"{counts['annotators']:,}",
        "items": f"{counts['items']:,}", "features": clipped(", ".join(map(str, counts["features"])), 400),
        "held out": str(counts["held_out"]), "likelihood": str(counts.get("likelihood", "")),
        "chosen by": str(fit["selection"]["by"]),
    }  # fmt: skip
    if len(fit["mixture"]) > 1:
        told["mixture"] = ", ".join(f"{share:.3f}" for share in fit["mixture"])
    if fit.get("premise"):
        told["low rank"] = str(fit["premise"])
    return told


def _type(group: Mapping[str, Json], number: int, name: str) -> TypeShown:
    label = f"type {group['group']}" if isinstance(group["group"], int) else str(group["group"])
    traits = group["against_pooled"][:12]
    chart = None
    if traits:
        rows = [Row(str(t["feature"]), t["coefficient"], _two_errors(t), number) for t in traits]
        chart = rows_chart(rows, f"{label}: departures from the common reward",
                           "coefficient minus the common one, a standard deviation of the feature",
                           f"{name}-type-{number + 1}.csv", bars=True)  # fmt: skip
    shown = group.get("examples") or {}
    texts = {key: tuple(clipped(text) for text in shown.get(key, ())) for key in
             ("more", "less", "more_words", "less_words")}  # fmt: skip
    return TypeShown(
        label, group.get("share"), group.get("n_annotators"), **texts,
        favourites=tuple(clipped(item, 400) for item in group.get("favourite_items", ())[:6]), chart=chart,
    )  # fmt: skip


def _two_errors(trait: Mapping[str, Json]) -> tuple[float, float] | None:
    if trait.get("standard_error") is None:
        return None
    value, error = float(trait["coefficient"]), float(trait["standard_error"])
    return value - 2 * error, value + 2 * error


def _scores(fit: Mapping[str, Json], users: str, name: str) -> Chart | None:
    """Held-out log-likelihood of the method and everything beside it."""
    rows = {fit["method"]: fit["test"], **{k: v for k, v in fit["baselines"].items() if k not in ("coin", "length")}}
    shown = []
    for label, row in rows.items():
        score = row[users]
        if score["n_pairs"] and score["log_likelihood"] is not None:
            words = str(fit["titles"].get(label, label))
            own = label == fit["method"]
            shown.append(Row(words, score["log_likelihood"], _pair(score["log_likelihood_interval"]), 0 if own else 6))
    if not shown:
        return None
    who = {"known_users": "held-out answers of known people", "unseen_users": "people nobody trained on"}[users]
    return rows_chart(shown, f"Scores: {who}", "log-likelihood, nats an answer (95 % over people)",
                      f"{name}-scores-{users}.csv", lines=(Line(-float(np.log(2)), "a coin"),)
                      if fit["counts"].get("answers", "pairs") == "pairs" else ())  # fmt: skip


def _pair(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (float(interval[0]), float(interval[1]))


def _few_shot(fit: Mapping[str, Json], name: str) -> Chart | None:
    rows = fit["few_shot"]
    if len(rows) < 2:
        return None
    x = [row["answers_shown"] for row in rows]
    spans = [_pair(row["gain_over_pooled_interval"]) or (None, None) for row in rows]
    curve = Curve(str(fit["titles"].get(fit["method"], fit["method"])), x, [row["gain_over_pooled"] for row in rows],
                  [low for low, _ in spans], [high for _, high in spans])  # fmt: skip
    return curves_chart([curve], "New people, after so many answers of theirs",
                        ("answers shown", "gain over the common reward, nats an answer"), f"{name}-new-people.csv",
                        lines=(Line(0.0, "the common reward"),))  # fmt: skip


def _selection(fit: Mapping[str, Json], name: str) -> Chart | None:
    """The best of each size by the answers held out of training."""
    best: dict[tuple[str, int], float] = {}
    for row in fit["selection"]["candidates"]:
        key = (str(row["method"]), int(row["size"]))
        if row["held_out"] is not None:
            best[key] = max(best.get(key, -np.inf), float(row["held_out"]))
    if len(best) < 2:
        return None
    titles = fit["titles"]
    rows = [Row(f"{titles.get(method, method)}, size {size}", value, None, 0 if method == fit["method"] else 6)
            for (method, size), value in sorted(best.items())]  # fmt: skip
    return rows_chart(rows, "Choice of size and strength: the best of each size",
                      "log-likelihood of held-out training answers", f"{name}-selection.csv")  # fmt: skip


def _regret(fit: Mapping[str, Json], name: str) -> Chart:
    """What one policy for all costs each type."""
    regret = fit["regret"]
    with_pooled = regret.get("with_pooled", {}).get("regret_per_group")
    shown = [("the common policy", regret["pooled_dpo"]), ("MinMax-DPO", regret["minmax_dpo"])]
    shown += [("MinMax with the common policy mixed in", with_pooled)] if with_pooled else []
    rows = [Row(label, values[k], None, (6, 0, 4)[number], f"type {k + 1}")
            for k in range(len(regret["minmax_dpo"])) for number, (label, values) in enumerate(shown)]  # fmt: skip
    return rows_chart(rows, "Regret of one policy for all", f"regret, reward units (beta {regret['beta']:g})",
                      f"{name}-regret.csv", bars=True,
                      lines=(Line(regret["value"], "min-max value"),))  # fmt: skip


def _weights(fit: Mapping[str, Json], name: str) -> Chart:
    regret = fit["regret"]
    rows = [Row(f"type {k + 1}'s policy", weight, None, 0, "MinMax-DPO") for k, weight in
            enumerate(regret["minmax_weights"])]  # fmt: skip
    mixed = regret.get("with_pooled", {}).get("weights", ())
    rows += [Row(f"type {k + 1}'s policy" if k < len(mixed) - 1 else "the common policy", weight, None, 4,
                 "with the common policy mixed in") for k, weight in enumerate(mixed)]  # fmt: skip
    return rows_chart(rows, "Weights of the ensembles", "weight", f"{name}-weights.csv", bars=True, most=1.0)


def _front(fit: Mapping[str, Json], name: str) -> Chart | None:
    regret = fit["regret"]
    K = len(regret["minmax_weights"])
    own = np.asarray(regret["matrix"], dtype=float) / np.asarray(regret["priorities"], dtype=float)[:, None]
    groups = np.column_stack([own, regret["pooled_dpo"]])
    shares = np.asarray(fit["mixture"], dtype=float)
    mixtures = {"MinMax-DPO": np.append(regret["minmax_weights"], 0.0)}
    return front_chart(
        groups, [*(f"type {k + 1}'s policy" for k in range(K)), "the common policy"], shares,
        [f"type {k + 1}" for k in range(K)], mixtures, "Pareto front of mixing policies, and the fairness rules",
        f"{name}-front.csv",
    )  # fmt: skip


def responsibility_chart(gamma: Any, people: Sequence[str], names: Sequence[str], name: str) -> Chart:
    """How many annotators are in which group, and how surely; every annotator's numbers as CSV."""
    likeliest, surest = gamma.argmax(axis=1), gamma.max(axis=1)
    rows = []
    for k, group in enumerate(names[:GROUPS]):
        over = np.inf
        for least, words in _SURE:
            count = int(((likeliest == k) & (surest >= least) & (surest < over)).sum())
            over = least
            rows.append(Row(words, float(count), None, k, group))
    chart = rows_chart(rows, "Responsibilities: who belongs where, and how surely", "people", name, bars=True)
    table = csv_text(
        ("annotator_id", *names), ((who, *map(float, row)) for who, row in zip(people, gamma, strict=True))
    )
    return Chart(chart.svg, chart.title, chart.told, table, name)


def _responsibilities(path: Path, sources: Sources, name: str) -> Chart | None:
    read = read_responsibilities(path, sources)
    if read is None:
        return None
    people, gamma, columns = read
    return responsibility_chart(gamma, people, [f"type {column.removeprefix('group_')}" for column in columns],
                                f"{name}-responsibilities.csv")  # fmt: skip


def read_responsibilities(path: Path, sources: Sources) -> tuple[list[str], Any, list[str]] | None:
    """(annotators, responsibilities (n, K), names of the columns) of a table; None where it has no groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    sources.note(path)
    require_utf8(path)
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError("cannot be read as a table", file=path, fix="run the command that made it again") from error
    columns = [column for column in table.column_names if column.startswith("group_")]
    if not columns or "annotator_id" not in table.column_names or not table.num_rows:
        return None
    table = table.slice(0, PEOPLE)
    gamma = np.column_stack([np.asarray(table[column].to_pylist(), dtype=float) for column in columns])
    return [str(who) for who in table["annotator_id"].to_pylist()], gamma, columns
