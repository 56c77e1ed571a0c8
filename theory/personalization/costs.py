"""What the mechanism charges: never less than nothing, and what an annotator costs the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Theorem, Variant
from theory.personalization import PAPER
from theory.personalization._instances import ARXIV, simplex_points
from theory.personalization._mechanisms import (
    ALPHAS,
    MechanismSetting,
    broken,
    mechanism_of,
)


class CostsNotNegative(Theorem[MechanismSetting]):
    """c_i >= 0, so the mechanism never pays out; where all agree, nobody is charged, and where they do not somebody is:
    the others' sum of distances is strictly convex and least without her. Value: the largest of -min c_i, the largest
    cost under unanimity, and 1 where nobody is charged for opinions that differ. Control: with the distance of another
    alpha the consensus is no minimum and some costs are negative. Utilities are <= 0: taking part is not always worth
    it, and the paper does not say it is.
    """

    claim_id, paper, source = "costs-not-negative", PAPER.name, f"{ARXIV}, eq. (5.1)"
    statement = "Costs are never negative, and all zero where annotators agree and only there."
    SETTINGS = {"as_stated": Variant(MechanismSetting())}

    def bound(self, setting: MechanismSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: MechanismSetting, stream: Stream) -> float:
        mechanism = mechanism_of(setting, stream)
        P = simplex_points((4, 3), stream.child("opinions"))
        agreed = np.tile(P[0], (4, 1))
        costs = mechanism.outcome(P).costs
        free = float(costs.max() <= 0.0)
        return float(max(-costs.min(), np.abs(mechanism.outcome(agreed).costs).max(), free))

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        return broken(setting)[1:]


def _loss(opinions: FloatArray, q: FloatArray, alpha: float) -> tuple[float, FloatArray]:
    """sum_j d_alpha(P_j, q) and its gradient in q, written out; opinions (n, K), q (K,)."""
    if alpha == 0.0:
        return float((q * np.log(q / opinions)).sum()), (np.log(q / opinions) + 1.0).sum(axis=0)
    slope = -((opinions / q) ** alpha).sum(axis=0) / alpha
    if alpha == 1.0:
        return float((opinions * np.log(opinions / q)).sum()), slope
    return float((1.0 - (opinions**alpha * q ** (1.0 - alpha)).sum(axis=1)).sum() / (alpha * (1.0 - alpha))), slope


def _least_loss(opinions: FloatArray, alpha: float) -> float:
    """min over the simplex of sum_j d_alpha(P_j, q), by BFGS over log-odds."""

    def loss(z: FloatArray) -> tuple[float, FloatArray]:
        q = np.exp(np.append(z, 0.0))
        q /= q.sum()
        value, slope = _loss(opinions, q, alpha)
        return value, (q * (slope - slope @ q))[:-1]

    start = np.log(opinions.mean(axis=0))
    return float(minimize(loss, (start - start[-1])[:-1], jac=True, method="BFGS", options={"gtol": 1e-9}).fun)


class CostsAreExternalities(Theorem[MechanismSetting]):
    """u_i = -d(p_i, x) - (sum_{j != i} d(P_j, x) - min_q sum_{j != i} d(P_j, q)), whatever is reported: an annotator
    pays what the others lose at the consensus against their own optimum. N = 4, K = 3, Dirichlet(1.5) opinions and
    reports, alpha = -1, 0, 1/2, 1, 2 and the annotators in turn. The distances are written out here and the optimum is
    found by BFGS; of the mechanism only the consensus and the utility are taken. Value: the difference, nats. Truth
    stays a dominant strategy under any pivot that the annotator does not move, so `truthful` cannot tell the paper's
    from another: controls without it and with the others' linear pool.
    """

    claim_id, paper, source = "costs-are-externalities", PAPER.name, f"{ARXIV}, eq. (5.1)"
    statement = "An annotator is charged what the others lose by her report against their best outcome without her."
    SETTINGS = {"as_stated": Variant(MechanismSetting())}

    def bound(self, setting: MechanismSetting) -> Bound:
        return EveryDraw(1e-7)

    def draw(self, setting: MechanismSetting, stream: Stream) -> float:
        mechanism, i = mechanism_of(setting, stream), stream.replicate // len(ALPHAS) % 4
        opinions, reports = simplex_points((2, 4, 3), stream.child("opinions"))
        x, alpha = mechanism.outcome(reports).consensus, ALPHAS[stream.replicate % len(ALPHAS)]
        others = np.delete(reports, i, axis=0)
        own, now = (_loss(rows, x, alpha)[0] for rows in (opinions[i : i + 1], others))
        wanted = -own - (now - _least_loss(others, alpha))
        return float(abs(mechanism.utilities(opinions, reports)[i] - wanted))

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        return (
            Control("the distance of another alpha", replace(setting, mismatched=True)),
            Control("seven tenths of the costs", replace(setting, payment="too low")),
            Control("costs charged to the annotator opposite", replace(setting, payment="misdirected")),
            Control("without the pivot", replace(setting, payment="no pivot")),
            Control("the others' linear pool as the pivot", replace(setting, payment="linear pivot")),
        )


THEOREMS = (CostsNotNegative(), CostsAreExternalities())
