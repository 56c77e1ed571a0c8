"""`pluralign llm sft`."""

from __future__ import annotations

import json

import click

from pluralign.commands.llm_options import clock, config_options, training_warnings
from pluralign.terminal import print_answer


@click.command("sft")
@config_options
@click.option("--data", type=click.Path(), help="Texts: .jsonl or .jsonl.gz with a field `text`.")
@click.option(
    "--out", type=click.Path(file_okay=False), default="sft", show_default=True, help="Model folder to write."
)
@click.option("--size", help="Shape of a new model: mini, tiny (1 M), small (5 M), medium (28 M), base (100 M).")
@click.option("--model", type=click.Path(), help="Continue this pretrained model instead.")
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps (default: by epochs).")
@click.option("--seed", type=click.IntRange(0))
@click.option("--device", help="auto, cpu or cuda.")
def command(
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    data: str | None,
    out: str,
    size: str | None,
    model: str | None,
    steps: int | None,
    seed: int | None,
    device: str | None,
) -> None:
    """Train a small Mistral and its tokenizer from nothing but text, or continue a pretrained model.

    Nothing is fetched. A killed run resumes from its last checkpoint when the same command is given again; --out
    then holds a folder that transformers loads, with sft.json (settings, held-out loss, speed).

    Example: pluralign llm sft --data imdb_train.jsonl.gz --size tiny --steps 700 --out sft
    """
    from llm.training.sft import train_sft
    from llm.training.sft_settings import SftSettings
    from sim.settings import read_settings

    given = {"data": data, "size": size, "model": model, "steps": steps, "seed": seed, "device": device}
    settings = read_settings(SftSettings, config, overrides, given)
    with training_warnings():
        summary = train_sft(settings, out, clock())
    if as_json:
        print_answer(json.dumps({**summary.as_json(), "out": out}, indent=2, allow_nan=False))
        return
    click.echo(
        f"{summary.parameters:,} parameters, {summary.tokens_seen:,} tokens in {summary.steps} steps "
        f"({summary.tokens_per_second or 0:,} a second)\n"
        f"held-out loss {summary.held_out_loss:.3f} nats a token (perplexity {summary.perplexity:.1f}, "
        f"{summary.bits_per_byte:.2f} bits a byte)\nmodel in {out}/"
    )
