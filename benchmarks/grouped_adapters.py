"""Whether rows of K adapters belong into one forward pass: fits together against fits one after the other.

    python benchmarks/grouped_adapters.py [--size tiny] [--types 8] [--pairs 1,2,3,4,8,16] [--spread 0] [--repeats 5]

A fit of each adapter to answers of its own, `--pairs` of them a step (20 + 40 + 40 tokens; with `--spread 30` responses
of 10 to 70), made one adapter after the other, together where it pays (training.together=null), and always together.
Processor seconds a step of one thread, medians; losses are compared first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np
import torch

from llm.base.lora_settings import LoraSettings
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import SIZES, new_mistral
from llm.base.tokens import TokenStore
from llm.training.adapter_policy import AdapterPolicy
from llm.training.adapter_training import FitReport
from llm.training.joint_policies import fit_all_of
from llm.training.passes import DPOTraining
from sim.preferences import PreferencePairs
from sim.streams import Stream

PROMPT, RESPONSE, STEPS = 20, 40, 8


def pairs_of(base: SharedBase, n: int, spread: int) -> PreferencePairs:
    rng = np.random.default_rng(0)

    def rows(lengths: Any) -> Any:
        return base.store.add_all([rng.integers(3, 500, length) for length in lengths])

    contexts = rows([PROMPT] * n)
    chosen, rejected = (rows(RESPONSE + rng.integers(-spread, spread + 1, n)) for _ in range(2))
    return PreferencePairs(contexts, chosen, rejected, np.arange(n) % 2, 2)


def fitted(base: SharedBase, K: int, pairs: int, spread: int, together: bool | None) -> tuple[float, list[FitReport]]:
    """(processor seconds a step of all adapters, their reports)."""
    n, reports = pairs * STEPS * K, []
    answers = pairs_of(base, n, spread)
    base.reference(answers.contexts, answers.chosen), base.reference(answers.contexts, answers.rejected)
    training = DPOTraining(rate=1e-4, batch=pairs, epochs=1, together=together)
    policies = [
        AdapterPolicy(base, f"g{k}", beta=0.1, training=training, stream=Stream(2, str(k)),
                      on_fit=lambda name, report: reports.append(report))
        for k in range(K)
    ]  # fmt: skip
    states = [policy.snapshot() for policy in policies]
    weights = np.eye(K)[np.arange(n) % K]
    began = time.process_time()
    fit_all = fit_all_of(policies, answers)
    if fit_all is not None:
        fit_all(answers, weights)
    else:
        for k, policy in enumerate(policies):
            policy.fit(answers, weights[:, k])
    seconds = time.process_time() - began
    for policy, state in zip(policies, states, strict=True):
        policy.restore(state)
    return seconds / STEPS, reports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--types", type=int, default=8)
    parser.add_argument("--pairs", default="1,2,3,4,8,16")
    parser.add_argument("--spread", type=int, default=0, help="tokens that responses are shorter or longer, at most")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    K = options.types
    base = SharedBase(new_mistral(SIZES[options.size], 512, Stream(0)), TokenStore(), pad=0, end=2, lora=LoraSettings())
    for k in range(K):
        base.add_adapter(f"g{k}", Stream(k))
    ways = {"one_by_one": False, "where_it_pays": None, "together": True}
    for pairs in map(int, options.pairs.split(",")):
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(options.repeats + 1):
            losses = []
            for name, together in ways.items():
                spent, reports = fitted(base, K, pairs, options.spread, together)
                losses.append([row["loss"] for report in reports for row in report.record])
                # The first time kernels and caches are cold.
                if repeat:
                    seconds[name].append(spent)
            for other in losses[1:]:
                assert np.allclose(losses[0], other, atol=1e-4)
        found = {name: statistics.median(own) for name, own in seconds.items()}
        print(json.dumps({
            "size": options.size, "types": K, "pairs": pairs, "tokens_an_adapter": pairs * (PROMPT + 2 * RESPONSE),
            **{f"{name}_s": round(own, 4) for name, own in found.items()},
            **{f"{name}_ratio": round(found["one_by_one"] / found[name], 2) for name in list(ways)[1:]},
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
