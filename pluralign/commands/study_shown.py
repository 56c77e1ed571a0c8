"""What the commands of `study` do alike: run in a folder, print a report, a plan, a status."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pluralign.backends import backends
from pluralign.progress import Progress
from pluralign.study_words import at_its_target, plan_words, status_headline, status_notes
from pluralign.tables import on_screen
from pluralign.terminal import columns, print_answer, rows
from sim.studies.cells import Counts
from sim.studies.folder import run_in_folder
from sim.studies.planning import plan_study
from sim.studies.report import StudyReport
from sim.studies.request import Request
from sim.studies.status import StudyStatus


def run_and_show(folder: Path, request: Request, fresh: bool, as_json: bool) -> None:
    """Ends with exit code 1 where a replicate failed."""
    with Progress() as progress:
        progress.show("preparing")

        def counted(counts: Counts) -> None:
            failed = f", {counts.failed} failed" if counts.failed else ""
            progress.counted(counts.done, counts.total, counts.left, f"replicates{failed}")

        report = run_in_folder(
            folder, request, backends(), fresh=fresh, on_progress=counted,
            on_writing=lambda: progress.show("writing tables and figures"), on_note=progress.note,
        )  # fmt: skip
    if request.share.of == 1:
        show_report(report, folder, request.place(folder), as_json)
    else:
        run = report.run
        for line in report.remarks(request.place(folder)):
            click.echo(line, err=True)
        print_answer(
            json.dumps({**report.as_json(), "shard": str(request.share), "out": str(folder)}, indent=2)
            if as_json
            else f"share {request.share}: {run.tasks - run.n_failed} replicates finished; when all are done, "
            f"`pluralign study merge` puts {folder}/ and the others together"
        )
    if report.run.n_failed:
        raise click.exceptions.Exit(1)


def show_report(report: StudyReport, folder: Path, place: str, as_json: bool) -> None:
    run = report.run
    for line in report.remarks(place):
        click.echo(line, err=True)
    if as_json:
        print_answer(json.dumps({**report.as_json(), "out": str(folder)}, indent=2, allow_nan=False))
        return
    for text, name in ((report.summary, "summary.md"), (report.comparison, "comparison.md")):
        if text:
            rest = f"all of them in {folder / name}"
            click.echo(on_screen(text, width=columns(), rows=rows(), rest=rest) + "\n")
    if report.comparison:
        click.echo(
            f"{report.agreeing} of {len(report.compared)} numbers within 3 joint standard errors of the reference"
        )
    click.echo(f"{run.tasks - run.resumed} replicates in {run.seconds:.0f} s; results and figures in {folder}/")


def plan_lines(folder: Path, request: Request, fresh: bool, as_json: bool) -> str:
    """Of `study --dry-run`."""
    with Progress() as progress:
        progress.show("measuring a replicate of each cell")
        plan = plan_study(folder, request, backends(), fresh=fresh)
    if as_json:
        return json.dumps(plan.as_json(), indent=2)
    words = plan_words(plan)
    return "\n".join(f"{name}: {value}" for name, value in words.items())


def status_lines(status: StudyStatus) -> str:
    """A line of words, what stopped it, and the cells that are not finished."""
    lines = [status_headline(status), *status_notes(status)]
    for factors, done, most in [row for row in status.cells if row[1] < row[2] and not at_its_target(status)][:20]:
        named = ", ".join(f"{name} {value}" for name, value in factors.items()) or "the only cell"
        lines.append(f"  {named}: {done:,} of {most:,}")
    return "\n".join(lines)
