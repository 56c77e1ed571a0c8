"""EM over policies on answers of every kind: the recursion of `em_choices`, and constants that never lower it."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.algorithms.em_choices import em_choices
from sim.algorithms.em_dpo import em_dpo, random_split
from sim.answer_kinds.kinds import likelihood_of
from sim.answer_kinds.response_choices import response_choices
from sim.files.preference_files import table_of_rows
from sim.policies.log_linear import LogLinear
from sim.streams import Stream

RIDGE = 0.5
D = 3


class Linear:
    """Rewards <theta, f(response)>, fitted by BFGS: a policy that knows nothing of any likelihood."""

    beta = 1.0

    def __init__(self, features):
        self.features, self.theta = features, np.zeros(features.shape[1])

    def implicit_reward(self, contexts, responses):
        return self.features[responses] @ self.theta

    def fit(self, observations, weights):
        def loss(theta):
            found = observations.folded(self.features[observations.responses] @ theta)
            return -float(weights @ found) + 0.5 * RIDGE * theta @ theta

        self.theta = minimize(loss, self.theta, method="BFGS", options={"gtol": 1e-9}).x

    def penalty(self, mass):
        return 0.5 * RIDGE * float(self.theta @ self.theta)

    def sample(self, contexts, stream):
        raise NotImplementedError


def _people(kind, people=16, answers=12, seed=0):
    """Two tastes, in turn; items with features, answers from their likelihoods' own noise."""
    rng = Stream(seed, "people").generator()
    features = rng.normal(size=(20, D))
    tastes = np.array([[2.5, 0.0, 0.0], [0.0, -2.5, 0.0]])
    rows = []
    for i in range(people):
        for _ in range(answers):
            items = rng.permutation(20)[:4]
            seen = features[items] @ tastes[i % 2] + rng.gumbel(size=4)
            row = {"prompt": "q", "annotator_id": f"p{i}"}
            names = [f"r{k:02d}" for k in items]
            if kind == "rankings":
                row |= {"responses": names, "ranking": (1 + np.argsort(np.argsort(-seen))).tolist()}
            else:
                first, second = (names[0], names[1]) if seen[0] > seen[1] else (names[1], names[0])
                gap = abs(seen[0] - seen[1])
                row |= {"chosen": first, "rejected": second, "tie": bool(gap < 0.7)}
                row["strength"] = None if row["tie"] else 1 if gap < 2 else 2
            rows.append(row)
    told = likelihood_of(table_of_rows(rows, "memory"), "auto")
    return told, features, np.arange(people) % 2


def _features_of(table, features):
    return np.stack([features[int(label[1:])] for label in table.items])


def test_rankings_take_the_path_of_em_choices():
    told, features, _ = _people("rankings")
    of_item = _features_of(told.table, features)
    choices = response_choices(told.table, told.likelihood)
    start = random_split(16, 2, Stream(3))
    policies = [Linear(of_item) for _ in range(2)]
    found = em_dpo(choices, policies, start=start, max_rounds=6, tolerance=0.0)
    own = told.table.offered
    rows = of_item[np.repeat(own.taken, np.diff(own.starts))] - of_item[own.others]
    other = em_choices(
        rows, own.starts, told.table.annotator[own.answer], 16, 2, ridge=RIDGE, mass_scaled=False, start=start[None],
        max_rounds=6, tolerance=0.0, newton_steps=30,
    )  # fmt: skip
    assert np.stack([policy.theta for policy in policies]) == pytest.approx(other.theta, abs=1e-4)
    assert found.responsibilities == pytest.approx(other.responsibilities, abs=1e-4)
    assert found.penalised[-1] == pytest.approx(other.penalised, abs=1e-5)


def test_strengths_and_ties_find_groups_and_thresholds():
    told, features, group = _people("strengths", people=24, answers=25)
    assert told.likelihood == "cumulative-logit"
    choices = response_choices(told.table, told.likelihood)
    policies = [Linear(_features_of(told.table, features)) for _ in range(2)]
    rounds = []
    found = em_dpo(
        choices, policies, max_rounds=12, stream=Stream(2), on_round=lambda r: rounds.append(r.constants) is not None
    )
    assert np.diff(found.penalised).min() > -1e-7, "ECM is monotone"
    side = found.responsibilities.argmax(axis=1)
    assert max((side == group).mean(), (side != group).mean()) == 1.0
    # Differences of two Gumbels are logistic: the thresholds that made the levels.
    assert found.constants == pytest.approx([0.7, 2.0], abs=0.3)
    assert (found.constants == rounds[-1]).all()


def test_policies_that_take_pairs_say_so():
    told, _, _ = _people("rankings", people=4)
    choices = response_choices(told.table, told.likelihood)
    policy = LogLinear.__new__(LogLinear)
    with pytest.raises(TypeError, match="expected pairs or rankings, got ResponseChoices"):
        policy.fit(choices, np.ones(len(choices)))
