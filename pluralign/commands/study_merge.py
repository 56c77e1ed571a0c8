"""`pluralign study merge`."""

from __future__ import annotations

import click


@click.command("merge")
@click.argument("folders", nargs=-1, required=True, type=click.Path(file_okay=False), metavar="FOLDER...")
@click.option("--out", type=click.Path(file_okay=False), required=True, help="Result folder.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(folders: tuple[str, ...], out: str, as_json: bool) -> None:
    """Put the shares of a study (--shard) together: results, tables and figures as of one run, bit for bit.

    Nothing is computed; what is missing is said. The same study file, settings, seed and code are asked of all.

    Example: pluralign study merge part_1 part_2 part_3 --out whole
    """
    from pathlib import Path

    from pluralign.backends import backends
    from pluralign.commands.study_shown import show_report
    from sim.studies.folder import merge_folders

    report = merge_folders([Path(folder) for folder in folders], Path(out), backends())
    show_report(report, Path(out), str(Path(out) / "cells"), as_json)
    if report.run.n_failed:
        raise click.exceptions.Exit(1)
