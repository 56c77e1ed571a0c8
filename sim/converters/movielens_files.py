"""The files of MovieLens: ratings, films and tags."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import defaultdict
from collections.abc import Container, Iterator
from pathlib import Path

from sim.converters.movielens_profiles import Films
from sim.errors import InputError
from sim.reading import bounded

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
            reader = csv.DictReader(bounded(lines, path))
            missing = [name for name in required if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"the column is missing (found {', '.join(reader.fieldnames or ()) or 'nothing'})", file=path,
                    field=missing[0], fix="give the MovieLens file as it is published",
                )  # fmt: skip
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


def read_ratings(path: Path, films: Container[str], movies: Path) -> dict[str, dict[str, float]]:
    """user -> film -> stars; films are those of the `movies` file."""
    ratings: dict[str, dict[str, float]] = defaultdict(dict)
    for number, record in _rows(path, ("userId", "movieId", "rating")):
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
        if film in ratings[user]:
            # Two answers about one film cannot be put in order, and may not lie on both sides of the split.
            raise InputError(
                f"user {user} rated film {film} before", file=path, row=number, field="movieId",
                fix="keep one rating a user and film",
            )  # fmt: skip
        ratings[user][film] = rating
    if not ratings:
        raise InputError("the file holds no ratings", file=path, fix="give the MovieLens ratings file")
    return ratings


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
