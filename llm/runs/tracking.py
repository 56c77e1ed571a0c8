"""A run's record in TensorBoard, trackio or Weights & Biases, through accelerate's trackers, each row once."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module, util
from pathlib import Path
from typing import Any, Literal, TypeAlias

from llm.base.folder_format import read_stamped, stamped
from llm.base.progress import Progress
from llm.training.group_training import RoundRecord
from llm.training.steps import Step
from sim.errors import InputError
from sim.files.atomic import write_json

Tracker: TypeAlias = Literal["none", "tensorboard", "trackio", "wandb"]

FOLDER = "tracker"
_PROJECT = "pluralign"
_TOLD = "told-{}.json"
# Nothing leaves the machine unless its user has said so in the environment.
_AT_HOME = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}


def require_tracker(name: Tracker) -> None:
    """InputError where the tracker's package is not here; asked before anything is loaded."""
    for package in () if name == "none" else (name, "accelerate"):
        if util.find_spec(package) is None:
            raise InputError(
                f"{name} needs the package {package}", field="tracker", fix=f"pip install {package}, or leave it out"
            )


class Tracking:
    """What a run tells its tracker; with none, nothing.

    A group's optimiser steps are numbered from 0 over all its fits, rounds as everywhere. What was told is kept in the
    run's folder before it is told: a resumed run tells no step twice, and a killed one may have left out its last.
    """

    def __init__(self, tracker: Any = None, told: Path | None = None) -> None:
        """tracker: of accelerate, started.  told: where the numbers of what was told are kept."""
        self._tracker, self._place = tracker, told
        self._told: dict[str, int] = {}
        if told is not None and told.is_file():
            self._told = {name: int(count) for name, count in read_stamped(told, "delete it").items()}
        # adapter -> steps of its fits that have ended.
        self._ended: dict[str, int] = {}
        self._axes: set[str] = set()

    def steps(self, adapter: str, record: Sequence[Step], *, ended: bool = False) -> None:
        """The record of a fit so far, or of one that has ended.  Rows under TRL's names, with `/ADAPTER`."""
        if self._tracker is None:
            return
        first = self._ended.get(adapter, 0)
        begin = max(0, self._told.get(adapter, 0) - first)
        if begin < len(record):
            self._keep(adapter, first + len(record))
            for row in record[begin:]:
                # `step` counts within the fit; a fit's first row is the adapter's row `first`.
                values = {f"{key}/{adapter}": value for key, value in flat(row).items() if key != "step"}
                self._log(values, first + begin, f"step/{adapter}")
                begin += 1
        if ended:
            self._ended[adapter] = first + len(record)

    def round(self, n_types: int, row: RoundRecord, *, many: bool) -> None:
        """many: several numbers of types are tried, and each has names of its own."""
        source = f"round/{n_types}" if many else "round"
        if self._tracker is None or row.round < self._told.get(source, 0):
            return
        self._keep(source, row.round + 1)
        self._log({f"{source}/{key}": value for key, value in _of_round(row).items()}, row.round, f"{source}/number")

    def _keep(self, source: str, count: int) -> None:
        self._told[source] = count
        if self._place is not None:
            write_json(self._place, stamped(self._told))

    def _log(self, values: Mapping[str, float], number: int, axis: str) -> None:
        with _off_standard_output():
            if self._tracker.name != "wandb":
                self._tracker.log(dict(values), step=number)
                return
            # Weights & Biases has one axis that only grows: numbers of groups are metrics, and the axes of the others.
            for name in values.keys() - self._axes:
                self._tracker.tracker.define_metric(name, step_metric=axis)
                self._axes.add(name)
            self._tracker.log({**values, axis: number})


def flat(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row, those of mappings inside under `key/name`."""
    found: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{key}/{name}": inner for name, inner in flat(value).items()}
        elif isinstance(value, int | float):
            found[key] = value
    return found


def _of_round(row: RoundRecord) -> dict[str, float]:
    content = row.as_json()
    names = ("log_likelihood", "held_out_log_likelihood", "new_prompts_log_likelihood", "entropy",
             "adjusted_rand_index")  # fmt: skip
    shares = {"mixture": {f"group_{k}": share for k, share in enumerate(row.mixture)}}
    groups = {
        name: {own.name: value for own in row.groups if (value := getattr(own, name)) is not None}
        for name in ("weight", *names[:3])
    }
    return flat({**{name: content.get(name) for name in names}, **shares, "groups": groups})


@contextmanager
def tracked(
    name: Tracker, out: Path, key: str, settings: Mapping[str, Any], device: str,
    progress: Progress = lambda text: None,
) -> Iterator[Tracking]:  # fmt: skip
    """The tracking of the run in the folder `out`; its tracker ends however this does.

    key: of what decides the run's result: what is told of another run in the same folder stays apart.  settings: all of
    the run's, told once.  Files go to OUT/tracker.
    """
    if name == "none":
        yield Tracking()
        return
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / _TOLD.format(f"{name}-{key[:8]}")
    begun = told.is_file()
    with _off_standard_output():
        tracker = _started(name, folder, out.name, key, device, progress)
        if not begun and name != "tensorboard":
            # TensorBoard's page of settings is a table of runs' ends, which accelerate writes under the time of day.
            tracker.store_init_configuration({key: str(value) for key, value in _flat_settings(settings).items()})
    try:
        yield Tracking(tracker, told)
    finally:
        with _off_standard_output():
            tracker.finish()


def _started(name: str, folder: Path, run: str, key: str, device: str, progress: Progress) -> Any:
    from accelerate import PartialState
    from accelerate import tracking as trackers

    PartialState(cpu=device == "cpu")
    tracker: Any
    if name == "tensorboard":
        tracker = trackers.TensorBoardTracker(f"tensorboard-{key[:8]}", folder)
    elif name == "trackio":
        # Read when the package is loaded, and never again.
        os.environ.setdefault("TRACKIO_DIR", str((folder / "trackio").absolute()))
        package = import_module("trackio")
        place = Path(import_module("trackio.utils").TRACKIO_DIR)
        if place != (folder / "trackio").absolute():
            progress(f"note: trackio keeps its files in {place}, as it was told before")
        options = {"name": f"{run}-{key[:8]}", "resume": "allow", "embed": False, "auto_log_cpu": False,
                   "auto_log_gpu": False}  # fmt: skip
        known = inspect.signature(package.init).parameters
        tracker = trackers.TrackioTracker(_PROJECT, **{own: value for own, value in options.items() if own in known})
    else:
        for variable, value in _AT_HOME.items():
            os.environ.setdefault(variable, value)
        tracker = trackers.WandBTracker(
            _PROJECT, dir=str(folder), name=run, id=key[:16], resume="allow", mode=os.environ["WANDB_MODE"]
        )
    tracker.start()
    return tracker


def _flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat_settings(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


@contextmanager
def _off_standard_output() -> Iterator[None]:
    """Trackers greet their users; standard output is the command's own."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
