"""`pluralign list`."""

from __future__ import annotations

import json

import click


@click.command("list")
@click.argument("papers", nargs=-1, metavar="[PAPER]...")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(papers: tuple[str, ...], as_json: bool) -> None:
    """List the claims that can be checked, with their source and variants."""
    from theory.engine.registry import select

    theorems = select(papers)
    if as_json:
        rows = [
            {
                "claim_id": theorem.claim_id,
                "paper": theorem.paper,
                "source": theorem.source,
                "statement": theorem.statement,
                "variants": list(theorem.SETTINGS),
            }
            for theorem in theorems
        ]
        click.echo(json.dumps({"claims": rows}, indent=2))
        return
    width = max((len(theorem.claim_id) for theorem in theorems), default=0)
    for theorem in theorems:
        variants = ", ".join(name.replace("_", " ") for name in theorem.SETTINGS)
        click.echo(f"{theorem.claim_id:<{width}}  {theorem.statement} [{variants}]")
