"""A study in its folder: one run at a time, its status kept, its results written; shares of a study put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sim.errors import InputError
from sim.files.atomic import require_place
from sim.files.locks import held
from sim.running.index import Index, merge
from sim.running.places import Folder, place_at
from sim.studies.cells import WHOLE, Counts, anew, gathered, run_study
from sim.studies.decided import decided_by
from sim.studies.experiment import Backends
from sim.studies.grid import Goals, cells_of
from sim.studies.record import record_of
from sim.studies.reference import reference_of
from sim.studies.registry import EXPERIMENTS
from sim.studies.report import StudyReport, require_same_study
from sim.studies.request import Request, require_same, require_same_places
from sim.studies.status import Journal, left_behind


def run_in_folder(
    folder: Path,
    request: Request,
    backends: Backends,
    *,
    fresh: bool = False,
    on_progress: Callable[[Counts], None] = lambda counts: None,
    on_writing: Callable[[], None] = lambda: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> StudyReport:
    """Results, tables and figures of a study in `folder`; of one of several shares only the finished replicates. A
    second run in the folder is refused; one that ends early says in status.json by what."""
    spec = request.spec()
    # Before hours of work: a reference that cannot be read, a folder that cannot be written.
    reference = reference_of(spec)
    require_place(folder / "cells")
    with held(folder):
        require_same_study(folder, spec)
        grid, place, share = cells_of(spec, backends), request.place(folder), request.share
        decided = decided_by(spec, grid, backends)
        require_same_places(folder, request, decided["data"])
        if fresh:
            # First of all: the request and the status that are written next must not go with what is to be replaced.
            anew(place_at(place), [cell for cell in grid if cell.skipped is None], spec, share)
        otherwise = request.write(folder, spec, decided)
        if not fresh and (others := left_behind(folder, grid)):
            of = " and ".join(otherwise) or "another seed, other code or other data"
            on_note(f"{others:,} replicates that were finished in {folder} are of {of}; they are not taken")
        with _noted(Journal(folder, spec, request.cells, grid, share)) as journal:

            def counted(counts: Counts) -> None:
                journal.show(counts)
                on_progress(counts)

            run = run_study(
                spec, backends, cells=place, workers=request.workers, engine=request.engine,
                scheduler=request.scheduler, tls=request.security, batch=request.batch, time_out=request.time_out,
                share=share, tidy=request.cells is None, grid=grid, on_progress=counted,
                table=folder / "results.parquet" if share == WHOLE else None,
            )  # fmt: skip
            journal.remark = run.missed
            report = StudyReport(run, reference)
            if share == WHOLE:
                on_writing()
                report = _written(report, folder)
    return report


def merge_folders(folders: Sequence[Path], out: Path, backends: Backends) -> StudyReport:
    """Shares of one study, each in its folder, as one study in `out`; nothing is computed."""
    began = time.monotonic()
    if out.resolve() in [folder.resolve() for folder in folders]:
        raise InputError("is one of the shares", file=out, fix="name another folder for the whole (out)")
    requests = [Request.read(folder) for folder in folders]
    require_same(requests, folders)
    # The folder of a share that another machine computed may not be here.
    where = next((one.where for one in requests if one.where is not None and Path(one.where).is_dir()), None)
    request = replace(requests[0], shard=(1, 1), cells=None, where=where)
    spec = request.spec()
    reference = reference_of(spec)
    require_place(out / "cells")
    with held(out):
        require_same_study(out, spec)
        grid = cells_of(spec, backends)
        own = [cell for cell in grid if cell.skipped is None]
        # What is there of a merge before, and of what was tried again since, comes first: the later place counts.
        places = dict.fromkeys(
            [str(out / "cells"), *(one.place(folder) for one, folder in zip(requests, folders, strict=True))]
        )
        for folder in folders:
            if left_behind(folder, grid):
                raise InputError(
                    "was computed with other code of the experiment, or other data, than are here", file=folder,
                    fix="compute all shares with the code and data as they are",
                )  # fmt: skip
        index, goals = Index([place_at(place) for place in places]).refresh(), Goals(spec, own, WHOLE)
        _require_all(goals, index, requests)
        index.copy(out / "cells")
        request.write(out, spec, decided_by(spec, grid, backends))
        with _noted(Journal(out, spec, None, grid, WHOLE)):
            run = gathered(spec, record_of(spec), grid, goals, index, out / "results.parquet", began)
            report = StudyReport(replace(run, notices=tuple(index.notices())), reference)
            report = _written(report, out)
        merge(Folder(out / "cells"))
    return report


def _written(report: StudyReport, folder: Path) -> StudyReport:
    """Files, and then the figure: one of ours that cannot be drawn is one notice more, as its numbers are all there,
    and a study that ended by it could never be finished.  One of somebody's own is refused once all is written: it is
    hers to mend.  So it is with the table."""
    report.write(folder)
    mistakes = report.mistakes(folder)
    if not mistakes:
        return report
    if not EXPERIMENTS.is_ours(report.run.spec.experiment):
        raise InputError(" and ".join(mistakes), fix=f"the numbers are in {folder}")
    undrawn = [f"{mistake}; the numbers are in {folder}" for mistake in mistakes]
    return replace(report, run=replace(report.run, notices=(*report.run.notices, *undrawn)))


def _require_all(goals: Goals, index: Index, requests: Sequence[Request]) -> None:
    missing = sum(stop - start for _, start, stop in goals.missing(index))
    if missing:
        of = max(request.share.of for request in requests)
        there = {request.share.number for request in requests if request.share.of == of}
        absent = ", ".join(f"{number}/{of}" for number in range(1, of + 1) if number not in there)
        raise InputError(
            f"{missing:,} of {goals.total:,} replicates are not there" + (f"; not given: {absent}" if absent else ""),
            fix="name the folders of all shares, or finish those that are not (`pluralign study status DIR`)",
        )


@contextmanager
def _noted(journal: Journal) -> Iterator[Journal]:
    """How it ended is written down, whatever ends it but a kill."""
    try:
        yield journal
    except KeyboardInterrupt:
        journal.end("interrupted")
        raise
    except BaseException as error:
        journal.end("stopped", " ".join(f"{error}".split()) or type(error).__name__)
        raise
    journal.end("finished")
