"""The files of MovieLens: ratings, films and tags."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.converters.movielens_profiles import Films
from sim.distinct import distinct
from sim.errors import InputError
from sim.files.arrow_values import Codes, Rarer, require
from sim.files.quoted_cells import are_whole
from sim.files.text_files import opened, require_once
from sim.preferences import FloatArray, IntArray
from sim.reading import bounded, bounded_bytes

_RATINGS = ("userId", "movieId", "rating")
_NO_GENRE = "(no genres listed)"


def _rows(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, record) of a CSV file, gzip read as it is."""
    if not path.is_file():
        raise InputError("no such file", file=path, fix="check the path")
    number = 0
    try:
        with path.open("rb") as start:
            zipped = start.read(2) == b"\x1f\x8b"
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if zipped
            else path.open(encoding="utf-8-sig", newline="") as lines
        ):
            reader = csv.DictReader(bounded(lines, path), strict=True)
            require_once(reader.fieldnames or (), path)
            missing = [name for name in required if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"the column is missing (found {', '.join(reader.fieldnames or ()) or 'nothing'})", file=path,
                    field=missing[0], fix="give the MovieLens file as it is published",
                )  # fmt: skip
            number = 1
            for number, record in enumerate(reader, start=2):
                if any(record[name] is None for name in required):
                    raise InputError(
                        f"expected {len(required)} or more columns",
                        file=path,
                        row=number,
                        fix="the file is cut: copy it again",
                    )
                yield number, record
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"the gzip file ends or breaks after row {number}", file=path, fix="copy it again, whole"
        ) from error
    except csv.Error as error:
        raise InputError(
            f"is not CSV ({error})", file=path, row=number + 1, fix="give the file as it is published"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            "is not text in UTF-8", file=path, row=number + 1, fix="give the file as it is published"
        ) from error


@dataclass(frozen=True, eq=False)
class Ratings:
    """users, films: names in the order of the file.  user, film (n,): places in them; stars (n,)."""

    users: tuple[str, ...]
    films: tuple[str, ...]
    user: IntArray
    film: IntArray
    stars: FloatArray


def read_ratings(path: Path, films: Container[str], movies: Path) -> Ratings:
    """All ratings; films are those of the `movies` file.

    By columns; where something is not as it should be, row by row, which says what.
    """
    found = _ratings_by_columns(path, films)
    return _ratings_by_rows(path, films, movies) if found is None else found


def _ratings_by_columns(path: Path, films: Container[str]) -> Ratings | None:
    import pyarrow as pa

    try:
        table = _columns(path, _RATINGS)
        codes = [Codes(), Codes(), Codes()]
        user, film, text = (
            np.concatenate([of.of(chunk) for chunk in table[name].chunks])
            for of, name in zip(codes, _RATINGS, strict=True)
        )
        stars = np.array([float(own) for own in codes[2].numbers])
    except (pa.ArrowException, InputError, Rarer, OSError, ValueError):
        return None
    users, names = tuple(codes[0].numbers), tuple(codes[1].numbers)
    sound = bool(len(stars)) and bool(((stars >= 0) & (stars <= 10)).all())
    once = len(distinct(user * len(names) + film)) == len(user)
    if not (sound and once and all(name in films for name in names)):
        return None
    return Ratings(users, names, user, film, stars[text])


def _columns(path: Path, names: tuple[str, ...]) -> Any:
    """These columns of a comma-separated file as texts, gzip read as it is."""
    import pyarrow as pa
    import pyarrow.csv as pc

    with opened(path) as text:
        header = text.readline(1 << 16).rstrip("\r\n").split(",")
    with path.open("rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    require(len(set(header)) == len(header) and set(names) <= set(header) and not any('"' in name for name in header))
    data = bounded_bytes(path, ".gz" if zipped else "")
    require(are_whole(data, ","))
    return pc.read_csv(
        pa.BufferReader(data),
        read_options=pc.ReadOptions(column_names=header, skip_rows=1, block_size=1 << 24),
        parse_options=pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=True),
        convert_options=pc.ConvertOptions(
            include_columns=list(names), column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )  # fmt: skip


def _ratings_by_rows(path: Path, films: Container[str], movies: Path) -> Ratings:
    codes: dict[str, int] = {}
    people: dict[str, int] = {}
    seen: set[tuple[int, int]] = set()
    found: list[tuple[int, int, float]] = []
    for number, record in _rows(path, _RATINGS):
        user, film = record["userId"], record["movieId"]
        try:
            rating = float(record["rating"])
        except ValueError:
            rating = float("nan")
        if not 0 <= rating <= 10:
            raise InputError(
                f"expected a number of stars, got '{record['rating']}'", file=path, row=number, field="rating",
                fix="mend or delete the row",
            )  # fmt: skip
        if film not in films:
            raise InputError(
                f"user {user} rated film {film}, which is not in {movies}", file=path, row=number, field="movieId",
                fix="give the movies file of the same release",
            )  # fmt: skip
        both = people.setdefault(user, len(people)), codes.setdefault(film, len(codes))
        if both in seen:
            # Two answers about one film cannot be put in order, and may not lie on both sides of the split.
            raise InputError(
                f"user {user} rated film {film} before", file=path, row=number, field="movieId",
                fix="keep one rating a user and film",
            )  # fmt: skip
        seen.add(both)
        found.append((*both, rating))
    if not found:
        raise InputError("the file holds no ratings", file=path, fix="give the MovieLens ratings file")
    user_of, film_of, stars = zip(*found, strict=True)
    return Ratings(tuple(people), tuple(codes), np.array(user_of), np.array(film_of), np.array(stars))


def read_films(path: Path) -> Films:
    films: Films = {}
    for _, record in _rows(path, ("movieId", "title", "genres")):
        genres = tuple(g for g in record["genres"].split("|") if g and g != _NO_GENRE)
        films[record["movieId"]] = (record["title"].strip(), genres)
    if not films:
        raise InputError("the file holds no films", file=path, fix="give the MovieLens movies file")
    return films


def read_tags(path: Path) -> Iterator[tuple[str, str, str]]:
    for _, record in _rows(path, ("userId", "movieId", "tag")):
        yield record["userId"], record["movieId"], record["tag"].strip().lower()
