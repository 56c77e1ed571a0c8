"""`pluralign study`."""

from __future__ import annotations

import click


@click.command("study")
@click.argument("study", required=False, metavar="[FILE.yaml|NAME]")
@click.option("--list", "listed", is_flag=True, help="Name the studies that come with pluralign.")
@click.option("--out", type=click.Path(file_okay=False), help="Result folder (default: the study's name).")
@click.option("--seed", type=click.IntRange(0), help="Seed of every random stream (default: the file's).")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the file; repeatable.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes (default: one a core).")
@click.option("--engine", type=click.Choice(["local", "joblib", "dask"]), default="joblib", show_default=True)
@click.option("--scheduler", help="Address of a running Dask scheduler (with --engine dask).")
@click.option("--fresh", is_flag=True, help="Compute again what an earlier run of the same code left in --out.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    study: str | None,
    listed: bool,
    out: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
    workers: int | None,
    engine: str,
    scheduler: str | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Run a simulation study: a grid of cells, each over many seeds, with figures and a comparison table.

    A path to a study file, or the name of one that comes with pluralign (--list). Results go to --out:
    results.parquet (one row a number), summary.md, figures (PNG, SVG), study.json (the resolved configuration), and
    comparison.md where the file names reference numbers. A killed run resumes from --out; the numbers depend neither
    on the workers nor on the engine. Exit code 0, also where numbers differ from the reference: a study measures,
    `check` judges; 1 where a replicate failed, and the others are kept.

    Examples:

    \b
      pluralign study section_5_1 --out section_5_1
      pluralign study section_5_1 --set replicates=5 --set backend=log_linear
      pluralign study mine.yaml --workers 2
    """
    import json
    from pathlib import Path
    from typing import cast

    from pluralign.backends import backends
    from pluralign.progress import Progress
    from pluralign.tables import on_screen
    from pluralign.terminal import columns, rows
    from sim.files.atomic import require_place
    from sim.running.engines import EngineName, available_cores
    from sim.studies.cells import run_study
    from sim.studies.report import StudyReport, require_same_study
    from sim.studies.shipped import study_file
    from sim.studies.spec import load_spec

    if listed:
        click.echo(_listed(as_json))
        return
    if study is None:
        raise click.UsageError("which study? give a path or a name", click.get_current_context())
    file = study_file(study)
    spec, folder = load_spec(file, overrides, seed), Path(file.stem if out is None else out)
    # Before hours of work: a reference that cannot be read, a folder that cannot be written.
    reference = StudyReport.reference_of(spec)
    require_place(folder / "cells")
    require_same_study(folder, spec)
    with Progress() as progress:
        progress.show("preparing")
        run = run_study(
            spec,
            backends(),
            cells=folder / "cells",
            workers=workers or available_cores(),
            engine=cast(EngineName, engine),
            scheduler=scheduler,
            fresh=fresh,
            on_progress=lambda done, total, left: progress.counted(done, total, left, "replicates"),
        )
        progress.show("writing tables and figures")
        report = StudyReport(run, reference)
        report.write(folder)
        report.draw(folder)
    for line in report.remarks(folder / "cells"):
        click.echo(line, err=True)
    if as_json:
        click.echo(json.dumps({**report.as_json(), "out": str(folder)}, indent=2, allow_nan=False))
    else:
        for text, name in ((report.overview, "summary.md"), (report.comparison, "comparison.md")):
            if text:
                rest = f"all of them in {folder / name}"
                click.echo(on_screen(text, width=columns(), rows=rows(), rest=rest) + "\n")
        if report.comparison:
            click.echo(
                f"{report.agreeing} of {len(report.compared)} numbers within 3 joint standard errors of the reference"
            )
        click.echo(f"{run.tasks - run.resumed} tasks in {run.seconds:.0f} s; results and figures in {folder}/")
    if run.failed:
        raise click.exceptions.Exit(1)


def _listed(as_json: bool) -> str:
    """A line a study: its name, how many replicates of how many cells, its title."""
    import json

    from pluralign.api.simulation_studies import studies
    from pluralign.tables import clipped
    from pluralign.terminal import columns

    found = studies()
    if as_json:
        return json.dumps(found.as_dict(), indent=2)
    width = max(map(len, found))
    return (
        "\n".join(
            clipped(f"{own.name:<{width}}  {f'{own.cells} x {own.replicates}':>9}  {own.title}", columns())
            for own in found.values()
        )
        + "\n\n(cells x seeds; `pluralign study NAME` runs one)"
    )
