"""Doors: where a name of ours may stand, the name of an installed package's own or `module:NAME` may stand too.

    METHODS = Door("method", {"pooled": "sim.fitting.methods.pooled:Pooled"})
    METHODS.find("pooled")                      # ours
    METHODS.find("mypackage.methods:Mine")      # anybody's, importable or a file in the folder looked in
    METHODS.find("mine")                        # an entry point of group "pluralign.methods"

What is found stands for its sources as they are now: a file edited since it was imported is imported again, and
`digest` tells one state of the sources from another, so that no number of an older state is taken for this one's.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from sim.code_in_memory import code_digest
from sim.errors import InputError
from sim.plugin_sources import HERE, NOTHING, OURS, Sources, made_of, place_of_module, sources_from, together

__all__ = ["NOTHING", "Door", "Sources", "blaming", "looking_in", "place_of", "together"]

_STDLIB = Path(sysconfig.get_paths()["stdlib"])
_TRACEBACK = "PLURALIGN_TRACEBACK"


# Where modules are looked for first, when nobody says where: set by `looking_in`.
_FOLDER: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextmanager
def looking_in(folder: str | Path | None) -> Iterator[None]:
    """Inside, doors look for modules in this folder first (the working directory if None)."""
    before = _FOLDER.set(None if folder is None else Path(folder).resolve())
    try:
        yield
    finally:
        _FOLDER.reset(before)


@dataclass(frozen=True)
class Door:
    """One kind of thing that others may add.

    kind: its name, also that of the entry-point group "pluralign.<kind>s".  ours: name -> "module:ATTRIBUTE", loaded
    when first asked for.  hidden: names of ours that are found and not offered.
    """

    kind: str
    ours: Mapping[str, str]
    hidden: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return f"pluralign.{self.kind}s"

    def names(self) -> tuple[str, ...]:
        """Ours, then those of installed packages."""
        return tuple(dict.fromkeys((*(n for n in self.ours if n not in self.hidden), *_installed(self.group))))

    def place(self, name: str) -> str:
        """The "module:ATTRIBUTE" a name stands for.

        Errors: InputError with the nearest name where there is none of that name, or where there are two.
        """
        self.require_one(name)
        found = self.ours.get(name) or (name if ":" in name else _installed(self.group).get(name))
        if found is not None:
            return found
        if meant := self.file_of(name):
            raise InputError(f"{self.kind}: there is none called '{name}'", fix=meant)
        known = self.names()
        near = difflib.get_close_matches(name, known, n=1)
        nearest = f"did you mean '{near[0]}'? " if near else ""
        ours = f"choose one of {', '.join(known)}, or " if known else "give "
        raise InputError(f"{self.kind}: there is none called '{name}'", fix=f"{nearest}{ours}module:NAME of your own")

    def require_one(self, name: str, ours: str | None = None) -> None:
        """InputError where a name stands for two: of two packages, or of one and `ours` (what else than a door has it).
        One of them would be taken, and nobody would know which."""
        ours = ours or self.ours.get(name)
        if ":" in name or (ours is not None and not _is_offered()):
            return
        there = {place: f"{place} of package {package}" for own, place, package in _entries(self.group) if own == name}
        if ours is not None:
            there = {ours: f"{ours} of this program", **there}
        if len(there) > 1:
            of_ours = "uninstall that package, or let it give another name"
            raise InputError(
                f"{self.kind}: two are called '{name}', {' and '.join(there.values())}",
                fix="give module:NAME of the one that is meant" if ours is None else of_ours,
            )

    def file_of(self, name: str) -> str:
        """What to write for the file of that name where modules are looked for, which is more likely meant than a name
        that looks like it; "" where there is none."""
        file = (_FOLDER.get() or Path.cwd()) / f"{name.removesuffix('.py')}.py"
        return f"for what {file.name} holds: {file.stem}:{_likely(file, self.kind.upper())}" if file.is_file() else ""

    def is_ours(self, name: str) -> bool:
        return name in self.ours

    def find(self, name: str, folder: str | Path | None = None) -> Any:
        """The object of that name.

        folder: where a module is looked for first, as Python looks beside a script; None: see `looking_in`.
        Errors: InputError where there is no such name, module or attribute, or where the module cannot be imported,
        with the line of it that failed.
        """
        module, _, attribute = self.place(name).partition(":")
        if name in self.ours:
            return getattr(importlib.import_module(module), attribute)
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", module) or not attribute.isidentifier():
            raise InputError(f"{self.kind} '{name}': expected module:NAME", fix="for example mymodule:MINE")
        loaded = _load(self.kind, name, module, self._looked_in(name, folder))
        try:
            return getattr(loaded.module, attribute)
        except AttributeError:
            raise InputError(
                f"{self.kind} '{name}': module {module} has no {attribute}", fix=_offer(loaded.module, attribute)
            ) from None

    def sources(self, name: str, folder: str | Path | None = None) -> Sources:
        """What its numbers depend on beside our code; nothing for a name of ours."""
        if name in self.ours:
            return NOTHING
        found = self.find(name, folder)
        loaded = _load(self.kind, name, self.place(name).partition(":")[0], self._looked_in(name, folder))
        return loaded.sources if place_of_module(loaded.module) is not None else Sources((), (), code_digest(found))

    def loaded(self, name: str, digest: str) -> Any:
        """What a module that is loaded here holds under that name, if its sources are those of the digest; else None.
        Nothing is imported."""
        module, _, attribute = self.place(name).partition(":")
        there = sys.modules.get(module)
        if there is None:
            return None
        known = _LOADED.get(module)
        if known is not None and _is_current(module, known):
            sources = known.sources
        else:
            modules, packages = made_of(module)
            if not modules or any(_is_stale(own, file) for own, file in modules.items()):
                return None
            sources = sources_from(modules, packages)
        return getattr(there, attribute, None) if sources.digest == digest else None

    def _looked_in(self, name: str, folder: str | Path | None) -> Path | None:
        """The folder of module:NAME; none for what an installed package offers: no file beside us stands for that."""
        if ":" not in name:
            return None
        return (_FOLDER.get() or Path.cwd()) if folder is None else Path(folder).resolve()

    def find_unchanged(self, name: str, folder: str | Path | None, digest: str) -> Any:
        """`find`, for a worker: the sources must be those the run began with."""
        found = self.find(name, folder)
        if self.sources(name, folder).digest != digest:
            raise InputError(
                f"{self.kind} '{name}': its sources changed while the run was going on",
                fix="run the same command again; what the new sources decide is computed anew",
            )
        return found


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """What code that is not ours raises, as one line: `what`, the error, the file and line it came from.

    Set PLURALIGN_TRACEBACK=1 to see the whole of it.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever others' code may raise
        if os.environ.get(_TRACEBACK):
            traceback.print_exc()
        text = " ".join(str(error).split()) or "no message"
        said = f"{what} raised {type(error).__name__}{place_of(error)}: {text}"
        raise InputError(said, fix=f"{_TRACEBACK}=1 shows the whole of it") from error


