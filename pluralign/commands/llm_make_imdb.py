"""`pluralign llm make-imdb`."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import click

from pluralign.commands.llm_options import clock, config_options, training_warnings
from pluralign.terminal import print_answer


@click.command("make-imdb")
@config_options
@click.option("--data", type=click.Path(), help="Labelled reviews: .jsonl[.gz] with `text` and `label` (pos, neg).")
@click.option("--model", type=click.Path(), help="Folder of the SFT model that writes continuations.")
@click.option("--scenario", type=click.Choice(["paper", "opposed"]), help="Tastes of the two groups (default paper).")
@click.option("--out", type=click.Path(file_okay=False), default="pairs", show_default=True, help="Folder to write.")
@click.option("--seed", type=click.IntRange(0))
@click.option("--device", help="auto, cpu or cuda.")
def command(
    config: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    data: str | None,
    model: str | None,
    scenario: str | None,
    out: str,
    seed: int | None,
    device: str | None,
) -> None:
    """Build a preference data set with two groups of annotators from a model's own continuations.

    Scenario paper: 2/3 of the annotators prefer the more positive continuation, 1/3 the more grammatical; opposed:
    2/3 prefer positive, 1/3 negative. Prompts are the first 20 tokens of reviews, 50 pairs an annotator. Sentiment is
    a classifier trained on the reviews' labels, grammar Debian's link-parser. Writes pairs.jsonl, train.yaml (for
    `llm train --config`), the scorers, and make.json (ties, agreement, accuracies, examples).

    Example: pluralign llm make-imdb --data imdb_train.jsonl.gz --model sft --scenario opposed --out pairs
    """
    from llm.data.imdb import make_imdb
    from llm.data.imdb_settings import ImdbSettings
    from sim.files.locks import held
    from sim.settings import read_settings

    given = {"data": data, "model": model, "scenario": scenario, "seed": seed, "device": device}
    settings = read_settings(ImdbSettings, config, overrides, given)
    # A finished folder is only read.
    alone = nullcontext() if (Path(out) / "make.json").is_file() else held(out)
    with training_warnings(), alone:
        summary = make_imdb(settings, out, clock())
    if as_json:
        print_answer(json.dumps({**summary.as_json(), "out": out}, indent=2, allow_nan=False))
        return
    whole, low, high = summary.sentiment_accuracy.reviews
    short = summary.sentiment_accuracy.windows_of_30_words[0]
    ties = ", ".join(f"{name} {share:.1%}" for name, share in summary.tied_share_of_pool.items())
    agree = "there is no pair that both groups decide"
    if summary.groups_agree is not None:
        agree = f"the groups agree on {summary.groups_agree:.0%} of the pairs neither finds tied"
    click.echo(
        f"{summary.n_pairs:,} answers of {summary.n_annotators} annotators and "
        f"{summary.n_unseen_annotators} unseen ones\n"
        f"{agree}; ties: {ties}\n"
        f"sentiment classifier: accuracy {whole:.3f} [{low:.3f}, {high:.3f}] on unseen reviews, {short:.3f} on windows "
        f"of 30 words\npairs and configuration in {out}/"
    )
