"""`pluralign report`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("report")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(folder: str, as_json: bool) -> None:
    """Draw the table and figures (PNG and SVG) of a result folder: of `check`, `fit`, `study` or `llm train`.

    Figures go to FOLDER/figures (of a study to FOLDER). Exit code 2 if the folder holds no result.

    Example: pluralign report groups
    """
    from pluralign.api.reports import report

    found = report(folder)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2, allow_nan=False))
        return
    click.echo(_text(Path(folder), found.text))
    click.echo("\nfigures: " + ", ".join(str(path) for path in found.figures if path.suffix == ".png"))


def _text(folder: Path, text: str) -> str:
    """As far as the screen goes."""
    from pluralign.tables import on_screen
    from pluralign.terminal import columns, rows

    if (folder / "verdicts.json").is_file():
        from pluralign.verdicts import verdict_table
        from theory.report.folder import read_folder

        return verdict_table(read_folder(folder), folder)
    return on_screen(text, width=columns(), rows=rows(), rest=f"all of them in {folder / 'summary.md'}")
