"""What a worker does: some replicates of a cell, one after the other, each written to the place as it is finished."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.compiled import first_use
from sim.errors import InputError
from sim.plugins import looking_in, place_of
from sim.running.fingerprint import content_of
from sim.running.generations import named
from sim.running.records import as_json, writing_to
from sim.running.watched import Ended, beat, prepared, watched
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.registry import find_experiment, sources_of
from sim.studies.settings_kept import again


@dataclass(frozen=True)
class Batch:
    """Picklable: replicates first..last-1 of one cell.

    folder: where modules of one's own are looked for; digest: of their sources as this run began; data: of the files
    that a replicate reads.  state: of the setting (`settings_kept`), whose class may be nobody's but the folder's.
    series, generation: what finished replicates are kept as, at the address `place`; mark: a file that whoever sees
    that folder sees.
    """

    experiment: str
    folder: Path
    digest: str
    data: tuple[str, ...]
    series: str
    state: Mapping[str, Any]
    seed: int
    backends: Backends
    place: str
    mark: Path | None = None
    time_out: float | None = None
    first: int = 0
    last: int = 0
    generation: int = 0

    @property
    def kept_as(self) -> str:
        return named(self.series, self.generation)

    def stream(self, replicate: int) -> Stream:
        # The cell is the experiment, not its setting: cells of one study are compared on the same draws.
        return Stream(self.seed, f"study/{self.experiment}", replicate)


@dataclass(frozen=True)
class Ran:
    """How many replicates a batch had, how many of them failed, and the seconds they took, imports apart."""

    replicates: int
    failed: int
    seconds: float


def run_batch(batch: Batch) -> Ran:
    """Each replicate's numbers, or what it raised, at the batch's place."""
    _require_mark(batch)
    if batch.time_out is None:
        return _run(batch)
    failed, seconds, first = 0, 0.0, batch.first
    while first < batch.last:
        began = time.perf_counter()
        found = watched(_run, replace(batch, first=first), batch.time_out)
        if not isinstance(found, Ended):
            failed, seconds = failed + found.failed, seconds + found.seconds
            break
        seconds += time.perf_counter() - began
        # Those before it are written; the one that did not come back is, here.
        with writing_to(batch.place) as writer:
            writer.add(batch.kept_as, first + found.beats, failure(found.why))
        failed, first = failed + 1, first + found.beats + 1
    return Ran(batch.last - batch.first, failed, seconds)


def failure(why: str) -> str:
    """How a replicate that failed is kept."""
    return as_json({"failed": why})


def measurements(content: str) -> list[Measurement]:
    """What was kept of a replicate; one that failed is one row without a value."""
    found = json.loads(content)
    if isinstance(found, dict):
        return [Measurement("", "", None, 0.0, f"failed: {found['failed']}")]
    return [Measurement(*row) for row in found]


def _run(batch: Batch) -> Ran:
    with looking_in(batch.folder):
        definition = find_experiment(batch.experiment, batch.folder)
        setting = again(definition.setting, batch.state)
        if sources_of(batch.experiment, setting, batch.folder).digest != batch.digest:
            raise InputError(
                f"experiment '{batch.experiment}': its sources changed while the study ran",
                fix="run the same command again; what the new sources decide is computed anew",
            )
        files = definition.files(setting)
        before = _stamps(files)
        if tuple(map(content_of, files)) != batch.data:
            raise _changed(batch)
        first_use.expected = batch.experiment
        prepared()
        began, failed = time.perf_counter(), 0
        with writing_to(batch.place) as writer:
            for replicate in range(batch.first, batch.last):
                # A fresh one: a run that writes to a list in it must not depend on what else its batch holds.
                setting = again(definition.setting, batch.state)
                content, well = _replicate(definition, setting, batch.stream(replicate), batch.backends)
                if _stamps(files) != before:
                    raise _changed(batch)  # Its numbers may be of what the file holds now, and are kept as the other's.
                failed += not well
                writer.add(batch.kept_as, replicate, content)
                beat()
    return Ran(batch.last - batch.first, failed, time.perf_counter() - began)


def _stamps(files: tuple[Path, ...]) -> list[tuple[Path, int, int, int]]:
    """What changes when somebody writes to a file, or puts another in its place."""
    found = []
    for own in [each for file in files for each in (sorted(file.rglob("*")) if file.is_dir() else [file])]:
        if own.is_file():
            stamp = own.stat()
            found.append((own, stamp.st_mtime_ns, stamp.st_size, stamp.st_ino))
    return found


def _changed(batch: Batch) -> InputError:
    return InputError(
        f"experiment '{batch.experiment}': a file that it reads changed while the study ran",
        fix="run the same command again; what the new file decides is computed anew",
    )


def _replicate(definition: Experiment, setting: Any, stream: Stream, backends: Backends) -> tuple[str, bool]:
    """Its measurements, or what it raised in one line, as they are kept; and whether all went well."""
    try:
        found = [_kept(row) for row in definition.run(setting, stream, backends)]
        if not found:
            raise ValueError("measured nothing; expected one Measurement or more")
        return as_json(found), True
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # one replicate's failure, whatever it is, is not the study's
        return failure(" ".join(f"{type(error).__name__}{place_of(error)}: {error}".split())[:300]), False


def _kept(row: Measurement) -> tuple[str, str, float | None, float, str]:
    """As plain numbers and texts; what cannot be kept or averaged is this replicate's failure and not the study's."""
    for name, text in (("method", row.method), ("metric", row.metric), ("status", row.status)):
        if not isinstance(text, str):
            raise TypeError(f"{name}: expected a text, got {type(text).__name__}")
    value = None if row.value is None else _number(f"value of '{row.metric}'", row.value)
    return row.method, row.metric, value, _number(f"wall_s of '{row.metric}'", row.wall_s), row.status


def _number(name: str, value: Any) -> float:
    """A plain one, which JSON and a column of numbers can keep."""
    if not isinstance(value, int | float | np.integer | np.floating | np.bool_):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} is beyond what a float holds") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}")
    return number


def _require_mark(batch: Batch) -> None:
    """What is written to a folder that the others do not see would be lost."""
    if batch.mark is not None and not batch.mark.exists():
        raise InputError(
            f"a worker on {socket.gethostname()} does not see this folder", file=batch.place,
            fix="keep finished work where all machines see it: a shared folder, or an address such as s3://bucket/name",
        )  # fmt: skip
