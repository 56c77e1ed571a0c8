"""`pluralign replay`."""

from __future__ import annotations

import json

import click

from pluralign.terminal import print_answer


@click.command("replay")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(file: str, as_json: bool) -> None:
    """Recompute a saved witness from its seed and say whether it is reproduced.

    Exit code: 0 reproduced, 1 not, 2 the file is not a witness.

    Example: pluralign replay report/witnesses/em-monotone--as_printed.json
    """
    from theory.engine.witnesses import replay

    result = replay(file)
    if as_json:
        print_answer(json.dumps(result.as_json(), indent=2, allow_nan=False))
    else:
        recorded, again = (", ".join(f"{v:.6g}" for v in values) for values in (result.recorded, result.recomputed))
        click.echo(f"{result.claim_id} ({result.variant.replace('_', ' ')}): limit {result.limit:.6g}")
        click.echo(f"recorded   {recorded}\nrecomputed {again}")
        click.echo("reproduced" if result.reproduced else "NOT reproduced")
        for name, value in result.payload.items():
            click.echo(f"  {name}: {json.dumps(value)}")
    if not result.reproduced:
        raise click.exceptions.Exit(1)
