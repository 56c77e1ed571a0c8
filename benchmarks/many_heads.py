"""Rewards of many annotators over many features: every method with its grid; scikit-learn one annotator at a time.

    python benchmarks/many_heads.py
    python benchmarks/many_heads.py --features 128 --json

400 annotators, 50 answers each, 576 features whose spread falls as of hidden states, six tastes. Timed is the search
over sizes and ridges on two thirds of the answers and the fit to all, from features in memory. scikit-learn is given
the personal rewards alone (logistic regression on the same answers at the same five ridges, by L-BFGS), before and
after ours; a ratio is the median of theirs / ours. Processor seconds stand beside those of the clock: another program
on the machine moves only these.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from sim.files.pair_table import PairTable
from sim.fitting.choose import choose_and_fit
from sim.fitting.contexts import context_answers, known_contexts
from sim.fitting.low_rank_choice import choose_low_rank, fit_chosen, folds_of, ranks_up_to
from sim.fitting.methods.personal import Personal
from sim.fitting.methods.pooled import Pooled
from sim.fitting.methods.rewards import RIDGES
from sim.fitting.prepare import Prepared, prepare
from sim.fitting.settings import FitSettings
from sim.preferences import FloatArray
from sim.streams import Stream

TASTES = 6


def table_of(annotators: int, answers: int, features: int, seed: int = 0) -> PairTable:
    """Each annotator has one taste; her context is which, with noise."""
    rng = np.random.default_rng(seed)
    questions, total = 2000, answers + answers // 2
    values = rng.normal(size=(2 * questions, features)) * np.arange(1, features + 1) ** -0.7
    values = values @ np.linalg.qr(rng.normal(size=(features, features)))[0]
    scores = values @ rng.normal(size=(features, TASTES))
    gaps = scores[::2] - scores[1::2]
    taste, who = np.arange(annotators) % TASTES, np.repeat(np.arange(annotators), total)
    question = rng.integers(questions, size=len(who))
    margin = 3.0 * (gaps / gaps.std(axis=0))[question, taste[who]]
    wins = rng.uniform(size=len(who)) < 1.0 / (1.0 + np.exp(-margin))
    contexts = np.eye(TASTES)[taste] + 0.2 * rng.normal(size=(annotators, TASTES))
    return PairTable(
        tuple(str(j) for j in range(2 * questions)), values, tuple(f"h{j}" for j in range(features)),
        tuple(str(j) for j in range(questions)), question, np.where(wins, 2 * question, 2 * question + 1),
        np.where(wins, 2 * question + 1, 2 * question), tuple(str(j) for j in range(annotators)), who,
        split=(np.arange(len(who)) % total >= answers).astype(np.int64),
        annotator_features=contexts, annotator_feature_names=tuple(f"x{j}" for j in range(TASTES)),
    )  # fmt: skip


def timed(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the clock, of the processor, and the answer."""
    clock, processor = time.perf_counter(), time.process_time()
    found = run()
    return time.perf_counter() - clock, time.process_time() - processor, found


def all_methods(prepared: Prepared) -> Callable[[], Any]:
    settings = FitSettings("personal", hold_out="answers")
    return lambda: choose_and_fit(Personal(), prepared, settings, Stream(0, "bench"), lambda text: None)


def low_rank(prepared: Prepared) -> Any:
    seen = known_contexts(prepared)
    answers = context_answers(seen.answers(seen.train))
    fold = folds_of(answers, Stream(0, "bench"))
    return fit_chosen(answers, choose_low_rank(answers, fold, ranks_up_to(8), None, lambda text: None))


def personal(prepared: Prepared, centre: FloatArray) -> list[FloatArray]:
    """Ours: a reward each at five ridges, about the common one."""
    from sim.fitting.method import Task

    answers, task = prepared.answers(prepared.train), Task(Stream(0), centre, 1, final=True)
    return [Personal().fit(answers, 0, ridge, task).theta for ridge in RIDGES]


def by_scikit(prepared: Prepared, ridges: tuple[float, ...]) -> list[FloatArray]:
    """The same rewards, about zero: it takes no offsets. Every answer in both directions, at half its weight."""
    answers = prepared.answers(prepared.train)
    rows = [answers.differences[answers.of(i)] for i in range(answers.n_annotators)]
    found = []
    for ridge in ridges:
        model = LogisticRegression(C=1.0 / ridge, fit_intercept=False, tol=1e-6, max_iter=1000)
        theta = []
        for own in rows:
            both = np.concatenate([own, -own])
            model.fit(both, np.repeat([1, 0], len(own)), sample_weight=np.full(len(both), 0.5))
            theta.append(model.coef_[0].copy())
        found.append(np.stack(theta))
    return found


def measure(annotators: int, answers: int, features: int, repeats: int) -> dict[str, Any]:
    table = table_of(annotators, answers, features)
    prepared = prepare(table, Stream(0, "bench"), "answers")
    # Kernels are compiled on a small problem.
    small = replace(prepare(table_of(12, 12, features), Stream(0, "bench"), "answers"))
    all_methods(small)()
    low_rank(small)
    zero, ratios, ours_s, theirs_s = np.zeros(features), [], [], []
    equal = [
        np.abs(a - b).max() / np.abs(b).max()
        for a, b in zip(personal(small, zero), by_scikit(small, RIDGES), strict=True)
    ]
    assert max(equal) < 1e-3, equal
    for _ in range(repeats):
        ours, _, _ = timed(lambda: personal(prepared, zero))
        # One ridge of five is enough of it.
        theirs, _, _ = timed(lambda: by_scikit(prepared, RIDGES[2:3]))
        ours_s.append(ours)
        theirs_s.append(len(RIDGES) * theirs)
        ratios.append(theirs_s[-1] / ours)
    clock, processor, fits = timed(all_methods(prepared))
    alone, of_contexts, _ = timed(lambda: low_rank(prepared))
    pooled, of_pooled, _ = timed(lambda: Pooled().fit(prepared.answers(prepared.train), 0, 0.03, None))  # type: ignore[arg-type]
    return {
        "annotators": annotators, "answers": answers, "features": features, "load": os.getloadavg()[0],
        "pooled, personal, shared, cluster: clock_s": clock, "processor_s": processor,
        "low rank: clock_s": alone, "low rank: processor_s": of_contexts,
        "one pooled fit: clock_s": pooled, "one pooled fit: processor_s": of_pooled,
        "personal, five ridges: ours_s": statistics.median(ours_s), "scikit-learn_s": statistics.median(theirs_s),
        "ratio": statistics.median(ratios), "chosen": {n: (c.size, c.ridge) for n, c in fits.choice.chosen.items()},
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Rewards of many annotators over many features, all methods.")
    parser.add_argument("--annotators", type=int, default=400)
    parser.add_argument("--answers", type=int, default=50)
    parser.add_argument("--features", type=int, default=576)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wanted = parser.parse_args()
    row = measure(wanted.annotators, wanted.answers, wanted.features, wanted.repeats)
    if wanted.json:
        print(json.dumps(row, indent=2))
        return 0
    for name, value in row.items():
        print(f"{name:<45} {value if not isinstance(value, float) else f'{value:.2f}'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
