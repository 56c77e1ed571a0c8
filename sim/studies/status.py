"""How far a study is, for whoever looks: kept in its folder while it runs, and counted from what is finished."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sim.errors import InputError
from sim.files.atomic import write_json
from sim.files.locks import is_held
from sim.reading import load_json, of_this_version, read_text
from sim.running.index import Index
from sim.running.places import place_at
from sim.studies.cells import Counts
from sim.studies.grid import Cell, Share
from sim.studies.request import changed_since
from sim.studies.settings_kept import as_plain
from sim.studies.spec import StudySpec

NAME = "status.json"
_EVERY = 2.0


class Journal:
    """Writes status.json, every two seconds at most and at the end."""

    def __init__(self, folder: Path, spec: StudySpec, cells: str | None, grid: Sequence[Cell], share: Share) -> None:
        """cells: the place of finished replicates; None: in the folder, wherever that is moved to."""
        own = [cell for cell in grid if cell.skipped is None]
        self._path, self._written, self.remark = folder / NAME, 0.0, ""
        self._counts = Counts(0)
        self._content: dict[str, Any] = {
            "title": spec.title, "place": cells, "target_error": dict(spec.target_error),
            "process": os.getpid(), "machine": socket.gethostname(),
            "shard": str(share), "skipped": len(grid) - len(own),
            "cells": [
                {
                    "cell_id": cell.cell_id, "series": cell.series, "factors": as_plain(dict(cell.factors)),
                    "range": share.replicates(number, len(own), spec.replicates),
                }
                for number, cell in enumerate(own)
            ],
        }  # fmt: skip
        self._write("running", "")

    def show(self, counts: Counts) -> None:
        self._counts = counts
        if time.monotonic() - self._written > _EVERY:
            with suppress(OSError):  # a full disk ends the work where work is lost, not here
                self._write("running", "")

    def end(self, state: str, message: str = "") -> None:
        """message: by what it ended; where by nothing, the run's own remark."""
        with suppress(OSError):
            self._write(state, message or self.remark)

    def _write(self, state: str, message: str) -> None:
        counts = self._counts
        left = None if counts.left is None or state != "running" else round(counts.left, 1)
        write_json(self._path, {
            **self._content, "state": state, "message": message, "failed": counts.failed, "seconds_left": left,
            "at": round(time.time(), 1),
        })  # fmt: skip
        self._written = time.monotonic()


@dataclass(frozen=True)
class StudyStatus:
    """state: running, finished, interrupted, stopped (message says by what) or killed.  done, total, failed:
    replicates; total and of are the most, where cells end at a target error.  cells: (factors, done, of).  at: seconds
    of the epoch when the run last said something.  changed: what has changed since, so that `resume` does not simply
    go on."""

    title: str
    state: str
    message: str
    done: int
    total: int
    failed: int
    seconds_left: float | None
    process: int
    machine: str
    shard: str
    place: str
    at: float
    cells: tuple[tuple[dict[str, Any], int, int], ...]
    target_error: dict[str, float]
    changed: str = ""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of a study's folder: what is finished is counted where it lies."""
        path = folder / NAME
        fix = "name the folder of a study (--out of `pluralign study`)"
        if not path.is_file():
            raise InputError("is not the folder of a study", file=folder, fix=fix)
        with of_this_version(path, "run `pluralign study` again"):
            found = load_json(read_text(path, fix))
            state = str(found["state"])
            if state == "running" and found["machine"] == socket.gethostname() and not is_held(folder):
                state = "killed"
            place = str(folder / "cells") if found["place"] is None else str(found["place"])
            index = Index([place_at(place)]).refresh()
            cells = tuple(
                (dict(row["factors"]), index.done_of(row["series"]).count(start, stop), stop - start)
                for row in found["cells"]
                for start, stop in [row["range"]]
            )  # fmt: skip
            failed = sum(
                stop - start for row in found["cells"]
                for gap in index.failed_of(row["series"]) for start, stop in index.done_of(row["series"]).gaps(*gap)
            )  # fmt: skip
            return cls(
                str(found["title"]), state, str(found["message"]), sum(done for _, done, _ in cells),
                sum(of for _, _, of in cells), failed, found["seconds_left"] if state == "running" else None,
                int(found["process"]), str(found["machine"]), str(found["shard"]), place,
                float(found["at"]), cells, dict(found["target_error"]), changed_since(folder),
            )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """What `study status --json` prints."""
        return {**vars(self), "cells": [{"factors": own, "done": done, "of": of} for own, done, of in self.cells]}


def left_behind(folder: Path, grid: Sequence[Cell]) -> int:
    """Replicates finished in the folder of the grid's own cells that are not of its series: another seed, other code or
    other data decided them."""
    try:
        found = load_json((folder / NAME).read_text(encoding="utf-8"))
        series = {row["cell_id"]: row["series"] for row in found["cells"]}
        place = str(folder / "cells") if found["place"] is None else str(found["place"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    other = [series[cell.cell_id] for cell in grid if series.get(cell.cell_id, cell.series) != cell.series]
    if not other:
        return 0
    index = Index([place_at(place)]).refresh()
    return sum(index.done_of(name).count(0, sys.maxsize) for name in other)
