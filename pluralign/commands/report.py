"""`pluralign report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pluralign.terminal import print_answer


@click.command("report")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--out", type=click.Path(dir_okay=False), help="The page; then nothing is written to FOLDER.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(folder: str, out: str | None, as_json: bool) -> None:
    """One HTML page of a result folder, of `check`, `fit`, `study` or `llm train`, or of a folder of several.

    The page, FOLDER/report.html, is one file that loads nothing: verdicts with search and filters, errata, studies,
    fits and runs of language models, each figure with its numbers as CSV. Of a single result the figures (PNG and
    SVG) are drawn again too, to FOLDER/figures (of a study to FOLDER), and its table is printed. Exit code 2 if the
    folder holds no result.

    \b
    Example:
      pluralign report groups
      pluralign report results --out page.html
    """
    from pluralign.api.reports import report

    found = report(folder, out)
    if as_json:
        print_answer(json.dumps(found.as_dict(), indent=2, allow_nan=False))
        return
    click.echo(_text(Path(folder), found.text))
    drawn = ", ".join(str(path) for path in found.figures if path.suffix == ".png")
    line = f"\nfigures: {drawn}" if drawn else f"\nno figure: {found.undrawn}" if found.undrawn else ""
    click.echo(f"{line}\npage: {found.html}")


def _text(folder: Path, text: str) -> str:
    """As far as the screen goes."""
    from pluralign.tables import on_screen
    from pluralign.terminal import columns, rows

    if (folder / "verdicts.json").is_file():
        from pluralign.verdicts import verdict_table
        from theory.report.folder import read_folder

        return verdict_table(read_folder(folder), folder)
    return on_screen(text, width=columns(), rows=rows(), rest=f"all of them in {folder / 'summary.md'}")
