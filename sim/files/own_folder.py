"""Result folders: a command begins in a new or an empty one, goes on in its own, and leaves all others alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sim.errors import InputError


def require_own_folder(out: str | Path, what: str, marks: Sequence[str]) -> None:
    """Refuse a folder that holds something else, before any work: files in it would be written over.

    what: what an earlier run of the same command left, for the message.  marks: patterns of files, one of which it
    leaves, however early it was killed.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError("exists and is not a folder", file=folder, fix="name another folder (out)")
    if is_bare(folder) or any(any(folder.glob(mark)) for mark in marks):
        return
    raise InputError(f"is not empty and holds no earlier {what}", file=folder, fix="name another folder (out)")


def lies_at(out: str | Path) -> Path:
    """Where a folder that is to be replaced lies: of a link, what it leads to, which may be another disk."""
    place = Path(out).absolute()
    return place.resolve() if place.is_symlink() and place.is_dir() else place


def take_place(fresh: Path, target: Path) -> None:
    """`fresh` becomes the folder `target`; an earlier one goes, but for hidden files: .gitkeep, .DS_Store and .git are
    nobody's results."""
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent)) if target.exists() else None
    if old is not None:
        os.replace(target, old / "earlier")
    os.replace(fresh, target)
    if old is not None:
        for hidden in (old / "earlier").glob(".*"):
            os.replace(hidden, target / hidden.name)
        shutil.rmtree(old)


def is_bare(folder: Path) -> bool:
    """Whether nothing lies there but folders of nothing and hidden files: locks, and what a kill left half written."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except FileNotFoundError:
        return True
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=folder, fix="name another folder (out)") from error
    return all(entry.is_dir(follow_symlinks=False) and is_bare(Path(entry.path)) for entry in entries)
