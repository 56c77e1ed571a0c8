"""MovieLens ratings -> pairwise preferences with item features and an honest split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.converters.movielens_files import Ratings, read_films, read_ratings, read_tags
from sim.converters.movielens_profiles import FilmColumns, film_columns
from sim.distinct import present
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
    picked = _smallest(stream.child("pick").uniforms(len(first)), most)
    first, second = first[picked], second[picked]
    better = rating[first] > rating[second]
    return np.stack([np.where(better, first, second), np.where(better, second, first)], axis=1)


def _smallest(values: FloatArray, most: int) -> IntArray:
    """`np.argsort(values, kind="stable")[:most]`; only those are sorted."""
    if len(values) <= 2 * most:
        return np.argsort(values, kind="stable")[:most]
    near = np.flatnonzero(values <= np.partition(values, most - 1)[most - 1])
    return np.asarray(near[np.argsort(values[near], kind="stable")][:most])


def _divide(n: int, history: float, stream: Stream) -> tuple[IntArray, IntArray]:
    """(places of the films of her past, of those of her answers), at random; the past holds one film at least."""
    past = np.zeros(n, dtype=np.bool_)
    past[stream.permutation(n)[: max(1, round(history * n))]] = True
    return np.flatnonzero(past), np.flatnonzero(~past)


def _ordered(names: Sequence[str]) -> IntArray:
    """Places of the names, short ones first: numbers in the order of their size."""
    return np.array(sorted(range(len(names)), key=lambda j: (len(names[j]), names[j])), dtype=np.int64)


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
    given = read_ratings(Path(ratings), films, Path(movies))
    stream = Stream(settings.seed, cell="movielens")
    users = _ordered(given.users)
    hidden = stream.child("unseen").uniforms(len(users)) < settings.unseen_users
    rows_of_users = np.split(np.argsort(given.user, kind="stable"), np.cumsum(np.bincount(given.user))[:-1])
    # One entry a user and split: the number of the user, the split, films (m, 2) of her pairs.
    drawn: list[tuple[int, int, IntArray]] = []
    past: dict[int, IntArray] = {}
    without = 0
    for number, user in enumerate(users.tolist()):
        own = stream.at(replicate=number)
        seen = rows_of_users[user]
        made: list[tuple[int, int, IntArray]] = []
        if len(seen) >= settings.min_ratings:
            if settings.history is not None:
                before, after = _divide(len(seen), settings.history, own.child("history"))
                past[user], seen = seen[before], seen[after]
            rating, names = given.stars[seen], given.film[seen]
            if hidden[number]:
                parts = {"unseen": np.arange(len(seen))}
            else:
                kept = own.child("films").uniforms(len(seen)) < settings.test_movies
                parts = {"train": np.flatnonzero(~kept), "test": np.flatnonzero(kept)}
            for split, rows in parts.items():
                share = {"train": 0.8, "test": 0.2, "unseen": 1.0}[split]
                most = max(1, round(share * settings.pairs_per_user))
                if len(rows) > 1:
                    pairs = _draw_pairs(rating[rows], most, own.child(split))
                    made.append((user, SPLITS.index(split), names[rows[pairs]]))
            # A user known only by test pairs would be a stranger: her pairs are left out.
            counts = {split: len(pairs) for _, split, pairs in made}
            if not hidden[number] and not counts.get(SPLITS.index("train"), 0):
                made = []
        made = [part for part in made if len(part[2])]
        drawn += made
        without += not made
    if not drawn:
        raise InputError("no user has two films with different ratings", file=ratings, fix="give more ratings")
    both = np.concatenate([pairs for *_, pairs in drawn])
    met = present(both.ravel(), len(given.films))
    met = met[_ordered([given.films[j] for j in met.tolist()])]
    used = [given.films[j] for j in met.tolist()]
    columns, no_year = film_columns(films, used, () if tags is None else read_tags(Path(tags)), settings.min_tag_films)
    index = np.full(len(given.films), -1, dtype=np.int64)
    index[met] = np.arange(len(met))
    sizes = [len(pairs) for *_, pairs in drawn]
    people = list(dict.fromkeys(user for user, *_ in drawn))
    person = {user: i for i, user in enumerate(people)}
    table = PairTable(
        items=tuple(f"{movie} {films[movie][0]}" for movie in used),
        features=columns.features(used),
        feature_names=columns.names,
        prompts=(PROMPT,),
        prompt=np.zeros(len(both), dtype=np.int64),
        chosen=index[both[:, 0]],
        rejected=index[both[:, 1]],
        annotators=tuple(given.users[user] for user in people),
        annotator=np.repeat([person[user] for user, *_ in drawn], sizes),
        split=np.repeat([split for _, split, _ in drawn], sizes),
        annotator_features=_profiles(columns, given, [past[user] for user in people]) if past else None,
        annotator_feature_names=columns.profile_names if past else (),
        source=str(ratings),
    )
    return Conversion(table, len(users), without, len(used), no_year)


def _profiles(columns: FilmColumns, given: Ratings, past: Sequence[IntArray]) -> FloatArray:
    """(n, d_x) of users, each known by her ratings `past`."""
    features = columns.features(given.films)
    return np.array([columns.profile(given.stars[rows], features[given.film[rows]]) for rows in past])
