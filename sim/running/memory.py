"""How much memory there is, and a refusal of what cannot fit before any of it is asked for."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from sim.errors import InputError


@cache
def machine_memory() -> int:
    """Bytes this process can have: of the machine, of its control group, or of its own limit, whichever is least."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    found += [limit for file in _group_files() if (limit := _limit(file)) is not None]
    try:
        import resource
    except ImportError:
        pass
    else:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        found += [limit] if limit != resource.RLIM_INFINITY else []
    # Where nothing can be found out, nothing is refused that might fit somewhere.
    return min(found, default=1 << 50)


def require_memory(needed: float, what: str, *, file: str | Path | None = None, field: str | None = None) -> None:
    """Raises InputError where `what` needs more bytes than there are: now, not when the machine begins to swap."""
    if needed > machine_memory():
        raise InputError(
            f"{what} would need about {in_bytes(needed)}, and this machine has {in_bytes(machine_memory())}",
            file=file, field=field, fix="ask for less",
        )  # fmt: skip


def in_bytes(number: float) -> str:
    """7.4 GiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:,.0f} {unit}" if number >= 100 or unit == "bytes" else f"{number:.1f} {unit}"


def _group_files() -> list[Path]:
    """The files that may hold this process's limit, of version 2 of control groups and of version 1."""
    root = Path("/sys/fs/cgroup")
    files = [root / "memory.max", root / "memory" / "memory.limit_in_bytes"]
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return files
    for line in lines:
        number, _, rest = line.partition(":")
        kinds, _, place = rest.partition(":")
        if number == "0" or "memory" in kinds.split(","):
            here = root / place.lstrip("/") if number == "0" else root / "memory" / place.lstrip("/")
            name = "memory.max" if number == "0" else "memory.limit_in_bytes"
            files += [folder / name for folder in (here, *here.parents) if folder.is_relative_to(root)]
    return files


def _limit(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no such group, or "max"
        return None
