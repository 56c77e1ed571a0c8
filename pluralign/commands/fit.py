"""`pluralign fit`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from pluralign.terminal import print_answer

if TYPE_CHECKING:
    from sim.answer_kinds.kinds import AskedLikelihood
    from sim.fitting.settings import AskedHoldOut

# What messages of `sim` call an argument is an option here.
FLAGS = {
    "n_types": "--types",
    "max_types": "--max-types",
    "method": "--method",
    "priorities": "--priorities",
    "shift": "--shift",
    "ridge": "--ridge",
    "beta": "--beta",
    "restarts": "--restarts",
    "network": "--network",
    "hold_out": "--hold-out",
    "likelihood": "--likelihood",
    "features": "--features",
    "folds": "--folds",
    "beside": "--beside",
}


class TypesOption(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """A number from 1, or auto."""

    name = "K|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or value == "auto":
            return None
        try:
            number = int(value)
        except ValueError:
            self.fail(f"expected a number of types or auto, got '{value}'", param, ctx)
        if number < 1:
            self.fail(f"expected at least 1 type, got {number}", param, ctx)
        return number


class Positive(click.FloatRange):
    """A finite number above zero: FloatRange alone lets nan and inf pass."""

    def __init__(self) -> None:
        super().__init__(0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not 1e-9 <= number <= 1e9:
            self.fail(f"expected a number between 1e-9 and 1e9, got '{value}'", param, ctx)
        return number


def _one(ctx: click.Context, param: click.Parameter, paths: tuple[str, ...]) -> str:
    """Several files are one table where they lie in one folder, whose order is then that of their names."""
    if len(paths) > 1:
        raise click.UsageError(f"expected one path, got {len(paths)}; put the files into a folder and give that", ctx)
    return paths[0]


@click.command("fit")
@click.argument("preferences", nargs=-1, required=True, type=click.Path(), metavar="PREFERENCES", callback=_one)
@click.option(
    "--method", default="em-dpo", show_default=True, metavar="METHOD",
    help="Policies: dpo, one for everybody; em-dpo, unobserved types; cluster-dpo, k-means on chosen items. Rewards: "
    "pooled; personal, one each; shared, one each over a common subspace; cluster, by whose reward explains one best; "
    "low-rank, by what is known of people (annotator_features), also of those who have not answered. "
    "Baselines: group-dpo, group-robust with known groups (group_id); maxmin-rlhf; pal, prototypes; pal-distance, "
    "ideal points; vpl, a Gaussian latent; vpl-encoder. module:NAME, a method of your own.",
)  # fmt: skip
@click.option(
    "--types", "n_types", type=TypesOption(), default="auto", show_default=True,
    help="Number of types or clusters, or the rank (shared, low-rank).",
)  # fmt: skip
@click.option(
    "--max-types", type=click.IntRange(2, 50), default=8, show_default=True, help="Largest number auto tries."
)
@click.option("--out", type=click.Path(file_okay=False), default="fit", show_default=True, help="Result folder.")
@click.option(
    "--beta", type=Positive(), default=0.1, show_default=True,
    help="Temperature of the policies whose regret is reported (scores do not depend on it).",
)  # fmt: skip
@click.option("--ridge", type=Positive(), help="Strength of the shrinkage (default: chosen).")
@click.option(
    "--restarts", type=click.IntRange(1), default=10, show_default=True, help="Random starts of the final fit."
)
@click.option("--priorities", help="One positive number a group, separated by commas, for MinMax (default: all 1).")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--network", is_flag=True, help="With shared: also a learned representation (needs the llm extra).")
@click.option(
    "--shift", metavar="REGION", help="With low-rank: train without a region of items and serve it, with pessimism and "
    "without; the name of an indicator (Drama), or NAME>VALUE (also >=, <, <=).",
)  # fmt: skip
@click.option(
    "--likelihood",
    type=click.Choice(["auto", "bradley-terry", "davidson", "rao-kupper", "cumulative-logit", "plackett-luce"]),
    default="auto",
    show_default=True,
    help="Of an answer: ties by davidson or rao-kupper, strengths and grades by cumulative-logit, choices and rankings "
    "by plackett-luce; bradley-terry leaves ties and strengths out and takes a choice for several pairs.",
)
@click.option(
    "--hold-out", type=click.Choice(["auto", "answers", "items", "prompts", "people"]), default="auto",
    show_default=True, help="What is held out to score by where the file has no split; auto: items where people meet "
    "the same ones again and again, else answers.",
)  # fmt: skip
@click.option(
    "--folds", type=click.IntRange(2, 100), help="Also cross-validation over people in so many parts: everybody is "
    "scored as somebody new. That many fits more.",
)  # fmt: skip
@click.option(
    "--features", default="columns", show_default=True, metavar="columns|words|embedding|FOLDER",
    help="What an item is: the file's feature columns; or, made of its text, words (tf-idf, their leading directions), "
    "embedding (a sentence model that a package carries, needs the embeddings extra), or FOLDER, hidden states of the "
    "causal language model there (needs the llm extra). How many directions is chosen on held-out training answers.",
)  # fmt: skip
@click.option(
    "--beside", multiple=True, metavar="METHOD", help="A further method to fit and score with it; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    preferences: str,
    method: str,
    n_types: int | None,
    max_types: int,
    out: str,
    beta: float,
    ridge: float | None,
    restarts: int,
    priorities: str | None,
    seed: int,
    network: bool,
    shift: str | None,
    hold_out: AskedHoldOut,
    likelihood: AskedLikelihood,
    folds: int | None,
    features: str,
    beside: tuple[str, ...],
    as_json: bool,
) -> None:
    """Find the groups hidden in a file of preferences, and a policy that serves all of them.

    PREFERENCES is Parquet, JSONL or CSV, or a folder of shards, a row an answer of one annotator (annotator_id). What
    it says is one of: a pair (chosen, rejected; perhaps tie, or strength from 1 to 100); a choice among several
    (responses, a list, and choice, the place of the one taken from 0, -1 for none); a ranking (responses, ranking: 1
    the best); ratings of several (responses, scores); a grade of one (response, score). Beside it prompt, split,
    weight and the items' features (chosen_features and rejected_features of a pair, features of the others). Public
    data sets become such files by `pluralign convert`.

    The fit is log-linear in the items' features, the file's or, with --features, made of the responses' texts. The
    number of types (rank, clusters) and the shrinkage are chosen on held-out training answers; test answers are read
    once, at the end. Pooled DPO, k-means clusters, a coin and "the longer response" are scored beside it. The four
    reward methods are scored beside each other, also on new annotators after 5, 10, 20 and 40 answers of theirs.
    Low-rank needs the column annotator_features and serves new annotators by it alone.

    Example: pluralign fit pairs.parquet --method em-dpo --types auto --out groups
    """
    from pluralign.api.fits import fit
    from pluralign.flags import with_flags
    from pluralign.progress import Progress
    from sim.fitting.save import require_writable
    from sim.fitting.text import fit_text

    with with_flags(FLAGS):
        require_writable(out)
        with Progress() as progress:
            found = fit(
                preferences, method=method, n_types=n_types, max_types=max_types, ridge=ridge, beta=beta,
                restarts=restarts, priorities=priorities, shift=shift, network=network, seed=seed,
                hold_out=hold_out, likelihood=likelihood, folds=folds,
                features=features, beside=beside,
                progress=progress.show,
            )  # fmt: skip
        found.save(out)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    answer = found.as_dict()
    print_answer(json.dumps(answer, indent=2, allow_nan=False) if as_json else fit_text(answer, out))
