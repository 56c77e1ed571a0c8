"""What decides the numbers of a run beside its settings: the sources and the versions they run on."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

SIM = Path(__file__).resolve().parents[1]
NUMERICAL = ("numpy", "scipy", "numba", "llvmlite", "cvxpy", "clarabel", "quantecon")


def versions(*more: str) -> dict[str, str]:
    """Python's version and those of the packages that decide numbers, and of `more`; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in (*NUMERICAL, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code_fingerprint(sources: tuple[Path, ...] = (), packages: tuple[str, ...] = ()) -> str:
    """Digest of every Python file of `sim`, of `sources`, and of `versions(*packages)`: what other code computed is
    not taken for this code's.

    sources: folders (every .py below) and files (of any kind).  Read once a process: a process runs the sources it
    has imported, not what is written to the files afterwards.
    """
    digest = hashlib.blake2b(json.dumps(versions(*packages), sort_keys=True).encode(), digest_size=12)
    for source in (SIM, *sources):
        for file in files_of(source):
            name = f"{source.name}/{file.relative_to(source)}" if file != source else file.name
            content = file.read_bytes()
            # Lengths first, so that no two sets of files write the same bytes.
            digest.update(f"{len(name)}:{name}:{len(content)}:".encode() + content)
    return digest.hexdigest()


def files_of(source: Path) -> Iterable[Path]:
    """The file itself, or every .py file below the folder, in order."""
    return [source] if source.is_file() else sorted(source.rglob("*.py"))


def content_of(file: Path) -> str:
    """Digest of a file's bytes, or of all files below a folder with their names: data that a run reads."""
    digest = hashlib.blake2b(digest_size=12)
    for path in [file] if file.is_file() else sorted(own for own in file.rglob("*") if own.is_file()):
        name = path.name if path == file else str(path.relative_to(file))
        digest.update(f"{len(name)}:{name}:{path.stat().st_size}:".encode())
        with path.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
