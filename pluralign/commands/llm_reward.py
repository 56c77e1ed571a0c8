"""`pluralign llm reward`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pluralign.commands.fit import FLAGS, Positive, TypesOption
from pluralign.commands.llm_options import clock, training_warnings
from pluralign.terminal import print_answer

if TYPE_CHECKING:
    from pluralign.api.fits import FitResult
    from sim.answer_kinds.kinds import AskedLikelihood
    from sim.fitting.settings import AskedHoldOut


_TRUNK = {f"trunk_{name}": f"--trunk-{name}" for name in ("rank", "heads", "epochs", "rate")}


@click.command("reward")
@click.option("--model", type=click.Path(), help="Folder (or GGUF file) of a causal language model.")
@click.option("--data", type=click.Path(), help="Answers, as `pluralign fit` and `llm train` read them.")
@click.option("--fit", "fitted", type=click.Path(file_okay=False), help="Use this finished fit; with --export.")
@click.option(
    "--method", default="shared", show_default=True, metavar="METHOD",
    help="pooled, one reward for all; personal, one each; shared, one each over a common subspace; cluster; low-rank, "
    "by annotator_features; em-dpo, unobserved types; a baseline of `pluralign fit`; or module:NAME.",
)  # fmt: skip
@click.option(
    "--types", "n_types", type=TypesOption(), default="auto", show_default=True, help="Types, clusters or rank."
)
@click.option("--max-types", type=click.IntRange(2, 50), default=8, show_default=True)
@click.option("--ridge", type=Positive(), help="Strength of the shrinkage (default: chosen).")
@click.option("--restarts", type=click.IntRange(1), default=10, show_default=True)
@click.option(
    "--hold-out", type=click.Choice(["prompts", "answers", "items", "people", "auto"]), default="prompts",
    show_default=True, help="What is held out to score by where the file has no split.",
)  # fmt: skip
@click.option(
    "--likelihood",
    type=click.Choice(["auto", "bradley-terry", "davidson", "rao-kupper", "cumulative-logit", "plackett-luce"]),
    default="auto", show_default=True,
)  # fmt: skip
@click.option("--folds", type=click.IntRange(2, 100), help="Also cross-validation over people in so many parts.")
@click.option("--chat", is_flag=True, help="Plain texts are turns of a conversation, for models that know chats only.")
@click.option("--append-end/--no-append-end", default=True, show_default=True, help="An end token after each text.")
@click.option("--window", type=click.IntRange(2), default=512, show_default=True, help="Most tokens that are read.")
@click.option(
    "--trunk", type=click.Path(file_okay=False),
    help="First train the model with the heads, as a LoRA adapter in this folder; a finished one is taken as it is.",
)  # fmt: skip
@click.option("--trunk-rank", type=click.IntRange(1), default=8, show_default=True, help="Rank of that adapter.")
@click.option(
    "--trunk-heads", type=click.IntRange(1), default=8, show_default=True,
    help="Dimension of the subspace that the rewards it is trained under have in common.",
)  # fmt: skip
@click.option("--trunk-epochs", type=click.IntRange(1), default=4, show_default=True, help="Passes; the best is kept.")
@click.option("--trunk-rate", type=Positive(), default=1e-4, show_default=True, help="Learning rate.")
@click.option(
    "--beside", multiple=True, metavar="METHOD", help="A further method to fit and score with it; repeatable."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(file_okay=False), default="rewards", show_default=True, help="Result folder.")
@click.option(
    "--export", "exports", multiple=True, metavar="HEAD=FOLDER",
    help="Write a head (type_1, an annotator, stranger) as a sequence classifier for transformers; repeatable.",
)  # fmt: skip
@click.option(
    "--answers", type=click.Path(), metavar="FILE",
    help="With --fit: answers of new annotators, whose heads --export then knows; nothing is refitted.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    model: str | None,
    data: str | None,
    fitted: str | None,
    method: str,
    n_types: int | None,
    max_types: int,
    ridge: float | None,
    restarts: int,
    hold_out: AskedHoldOut,
    likelihood: AskedLikelihood,
    folds: int | None,
    chat: bool,
    append_end: bool,
    window: int,
    trunk: str | None,
    trunk_rank: int,
    trunk_heads: int,
    trunk_epochs: int,
    trunk_rate: float,
    beside: tuple[str, ...],
    seed: int,
    out: str,
    exports: tuple[str, ...],
    answers: str | None,
    as_json: bool,
) -> None:
    """Fit rewards r(x, y) = <theta, h(x, y)> to preferences, on a language model that stays as it is.

    h is the last hidden state at the last token of prompt and response; its leading directions are the features, cached
    by content. Held out are answers to new prompts and whole annotators, who are also scored after 5, 10, 20 and 40
    answers of theirs. The result is a folder of `pluralign fit`: `report` and `predict` (with --answers of new
    annotators) use it. An exported head's logit is the reward up to a constant.

    Example: pluralign llm reward --model sft --data pairs.jsonl --method em-dpo --types 2 --export type_1=first
    """
    from pluralign.api.fits import load_fit
    from pluralign.api.rewards import export_reward, reward
    from pluralign.flags import with_flags
    from sim.errors import InputError
    from sim.fitting.save import require_writable
    from sim.fitting.text import fit_text

    heads = [_head(text) for text in exports]
    places = [str(Path(folder).absolute()) for folder in (*(folder for _, folder in heads), *([] if fitted else [out]))]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise InputError("is asked for twice", file=twice, fix="name a folder for each head, and another for --out")
    if (fitted is None) == (model is None or data is None):
        raise InputError("needs a model and data, or a finished fit", fix="give --model and --data, or --fit")
    if answers is not None and (fitted is None or not heads):
        raise InputError("--answers: belong to heads that a finished fit exports", fix="give --fit and --export")
    say = clock()
    with training_warnings(), with_flags({**FLAGS, **_TRUNK, "answers": "--answers"}):
        if fitted is None:
            assert model is not None
            assert data is not None
            require_writable(out)
            found = reward(
                data, model, method=method, n_types=n_types, max_types=max_types, ridge=ridge, restarts=restarts,
                hold_out=hold_out, likelihood=likelihood, folds=folds, chat=chat, append_end=append_end, window=window,
                trunk=trunk, trunk_rank=trunk_rank, trunk_heads=trunk_heads, trunk_epochs=trunk_epochs,
                trunk_rate=trunk_rate, beside=beside, seed=seed, progress=say,
            )  # fmt: skip
            _require_heads(found, heads)
            found.save(out)
        else:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                found = load_fit(fitted)
            for raised in told:
                click.echo(f"warning: {raised.message}", err=True)
            if answers is not None:
                found = found.assign(answers)
            _require_heads(found, heads)
        written = {name: str(export_reward(found, name, folder, say)) for name, folder in heads}
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    answer = {**found.as_dict(), "exported": written}
    if as_json:
        print_answer(json.dumps(answer, indent=2, allow_nan=False))
        return
    if fitted is None:
        click.echo(fit_text(answer, out))
    for name, folder in written.items():
        click.echo(f"head {name} in {folder}/")


def _head(text: str) -> tuple[str, str]:
    from sim.errors import InputError

    name, equals, folder = text.rpartition("=")
    if not equals or not name or not folder:
        raise InputError(f"--export {text}: expected HEAD=FOLDER", fix="for example --export type_1=first")
    return name, folder


def _require_heads(found: FitResult, heads: list[tuple[str, str]]) -> None:
    """Before anything is written: each head is there, and its folder is not."""
    from sim.errors import InputError
    from sim.fitting.text_features.heads import linear_head

    for name, folder in heads:
        linear_head(found.usable, name)
        if Path(folder).exists():
            raise InputError("exists already", file=folder, fix="name another folder")
