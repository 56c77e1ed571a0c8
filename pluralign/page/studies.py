"""A study under the headings of ADEMP: aims, data-generating mechanisms, estimands, methods, performance measures."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from pluralign.page.drawn import drawn_charts
from pluralign.page.folders import Result, Sources
from pluralign.page.limits import ROWS, clipped, first
from pluralign.page.svg import Chart, csv_text
from sim.errors import InputError
from sim.files.atomic import Json
from sim.studies.precision import half_width, standard_error, yes_no
from sim.studies.registry import EXPERIMENTS, find_experiment
from sim.studies.report import SavedStudy
from sim.studies.results import Results
from sim.studies.seeds import from_to, replicates_a_cell
from sim.studies.shipped import shipped_studies


@dataclass(frozen=True)
class Measure:
    """One metric of one method in one cell: its mean over replicates, the Monte-Carlo standard error of that mean, and
    how many replicates there are.  None: not known."""

    cell: tuple[str, ...]
    method: str
    metric: str
    mean: float
    error: float | None
    half: float | None
    replicates: int


@dataclass(frozen=True)
class StudyShown:
    """A `study` folder on the page.  factors: name -> levels; settings: what all cells share, defaults included."""

    name: str
    anchor: str
    title: str
    experiment: str
    aims: str
    world: str
    estimand: str
    factors: Mapping[str, str]
    settings: Mapping[str, str]
    seed: str
    replicates: str
    n_cells: int
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    measures: Sequence[Measure]
    left_out: int
    csv: str
    charts: tuple[Chart, ...]
    undrawn: str
    failed: int
    skipped: int


def study_shown(result: Result, place: int, sources: Sources) -> StudyShown:
    """results.parquet and study.json of a folder."""
    path = result.folder / "study.json"
    sources.note(path)
    sources.note(result.folder / "results.parquet")
    try:
        return _shown(result, place)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"is not a study of this version ({error})", file=path, fix="run `pluralign study` again"
        ) from error


def _shown(result: Result, place: int) -> StudyShown:
    saved = SavedStudy.read(result.folder)
    definition = saved.definition
    results, study = saved.results, saved.study
    measures = _measures(results, saved.factors)
    shown, left_out = first(measures, ROWS)
    charts, undrawn = _charts(saved, place, result.name)
    defaults = {} if definition is None else {field.name: field.default for field in fields(definition.setting)}
    fixed = {**defaults, **study.get("settings", {})}
    return StudyShown(
        name=result.name, anchor=f"study{place}", title=clipped(study.get("title", saved.name), 300),
        experiment=saved.name, aims=_aims(saved), world=_words(definition and definition.setting),
        # What a replicate measures is what its function says of itself.
        estimand=_prose(_words(definition and definition.run)),
        factors={factor: ", ".join(map(_plain, levels)) for factor, levels in study["grid"].items()},
        settings={name: _plain(value) for name, value in fixed.items() if name not in study["grid"]},
        seed=str(study.get("seed", "")), n_cells=len(set(results["cell_id"])),
        replicates=from_to(replicates_a_cell(results, study.get("skipped", ()))), methods=_named(results, "method"),
        metrics=_named(results.wholes(), "metric"),
        measures=shown, left_out=left_out, csv=_csv(measures, saved.factors), charts=charts, undrawn=undrawn,
        # Of what failed the first hundred are listed, and all are counted; files of before have the list alone.
        failed=int(study.get("n_failed", len(study.get("failed", ())))), skipped=len(study.get("skipped", ())),
    )  # fmt: skip


def _named(results: Results, column: str) -> tuple[str, ...]:
    """Without the empty name of what failed or was skipped."""
    return tuple(name for name in dict.fromkeys(results[column]) if name)


def _words(of: object) -> str:
    return "" if of is None else inspect.getdoc(of) or ""


def _plain(value: Json) -> str:
    if isinstance(value, list | tuple):
        return clipped(", ".join(map(str, value)), 300)
    return "–" if value is None else clipped(value, 300)


def _aims(saved: SavedStudy) -> str:
    """What the study file says before anything else, of one of ours that has this title; else the experiment's own
    words."""
    for file in shipped_studies().values():
        text = file.read_text(encoding="utf-8")
        if f"title: {saved.study.get('title')}\n" in text and f"experiment: {saved.name}\n" in text:
            lines = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
            said = " ".join(line for line in lines if not line.startswith("pluralign "))
            if said:
                return said
    if EXPERIMENTS.is_ours(saved.name):
        return _prose(inspect.getdoc(inspect.getmodule(find_experiment(saved.name).run)) or "")
    return ""


def _prose(text: str) -> str:
    """Paragraphs without the line breaks of a source."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _measures(results: Results, factors: Sequence[str]) -> list[Measure]:
    found, shares = [], yes_no(results)
    for key, own in results.measured().wholes().by(*factors, "method", "metric").items():
        *cell, method, metric = key
        values, share = own.replicate_means(), metric in shares
        error, half = (None if math.isnan(known) else known for known in (
            standard_error(values, share=share), half_width(values, share=share)))  # fmt: skip
        found.append(Measure(tuple(map(_plain, cell)), clipped(method, 200), clipped(metric, 200), float(values.mean()),
                             error, half, len(values)))  # fmt: skip
    return found


def _csv(measures: Sequence[Measure], factors: Sequence[str]) -> str:
    head = (*factors, "method", "metric", "mean", "standard_error", "half_width_95", "replicates")
    return csv_text(head, ((*m.cell, m.method, m.metric, m.mean, m.error, m.half, m.replicates) for m in measures))


def _charts(saved: SavedStudy, place: int, name: str) -> tuple[tuple[Chart, ...], str]:
    """The study's own figure; a word on why there is none."""
    if saved.definition is None:
        return (), f"'{saved.name}' cannot be imported here ({clipped(saved.unknown)}), and only it can draw it"
    try:
        charts = tuple(drawn_charts(saved.draw, f"study{place}", name.replace("/", "-")))
    except Exception as error:  # whatever a figure makes of results that are not what it was written for
        # One of somebody's own comes as a line that says where (`sim.plugins.blaming`).
        said = error.problem if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return (), f"the figure cannot be drawn from these results ({clipped(said, 300)})"
    return charts, "" if charts else "this study draws no figure from these results"
