"""Means and 95 % intervals of cells that end at a target error: python benchmarks/target_errors.py

replicates: their median; fixed: how many intervals cover where every cell has that many and no target.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from sim.preferences import FloatArray
from sim.studies.experiment import Measurement
from sim.studies.precision import half_width
from sim.studies.summary import pipe_table
from sim.studies.target import Errors, checkpoints

Draw = Callable[[np.random.Generator, int], FloatArray]
_MOST = 20_000


def rate(share: float) -> Draw:
    return lambda rng, n: (rng.random(n) < share).astype(np.float64)


# What a metric is, how it is drawn, its mean, and the target.
CASES: tuple[tuple[str, Draw, float, float], ...] = (
    ("0 or 1, 1 in .05", rate(0.05), 0.05, 0.01),
    ("0 or 1, 1 in .02", rate(0.02), 0.02, 0.005),
    ("0 or 1, 1 in .1", rate(0.1), 0.1, 0.02),
    ("0 or 1, 1 in .05, a wide target", rate(0.05), 0.05, 0.02),
    ("normal, sd 1", lambda rng, n: rng.standard_normal(n), 0.0, 0.1),
    ("exponential, sd 1", lambda rng, n: rng.exponential(size=n), 1.0, 0.1),
    ("lognormal, sigma 1.5", lambda rng, n: np.exp(1.5 * rng.standard_normal(n)), math.exp(1.125), 0.2),
    ("0, but uniform on [0, 1] in .05", lambda rng, n: (rng.random(n) < 0.05) * rng.random(n), 0.025, 0.01),
)


def ended(draw: Draw, target: float, rng: np.random.Generator) -> FloatArray:
    """The values of a cell when it ends."""
    errors, values = Errors(), np.empty(0)
    for count in checkpoints(_MOST):
        new = draw(rng, count - len(values))
        for value in new:
            errors.add([Measurement("m", "x", float(value))])
        values = np.concatenate([values, new])
        if errors.reached({"x": target}):
            break
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    cells = parser.parse_args().cells
    body = []
    for name, draw, mean, target in CASES:
        rng = np.random.default_rng(0)
        found = [ended(draw, target, rng) for _ in range(cells)]
        count, share = int(np.median([own.size for own in found])), name.startswith("0 or 1")
        fixed = [draw(rng, count) for _ in range(cells)]
        covered, without = (
            np.mean([abs(own.mean() - mean) <= half_width(own, share=share) for own in some]) for some in (found, fixed)
        )
        means = np.array([own.mean() for own in found])
        off = math.sqrt(float(np.mean((means - mean) ** 2)))
        body.append((name, f"{mean:.3g}", f"{target:g}", f"{means.mean():.3g}", f"{off:.2g}", f"{count:,}",
                     f"{covered:.3f}", f"{without:.3f}"))  # fmt: skip
    head = ("a replicate's number", "mean", "target", "mean of means", "rms error", "replicates", "covered", "fixed")
    print(pipe_table(head, body), end="")


if __name__ == "__main__":
    main()
