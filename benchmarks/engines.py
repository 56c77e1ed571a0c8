"""What handing replicates out costs, and what the process that hands them out holds.

    python benchmarks/engines.py --overhead            # a millisecond a replicate: local, joblib, dask
    python benchmarks/engines.py --memory 1000000      # replicates that do nothing: peak memory of the driver

A replicate works for a millisecond of processor time. Overhead is all processor time of a study, of every process,
beyond its replicates' own: as the slope between a study of few and one of many, so that the start of workers, which is
the same for both, is left out, and so that another program on the same cores changes little. The replicates alone, in a
plain loop, are measured alike.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sim.running.workers import EngineName
from sim.studies.experiment import Experiment, Measurement

ROOT = Path(__file__).resolve().parents[1]
FEW = 1000


@dataclass(frozen=True)
class Work:
    """seconds: of processor time, a replicate."""

    seconds: float = 0.0


def run(setting: Work, stream: object, backends: object) -> list[Measurement]:
    until = time.thread_time() + setting.seconds
    while time.thread_time() < until:
        pass
    return [Measurement("work", "seconds", setting.seconds)]


WORK = Experiment(Work, run, {})


def one(engine: str, workers: int, replicates: int, seconds: float) -> None:
    """A study in this process; prints its peak memory. Engine "alone": the replicates, and no study."""
    if engine == "alone":
        for _ in range(replicates):
            run(Work(seconds), None, None)
        print("{}")
        return
    from sim.studies.cells import run_study
    from sim.studies.spec import load_spec
    from sim.studies.summary import means_table

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.yaml"
        text = f"experiment: engines:WORK\nreplicates: {replicates}\nsettings: {{seconds: {seconds}}}\n"
        file.write_text(text, encoding="utf-8")
        (Path(folder) / "engines.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
        found = run_study(
            load_spec(file), {}, cells=Path(folder) / "cells", workers=workers, engine=cast(EngineName, engine)
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        assert len(found.results) == replicates
        means_table(found.results, ())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"run_mb": before, "tables_mb": peak}))


def measured(engine: str, workers: int, replicates: int, seconds: float) -> dict[str, float]:
    """In a process of its own: its memory, and the processor time of it and of all its workers."""
    line = [sys.executable, __file__, "--one", engine, str(workers), str(replicates), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return {**found, "processor_s": used.ru_utime + used.ru_stime, "wall_s": time.perf_counter() - began}


def processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{names[0].partition(':')[2].strip()}, {os.cpu_count()} cores" if names else "an unnamed processor"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--memory", type=int, metavar="REPLICATES")
    parser.add_argument("--replicates", type=int, default=20_000, help="of the overhead")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        engine, workers, replicates, seconds = options.one
        one(engine, int(workers), int(replicates), float(seconds))
        return
    print(processor())
    alone = 0.0
    for engine, workers in (("alone", 1), ("local", 1), ("joblib", 2), ("dask", 2)) if options.overhead else ():
        few, many = (measured(engine, workers, count, 1e-3) for count in (FEW, options.replicates))
        each = (many["processor_s"] - few["processor_s"]) / (options.replicates - FEW)
        alone = alone or each
        print(f"{engine:6} {workers} workers: {each * 1e3:.3f} ms a replicate, overhead {each / alone - 1:.1%}")
    for replicates in () if options.memory is None else (FEW, options.memory):
        found = measured("joblib", 2, replicates, 0.0)
        print(
            f"{replicates:,} replicates that do nothing: the driver's peak is {found['run_mb']:.0f} MB, with a table "
            f"of means {found['tables_mb']:.0f} MB; {found['wall_s']:.0f} s"
        )


if __name__ == "__main__":
    main()
