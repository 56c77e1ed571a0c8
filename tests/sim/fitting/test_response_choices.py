"""Answers of every kind about responses: the likelihood of `events` and of the textbook, and constants that climb."""

import numpy as np
import pytest
from scipy.special import expit

from sim.answer_kinds.events import chances_by_coin, events_of
from sim.answer_kinds.kinds import likelihood_of
from sim.answer_kinds.levels import levels_of
from sim.answer_kinds.response_choices import response_choices
from sim.files.preference_files import table_of_rows
from sim.likelihoods import plackett_luce_log_likelihood
from sim.streams import Stream

D = 3


def _rows(kind, n=60, seed=0):
    rng = Stream(seed, kind).generator()
    out = []
    for j in range(n):
        names = [f"r{k}" for k in rng.permutation(12)[:4]]
        row = {"prompt": f"q{j % 5}", "annotator_id": f"p{j % 7}"}
        if kind in ("ties", "strengths"):
            row |= {"chosen": names[0], "rejected": names[1], "tie": bool(rng.random() < 0.3)}
            if kind == "strengths":
                row["strength"] = None if row["tie"] else int(rng.integers(1, 4))
        elif kind == "choices":
            row |= {"responses": names[: rng.integers(2, 5)]}
            row["choice"] = int(rng.integers(len(row["responses"])))
        elif kind == "rankings":
            row |= {"responses": names, "ranking": (1 + rng.permutation(4)).tolist()}
        elif kind == "ratings":
            row |= {"responses": names[:3], "scores": rng.integers(1, 4, 3).tolist()}
        elif kind == "grades":
            row |= {"response": names[0], "score": int(rng.integers(1, 4))}
        else:
            row |= {"chosen": names[0], "rejected": names[1]}
        out.append(row)
    return out


KINDS = {
    "pairs": ["bradley-terry"], "ties": ["davidson", "rao-kupper", "bradley-terry"],
    "strengths": ["cumulative-logit"], "choices": ["plackett-luce"], "rankings": ["plackett-luce"],
    "ratings": ["davidson", "bradley-terry"], "grades": ["cumulative-logit"],
}  # fmt: skip
CASES = [(kind, likelihood) for kind, known in KINDS.items() for likelihood in known]


def _made(kind, likelihood):
    told = likelihood_of(table_of_rows(_rows(kind), "memory"), likelihood)
    return told.table, told.likelihood, response_choices(told.table, told.likelihood)


@pytest.mark.parametrize(("kind", "likelihood"), CASES)
def test_the_likelihood_is_that_of_linear_rewards(kind, likelihood):
    table, found, choices = _made(kind, likelihood)
    rng = Stream(3).generator()
    features = rng.normal(size=(len(table.items), D))
    features[[label == "the scale" for label in table.items]] = 0.0
    theta = rng.normal(size=D)
    constants = np.sort(rng.random(len(choices.constants))) + 0.3
    levels = levels_of(table, found)
    if levels is not None:
        events = levels.events(features[table.chosen] - features[table.rejected], constants)
        wanted = events.folded(events.rows @ theta)
    else:
        events, names = events_of(table, features, davidson=found == "davidson")
        wanted = events.folded(events.rows @ np.concatenate([theta, constants[: len(names)]]))
    rewards = features[choices.responses] @ theta
    assert choices.folded(rewards, constants) == pytest.approx(wanted, abs=1e-12)
    both = choices.folded(np.stack([rewards, -rewards], axis=1), constants)
    assert both[:, 0] == pytest.approx(wanted, abs=1e-12)
    part = choices.select(np.arange(len(choices)) % 3 == 0)
    assert part.folded(features[part.responses] @ theta, constants) == pytest.approx(wanted[::3], abs=1e-12)
    assert len(part.responses) < len(choices.responses)


@pytest.mark.parametrize(("kind", "likelihood"), CASES)
def test_a_coin_finds_every_outcome_as_likely_as_another(kind, likelihood):
    table, found, choices = _made(kind, likelihood)
    outcomes = {"pairs": 2, "ties": 3, "strengths": 7, "rankings": 24, "grades": 3}.get(kind)
    if kind == "ties" and likelihood == "bradley-terry":
        outcomes = 2
    if outcomes is not None:
        assert choices.by_coin() == pytest.approx(np.full(len(choices), -np.log(outcomes)))
    if levels_of(table, found) is None:
        events, _ = events_of(table, np.zeros((len(table.items), D)), davidson=found == "davidson")
        assert choices.by_coin() == pytest.approx(chances_by_coin(events)), "the coin of `pluralign fit`"


def test_rankings_are_plackett_luce():
    table, _, choices = _made("rankings", "plackett-luce")
    of_item = Stream(5).normals((len(table.items),))
    rows = _rows("rankings")
    place = {label: of_item[j] for j, label in enumerate(table.items)}
    utility = np.array([[place[row["responses"][k]] for k in np.argsort(row["ranking"])] for row in rows])
    wanted = plackett_luce_log_likelihood(utility, 4)
    assert choices.folded(of_item[choices.responses]) == pytest.approx(wanted, abs=1e-12)


def test_levels_are_differences_of_sigmoids():
    table, _, choices = _made("strengths", "cumulative-logit")
    rewards = Stream(6).normals((len(choices.responses),))
    thresholds = np.array([0.4, 1.1, 2.5])
    place = {(c, r): rewards[j] for j, (c, r) in enumerate(zip(choices.contexts, choices.responses, strict=True))}
    margin = np.array([
        place[p, a] - place[p, b] for p, a, b in zip(table.prompt, table.chosen, table.rejected, strict=True)
    ])  # fmt: skip
    edges = np.concatenate([[-0.4], thresholds, [np.inf]])
    level = np.where(table.tie, 0, table.strength)
    wanted = np.log(expit(edges[level + 1] - margin) - expit(edges[level] - margin))
    assert choices.folded(rewards, thresholds) == pytest.approx(wanted, abs=1e-9)


def test_davidson_by_hand():
    table, _, choices = _made("ties", "davidson")
    rewards = Stream(7).normals((len(choices.responses),))
    place = {(c, r): rewards[j] for j, (c, r) in enumerate(zip(choices.contexts, choices.responses, strict=True))}
    a, b = (np.array([place[p, i] for p, i in zip(table.prompt, items, strict=True)])
            for items in (table.chosen, table.rejected))  # fmt: skip
    tie = np.exp(0.7 + (a + b) / 2)
    wanted = np.log(np.where(table.tie, tie, np.exp(a)) / (np.exp(a) + np.exp(b) + tie))
    assert choices.folded(rewards, np.array([0.7])) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "likelihood"),
    [("ties", "davidson"), ("ties", "rao-kupper"), ("strengths", "cumulative-logit"), ("grades", "cumulative-logit")],
)
def test_refitted_constants_are_a_maximum(kind, likelihood):
    _, _, choices = _made(kind, likelihood)
    stream = Stream(8)
    rewards, weights = stream.normals((len(choices.responses), 2)), stream.child("w").uniforms((len(choices), 2))
    found = choices.refitted(rewards, weights)

    def score(at):
        return (weights * choices.folded(rewards, at)).sum()

    assert score(found.constants) > score(choices.constants)
    for j in range(len(found.constants)):
        for step in (-0.02, 0.02):
            at = found.constants.copy()
            at[j] += step
            assert score(at) < score(found.constants)
    assert len(found.names()) == len(found.constants)
