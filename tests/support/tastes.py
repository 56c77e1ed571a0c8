"""People whose tastes follow what is known of them, for the tests of low-rank fits."""

import numpy as np

from sim.files.preference_files import table_of_rows
from sim.fitting.contexts import ContextAnswers
from sim.streams import Stream

CONTEXT = ("age", "city", "cinema", "sleep", "tea")
ITEM = ("plot", "music", "length", "war", "indicator")


def rows_of_tastes(people=140, answers=60, n_items=60, effect=1.0, seed=4, trap=0.0):
    """Taste: plot for all, and along two directions of a person's context.

    trap: items that carry the indicator have so much more plot, and are worth four times that less.
    """
    stream = Stream(seed, "low-rank-fit")
    context = stream.child("context").normals((people, 5)).round(6)
    features = stream.child("features").normals((n_items, 5)).round(6)
    features[:, 4] = (features[:, 4] > 0).astype(float)
    features[:, 0] += trap * features[:, 4]
    theta = np.zeros((5, 5))
    theta[0, 1], theta[1, 2] = 1.6 * effect, 1.1 * effect
    reward = (np.array([0.5 + (trap > 0), 0, 0, 0, 0.3 - 4 * trap]) + context @ theta) @ features.T
    rows = []
    for i in range(people):
        own = stream.at(replicate=i)
        a = own.child("a").integers(n_items, answers)
        b = (a + 1 + own.child("b").integers(n_items - 1, answers)) % n_items
        wins = own.child("wins").uniforms(answers) < 1 / (1 + np.exp(reward[i, b] - reward[i, a]))
        for c, r in zip(np.where(wins, a, b), np.where(wins, b, a), strict=True):
            rows.append({
                "chosen": f"item {c}", "rejected": f"item {r}", "annotator_id": f"p{i}",
                "chosen_features": dict(zip(ITEM, features[c].tolist(), strict=True)),
                "rejected_features": dict(zip(ITEM, features[r].tolist(), strict=True)),
                "annotator_features": dict(zip(CONTEXT, context[i].tolist(), strict=True)),
            })  # fmt: skip
    return rows


def table_of_tastes(tmp_path_factory, **changes):
    path = tmp_path_factory.mktemp("low-rank") / "pairs.jsonl"
    return table_of_rows(rows_of_tastes(**changes), path)


def drawn_context_answers():
    stream = Stream(5, "context-answers")
    people, n = 25, 900
    contexts = np.hstack([np.full((people, 1), 10.0), stream.child("x").normals((people, 3))])
    z = stream.child("z").normals((n, 4))
    person = stream.child("person").integers(people, n)
    weight = stream.child("weight").uniforms(n)
    theta = stream.child("theta").normals((4, 4)) / np.array([[20.0], [2.0], [2.0], [2.0]])
    u = ((contexts @ theta)[person] * z).sum(axis=1)
    sign = np.where(stream.child("wins").uniforms(n) < 1 / (1 + np.exp(-u)), 1.0, -1.0)
    return ContextAnswers(contexts, z * sign[:, None], person, weight)


def objective(answers, theta, ridge):
    u = ((answers.contexts @ theta)[answers.annotator] * answers.differences).sum(axis=1)
    u = u if answers.offset is None else u + answers.offset
    return float((answers.weights * np.logaddexp(0, -u)).sum() / answers.weights.sum() + 0.5 * ridge * (theta**2).sum())
