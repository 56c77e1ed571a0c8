"""`pluralign axioms`: which axioms a rule of aggregation obeys, with counter-examples."""

from __future__ import annotations

import json

import click


@click.command("axioms")
@click.option(
    "--rule", "rules", multiple=True, metavar="RULE",
    help="A name of ours (median, leximin, Agg[-1]), or module:NAME of your own: rewards (n, annotators) -> "
    "welfare (n,). Repeatable. Default: Agg and known others.",
)  # fmt: skip
@click.option("--trials", type=click.IntRange(10, 1_000_000), default=3000, show_default=True)
@click.option("--annotators", type=click.IntRange(2, 8), default=4, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(rules: tuple[str, ...], trials: int, annotators: int, seed: int, as_json: bool) -> None:
    """Test rules of aggregation against the axioms: the share of random profiles that obey, and a counter-example.

    A share of 1 over 3,000 trials means violations are rarer than about 1 in 1,000 (95 %), not that there are none.
    "(printed)" are two axioms as the paper prints them; see `pluralign show axiom-translation`.

    Example: pluralign axioms --rule leximin --rule mypackage.rules:median_of_means
    """
    from sim.algorithms.axioms import AXIOMS, axiom_table, known_rules
    from sim.algorithms.rules import find_rule
    from sim.streams import Stream

    chosen = [find_rule(name) for name in rules] or list(known_rules())
    results = axiom_table(chosen, Stream(seed, "axioms"), trials=trials, n_annotators=annotators)
    names = list(AXIOMS)
    rows = [results[place : place + len(names)] for place in range(0, len(results), len(names))]
    if as_json:
        table = [
            {"rule": row[0].rule, "satisfied": {key: r.score for key, r in zip(names, row, strict=True)},
             "witnesses": {key: r.witness for key, r in zip(names, row, strict=True) if r.witness}}
            for row in rows
        ]  # fmt: skip
        click.echo(json.dumps({"trials": trials, "annotators": annotators, "rules": table}, indent=2))
        return
    width = max(len(key) for key in names)
    heads = [row[0].rule for row in rows]
    click.echo(" " * width + "  " + "  ".join(f"{head:>8}" for head in heads))
    for number, key in enumerate(names):
        cells = [_share(row[number].score).rjust(max(8, len(head))) for row, head in zip(rows, heads, strict=True)]
        click.echo(f"{key:<{width}}  " + "  ".join(cells))


def _share(score: float) -> str:
    """Two digits, and 1 or 0 only where it is so: .999 is not 1."""
    if score in (0.0, 1.0):
        return f"{score:.0f}"
    return f"{min(max(score, 0.01), 0.99):.2f}"
