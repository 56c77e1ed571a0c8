"""The tabular twin: the same study on a finite bandit fitted to a run, which predicts its weights and regrets.

Responses become A cells (k-means on the implied rewards of the run's policies over the training responses), pi_ref the
cells' frequencies, and the reward of group k in a cell the mean implied reward there.  Annotators of the run's number,
shares and answers compare cells drawn from pi_ref; EM-DPO, pooled DPO and MinMax-DPO then run with exact expectations.
What the twin cannot see is what language models add: training that stops early, prompts, and overfitting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llm.data.answer_sets import asked_responses
from llm.runs.open_run import OpenRun
from llm.runs.predicted_regrets import order_agreement
from llm.training.adapter_policy import AdapterPolicy
from sim.algorithms.dpo import dpo
from sim.algorithms.em_dpo import em_dpo_restarts
from sim.algorithms.minmax_dpo import minmax_dpo
from sim.algorithms.regret import discrepancy
from sim.answer_kinds.response_choices import ResponseChoices
from sim.policies.protocol import FinitePolicy
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import FloatArray, IntArray, PreferencePairs
from sim.streams import Stream

_RIDGE = 1e-3
_RESTARTS = 3
_ROUNDS = 50


@dataclass(frozen=True, eq=False)
class Twin:
    """reference (A,): frequencies of the cells.  rewards (K, A).  mixture (K,): shares of the groups."""

    reference: FloatArray
    rewards: FloatArray
    mixture: FloatArray
    beta: float
    n_annotators: int
    n_answers: int


@dataclass(frozen=True)
class Quantiles:
    """Median and 2.5 and 97.5 % quantiles over replicates, one a group."""

    median: tuple[float, ...]
    interval: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TwinPrediction:
    """What the study on the twin predicts: MinMax weights (K,) and each group's regret under two policies."""

    weights: Quantiles
    pooled_regret: Quantiles
    minmax_regret: Quantiles
    replicates: int
    cells: int

    def median_of(self, name: str) -> tuple[float, ...]:
        return {"pooled_regret": self.pooled_regret, "minmax_regret": self.minmax_regret}[name].median


@dataclass(frozen=True)
class TwinComparison:
    """Where the run lies in the twin's intervals; run_regrets: name -> (K,)."""

    run_weights: tuple[float, ...]
    weights_inside: tuple[bool, ...]
    larger_weight_agrees: bool
    run_regrets: Mapping[str, tuple[float, ...]]
    kendall_tau: float | None


def fit_twin(run: OpenRun, cells: int, stream: Stream) -> Twin:
    """Cells and rewards from the implied rewards of the run's policies on its training responses."""
    return twin_of_policies(
        run.policies, np.array(run.mixture.mixture), run.mixture.beta, run.preferences().train.observations, cells,
        stream,
    )  # fmt: skip


def twin_of_policies(
    policies: Sequence[AdapterPolicy], mixture: FloatArray, beta: float,
    train: PreferencePairs | ResponseChoices, cells: int, stream: Stream,
) -> Twin:  # fmt: skip
    """The same of policies and the answers they were fitted to."""
    asked = asked_responses(train)
    implied = np.stack([policy.implicit_reward(*asked) for policy in policies])
    cell = _cells(implied, cells, stream)
    size = np.bincount(cell)
    rewards = np.stack([np.bincount(cell, weights=values) / size for values in implied])
    answers = len(train) / train.n_annotators
    return Twin(size / size.sum(), rewards, mixture, beta, train.n_annotators, round(answers))


def _cells(implied: FloatArray, cells: int, stream: Stream) -> IntArray:
    """k-means on standardised implied rewards; (n,) with every cell used."""
    from sklearn.cluster import KMeans

    points = implied.T / np.maximum(implied.std(axis=1), 1e-12)
    cells = min(cells, len(np.unique(points, axis=0)))
    found = KMeans(cells, n_init=4, random_state=stream.integer_seed()).fit(points).labels_
    return np.asarray(np.unique(found, return_inverse=True)[1], dtype=np.int64)


