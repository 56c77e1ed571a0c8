"""Where finished tasks are kept: a folder, or whatever fsspec has an address for (s3://bucket/prefix).

A folder's files are appended to; an object store's are put whole. Both are read by ranges of bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sim.errors import InputError
from sim.install import install_line

# The number orders files in time; on an object store, where no name can be taken before others, chance makes it one.
NAME = re.compile(r"records-(\d{4,})(?:-[0-9a-f]{16})?\.jsonl")


# Addresses of fsspec that are folders.
_FILES = ("file://", "local://")


class Place(Protocol):
    """address: what a worker makes the same place from."""

    @property
    def address(self) -> str: ...

    def sizes(self) -> dict[str, int]:
        """Bytes of each file of finished tasks, the oldest first."""

    def read(self, name: str, start: int, stop: int) -> bytes: ...


class Folder:
    """A folder of this machine, or one that all machines see."""

    def __init__(self, path: str | Path, only: frozenset[str] | None = None) -> None:
        """only: the files that count; all if None."""
        self.path, self._only = Path(path).absolute(), only

    @property
    def address(self) -> str:
        return str(self.path)

    def sizes(self) -> dict[str, int]:
        try:
            found = {path.name: path.stat().st_size for path in self.path.iterdir() if self._counts(path.name)}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return dict(sorted(found.items(), key=lambda item: order(item[0])))

    def read(self, name: str, start: int, stop: int) -> bytes:
        with (self.path / name).open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def _counts(self, name: str) -> bool:
        return NAME.fullmatch(name) is not None and (self._only is None or name in self._only)

    def path_of(self, name: str) -> Path:
        return self.path / name


class Store:
    """An object store, or any other address of fsspec; credentials and endpoints are where fsspec looks for them."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        with self._saying("used"):
            try:
                from fsspec.core import url_to_fs
            except ImportError as missing:
                raise InputError(
                    "needs fsspec, which is not installed", file=address, fix=install_line("cluster")
                ) from missing
            self._fs, root = url_to_fs(self._address)
            self._root = str(root).rstrip("/")

    @property
    def address(self) -> str:
        return self._address

    def sizes(self) -> dict[str, int]:
        with self._saying("read"):
            # Others write there: what was listed before is not what is there now.
            self._fs.invalidate_cache()
            try:
                listed = self._fs.ls(self._root, detail=True)
            except FileNotFoundError:
                return {}
        found = {str(entry["name"]).rpartition("/")[2]: int(entry["size"] or 0) for entry in listed}
        return {name: found[name] for name in sorted(filter(NAME.fullmatch, found), key=order)}

    def read(self, name: str, start: int, stop: int) -> bytes:
        with self._saying("read"):
            return bytes(self._fs.cat_file(f"{self._root}/{name}", start=start, end=stop))

    def put(self, name: str, content: bytes) -> None:
        with self._saying("written"):
            self._fs.pipe_file(f"{self._root}/{name}", content)

    def require(self) -> None:
        """InputError now, not after hours, where nothing can be put there."""
        with self._saying("written"):
            probe = f"{self._root}/.probe"
            self._fs.pipe_file(probe, b"pluralign")
            self._fs.rm_file(probe)

    @contextmanager
    def _saying(self, what: str) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # every store has errors of its own
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            fix = "check the address, the credentials and the package for it (s3fs, gcsfs, adlfs)"
            raise InputError(f"cannot be {what} ({said})", file=self._address, fix=fix) from error


def lasting(address: str | Path) -> str:
    """The address as it can be kept: a folder's whole path, however it is named."""
    text = str(address)
    if not text:
        raise InputError("cells: expected a folder or an address, got nothing", fix="name one, or leave it out")
    if text.startswith("memory:"):
        raise InputError("cells: memory:// lasts no longer than this process", fix="name a folder, or a store")
    for protocol in _FILES:
        if text.startswith(protocol):
            return protocol + str(Path(text.removeprefix(protocol)).absolute())
    return text if "://" in text else str(Path(text).absolute())


def place_at(address: str | Path | Any) -> Folder | Store:
    """The folder, or for an address with a protocol (s3://...) the store."""
    text = str(address)
    if text.startswith(_FILES):
        return Folder(text.partition("://")[2])
    return Store(text) if "://" in text else Folder(text)


def order(name: str) -> tuple[int, str]:
    """By number, then by name."""
    found = NAME.fullmatch(name)
    return (int(found[1]) if found else 0, name)
