"""What a fit says of how it ended: converged, out of rounds, separable."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.estimators.bradley_terry import FitStatus
from sim.estimators.low_rank import Method, fit_low_rank
from sim.estimators.shared_representation import fit_shared
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size

_METHODS: tuple[Method, ...] = ("alternating", "quasi_newton")
_ANNOTATORS = 20


@dataclass(frozen=True)
class EndingSetting(Setting):
    """rounds: of the fits that are to converge."""

    replicates: int = 100
    rounds: int = 1000


def _length(theta: FloatArray, x: FloatArray, z: FloatArray) -> float:
    """Largest entry of the gradient of the mean loss along the matrices of theta's rank (2), per answer."""
    missed = 1.0 / (1.0 + np.exp(((x @ theta) * z).sum(axis=1)))
    slope = -(x * missed[:, None]).T @ z / len(x)
    left, _, right = np.linalg.svd(theta, full_matrices=False)
    p, q = left[:, :2] @ left[:, :2].T, right[:2].T @ right[:2]
    return float(np.abs(slope - (np.eye(len(p)) - p) @ slope @ (np.eye(len(q)) - q)).max())


class FitEndings(Theorem[EndingSetting]):
    """A fit is not the maximum because it came back: it says whether it converged. With rounds enough the low-rank and
    the shared fit say that they did, and the slope of the likelihood along the matrices of their rank is below 10^-4
    nats an answer; with one round they say that rounds ran out. `separable` is said where every answer is on the right
    side of the fitted reward, and only there: 400 answers by Bradley-Terry are not, 30 answers without noise are.

    Value: how many of these statements a draw breaks. (4, 5, 2), alternating and quasi-Newton in turn. Control: one
    round where a thousand are promised."""

    claim_id, paper, source = "fit-endings", PAPER.name, f"{RECONSTRUCTED}: rank-constrained likelihood"
    statement = "A fit says that it converged where it did, and that answers are separable where they are."
    cost = 1.0
    SETTINGS = {"as_stated": Variant(EndingSetting())}

    def bound(self, setting: EndingSetting) -> Bound:
        return EveryDraw(0.0)

    def draw(self, setting: EndingSetting, stream: Stream) -> float:
        world = Size(4, 5, 2, ratio=1.5).world(stream)
        x, z = world.comparisons(400, stream.child("answers"))
        method = _METHODS[stream.replicate % 2]
        whole = fit_low_rank(x, z, 2, ridge=1e-9, method=method, max_rounds=setting.rounds)
        broken = int(whole.status is not FitStatus.CONVERGED) + int(_length(whole.theta, x, z) > 1e-4)
        short = fit_low_rank(x, z, 2, ridge=1e-9, method=method, tolerance=1e-14, max_rounds=1)
        broken += short.status is not FitStatus.MAX_STEPS
        sure = np.where(((x @ world.theta) * z).sum(axis=1)[:, None] > 0, z, -z)[:30]
        few = fit_low_rank(x[:30], sure, 2, ridge=1e-4, method=method)
        for found, own, signed in ((whole, x, z), (few, x[:30], sure)):
            broken += found.separable != bool((((own @ found.theta) * signed).sum(axis=1) > 0).all())
        who = np.arange(400) % _ANNOTATORS
        broken += fit_shared(z, who, _ANNOTATORS, 2, max_rounds=setting.rounds).status is not FitStatus.CONVERGED
        one = fit_shared(z, who, _ANNOTATORS, 2, tolerance=1e-14, max_rounds=1)
        return float(broken + (one.status is not FitStatus.MAX_STEPS))

    def control(self, setting: EndingSetting) -> tuple[Control[EndingSetting], ...]:
        return (Control("one round", replace(setting, rounds=1)),)


THEOREMS = (FitEndings(),)
