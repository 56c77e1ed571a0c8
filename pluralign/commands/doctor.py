"""`pluralign doctor`: what is here, what is missing, what to do."""

from __future__ import annotations

import json

import click

from pluralign.terminal import print_answer


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(as_json: bool) -> None:
    """Say what is installed, what is missing, and what this machine can do.

    Exits with 1 when something the core needs is missing or another package owns one of our import names.
    """
    from pluralign.api.machine import doctor

    found = doctor()
    told = found.as_dict()
    if as_json:
        print_answer(json.dumps(told, indent=2))
    else:
        click.echo(f"pluralign {told['pluralign']}, Python {told['python']}, {told['cores']} cores")
        for name, version in told["packages"].items():
            click.echo(f"  {name:<14} {version or 'MISSING'}")
        for extra, state in told["extras"].items():
            note = "installed" if state["installed"] else f"not installed: {state['install']}"
            click.echo(f"  extra {extra:<8} {note}")
        click.echo(f"  grammar scorer {told['grammar_scorer'] or 'not installed: apt install link-grammar'}")
        click.echo(f"  kernel cache   {told['kernel_cache']}")
        click.echo("\n".join(f"problem: {text}" for text in found.problems) or "no problems found")
    if found.problems:
        raise click.exceptions.Exit(1)
