"""A table for `pluralign welfare` from MovieLens: python utilities.py ratings.csv.gz movies.csv.gz films.csv

The fourteen most rated films, and the first fifteen people who rated all of them: a row a person, a column a film.
"""

import csv
import gzip
import sys
from collections import Counter, defaultdict

FILMS, PEOPLE = 14, 15


def main(ratings: str, movies: str, out: str) -> None:
    with gzip.open(ratings, "rt", encoding="utf-8") as file:
        rows = [(int(row["userId"]), row["movieId"], float(row["rating"])) for row in csv.DictReader(file)]
    with gzip.open(movies, "rt", encoding="utf-8") as file:
        title = {row["movieId"]: row["title"] for row in csv.DictReader(file)}
    films = [film for film, _ in Counter(film for _, film, _ in rows).most_common(FILMS)]
    rated: dict[int, dict[str, float]] = defaultdict(dict)
    for user, film, rating in rows:
        if film in films:
            rated[user][film] = rating
    people = sorted(user for user, own in rated.items() if len(own) == FILMS)[:PEOPLE]
    with open(out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["person", *(title[film] for film in films)])
        for user in people:
            writer.writerow([f"user {user}", *(rated[user][film] for film in films)])


if __name__ == "__main__":
    main(*sys.argv[1:])
