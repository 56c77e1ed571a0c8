"""What MovieLens says of a film, from the films' and tags' files, and of a user, from the films she has rated."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sim.preferences import FloatArray

Films = dict[str, tuple[str, tuple[str, ...]]]
_YEAR = re.compile(r"\((\d{4})(?:[-–]\d{0,4})?\)\s*$")
_MOST_TAGS = 30
# Ratings of no opinion added to each genre's and tag's: her mean of three films is not yet a taste.
_SHRINK = 5.0


@dataclass(frozen=True, eq=False)
class FilmColumns:
    """The columns that describe a film: genres, year (decades from 1990) and its square, frequent tags."""

    films: Films
    genres: tuple[str, ...]
    tags: dict[str, set[str]]
    middle: float

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.genres, "year (decades from 1990)", "year squared", *(f"tag: {tag}" for tag in self.tags))

    def features(self, movies: Sequence[str]) -> FloatArray:
        """(n, d); a film without a year gets the median one: neither its decade nor its square then says anything."""
        known = _years(self.films, movies)
        decade = (np.where(known > 0, known, self.middle) - 1990.0) / 10.0
        columns = [[float(genre in self.films[movie][1]) for movie in movies] for genre in self.genres]
        columns += [decade.tolist(), (decade**2).tolist()]
        columns += [[float(movie in tagged) for movie in movies] for tagged in self.tags.values()]
        return np.array(columns).T

    @property
    def profile_names(self) -> tuple[str, ...]:
        """A share and a taste a genre, a taste a tag, then the years."""
        traits = [*self.genres, *(f"tag: {tag}" for tag in self.tags)]
        shares, tastes = [f"share: {name}" for name in self.genres], [f"taste: {name}" for name in traits]
        return (*shares, *tastes, "mean year (decades from 1990)", "taste: later films")

    def profile(self, rating: FloatArray, table: FloatArray) -> FloatArray:
        """A user from films she rated, in the order of `profile_names`; table: (n, d) their `features`.

        share: of her films that are of the genre.  taste: sum over the films with the trait of (rating - her own
        mean) / (their number + 5), in stars.  Of the years: her films' mean decade, and her slope in stars a decade,
        shrunk likewise.  Too few films carry a tag for a share of it to say anything.
        """
        place = len(self.genres)
        traits = np.delete(table, (place, place + 1), axis=1)
        departure = rating - rating.mean()
        tastes = departure @ traits / (traits.sum(axis=0) + _SHRINK)
        decade = table[:, place]
        spread = decade - decade.mean()
        slope = float(departure @ spread) / (float(spread @ spread) + _SHRINK)
        return np.concatenate([table[:, :place].mean(axis=0), tastes, [decade.mean(), slope]])


def _years(films: Films, movies: Sequence[str]) -> FloatArray:
    """Year of each film, 0 where its title names none."""
    found = [_YEAR.search(films[movie][0]) for movie in movies]
    return np.array([int(year.group(1)) if year else 0 for year in found], dtype=np.float64)


def film_columns(
    films: Films, used: Sequence[str], tagged: Iterable[tuple[str, str, str]], min_tag_films: int
) -> tuple[FilmColumns, int]:
    """(the columns that vary among the `used` films, how many of these have no year).

    tagged: (user, film, tag).  A tag counts from `min_tag_films` used films and two people on.
    """
    genres = tuple(sorted({genre for movie in used for genre in films[movie][1]}))
    known = _years(films, used)
    middle = float(np.median(known[known > 0])) if (known > 0).any() else 1990.0
    on_films: dict[str, set[str]] = defaultdict(set)
    by_people: dict[str, set[str]] = defaultdict(set)
    for user, movie, tag in tagged:
        on_films[tag].add(movie)
        by_people[tag].add(user)
    here = set(used)
    # A tag of one person is her bookkeeping ("seen on tv", a top list of hers), not a trait of the film.
    frequent = Counter({tag: len(movies & here) for tag, movies in on_films.items() if len(by_people[tag]) > 1})
    first = sorted(frequent.items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_TAGS]
    kept = {tag: on_films[tag] for tag, count in first if count >= min_tag_films}
    return FilmColumns(films, genres, kept, middle), int((known == 0).sum())
