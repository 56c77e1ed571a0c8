"""What a study will take, before it is begun: replicates, memory, and time as measured on a replicate of some cells."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.running.index import Index
from sim.running.places import place_at
from sim.running.watched import dismiss
from sim.studies.batches import measurements, run_batch
from sim.studies.experiment import Backends
from sim.studies.grid import Cell, batch_of, cells_of
from sim.studies.reference import reference_of
from sim.studies.request import Request

# Measuring stops after so long; a replicate that takes longer than its share of it is only known to.
_BUDGET = 10.0
_LONGEST = 20.0


@dataclass(frozen=True)
class StudyPlan:
    """cells run, skipped do not; replicates to be had in this run (at most, with a target error), finished of them.
    memory: bytes a replicate, of the largest cell; None: not known.  seconds: a replicate, mean over the `measured`
    cells; None: nothing was measured.  too_long: of these cells, those whose replicate failed, or took more than 20 s
    or the time-out; error: what the first of them said."""

    cells: int
    skipped: int
    replicates: int
    finished: int
    memory: float | None
    workers: int
    seconds: float | None
    measured: int
    too_long: int
    error: str | None = None

    @property
    def seconds_in_all(self) -> float | None:
        return None if self.seconds is None else self.seconds * (self.replicates - self.finished) / self.workers

    def as_json(self) -> dict[str, Any]:
        """What `study --dry-run --json` prints."""
        return {**vars(self), "seconds_in_all": self.seconds_in_all}


def plan_study(folder: Path, request: Request, backends: Backends, *, fresh: bool = False) -> StudyPlan:
    """Nothing is written but in a temporary folder; a replicate is timed the second time, when kernels are there.

    fresh: of a run that takes nothing that is finished.
    """
    spec = request.spec()
    reference_of(spec)  # before hours of work: whether it can be read
    grid = cells_of(spec, backends)
    own = [cell for cell in grid if cell.skipped is None]
    index = Index([place_at(request.place(folder))]).refresh()
    shares = [request.share.replicates(place, len(own), spec.replicates) for place in range(len(own))]
    times, too_long, began = list[float](), 0, time.monotonic()
    with tempfile.TemporaryDirectory() as nowhere:
        for cell in own:
            if time.monotonic() - began > _BUDGET:
                break
            batch = batch_of(
                spec, cell, backends, nowhere, time_out=min(_LONGEST, request.time_out or _LONGEST), last=1
            )
            ran = run_batch(batch)
            if not ran.failed and ran.seconds < _BUDGET / 2:
                ran = replace(run_batch(batch), failed=ran.failed)
            times += [ran.seconds]
            too_long += ran.failed
        error = _first_error(nowhere, own)
    dismiss()
    memory = max((spec.definition.memory(cell.setting) for cell in own), default=0.0)
    return StudyPlan(
        len(own), len(grid) - len(own), sum(stop - start for start, stop in shares),
        0 if fresh else sum(index.done_of(cell.series).count(*share) for cell, share in zip(own, shares, strict=True)),
        memory or None, request.workers, sum(times) / len(times) if times else None, len(times), too_long,
        error,
    )  # fmt: skip


def _first_error(place: str, cells: Sequence[Cell]) -> str | None:
    index = Index([place_at(place)]).refresh()
    for cell in cells:
        for line in index.ordered(cell.series, 0, 1):
            for row in measurements(line.content):
                if row.value is None and row.status.startswith("failed: "):
                    named = ", ".join(f"{name} {value}" for name, value in cell.factors.items())
                    return f"{named + ': ' if named else ''}{row.status.removeprefix('failed: ')}"
    return None
