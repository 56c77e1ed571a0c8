"""Claims about POP-DPO (arXiv 2405.00254, Algorithm 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.aggregation import aggregate
from sim.algorithms.pooling import pool_opinions
from sim.algorithms.pop_dpo import pooled_pairs, pop_dpo, pop_dpo_optimum
from sim.policies.finite import log_softmax
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import FloatArray, PreferencePairs
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.personalization import PAPER
from theory.personalization._instances import DERIVED, simplex_points


@dataclass(frozen=True)
class FixedPointSetting(Setting):
    """majority: the preferred answer is the pool's favourite, not a draw from the pool.  normalised: rewards behind the
    opinions share their log-partition."""

    replicates: int = 250
    majority: bool = False
    normalised: bool = True


def _fitted(P: FloatArray, alpha: float, beta: float, reference: FloatArray, majority: bool) -> FloatArray:
    """Policies of POP-DPO on n questions; P (N, n, 2), reference (n, 2)."""
    n = len(reference)
    pairs = pooled_pairs(np.arange(n), np.tile([0, 1], (n, 1)), P, alpha)
    if majority:
        weight = np.asarray(pairs.weights)
        pairs = PreferencePairs(
            pairs.contexts, pairs.chosen, pairs.rejected, pairs.annotator, 1, weights=(weight > 0.5).astype(np.float64)
        )
    policy = SoftmaxTable(reference, beta=beta, ridge=1e-11)
    pop_dpo(policy, pairs)
    return np.asarray(np.exp(log_softmax(policy.table / beta + np.log(reference))))


class ResampledFixedPoint(Theorem[FixedPointSetting]):
    """The expected loss of Algorithm 5 is least at pi_old(a) q(a)^(1 / beta), normalised, q the pooled opinion: fitted
    by weighted DPO on a softmax table (ridge 1e-11), against the formula. 5 questions, 3 annotators, alpha random.
    Value: largest relative difference of a probability. Control: the pool's favourite instead of a draw, whose loss has
    no minimum: the policy becomes deterministic."""

    claim_id, paper, source = "resampled-fixed-point", PAPER.name, f"{DERIVED}, Algorithm 5"
    statement = "POP-DPO's optimum is pi_old q^(1 / beta)."
    SETTINGS = {"as_stated": Variant(FixedPointSetting())}

    def bound(self, setting: FixedPointSetting) -> Bound:
        return EveryDraw(1e-5)

    def draw(self, setting: FixedPointSetting, stream: Stream) -> float:
        P = simplex_points((3, 5, 2), stream.child("opinions"), concentration=3.0)
        reference = simplex_points((5, 2), stream.child("reference"), concentration=3.0)
        alpha, beta = float(4.0 * stream.child("alpha").uniforms(1)[0] - 2.0), 0.5
        found = _fitted(P, alpha, beta, reference, setting.majority)
        wanted = pop_dpo_optimum(reference, pool_opinions(np.moveaxis(P, 0, 1), alpha), beta)
        return float(np.abs(found / wanted - 1.0).max())

    def control(self, setting: FixedPointSetting) -> tuple[Control[FixedPointSetting], ...]:
        return (Control("the majority's answer", replace(setting, majority=True)),)


class ResampledIsAggregated(Theorem[FixedPointSetting]):
    """With opinions proportional to exp(R_i), rewards of one log-partition, the same optimum is
    pi_old exp(Agg_alpha(R) / beta): POP-DPO reaches the KL-regularised optimum of the aggregated reward without ever
    fitting a reward. Control: rewards as they come."""

    claim_id, paper, source = "resampled-is-aggregated", PAPER.name, f"{DERIVED}, Algorithm 5 with Theorem 4.3"
    statement = "POP-DPO optimises the aggregated reward against the old policy."
    SETTINGS = {"as_corrected": Variant(FixedPointSetting())}

    def bound(self, setting: FixedPointSetting) -> Bound:
        return EveryDraw(1e-5)

    def draw(self, setting: FixedPointSetting, stream: Stream) -> float:
        R = 1.5 * stream.child("rewards").normals((3, 5, 2))
        P = np.exp(log_softmax(R))
        if setting.normalised:
            R = log_softmax(R)
        reference = simplex_points((5, 2), stream.child("reference"), concentration=3.0)
        alpha, beta = float((-2.0, -1.0, 1.0, 2.0)[stream.replicate % 4]), 0.5
        found = _fitted(P, alpha, beta, reference, False)
        aggregated = aggregate(np.moveaxis(R, 0, 1), alpha)
        wanted = np.exp(log_softmax(np.log(reference) + aggregated / beta))
        return float(np.abs(found / wanted - 1.0).max())

    def control(self, setting: FixedPointSetting) -> tuple[Control[FixedPointSetting], ...]:
        return (Control("rewards as they come", replace(setting, normalised=False)),)


THEOREMS = (ResampledFixedPoint(), ResampledIsAggregated())
