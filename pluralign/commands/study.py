"""`pluralign study`."""

from __future__ import annotations

import importlib
import math
from collections.abc import MutableMapping
from typing import Any

import click

from pluralign.commands.cluster_options import cluster_options, tls_of
from pluralign.terminal import print_answer

# Words that are no study's name; a file of that name is reached as ./status.
VERBS = ("status", "resume", "merge")


class _Study(click.Command):
    """`study FILE|NAME` runs one; a verb as the first word is a command of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in VERBS:
            verb = importlib.import_module(f"pluralign.commands.study_{args[0]}").command
            assert isinstance(verb, click.Command)
            return verb.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command("study", cls=_Study)
@click.argument("study", required=False, metavar="[FILE.yaml|NAME]")
@click.option("--list", "listed", is_flag=True, help="Name the studies that come with pluralign.")
@click.option("--out", type=click.Path(file_okay=False), help="Result folder (default: the study's name).")
@click.option("--seed", type=click.IntRange(0), help="Seed of every random stream (default: the file's).")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the file; repeatable.")
@cluster_options
@click.option("--batch", type=click.IntRange(1), help="Replicates a task (default: about two seconds of them).")
@click.option(
    "--time-out", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
    help="A replicate that takes longer is ended, counted as failed, and its process replaced.",
)  # fmt: skip
@click.option(
    "--target-error", "targets", multiple=True, metavar="[METRIC=]ERROR",
    help="A cell ends at this standard error of its means; --set replicates= is then the most. Repeatable.",
)  # fmt: skip
@click.option("--cells", help="Where finished replicates are kept: a folder, or s3://... (default: OUT/cells).")
@click.option("--shard", metavar="I/N", help="Do the i-th of n parts, for `pluralign study merge`.")
@click.option("--dry-run", is_flag=True, help="Say how many replicates, how much memory and time; run none for good.")
@click.option("--fresh", is_flag=True, help="Compute again what an earlier run of the same code left there.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    study: str | None,
    listed: bool,
    out: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
    targets: tuple[str, ...],
    shard: str | None,
    dry_run: bool,
    fresh: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a simulation study: a grid of cells, each over many seeds, with figures and a comparison table.

    A path to a study file, or the name of one that comes with pluralign (--list). Results go to --out:
    results.parquet (one row a number), summary.md, figures (PNG, SVG), study.json (the resolved configuration), and
    comparison.md where the file names reference numbers. A killed run resumes from --out; the numbers depend neither
    on the workers nor on the engine. Exit code 0, also where numbers differ from the reference: a study measures,
    `check` judges; 1 where a replicate failed, and the others are kept.

    \b
    pluralign study status DIR     how far it is, also of a run that was killed
    pluralign study resume DIR     go on with it, as it was asked for
    pluralign study merge DIR...   put shares (--shard) together

    Examples:

    \b
      pluralign study section_5_1 --out section_5_1
      pluralign study section_5_1 --set replicates=5 --set backend=log_linear
      pluralign study mine.yaml --workers 2
      pluralign study mine.yaml --shard 3/8 --out part_3
    """
    from pathlib import Path

    from pluralign.commands.study_shown import plan_lines, run_and_show
    from sim.running.engines import available_cores
    from sim.running.places import lasting
    from sim.studies.request import Request
    from sim.studies.shipped import study_file

    if listed and study is not None:
        raise click.UsageError("--list names the studies; give no study with it", click.get_current_context())
    if listed:
        print_answer(_listed(as_json))
        return
    if study is None:
        raise click.UsageError("which study? give a path or a name", click.get_current_context())
    file = study_file(study)
    request = Request(
        str(file), (*overrides, *_target(targets)), seed, engine=options["engine"] or "joblib",
        workers=options["workers"] or available_cores(), scheduler=options["scheduler"],
        tls=tls_of(options["tls_ca"], options["tls_cert"], options["tls_key"]),
        cells=None if options["cells"] is None else lasting(options["cells"]),
        batch=options["batch"], time_out=options["time_out"], shard=_shard(shard),
    )  # fmt: skip
    # A file without an ending has the name that its folder would have.
    name = file.stem if file.suffix else f"{file.stem}-results"
    folder = Path(out or name + ("" if shard is None else f"-{request.shard[0]}-of-{request.shard[1]}"))
    if dry_run:
        print_answer(plan_lines(folder, request, fresh, as_json))
    else:
        run_and_show(folder, request, fresh, as_json)


def _target(texts: tuple[str, ...]) -> list[str]:
    """--target-error 0.1 --target-error accuracy=0.01 as one override of the study file."""
    found: MutableMapping[str, str] = {}
    for text in texts:
        metric, _, error = text.rpartition("=")
        try:
            positive = 0.0 < float(error) < math.inf
        except ValueError:
            positive = False
        if not positive:
            raise click.UsageError(f"--target-error: expected a positive number or METRIC=number, got '{text}'")
        if (metric or "all") in found:
            raise click.UsageError(f"--target-error: {metric or 'all metrics'} given twice")
        found[metric or "all"] = error
    import json

    inner = ", ".join(f"{json.dumps(metric)}: {float(error)}" for metric, error in found.items())
    return [f"target_error={{{inner}}}"] if found else []


def _shard(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise click.UsageError(f"--shard: expected i/n with 1 <= i <= n, got '{text}'")
    return int(number), int(of)


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
