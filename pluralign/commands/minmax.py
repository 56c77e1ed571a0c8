"""`pluralign minmax`: min-max regret on a user's own matrix."""

from __future__ import annotations

import json
from typing import Any

import click

from pluralign.terminal import print_answer


@click.command("minmax")
@click.option(
    "--regret",
    "path",
    required=True,
    type=click.Path(dir_okay=False),
    help="CSV: a row a group, a column a policy, entry = the group's regret under that policy.",
)
@click.option("--priorities", help="One positive number a group, separated by commas (default: all 1).")
@click.option("--rounds", type=click.IntRange(1), default=100_000, show_default=True, help="Hedge rounds.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(path: str, priorities: str | None, rounds: int, as_json: bool) -> None:
    """Weights of the ensemble whose worst group regrets least.

    The file has no zero row; a header line and a first column of names are allowed. Regrets may be negative.
    The answer comes with a certificate: the duality gap of optimistic Hedge and the exact value from an LP.

    Example: pluralign minmax --regret regrets.csv --priorities 1,2,4
    """
    from pluralign.api.games import minmax
    from pluralign.flags import with_flags

    with with_flags({"priorities": "--priorities", "rounds": "--rounds"}):
        answer = minmax(path, priorities=priorities, rounds=rounds).as_dict()
    print_answer(json.dumps(answer, indent=2, allow_nan=False) if as_json else _table(answer))


def _table(answer: dict[str, Any]) -> str:
    lines = ["policy               weight"]
    lines += [f"{name:<18} {weight:8.4f}" for name, weight in zip(answer["policies"], answer["weights"], strict=True)]
    lines += ["", "group                regret"]
    groups = zip(answer["groups"], answer["regret_per_group"], strict=True)
    lines += [f"{name:<18} {regret:8.4g}" for name, regret in groups]
    lines += [
        "",
        f"worst weighted regret {answer['value']:.6g}  (exact value {answer['lp_value']:.6g} by LP, "
        f"duality gap {answer['gap']:.2g} after {answer['rounds']} rounds)",
    ]
    return "\n".join(lines)
