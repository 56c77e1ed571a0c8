"""Run a study: batches of replicates, each replicate kept by its worker when it is finished and found after a kill.

The study file and the place of finished work come in; what is not there yet goes to the engine in batches, made as
workers come free; workers write what they find to the place; and from there the results are written, in order and some
thousand rows at a time. This process holds cells, intervals of finished replicates and stretches of files.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sim.counted import counted
from sim.errors import InputError
from sim.running.engines import Engine, EngineName, Tls, Workers, engine_for
from sim.running.generations import ALL
from sim.running.index import Index, begin_anew, merge
from sim.running.places import Folder, Store, place_at
from sim.running.workers import require_seconds
from sim.studies.batches import Batch, Ran, measurements, run_batch
from sim.studies.batching import Batches
from sim.studies.experiment import Backends, Measurement
from sim.studies.grid import Cell, Goals, Share, batch_of, cells_of
from sim.studies.record import Record, record_of
from sim.studies.results import Results
from sim.studies.results_file import results_file
from sim.studies.spec import StudySpec
from sim.studies.target import Above

# The part of a study that is all of it.
WHOLE = Share()
# How many failures are named; all are counted, and each is a row of the results.
_NAMED = 100
# What never varied is judged as if it could still differ by 1 or by its size: it ends late.
_CONSTANT = "; all its values are alike: if they must be, give it a target of its own (target_error: {METRIC: E})"


@dataclass(frozen=True)
class Failed:
    """One replicate that failed, and why in one line.  It is tried again by the next run."""

    cell_id: str
    replicate: int
    error: str


@dataclass(frozen=True)
class StudyRun:
    """record: what it came of.  results: one row a measurement, in the order of cells, replicates and the experiment.
    skipped: cell -> reason.  resumed: replicates found finished, of `tasks`.  notices: a line each, about finished work
    that could not be used.  failed: the first of `n_failed`, in the order of results; each is one row without a value,
    its status "failed: ...".  above_target: cell -> the number that is farthest from its target error, where all
    replicates did not bring it there."""

    spec: StudySpec
    record: Record
    results: Results
    skipped: Mapping[str, str]
    resumed: int
    tasks: int
    seconds: float
    notices: tuple[str, ...] = ()
    failed: tuple[Failed, ...] = ()
    n_failed: int = 0
    above_target: Mapping[str, Above] = field(default_factory=dict)

    @property
    def missed(self) -> str:
        """In a line which cells ended above their target error; nothing where none did."""
        if not self.above_target:
            return ""
        cell, worst = next(iter(self.above_target.items()))
        of = f"of '{worst.method}' " if worst.method else ""
        return (
            f"{counted(len(self.above_target), 'cells')} of the study ended at {self.spec.replicates:,} replicates "
            f"above the target error; the first, {cell}: {worst.metric} {of}has {worst.error:.3g}, asked "
            f"{worst.target:g}" + (_CONSTANT if worst.constant else "")
        )


@dataclass
class Counts:
    """How far a run is. total: at most, where it stops at a target error.  left: seconds.  by_series: finished."""

    total: int
    done: int = 0
    failed: int = 0
    left: float | None = None
    by_series: dict[str, int] = field(default_factory=dict)


def run_study(
    spec: StudySpec,
    backends: Backends,
    *,
    cells: str | Path,
    workers: int = 1,
    engine: EngineName = "joblib",
    scheduler: str | None = None,
    tls: Tls | None = None,
    batch: int | None = None,
    time_out: float | None = None,
    fresh: bool = False,
    share: Share = WHOLE,
    tidy: bool = True,
    table: Path | None = None,
    grid: Sequence[Cell] | None = None,
    on_progress: Callable[[Counts], None] = lambda counts: None,
) -> StudyRun:
    """Every cell x replicate of the share; numbers do not depend on workers, engine or interruptions (wall times do).
    A replicate that raises, hangs or takes its process along is `failed`, the others go on; bad input (InputError)
    ends the study.

    cells: the place of finished replicates, a folder or an address of fsspec; if `fresh`, what is there of the share
    counts no more, for this run and for any other (`anew`).
    batch: replicates a task (None: about two seconds of them).  time_out: seconds a replicate may take.  tidy: in the
    end one file is made of the folder's many; not where other runs work too.  table: the file of results; None: they
    are kept only as long as what is returned.  grid: `cells_of(spec, backends)`, where it is known.
    """
    began, record = time.monotonic(), record_of(spec)
    who = Workers(workers, engine, scheduler, tls)
    if batch is not None and batch < 1:
        raise InputError(f"batch must be at least 1 (got {batch})")
    require_seconds("time_out", time_out)
    place = place_at(cells)
    if isinstance(place, Store):
        place.require()
    grid = cells_of(spec, backends) if grid is None else grid
    own = [cell for cell in grid if cell.skipped is None]
    if fresh:
        anew(place, own, spec, share)
    index = Index([place]).refresh()
    notices = tuple(index.notices())
    index.forget_failures()
    before = {cell.series: index.done_of(cell.series).copy() for cell in own}
    goals = Goals(spec, own, share)
    with _mark(place, who) as mark:
        templates = {
            cell.series: batch_of(spec, cell, backends, place.address, time_out=time_out, mark=mark) for cell in own
        }
        _compute(goals, index, templates, who, batch, _counting(goals, index, on_progress))
    resumed = sum(before[series].count(*bounds) for series, bounds in goals.bounds.items())
    run = replace(gathered(spec, record, grid, goals, index, table, began), resumed=resumed, notices=notices)
    if tidy and isinstance(place, Folder):
        merge(place, damaged=index.damaged)
    return run


def anew(place: Folder | Store, cells: Sequence[Cell], spec: StudySpec, share: Share) -> None:
    """What is there of the share's replicates counts no more, also where this run is killed; of the whole study all
    that was ever computed there, further replicates of a longer run among them."""
    begin_anew(place, {
        cell.series: ALL if share == WHOLE else share.replicates(number, len(cells), spec.replicates)
        for number, cell in enumerate(cells)
    })  # fmt: skip


def gathered(
    spec: StudySpec, record: Record, grid: Sequence[Cell], goals: Goals, index: Index, table: Path | None, began: float
) -> StudyRun:
    """The results of what lies there."""
    with tempfile.TemporaryDirectory() as nowhere:
        path = Path(nowhere) / "results.parquet" if table is None else table
        failed, n_failed = _write(path, spec, grid, goals, index)
        results = Results.read(path, record.resolved["settings"])
    return StudyRun(
        spec, record, results, {cell.cell_id: cell.skipped for cell in grid if cell.skipped is not None},
        goals.total - n_failed, goals.total, time.monotonic() - began, failed=failed, n_failed=n_failed,
        above_target={cell.cell_id: goals.missed[cell.series] for cell in grid if cell.series in goals.missed},
    )  # fmt: skip


def _compute(
    goals: Goals,
    index: Index,
    templates: Mapping[str, Batch],
    who: Workers,
    size: int | None,
    count: Callable[[Batch, Ran], None],
) -> None:
    """Until nothing is missing. The place alone says what is: what a worker that died had written counts."""
    with ExitStack() as opened:
        engine: Engine | None = None
        while True:
            missing = goals.missing(index)
            if missing:
                few = size is None and sum(stop - start for _, start, stop in missing) < 2
                # Another run may have begun anew meanwhile: what came of this one's then counts no more.
                now = {name: replace(own, generation=index.generation(name)) for name, own in templates.items()}
                engine = engine or opened.enter_context(engine_for(who, few=few))
                _drive(engine, missing, index, now, size, count)
                left = goals.missing(index)
                if _number(left) >= _number(missing):
                    raise InputError(
                        "finished work was written there, and is not there", file=next(iter(templates.values())).place,
                        fix="is it a folder that all workers see, and that nobody else clears?",
                    )  # fmt: skip
            elif not goals.extend(index):
                return


def _drive(
    engine: Engine,
    missing: Sequence[tuple[str, int, int]],
    index: Index,
    templates: Mapping[str, Batch],
    size: int | None,
    count: Callable[[Batch, Ran], None],
) -> None:
    batches = Batches(templates, missing, lambda: engine.slots, size)

    def arrived(batch: Batch, ran: Ran) -> None:
        batches.learn(batch, ran)
        count(batch, ran)

    def again(batch: Batch) -> list[Batch]:
        """What the worker that died had not written."""
        index.refresh()
        done, failed = index.done_of(batch.series), index.failed_of(batch.series)
        return [
            replace(batch, first=first, last=last)
            for gap in done.gaps(batch.first, batch.last) for first, last in failed.gaps(*gap)
        ]  # fmt: skip

    engine.run(run_batch, batches, arrived, again)
    index.refresh()


def _number(parts: Sequence[tuple[str, int, int]]) -> int:
    return sum(stop - start for _, start, stop in parts)


def _counting(goals: Goals, index: Index, tell: Callable[[Counts], None]) -> Callable[[Batch, Ran], None]:
    """Tells how far the run is, first where it begins."""
    began = time.monotonic()
    found = {series: index.done_of(series).count(*bounds) for series, bounds in goals.bounds.items()}
    counts = Counts(goals.largest, sum(found.values()), by_series=found)
    already = counts.done
    tell(counts)

    def count(batch: Batch, ran: Ran) -> None:
        counts.done += ran.replicates
        counts.failed += ran.failed
        counts.by_series[batch.series] += ran.replicates - ran.failed
        counts.left = (time.monotonic() - began) / (counts.done - already) * (counts.total - counts.done)
        tell(counts)

    return count


@contextmanager
def _mark(place: Folder | Store, who: Workers) -> Iterator[Path | None]:
    """A file in the folder, by which workers that Dask has elsewhere see that they see it."""
    if who.engine != "dask" or isinstance(place, Store):
        yield None
        return
    mark = place.path / f".seen-{secrets.token_hex(8)}"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _write(
    path: Path, spec: StudySpec, grid: Sequence[Cell], goals: Goals, index: Index
) -> tuple[tuple[Failed, ...], int]:
    """Rows by cell and replicate; one empty row a replicate of a skipped cell. What failed is named and counted."""
    failed: list[Failed] = []
    n_failed = 0
    levels = {name: [cell.factors[name] for cell in grid] for name in spec.grid}
    with results_file(path, levels) as rows:
        for cell in grid:
            for replicate, measured in _measured(spec, cell, goals, index):
                if (error := measured[0].status).startswith("failed: ") and measured[0].metric == "":
                    n_failed += 1
                    if len(failed) < _NAMED:
                        failed.append(Failed(cell.cell_id, replicate, error.removeprefix("failed: ")))
                key = f"{spec.seed}/study/{spec.experiment}/{replicate}"
                rows.add(cell.cell_id, replicate, key, measured, cell.factors)
    return tuple(failed), n_failed


def _measured(spec: StudySpec, cell: Cell, goals: Goals, index: Index) -> Iterator[tuple[int, list[Measurement]]]:
    if cell.skipped is not None:
        for replicate in range(spec.replicates):
            yield replicate, [Measurement("", "", None, 0.0, "skipped")]
        return
    for line in index.ordered(cell.series, *goals.bounds[cell.series]):
        yield line.number, measurements(line.content)
