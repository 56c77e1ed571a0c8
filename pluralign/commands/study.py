"""`pluralign study`."""

from __future__ import annotations

import click


@click.command("study")
@click.argument("file", type=click.Path(dir_okay=False), metavar="FILE.yaml")
@click.option("--out", type=click.Path(file_okay=False), default="study", show_default=True, help="Result folder.")
@click.option("--seed", type=click.IntRange(0), help="Seed of every random stream (default: the file's).")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the file; repeatable.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes (default: one a core).")
@click.option("--engine", type=click.Choice(["local", "joblib", "dask"]), default="joblib", show_default=True)
@click.option("--scheduler", help="Address of a running Dask scheduler (with --engine dask).")
@click.option("--fresh", is_flag=True, help="Compute again what an earlier run of the same code left in --out.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    file: str,
    out: str,
    seed: int | None,
    overrides: tuple[str, ...],
    workers: int | None,
    engine: str,
    scheduler: str | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Run a simulation study: a grid of cells, each over many seeds, with figures and a comparison table.

    Results go to --out: results.parquet (one row a number), comparison.md, figures (PNG, SVG), study.json (the
    resolved configuration). A killed run resumes from --out; the numbers depend neither on the workers nor on
    the engine. Exit code 0, also where numbers differ from the reference: a study measures, `check` judges.

    Examples:

    \b
      pluralign study sim/studies/experiments/bandit/section_5_1.yaml
      pluralign study sim/studies/experiments/bandit/section_5_1.yaml --set replicates=5 --set backend=log_linear
    """
    import json
    from pathlib import Path
    from typing import cast

    from pluralign.backends import backends
    from sim.running.engines import EngineName, available_cores
    from sim.studies.cells import run_study
    from sim.studies.report import StudyReport
    from sim.studies.spec import load_spec

    spec, folder = load_spec(file, overrides, seed), Path(out)
    # Before hours of work: a reference that cannot be read is said now.
    reference = StudyReport.reference_of(spec)

    def progress(done: int, total: int, left: float) -> None:
        click.echo(f"[{done}/{total}] about {left:.0f} s left", err=True)

    run = run_study(
        spec,
        backends(),
        cells=folder / "cells",
        workers=workers or available_cores(),
        engine=cast(EngineName, engine),
        scheduler=scheduler,
        fresh=fresh,
        on_progress=progress,
    )
    report = StudyReport(run, reference)
    for line in report.remarks(folder / "cells"):
        click.echo(line, err=True)
    report.write(folder)
    report.draw(folder)
    if as_json:
        click.echo(json.dumps({**report.as_json(), "out": str(folder)}, indent=2, allow_nan=False))
        return
    click.echo(report.overview)
    if report.comparison:
        click.echo(report.comparison)
        click.echo(
            f"{report.agreeing} of {len(report.compared)} numbers within 3 joint standard errors of the reference"
        )
    click.echo(f"{run.tasks - run.resumed} tasks in {run.seconds:.0f} s; results and figures in {folder}/")
