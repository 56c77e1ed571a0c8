"""Study files: YAML in, a checked and frozen specification out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sim.errors import InputError, short
from sim.plugins import Sources, blaming, looking_in, together
from sim.running.fingerprint import SIM
from sim.running.memory import require_memory
from sim.settings import blaming_overrides, in_home, parse_override, read_mapping, require_known
from sim.studies.experiment import Experiment
from sim.studies.levels import levels_of, setting_value
from sim.studies.located import bases, located
from sim.studies.registry import EXPERIMENTS, find_experiment, sources_of
from sim.studies.settings_kept import as_plain, names_of, resolved
from sim.studies.target import ALL

_KEYS = ("experiment", "title", "seed", "replicates", "target_error", "settings", "grid", "figure", "reference")
_OVERRIDABLE = ("title", "seed", "replicates", "target_error", "figure")
# What a cell takes while the study runs (its setting, what is finished of it), and a number of its tables at the end.
_CELL_BYTES, _NUMBER_BYTES = 8192, 100


@dataclass(frozen=True)
class StudySpec:
    """A grid of factors, each cell run `replicates` times.

    experiment: a name of ours or module:NAME.  replicates: of each cell, at most where there is a target_error: metric
    ("all": any other) -> the standard error at which a cell ends.  settings: what all cells share; grid: factor ->
    values, the first varying slowest.  figure: what is drawn, or None.  reference: a file of numbers to compare with,
    beside the study file, or None.  file: the study file; modules beside it can be named.  folders: setting that names
    a file -> the folder that a relative path is of.
    """

    experiment: str
    title: str
    seed: int
    replicates: int
    target_error: Mapping[str, float]
    settings: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]
    figure: str | None
    reference: Path | None
    file: Path
    folders: Mapping[str, Path]

    @property
    def definition(self) -> Experiment:
        return find_experiment(self.experiment, self.folder)

    @property
    def folder(self) -> Path:
        """Where modules of one's own are looked for first: beside the file, and for a file of ours where we are."""
        return folder_of(self.file)

    @property
    def sources(self) -> Sources:
        """What is not ours and the numbers depend on: the experiment, and what its settings name."""
        all_of_them = (sources_of(self.experiment, setting, self.folder) for _, setting in self.cells())
        found = {own.digest: own for own in all_of_them}
        return together(*found.values())

    @contextmanager
    def _blaming(self, part: str) -> Iterator[None]:
        """What an experiment of one's own raises is its own; ValueError and TypeError are about the file."""
        if EXPERIMENTS.is_ours(self.experiment):
            yield
            return
        with blaming(f"experiment '{self.experiment}': {part}"):
            try:
                yield
            except (ValueError, TypeError) as error:
                raise InputError(str(error)) from error

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that were read."""
        return (self.file,) if self.reference is None else (self.file, self.reference)

    def cells(self) -> Iterator[tuple[dict[str, Any], Any]]:
        """(factor values, the experiment's setting) of each cell, in order."""
        for values in itertools.product(*self.grid.values()):
            factors = dict(zip(self.grid, values, strict=True))
            with looking_in(self.folder), self._blaming("setting"):
                setting = self.definition.setting(**located({**self.settings, **factors}, self.folders))
            yield factors, setting

    def written(self, factors: Mapping[str, Any]) -> dict[str, Any]:
        """Paths as they were written: the same in whatever folder a study lies; what they hold is looked at too."""
        return {name: value for name, value in {**self.settings, **factors}.items() if name in self.folders}

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as `run` sees it, defaults included, as plain values (infinite numbers as texts)."""
        factors, first = next(self.cells())
        found = resolved(first, {**self.settings, **factors})
        return {
            "experiment": self.experiment,
            "title": self.title,
            "seed": self.seed,
            "replicates": self.replicates,
            "target_error": dict(self.target_error),
            "settings": {name: as_plain(value) for name, value in found.items() if name not in self.grid},
            "grid": {name: as_plain(values) for name, values in self.grid.items()},
            "figure": self.figure,
        }


def folder_of(file: Path) -> Path:
    """Where the modules a study file names are looked for first."""
    beside = file.resolve().parent
    return Path.cwd() if beside.is_relative_to(SIM) else beside


def load_spec(
    path: str | Path, overrides: Sequence[str] = (), seed: int | None = None, where: Path | None = None
) -> StudySpec:
    """Read and check a study file; `overrides` are key=value texts with YAML values, relative paths among them of
    `where` (None: the working folder)."""
    return blaming_overrides(lambda texts: _load(Path(path), texts, seed, where), overrides)


def _load(file: Path, overrides: Sequence[str], seed: int | None, where: Path | None) -> StudySpec:
    content = _read(file)
    definition = _definition(content, file)
    names = names_of(definition.setting)
    overridden = [_override(content, text, names, file) for text in overrides]
    if seed is not None:
        content["seed"] = seed
    for section in ("settings", "grid"):
        for key in content[section]:
            require_known(key, names, file, section=section)
    reference = content.get("reference")
    spec = StudySpec(
        experiment=content["experiment"],
        title=str(content.get("title", content["experiment"])),
        seed=_whole(content.get("seed", 0), file, "seed", 0),
        replicates=_whole(content.get("replicates", 20), file, "replicates", 1),
        target_error=_target(content.get("target_error"), file),
        settings={
            name: setting_value(f"settings.{name}", value, file)
            for name, value in content["settings"].items()
            if name not in content["grid"]
        },
        grid={name: levels_of(name, values, file) for name, values in content["grid"].items()},
        figure=_figure(content, definition, file),
        reference=None if reference is None else file.parent / in_home(str(reference)),
        file=file,
        folders=bases(definition.paths, file, overridden, where),
    )
    _require_tasks_fit(spec)
    try:
        for factors, setting in spec.cells():
            resolved(setting, {**spec.settings, **factors})
            _require_cell_fits(spec, factors, setting)
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(str(error), file=file, fix="mend the study file or the override") from error
    return spec


def _require_tasks_fit(spec: StudySpec) -> None:
    """Before anything is listed: the number of tasks is the product of what the file says."""
    cells = math.prod(len(values) for values in spec.grid.values())
    tasks = cells * spec.replicates
    largest = max(spec.grid, key=lambda name: len(spec.grid[name]), default="")
    field = "replicates" if spec.replicates >= cells else f"grid.{largest}"
    words = f"{tasks:,} replicates ({cells:,} cells, {spec.replicates:,} each)"
    require_memory(cells * _CELL_BYTES + tasks * _NUMBER_BYTES, words, file=spec.file, field=field)


def _require_cell_fits(spec: StudySpec, factors: Mapping[str, Any], setting: Any) -> None:
    needed = spec.definition.memory(setting)
    name = _largest_dial(spec.definition, setting, located({**spec.settings, **factors}, spec.folders))
    field = None if name is None else f"grid.{name}" if name in factors else f"settings.{name}"
    value = "" if name is None else f" with {name} {getattr(setting, name):,}"
    require_memory(needed, f"a replicate{value}", file=spec.file, field=field)


def _largest_dial(definition: Experiment, setting: Any, given: Mapping[str, Any]) -> str | None:
    """The whole number without which the setting would need least: what a message names."""
    least, found = definition.memory(setting), None
    for field in fields(setting):
        value = getattr(setting, field.name)
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        # The default first: of two dials that multiply, it is the unusual one.
        for smaller in (field.default, 1, 0):
            if not isinstance(smaller, int) or smaller >= value:
                continue
            try:
                needed = definition.memory(definition.setting(**{**given, field.name: smaller}))
            except (ValueError, TypeError):  # it does not go with the others
                continue
            if needed < least:
                least, found = needed, field.name
            break
    return found


def _target(value: Any, file: Path) -> dict[str, float]:
    """A number for all metrics, or one for each of some."""
    found = {} if value is None else value if isinstance(value, dict) else {ALL: value}
    for name, error in found.items():
        if isinstance(error, bool) or not isinstance(error, int | float) or not 0 < error < math.inf:
            raise InputError(
                f"expected a positive number, or one a metric, got {short(error)}", file=file, field="target_error",
                fix=f"write for example {{{name}: 0.01}}",
            )  # fmt: skip
    return {str(name): float(error) for name, error in found.items()}


def _read(file: Path) -> dict[str, Any]:
    """The file's mapping, its keys known, with settings and a grid."""
    expected = f"a mapping with the keys {', '.join(_KEYS)}"
    content = read_mapping(file, expected, exponents=True)
    if not content:
        raise InputError(f"expected {expected}, got nothing", file=file)
    for key in content:
        require_known(key, _KEYS, file)
    for section in ("settings", "grid"):
        if not isinstance(content.setdefault(section, {}), dict):
            raise InputError(f"expected a mapping, got {short(content[section])}", file=file, field=section)
    return content


def _definition(content: Mapping[str, Any], file: Path) -> Experiment:
    if "experiment" not in content:
        fix = f"choose one of {', '.join(EXPERIMENTS.names())}, or module:NAME of your own"
        raise InputError("missing", file=file, field="experiment", fix=fix)
    name = content["experiment"]
    if not isinstance(name, str):
        raise InputError(f"expected a name, got {short(name)}", file=file, field="experiment")
    try:
        return find_experiment(name, folder_of(file))
    except InputError as error:
        raise InputError(str(error), file=file) from error


def _figure(content: Mapping[str, Any], definition: Experiment, file: Path) -> str | None:
    """The figure the file names, or the first the grid has the factors for."""
    name, grid = content.get("figure"), tuple(content["grid"])
    if name is None:
        return definition.figure_for(grid)
    require_known(name, tuple(definition.figures), file, section="figure")
    absent = [factor for factor in definition.figures[name].needs if factor not in grid]
    if absent:
        raise InputError(
            f"figure '{name}' is drawn against {absent[0]}, which the grid does not vary", file=file, field="figure",
            fix=f"add {absent[0]} to the grid, or name another figure of {', '.join(definition.figures)}",
        )  # fmt: skip
    return str(name)


def _override(content: dict[str, Any], text: str, names: Sequence[str], file: Path) -> str:
    """The key that it sets."""
    key, value = parse_override(text, "n_annotators=100", exponents=True)
    key = key.removeprefix("settings.").removeprefix("grid.")
    if key in content["grid"]:
        content["grid"][key] = value if isinstance(value, list) else [value]
    elif key in _OVERRIDABLE:
        content[key] = value
    else:
        require_known(key, (*names, *_OVERRIDABLE), file)
        content["settings"][key] = value
    return key


def _whole(value: Any, file: Path, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"expected a whole number of at least {least}, got {short(value)}", file=file, field=name)
    return value
