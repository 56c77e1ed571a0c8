"""How far rewards lie from what they are shrunk to, as the answers have it and not the ridge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sim.choice_sets import ChoiceSets
from sim.estimators.choice_panel import derivatives
from sim.preferences import FloatArray
from sim.streams import Stream

# Ridges between which the likeliest is sought, on features of standard deviation 1.
_LEAST, _LARGEST = 1e-3, 1e4
_DRAWS, _STEPS = 200, 100


@dataclass(frozen=True, eq=False)
class Shrunk:
    """A fitted reward that a ridge shrank: its (k,) coordinates, the information in its answers and the covariance of
    their gradient, both (k, k)."""

    fitted: FloatArray
    information: FloatArray
    varies: FloatArray
    ridge: float


def spread_of(heads: Iterable[Shrunk]) -> float:
    """tau^2, the mean square of the coordinates of true rewards, by the method of moments; 0 where answers alone make
    the fitted ones as large.  Of rewards of many answers, which a ridge shrinks little.

    With v of mean 0 and variance tau^2 in each coordinate the fitted one is H^-1 (I v + g), H = I + ridge, and

        E sum |v_fitted|^2 = tau^2 sum tr(I H^-2 I) + sum tr(H^-1 K H^-1)                           [derived]
    """
    above = moves = 0.0
    for head in heads:
        inverse = np.linalg.inv(head.information + head.ridge * np.eye(len(head.fitted)))
        carried = inverse @ head.information
        above += float(head.fitted @ head.fitted) - float(np.trace(inverse @ head.varies @ inverse))
        moves += float((carried**2).sum())
    return max(0.0, above / moves) if moves > 0 else 0.0


def spread_of_people(people: Sequence[ChoiceSets]) -> float:
    """tau^2 = 1 / ridge at the ridge of largest evidence, where everybody has a few answers.

        sum_i log E_v exp LL_i(v),   v ~ N(0, 1 / ridge)         [MacKay, Neural Computation 4(3), 1992, section 4]

    each mean over v by importance sampling from the normal at the mode, antithetic: Laplace's approximation alone finds
    half of tau^2 where 21 binary answers are about 16 features.  The ridge of the best held-out likelihood is larger
    than this one: rewards that are put in for what they are have margins that are too sure, and shrinking makes up for
    it.  people: each one's choices on the k coordinates.
    """
    from scipy.optimize import minimize_scalar

    if not people:
        return 0.0
    own = [_of_their_span(one) for one in people]
    # The same for all ridges, or noise would choose among them.
    draws = Stream(0, role="spread").normals((max(one.rows.shape[1] for one in own), _DRAWS))
    draws = np.concatenate([draws, -draws], axis=1)
    found = minimize_scalar(
        lambda log_ridge: -sum(_evidence(one, float(np.exp(log_ridge)), draws) for one in own),
        bounds=(np.log(_LEAST), np.log(_LARGEST)), method="bounded", options={"xatol": 0.05},
    )  # fmt: skip
    return float(np.exp(-found.x))


def _of_their_span(sets: ChoiceSets) -> ChoiceSets:
    """Coordinates that no answer is about stay at zero, and leave the evidence."""
    m, k = sets.rows.shape
    return sets.projected(np.linalg.qr(sets.rows.T)[0], np.zeros(m)) if m < k else sets


def _evidence(sets: ChoiceSets, ridge: float, draws: FloatArray) -> float:
    """The mode by Newton's steps with halving: the objective is concave, and 1e-6 nats move no ridge."""
    v = np.zeros(sets.rows.shape[1])
    value, gradient, information = derivatives(v, sets)
    for _ in range(_STEPS):
        step = np.linalg.solve(information + ridge * np.eye(len(v)), gradient - ridge * v)
        gain = float(step @ (gradient - ridge * v))
        if gain < 1e-6:
            break
        size, before = 1.0, value - 0.5 * ridge * float(v @ v)
        while size > 1e-6:
            ahead = v + size * step
            value, gradient, information = derivatives(ahead, sets)
            if value - 0.5 * ridge * float(ahead @ ahead) >= before + 0.25 * size * gain:
                break
            size /= 2.0
        v = ahead
    # v = mode + L^-T z, L L' the precision there: each draw's joint density over that of the normal it came from.
    precision = information + ridge * np.eye(len(v))
    lower = np.linalg.cholesky(precision)
    drawn = v[:, None] + np.linalg.solve(lower.T, draws[: len(v)])
    score = sets.weights @ _log_chosen(sets, drawn) - 0.5 * ridge * (drawn**2).sum(axis=0)
    score += 0.5 * (draws[: len(v)] ** 2).sum(axis=0)
    half_log_det = np.log(np.diag(lower)).sum() - 0.5 * len(v) * np.log(ridge)
    return float(np.logaddexp.reduce(score) - np.log(score.size) - half_log_det)


def _log_chosen(sets: ChoiceSets, thetas: FloatArray) -> FloatArray:
    """log P of each choice under each theta; (d, S) -> (E, S)."""
    others = -(sets.offset[:, None] + sets.rows @ thetas)
    firsts, sizes = sets.starts[:-1], np.diff(sets.starts)
    top = np.maximum(np.maximum.reduceat(others, firsts), 0.0)
    mass = np.exp(-top) + np.add.reduceat(np.exp(others - np.repeat(top, sizes, axis=0)), firsts)
    return np.asarray(-(top + np.log(mass)))
