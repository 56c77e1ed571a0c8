"""`pluralign llm train`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pluralign.commands.llm_options import clock, config_options, training_warnings
from pluralign.terminal import print_answer

if TYPE_CHECKING:
    from llm.runs.train_run import RunSummary


@click.command("train")
@config_options
@click.option("--method", type=click.Choice(["em-dpo", "cluster-dpo", "dpo", "group-dpo"]), help="Default em-dpo.")
@click.option("--model", type=click.Path(), help="Folder of the base model (the reference).")
@click.option("--data", type=click.Path(), help="Preferences: .jsonl, .parquet or a folder saved by datasets.")
@click.option("--test", type=click.Path(), help="Preferences of other annotators, kept for evaluation.")
@click.option("--types", help="Number of groups, or auto (by held-out likelihood).")
@click.option("--out", type=click.Path(file_okay=False), default="run", show_default=True, help="Run folder to write.")
@click.option("--seed", type=click.IntRange(0))
@click.option("--device", help="auto, cpu or cuda.")
@click.option(
    "--tracker", type=click.Choice(["none", "tensorboard", "trackio", "wandb"]),
    help="Where steps and rounds are told, beside metrics.jsonl; files go to OUT/tracker.",
)  # fmt: skip
def command(
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    method: str | None,
    model: str | None,
    data: str | None,
    test: str | None,
    types: str | None,
    out: str,
    seed: int | None,
    device: str | None,
    tracker: str | None,
) -> None:
    """Fit policies to preferences, one LoRA adapter a group on one frozen base.

    em-dpo: groups nobody labelled, by EM; cluster-dpo: k-means on what annotators chose; dpo: one policy for all;
    group-dpo: one policy for all whose worst known group (group_id) has the least loss (group-robust DPO).
    All four make as many fits, by the same rules. The reference is the base without adapters, in every round.
    Columns: prompt (or context), chosen, rejected, annotator_id (or user_id, annotator); optional split (train,
    test, unseen), weight, group_id (read by group-dpo alone), tie, strength; or choices, rankings and ratings of
    several responses, in the columns of `pluralign fit`; texts or message lists. A killed run resumes when the same
    command is given. Processes of torchrun or accelerate launch share a run (-m pluralign llm train ...).

    \b
    Examples:
      pluralign llm train --config pairs/train.yaml --method em-dpo --out run
      pluralign llm train --model sft --data pairs.jsonl --types auto --set training.rate=1e-4
      pluralign llm train --method group-dpo --model sft --data pairs.jsonl --set groups.weight_step=0.05
    """
    from llm.runs.run_settings import RunSettings
    from llm.runs.train_run import train_run
    from sim.errors import InputError
    from sim.settings import read_settings

    given: dict[str, Any] = {
        "method": method, "model": model, "data.train": data, "data.test": test, "seed": seed, "device": device,
        "tracker": tracker,
    }  # fmt: skip
    if types is not None and types != "auto":
        try:
            given["groups.types"] = int(types)
        except ValueError:
            raise InputError(f"--types: expected a number or auto, got '{types}'") from None
    if types == "auto":
        overrides = (*overrides, "groups.types=null")
    settings = read_settings(RunSettings, config, overrides, given)
    with training_warnings():
        summary = train_run(settings, out, clock())
    if as_json:
        print_answer(json.dumps({**summary.as_json(), "out": out}, indent=2, allow_nan=False))
        return
    shares = ", ".join(f"{share:.3f}" for share in summary.mixture)
    ended = f"round {summary.best_round} was kept; {summary.status}" if settings.groups.rounds else "one fit, as asked"
    lines = [
        f"{summary.method} with {summary.n_types} types, shares {shares} ({ended})",
        held_out_text(summary),
    ]
    lines += groups_text(summary.as_json().get("groups", ()))
    if summary.adjusted_rand_index is not None and not summary.groups:
        lines.append(f"adjusted Rand index against group_id {summary.adjusted_rand_index:.3f}")
    click.echo("\n".join([*lines, f"adapters, mixture and metrics in {out}/"]))


def held_out_text(summary: RunSummary) -> str:
    """Both held-out numbers, and what a coin has: once where it is the same in both."""
    told = []
    coins = (summary.held_out_coin, summary.new_prompts_coin)
    values = (summary.held_out_log_likelihood, summary.new_prompts_log_likelihood)
    by_coin = ["" if coin is None else f" (a coin: {coin:.4f})" for coin in coins]
    if by_coin[1] in ("", by_coin[0]):
        by_coin = ["", by_coin[0]]
    for value, words, coin in zip(values, (" nats an answer", " on new prompts"), by_coin, strict=True):
        told.append(f"{'-' if value is None else format(value, '.4f')}{words}{coin}")
    return f"held-out log-likelihood {', '.join(told)}"


def groups_text(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each known group of group-dpo, as run.json has them."""
    lines = []
    for own in groups:
        seen, new = (
            "-" if value is None else format(value, ".4f")
            for value in (own["held_out_log_likelihood"], own["new_prompts_log_likelihood"])
        )
        lines.append(f"group {own['name']}: weight {own['weight']:.3f}, held-out {seen}, {new} on new prompts")
    return lines
