"""`pluralign llm make-tastes`."""

from __future__ import annotations

import json

import click

from pluralign.commands.llm_options import clock, training_warnings
from pluralign.terminal import print_answer


@click.command("make-tastes")
@click.option("--reviews", type=click.Path(), help="Texts: .jsonl[.gz] with `text`, and `label` (pos, neg).")
@click.option("--pairs", type=click.Path(), help="Ask about the two responses of these answers, not about reviews.")
@click.option(
    "--taste", "tastes", multiple=True, metavar="SCORER",
    help="length, readability, diversity, vocabulary, hedging, personal, sentiment (needs labelled --reviews), "
    "lexicon, grammar, or negative- and one of them; repeatable (default: the first six; sentiment with --reviews).",
)  # fmt: skip
@click.option("--questions", type=click.IntRange(10), default=2000, show_default=True, help="Most that are asked.")
@click.option(
    "--features", default="words", show_default=True, metavar="KIND",
    help="Frozen representation of the responses: words, embedding, or the folder of a causal language model.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False), default="tastes.parquet", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    reviews: str | None,
    pairs: str | None,
    tastes: tuple[str, ...],
    questions: int,
    features: str,
    seed: int,
    out: str,
    as_json: bool,
) -> None:
    """Score responses by real tastes, for the study of who should get a reward of her own (`pluralign study tastes`).

    A question is a prompt with two responses: of --pairs, or else of a review's first sentence and two passages of how
    it goes on. Every response is scored by every taste, and keeps the features of a frozen representation. The study
    draws annotators with these tastes.

    \b
    Example:
      pluralign llm make-tastes --reviews imdb_train.jsonl.gz --out imdb.parquet
      pluralign study tastes --set "questions=[imdb.parquet]"
    """
    from pluralign.api.tastes import make_tastes
    from pluralign.flags import with_flags

    flags = {"n_questions": "--questions", "tastes": "--taste", "reviews": "--reviews", "features": "--features"}
    with training_warnings(), with_flags(flags):
        made = make_tastes(
            out, reviews=reviews, pairs=pairs, tastes=tastes or None, n_questions=questions, features=features,
            seed=seed, progress=clock(),
        )  # fmt: skip
    agree = made.advantages.T @ made.advantages / len(made)
    if as_json:
        told = {"questions": len(made), "tastes": list(made.tastes), "features": made.features.shape[2],
                "made_by": made.made_by, "correlations": agree.tolist(), "out": out}  # fmt: skip
        print_answer(json.dumps(told, indent=2, allow_nan=False))
        return
    click.echo(f"{len(made):,} questions, {made.features.shape[2]} features of each response ({made.made_by})")
    click.echo("tastes, and how far two of them agree (correlation of what the first response is worth more):")
    width = max(map(len, made.tastes))
    for name, row in zip(made.tastes, agree, strict=True):
        click.echo(f"  {name:<{width}} " + " ".join(f"{value:+.2f}" for value in row))
    click.echo(f"in {out}")
