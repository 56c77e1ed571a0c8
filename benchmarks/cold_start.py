"""First use of commands, no kernel compiled, and the next: `python benchmarks/cold_start.py [NAME ...] [--json]`.

Each command runs in processes of its own, once with an empty cache folder and once more with what it left there;
seconds by the clock, and of processor time, which is what a busy machine leaves comparable.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from made_up_pairs import Size, write_made_up

ROOT = Path(__file__).resolve().parent.parent
_WATCH = """
import json, resource, subprocess, sys, time
began = time.monotonic()
told = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([told.returncode, time.monotonic() - began, used.ru_utime + used.ru_stime, told.stderr[-500:]]))
"""
_STUDY = ["--workers", "1", "--engine", "local", "--out", "{folder}/out", "--fresh"]
# They share what is to be compiled.
_TWO = ["--workers", "2", *_STUDY[4:]]
COMMANDS = {
    "study section_5_1": ["study", "section_5_1", "--set", "replicates=1", "--set", "backend=log_linear", *_STUDY],
    "study types": ["study", "types", "--set", "replicates=1", *_STUDY],
    "study scenarios": ["study", "scenarios", "--set", "replicates=1", *_STUDY],
    "scenarios, two workers": ["study", "scenarios", "--set", "replicates=1", *_TWO],
    "study welfare_profiles": ["study", "welfare_profiles", "--set", "replicates=1", *_STUDY],
    "profiles, two workers": ["study", "welfare_profiles", "--set", "replicates=1", *_TWO],
    "welfare": ["welfare", "{folder}/utilities.csv", "--lottery"],
    "welfare leximin": ["welfare", "{folder}/utilities.csv", "--lottery", "--rule", "leximin"],
    "minmax": ["minmax", "--regret", "{folder}/utilities.csv"],
    "fit em-dpo": ["fit", "{folder}/pairs.parquet", "--method", "em-dpo", "--types", "2", "--out", "{folder}/fit"],
}


def _run(words: list[str], folder: Path) -> dict[str, float]:
    line = [sys.executable, "-m", "pluralign", *(word.format(folder=folder) for word in words)]
    places = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    places.pop("NUMBA_CACHE_DIR", None)
    told = subprocess.run(
        [sys.executable, "-c", _WATCH, *line], cwd=folder, env=places, capture_output=True, text=True, check=True
    )
    code, seconds, processor, error = json.loads(told.stdout)
    if code:
        raise SystemExit(f"{' '.join(line)} ended with {code}: {error}")
    return {"seconds": seconds, "processor_seconds": processor}


def measure(name: str) -> dict[str, dict[str, float]]:
    """The first use and the second one."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "utilities.csv").write_text("party,A,B,C\nx,1,3,2\ny,2,1,4\nz,5,1,2\n")
        write_made_up(folder / "pairs.parquet", Size(2000, 100, items=200, features=4, types=2))
        return {"first": _run(COMMANDS[name], folder), "second": _run(COMMANDS[name], folder)}


def main() -> int:
    parser = argparse.ArgumentParser(description="First use of commands, kernels not compiled.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMMANDS)}; default all")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wanted = parser.parse_args()
    if unknown := [name for name in wanted.names if name not in COMMANDS]:
        parser.error(f"unknown command {unknown[0]!r}; choose from {', '.join(COMMANDS)}")
    rows = {}
    for name in wanted.names or COMMANDS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows[name] = measure(name)
    if wanted.json:
        print(json.dumps({"load": os.getloadavg()[0], "rows": rows}, indent=2))
        return 0
    print(f"{'command':<24} {'first':>8} {'processor':>10} {'second':>8} {'processor':>10}   seconds")
    for name, row in rows.items():
        cells = [row[use][kind] for use in ("first", "second") for kind in ("seconds", "processor_seconds")]
        print(f"{name:<24} {cells[0]:>8.1f} {cells[1]:>10.1f} {cells[2]:>8.1f} {cells[3]:>10.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
