"""How many times faster than the best alternative: `python benchmarks/ratios.py [NAME ...] [--json] [--docs DOCS]`.

Candidates take turns in one process, A B A B ...; a figure is the median over turns of theirs / ours. Runs shorter than
20 ms are repeated inside a turn; the first run of a turn, which finds what others left in the caches, is told apart.
The warming turn checks that both answer the same. Between turns the process sleeps: threads of BLAS and OpenMP keep
spinning after use, and would be charged to whoever comes next. --docs writes the table into DOCS/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numba
import numpy as np
from duel import Candidate, Duel, Skipped
from duels import DUELS
from limits import processor
from threadpoolctl import threadpool_limits

_REST = 0.1
# A run is repeated inside its turn until the turn is this long.
_TURN = 0.02
_BEGIN, _END = "<!-- made by benchmarks/ratios.py -->", "<!-- until here -->"


def _seconds(candidate: Candidate) -> tuple[float, float]:
    """(the first run, the mean of those after it) of one turn, of all the work."""
    time.sleep(_REST)
    began = time.perf_counter()
    candidate.run()
    first = later = time.perf_counter() - began
    if first < _TURN:
        times = int(np.ceil(_TURN / max(first, 1e-6)))
        began = time.perf_counter()
        for _ in range(times):
            candidate.run()
        later = (time.perf_counter() - began) / times
    return first * candidate.scale, later * candidate.scale


def measure(duel: Duel, repeats: int | None) -> list[dict[str, Any]]:
    """One row an opponent: median seconds of both, ratios, target, our limit."""
    threads = min(duel.threads, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(threads)
    turns: list[list[tuple[float, float]]] = []
    with threadpool_limits(threads):
        answer = duel.ours.run()
        for name, (candidate, _) in duel.opponents.items():
            duel.agree(answer, name, candidate.run())
        for _ in range(repeats or duel.repeats):
            turns.append([_seconds(duel.ours), *(_seconds(candidate) for candidate, _ in duel.opponents.values())])
    first, later = np.moveaxis(np.array(turns), 2, 0)
    limit = None if duel.limit is None else duel.limit.seconds(threads)
    ours = float(np.median(later[:, 0]))
    return [
        {
            "work": duel.work,
            "threads": threads,
            "opponent": name,
            "ours_s": ours,
            "theirs_s": float(np.median(later[:, i])),
            "ratio": float(np.median(later[:, i] / later[:, 0])),
            "ratio_of_first_runs": float(np.median(first[:, i] / first[:, 0])),
            "target": target,
            "limit_s": limit,
            "times_the_limit": None if limit is None else ours / limit,
            "turns": len(turns),
            "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }
        for i, (name, (_, target)) in enumerate(duel.opponents.items(), start=1)
    ]


def page_table(rows: list[dict[str, Any]], load: float) -> str:
    """The rows as Markdown, with the processor, its load and the day."""
    lines = [
        f"{processor()}, {os.cpu_count()} cores; load {load:.1f} as it began; {date.today():%-d %B %Y}.",
        "",
        "| work | cores | ours | against | ratio | in a first run | asked | our time over the limit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    before = None
    for row in rows:
        if "skipped" in row:
            lines.append(f"| {row['benchmark']} | | | skipped: {row['skipped']} | | | | |")
            continue
        own = [row["work"], str(row["threads"]), _time(row["ours_s"])] if row["work"] != before else ["", "", ""]
        before = row["work"]
        asked = f"{row['target']:g}x" + (" (missed)" if row["ratio"] < row["target"] else "") if row["target"] else ""
        over = "" if row["times_the_limit"] is None or not own[0] else f"{row['times_the_limit']:.1f}x"
        cells = [
            *own,
            row["opponent"],
            f"{_figure(row['ratio'])}x",
            f"{_figure(row['ratio_of_first_runs'])}x",
            asked,
            over,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{_figure(seconds * 1e3)} ms"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"


def write_page(page: Path, table: str) -> None:
    """The table between the two marks of the page."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise SystemExit(f"{page}: no place for the table; expected the lines {_BEGIN} and {_END}")
    page.write_text(f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Ratios of our kernels to their best alternatives.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DUELS)}; default all")
    parser.add_argument("--repeats", type=int, help="turns a candidate gets (default 3 to 7, by length)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--docs", type=Path, help="write the table into performance.md of this folder")
    wanted = parser.parse_args()
    unknown = [name for name in wanted.names if name not in DUELS]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; choose from {', '.join(DUELS)}")
    rows: list[dict[str, Any]] = []
    began = os.getloadavg()[0]
    for name in wanted.names or DUELS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        try:
            rows += [{"benchmark": name, "load": load} | row for row in measure(DUELS[name](), wanted.repeats)]
        except Skipped as reason:
            rows.append({"benchmark": name, "load": load, "skipped": str(reason)})
    if wanted.docs:
        write_page(wanted.docs / "performance.md", page_table(rows, began))
    if wanted.json:
        print(json.dumps({"processor": processor(), "cores": os.cpu_count(), "load": began, "rows": rows}, indent=2))
        return 0
    print(f"{processor()}, {os.cpu_count()} cores, load {began:.2f}")
    heads = ("ours ms", "theirs ms", "ratio", "first", "target", "limit", "GiB", "load")
    print(f"{'benchmark':<14} {'opponent':<29}" + "".join(f"{head:>10}" for head in heads))
    for row in rows:
        if "skipped" in row:
            print(f"{row['benchmark']:<14} skipped: {row['skipped']}")
            continue
        figures = [
            row["ours_s"] * 1e3, row["theirs_s"] * 1e3, row["ratio"], row["ratio_of_first_runs"], row["target"],
            row["times_the_limit"] or float("nan"), row["peak_gib"], row["load"],
        ]  # fmt: skip
        print(f"{row['benchmark']:<14} {row['opponent']:<29}" + "".join(f"{figure:>10.1f}" for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
