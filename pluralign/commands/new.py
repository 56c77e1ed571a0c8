"""`pluralign new`: a file to begin with, for each thing that others may add."""

from __future__ import annotations

import click

KINDS = ("claim", "experiment", "method", "converter", "rule", "environment")


@click.command("new")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
def command(kind: str, name: str) -> None:
    """Write NAME.py, a skeleton that runs as it is, into the current folder (an experiment also NAME.yaml).

    Its comments say what to put where. A file that is there already is left alone.

    \b
      pluralign new claim mine        pluralign check mine:CLAIMS
      pluralign new experiment mine   pluralign study mine.yaml --workers 2
      pluralign new method mine       pluralign fit PAIRS --method mine:METHOD
      pluralign new converter mine    pluralign convert mine:CONVERTER FILE --out PAIRS
      pluralign new rule mine         pluralign axioms --rule mine:RULE
      pluralign new environment mine  environment: mine:ENVIRONMENT in a study
    """
    from pluralign.api.skeletons import new

    made = new(kind, name)
    for path in made.files:
        click.echo(f"wrote {path}")
    click.echo(f"run it with: {made.command}")
