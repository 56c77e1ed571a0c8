"""`pluralign aggregate`: rewards of several annotators as one."""

from __future__ import annotations

import json

import click

from pluralign.commands.alpha import Alpha
from pluralign.terminal import print_answer


@click.command("aggregate")
@click.argument("rewards", type=click.Path(dir_okay=False))
@click.option(
    "--alpha", type=Alpha(), default=0.0, show_default=True,
    help="0: the mean; below 0: the worse off count for more, -inf is the minimum; above 0: the better off.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(rewards: str, alpha: float, as_json: bool) -> None:
    """Aggregate rewards: (1/alpha) log of the mean of exp(alpha r), response by response, and the best response.

    REWARDS is CSV, a row an annotator, a column a response; a header line and a first column of names are allowed.
    Rewards must be on one scale with one zero: comparisons alone do not fix an annotator's constant, and for every
    alpha but 0 the choice depends on it (give rewards relative to a common reference response).

    Example: pluralign aggregate rewards.csv --alpha -1
    """
    from pluralign.api.tables import aggregate
    from pluralign.flags import with_flags

    with with_flags({"alpha": "--alpha", "rewards": "REWARDS"}):
        found = aggregate(rewards, alpha)
    answer = found.as_dict()
    if as_json:
        print_answer(json.dumps(answer, indent=2, allow_nan=False))
        return
    lines = ["response            aggregate"]
    for name, value in zip(answer["responses"], answer["aggregate"], strict=True):
        lines.append(f"{name:<18} {value:10.4f}{'   <- choice' if name == answer['choice'] else ''}")
    lines += ["", "annotator            reward of the choice   share in its aggregate"]
    for name, value, share in zip(answer["annotators"], found.rewards_of_choice, found.shares, strict=True):
        lines.append(f"{name:<18} {value:10.4f}             {share:8.3f}")
    if alpha > 0:
        lines.append("\nnote: alpha above 0 breaks the Pigou-Dalton principle: it rewards the better off")
    click.echo("\n".join(lines))
