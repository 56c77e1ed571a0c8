"""`pluralign mutate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pluralign.terminal import print_answer


@click.command("mutate")
@click.argument("papers", nargs=-1, metavar="[PAPER]...")
@click.option(
    "--profile",
    type=click.Choice(["quick", "full"]),
    default="quick",
    show_default=True,
    help="full: what no claim notices at quick is tried again with more replicates.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the claims and of the sample.")
@click.option(
    "--sample", type=click.IntRange(0),
    help="Faults of the generic operators on executed lines [default: 200 with all papers, none with some].",
)  # fmt: skip
@click.option("--only", multiple=True, metavar="FAULT", help="Only this fault; repeatable.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes (default: one a core).")
@click.option("--out", type=click.Path(file_okay=False), default="mutations", show_default=True, help="Result folder.")
@click.option("--list", "listed", is_flag=True, help="List the catalogue and plant nothing.")
@click.option("--docs", type=click.Path(file_okay=False), help="Also write the tables of FOLDER/planted_faults.md.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    papers: tuple[str, ...],
    profile: str,
    seed: int,
    sample: int | None,
    only: tuple[str, ...],
    workers: int | None,
    out: str,
    listed: bool,
    docs: str | None,
    as_json: bool,
) -> None:
    """Plant faults, one at a time and in memory, and see whether the claims notice.

    A check that no fault can fail is no check. Each fault of the catalogue, and a seeded sample of changed signs,
    constants, comparisons and counts on lines that claims execute, is run against the claims that execute it, quick
    ones first, until one comes out otherwise than expected. Writes mutations.json and mutations.md to --out; a run
    that is killed goes on from there.

    Exit code: 0 where 95 % of the catalogue is noticed (full: all of it), 1 otherwise.

    Example: pluralign mutate personalization --profile quick
    """
    from typing import cast

    from pluralign.api.mutations import mutate
    from pluralign.progress import Progress
    from pluralign.tables import cut_table
    from pluralign.terminal import columns, rows
    from sim.files.atomic import require_place
    from theory.engine.theorem import Profile
    from theory.mutation.catalogue import catalogue
    from theory.report.faults import require_mutations_folder

    if listed:
        body = [(fault.id, fault.paper, fault.what) for fault in catalogue(*papers)]
        if as_json:
            print_answer(json.dumps({"faults": [dict(zip(("id", "paper", "what"), row, strict=True)) for row in body]}))
        else:
            for name, paper, what in body:
                click.echo(f"{name}  ({paper})\n    {what}")
        return
    catalogue(*papers)
    require_mutations_folder(out)
    require_place(Path(out) / "cells")
    if docs is not None:
        from theory.report.pages import require_tables

        require_tables(Path(docs) / "planted_faults.md", ("rates", "faults", "survivors", "by-claim"))
    with Progress() as progress:
        result = mutate(
            *papers, profile=cast(Profile, profile), seed=seed, sample=sample, only=only, workers=workers, out=out,
            progress=progress.show,
        )  # fmt: skip
    if docs is not None:
        from theory.mutation.noticed import NOTICED, write_noticed
        from theory.report.faults import TABLES
        from theory.report.pages import update_tables

        update_tables(Path(docs) / "planted_faults.md",
                      {part: table(result.report) for part, table in TABLES.items()})  # fmt: skip
        # The docs of this checkout, and its sources' own record, are of one run; a copy elsewhere is only a copy.
        if Path(docs).resolve() == NOTICED.parents[2] / "docs":
            write_noticed(result.report)
    if as_json:
        print_answer(json.dumps(result.as_dict(), indent=2, allow_nan=False))
    else:
        page = result.page()
        click.echo(cut_table(
            list(page.head), [[str(cell) for cell in row] for row in page.rows], keys=1, width=columns(), rows=rows(),
            rest=f"all in {Path(out) / 'mutations.md'}; --json prints them",
        ))  # fmt: skip
        own = result.as_dict()
        parts = [f"{own[kind]['killed']} of {own[kind]['total']} of the {kind}" for kind in ("catalogue", "sample")
                 if own[kind]["total"]]  # fmt: skip
        click.echo(f"\nnoticed: {', '.join(parts) or 'nothing was planted'}, {result.report.seconds:.0f} s")
        if result.report.unstable:
            click.echo(f"not as expected without any fault: {', '.join(result.report.unstable)}")
    if result.report.exit_code:
        raise click.exceptions.Exit(result.report.exit_code)
