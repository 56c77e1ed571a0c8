"""Public data sets as pairwise answers."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from sim.converters.movielens import ConversionSettings, convert_movielens
from sim.errors import InputError
from sim.files.file_rows import known_ending
from sim.files.pair_table import PairTable as Pairs
from sim.files.preference_files import write_pairs
from sim.settings import require_known


def convert(dataset: str, *, out: str | Path | None = None, seed: int = 0, **options: Any) -> Pairs:
    """A public data set as pairwise answers, as `pluralign convert` writes them.

    dataset: movielens (ratings, movies, tags: its CSV files, plain or .gz; pairs_per_user, test_movies, unseen_users,
    min_ratings, min_tag_films, history: see `ConversionSettings`).  out: also write them there (.parquet, .jsonl,
    .jsonl.gz).
    """
    require_known(dataset, ("movielens",), section="dataset")
    if out is not None:
        known_ending(Path(out))  # refused before the work, not after
    files = {name: options.pop(name, None) for name in ("ratings", "movies", "tags")}
    for name in ("ratings", "movies"):
        if files[name] is None:
            raise InputError(f"{name} must be given", fix=f"give the path of {name}.csv")
    for name in options:
        require_known(name, [field.name for field in fields(ConversionSettings)], section="options")
    settings = ConversionSettings(seed=seed, **options)
    table = convert_movielens(files["ratings"], files["movies"], files["tags"], settings).table
    if out is not None:
        write_pairs(out, table)
    return table
