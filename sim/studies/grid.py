"""A study's cells: what each is, what decides its numbers, and how far it is to go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.running.fingerprint import code_fingerprint, content_of
from sim.running.index import Index
from sim.studies.batches import Batch, measurements
from sim.studies.experiment import Backends
from sim.studies.registry import sources_of
from sim.studies.settings_kept import kept, resolved
from sim.studies.spec import StudySpec
from sim.studies.target import Above, Errors, checkpoints, require_metrics


@dataclass(frozen=True)
class Cell:
    """skipped: why it cannot run here, or None.  digest: of its own sources.  data: of the
    files it reads.  series: what its replicates are kept as:
    setting, seed, code and data.  state: of the setting, for workers."""

    cell_id: str
    factors: Mapping[str, Any]
    setting: Any
    skipped: str | None
    digest: str
    series: str
    data: tuple[str, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)


def cells_of(spec: StudySpec, backends: Backends) -> list[Cell]:
    """The grid's cells in order."""
    out = []
    for factors, setting in spec.cells():
        # Before anybody else sees it.
        state = kept(setting)
        try:
            skipped = spec.definition.missing(setting, backends)
        except ValueError as error:
            raise InputError(str(error)) from error
        found = resolved(setting, {**spec.settings, **factors})
        cell_id = _digest([spec.experiment, {**found, **spec.written(factors)}], 8)
        if skipped is not None:
            out.append(Cell(cell_id, factors, setting, skipped, "", ""))
            continue
        own = sources_of(spec.experiment, setting, spec.folder).digest
        read = tuple(content_of(file) for file in spec.definition.files(setting))
        series = f"{cell_id}-{_digest([spec.seed, _code(spec, setting, backends), own, *read], 6)}"
        out.append(Cell(cell_id, factors, setting, None, own, series, read, state))
    return out


def batch_of(
    spec: StudySpec,
    cell: Cell,
    backends: Backends,
    address: str,
    *,
    time_out: float | None = None,
    mark: Path | None = None,
    first: int = 0,
    last: int = 0,
) -> Batch:
    """Replicates of a cell, for a worker."""
    return Batch(
        spec.experiment, spec.folder, cell.digest, cell.data, cell.series, cell.state, spec.seed, backends, address,
        mark, time_out, first, last,
    )  # fmt: skip


@dataclass(frozen=True)
class Share:
    """One of several parts of a study, which other runs do: `number` from 1 of `of`."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise InputError(f"shard: expected i/n with 1 <= i <= n, got {self}", fix="for example 1/8, ..., 8/8")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def replicates(self, cell: int, cells: int, replicates: int) -> tuple[int, int]:
        """first and last + 1 of a cell: a block of all replicates, counted cell by cell, so that every share has some
        of each cell and they differ by one at most in all."""
        low, high = (cells * replicates * place // self.of for place in (self.number - 1, self.number))
        return max(-(-(low - cell) // cells), 0), max(-(-(high - cell) // cells), 0)


class Goals:
    """How far each series is to go: to the end of the share, or to the first checkpoint where its errors are small
    enough."""

    def __init__(self, spec: StudySpec, cells: Sequence[Cell], share: Share) -> None:
        self._target, self._most = spec.target_error, spec.replicates
        self.bounds = {
            cell.series: share.replicates(place, len(cells), spec.replicates) for place, cell in enumerate(cells)
        }
        self.largest = sum(stop - start for start, stop in self.bounds.values())
        self._ahead: dict[str, Iterator[int]] = {}
        self._errors: dict[str, Errors] = {}
        self.missed: dict[str, Above] = {}
        """Of each series that came to its last replicate above the target, the number that is farthest from it."""
        if self._target:
            for series in self.bounds:
                self._errors[series], self._ahead[series] = Errors(), checkpoints(self._most)
                self.bounds[series] = (0, next(self._ahead[series]))

    @property
    def total(self) -> int:
        """Replicates as the goals are now."""
        return sum(stop - start for start, stop in self.bounds.values())

    def missing(self, index: Index) -> list[tuple[str, int, int]]:
        """(series, start, stop) of what is neither finished nor has failed in this run."""
        return [
            (series, *gap)
            for series, (start, stop) in self.bounds.items()
            for left in index.done_of(series).gaps(start, stop)
            for gap in index.failed_of(series).gaps(*left)
        ]

    def extend(self, index: Index) -> bool:
        """Whether some series has to go on, now that all have come to their goals: its goal is then farther."""
        begun = {series: errors.read for series, errors in self._errors.items()}
        for series in list(self._ahead):
            start, stop = self.bounds[series]
            errors = self._errors[series]
            for line in index.ordered(series, errors.read, stop):
                errors.add(measurements(line.content))
            errors.read = stop
            farther = None if errors.reached(self._target) else next(self._ahead[series], None)
            if farther is None:
                del self._ahead[series]
                worst = errors.farthest(self._target)
                if worst is not None and worst.error > worst.target:
                    self.missed[series] = worst
            else:
                self.bounds[series] = (start, farther)
        if not any(begun.values()):
            require_metrics(self._target, (metric for own in self._errors.values() for _, metric in own.moments))
        return bool(self._ahead)


def _code(spec: StudySpec, setting: Any, backends: Backends) -> str:
    """Of our sources and the backend's that decide a cell's numbers."""
    name = spec.definition.backend(setting)
    return code_fingerprint() if name is None else code_fingerprint(backends[name].sources, backends[name].packages)


def _digest(content: Any, size: int) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=size).hexdigest()
