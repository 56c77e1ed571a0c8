"""Options of `study` and `check`: who does the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_OPTIONS = (
    click.option("--workers", type=click.IntRange(1), help="Worker processes (default: one a core)."),
    click.option("--engine", type=click.Choice(["local", "joblib", "dask"]), help="Default: joblib."),
    click.option("--scheduler", help="Address of a running Dask scheduler (with --engine dask)."),
    click.option("--tls-ca", type=click.Path(), help="For a tls:// scheduler: the authority's certificate (PEM)."),
    click.option("--tls-cert", type=click.Path(), help="For a tls:// scheduler: this client's certificate (PEM)."),
    click.option("--tls-key", type=click.Path(), help="For a tls:// scheduler: this client's private key (PEM)."),
)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def tls_of(ca: str | None, cert: str | None, key: str | None) -> tuple[str, str, str] | None:
    """The three files, or none of them; the scheduler's own settings of TLS then hold."""
    if ca is None and cert is None and key is None:
        return None
    if ca is None or cert is None or key is None:
        raise click.UsageError("TLS needs all of --tls-ca, --tls-cert and --tls-key", click.get_current_context())
    return str(Path(ca).absolute()), str(Path(cert).absolute()), str(Path(key).absolute())
