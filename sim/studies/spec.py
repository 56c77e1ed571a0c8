"""Study files: YAML in, a checked and frozen specification out."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from sim.errors import InputError
from sim.studies.experiment import Experiment
from sim.studies.registry import EXPERIMENTS

_KEYS = ("experiment", "title", "seed", "replicates", "settings", "grid", "reference")


@dataclass(frozen=True)
class StudySpec:
    """A grid of factors, each cell run `replicates` times.

    settings: what all cells share; grid: factor -> values, the first varying slowest.  reference: a file of
    numbers to compare with, beside the study file, or None.
    """

    experiment: str
    title: str
    seed: int
    replicates: int
    settings: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]
    reference: Path | None = None

    @property
    def definition(self) -> Experiment:
        return EXPERIMENTS[self.experiment]

    def cells(self) -> Iterator[tuple[dict[str, Any], Any]]:
        """(factor values, the experiment's setting) of each cell, in order."""
        for values in itertools.product(*self.grid.values()):
            factors = dict(zip(self.grid, values, strict=True))
            yield factors, self.definition.setting(**self.settings, **factors)

    def resolved(self) -> dict[str, Any]:
        """The whole configuration, defaults included, as plain values."""
        first = next(self.cells())[1]
        return {
            "experiment": self.experiment,
            "title": self.title,
            "seed": self.seed,
            "replicates": self.replicates,
            "settings": {k: v for k, v in asdict(first).items() if k not in self.grid},
            "grid": {name: list(values) for name, values in self.grid.items()},
        }


def load_spec(path: str | Path, overrides: Sequence[str] = (), seed: int | None = None) -> StudySpec:
    """Read and check a study file; `overrides` are key=value texts with YAML values."""
    file = Path(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file, fix="check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError("is not YAML: " + " ".join(str(error).split()), file=file) from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"expected a mapping with the keys {', '.join(_KEYS)}", file=file)
    for key in content:
        _require_known(key, _KEYS, file, "")
    if "experiment" not in content:
        raise InputError("missing", file=file, field="experiment", fix=f"choose one of {', '.join(EXPERIMENTS)}")
    _require_known(content["experiment"], tuple(EXPERIMENTS), file, "experiment")
    for section in ("settings", "grid"):
        if not isinstance(content.setdefault(section, {}), dict):
            raise InputError(f"expected a mapping, got {content[section]!r}", file=file, field=section)
    names = tuple(field.name for field in fields(EXPERIMENTS[content["experiment"]].setting))
    for text in overrides:
        _override(content, text, names, file)
    if seed is not None:
        content["seed"] = seed
    for section in ("settings", "grid"):
        for key in content[section]:
            _require_known(key, names, file, section)
    reference = content.get("reference")
    spec = StudySpec(
        experiment=content["experiment"],
        title=str(content.get("title", content["experiment"])),
        seed=_whole(content.get("seed", 0), file, "seed", 0),
        replicates=_whole(content.get("replicates", 20), file, "replicates", 1),
        settings={name: _frozen(value) for name, value in content["settings"].items() if name not in content["grid"]},
        grid={name: _values(name, values, file) for name, values in content["grid"].items()},
        reference=None if reference is None else file.parent / str(reference),
    )
    try:
        for _ in spec.cells():
            pass
    except (ValueError, TypeError) as error:
        raise InputError(str(error), file=file, fix="mend the study file or the --set option") from error
    return spec


def _require_known(key: Any, known: Sequence[str], file: Path, section: str) -> None:
    if key in known:
        return
    near = difflib.get_close_matches(str(key), known, n=1)
    fix = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(known)}"
    place = f" in '{section}'" if section else ""
    raise InputError(f"unknown key '{key}'{place}", file=file, fix=fix)


def _override(content: dict[str, Any], text: str, names: Sequence[str], file: Path) -> None:
    key, equals, value_text = text.partition("=")
    if not equals:
        raise InputError(f"--set {text}: expected key=value", fix="for example --set n_annotators=100")
    try:
        value = yaml.safe_load(value_text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {text}: the value is not YAML", fix="quote it") from error
    key = key.strip().removeprefix("settings.").removeprefix("grid.")
    if key in content["grid"]:
        content["grid"][key] = value if isinstance(value, list) else [value]
    elif key in ("title", "seed", "replicates"):
        content[key] = value
    else:
        _require_known(key, (*names, "title", "seed", "replicates"), file, "--set")
        content["settings"][key] = value


def _values(name: str, values: Any, file: Path) -> tuple[Any, ...]:
    if not isinstance(values, list) or not values:
        raise InputError(f"expected a list of values, got {values!r}", file=file, field=f"grid.{name}")
    frozen = tuple(_frozen(value) for value in values)
    if len(set(map(repr, frozen))) < len(frozen):
        raise InputError("a value occurs twice", file=file, field=f"grid.{name}", fix="remove one")
    return frozen


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _whole(value: Any, file: Path, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"expected a whole number of at least {least}, got {value!r}", file=file, field=name)
    return value