@dataclass(frozen=True)
class _Loaded:
    """modules: name -> file of what it is made of, of folders that are named (`folder`: where it was looked for).
    stamps: (file, time of change, size) of each source when it was read."""

    module: ModuleType
    folder: Path | None
    modules: Mapping[str, Path]
    sources: Sources
    stamps: tuple[tuple[str, int, int], ...]


_LOADED: dict[str, _Loaded] = {}
# Folders that stand on the path because they were looked in.
_ADDED: set[str] = set()


def _load(kind: str, name: str, module: str, folder: Path | None) -> _Loaded:
    """The module in the state its sources are in now.

    folder: looked in first; None: where Python looks without us (what a package that is installed offers).
    """
    known = _LOADED.get(module)
    if known is not None and known.folder == folder and _is_current(module, known):
        return known
    importlib.invalidate_caches()
    with _path(folder):
        modules, packages = made_of(module)
        if known is None or known.modules != modules or not _is_current(module, known):
            # What was imported before, by us or by others, may be another folder's, or what a file held then.
            if known is not None or any(_is_stale(own, file) for own, file in modules.items()):
                _forget(modules)
            # With bytecode an edit within a second of the last would be missed.
            before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
            try:
                with _importing(kind, name):
                    found = importlib.import_module(module)
            finally:
                sys.dont_write_bytecode = before
        else:
            found = known.module
        sources = sources_from(modules, packages)
    _LOADED[module] = _Loaded(found, folder, modules, sources, _stamps(sources.files))
    return _LOADED[module]


def _is_current(module: str, known: _Loaded) -> bool:
    """It is what stands in `sys.modules`, all it is made of too, and no file has been touched since."""
    if sys.modules.get(module) is not known.module or _stamps(known.sources.files) != known.stamps:
        return False
    return all(
        name not in sys.modules or place_of_module(sys.modules[name]) == file for name, file in known.modules.items()
    )


