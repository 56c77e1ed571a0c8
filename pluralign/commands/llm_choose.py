"""`pluralign llm choose`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from pluralign.commands.alpha import Alpha
from pluralign.commands.llm_options import clock, training_warnings
from pluralign.terminal import print_answer

if TYPE_CHECKING:
    from pluralign.api.fits import FitResult
    from sim.tables.distilled import Kind
    from sim.tables.pessimistic_candidates import Zero

_FLAGS = {"rule": "--rule", "alpha": "--alpha", "parties": "--party", "zero": "--zero", "beta": "--beta",
          "mechanism": "--mechanism", "lottery": "--lottery", "pessimistic": "--pessimistic",
          "radius": "--radius", "opinions": "--opinions", "answers": "--answers",
          "distil": "--distil", "pairs": "--pairs"}  # fmt: skip


@click.command("choose")
@click.argument("fit", type=click.Path(file_okay=False), metavar="FIT")
@click.argument("candidates", type=click.Path(), metavar="CANDIDATES")
@click.option(
    "--rule", default="aggregate", show_default=True, metavar="RULE",
    help="aggregate (Agg_alpha), nash, utilitarian, leximin, alpha=A, von-neumann, max-min (of mean rewards, with "
    "--beta), or pool (of opinions).",
)  # fmt: skip
@click.option("--alpha", type=Alpha(), default=0.0, show_default=True, help="Of aggregate and pool; -inf and inf too.")
@click.option(
    "--party", "parties", multiple=True, metavar="NAME",
    help="types, annotators, or heads by name; repeatable (default: types where the fit has them, else annotators).",
)  # fmt: skip
@click.option(
    "--zero", type=click.Choice(["mean", "worst", "fit"]),
    help="Where a party's reward counts from in each prompt (default: worst for welfare functions, else mean).",
)  # fmt: skip
@click.option("--lottery", is_flag=True, help="Probabilities instead of one response.")
@click.option(
    "--beta", type=click.FloatRange(0, min_open=True),
    help="With aggregate and max-min: the KL-regularised policy on the candidates at this strength.",
)  # fmt: skip
@click.option(
    "--answers", type=click.Path(), metavar="FILE",
    help="Answers of new annotators, who are then parties beside the fit's annotators (or --party NAME).",
)  # fmt: skip
@click.option("--mechanism", is_flag=True, help="With pool: what each party pays so that truth is best.")
@click.option(
    "--opinions", type=click.Path(), metavar="FILE",
    help="With pool: opinions of people beside the parties' (as `pluralign pool` reads them; prompt_id is the prompt).",
)  # fmt: skip
@click.option(
    "--pessimistic", is_flag=True,
    help="By what each party is sure to get, from the information in the fit's answers.",
)  # fmt: skip
@click.option(
    "--radius", type=click.FloatRange(0), metavar="R",
    help="With --pessimistic: standard errors to allow for (default: 1.645, a bound right about 19 times out of 20).",
)  # fmt: skip
@click.option(
    "--distil", metavar="KIND=FILE",
    help="Also write pairs for `llm train --method dpo`: pop-dpo (of pool), aggregated, or weighted (of aggregate and "
    "max-min).",
)  # fmt: skip
@click.option(
    "--pairs", type=click.IntRange(1), default=20, show_default=True, help="With --distil: most pairs of a prompt's."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="With --distil: which pairs.")
@click.option("--out", type=click.Path(dir_okay=False), help="Also write the choices to this JSONL file.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    fit: str,
    candidates: str,
    rule: str,
    alpha: float,
    parties: tuple[str, ...],
    zero: Zero | None,
    lottery: bool,
    beta: float | None,
    answers: str | None,
    mechanism: bool,
    opinions: str | None,
    pessimistic: bool,
    radius: float | None,
    distil: str | None,
    pairs: int,
    seed: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Choose one of several responses a prompt for parties that disagree, by their rewards.

    FIT is a folder of `pluralign llm reward`; CANDIDATES has columns prompt and responses (a list). Rewards are known
    up to a number a party and prompt, which --zero settles.

    Example: pluralign llm choose rewards candidates.jsonl --rule leximin --out chosen.jsonl
    """
    from pluralign.api.choosing import choose
    from pluralign.api.chosen import write_rows
    from pluralign.api.fits import load_fit
    from pluralign.flags import with_flags
    from sim.errors import InputError
    from sim.files.atomic import require_other, require_place
    from sim.files.file_rows import require_ending
    from sim.tables.candidates import RADIUS

    flags = _FLAGS if pessimistic or radius is None else {**_FLAGS, "pessimistic": "--radius"}
    with training_warnings(), with_flags(flags):
        kind, file = _distilled(distil)
        if out is not None and file is not None and os.path.realpath(out) == os.path.realpath(file):
            raise InputError(f"distil: {file} is also where the choices go", fix="name another file")
        for place in (out, file):
            if place is not None:
                require_place(place)
                require_other(place, fit, candidates, opinions, answers)
                require_ending(place, ".jsonl")
        asked = parties[0] if len(parties) == 1 and parties[0] in ("types", "annotators") else parties or "auto"
        say, heard = clock(), load_fit(fit)
        if answers is not None:
            heard = heard.assign(answers)
            _require_heard(heard, asked)
        found = choose(
            heard, candidates, rule, alpha=alpha, parties=asked, zero=zero, lottery=lottery, beta=beta,
            mechanism=mechanism, opinions=opinions, pessimistic=pessimistic or radius is not None,
            radius=RADIUS if radius is None else radius, progress=say,
        )  # fmt: skip
        rows = None if kind is None else found.distil(kind, pairs=pairs, seed=seed)
        if out is not None:
            found.save(out)
        if rows is not None and file is not None:
            write_rows(file, rows)
            told, every = (len({json.dumps(text) for text in texts}) for texts in
                           ([row["prompt"] for row in rows], found.candidates.prompts))  # fmt: skip
            if told < every:
                say(f"note: {every - told} of {every} prompts have no pair in {file}: {rule} tells none of their "
                    "candidates apart")  # fmt: skip
    print_answer(json.dumps(found.as_dict(), indent=2, allow_nan=False) if as_json else str(found))


def _require_heard(fit: FitResult, parties: str | tuple[str, ...]) -> None:
    """That those who gave further answers are among the parties, one of them at least."""
    from pluralign.api.choosing import party_names
    from sim.errors import InputError
    from sim.fitting.text_features.heads import annotators_of

    if not set(annotators_of(fit.usable, party_names(fit, parties))) & set(fit.annotators):
        raise InputError(
            f"answers: who gave them, as '{fit.annotators[0]}', is no party",
            fix="give --party annotators, or name them",
        )


def _distilled(given: str | None) -> tuple[Kind | None, str | None]:
    """KIND=FILE; which kinds there are is the choice's affair."""
    from sim.errors import InputError
    from sim.tables.distilled import KINDS

    if given is None:
        return None, None
    kind, _, file = given.partition("=")
    found = next((one for one in KINDS if one == kind), None)
    if found is None or not file:
        raise InputError(f"distil: expected KIND=FILE, got '{given}'", fix=f"KIND is one of {', '.join(KINDS)}")
    return found, file
