"""`pluralign choice-model`: what attributes are worth to people who choose among several alternatives, with errors."""

from __future__ import annotations

import json
from typing import Any

import click
from click.core import ParameterSource

from pluralign.terminal import print_answer


@click.command("choice-model")
@click.argument("table", type=click.Path(dir_okay=False))
@click.option("--random", "vary", help="Features whose coefficients vary over people, a,b,...; 'all' for all of them.")
@click.option("--correlated", is_flag=True, help="With --random: they vary together.")
@click.option("--draws", type=click.IntRange(1), default=256, show_default=True, help="With --random: draws a person.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draws.")
@click.option("--ridge", type=click.FloatRange(0.0), default=0.0, show_default=True, help="Without --random.")
@click.option("--person", default="id", show_default=True, help="Column of who chose.")
@click.option("--choice", default="choice", show_default=True, help="Column of what was chosen.")
@click.option("--alternative", default="alt", show_default=True, help="Column of the alternative, in a long table.")
@click.option(
    "--situation", default="chid", show_default=True, help="Column that numbers the choices, in a long table."
)
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    table: str, vary: str | None, correlated: bool, draws: int, seed: int, ridge: float, as_json: bool, **columns: Any
) -> None:
    """Fit a conditional logit of choices, or with --random a mixed logit, with errors clustered by person.

    TABLE is long (a row an alternative: choice true or false, id, alt, chid and the features) or wide (features in
    columns that end in the number of the alternative).

    Example: pluralign choice-model choices.csv --random price,time --draws 512
    """
    from pluralign.api.choice_models import conditional_logit, mixed_logit
    from pluralign.flags import with_flags

    if vary is None and correlated:
        raise click.UsageError("--correlated belongs to --random")
    context = click.get_current_context()
    for name in ("draws", "seed") if vary is None else ():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} belongs to --random")
    if vary is not None and ridge:
        raise click.UsageError("--ridge is of a fit without --random")
    flags = ("random", "draws", "ridge", "person", "choice", "alternative", "situation")
    with with_flags({name: f"--{name}" for name in flags}):
        if vary is None:
            found = conditional_logit(table, ridge=ridge, **columns)
        else:
            names = None if vary == "all" else [name.strip() for name in vary.split(",")]
            found = mixed_logit(table, random=names, correlated=correlated, draws=draws, seed=seed, **columns)
    print_answer(json.dumps(found.as_dict(), indent=2, allow_nan=False) if as_json else repr(found))
