"""Writes which kernels each experiment calls: `python benchmarks/kernels_ahead.py [EXPERIMENT ...]`.

Shipped studies of each experiment run with one replicate in a process of their own, kernels not compiled; what they
called, with what types, goes to `sim/compiled/kernels.json`, what took longest to compile first. Workers that wait for
one another compile by it (`sim/compiled/ahead.py`). Minutes; needed again when kernels or their arguments change, which
a test says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_FILE = ROOT / "sim" / "compiled" / "kernels.json"
# A few of each experiment's studies call all that the others do.
STUDIES = {
    "attributes": ["attributes"], "bandit": ["section_5_1"], "best_of_n": ["best_of_n"],
    "low_rank": ["scenarios", "controls"], "pessimism": ["pessimism_map"], "profiles": ["welfare_profiles"],
    "prompts": ["prompts_by_type"], "representation": ["sharing_gain", "violated"], "reward_free": ["reward_free"],
    "scaling": ["party_scaling"], "types": ["types"],
}  # fmt: skip
SETTINGS = {"section_5_1": ["--set", "backend=log_linear"]}


def called_by(study: str) -> dict[str, tuple[float, list[Any]]]:
    """Seconds of compilation and types of each kernel."""
    with tempfile.TemporaryDirectory() as folder:
        line = [
            sys.executable, str(ROOT / "benchmarks" / "kernels_called.py"), "study", study, "--set", "replicates=1",
            *SETTINGS.get(study, []), "--workers", "1", "--engine", "local", "--out", f"{folder}/out",
        ]  # fmt: skip
        places = {**os.environ, "XDG_CACHE_HOME": folder, "PYTHONPATH": str(ROOT)}
        places.pop("NUMBA_CACHE_DIR", None)
        told = subprocess.run(line, env=places, cwd=folder, capture_output=True, text=True)
    if told.returncode:
        raise SystemExit(f"{study} ended with {told.returncode}: {told.stderr[-500:]}")
    found: dict[str, tuple[float, list[Any]]] = json.loads(told.stdout.splitlines()[-1])
    return found


def main() -> int:
    wanted = sys.argv[1:] or list(STUDIES)
    kept = json.loads(_FILE.read_text("utf-8")) if _FILE.exists() else {"work": {}, "kernels": {}}
    for experiment in wanted:
        seconds: dict[str, float] = {}
        for study in STUDIES[experiment]:
            print(f"{study} ...", file=sys.stderr, flush=True)
            for kernel, (took, types) in called_by(study).items():
                seconds[kernel] = max(took, seconds.get(kernel, 0.0))
                kept["kernels"][kernel] = types
        kept["work"][experiment] = sorted(seconds, key=lambda kernel: -seconds[kernel])
    used = {kernel for kernels in kept["work"].values() for kernel in kernels}
    lines = [f"    {json.dumps(kernel)}: {json.dumps(kept['kernels'][kernel])}" for kernel in sorted(used)]
    work = [f"    {json.dumps(name)}: {json.dumps(kept['work'][name])}" for name in sorted(kept["work"])]
    text = '{{\n  "kernels": {{\n{}\n  }},\n  "work": {{\n{}\n  }}\n}}\n'.format(",\n".join(lines), ",\n".join(work))
    _FILE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
