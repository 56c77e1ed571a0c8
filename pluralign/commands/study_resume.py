"""`pluralign study resume`."""

from __future__ import annotations

from typing import Any

import click

from pluralign.commands.cluster_options import cluster_options, tls_of


@click.command("resume")
@click.argument("folder", type=click.Path(file_okay=False))
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(folder: str, as_json: bool, **options: Any) -> None:
    """Go on with a study as it was asked for; who does the work may be another now.

    FOLDER is the --out of `pluralign study`. What failed is tried again. A study of one's own code is resumed from the
    folder of its study file, or above it.

    Example: pluralign study resume section_5_1 --workers 4
    """
    from pathlib import Path

    from pluralign.commands.study_shown import run_and_show
    from sim.studies.request import Request

    tls = tls_of(options["tls_ca"], options["tls_cert"], options["tls_key"])
    request = Request.read(Path(folder)).by(options["workers"], options["engine"], options["scheduler"], tls)
    run_and_show(Path(folder), request, False, as_json)
