"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from sim.errors import InputError, require_utf8

# What JSON can hold.
Json: TypeAlias = Any


def require_place(path: str | Path) -> None:
    """Refuse a path that cannot be written, before any work is done: tried where it would begin to be made."""
    target = Path(path)
    require_utf8(target.absolute())
    # The nearest that is there, a link that leads nowhere among them; an earlier file is replaced whole.
    here = next(place for place in (target.absolute(), *target.absolute().parents) if os.path.lexists(place))
    here = here.parent if here == target.absolute() and here.is_file() else here
    try:
        tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=here).cleanup()
    except OSError as error:
        raise InputError(
            f"cannot be written ({here}: {error.strerror})", file=target, fix="name another place"
        ) from error


def require_other(path: str | Path, *sources: object) -> None:
    """Refuse to write over what is read: a path that is one of the sources, under whatever name, or that is a file in
    one of them; what is no path is not looked at."""
    target = Path(path)
    for source in sources:
        if isinstance(source, str | os.PathLike):
            with suppress(OSError):
                inside = os.path.isdir(source) and target.resolve().is_relative_to(Path(source).resolve())
                if (inside and target.exists()) or target.samefile(source):
                    raise InputError("is read, and would be written over", file=path, fix="name another file")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name, on failure it is removed."""
    with beside(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextmanager
def beside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, for its content; what is still there in the end is removed."""
    # Absolute: Arrow takes a folder that is called ~ for somebody's home.
    target = Path(path).absolute()
    with parents_of(target):
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        # mkstemp makes files private to the user; a result is as readable as any other file she writes.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


@contextmanager
def parents_of(target: Path) -> Iterator[None]:
    """The folder of `target` is there; what had to be made of it is gone again where the work inside fails."""
    require_utf8(target.absolute())
    missing = [folder for folder in target.absolute().parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            # Not where somebody else has put something there in the meantime.
            with suppress(OSError):
                folder.rmdir()
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Json) -> None:
    """Write JSON atomically; non-finite numbers are refused, because JSON has none."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
