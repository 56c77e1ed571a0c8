"""How many times faster than the best alternative: `python benchmarks/ratios.py [NAME ...] [--json]`.

Candidates take turns in one process, A B A B ...; a figure is the median over turns of theirs / ours. The
first turn warms up and checks that both answer the same. Between turns the process sleeps: threads of BLAS
and OpenMP keep spinning after use, and would be charged to whoever comes next.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

import numba
import numpy as np
from duel import Candidate, Duel, Skipped
from duels import DUELS
from threadpoolctl import threadpool_limits

_REST = 0.1


def _seconds(candidate: Candidate) -> float:
    time.sleep(_REST)
    began = time.perf_counter()
    candidate.run()
    return (time.perf_counter() - began) * candidate.scale


def measure(duel: Duel, repeats: int | None) -> list[dict[str, Any]]:
    """One row an opponent: median seconds of both, ratio, target."""
    threads = min(duel.threads, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(threads)
    turns: list[list[float]] = []
    with threadpool_limits(threads):
        answer = duel.ours.run()
        for name, (candidate, _) in duel.opponents.items():
            duel.agree(answer, name, candidate.run())
        for _ in range(repeats or duel.repeats):
            turns.append([_seconds(duel.ours), *(_seconds(candidate) for candidate, _ in duel.opponents.values())])
    seconds = np.array(turns)
    return [
        {
            "work": duel.work,
            "threads": threads,
            "opponent": name,
            "ours_s": float(np.median(seconds[:, 0])),
            "theirs_s": float(np.median(seconds[:, i])),
            "ratio": float(np.median(seconds[:, i] / seconds[:, 0])),
            "target": target,
            "turns": len(seconds),
        }
        for i, (name, (_, target)) in enumerate(duel.opponents.items(), start=1)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Ratios of our kernels to their best alternatives.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DUELS)}; default all")
    parser.add_argument("--repeats", type=int, help="turns a candidate gets (default 3 to 7, by length)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wanted = parser.parse_args()
    unknown = [name for name in wanted.names if name not in DUELS]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; choose from {', '.join(DUELS)}")
    rows: list[dict[str, Any]] = []
    for name in wanted.names or DUELS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        try:
            rows += [{"benchmark": name, "load": load} | row for row in measure(DUELS[name](), wanted.repeats)]
        except Skipped as reason:
            rows.append({"benchmark": name, "load": load, "skipped": str(reason)})
    if wanted.json:
        print(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=2))
        return 0
    print(f"{'benchmark':<11} {'opponent':<27} {'ours':>10} {'theirs':>10} {'ratio':>8} {'target':>7} {'load':>5}")
    for row in rows:
        if "skipped" in row:
            print(f"{row['benchmark']:<11} skipped: {row['skipped']}")
            continue
        print(
            f"{row['benchmark']:<11} {row['opponent']:<27} {row['ours_s'] * 1e3:>7.1f} ms "
            f"{row['theirs_s'] * 1e3:>7.0f} ms {row['ratio']:>7.1f}x {row['target']:>6.0f}x {row['load']:>5.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
