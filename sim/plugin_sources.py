"""What a plug-in is made of: its own files, found from the import statements, and the packages it uses."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

OURS = ("sim", "theory", "llm", "pluralign")
HERE = Path(__file__).resolve().parents[1]


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


def place_of_module(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def in_a_file(thing: object) -> bool:
    """Whether the module of its class has a file: a notebook, and text that was executed, have none."""
    module = sys.modules.get(type(thing).__module__)
    return module is not None and place_of_module(module) is not None


def own_modules() -> list[ModuleType]:
    """The modules loaded here, a script apart, that are neither ours, nor Python's, nor of an installed package; those
    among them that nobody could import, without a file and without a finder."""
    found = []
    for name, module in list(sys.modules.items()):
        top, file = name.partition(".")[0], getattr(module, "__file__", None)
        if getattr(module, "__name__", None) != name or name == "__main__" or top in sys.stdlib_module_names:
            continue
        if not isinstance(file, str):
            own = isinstance(module, ModuleType) and file is None and getattr(module, "__spec__", None) is None
        else:
            ours = top in OURS and Path(file).is_relative_to(HERE)
            own = file.endswith(".py") and not (ours or is_installed(Path(file)))
        if own:
            found.append(module)
    return found


def is_installed(file: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(file.parts))


def made_of(module: str) -> tuple[dict[str, Path], dict[str, None]]:
    """name -> file of its own modules, and what else it imports: from the import statements, without running any."""
    own: dict[str, Path] = {}
    others: dict[str, None] = {}
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        file = _file_of(name)
        if top in OURS and (file is None or file.is_relative_to(HERE)):
            if top != "sim":
                others[top] = None
        elif file is None:
            continue
        elif top != module.partition(".")[0] and is_installed(file):
            others[top] = None
        else:
            own[name] = file
            waiting += [name.rpartition(".")[0]] if "." in name else []
            waiting += _imports(name, file)
    return own, others


def sources_from(modules: Mapping[str, Path], others: Iterable[str]) -> Sources:
    rooms = [HERE / name for name in others if name in OURS]
    packages = sorted(name for name in others if name not in OURS)
    files = sorted({*modules.values(), *(part for room in rooms for part in room.rglob("*.py"))})
    return Sources(tuple(files), tuple(packages), digest_of(files, packages))


def _file_of(name: str) -> Path | None:
    """The file a module has on the path as it is now, whatever is loaded; None for what has none (built in, a folder,
    nothing). Packages are looked into, not imported."""
    if name == "__main__":
        return place_of_module(sys.modules[name])
    place: Sequence[str] | None = None
    parts = name.split(".")
    for number in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: number + 1]), place)
        if spec is None and number == 0 and name not in sys.modules:
            try:  # an import hook's, as editable installs have
                spec = importlib.util.find_spec(parts[0])
            except (ImportError, ValueError):
                return None
        if spec is None:
            return place_of_module(sys.modules[name]) if name in sys.modules else None
        place = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
        if place is None and number < len(parts) - 1:
            return None
    file = spec.origin if spec is not None and spec.has_location else None
    return Path(file).resolve() if file is not None and file.endswith(".py") else None


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


def digest_of(files: Sequence[Path], packages: Sequence[str]) -> str:
    """Of names, contents and versions, as they are now."""
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
