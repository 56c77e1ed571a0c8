"""`pluralign convert`."""

from __future__ import annotations

import difflib
import inspect
import json
from pathlib import Path
from typing import Any

import click

from pluralign.terminal import print_answer


class Share(click.FloatRange):
    """A share inside the range: FloatRange alone lets nan pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if number != number:
            self.fail("expected a share, got 'nan'", param, ctx)
        return number


class Converters(click.Group):
    """movielens is a command with options of its own; ours that take files and others' are found by name."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from sim.converters.converter import CONVERTERS

        ours = super().get_command(ctx, cmd_name)
        if ours is not None:
            return ours
        if ":" in cmd_name or cmd_name in CONVERTERS.names():
            return _command_of(cmd_name)
        known = (*self.commands, *CONVERTERS.names())
        near = difflib.get_close_matches(cmd_name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(known)}, or module:NAME of your own"
        raise click.UsageError(f"no converter '{cmd_name}'; {hint}", ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        from sim.converters.converter import CONVERTERS

        return [*super().list_commands(ctx), *CONVERTERS.names()]


@click.group("convert", cls=Converters)
def command() -> None:
    """Convert public data sets to answers: pairs, choices, rankings or ratings.

    What does not come through is counted and printed, with the data's licence. Pairs of a set that is not listed:
    pluralign convert columns FILE --chosen COLUMN --rejected COLUMN --annotator COLUMN --out ANSWERS

    A converter of your own: pluralign convert mymodule:CONVERTER FILE --out ANSWERS (`pluralign new converter NAME`
    writes one to begin with).
    """


def _command_of(name: str) -> click.Command:
    """The command of a converter that takes files; its help is what the converter says of itself."""
    from sim.converters.converter import CONVERTERS, find_converter

    converter = find_converter(name)
    # Ours have a flag an option; others' options could have the names of our flags, and are given by --set.
    flags = {option.replace("-", "_"): option for option in converter.options} if CONVERTERS.is_ours(name) else {}

    def run(
        files: tuple[str, ...], out: str, settings: tuple[str, ...], skip_bad: bool, as_json: bool, **given: Any
    ) -> None:
        from sim.settings import parse_override

        example = next(iter(converter.options), "name") + "=1"
        options = dict(parse_override(text, example, exponents=True) for text in settings)
        options |= {flags[flag]: value for flag, value in given.items() if value is not None}
        _convert(name, files, out, options, skip_bad, as_json)

    about = f"Reads {converter.schema}.\n\nLicence: {converter.licence}.\n\nLost: {converter.loses}."
    if CONVERTERS.is_ours(name):
        # What comes out, and what each option takes.
        about = f"{inspect.getdoc(converter.rows)}\n\n{about}"
    elif converter.options:
        about += "\n\nOptions (--set): " + ", ".join(f"{key}={value}" for key, value in converter.options.items())
    return click.Command(
        name, callback=run, help=about,
        params=[
            click.Argument(["files"], nargs=-1, required=True, type=click.Path(), metavar="FILE..."),
            click.Option(["--out"], required=True, type=click.Path(dir_okay=False),
                         help="ANSWERS.parquet (or .jsonl, .jsonl.gz)."),
            *(_flag(flag, converter.options[option]) for flag, option in flags.items()),
            click.Option(["--set", "settings"], multiple=True, metavar="KEY=VALUE", help="An option; repeatable."),
            click.Option(["--skip-bad"], is_flag=True, help="Leave bad rows out and count them, instead of stopping."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print only JSON on standard output."),
        ],
    )  # fmt: skip


def _flag(name: str, default: Any) -> click.Option:
    is_number = isinstance(default, int | float)
    said = f"Default {default}." if default != "" else "A column."
    return click.Option([f"--{name.replace('_', '-')}", name], type=float if is_number else str, help=said,
                        metavar="NUMBER" if is_number else "COLUMN" if default == "" else "TEXT")  # fmt: skip


def _convert(
    name: str, files: tuple[str, ...], out: str, options: dict[str, Any], skip_bad: bool, as_json: bool
) -> None:
    """Convert, write and say what came out and what did not."""
    from sim.converters.converter import convert_files, find_converter
    from sim.files.atomic import require_other, require_place
    from sim.files.file_rows import known_ending

    known_ending(Path(out))  # refused before the work, not after
    require_place(Path(out).absolute().parent)
    require_other(out, *files)
    converter = find_converter(name)
    made, table = convert_files(name, files, options, skip_bad, out)
    # Of others' pairs the table is what was written: without those that say nothing.
    told = made if table is None or made.kind != "pairs" else table
    people, left_out = len(told.annotators), dict(told.left_out)
    if as_json:
        answer = {
            "out": out, "converter": name, "kind": made.kind, made.kind: len(told), "annotators": people,
            "ties": made.ties, "left_out": left_out, "noted": made.noted, "notes": list(made.notes),
            "options": options, "licence": converter.licence, "loses": converter.loses,
        }  # fmt: skip
        if table is not None:
            answer |= {"items": len(table.items), "features": list(table.feature_names)}
        print_answer(json.dumps(answer, indent=2, allow_nan=False))
        return
    ties = f", {made.ties} of them ties" if made.ties else ""
    kind = made.kind.removesuffix("s") if len(told) == 1 else made.kind
    click.echo(f"{out}: {len(told)} {kind} of {people} {'annotator' if people == 1 else 'annotators'}{ties}")
    for what, count in made.noted.items():
        click.echo(f"  {what}: {count}")
    for why, count in left_out.items():
        click.echo(f"  left out {count}: {why}")
    for note in made.notes:
        click.echo(f"  {note}")
    click.echo(f"  licence  {converter.licence}\n  lost     {converter.loses}")


@command.command("movielens")
@click.option("--ratings", required=True, type=click.Path(dir_okay=False), help="ratings.csv, or .csv.gz as it is.")
@click.option(
    "--movies", required=True, type=click.Path(dir_okay=False), help="movies.csv (titles with years, genres)."
)
@click.option("--tags", type=click.Path(dir_okay=False), help="tags.csv: frequent tags become features.")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="PAIRS.parquet (or .jsonl, .jsonl.gz).")
@click.option("--pairs-per-user", type=click.IntRange(2), default=200, show_default=True, help="At most; 4/5 train.")
@click.option(
    "--unseen-users", type=click.FloatRange(0, 0.9), default=0.15, show_default=True, help="Share kept whole."
)
@click.option(
    "--test-movies", type=click.FloatRange(0.05, 0.9), default=0.3, show_default=True,
    help="Share of a known user's films that only test pairs use.",
)  # fmt: skip
@click.option(
    "--min-ratings", type=click.IntRange(2), default=10, show_default=True, help="Users with fewer are left out."
)
@click.option(
    "--history", type=Share(0.05, 0.9),
    help="Share of each user's films, rated before, that become her profile (annotator_features); no pair uses them.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def movielens(
    ratings: str,
    movies: str,
    tags: str | None,
    out: str,
    pairs_per_user: int,
    unseen_users: float,
    test_movies: float,
    min_ratings: int,
    history: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """MovieLens ratings to pairs: two films of one user, the better rated one chosen, ties dropped.

    Some users are kept whole (split "unseen"); each other user's films are divided, so that her "test" pairs share
    no film with her "train" pairs. Features: genres, year, frequent tags; never ratings. With --history 0.5 half of
    each user's films, drawn at random, tell who she is: her share of each genre and tag, how much she likes each, and
    of what years; `pluralign fit --method low-rank` serves new users by that alone.

    Example: pluralign convert movielens --ratings ratings.csv.gz --movies movies.csv.gz --out pairs.parquet
    """
    import numpy as np

    from sim.converters.movielens import ConversionSettings, convert_movielens
    from sim.files.atomic import require_other, require_place
    from sim.files.file_rows import known_ending
    from sim.files.pair_table import SPLITS
    from sim.files.preference_files import write_pairs

    known_ending(Path(out))  # refused before the work, not after
    require_place(Path(out).absolute().parent)
    require_other(out, ratings, movies, tags)
    settings = ConversionSettings(
        pairs_per_user=pairs_per_user,
        test_movies=test_movies,
        unseen_users=unseen_users,
        min_ratings=min_ratings,
        seed=seed,
        history=history,
    )
    done = convert_movielens(ratings, movies, tags, settings)
    write_pairs(out, done.table)
    table = done.table
    counts = {name: int(table.rows_of(name).sum()) for name in SPLITS}
    people = {name: len(np.unique(table.annotator[table.rows_of(name)])) for name in SPLITS}
    answer = {
        "out": out,
        "pairs": counts,
        "users": people,
        "users_in_file": done.users,
        "users_without_pairs": done.users_without_pairs,
        "films": done.films,
        "films_without_year": done.films_without_year,
        "features": list(table.feature_names),
        "seed": seed,
    }
    if history is not None:
        answer |= {"history": history, "annotator_features": list(table.annotator_feature_names)}
    if as_json:
        print_answer(json.dumps(answer, indent=2))
        return
    click.echo(
        f"{out}: {len(table)} pairs of {table.n_annotators} users over {done.films} films, "
        f"{len(table.feature_names)} features"
    )
    for name in SPLITS:
        click.echo(f"  {name:<7} {counts[name]:>7} pairs of {people[name]} users")
    if history is not None:
        click.echo(f"  profiles of {len(table.annotator_feature_names)} features from {history:.0%} of the films")
    if done.users_without_pairs:
        click.echo(
            f"  {done.users_without_pairs} of {done.users} users gave no usable pair (few ratings, or all equal)"
        )
