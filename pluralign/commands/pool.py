"""`pluralign pool`: probabilistic opinions of several annotators as one, and a mechanism that keeps them honest."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from pluralign.commands.alpha import Alpha
from pluralign.terminal import print_answer


@click.command("pool")
@click.argument("opinions", type=click.Path(dir_okay=False))
@click.option(
    "--alpha", type=Alpha(), default=1.0, show_default=True,
    help="1: linear pool, 0: geometric pool, -inf: minimum, inf: maximum.",
)  # fmt: skip
@click.option(
    "--mechanism", is_flag=True, help="Also each annotator's cost and the most she could gain by misreporting."
)
@click.option(
    "--distance-alpha", type=Alpha(),
    help="Distance of another alpha than the pool's: then costs no longer make truth best, and the gain shows it.",
)  # fmt: skip
@click.option("--no-costs", is_flag=True, help="With --mechanism: nobody is charged, as a comparison.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the search for misreports.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    opinions: str, alpha: float, mechanism: bool, distance_alpha: float | None, no_costs: bool, seed: int, as_json: bool
) -> None:
    """Pool opinions, prompt by prompt: P(a) proportional to (sum of P_i(a)^alpha)^(1/alpha).

    OPINIONS is Parquet or JSONL with annotator_id, prompt_id, candidates, probs (lists), or CSV: a row an annotator and
    a column a candidate, or long with annotator_id, prompt_id, candidate, prob. For alpha of 0 or less a candidate to
    whom anybody gives 0 gets 0. With --mechanism (finite alpha) opinions below 1e-9 count as 1e-9.

    Example: pluralign pool opinions.jsonl --alpha 0 --mechanism
    """
    from pluralign.api.tables import pool
    from pluralign.flags import with_flags
    from sim.errors import InputError

    if not mechanism and (distance_alpha is not None or no_costs):
        raise click.UsageError("--distance-alpha and --no-costs belong to --mechanism")
    if mechanism and math.isinf(alpha) and distance_alpha is None:
        raise InputError(
            "--mechanism: no distance has the min or the max rule as its barycentre, so no cost makes truth best",
            fix="give a finite --alpha, or --distance-alpha to see by how much",
        )
    with with_flags({"alpha": "--alpha", "distance_alpha": "--distance-alpha", "opinions": "OPINIONS"}):
        found = pool(
            opinions, alpha, mechanism=mechanism, distance_alpha=distance_alpha, charged=not no_costs, seed=seed
        )
    answer = found.as_dict()
    if found.vetoed:
        click.echo(
            f"note: at alpha = {alpha:g} one zero vetoes a candidate; "
            f"it did for {len(found.vetoed)} of {len(found.questions)} prompts",
            err=True,
        )
    print_answer(json.dumps(answer, indent=2, allow_nan=False) if as_json else _text(answer))


def _text(answer: dict[str, Any]) -> str:
    lines = []
    for number, (prompt, pooled) in enumerate(answer["consensus"].items()):
        if number == 20:
            lines.append(f"... and {len(answer['consensus']) - 20} prompts more (--json shows all)")
            break
        lines.append(f"{prompt}: " + ", ".join(f"{name} {value:.4f}" for name, value in pooled.items()))
    if "costs" in answer:
        lines += ["", "annotator              cost    utility   best misreport gains   at most"]
        for name, cost in answer["costs"].items():
            lines.append(
                f"{name:<18} {cost:8.4f} {answer['utilities'][name]:10.4f} {answer['best_misreport_gain'][name]:15.2g}"
                f" {answer['misreport_gain_at_most'][name]:15.2g}"
            )
        total = sum(answer["costs"].values())
        lines.append(f"costs sum to {total:.4f} nats: never negative, and not paid out")
        if not answer["mechanism"]["truthful"]:
            lines.append("note: without the matching costs truth is not a dominant strategy")
    return "\n".join(lines)
