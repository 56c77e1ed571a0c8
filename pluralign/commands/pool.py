"""`pluralign pool`: probabilistic opinions of several annotators as one, and a mechanism that keeps them honest."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from pluralign.commands.alpha import Alpha, plain


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
    from pluralign.flags import with_flags
    from sim.algorithms.pooling import pool_opinions
    from sim.errors import InputError
    from sim.files.opinion_files import read_opinions

    if not mechanism and (distance_alpha is not None or no_costs):
        raise click.UsageError("--distance-alpha and --no-costs belong to --mechanism")
    if mechanism and math.isinf(alpha) and distance_alpha is None:
        raise InputError(
            "--mechanism: no distance has the min or the max rule as its barycentre, so no cost makes truth best",
            fix="give a finite --alpha, or --distance-alpha to see by how much",
        )
    if distance_alpha is not None and math.isinf(distance_alpha):
        raise InputError("--distance-alpha: expected a finite number", fix="give one, for example 1")
    questions = read_opinions(opinions)
    consensus: dict[str, dict[str, float]] = {}
    vetoed: dict[str, list[str]] = {}
    for question in questions:
        try:
            pooled = pool_opinions(question.opinions, alpha)
        except ValueError as error:
            raise InputError(
                f"prompt '{question.prompt}': {error}", file=opinions,
                fix="give positive probabilities, or alpha above 0",
            ) from error  # fmt: skip
        consensus[question.prompt] = dict(zip(question.candidates, pooled.tolist(), strict=True))
        if alpha <= 0 and (question.opinions == 0).any():
            zero = (question.opinions == 0).any(axis=0)
            vetoed[question.prompt] = [name for name, out in zip(question.candidates, zero, strict=True) if out]
    answer: dict[str, Any] = {"alpha": plain(alpha), "consensus": consensus, "vetoed": vetoed}
    if mechanism:
        with with_flags({"alpha": "--alpha", "distance_alpha": "--distance-alpha", "opinions": "OPINIONS"}):
            answer |= _mechanism(questions, alpha, distance_alpha, not no_costs, seed)
    if vetoed:
        click.echo(
            f"note: at alpha = {alpha:g} one zero vetoes a candidate; "
            f"it did for {len(vetoed)} of {len(questions)} prompts",
            err=True,
        )
    click.echo(json.dumps(answer, indent=2, allow_nan=False) if as_json else _text(answer))


def _mechanism(questions: Any, alpha: float, distance_alpha: float | None, charged: bool, seed: int) -> dict[str, Any]:
    """Costs, utilities and best misreports, summed over prompts: utility is separable."""
    from sim.algorithms.mechanism import Mechanism, best_misreports
    from sim.streams import Stream

    rules = Mechanism(alpha, distance_alpha=distance_alpha, charged=charged)
    costs: dict[str, float] = {}
    gains: dict[str, float] = {}
    bounds: dict[str, float] = {}
    utilities: dict[str, float] = {}
    by_prompt: dict[str, dict[str, float]] = {}
    misreports: dict[str, dict[str, Any]] = {}
    for question in questions:
        found = best_misreports(rules, question.opinions, stream=Stream(seed, "pool"), starts=2)
        outcome, utility = rules.outcome(question.opinions), rules.utilities(question.opinions)
        by_prompt[question.prompt] = dict(zip(question.annotators, outcome.costs.tolist(), strict=True))
        for i, name in enumerate(question.annotators):
            costs[name] = costs.get(name, 0.0) + float(outcome.costs[i])
            gains[name] = gains.get(name, 0.0) + float(found.gain[i])
            bounds[name] = bounds.get(name, 0.0) + float(found.bound[i])
            utilities[name] = utilities.get(name, 0.0) + float(utility[i])
            if found.gain[i] > 1e-8:
                report = dict(zip(question.candidates, found.report[i].tolist(), strict=True))
                misreports.setdefault(name, {})[question.prompt] = report
    return {
        "mechanism": {"distance_alpha": rules.distance, "charged": charged, "truthful": rules.truthful},
        "costs": costs,
        "costs_by_prompt": by_prompt,
        "utilities": utilities,
        "best_misreport_gain": gains,
        "misreport_gain_at_most": bounds,
        "misreports": misreports,
    }


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
