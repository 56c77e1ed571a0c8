"""What predicts the order of regrets on held-out prompts before any policy is sampled: small runs, exact truth.

    python benchmarks/twin_order.py [--runs 20] [--json]

Each run: a Mistral of six tokens, two types with random tastes and shares, 24 annotators with 20 answers each about 8
prompts; EM-DPO and pooled DPO on LoRA adapters, MinMax weights from the training prompts. Truth: the regrets of both
groups under the pooled policy and under MinMax on 8 other prompts, summed over all 156 responses. Predicted from

- the tabular twin of `llm eval` (a bandit of 12 cells, DPO run again);
- ratios of the responses in the training answers;
- ratios of n responses that the reference wrote to each held-out prompt;

and, for comparison, measured on n samples of each policy itself, which is what `llm eval` does.

The order is right where all four numbers come in the order of the truth; "but for ties", where all pairs of numbers do
that are more than .02 apart in truth. Two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace

import numpy as np
import torch

from llm.data.answer_sets import asked_responses
from llm.runs.predicted_regrets import PredictedRegrets, order_agreement, predicted_regrets
from llm.runs.tiny_twin import TinyTwin, collect, fresh_policies, tiny_twin
from llm.runs.twin import simulate_twin, twin_of_policies
from llm.training.adapter_policy import AdapterPolicy
from llm.training.adapter_training import DPOTraining
from sim.algorithms.dpo import dpo
from sim.algorithms.em_dpo import em_dpo
from sim.algorithms.minmax_dpo import weigh
from sim.algorithms.regret import discrepancy
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

BETA, PROMPTS = 0.5, 16
TRAINING = DPOTraining(rate=1e-2, epochs=3, settled=0.1, batch=32)
DRAWS = (8, 32, 128, 512, 2048)
# Regrets nearer than this, in reward units, are no order to speak of.
TIED = 0.02


@dataclass(frozen=True, eq=False)
class Prediction:
    """weights (2,); regrets and welfare: "pooled" and "minmax" -> (2,).  None what is given or not predicted."""

    weights: FloatArray | None
    regrets: dict[str, FloatArray]
    welfare: dict[str, FloatArray] | None


def one_run(number: int) -> tuple[Prediction, dict[str, Prediction]]:
    """The truth on held-out prompts, and what each predicts."""
    stream = Stream(11, "twin-order", number)
    tastes = np.zeros((2, 6))
    tastes[:, 3:] = 1.5 * stream.child("tastes").normals((2, 3))
    share = 0.3 + 0.4 * float(stream.child("share").uniforms(1)[0])
    twin = tiny_twin(tastes, np.array([share, 1.0 - share]), PROMPTS, 3, stream)
    train, held = np.arange(PROMPTS // 2), np.arange(PROMPTS // 2, PROMPTS)
    pairs = collect(twin, 24, 20, stream.child("people"), train)
    policies = fresh_policies(twin, ["type_0", "type_1", "pooled"], BETA, TRAINING, stream)
    fitted = em_dpo(pairs, policies[:2], max_rounds=4, stream=stream.child("em"))
    dpo(policies[2], pairs)
    tables = [twin.space.table(policy, BETA) for policy in policies]
    on_train, on_held = discrepancy(tables, train), discrepancy(tables, held)
    weights = weigh(tables[:2], on_train[:2, :2], beta=BETA).weights
    truth = _of_discrepancies(on_held, weights)
    bandit = simulate_twin(
        twin_of_policies(policies[:2], fitted.mixture, BETA, pairs, 12, stream.child("bandit")), 5,
        stream.child("bandit"),
    )  # fmt: skip
    found = {
        "tabular twin": Prediction(
            np.array(bandit.weights.median),
            {"pooled": np.array(bandit.pooled_regret.median), "minmax": np.array(bandit.minmax_regret.median)},
            None,
        ),
        "ratios, training answers": _of_ratios(policies, *asked_responses(pairs)),
    }
    for n in DRAWS:
        rows = _written(twin, held, n, stream.child("written"))
        found[f"ratios, {n} responses"] = _of_ratios(policies, *rows, weights)
    for n in DRAWS[-2:]:
        sampled = _of_discrepancies(_sampled(tables, held, n, stream), weights)
        found[f"samples, {n} of each policy"] = replace(sampled, weights=None)
    return truth, found


def _sampled(tables: list[SoftmaxTable], places: IntArray, n: int, stream: Stream) -> FloatArray:
    """L (3, 3) from n responses of each policy to each prompt."""
    ratio = np.stack([table.log_probabilities(places) - table.reference_log_probabilities(places) for table in tables])
    out = np.empty((len(tables), len(tables)))
    for k, table in enumerate(tables):
        drawn = table.sample(np.repeat(places, n), stream.child(f"samples/{n}/{k}"))
        out[:, k] = ratio[:, np.repeat(np.arange(len(places)), n), drawn].mean(axis=1)
    return out


def _of_discrepancies(L: FloatArray, weights: FloatArray) -> Prediction:
    welfare = {"pooled": BETA * L[:2, 2], "minmax": BETA * L[:2, :2] @ weights}
    return Prediction(weights, {name: BETA * np.diag(L)[:2] - own for name, own in welfare.items()}, welfare)


def _of_ratios(
    policies: list[AdapterPolicy], contexts: IntArray, responses: IntArray, weights: FloatArray | None = None
) -> Prediction:
    found: PredictedRegrets = predicted_regrets(
        policies[:2], {"pooled": policies[2]}, contexts, responses, beta=BETA, weights=weights
    )
    return Prediction(found.weights if weights is None else None, dict(found.regrets), dict(found.welfare))


def _written(twin: TinyTwin, places: IntArray, n: int, stream: Stream) -> tuple[IntArray, IntArray]:
    """n responses of the reference to each prompt."""
    reference = twin.space.reference()
    drawn = [twin.space.responses[stream.child(str(place)).choice(reference[place], n)] for place in places]
    return np.repeat(twin.space.prompts[places], n), np.concatenate(drawn)


def summary(runs: list[tuple[Prediction, dict[str, Prediction]]]) -> list[dict[str, object]]:
    """A row a predictor: runs whose order is right, mean tau, errors of weights and regrets, and of welfare."""
    rows: list[dict[str, object]] = []
    for name in runs[0][1]:
        pairs = [(truth, found[name]) for truth, found in runs]
        taus = [order_agreement(own.regrets, truth.regrets) for truth, own in pairs]
        wrong = [np.abs(own.regrets[key] - truth.regrets[key]) for truth, own in pairs for key in truth.regrets]
        rows.append({
            "from": name, "order_right": sum(tau == 1.0 for tau in taus), "runs": len(runs),
            "right_but_for_ties": sum(_clear_pairs_right(truth.regrets, own.regrets) for truth, own in pairs),
            "kendall_tau": float(np.mean([tau or 0.0 for tau in taus])),
            "weight_error": None if pairs[0][1].weights is None else float(np.mean([
                abs(own.weights[0] - truth.weights[0]) for truth, own in pairs
            ])),
            "regret_error": float(np.mean(wrong)),
            "welfare_error": None if pairs[0][1].welfare is None else float(np.mean([
                np.abs(own.welfare[key] - truth.welfare[key]) for truth, own in pairs for key in truth.regrets
            ])),
        })  # fmt: skip
    return rows


def _clear_pairs_right(truth: dict[str, FloatArray], predicted: dict[str, FloatArray]) -> bool:
    """Whether every two true regrets that are no tie are predicted in their order."""
    true, told = (np.concatenate([one[name] for name in truth]) for one in (truth, predicted))
    gap, own = true[:, None] - true, told[:, None] - told
    return bool((gap * own)[np.abs(gap) > TIED].min(initial=1.0) > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = summary([one_run(number) for number in range(options.runs)])
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        weights, welfare = (row[key] for key in ("weight_error", "welfare_error"))
        print(
            f"{row['from']:<26} order right {row['order_right']:>2} of {row['runs']}, but for ties "
            f"{row['right_but_for_ties']:>2}; tau {row['kendall_tau']:.2f}; "
            f"errors: weights {'-' if weights is None else format(weights, '.3f')}, regrets {row['regret_error']:.3f}, "
            f"welfare {'-' if welfare is None else format(welfare, '.3f')}"
        )


if __name__ == "__main__":
    main()
