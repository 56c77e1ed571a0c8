"""`pluralign check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pluralign.commands.cluster_options import cluster_options, tls_of
from pluralign.terminal import print_answer


@click.command("check")
@click.argument("names", nargs=-1, metavar="[PAPER|CLAIM]...")
@click.option(
    "--profile",
    type=click.Choice(["quick", "full"]),
    default="quick",
    show_default=True,
    help="quick: seconds a claim, about six minutes for all of them on two cores; full: more replicates, several "
    "times as long.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random stream.")
@cluster_options
@click.option(
    "--time-out", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
    help="A claim that takes longer is ended; the others are checked and kept.",
)  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False), default="report", show_default=True, help="Result folder.")
@click.option("--fresh", is_flag=True, help="Compute again what an earlier run of the same code left in --out.")
@click.option(
    "--seeds", type=click.IntRange(1),
    help="Check at this many seeds from --seed on and count what is not as expected: false alarms. Hours for all.",
)  # fmt: skip
@click.option("--docs", type=click.Path(file_okay=False), help="Also write the tables of the pages in FOLDER/papers.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    names: tuple[str, ...],
    profile: str,
    seed: int,
    out: str,
    fresh: bool,
    seeds: int | None,
    docs: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Check claims numerically: a verdict, an interval, the check's power, and controls that must fail.

    NAMES are papers or claims (`pluralign list`); none means all. Every claim is held against its bound; every
    broken version of it must be caught. Writes verdicts.json, verdicts.md, witnesses, resolved.yaml and figures to
    --out; what is printed is cut to the screen, what is not as expected first. A run that is killed resumes from
    --out; the answer does not depend on the number of workers.

    With --seeds N the table is of false alarms by paper, with exact intervals, and of the claims that stand out; it
    is written to alarms.json and alarms.md, and with --docs to FOLDER/false_alarms.md.

    Exit code: 0 all verdicts as expected and all controls caught, 1 one differs, 3 one is inconclusive.

    Example: pluralign check unobserved_types --profile quick
    """
    from typing import cast

    from pluralign.progress import Progress
    from pluralign.verdicts import verdict_table
    from sim.files.atomic import require_place
    from sim.files.locks import held
    from sim.running.engines import Tls, available_cores
    from theory.engine.registry import select
    from theory.engine.runner import run_checks
    from theory.engine.theorem import Profile
    from theory.report.folder import require_check_folder, write_folder
    from theory.report.pages import require_pages, update_pages

    tls = tls_of(options.pop("tls_ca"), options.pop("tls_cert"), options.pop("tls_key"))
    options |= {"engine": options["engine"] or "joblib", "workers": options["workers"] or available_cores()}
    theorems = select(names)
    folder = Path(out)
    # Before minutes of work: a folder that is not ours or cannot be written, pages without markers.
    require_check_folder(folder)
    require_place(folder / "cells")
    if seeds is not None:
        _count_alarms(names, seeds, seed, profile, options, tls, folder, fresh, docs, as_json)
        return
    if docs is not None:
        require_pages(docs, theorems)
    with held(folder), Progress() as progress:
        progress.show(f"checking {len(theorems)} claims")
        report = run_checks(
            theorems,
            profile=cast(Profile, profile),
            seed=seed,
            tls=None if tls is None else Tls(*map(Path, tls)),
            cells=folder / "cells",
            fresh=fresh,
            on_progress=lambda claim, done, total, left: progress.counted(done, total, left, f"claims ({claim})"),
            **options,
        )
        progress.show("writing tables and figures")
        write_folder(folder, report, names)
        if docs is not None:
            update_pages(docs, report.checks)
    if report.resumed:
        click.echo(
            f"{report.resumed} of {len(theorems)} claims were taken from {folder / 'cells'} "
            "(same code, seed and profile); --fresh computes them again",
            err=True,
        )
    if as_json:
        print_answer(json.dumps(report.as_json(), indent=2, allow_nan=False))
    else:
        click.echo(verdict_table(report.checks, folder))
        expected = sum(check.as_expected for check in report.checks)
        click.echo(
            f"\n{expected} of {len(report.checks)} verdicts as expected, "
            f"{report.controls_caught} of {report.controls_total} controls caught, "
            f"{report.seconds:.0f} s; figures, table and witnesses in {folder}/"
        )
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)


def _count_alarms(
    names: tuple[str, ...],
    seeds: int,
    seed: int,
    profile: str,
    options: dict[str, Any],
    tls: tuple[str, str, str] | None,
    folder: Path,
    fresh: bool,
    docs: str | None,
    as_json: bool,
) -> None:
    """`check --seeds`."""
    from typing import cast

    from pluralign.api.calibration import false_alarms
    from pluralign.progress import Progress
    from pluralign.tables import on_screen
    from pluralign.terminal import columns, rows
    from theory.engine.theorem import Profile
    from theory.report.pages import require_tables, update_tables

    page = None if docs is None else Path(docs) / "false_alarms.md"
    if page is not None:
        require_tables(page, ("alarms", "suspects"))
    with Progress() as progress:
        found = false_alarms(
            *names, seeds=seeds, seed=seed, profile=cast(Profile, profile), tls=tls, out=folder, fresh=fresh,
            progress=progress.show, **options,
        ).alarms  # fmt: skip
    if page is not None:
        update_tables(page, {"alarms": found.table(), "suspects": found.suspects_table()})
    if as_json:
        print_answer(json.dumps(found.as_json(), indent=2, allow_nan=False))
    else:
        rest = f"all in {folder / 'alarms.md'}"
        click.echo(on_screen(found.table(), width=columns(), rows=rows(), rest=rest))
        if found.suspects:
            click.echo("\n" + on_screen(found.suspects_table(), width=columns(), rows=rows(), rest=rest))
    if found.exit_code:
        raise click.exceptions.Exit(found.exit_code)
