"""Run a study: (cell, replicate) tasks, each written once, whole, and found again after a kill."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.files.atomic import replacing, write_json
from sim.running.engines import EngineName, run_tasks
from sim.streams import Stream
from sim.studies.experiment import Backends, Measurement
from sim.studies.registry import EXPERIMENTS
from sim.studies.spec import StudySpec

COLUMNS = ("cell_id", "replicate", "method", "metric", "value", "seed_key", "wall_s", "status")


@dataclass(frozen=True)
class _Task:
    """Picklable: one replicate of one cell."""

    experiment: str
    cell_id: str
    setting: Any
    seed: int
    replicate: int
    backends: Backends

    @property
    def stream(self) -> Stream:
        # The cell is the experiment, not its setting: cells of one study are compared on the same draws.
        return Stream(self.seed, f"study/{self.experiment}", self.replicate)


@dataclass(frozen=True)
class StudyRun:
    """rows: one a measurement, in the order of cells, replicates and the experiment; `skipped`: cell -> reason."""

    spec: StudySpec
    rows: tuple[dict[str, Any], ...]
    skipped: Mapping[str, str]
    resumed: int
    tasks: int
    seconds: float


def _run(task: _Task) -> list[Measurement]:
    definition = EXPERIMENTS[task.experiment]
    return definition.run(task.setting, task.stream, task.backends)


def run_study(
    spec: StudySpec,
    backends: Backends,
    *,
    cells: Path,
    workers: int = 1,
    engine: EngineName = "joblib",
    scheduler: str | None = None,
    fresh: bool = False,
    code: Sequence[Path] = (),
    on_progress: Callable[[int, int, float], None] | None = None,
) -> StudyRun:
    """Every cell x replicate; numbers do not depend on workers, engine or interruptions (wall times do).

    cells: folder of finished tasks, named by their content: setting, seed, replicate and code; read again
    unless `fresh`.  code: source folders beyond `sim` that decide the numbers (a backend's).
    on_progress(done, total, seconds left).
    """
    began = time.monotonic()
    fingerprint = code_fingerprint(code)
    plan: list[tuple[dict[str, Any], _Task]] = []
    skipped: dict[str, str] = {}
    identities: list[tuple[str, dict[str, Any]]] = []
    for factors, setting in spec.cells():
        cell_id = _digest([spec.experiment, asdict(setting)], 8)
        identities.append((cell_id, factors))
        try:
            reason = spec.definition.missing(setting, backends)
        except ValueError as error:
            raise InputError(str(error)) from error
        if reason is not None:
            skipped[cell_id] = reason
            continue
        for replicate in range(spec.replicates):
            plan.append((factors, _Task(spec.experiment, cell_id, setting, spec.seed, replicate, backends)))
    paths = [cells / f"{task.cell_id}-{task.replicate}-{_digest([task.seed, fingerprint], 6)}.json" for _, task in plan]
    answers: dict[int, list[Measurement]] = {}
    if not fresh:
        for index, path in enumerate(paths):
            found = _load(path)
            if found is not None:
                answers[index] = found
    resumed = len(answers)
    # Replicates first, so that an interrupted study has every cell; the slowest backend is not left to the end.
    waiting = sorted((i for i in range(len(plan)) if i not in answers), key=lambda i: (plan[i][1].replicate, -i))

    def arrived(position: int, measured: list[Measurement]) -> None:
        index = waiting[position]
        answers[index] = measured
        write_json(paths[index], [asdict(row) for row in measured])
        if on_progress is not None:
            done = len(answers) - resumed
            left = (time.monotonic() - began) / done * (len(waiting) - done)
            on_progress(len(answers), len(plan), left)

    run_tasks(_run, [plan[i][1] for i in waiting], workers=workers, engine=engine, scheduler=scheduler, on_done=arrived)
    order = {cell_id: place for place, (cell_id, _) in enumerate(identities)}
    rows = [
        {**_identity(task), **asdict(row), **factors}
        for index, (factors, task) in enumerate(plan)
        for row in answers[index]
    ]
    rows += [
        {"cell_id": cell_id, "replicate": r, "method": "", "metric": "", "value": None, "wall_s": 0.0,
         "seed_key": f"{spec.seed}/study/{spec.experiment}/{r}", "status": "skipped", **factors}
        for cell_id, factors in identities if cell_id in skipped for r in range(spec.replicates)
    ]  # fmt: skip
    rows.sort(key=lambda row: (order[row["cell_id"]], row["replicate"]))
    return StudyRun(spec, tuple(rows), skipped, resumed, len(plan), time.monotonic() - began)


def write_results(path: str | Path, rows: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> None:
    """Long Parquet, written whole: the fixed columns, then one a factor."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    columns |= {
        name: [json.dumps(row[name]) if isinstance(row[name], tuple) else row[name] for row in rows]
        for name in factors
        if name not in columns
    }
    types = {"replicate": pa.int64(), "value": pa.float64(), "wall_s": pa.float64()}
    table = pa.table({name: pa.array(values, types.get(name)) for name, values in columns.items()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a results file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError("cannot be read as a study's results", file=path, fix="run `pluralign study` again") from error
    missing = [name for name in COLUMNS if rows and name not in rows[0]]
    if missing:
        raise InputError("missing column", file=path, field=missing[0], fix="run `pluralign study` again")
    return rows


def versions() -> dict[str, str]:
    """Versions that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "scipy", "numba", "llvmlite", "scikit-learn", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def code_fingerprint(folders: Sequence[Path] = ()) -> str:
    """Digest of the sources of `sim` and of `folders`, and of the versions they run on: what other code computed
    is not taken for this code's."""
    digest = hashlib.blake2b(json.dumps(versions(), sort_keys=True).encode(), digest_size=12)
    for folder in (Path(__file__).resolve().parents[1], *folders):
        for source in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{source.relative_to(folder)}".encode() + source.read_bytes())
    return digest.hexdigest()


def _identity(task: _Task) -> dict[str, Any]:
    return {
        "cell_id": task.cell_id,
        "replicate": task.replicate,
        "seed_key": f"{task.seed}/{task.stream.cell}/{task.replicate}",
    }


def _digest(content: Any, size: int) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=size).hexdigest()


def _load(path: Path) -> list[Measurement] | None:
    """A finished task, or None if it is missing or not whole (not written by this program)."""
    try:
        return [Measurement(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return None
