"""`pluralign power`."""

from __future__ import annotations

import json

import click

from pluralign.terminal import print_answer


@click.command("power")
@click.argument("claim")
@click.option("--target", type=float, default=0.8, show_default=True, help="Probability to reach.")
@click.option("--variant", help="as_stated, as_printed or as_corrected [default: the claim's last].")
@click.option(
    "--profile", type=click.Choice(["quick", "full"]), default="quick", show_default=True,
    help="Whose replicates the spread is measured with.",
)  # fmt: skip
@click.option(
    "--family", type=int, help="Among how many verdicts the claim's is adjusted [default: those of its paper]."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random stream.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    claim: str, target: float, variant: str | None, profile: str, family: int | None, seed: int, as_json: bool
) -> None:  # fmt: skip
    """Plan how many replicates the check of CLAIM needs, and for a rate on which grid.

    Measures the claim and its controls once and says, for the claim's verdict (adjusted among --family verdicts), for
    the smallest departure that matters and for every control, how surely the check sees it now, and the least number
    of replicates at which it does so with probability --target.

    Example: pluralign power aggregate-rate --target .9
    """
    from typing import cast

    from pluralign.api.calibration import power
    from pluralign.progress import Progress
    from pluralign.tables import cut_table
    from pluralign.terminal import columns
    from theory.engine.theorem import Profile

    with Progress() as progress:
        progress.show(f"measuring {claim}")
        found = power(claim, target=target, variant=variant, profile=cast(Profile, profile), seed=seed, family=family)
    if as_json:
        print_answer(json.dumps(found.as_dict(), indent=2))
        return
    page = found.page()
    body = [["-" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row]
            for row in page.rows]  # fmt: skip
    click.echo(page.title)
    click.echo(cut_table(list(page.head), body, keys=1, width=columns(), rows=1000, rest="--json prints all"))
    click.echo("\n".join(page.notes))
