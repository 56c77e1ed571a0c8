"""MovieLens ratings -> pairwise preferences with item features and an honest split."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.converters.movielens_profiles import FilmColumns, Films, film_columns
from sim.errors import InputError
from sim.files.pair_table import SPLITS, PairTable
from sim.preferences import FloatArray, IntArray
from sim.reading import bounded
from sim.streams import Stream

PROMPT = "Which film would you rather watch?"
_NO_GENRE = "(no genres listed)"


@dataclass(frozen=True)
class ConversionSettings:
    """pairs_per_user: at most, train and test together.  test_movies: share of each known user's films that only
    test pairs use.  unseen_users: share of users kept whole.  min_tag_films: films a tag must stand on to count.
    history: share of each user's films that tell who she is and that no pair uses; None: nothing is told."""

    pairs_per_user: int = 200
    test_movies: float = 0.3
    unseen_users: float = 0.15
    min_ratings: int = 10
    min_tag_films: int = 5
    seed: int = 0
    history: float | None = None


@dataclass(frozen=True)
class Conversion:
    """The pairs, and what was left out and why."""

    table: PairTable
    users: int
    users_without_pairs: int
    films: int
    films_without_year: int


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


def _read_ratings(path: Path, films: Container[str], movies: Path) -> dict[str, dict[str, float]]:
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


def _read_films(path: Path) -> Films:
    films: Films = {}
    for _, record in _rows(path, ("movieId", "title", "genres")):
        genres = tuple(g for g in record["genres"].split("|") if g and g != _NO_GENRE)
        films[record["movieId"]] = (record["title"].strip(), genres)
    if not films:
        raise InputError("the file holds no films", file=path, fix="give the MovieLens movies file")
    return films


def _read_tags(path: Path) -> Iterator[tuple[str, str, str]]:
    for _, record in _rows(path, ("userId", "movieId", "tag")):
        yield record["userId"], record["movieId"], record["tag"].strip().lower()


def _draw_pairs(rating: FloatArray, most: int, stream: Stream) -> IntArray:
    """At most `most` distinct pairs (better, worse) with unequal ratings, uniform among them; (m, 2)."""
    n = len(rating)
    if n * (n - 1) // 2 <= 20 * most:
        first, second = np.triu_indices(n, 1)
    else:
        # Too many pairs to list: draw indices, drop repeats; 6 times as many leaves enough after ties.
        first = stream.child("first").integers(n, 6 * most)
        second = stream.child("second").integers(n - 1, 6 * most)
        second = second + (second >= first)
        low, high = np.minimum(first, second), np.maximum(first, second)
        _, keep = np.unique(low * n + high, return_index=True)
        keep = np.sort(keep)
        first, second = low[keep], high[keep]
    unequal = rating[first] != rating[second]
    first, second = first[unequal], second[unequal]
    picked = np.argsort(stream.child("pick").uniforms(len(first)), kind="stable")[:most]
    first, second = first[picked], second[picked]
    better = rating[first] > rating[second]
    return np.stack([np.where(better, first, second), np.where(better, second, first)], axis=1)


def _divide(seen: dict[str, float], history: float, stream: Stream) -> tuple[dict[str, float], dict[str, float]]:
    """(films of her past, films of her answers), at random; the past holds one film at least."""
    order = stream.permutation(len(seen))
    past = set(order[: max(1, round(history * len(seen)))].tolist())
    halves: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for place, (film, rating) in enumerate(seen.items()):
        halves[place not in past][film] = rating
    return halves


def _profiles(columns: FilmColumns, past: list[dict[str, float]]) -> FloatArray:
    return np.array([columns.profile(np.array(list(seen.values())), list(seen)) for seen in past])


# One pass: each step takes what the one before left of the ratings, and the counts of what was dropped.
def convert_movielens(
    ratings: str | Path, movies: str | Path, tags: str | Path | None, settings: ConversionSettings
) -> Conversion:
    """Pairs within a user, ties dropped.

    A share of users is kept whole ("unseen"). Each other user's films are divided: "test" pairs are between films
    that none of her "train" pairs touches, so nothing about a test film was learnt from the same person. Item
    features come from the films' and tags' files alone, never from ratings.

    With `history` every user's films are divided first: from the ratings of one part comes her profile (the
    annotator's features), all her pairs are between films of the other.
    """
    films = _read_films(Path(movies))
    by_user = _read_ratings(Path(ratings), films, Path(movies))
    stream = Stream(settings.seed, cell="movielens")
    users = sorted(by_user, key=lambda name: (len(name), name))
    hidden = stream.child("unseen").uniforms(len(users)) < settings.unseen_users
    drawn: list[tuple[str, str, str, str]] = []
    past: dict[str, dict[str, float]] = {}
    without = 0
    for number, user in enumerate(users):
        own = stream.at(replicate=number)
        seen = by_user[user]
        before = len(drawn)
        if len(seen) >= settings.min_ratings:
            if settings.history is not None:
                past[user], seen = _divide(seen, settings.history, own.child("history"))
            rating = np.array(list(seen.values()))
            names = list(seen)
            if hidden[number]:
                parts = {"unseen": np.arange(len(seen))}
            else:
                kept = own.child("films").uniforms(len(seen)) < settings.test_movies
                parts = {"train": np.flatnonzero(~kept), "test": np.flatnonzero(kept)}
            for split, rows in parts.items():
                share = {"train": 0.8, "test": 0.2, "unseen": 1.0}[split]
                most = max(1, round(share * settings.pairs_per_user))
                if len(rows) > 1:
                    for a, b in _draw_pairs(rating[rows], most, own.child(split)):
                        drawn.append((user, names[rows[a]], names[rows[b]], split))
            # A user known only by test pairs would be a stranger: her pairs are left out.
            if not hidden[number] and not any(split == "train" for *_, split in drawn[before:]):
                del drawn[before:]
        without += len(drawn) == before
    if not drawn:
        raise InputError("no user has two films with different ratings", file=ratings, fix="give more ratings")
    used = sorted({movie for _, a, b, _ in drawn for movie in (a, b)}, key=lambda name: (len(name), name))
    columns, no_year = film_columns(films, used, () if tags is None else _read_tags(Path(tags)), settings.min_tag_films)
    index = {movie: j for j, movie in enumerate(used)}
    people = list(dict.fromkeys(user for user, *_ in drawn))
    person = {user: i for i, user in enumerate(people)}
    table = PairTable(
        items=tuple(f"{movie} {films[movie][0]}" for movie in used),
        features=columns.features(used),
        feature_names=columns.names,
        prompts=(PROMPT,),
        prompt=np.zeros(len(drawn), dtype=np.int64),
        chosen=np.array([index[a] for _, a, _, _ in drawn], dtype=np.int64),
        rejected=np.array([index[b] for _, _, b, _ in drawn], dtype=np.int64),
        annotators=tuple(people),
        annotator=np.array([person[user] for user, *_ in drawn], dtype=np.int64),
        split=np.array([SPLITS.index(split) for *_, split in drawn], dtype=np.int64),
        annotator_features=_profiles(columns, [past[user] for user in people]) if past else None,
        annotator_feature_names=columns.profile_names if past else (),
        source=str(ratings),
    )
    return Conversion(table, len(users), without, len(used), no_year)
