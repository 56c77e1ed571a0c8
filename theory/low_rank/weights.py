"""Answers with weights: what a weight of the rank-constrained likelihood means."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.estimators.low_rank import Method, fit_low_rank
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size

_METHODS: tuple[Method, ...] = ("alternating", "quasi_newton")


@dataclass(frozen=True)
class WeightSetting(Setting):
    """weighted: weights are given to the fit, or left out."""

    replicates: int = 150
    weighted: bool = True


class WeightsAreRepeats(Theorem[WeightSetting]):
    """The objective (1 / sum w) sum_i w_i [-log sigma(x_i' Theta z_i)] with whole weights is that of a sample in which
    answer i stands w_i times, so both have one minimum over rank r. Value: how far the loss of the weighted fit is
    from that of the fit to the repeated answers, on these, nats an answer. (4, 5, 2), n = 400; weights 2 and 3 in
    every other draw, so that none is 1, and 1 to 4 in the others; alternating and quasi-Newton in turn.

    Control: the weights left out."""

    claim_id, paper, source = "low-rank-weights", PAPER.name, f"{RECONSTRUCTED}: rank-constrained likelihood"
    statement = "An answer of weight w counts as w answers."
    cost = 1.0
    SETTINGS = {"as_stated": Variant(WeightSetting())}

    def bound(self, setting: WeightSetting) -> Bound:
        return EveryDraw(1e-7)

    def draw(self, setting: WeightSetting, stream: Stream) -> float:
        world = Size(4, 5, 2, ratio=1.5).world(stream)
        x, z = world.comparisons(400, stream.child("answers"))
        low, number = ((2, 2), (1, 4))[stream.replicate % 2]
        weights = low + stream.child("weights").integers(number, 400)
        method = _METHODS[stream.replicate // 2 % 2]
        given = weights.astype(np.float64) if setting.weighted else None
        own = fit_low_rank(x, z, 2, weights=given, ridge=1e-6, method=method, tolerance=1e-12).theta
        rows = np.repeat(np.arange(400), weights)
        repeated = fit_low_rank(x[rows], z[rows], 2, ridge=1e-6, method=method, tolerance=1e-12).theta

        def loss(theta: FloatArray) -> float:
            margins = ((x[rows] @ theta) * z[rows]).sum(axis=1)
            return float(np.logaddexp(0.0, -margins).mean() + 0.5e-6 * (theta**2).sum())

        return abs(loss(own) - loss(repeated))

    def control(self, setting: WeightSetting) -> tuple[Control[WeightSetting], ...]:
        return (Control("the weights left out", replace(setting, weighted=False)),)


THEOREMS = (WeightsAreRepeats(),)
