"""`pluralign report`."""

from __future__ import annotations

import json

import click


@click.command("report")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(folder: str, as_json: bool) -> None:
    """Draw the table and figures (PNG and SVG) of a result folder: of `check`, `fit`, `study` or `llm train`.

    Figures go to FOLDER/figures. Exit code 2 if the folder holds no result.

    Example: pluralign report groups
    """
    from pluralign.api.reports import report

    found = report(folder)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2, allow_nan=False))
        return
    click.echo(found.text)
    click.echo("\nfigures: " + ", ".join(str(path) for path in found.figures if path.suffix == ".png"))
