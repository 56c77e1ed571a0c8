"""Run a study: (cell, replicate) tasks, each kept when it is finished and found again after a kill."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.plugins import looking_in, place_of
from sim.running.engines import EngineName, run_tasks
from sim.running.fingerprint import code_fingerprint, content_of
from sim.running.records import Records
from sim.streams import Stream
from sim.studies.experiment import Backends, Measurement
from sim.studies.registry import find_experiment, sources_of
from sim.studies.results import COLUMNS, Results
from sim.studies.spec import StudySpec


@dataclass(frozen=True)
class _Task:
    """Picklable: one replicate of one cell.

    folder: where modules of one's own are looked for; digest: of their sources as this run began.  values: of the
    setting, which a worker makes itself: its class may be nobody's but the folder's.
    """

    experiment: str
    folder: Path
    digest: str
    cell_id: str
    values: Mapping[str, Any]
    seed: int
    replicate: int
    backends: Backends

    @property
    def stream(self) -> Stream:
        # The cell is the experiment, not its setting: cells of one study are compared on the same draws.
        return Stream(self.seed, f"study/{self.experiment}", self.replicate)


@dataclass(frozen=True)
class _Cell:
    """skipped: why it cannot run here, or None."""

    cell_id: str
    factors: Mapping[str, Any]
    setting: Any
    skipped: str | None

    @property
    def values(self) -> dict[str, Any]:
        return {field.name: getattr(self.setting, field.name) for field in fields(self.setting) if field.init}


@dataclass(frozen=True)
class Failed:
    """One replicate that raised; what it raised in one line.  Never kept: it is tried again by the next run."""

    cell_id: str
    replicate: int
    error: str


@dataclass(frozen=True)
class StudyRun:
    """results: one row a measurement, in the order of cells, replicates and the experiment.  skipped: cell -> reason.
    resumed: tasks found finished.  notices: a line each, about finished tasks that could not be used.  failed: in the
    order of tasks; each is one row without a value in results, its status "failed: ..."."""

    spec: StudySpec
    results: Results
    skipped: Mapping[str, str]
    resumed: int
    tasks: int
    seconds: float
    notices: tuple[str, ...] = ()
    failed: tuple[Failed, ...] = ()


def run_study(
    spec: StudySpec,
    backends: Backends,
    *,
    cells: Path,
    workers: int = 1,
    engine: EngineName = "joblib",
    scheduler: str | None = None,
    fresh: bool = False,
    on_progress: Callable[[int, int, float], None] | None = None,
) -> StudyRun:
    """Every cell x replicate; numbers do not depend on workers, engine or interruptions (wall times do). A replicate
    that raises is `failed`, the others go on; bad input (InputError) ends the study.

    cells: folder of finished tasks (`sim.running.records`), keyed by setting, seed, replicate and code; read again
    unless `fresh`.  on_progress(done, total, seconds left).
    """
    began = time.monotonic()
    grid = _cells(spec, backends)
    tasks, keys = [], []
    for cell in grid:
        if cell.skipped is None:
            code, own = _code(spec, cell.setting, backends), sources_of(spec.experiment, cell.setting, spec.folder)
            read = [content_of(file) for file in spec.definition.files(cell.setting)]
            for replicate in range(spec.replicates):
                tasks.append(_Task(
                    spec.experiment, spec.folder, own.digest, cell.cell_id, cell.values, spec.seed, replicate, backends,
                ))  # fmt: skip
                keys.append(f"{cell.cell_id}-{replicate}-{_digest([spec.seed, code, own.digest, *read], 6)}")
    with Records(cells) as records:
        found = records.find(() if fresh else keys)
        answers = {i: _measurements(found.contents[key]) for i, key in enumerate(keys) if key in found.contents}
        resumed = len(answers)
        # Replicates first, so that an interrupted study has every cell; the slowest backend is not left to the end.
        waiting = sorted((i for i in range(len(tasks)) if i not in answers), key=lambda i: (tasks[i].replicate, -i))

        failed: dict[int, Failed] = {}

        def arrived(position: int, measured: list[Measurement] | str) -> None:
            index = waiting[position]
            if isinstance(measured, str):
                failed[index] = Failed(tasks[index].cell_id, tasks[index].replicate, measured)
                answers[index] = [Measurement("", "", None, 0.0, f"failed: {measured}")]
            else:
                answers[index] = measured
                records.add(keys[index], [astuple(row) for row in measured])
            if on_progress is not None:
                done = len(answers) - resumed
                left = (time.monotonic() - began) / done * (len(waiting) - done)
                on_progress(len(answers), len(tasks), left)

        run_tasks(
            _run, [tasks[i] for i in waiting], workers=workers, engine=engine, scheduler=scheduler, on_done=arrived
        )
        records.merge()
    results = _results(spec, grid, [answers[i] for i in range(len(tasks))])
    skipped = {cell.cell_id: cell.skipped for cell in grid if cell.skipped is not None}
    return StudyRun(
        spec, results, skipped, resumed, len(tasks), time.monotonic() - began, found.notices,
        tuple(failed[index] for index in sorted(failed)),
    )  # fmt: skip


def _run(task: _Task) -> list[Measurement] | str:
    """The replicate's numbers, or what it raised."""
    with looking_in(task.folder):
        definition = find_experiment(task.experiment, task.folder)
        setting = definition.setting(**task.values)
        if sources_of(task.experiment, setting, task.folder).digest != task.digest:
            raise InputError(
                f"experiment '{task.experiment}': its sources changed while the study ran",
                fix="run the same command again; what the new sources decide is computed anew",
            )
        try:
            measured = definition.run(setting, task.stream, task.backends)
            found = [replace(row, value=_number(row.value)) for row in measured]
            # Held against what JSON can keep here, where it is this replicate's failure and not the study's.
            json.dumps([(row.method, row.metric, row.value, row.wall_s, row.status) for row in found], allow_nan=False)
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # one replicate's failure, whatever it is, is not the study's
            return " ".join(f"{type(error).__name__}{place_of(error)}: {error}".split())[:300]
        return found


