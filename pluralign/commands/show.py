"""`pluralign show`."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click


@click.command("show")
@click.argument("claim")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(claim: str, as_json: bool) -> None:
    """Show one claim: statement, source, derivation, settings, bounds and controls."""
    from theory.engine.registry import find

    theorem = find(claim)
    variants: dict[str, Any] = {}
    for name, variant in theorem.SETTINGS.items():
        bound = theorem.bound(variant.setting)
        variants[name] = {
            "statement": variant.statement or theorem.statement,
            "expected": variant.expected,
            "setting": variant.setting.key(),
            "bound": f"{bound.relation} {bound.limit:.6g}",
            "controls": [control.name for control in theorem.control(variant.setting)],
        }
    reconstructed = "[reconstructed]" in theorem.source
    answer = {
        "claim_id": theorem.claim_id,
        "paper": theorem.paper,
        "source": theorem.source,
        "reconstructed": reconstructed,
        "statement": theorem.statement,
        "details": inspect.getdoc(type(theorem)) or "",
        "variants": variants,
    }
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    click.echo(f"{answer['claim_id']} ({answer['paper']})\n{answer['statement']}\nSource: {answer['source']}\n")
    if reconstructed:
        click.echo("Reconstructed: not the paper's words; statement, constants and setting are a derivation of ours.\n")
    click.echo(answer["details"])
    for name, row in variants.items():
        click.echo(f"\n{name.replace('_', ' ')}: {row['statement']}")
        click.echo(f"  expected  {row['expected']}\n  bound     {row['bound']}\n  setting   {row['setting']}")
        click.echo("  controls  " + "; ".join(row["controls"]))
