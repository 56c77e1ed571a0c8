"""`pluralign show`."""

from __future__ import annotations

import json

import click

from pluralign.terminal import print_answer


@click.command("show")
@click.argument("claim")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(claim: str, as_json: bool) -> None:
    """Show one claim: statement, source, derivation, settings, bounds and controls.

    Example: pluralign show regret-beta
    """
    from pluralign.api.checks import ARITHMETIC
    from pluralign.api.checks import claim as find

    told = find(claim).as_dict()
    if as_json:
        print_answer(json.dumps(told, indent=2))
        return
    click.echo(f"{told['claim_id']} ({told['paper']})\n{told['statement']}\nSource: {told['source']}\n")
    if told["reconstructed"]:
        click.echo("Reconstructed: not the paper's words; statement, constants and setting are a derivation of ours.\n")
    if told["arithmetic"]:
        click.echo(ARITHMETIC[0].upper() + ARITHMETIC[1:] + ".\n")
    click.echo(told["details"])
    for name, row in told["variants"].items():
        click.echo(f"\n{name.replace('_', ' ')}: {row['statement']}")
        click.echo(f"  expected  {row['expected']}\n  bound     {row['bound']}\n  setting   {row['setting']}")
        if row["attained"] is not None:
            click.echo("  attained  {:g} to {:g} of the bound".format(*row["attained"]))
        if row["departure"]:
            click.echo(f"  departs   {row['departure']} must be seen")
        click.echo("  controls  " + "; ".join(row["controls"]))