def simulate_twin(twin: Twin, replicates: int, stream: Stream) -> TwinPrediction:
    """The study, `replicates` times: MinMax weights, and each group's regret under pooled DPO and under MinMax-DPO.

    Estimated types are matched to the true ones by their rewards; intervals are 2.5 and 97.5 % quantiles.
    """
    weights, pooled, ensemble = [], [], []
    for r in range(replicates):
        own = stream.at(replicate=r)
        pairs = _answers(twin, own)
        fitted, _ = em_dpo_restarts(
            pairs, lambda _: [_table(twin) for _ in twin.mixture], restarts=_RESTARTS, stream=own.child("em"),
            max_rounds=_ROUNDS,
        )  # fmt: skip
        tables = _matched([p for p in fitted.policies if isinstance(p, SoftmaxTable)], twin)
        one = _table(twin)
        dpo(one, pairs)
        state = np.zeros(1, dtype=np.int64)
        played = minmax_dpo(tables, state, beta=twin.beta)
        weights.append(played.weights)
        pooled.append(_regrets(tables, one, twin))
        ensemble.append(played.group_regret)
    return TwinPrediction(
        _quantiles(np.array(weights)), _quantiles(np.array(pooled)), _quantiles(np.array(ensemble)), replicates,
        len(twin.reference),
    )  # fmt: skip


def _table(twin: Twin) -> SoftmaxTable:
    return SoftmaxTable(twin.reference[None], beta=twin.beta, ridge=_RIDGE)


def _answers(twin: Twin, stream: Stream) -> PreferencePairs:
    """Bradley-Terry answers of the twin's annotators between two different cells drawn from pi_ref."""
    n = twin.n_annotators * twin.n_answers
    annotator = np.repeat(np.arange(twin.n_annotators), twin.n_answers)
    kind = stream.child("types").choice(twin.mixture, twin.n_annotators)[annotator]
    first = stream.child("first").choice(twin.reference, n)
    # The second is drawn from what is left of pi_ref: equal cells would say nothing.
    left = np.where(np.eye(len(twin.reference), dtype=np.bool_)[first], 0.0, twin.reference)
    edges = np.cumsum(left / left.sum(axis=1, keepdims=True), axis=1)
    draw = stream.child("second").uniforms(n)
    second = np.minimum((edges < draw[:, None]).sum(axis=1), len(twin.reference) - 1)
    margin = twin.rewards[kind, first] - twin.rewards[kind, second]
    wins = stream.child("answer").uniforms(n) < 1 / (1 + np.exp(-margin))
    return PreferencePairs(
        np.zeros(n, dtype=np.int64), np.where(wins, first, second), np.where(wins, second, first), annotator,
        twin.n_annotators,
    )  # fmt: skip


def _matched(tables: list[SoftmaxTable], twin: Twin) -> list[SoftmaxTable]:
    from scipy.optimize import linear_sum_assignment

    found = np.stack([t.table[0] - twin.reference @ t.table[0] for t in tables])
    true = twin.rewards - (twin.rewards @ twin.reference)[:, None]
    cost = (true[:, None] - found[None]) ** 2 @ twin.reference
    _, order = linear_sum_assignment(cost)
    return [tables[j] for j in order]


def _regrets(tables: list[SoftmaxTable], policy: SoftmaxTable, twin: Twin) -> FloatArray:
    """beta (L[z, z] - E_pi h_z) for each group, by its estimated policy; (K,)."""
    state = np.zeros(1, dtype=np.int64)
    everyone: list[FinitePolicy] = [*tables, policy]
    matrix = discrepancy(everyone, state)
    K = len(tables)
    return np.asarray(twin.beta * (np.diag(matrix)[:K] - matrix[:K, K]))


def _quantiles(values: FloatArray) -> Quantiles:
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975], axis=0)
    return Quantiles(tuple(middle.tolist()), tuple(zip(low.tolist(), high.tolist(), strict=True)))


def compare_with_run(
    prediction: TwinPrediction, weights: FloatArray, regrets: Mapping[str, FloatArray]
) -> TwinComparison:
    """Whether the run's weights lie in the twin's intervals, and whether the order of regrets is the twin's.

    regrets: name ("pooled_regret", "minmax_regret") -> (K,) measured on the run.  The order is judged by Kendall's tau
    over all named (policy, group) pairs.
    """
    inside = [low <= w <= high for w, (low, high) in zip(weights, prediction.weights.interval, strict=True)]
    order = [name for name in ("pooled_regret", "minmax_regret") if name in regrets]
    predicted = {name: np.array(prediction.median_of(name)) for name in order}
    return TwinComparison(
        run_weights=tuple(weights.tolist()),
        weights_inside=tuple(bool(flag) for flag in inside),
        larger_weight_agrees=bool(np.argmax(weights) == np.argmax(prediction.weights.median)),
        run_regrets={name: tuple(map(float, values)) for name, values in regrets.items()},
        kendall_tau=order_agreement(predicted, regrets),
    )
