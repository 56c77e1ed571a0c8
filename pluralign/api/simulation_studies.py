"""Simulation studies: the shipped ones, runs, and what they measured."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown, plotted
from pluralign.api.study_settings import override
from pluralign.api.study_states import StudyPlan, StudyStatus
from pluralign.backends import backends
from sim.errors import InputError
from sim.files.locks import held
from sim.running.engines import EngineName, available_cores
from sim.running.places import lasting
from sim.studies.cells import Counts, Failed, StudyRun
from sim.studies.cells import run_study as run_cells
from sim.studies.folder import merge_folders, run_in_folder
from sim.studies.planning import plan_study as plan
from sim.studies.precision import standard_error, yes_no
from sim.studies.reference import reference_of
from sim.studies.report import SavedStudy, StudyReport, draw_figure, require_same_study
from sim.studies.request import Request
from sim.studies.results import Results
from sim.studies.seeds import from_to, replicates_a_cell
from sim.studies.shipped import shipped_studies, study_file
from sim.studies.spec import StudySpec, load_spec


@dataclass(frozen=True)
class ShippedStudy:
    """A study that comes with the package: `cells` settings, each over `replicates` seeds.  file: its YAML."""

    name: str
    title: str
    experiment: str
    cells: int
    replicates: int
    file: Path


class ShippedStudies(Shown, Mapping[str, ShippedStudy]):
    """The shipped studies by name."""

    def __init__(self, found: Mapping[str, ShippedStudy]) -> None:
        self._found = dict(found)

    def __getitem__(self, name: str) -> ShippedStudy:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def as_dict(self) -> dict[str, Any]:
        return {"studies": [{**vars(study), "file": str(study.file)} for study in self.values()]}

    def page(self) -> Page:
        rows = [(study.name, f"{study.cells} x {study.replicates}", study.title) for study in self.values()]
        return Page(f"{len(self)} studies", ("study", "cells x seeds", "title"), rows)


def studies() -> ShippedStudies:
    """The studies that come with the package: name -> file and title, for `run_study`."""
    found = {}
    for name, file in shipped_studies().items():
        spec = load_spec(file)
        cells = math.prod(len(values) for values in spec.grid.values())
        found[name] = ShippedStudy(name, spec.title, spec.experiment, cells, spec.replicates, file)
    return ShippedStudies(found)


class StudyResult(Shown):
    """What a study measured.  results: one row a number, long; overview: the experiment's own table."""

    def __init__(self, report: StudyReport | SavedStudy, folder: Path | None = None) -> None:
        self._report, self.folder = report, folder

    @property
    def results(self) -> Results:
        return self._report.run.results if isinstance(self._report, StudyReport) else self._report.results

    @property
    def overview(self) -> str:
        return self._report.overview if isinstance(self._report, StudyReport) else self._report.table()

    @property
    def skipped(self) -> dict[str, str]:
        """Cell -> why it could not run here."""
        return dict(
            self._report.run.skipped if isinstance(self._report, StudyReport) else self._report.study["skipped"]
        )

    @property
    def run(self) -> StudyRun | None:
        """The run, with its times; None for a study that was read."""
        return self._report.run if isinstance(self._report, StudyReport) else None

    @property
    def failed(self) -> tuple[Failed, ...]:
        """Replicates that raised, each with what; none in a study that was read (see the rows' status)."""
        return () if self.run is None else self.run.failed

    def to_arrow(self) -> Any:
        """The results as a pyarrow.Table."""
        return self.results.to_arrow()

    def to_pandas(self) -> Any:
        """The results as a pandas.DataFrame; needs pandas."""
        return self.to_arrow().to_pandas()

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign study --json` prints; of a study that was read, its resolved configuration."""
        out = None if self.folder is None else str(self.folder)
        if isinstance(self._report, StudyReport):
            return {**self._report.as_json(), "out": out}
        return {"study": dict(self._report.study)}

    def save(self, folder: str | Path) -> None:
        """results.parquet, study.json, summary.md, comparison.md and figures, as `pluralign study` writes them.

        Errors: InputError where the folder holds another study, or anything else; and, once the numbers are written,
        where the experiment's table or figure cannot be made of them."""
        if not isinstance(self._report, StudyReport):
            raise InputError("only a study just run can be saved", fix=f"copy {self.folder}")
        place = Path(folder)
        require_same_study(place, self._report.run.spec)
        with held(place):
            self._report.write(place)
            self.folder = place
            mistakes = self._report.mistakes(place)
        if mistakes:
            raise InputError(" and ".join(mistakes), fix=f"the numbers are in {place}")

    def page(self) -> Page:
        if isinstance(self._report, StudyReport):
            factors, title = tuple(self._report.run.spec.grid), self._report.run.spec.title
        else:
            factors, title = self._report.factors, str(self._report.study["title"])
        rows, shares = [], yes_no(self.results)
        for key, own in self.results.measured().wholes().by(*factors, "method", "metric").items():
            values = own.replicate_means()
            error = standard_error(values, share=key[-1] in shares)
            rows.append((*(value if isinstance(value, int | float) else str(value) for value in key),
                         float(values.mean()), None if math.isnan(error) else error))  # fmt: skip
        notes = list(self._report.remarks(self.folder or Path())) if isinstance(self._report, StudyReport) else []
        if isinstance(self._report, StudyReport) and self._report.compared:
            report = self._report
            notes.append(f"{report.agreeing} of {len(report.compared)} numbers within 3 joint standard errors "
                         "of the reference")  # fmt: skip
        head = (*factors, "method", "metric", "mean", "s.e.")
        seeds = from_to(replicates_a_cell(self.results.measured()), " seeds")
        return Page(f"{title}; {len(self.results)} rows, {seeds}", head, rows, notes)

    def plot(self, figure: str | None = None) -> Any:
        """Axes of one of the experiment's figures; None: the one the study names."""
        report = self._report
        if isinstance(report, StudyReport):
            spec = report.run.spec
            name, definition, own = spec.experiment, report.run.record.definition, spec.figure
        else:
            name, definition, own = report.name, report.require_definition(), report.figure
        figures = definition.figures
        chosen = figure or own
        if chosen is None or chosen not in figures:
            known = ", ".join(figures) or "none"
            raise InputError(f"figure: there is no '{chosen}'", fix=f"choose one of those of {name}: {known}")
        if not len(self.results.measured()):
            raise InputError("figure: nothing was measured", fix="see .skipped for the reasons")
        with tempfile.TemporaryDirectory() as nowhere:
            return plotted(lambda: _drawn(draw_figure(name, definition, chosen, self.results, Path(nowhere))))


def _drawn(files: Sequence[Path]) -> None:
    """Drawn for the screen; the files of an experiment that writes its own way are shown as images."""
    from matplotlib.image import imread

    from sim.files.figure_files import subplots

    for path in files:
        if path.suffix == ".png":
            _, axis = subplots(layout="constrained")
            axis.imshow(imread(path))
            axis.set_axis_off()


# Long for its arguments, the options of `pluralign study`.
@plain_numbers
def run_study(
    study: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    workers: int | None = None,
    engine: EngineName = "joblib",
    scheduler: str | None = None,
    tls: tuple[str | Path, str | Path, str | Path] | None = None,
    batch: int | None = None,
    time_out: float | None = None,
    target_error: float | Mapping[str, float] | None = None,
    cells: str | Path | None = None,
    shard: tuple[int, int] = (1, 1),
    out: str | Path | None = None,
    fresh: bool = False,
    progress: Callable[[str], None] | None = None,
) -> StudyResult:
    """Run a grid of cells, each over many seeds.

    study: a YAML file, or the name of a shipped one (`studies`).  settings: keys of the file to change, e.g.
    {"replicates": 5}.  seed: of every random stream; None: the file's.  workers: processes, None: one a core; numbers
    do not depend on them.  engine: local, joblib or dask (scheduler: its address; tls: files of the authority, the
    client's certificate and its key).  batch: replicates a task, None: about two seconds of them.  time_out: seconds a
    replicate may take before it is ended and counted as failed.  target_error: the standard error of the mean, of all
    metrics or by metric, at which a cell ends; `replicates` is then the most.  cells: where finished replicates are
    kept, a folder or an address of fsspec; None: in `out`.  shard: (i, n), the i-th of n parts, for `merge_studies`.
    out: a folder to write and to resume from; None: nothing is kept but the result.  fresh: compute again what lies
    there.  progress: called with a line now and then, e.g. print.
    """
    request = _request(study, settings, seed, target_error, workers, engine=engine, scheduler=scheduler,
                       tls=None if tls is None else tuple(map(str, tls)), batch=batch, time_out=time_out,
                       cells=None if cells is None else lasting(cells), shard=shard)  # fmt: skip
    return _run(request, out, fresh, progress)


@plain_numbers
def resume_study(
    folder: str | Path,
    *,
    workers: int | None = None,
    engine: EngineName | None = None,
    scheduler: str | None = None,
    tls: tuple[str | Path, str | Path, str | Path] | None = None,
    progress: Callable[[str], None] | None = None,
) -> StudyResult:
    """Go on with a study that `run_study(out=folder)` or `pluralign study` began, as it was asked for; who does the
    work may be another now."""
    request = Request.read(Path(folder)).by(workers, engine, scheduler, None if tls is None else tuple(map(str, tls)))
    return _run(request, folder, False, progress)


def merge_studies(*folders: str | Path, out: str | Path) -> StudyResult:
    """The shares of a study (`run_study(shard=(i, n), out=...)`) as one in `out`, bit for bit what one run writes."""
    if not folders:
        raise InputError("merge_studies needs the folders of a study's shares", fix="name them")
    return StudyResult(merge_folders([Path(folder) for folder in folders], Path(out), backends()), Path(out))


def study_status(folder: str | Path) -> StudyStatus:
    """How far the study in a folder is: `state`, `done` of `total` replicates, `failed`, `cells`, and by what was
    `changed` since it cannot simply go on; nothing is run."""
    return StudyStatus.read(Path(folder))


@plain_numbers
def plan_study(
    study: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    workers: int | None = None,
    time_out: float | None = None,
    target_error: float | Mapping[str, float] | None = None,
    cells: str | Path | None = None,
    shard: tuple[int, int] = (1, 1),
    out: str | Path | None = None,
    fresh: bool = False,
) -> StudyPlan:
    """What a study will take: replicates, memory, and seconds as measured on a replicate of some cells.

    out: a folder in which some of it may be finished already.  fresh: that is not taken.  Other arguments: as
    `run_study`.
    """
    with tempfile.TemporaryDirectory() as nowhere:
        request = _request(study, settings, seed, target_error, workers, time_out=time_out,
                           cells=None if cells is None else lasting(cells), shard=shard)  # fmt: skip
        found = plan(Path(nowhere) if out is None else Path(out), request, backends(), fresh=fresh)
    return StudyPlan(**vars(found))


def _request(
    study: str | Path,
    settings: Mapping[str, Any] | None,
    seed: int | None,
    target_error: float | Mapping[str, float] | None,
    workers: int | None,
    **others: Any,
) -> Request:
    changed = dict(settings or {})
    if target_error is not None:
        changed["target_error"] = target_error
    overrides = tuple(override(key, value) for key, value in changed.items())
    return Request(str(study_file(study)), overrides, seed,
                   workers=available_cores() if workers is None else workers, **others)  # fmt: skip


def _run(request: Request, out: str | Path | None, fresh: bool, progress: Callable[[str], None] | None) -> StudyResult:
    def on_progress(counts: Counts) -> None:
        if progress is not None and counts.left is not None:
            progress(f"[{counts.done}/{counts.total}] about {counts.left:.0f} s left")

    if out is not None:
        return StudyResult(
            run_in_folder(Path(out), request, backends(), fresh=fresh, on_progress=on_progress,
                          on_note=progress or (lambda text: None)),
            Path(out),
        )  # fmt: skip
    spec = request.spec()
    reference = reference_of(spec)
    with tempfile.TemporaryDirectory() as nowhere:
        found = run_cells(
            spec, backends(), cells=request.place(Path(nowhere)), workers=request.workers, engine=request.engine,
            scheduler=request.scheduler, tls=request.security, batch=request.batch, time_out=request.time_out,
            fresh=fresh, share=request.share, tidy=False, on_progress=on_progress,
        )  # fmt: skip
        return StudyResult(StudyReport(found, reference))


def load_study(folder: str | Path) -> StudyResult:
    """A study that `pluralign study` or `run_study(out=...)` wrote."""
    return StudyResult(SavedStudy.read(Path(folder)), Path(folder))


__all__ = [
    "ShippedStudies", "ShippedStudy", "StudyPlan", "StudyResult", "StudySpec", "StudyStatus", "load_study",
    "merge_studies", "plan_study", "resume_study", "run_study", "studies", "study_status",
]  # fmt: skip