def _number(value: Any) -> Any:
    """NumPy's numbers as plain ones, which JSON can keep."""
    return value.item() if isinstance(value, np.generic) else value


def _cells(spec: StudySpec, backends: Backends) -> list[_Cell]:
    """The grid's cells in order."""
    out = []
    for factors, setting in spec.cells():
        try:
            reason = spec.definition.missing(setting, backends)
        except ValueError as error:
            raise InputError(str(error)) from error
        out.append(_Cell(_digest([spec.experiment, asdict(setting)], 8), factors, setting, reason))
    return out


def _code(spec: StudySpec, setting: Any, backends: Backends) -> str:
    """Of our sources and the backend's that decide a cell's numbers."""
    name = spec.definition.backend(setting)
    return code_fingerprint() if name is None else code_fingerprint(backends[name].sources, backends[name].packages)


def _results(spec: StudySpec, grid: Sequence[_Cell], answers: Sequence[list[Measurement]]) -> Results:
    """Rows by cell and replicate; one empty row a replicate of a skipped cell.  answers: of the others, in order."""
    columns: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, *spec.grid)}
    following = iter(answers)
    for cell in grid:
        for replicate in range(spec.replicates):
            rows = next(following) if cell.skipped is None else [Measurement("", "", None, 0.0, "skipped")]
            shared = {
                "cell_id": cell.cell_id,
                "replicate": replicate,
                "seed_key": f"{spec.seed}/study/{spec.experiment}/{replicate}",
            }
            for row in rows:
                for name, value in ({**shared, **vars(row), **cell.factors}).items():
                    columns[name].append(value)
    return Results(columns)


def _digest(content: Any, size: int) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=size).hexdigest()


def _measurements(content: Sequence[Sequence[Any]]) -> list[Measurement]:
    return [Measurement(*row) for row in content]
