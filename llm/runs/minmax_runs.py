"""MinMax-DPO over a run's adapters: sampled regrets, the game for each tuple of priorities, and its certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from llm.base.folder_format import stamped
from llm.base.journal import Journal
from llm.base.progress import Progress
from llm.runs.open_run import OpenRun
from llm.runs.run_folder import save_adapter, save_mixture
from llm.training.direct_saddle_point import SaddleSettings, direct_saddle_point
from sim.algorithms.hedge import game_value
from sim.algorithms.minmax_dpo import MinMaxResult, weigh
from sim.algorithms.regret import RegretMatrix, discrepancy_sampled, regret_matrix
from sim.errors import InputError
from sim.files.atomic import write_json
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

# Draws of the regret matrix from its standard errors, for the intervals of the weights.
_DRAWS = 400


def distinct_prompts(contexts: IntArray, limit: int, stream: Stream) -> IntArray:
    """At most `limit` different prompts, in random order."""
    prompts = np.unique(contexts)
    return prompts[stream.permutation(len(prompts))[:limit]]


def minmax_run(
    run: OpenRun,
    priorities: Sequence[Sequence[float]],
    *,
    prompts: int = 512,
    samples: int = 1,
    rounds: int = 10_000,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> tuple[dict[str, Any], list[MinMaxResult]]:
    """Weights of the ensemble for each tuple of group priorities (one number an adapter).

    L[z, k] = E_x E_{y ~ pi_k} log(pi_z / pi_ref) is estimated from `samples` responses a prompt of each adapter, once
    for all tuples. Writes minmax.json, and the first tuple's weights to mixture.json.
    """
    K = len(run.policies)
    for values in priorities:
        if len(values) != K:
            raise InputError(
                f"--priorities: expected {K} numbers, one an adapter, got {len(values)}", fix="give one an adapter"
            )
    stream = Stream(seed, "minmax")
    data = run.preferences()
    contexts = distinct_prompts(data.train.pairs.contexts, prompts, stream.child("prompts"))
    progress(f"{samples * len(contexts)} responses from each of {K} adapters")
    matrix, error = discrepancy_sampled(run.policies, contexts, stream.child("samples"), samples)
    results, tuples = [], []
    for values in priorities:
        played = weigh(
            run.policies, matrix, beta=run.mixture.beta, priorities=list(values), standard_error=error, rounds=rounds
        )
        low, high = weight_intervals(matrix, error, run.mixture.beta, list(values), stream.child("intervals"))
        results.append(played)
        tuples.append({
            "priorities": list(values),
            "weights": played.weights.tolist(),
            "weights_interval": [[a, b] for a, b in zip(low.tolist(), high.tolist(), strict=True)],
            "value": played.value,
            "lp_value": played.lp_value,
            "gap": played.gap,
            "group_regret": played.group_regret.tolist(),
            "regret": played.regret.values.tolist(),
            "regret_standard_error": played.regret.standard_error.tolist(),
            "rounds": rounds,
            "step": played.hedge.step,
        })  # fmt: skip
    content = {
        "adapters": list(run.mixture.adapters),
        "beta": run.mixture.beta,
        "prompts": len(contexts),
        "samples": samples,
        "max_new_tokens": run.policies[0].sampling.max_new_tokens,
        "seed": seed,
        "discrepancy": matrix.tolist(),
        "discrepancy_standard_error": error.tolist(),
        "tuples": tuples,
    }
    write_json(run.folder / "minmax.json", stamped(content))
    first = tuples[0]
    save_mixture(
        run.folder,
        replace(run.mixture, weights=tuple(first["weights"]), priorities=tuple(float(c) for c in first["priorities"])),
    )
    return content, results


def weight_intervals(
    matrix: FloatArray, error: FloatArray, beta: float, priorities: Sequence[float], stream: Stream
) -> tuple[FloatArray, FloatArray]:
    """95 % limits of the optimal weights when L is drawn from its standard errors (normal, entries independent);
    (K,) twice. Each draw is solved exactly (LP)."""
    draws = np.stack([
        game_value(_game(matrix + error * noise, beta, priorities).values).weights
        for noise in stream.normals((_DRAWS, *matrix.shape))
    ])  # fmt: skip
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return low, high


def _game(matrix: FloatArray, beta: float, priorities: Sequence[float]) -> RegretMatrix:
    return regret_matrix(matrix, beta, priorities)


def direct_run(
    run: OpenRun,
    settings: SaddleSettings,
    priorities: Sequence[float] | None,
    *,
    prompts: int = 512,
    samples: int = 1,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """The direct saddle-point policy of a run: adapter folder `direct`, direct.json; resumes if killed.

    Its regrets are measured on fresh samples, beside the ensemble's value on the same prompts.
    """
    stream = Stream(seed, "direct")
    contexts = distinct_prompts(run.preferences().train.pairs.contexts, prompts, stream.child("prompts"))
    matrix, error = discrepancy_sampled(run.policies, contexts, stream.child("samples"), samples)
    journal = Journal(run.folder / "journal")
    found = direct_saddle_point(
        run.base, run.policies, np.diag(matrix).copy(), contexts, settings, stream, priorities=priorities,
        journal=journal, progress=progress,
    )  # fmt: skip
    repeated = np.repeat(contexts, samples)
    drawn = found.policy.sample(repeated, stream.child("judge"))
    h = np.stack([policy.log_ratio(repeated, drawn) for policy in run.policies])
    regret = run.mixture.beta * (np.diag(matrix) - h.mean(axis=1))
    spread = run.mixture.beta * np.sqrt(np.diag(error) ** 2 + h.var(axis=1, ddof=1) / len(repeated))
    ensemble = weigh(
        run.policies, matrix, beta=run.mixture.beta, priorities=None if priorities is None else list(priorities),
        standard_error=error,
    )  # fmt: skip
    save_adapter(run.base, "direct", run.folder / "direct")
    content = {
        "priorities": None if priorities is None else list(priorities),
        "settings": asdict(settings),
        "regret": regret.tolist(),
        "regret_standard_error": spread.tolist(),
        "worst_regret": float(regret.max()),
        "ensemble_worst_regret": float(ensemble.group_regret.max()),
        "adversary": found.adversary.tolist(),
        "kl_to_reference": float(found.policy.log_ratio(repeated, drawn).mean()),
        "record": list(found.record),
        "seed": seed,
    }
    write_json(run.folder / "direct.json", stamped(content))
    journal.clear()
    return content
