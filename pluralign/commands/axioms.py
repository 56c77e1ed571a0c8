"""`pluralign axioms`: which axioms a rule of aggregation obeys, with counter-examples."""

from __future__ import annotations

import json

import click

from pluralign.terminal import print_answer


@click.command("axioms")
@click.option(
    "--rule", "rules", multiple=True, metavar="RULE",
    help="A name of ours (median, leximin, Agg[-1]), or module:NAME of your own: rewards (n, annotators) -> "
    "welfare (n,). Repeatable. Default: Agg and known others.",
)  # fmt: skip
@click.option("--trials", type=click.IntRange(10, 1_000_000), default=3000, show_default=True)
@click.option("--annotators", type=click.IntRange(2), default=4, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(rules: tuple[str, ...], trials: int, annotators: int, seed: int, as_json: bool) -> None:
    """Test rules of aggregation against the axioms: the share of random profiles that obey, and a counter-example.

    A share of 1 over 3,000 trials means violations are rarer than about 1 in 1,000 (95 %), not that there are none.
    "(printed)" are two axioms as the paper prints them; see `pluralign show axiom-translation`.

    Example: pluralign axioms --rule leximin --rule mypackage.rules:median_of_means
    """
    from pluralign.api.tables import axioms
    from pluralign.tables import cut_table
    from pluralign.terminal import columns, rows

    found = axioms(*rules, trials=trials, n_annotators=annotators, seed=seed)
    if as_json:
        print_answer(json.dumps(found.as_dict(), indent=2))
        return
    told = found.as_dict()["rules"]
    body = [[name, *(_share(row["satisfied"][name]) for row in told)] for name in told[0]["satisfied"]]
    head = ["axiom", *(row["rule"] for row in told)]
    click.echo(cut_table(head, body, keys=1, width=columns(), rows=rows(), rest="--json gives all"))


def _share(score: float) -> str:
    """Two digits, and 1 or 0 only where it is so: .999 is not 1."""
    if score in (0.0, 1.0):
        return f"{score:.0f}"
    return f"{min(max(score, 0.01), 0.99):.2f}"
