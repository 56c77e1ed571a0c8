"""Made-up texts with a planted taste, for the tests of features that are made of texts."""

import numpy as np

from sim.files.preference_files import table_of_rows
from sim.streams import Stream

GOOD, BAD = ("superb", "moving", "witty", "brave"), ("loud", "bloody", "fast", "crude")
PLAIN = ("film", "plot", "cast", "scene", "music", "ending", "camera", "story", "hero", "city", "train", "war")


def text(stream, like, plain=6):
    """`like` of the words one party likes, three minus `like` of the other's, and plain ones, in random order."""
    own = [GOOD[j] for j in stream.child("good").integers(len(GOOD), like)]
    own += [BAD[j] for j in stream.child("bad").integers(len(BAD), 3 - like)]
    own += [PLAIN[j] for j in stream.child("plain").integers(len(PLAIN), plain)]
    return " ".join(own[j] for j in np.argsort(stream.child("order").uniforms(len(own))))


def rows_of_made_texts(people=40, answers=24, seed=3, split=True):
    """Even annotators want many of the good words, odd ones many of the bad; each text is met once.

    split: a column of train, test and unseen (the last quarter of people).
    """
    stream, rows = Stream(seed, "made-texts"), []
    for i in range(people):
        sign = 1 if i % 2 == 0 else -1
        for j in range(answers):
            own = stream.at(replicate=1000 * i + j)
            first, second = own.child("likes").integers(4, 2)
            a = f"{text(own.child('a'), int(first))} a{i}x{j}"
            b = f"{text(own.child('b'), int(second))} b{i}x{j}"
            margin = 1.5 * sign * (int(first) - int(second))
            wins = float(own.child("wins").uniforms(1)[0]) < 1 / (1 + np.exp(-margin))
            row = {"annotator_id": f"p{i}", "prompt": f"question {j}", "chosen": a if wins else b}
            row |= {"rejected": b if wins else a, "group_id": "good" if sign > 0 else "bad"}
            if split:
                row["split"] = "unseen" if i >= people - people // 4 else "test" if j % 4 == 3 else "train"
            rows.append(row)
    return rows


def table_of_made_texts(**changes):
    return table_of_rows(rows_of_made_texts(**changes), "made.jsonl")
