"""What decides a study's numbers beside its file: kept with how it was asked for, and compared without loading any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.plugin_sources import HERE, digest_of
from sim.running.fingerprint import code_fingerprint, content_of
from sim.studies.experiment import Backends
from sim.studies.grid import Cell
from sim.studies.registry import sources_of
from sim.studies.spec import StudySpec


def decided_by(spec: StudySpec, grid: Sequence[Cell], backends: Backends) -> dict[str, Any]:
    """seed; own: files and packages of an experiment, a method or a world that is not ours, with the digest of all;
    backends: of each that takes part its sources, by their place in this program, packages and digest; data: file ->
    digest of what is read."""
    files: dict[Path, None] = {}
    packages: dict[str, None] = {}
    parts: dict[str, Any] = {}
    data: dict[str, str] = {}
    runs = [cell for cell in grid if cell.skipped is None]
    for setting in {cell.digest: cell.setting for cell in runs}.values():
        own = sources_of(spec.experiment, setting, spec.folder)
        files |= dict.fromkeys(own.files)
        packages |= dict.fromkeys(own.packages)
    for cell in runs:
        name = spec.definition.backend(cell.setting)
        if name is not None and name not in parts and backends[name].sources:
            parts[name] = {
                "sources": [str(place.relative_to(HERE)) for place in backends[name].sources],
                "packages": list(backends[name].packages),
                "digest": code_fingerprint(backends[name].sources, backends[name].packages),
            }
        for place in spec.definition.files(cell.setting):
            for file in [place] if not place.is_dir() else sorted(each for each in place.rglob("*") if each.is_file()):
                if str(file.resolve()) not in data:
                    data[str(file.resolve())] = content_of(file)
    mine = {"files": list(map(str, files)), "packages": [*packages], "digest": _digest([*files], [*packages])}
    return {"seed": spec.seed, "own": mine, "backends": parts, "data": data}


def changed(kept: Mapping[str, Any]) -> str:
    """What of it is not as it was kept, or "".  Nothing but regular files is read: the folder may be a stranger's."""
    again = "`study resume` computes what it decides again"
    own = kept["own"]
    files = [Path(file) for file in own["files"]]
    for file in [*files, *map(Path, kept["data"])]:
        if not file.is_file():
            return f"{file}, which the study was computed with, is not there any more; `study resume` needs it"
    if files and _digest(files, own["packages"]) != own["digest"]:
        names = ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")
        return f"the code of one's own that it runs ({names}), or a package of it, has changed since; {again}"
    for name, part in kept["backends"].items():
        places = [HERE / place for place in part["sources"]]
        if not all(place.resolve().is_relative_to(HERE) and place.resolve() != HERE for place in places):
            raise ValueError(f"sources of {name}")
        if code_fingerprint(tuple(places), tuple(part["packages"])) != part["digest"]:
            return f"the program's part for {name}, or a package of it, is another version since; {again}"
    for file, digest in kept["data"].items():
        if content_of(Path(file)) != digest:
            return f"{file}, which it reads, has changed since; {again}"
    return ""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Sequence[str]:
    """What two requests' numbers were decided by otherwise, in words."""
    try:
        old, new = before["decided"], now["decided"]
        parts = [
            (old["seed"] != new["seed"], f"another seed ({old['seed']}, now {new['seed']})"),
            (
                before["code"] != now["code"] or old["backends"] != new["backends"],
                "another version of this program or of a package",
            ),
            (old["own"]["digest"] != new["own"]["digest"], "other code of one's own"),
            (old["data"] != new["data"], "other data"),
        ]
    except (KeyError, TypeError):
        return []
    return [words for differs, words in parts if differs]


def _digest(files: Sequence[Path], packages: Sequence[str]) -> str:
    return digest_of(files, packages) if files else ""
