"""Draws the synthetic sample files: python examples/make_samples.py examples

Fifty answers to ten questions, five to a question, described by four numbers; 36 annotators of two hidden types, two
thirds of whom like warm answers with examples and one third short and careful ones, choose between two answers to one
question, twenty times each. What is known of an annotator says a little about her type. The same annotators rank four
of a question's five answers, and say of two how much better one is, or that neither is. For language models: passages
of template sentences, and 12 annotators of whom two thirds prefer praise and one third blame. Nobody is behind them.
"""

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np

FEATURES = ("length", "warmth", "examples", "caution")
TASTES = np.array([[0.2, 2.5, 1.5, -0.5], [-2.5, -0.5, 0.0, 2.0]])
SUBJECTS = ("The film", "This movie", "The plot", "The cast", "Her role", "The end")
WORDS = (("great", "superb", "moving", "funny"), ("awful", "boring", "stupid", "weak"), ("long", "short", "new", "old"))
ANNOTATORS, ANSWERS, QUESTIONS, CHOICES = 36, 20, 10, 5


def main(folder: Path) -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(QUESTIONS, CHOICES, len(FEATURES))).round(2)
    types = (np.arange(ANNOTATORS) % 3 == 2).astype(int)
    rng.shuffle(types)
    rows = [row for person in range(ANNOTATORS) for row in _answers(rng, f"a{person + 1:02d}", types[person], values)]
    _write(folder / "pairs.jsonl.gz", rows)
    _write(folder / "her_answers.jsonl", _answers(rng, "her", 1, values)[:8])
    new = rng.normal(size=(3, len(FEATURES))).round(2)
    items = [{"item": f"draft {j + 1}", "features": _named(vector)} for j, vector in enumerate(new)]
    _write(folder / "items.jsonl", items)
    drafts = {"prompt": "question 11", "responses": [row["item"] for row in items]}
    _write(folder / "drafts.jsonl", [drafts | {"features": [row["features"] for row in items]}])
    _films(rng, folder / "movielens")
    _write(folder / "texts.jsonl.gz", [{"text": " ".join(_sentence(rng)[0] for _ in range(3))} for _ in range(600)])
    _write(folder / "text_pairs.jsonl.gz", [row for person in range(12) for row in _text_answers(rng, person)])
    people = [(f"a{person + 1:02d}", types[person]) for person in range(ANNOTATORS)]
    _write(folder / "rankings.jsonl.gz", [row for name, own in people for row in _rankings(rng, name, own, values)])
    _write(folder / "strengths.jsonl.gz", [row for name, own in people for row in _strengths(rng, name, own, values)])


def _answers(rng: np.random.Generator, name: str, own_type: int, values: np.ndarray) -> list[dict]:
    told = {"uses_it_at_work": float(rng.random() < (0.2, 0.8)[own_type]), "years": float(rng.integers(0, 15))}
    rows = []
    for _ in range(ANSWERS):
        question = int(rng.integers(QUESTIONS))
        pair = rng.choice(CHOICES, size=2, replace=False)
        margin = float((values[question, pair[0]] - values[question, pair[1]]) @ TASTES[own_type])
        first, second = pair if rng.random() < 1 / (1 + np.exp(-margin)) else pair[::-1]
        rows.append(
            {
                "annotator_id": name,
                "prompt": f"question {question + 1}",
                "chosen": f"answer {question + 1}{'abcde'[first]}",
                "rejected": f"answer {question + 1}{'abcde'[second]}",
                "chosen_features": _named(values[question, first]),
                "rejected_features": _named(values[question, second]),
                "annotator_features": told,
            }
        )
    return rows


def _rankings(rng: np.random.Generator, name: str, own_type: int, values: np.ndarray) -> list[dict]:
    """The best two of four answers, by their worth and Gumbel noise; two are not ranked."""
    rows = []
    for _ in range(10):
        question, offered = int(rng.integers(QUESTIONS)), rng.choice(CHOICES, size=4, replace=False)
        order = np.argsort(-(values[question, offered] @ TASTES[own_type] + rng.gumbel(size=4))).tolist()
        rows.append(
            {
                "annotator_id": name,
                "prompt": f"question {question + 1}",
                "responses": [f"answer {question + 1}{'abcde'[j]}" for j in offered],
                "ranking": [order.index(j) + 1 if order.index(j) < 2 else None for j in range(4)],
                "features": [_named(values[question, j]) for j in offered],
            }
        )
    return rows


def _strengths(rng: np.random.Generator, name: str, own_type: int, values: np.ndarray) -> list[dict]:
    """Neither is better where the noisy margin is below 0.6; slightly, clearly and far better with bounds 2 and 4."""
    rows = []
    for row in _answers(rng, name, own_type, values):
        margin = sum(
            (row["chosen_features"][k] - row["rejected_features"][k]) * t
            for k, t in zip(FEATURES, TASTES[own_type], strict=True)
        )
        noisy = margin + float(rng.logistic())
        if noisy < 0:
            for part in ("", "_features"):
                row[f"chosen{part}"], row[f"rejected{part}"] = row[f"rejected{part}"], row[f"chosen{part}"]
        tie = bool(abs(noisy) < 0.6)
        strength = None if tie else 1 + int(abs(noisy) > 2) + int(abs(noisy) > 4)
        rows.append({**row, "tie": tie, "strength": strength})
    return rows


def _named(vector: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURES, vector.tolist(), strict=True))


def _sentence(rng: np.random.Generator) -> tuple[str, int]:
    """A template sentence, and 1 for praise, -1 for blame, 0 for neither."""
    kind = int(rng.integers(3))
    subject, word = SUBJECTS[rng.integers(len(SUBJECTS))], WORDS[kind][rng.integers(4)]
    return f"{subject} was {word}.", (1, -1, 0)[kind]


def _text_answers(rng: np.random.Generator, person: int) -> list[dict]:
    likes, rows = (1, 1, -1)[person % 3], []
    while len(rows) < 24:
        (first, one), (second, two) = _sentence(rng), _sentence(rng)
        if one != two:
            chosen, rejected = (first, second) if likes * (one - two) > 0 else (second, first)
            prompt = _sentence(rng)[0]
            rows.append(
                {
                    "annotator_id": f"t{person + 1:02d}",
                    "prompt": prompt,
                    "chosen": " " + chosen,
                    "rejected": " " + rejected,
                }
            )
    return rows


def _films(rng: np.random.Generator, folder: Path) -> None:
    """Three tables in the schema of MovieLens: 14 people, 24 films."""
    genres = ("Drama", "Comedy", "Action", "Sci-Fi")
    films = [(j + 1, f"Film {j + 1} ({1970 + 2 * j})", rng.choice(genres, 2, replace=False)) for j in range(24)]
    folder.mkdir(exist_ok=True)
    with (folder / "movies.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("movieId", "title", "genres"), *((i, t, "|".join(g)) for i, t, g in films)])
    rows = []
    for user in range(1, 15):
        likes = genres[user % 4]
        for film, _, own in films:
            if rng.random() < 0.8:
                rating = np.clip(round(2 * (2.5 + 1.2 * (likes in own) + rng.normal())) / 2, 0.5, 5.0)
                rows.append((user, film, float(rating), 1_000_000_000 + 60 * len(rows)))
    with (folder / "ratings.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("userId", "movieId", "rating", "timestamp"), *rows])


def _write(path: Path, rows: list[dict]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
