"""MovieLens ratings -> pairwise preferences with item features and an honest split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.converters.movielens_files import read_films, read_ratings, read_tags
from sim.converters.movielens_profiles import FilmColumns, film_columns
from sim.errors import InputError
from sim.files.pair_table import SPLITS, PairTable
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

PROMPT = "Which film would you rather watch?"


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
    films = read_films(Path(movies))
    by_user = read_ratings(Path(ratings), films, Path(movies))
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
    columns, no_year = film_columns(films, used, () if tags is None else read_tags(Path(tags)), settings.min_tag_films)
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
