"""A simulation that no memory holds, drawn and fitted by blocks: `python benchmarks/streaming.py [PAIRS] [--json]`.

Pairs of one group, d = 32, float64; every pass draws them again. Prints seconds, passes, peak memory, what the pairs
would take if they were kept, and how far the estimate lies from the truth beside what theory says of that distance.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from sim.estimators.bradley_terry import FitStatus, fit_bradley_terry_blocks
from sim.populations.feature_pairs import PairBlocks
from sim.preferences import FloatArray
from sim.streams import Stream

_D = 32


class _Counted(PairBlocks):
    drawn = 0

    def __getitem__(self, place: int) -> FloatArray:
        found = super().__getitem__(place)
        self.drawn += len(found)
        return found


def measure(pairs: int) -> dict[str, float]:
    """Of a sample of so many pairs."""
    theta = Stream(7, role="theta").normals(_D) / 4
    blocks = _Counted(theta, pairs, Stream(7, role="pairs"))
    began = time.perf_counter()
    fitted = fit_bradley_terry_blocks(blocks)
    seconds = time.perf_counter() - began
    assert fitted.status is FitStatus.CONVERGED
    # The information of an answer, from pairs of the same law: the distance's square is its inverse's trace over n.
    x = PairBlocks(theta, 200_000, Stream(8), block=200_000)[0]
    chance = 1 / (1 + np.exp(-(x @ theta)))
    information = x.T @ (x * (chance * (1 - chance))[:, None]) / len(x)
    return {
        "pairs": pairs, "seconds": seconds, "passes": blocks.drawn / pairs,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "kept_gib": pairs * _D * 8 / 2**30,
        "distance": float(np.linalg.norm(fitted.theta - theta)),
        "distance_in_theory": float(np.sqrt(np.trace(np.linalg.inv(information)) / pairs)),
    }  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("pairs", nargs="?", type=int, default=100_000_000)
    options.add_argument("--json", action="store_true", help="print only JSON")
    asked = options.parse_args()
    found = measure(asked.pairs)
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"{found['pairs']:,} pairs in {found['seconds']:.0f} s, each drawn {found['passes']:.1f} times; peak "
        f"{found['peak_gib']:.2f} GiB (kept, they are {found['kept_gib']:.1f}); |theta^ - theta| = "
        f"{found['distance']:.2e}, in theory {found['distance_in_theory']:.2e}"
    )


if __name__ == "__main__":
    main()
