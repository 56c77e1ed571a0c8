"""Doors: where a name of ours may stand, the name of an installed package's own or `module:NAME` may stand too.

    METHODS = Door("method", {"pooled": "sim.fitting.methods.pooled:Pooled"})
    METHODS.find("pooled")                      # ours
    METHODS.find("mypackage.methods:Mine")      # anybody's, importable or a file in the folder looked in
    METHODS.find("mine")                        # an entry point of group "pluralign.methods"

What is found stands for its sources as they are now: a file edited since it was imported is imported again, and
`digest` tells one state of the sources from another, so that no number of an older state is taken for this one's.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
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

from sim.errors import InputError

OURS = ("sim", "theory", "llm", "pluralign")
_HERE = Path(__file__).resolve().parents[1]
_STDLIB = Path(sysconfig.get_paths()["stdlib"])
_TRACEBACK = "PLURALIGN_TRACEBACK"


@dataclass(frozen=True)
class Sources:
    """What a plug-in's numbers depend on beside our own code.

    files: its module and what that imports, followed through, installed packages left out (of a package installed
    itself: its own files).  packages: installed distributions it imports, which count by their version.
    digest: of names, contents and versions, in the state they were imported in.
    """

    files: tuple[Path, ...]
    packages: tuple[str, ...]
    digest: str


NOTHING = Sources((), (), "")
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


def together(*parts: Sources) -> Sources:
    """What depends on all of these."""
    some = [part for part in parts if part.digest]
    if len(some) < 2:
        return some[0] if some else NOTHING
    return Sources(
        tuple(dict.fromkeys(file for part in some for file in part.files)),
        tuple(sorted({package for part in some for package in part.packages})),
        hashlib.blake2b(" ".join(part.digest for part in some).encode(), digest_size=12).hexdigest(),
    )


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
        return (*(name for name in self.ours if name not in self.hidden), *_installed(self.group))

    def place(self, name: str) -> str:
        """The "module:ATTRIBUTE" a name stands for.

        Errors: InputError with the nearest name where there is none of that name.
        """
        found = self.ours.get(name) or (name if ":" in name else _installed(self.group).get(name))
        if found is not None:
            return found
        known = self.names()
        near = difflib.get_close_matches(name, known, n=1)
        nearest = f"did you mean '{near[0]}'? " if near else ""
        ours = f"choose one of {', '.join(known)}, or " if known else "give "
        raise InputError(f"{self.kind}: there is none called '{name}'", fix=f"{nearest}{ours}module:NAME of your own")

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
        loaded = _load(self.kind, name, module, folder)
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
        self.find(name, folder)
        return _load(self.kind, name, self.place(name).partition(":")[0], folder).sources

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
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            traceback.print_exc()
        text = " ".join(str(error).split()) or "no message"
        raise InputError(
            f"{what} raised {type(error).__name__}{_at(error)}: {text}", fix=f"{_TRACEBACK}=1 shows the whole of it"
        ) from error


def sources_of_object(found: Any) -> Sources:
    """Of a class or an instance at hand, by the file that defines it; nothing where that is no file (a notebook)."""
    defined = found if isinstance(found, type) or callable(found) else type(found)
    module = getattr(defined, "__module__", "")
    if module.partition(".")[0] in OURS:
        return NOTHING
    file = getattr(sys.modules.get(module), "__file__", None)
    return NOTHING if file is None else _sources(module)


@dataclass(frozen=True)
class _Loaded:
    """stamps: (file, time of change, size) of each source when it was read."""

    module: ModuleType
    sources: Sources
    stamps: tuple[tuple[str, int, int], ...]


_LOADED: dict[str, _Loaded] = {}


def _load(kind: str, name: str, module: str, folder: str | Path | None) -> _Loaded:
    """The module in the state its sources are in now."""
    beside = (_FOLDER.get() or Path.cwd()) if folder is None else Path(folder).resolve()
    _look_in(beside)
    known = _LOADED.get(module)
    if known is not None and sys.modules.get(module) is known.module and not _elsewhere(module, beside):
        if _stamps(known.sources.files) == known.stamps:
            return known
        _forget(known.sources.files)
    elif _elsewhere(module, beside):
        _forget(_LOADED[module].sources.files if module in _LOADED else ())
        sys.modules.pop(module, None)
    importlib.invalidate_caches()
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # an edit within a second would go unnoticed
    try:
        with _importing(kind, name):
            found = importlib.import_module(module)
    finally:
        sys.dont_write_bytecode = before
    sources = _sources(module)
    _LOADED[module] = _Loaded(found, sources, _stamps(sources.files))
    return _LOADED[module]


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
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            traceback.print_exc()
        raise InputError(
            f"{kind} '{name}': its module raised {type(error).__name__}{_at(error)}: {error}", fix="mend the module"
        ) from error


def _look_in(folder: Path) -> None:
    """First on the path: two folders may have modules of one name."""
    if sys.path[:1] != [str(folder)]:
        sys.path[:] = [str(folder), *(place for place in sys.path if place != str(folder))]


def _elsewhere(module: str, folder: Path) -> bool:
    """A module of that name is loaded, and the folder has another one."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    parts = module.split(".")
    here = (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py"))
    present = next((path for path in here if path.is_file()), None)
    return loaded is not None and present is not None and Path(loaded).resolve() != present.resolve()


def _forget(files: Sequence[Path]) -> None:
    """Modules of these files are imported again when next asked for; ours stay, whose classes others have inherited."""
    gone = set(map(str, files))
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if name.partition(".")[0] not in OURS and place is not None and str(Path(place).resolve()) in gone:
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


def _sources(module: str) -> Sources:
    """The module's own files and what they import, from the import statements."""
    files: dict[Path, None] = {}
    packages: dict[str, None] = {}
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        top = name.partition(".")[0]
        file = _file_of(name)
        if top in OURS and (file is None or file.is_relative_to(_HERE)):
            if top != "sim":
                files[_HERE / top] = None
            continue
        if top in sys.stdlib_module_names or file is None:
            continue
        if top != module.partition(".")[0] and {"site-packages", "dist-packages"} & set(file.parts):
            packages[top] = None
            continue
        if file in files:
            continue
        files[file] = None
        waiting += [name.rpartition(".")[0]] if "." in name else []
        waiting += _imports(name, file)
    folders = [file for file in files if file.is_dir()]
    listed = sorted(file for file in files if not file.is_dir())
    listed += sorted(part for folder in folders for part in folder.rglob("*.py"))
    return Sources(tuple(listed), tuple(sorted(packages)), _digest(listed, sorted(packages)))


def _file_of(name: str) -> Path | None:
    """The file of a module that is loaded or can be; None for what has none (built in, a folder, nothing)."""
    place = getattr(sys.modules.get(name), "__file__", None)
    if place is None and name not in sys.modules:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        place = spec.origin if spec is not None and spec.has_location else None
    return Path(place).resolve() if place is not None and place.endswith(".py") else None


def _imports(name: str, file: Path) -> list[str]:
    """Modules that the import statements of a file may mean, wherever in it they stand."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found: list[str] = []
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            # `from a import b`: b may be a module, too.
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [each for each in found if each]


def _digest(files: Sequence[Path], packages: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name}:{len(content)}:".encode() + content)
    for package in packages:
        digest.update(f"{package}={_version(package)};".encode())
    return digest.hexdigest()


def _version(package: str) -> str:
    for name in (package, *_distributions().get(package, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "?"


@cache
def _distributions() -> Mapping[str, Sequence[str]]:
    return metadata.packages_distributions()


@cache
def _installed(group: str) -> dict[str, str]:
    """name -> "module:ATTRIBUTE" of what installed packages offer."""
    return {entry.name: entry.value for entry in metadata.entry_points(group=group)}


def _offer(module: ModuleType, attribute: str) -> str:
    own = [name for name in vars(module) if not name.startswith("_")]
    near = difflib.get_close_matches(attribute, own, n=1)
    return f"did you mean '{near[0]}'?" if near else "check the name"


def _at(error: BaseException) -> str:
    """ " (file.py, line 12)": the innermost line that is not ours and not of an installed package, else the last."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = ("site-packages", "dist-packages")
    own = [
        frame for frame in frames
        if not Path(frame.filename).is_relative_to(_STDLIB) and not any(part in frame.filename for part in theirs)
        and not any(Path(frame.filename).is_relative_to(_HERE / room) for room in OURS)
    ]  # fmt: skip
    if not frames:
        return ""
    chosen = (own or list(frames))[-1]
    return f" ({Path(chosen.filename).name}, line {chosen.lineno})"
