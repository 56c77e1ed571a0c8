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
      new claim one          check one:CLAIMS
      new experiment two     study two.yaml --workers 2
      new method three       fit PAIRS --method three:METHOD
      new converter four     convert four:CONVERTER FILE --out PAIRS.parquet
      new rule five          axioms --rule five:RULE --annotators 8
      new environment six    study types --set environment=six:ENVIRONMENT
    """
    from pluralign.api.skeletons import new

    made = new(kind, name)
    for path in made.files:
        click.echo(f"wrote {path}")
    click.echo(f"run it with: {made.command}")
