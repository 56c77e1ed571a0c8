"""Other people's data sets as answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pluralign.api.plain_numbers import plain_numbers
from sim.arguments import whole_number
from sim.converters.answers import Converted
from sim.converters.converter import CONVERTERS, convert_files, find_converter
from sim.converters.movielens import ConversionSettings, convert_movielens
from sim.errors import InputError
from sim.files.file_rows import known_ending
from sim.files.pair_table import PairTable
from sim.files.preference_files import write_pairs
from sim.settings import require_known


@plain_numbers
def convert(
    dataset: str,
    files: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    **options: Any,
) -> PairTable | Converted:
    """A data set as answers, as `pluralign convert` writes them.

    dataset: movielens, with ratings, movies, tags: its CSV files, plain or .gz (and pairs_per_user, test_movies,
    unseen_users, min_ratings, min_tag_films, history: see `ConversionSettings`; seed): a table of pairs.  Another that
    `pluralign convert --help` lists, with `files` and its options: its answers of whatever kind, with what was left
    out.  An installed package's converter, or module:NAME of your own: a table of its answers, as `read_pairs` gives
    one, with what was left out in `left_out`.
    seed: of what is drawn; None: the converter's own, of movielens 0.
    out: also write the answers there (.parquet, .jsonl, .jsonl.gz).
    skip_bad: leave bad rows out and count them; of movielens there are none to leave out.
    """
    if out is not None:
        known_ending(Path(out))  # refused before the work, not after
    listed = [files] if isinstance(files, str | os.PathLike) else list(files)
    if dataset == "movielens":
        if listed:
            raise InputError("files: movielens is given its files by name", fix="give ratings=, movies=, tags=")
        table = _movielens(0 if seed is None else seed, options)
    else:
        if ":" not in dataset:
            require_known(dataset, ("movielens", *CONVERTERS.names()), section="dataset")
        converter = find_converter(dataset)
        if "seed" in converter.options:
            # Not 0 where nobody gave one: a converter has a default of its own.
            options = options if seed is None else {"seed": seed, **options}
        elif seed is not None:
            raise InputError(f"seed: converter '{dataset}' has no option of that name", fix="leave it out")
        made, of_theirs = convert_files(dataset, listed, options, skip_bad, out)
        return made if of_theirs is None else of_theirs
    if out is not None:
        write_pairs(out, table)
    return table


def _movielens(seed: int, options: dict[str, Any]) -> PairTable:
    files = {name: options.pop(name, None) for name in ("ratings", "movies", "tags")}
    for name in ("ratings", "movies"):
        if files[name] is None:
            raise InputError(f"{name} must be given", fix=f"give the path of {name}.csv")
    kinds = {field.name: field.type for field in fields(ConversionSettings)}
    for name, value in options.items():
        require_known(name, list(kinds), section="options")
        if kinds[name] == "int":
            options = {**options, name: whole_number(name, value)}
    settings = ConversionSettings(seed=seed, **options)
    return convert_movielens(files["ratings"], files["movies"], files["tags"], settings).table