def _is_stale(name: str, file: Path) -> bool:
    """What others imported under that name is another file's, or the file was written after this process began."""
    loaded = sys.modules.get(name)
    if loaded is None:
        return False
    began = _began()
    return place_of_module(loaded) != file or began is None or file.stat().st_mtime > began


@cache
def _began() -> float | None:
    """When this process began, seconds of the epoch, to about a second; None where the system does not say."""
    try:
        ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return float(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK") - 1.0
    except (OSError, ValueError, IndexError, StopIteration):
        return None


@contextmanager
def _path(folder: Path | None) -> Iterator[None]:
    """The folder first on the path, and there to stay, for what is imported later on; None: without all of these."""
    if folder is not None:
        _ADDED.add(str(folder))
        if sys.path[:1] != [str(folder)]:
            sys.path[:] = [str(folder), *(place for place in sys.path if place != str(folder))]
        yield
        return
    before = list(sys.path)
    sys.path[:] = [place for place in sys.path if place not in _ADDED]
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def _importing(kind: str, name: str) -> Iterator[None]:
    try:
        yield
    except SyntaxError as error:
        raise InputError(
            f"{kind} '{name}': {error.msg}", file=error.filename, row=error.lineno, fix="mend the file"
        ) from error
    except ImportError as error:
        raise InputError(
            f"{kind} '{name}': {error}", fix="check that Python can import the module from here"
        ) from error
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported, end the program too
        if os.environ.get(_TRACEBACK):
            traceback.print_exc()
        said = f"{kind} '{name}': its module raised {type(error).__name__}{place_of(error)}: {error}"
        raise InputError(said, fix="mend the module") from error


def _forget(modules: Mapping[str, Path]) -> None:
    """These are imported again when next asked for; a module that is being imported stays, and so does a script."""
    for name in modules:
        loaded = sys.modules.get(name)
        if loaded is not None and name != "__main__" and not getattr(loaded.__spec__, "_initializing", False):
            del sys.modules[name]


def _stamps(files: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    found = []
    for file in files:
        try:
            state = file.stat()
            found.append((str(file), state.st_mtime_ns, state.st_size))
        except OSError:
            found.append((str(file), 0, -1))
    return tuple(found)


@cache
def _installed(group: str) -> dict[str, str]:
    """name -> "module:ATTRIBUTE" of what installed packages offer."""
    return {name: place for name, place, _ in _entries(group)}


@cache
def _entries(group: str) -> tuple[tuple[str, str, str], ...]:
    """(name, "module:ATTRIBUTE", package) of each."""
    found = metadata.entry_points(group=group)
    return tuple(sorted((one.name, one.value, one.dist.name if one.dist is not None else "?") for one in found))


@cache
def _is_offered() -> bool:
    """Whether any package offers anything. Where none does, as mostly, this takes some milliseconds, and what Python
    has for it half a second, which nobody should wait who asks for one of ours."""
    for place in sys.path:
        for told in Path(place or ".").glob("*.*-info/entry_points.txt"):
            try:
                if b"pluralign." in told.read_bytes():
                    return True
            except OSError:
                continue
    return False


def _likely(file: Path, usual: str) -> str:
    """The name that a file gives to what it holds: as skeletons call it where it has that, else whatever it is."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return "NAME"
    return usual if re.search(rf"^(?:def |class )?{usual}\b", text, re.MULTILINE) else "NAME"


def _offer(module: ModuleType, attribute: str) -> str:
    own = [name for name in vars(module) if not name.startswith("_")]
    near = difflib.get_close_matches(attribute, own, n=1)
    return f"did you mean '{near[0]}'?" if near else "check the name"


def place_of(error: BaseException) -> str:
    """ " (file.py, line 12)": the innermost line that is not ours and not of an installed package, else the last."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = ("site-packages", "dist-packages")
    own = [
        frame for frame in frames
        if not Path(frame.filename).is_relative_to(_STDLIB) and not any(part in frame.filename for part in theirs)
        and not any(Path(frame.filename).is_relative_to(HERE / room) for room in OURS)
    ]  # fmt: skip
    if not frames:
        return ""
    chosen = (own or list(frames))[-1]
    return f" ({Path(chosen.filename).name}, line {chosen.lineno})"
