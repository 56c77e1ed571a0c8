"""Result folders found and recognised by what they hold; and the record of which files a page was made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pluralign.page.limits import FOLDERS, require_size
from sim.errors import InputError
from sim.reading import load_json

Kind = Literal["check", "fit", "study", "llm", "mutations"]
# The file that says what a folder is, in this order: a fit of types holds a mixture.json too.
MARKS: dict[str, Kind] = {
    "verdicts.json": "check", "fit.json": "fit", "results.parquet": "study", "mixture.json": "llm",
    "mutations.json": "mutations",
}  # fmt: skip
NAMED = "verdicts.json, fit.json, results.parquet or mixture.json"
_DEPTH = 3


@dataclass(frozen=True)
class Result:
    """A result folder and what it is; name: below the folder that was asked for."""

    kind: Kind
    folder: Path
    name: str


def kind_of(folder: Path) -> Kind | None:
    return next((kind for mark, kind in MARKS.items() if (folder / mark).is_file()), None)


def results_in(folder: str | Path) -> list[Result]:
    """The folder itself where it is a result, and those in it, three levels down; in the order of their names.

    Raises InputError where there is none, or where there are too many for a page.
    """
    top = Path(folder)
    found = [Result(kind, place, _name(place, top)) for place, kind in _walk(top, _DEPTH) if kind is not None]
    if not found and (without := unfinished_in(top)):
        raise InputError(
            f"holds no results: {', '.join(without[:12])} {'are' if len(without) > 1 else 'is'} a share of a study, or "
            "has not ended", file=folder,
            fix="`pluralign study merge` puts shares together, `pluralign study resume` goes on",
        )  # fmt: skip
    if all(result.kind == "mutations" for result in found):
        raise InputError(
            f"holds no {NAMED}", file=folder, fix="give a folder written by pluralign check, fit, study or llm train"
        )
    if len(found) > FOLDERS:
        raise InputError(f"holds {len(found)} results; a page shows {FOLDERS}", file=folder, fix="report on fewer")
    return found


def unfinished_in(folder: str | Path) -> list[str]:
    """Names of studies in the folder that have no results: shares of one, and those that have not ended."""
    top = Path(folder)
    return [_name(place, top) for place, kind in _walk(top, _DEPTH) if kind is None]


def _name(place: Path, top: Path) -> str:
    return (place.absolute().name if place == top else place.relative_to(top).as_posix()) or "results"


def _walk(place: Path, deeper: int, seen: set[Path] | None = None) -> Iterator[tuple[Path, Kind | None]]:
    """None: a study without results; nothing is inside of one either.

    Links lead where they lead, and every place counts once (`seen`): as it lies, before any link to it beside it.
    """
    seen = set() if seen is None else seen
    if (real := place.resolve()) in seen:
        return
    seen.add(real)
    kind = kind_of(place)
    if kind is not None:
        yield place, kind
        # Planted faults may be kept beside the verdicts they are about; no other result is inside of one.
        if kind != "mutations":
            if (place / "mutations.json").is_file():
                yield place, "mutations"
            return
    if (place / "request.json").is_file():
        yield place, None
        return
    if deeper and place.is_dir():
        try:
            inside = sorted((own for own in place.iterdir() if own.is_dir()), key=lambda own: (own.is_symlink(), own))
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", file=place) from error
        for own in inside:
            if not own.name.startswith("."):
                yield from _walk(own, deeper - 1, seen)


@dataclass(frozen=True)
class Source:
    """A file that was read: its SHA-256, by which a reader finds out whether hers is the same."""

    name: str
    size: int
    digest: str


@dataclass
class Sources:
    """What a page rests on; every file is read through it."""

    top: Path
    files: list[Source] = field(default_factory=list)

    def note(self, path: Path) -> Path:
        """The path, after its checksum was taken; refused where it is too large or cannot be read."""
        try:
            require_size(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", file=path) from error
        name = path.relative_to(self.top).as_posix() if path.is_relative_to(self.top) else path.name
        self.files.append(Source(name, path.stat().st_size, digest))
        return path

    def json(self, path: Path, fix: str) -> dict[str, Any]:
        """An object of JSON; InputError, with what to do, where it is none."""
        try:
            content = load_json(self.note(path).read_text(encoding="utf-8"))
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"is not JSON ({error})", file=path, fix=fix) from error
        if not isinstance(content, dict):
            raise InputError(f"expected a JSON object, got {type(content).__name__}", file=path, fix=fix)
        return content
