"""`pluralign llm plan`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pluralign.commands.llm_options import config_options, training_warnings
from pluralign.terminal import print_answer

if TYPE_CHECKING:  # Help, and an installation without torch, must not wait for it or miss it.
    from llm.planning.planned import Plan


def _verdict(content: Plan) -> str:
    """Of a device's memory, and what was tried before."""
    way = content.ways[-1]
    on = f"{content.device}: {content.memory_of_device / 2**30:.1f} GiB for tensors"
    before = [f"{own.name} {own.peak / 2**30:.1f}" for own in content.ways[: -1 if way.fits else None]]
    missed = f" (too much: {', '.join(before)} GiB)" if before else ""
    found = content.memory_bytes
    lower = not way.fits and found.generation_peak > max(found.training_peak, found.evaluation_peak)
    return f"{on}; {content.verdict}{missed}" + ("; sampling takes most: lower sampling.batch" if lower else "")


def _tokens(lengths: tuple[int, int], responses: int = 2) -> str:
    each = "a response" if responses == 2 else f"in each of {responses} responses"
    return f"{lengths[0]} tokens a prompt and {lengths[1]} {each}"


@click.command("plan")
@config_options
@click.option("--model", type=click.Path(), help="Model folder; only its config.json is read.")
@click.option("--size", help="A shape of `llm sft`, or mistral-7b (default).")
@click.option("--types", type=click.IntRange(1, 1024), help="Number of groups K.")
@click.option(
    "--data", type=click.Path(), help="Preferences to count (four bytes a token); what is said of them counts more."
)
@click.option("--pairs", type=click.IntRange(1), help="Answers to train on.")
@click.option("--rounds", type=click.IntRange(1), help="EM rounds.")
@click.option("--device", type=click.Choice(["cpu", "h200", "h100", "a100"]))
def command(
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    model: str | None,
    size: str | None,
    types: int | None,
    data: str | None,
    pairs: int | None,
    rounds: int | None,
    device: str | None,
) -> None:
    """Say what a run will need (parameters, memory, tokens, hours) before anything is loaded.

    Memory comes from running one training step and one evaluation batch on tensors that have shapes and no values;
    hours from FLOPs over an assumed share of the device's peak.

    Example: pluralign llm plan --size mistral-7b --types 2 --pairs 60000 --device h200
    """
    from llm.planning.plan import plan
    from llm.planning.plan_settings import PlanSettings
    from sim.settings import read_settings

    given = {
        "model": model, "size": size, "types": types, "data": data, "pairs": pairs, "rounds": rounds, "device": device,
    }  # fmt: skip
    settings = read_settings(PlanSettings, config, overrides, given)
    with training_warnings():
        content = plan(settings)
    if as_json:
        print_answer(json.dumps(content.as_json(), indent=2, allow_nan=False))
        return
    gib = {name: value / 2**30 for name, value in asdict(content.memory_bytes).items()}
    hours, tokens = content.hours, content.tokens
    kind = "pairs" if content.largest_responses == 2 else "answers"
    click.echo(
        f"{content.model}: {content.parameters:,} parameters ({content.dtype}), "
        f"{content.adapter_parameters:,} in each of {content.types} adapters\n"
        f"memory: weights {gib['weights']:.2f} GiB, adapters {gib['adapters']:.2f}; peak in training "
        f"{gib['training_peak']:.2f} ({content.pairs_per_forward} {kind} at once), evaluation "
        f"{gib['evaluation_peak']:.2f}, sampling {gib['generation_peak']:.2f}; needed {gib['peak']:.2f} GiB\n"
        f"{_verdict(content)}\n"
        f"lengths: {_tokens(content.mean_tokens)} on average, for tokens and hours; "
        f"{_tokens(content.longest_tokens, content.largest_responses)} in the largest answer, for memory\n"
        f"tokens: {tokens.data:,.0f} in the data, {tokens.sharp:,.0f} to {tokens.soft:,.0f} in the run\n"
        f"hours: {hours.sharp:.2f} (every answer in one group) to {hours.soft:.2f} (in all), at "
        f"{content.assumed_flops_per_second / 1e12:.3g} TFLOP/s ({content.assumed_share_of_peak:.0%} of "
        f"{content.device}'s peak: an assumption)"
    )
