"""`pluralign study`."""

from __future__ import annotations

import json
from pathlib import Path

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
    from typing import cast

    import pluralign
    from pluralign.backends import backends
    from sim.files.atomic import write_json, write_text
    from sim.running.engines import EngineName, available_cores
    from sim.studies.cells import run_study, versions, write_results
    from sim.studies.comparison import compare, load_reference, markdown_table
    from sim.studies.spec import load_spec

    spec = load_spec(file, overrides, seed)
    reference = load_reference(spec.reference) if spec.reference is not None else None
    folder = Path(out)

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
        code=[Path(pluralign.__file__).resolve().parent.parent / "llm"],
        on_progress=progress,
    )
    if run.resumed:
        click.echo(f"{run.resumed} of {run.tasks} tasks were taken from {folder / 'cells'}", err=True)
    for reason in sorted(set(run.skipped.values())):
        cells = sum(found == reason for found in run.skipped.values())
        click.echo(f"{cells} of the study's cells skipped: {reason}", err=True)
    write_results(folder / "results.parquet", run.rows, tuple(spec.grid))
    write_json(folder / "study.json", {**spec.resolved(), "versions": versions(), "skipped": dict(run.skipped)})
    if any(row["value"] is not None for row in run.rows):
        spec.definition.draw(run.rows, folder)
    compared = compare(run.rows, reference) if reference is not None else []
    table = markdown_table(compared, reference["source"]) if reference is not None and compared else ""
    overview = spec.definition.table(run.rows, tuple(spec.grid))
    if table:
        write_text(folder / "comparison.md", table)
    write_text(folder / "summary.md", overview)
    agreeing = sum(row.agrees for row in compared)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "study": spec.resolved(),
                    "tasks": run.tasks,
                    "resumed": run.resumed,
                    "skipped": dict(run.skipped),
                    "seconds": round(run.seconds, 3),
                    "comparison": [vars(row) for row in compared],
                    "within_3_joint_errors": agreeing,
                    "compared": len(compared),
                    "out": str(folder),
                },
                indent=2,
                allow_nan=False,
            )
        )
        return
    click.echo(overview)
    if table:
        click.echo(table)
        click.echo(f"{agreeing} of {len(compared)} numbers within 3 joint standard errors of the reference")
    click.echo(f"{run.tasks - run.resumed} tasks in {run.seconds:.0f} s; results and figures in {folder}/")
