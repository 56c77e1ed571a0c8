"""The whole command: `python benchmarks/whole_fit.py [--pairs N ...] [--choices N ...] [--growth] [--json]`.

Each row is one `pluralign fit` in a process of its own: seconds by the clock, seconds of processor time of all its
threads, and the largest memory it had. `--growth` lets answers, people, features and types grow one at a time and draws
docs/figures/fit_growth.png. A first run, not shown, compiles the kernels.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from made_up_pairs import OFFERED, Size, made_up, made_up_choices, write_made_up

from sim.files.figure_files import subplots

ROOT = Path(__file__).resolve().parent.parent
FIGURE = ROOT / "docs" / "figures" / "fit_growth.png"
# What grows one at a time from here, as far as a laptop does it in minutes.
BASE = Size(pairs=40_000, people=1_000, items=1_000, features=8, types=2)
GROWTH = {
    "pairs": (40_000, 160_000, 320_000),
    "people": (1_000, 4_000, 16_000),
    "features": (8, 16, 32),
    "types": (2, 4, 6),
}
SHOWN = {
    "pairs": "answers n", "people": "people N", "features": "features d of an item", "types": "types K that are fitted",
}  # fmt: skip


# Linux counts what the process that starts another one has as the other's own, so a small one starts it.
_WATCH = """
import json, resource, subprocess, sys, time
began = time.monotonic()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def run_fit(path: Path, n_types: int, restarts: int) -> dict[str, float]:
    """Seconds, processor seconds and GiB at most of one command."""
    with tempfile.TemporaryDirectory() as out:
        line = [
            sys.executable, "-m", "pluralign", "fit", str(path), "--method", "em-dpo", "--types", str(n_types),
            "--restarts", str(restarts), "--out", f"{out}/fit", "--json",
        ]  # fmt: skip
        told = subprocess.run(
            [sys.executable, "-c", _WATCH, *line], cwd=ROOT, capture_output=True, text=True, check=True
        )
    code, seconds, processor, most = json.loads(told.stdout)
    if code:
        raise RuntimeError(f"{' '.join(line)} ended with {code}")
    kib = most if sys.platform != "darwin" else most / 1024
    return {"seconds": seconds, "processor_seconds": processor, "peak_gib": kib / 2**20}


def measure(size: Size, restarts: int, make: Callable[[Size, int], Any] = made_up) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_made_up(Path(folder) / "answers.parquet", size, make=make)
        return {**asdict(size), "load": os.getloadavg()[0], **run_fit(path, size.types, restarts)}


def growth(restarts: int) -> dict[str, list[dict[str, Any]]]:
    """Rows by what grows, everything else as in BASE."""
    found: dict[str, list[dict[str, Any]]] = {}
    base = measure(BASE, restarts)
    for name, values in GROWTH.items():
        found[name] = []
        for value in values:
            print(f"{SHOWN[name]} = {value:,} ...", file=sys.stderr, flush=True)
            size = replace(BASE, **{name: value})
            found[name].append(base if size == BASE else measure(size, restarts))
    return found


def draw(rows: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """A panel a quantity: processor seconds (left axis) and memory (right axis), both from zero."""
    figure, axes = subplots(1, len(rows), figsize=(12.5, 3.2), layout="constrained", sharey=True)
    longest = max(row["processor_seconds"] for own in rows.values() for row in own)
    most = max(row["peak_gib"] for own in rows.values() for row in own)
    for axis, (name, own) in zip(axes, rows.items(), strict=True):
        at = [row[name] for row in own]
        axis.plot(at, [row["processor_seconds"] for row in own], "o-", color="#0072B2", label="processor seconds")
        memory = axis.twinx()
        memory.plot(at, [row["peak_gib"] for row in own], "s--", color="#D55E00", label="memory at most (GiB)")
        memory.set_ylim(0, 1.25 * most)
        if axis is not axes[-1]:
            memory.set_yticklabels([])
        else:
            memory.set_ylabel("GiB", color="#D55E00")
        axis.set_ylim(0, 1.1 * longest)
        axis.set_xlim(0, None)
        axis.set_xlabel(SHOWN[name])
        axis.grid(color="0.92")
        axis.locator_params(axis="x", nbins=5)
    axes[0].set_ylabel("processor seconds", color="#0072B2")
    b = BASE
    figure.suptitle(
        f"`pluralign fit --method em-dpo`: one quantity grows, the others stay at n = {b.pairs:,}, N = {b.people:,}, "
        f"d = {b.features}, K = {b.types}", fontsize=10,
    )  # fmt: skip
    figure.savefig(path, dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(description="Time and memory of the whole command `pluralign fit`.")
    parser.add_argument("--pairs", type=int, nargs="*", help="answers; people are a 50th")
    parser.add_argument("--choices", type=int, nargs="*", help=f"the same of choices out of {OFFERED}")
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--growth", action="store_true", help=f"growth alone; draws {FIGURE.relative_to(ROOT)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wanted = parser.parse_args()
    if wanted.pairs is None and wanted.choices is None:
        wanted.pairs = [100_000, 1_000_000]
    measure(replace(BASE, pairs=2_000, people=100), 1)
    # From two million numbers on, other kernels share out one fit.
    measure(Size(300_000, 6_000), 1)
    if wanted.growth:
        by_quantity = growth(wanted.restarts)
        draw(by_quantity, FIGURE)
        rows = [row for own in by_quantity.values() for row in own]
    else:
        kinds = [(made_up, wanted.pairs or []), (made_up_choices, wanted.choices or [])]
        if wanted.choices:
            measure(replace(BASE, pairs=2_000, people=100), 1, made_up_choices)
        rows = [measure(Size(n, max(n // 50, 1)), wanted.restarts, make) for make, sizes in kinds for n in sizes]
    if wanted.json:
        print(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=2))
        return 0
    print(f"{'answers':>10} {'people':>8} {'d':>4} {'K':>3} {'clock':>9} {'processor':>10} {'memory':>9} {'load':>5}")
    for row in rows:
        print(
            f"{row['pairs']:>10,} {row['people']:>8,} {row['features']:>4} {row['types']:>3} {row['seconds']:>7.1f} s "
            f"{row['processor_seconds']:>8.1f} s {row['peak_gib']:>5.2f} GiB {row['load']:>5.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
