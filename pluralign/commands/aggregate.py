"""`pluralign aggregate`: rewards of several annotators as one."""

from __future__ import annotations

import json

import click

from pluralign.commands.alpha import Alpha, plain


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
    from pluralign.flags import with_flags
    from sim.algorithms.aggregation import aggregate, aggregate_weights
    from sim.files.number_tables import read_number_table

    table = read_number_table(rewards, row="annotator", column="response", entry="the reward")
    with with_flags({"alpha": "--alpha", "rewards": "REWARDS"}):
        values = aggregate(table.values, alpha)
    best = int(values.argmax())
    shares = aggregate_weights(table.values, alpha)[:, best]
    answer = {
        "alpha": plain(alpha),
        "aggregate": values.tolist(),
        "choice": table.columns[best],
        "responses": list(table.columns),
        "annotators": list(table.rows),
        "weights_at_choice": shares.tolist(),
        "favours": "worse off" if alpha < 0 else "better off" if alpha > 0 else "nobody",
    }
    if as_json:
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
        return
    lines = ["response            aggregate"]
    for name, value in zip(table.columns, values, strict=True):
        lines.append(f"{name:<18} {value:10.4f}{'   <- choice' if name == table.columns[best] else ''}")
    lines += ["", "annotator            reward of the choice   share in its aggregate"]
    for name, value, share in zip(table.rows, table.values[:, best], shares, strict=True):
        lines.append(f"{name:<18} {value:10.4f}             {share:8.3f}")
    if alpha > 0:
        lines.append("\nnote: alpha above 0 breaks the Pigou-Dalton principle: it rewards the better off")
    click.echo("\n".join(lines))
