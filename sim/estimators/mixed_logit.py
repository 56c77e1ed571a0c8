"""Mixed logit of choices by people: each has coefficients of her own, normal in the population.

theta_i = mean + L eps_i,  eps_i ~ N(0, I)  [Revelt and Train 1998; Train, Discrete Choice Methods, chapter 6]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from sim.arguments import float_array, index_array, require_count, require_not_negative
from sim.choice_sets import ChoiceSets
from sim.estimators.choice_panel import choice_panel
from sim.estimators.clustered_errors import (
    ConditionalLogit,
    LogitStatus,
    clustered_covariance,
    conditional_logit,
    inverse,
    limits_by_person,
)
from sim.estimators.panel_draws import normal_draws
from sim.estimators.simulated_likelihood import SimulatedLikelihood, free_entries, whitening
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

# Step of the Hessian's differences, in standard errors.
_STEP = 1e-3
# Curvature, over that of the scores' outer product, below which there are no classical standard errors.
_FLAT = 1e-6
# Classical errors from 0 within which scores say nothing of a deviation.
_NEAR = 2.0


class MixedStatus(IntEnum):
    """How a fit ended."""

    CONVERGED = 0
    MAX_STEPS = 1
    STALLED = 2
    FLAT = 3

    @property
    def message(self) -> str:
        """What happened and what to do."""
        return {
            MixedStatus.CONVERGED: "the gradient is below its tolerance",
            MixedStatus.MAX_STEPS: "the step limit was reached first; raise max_steps",
            MixedStatus.STALLED: "no step improved the likelihood; scale the features, or start elsewhere",
            MixedStatus.FLAT: "the likelihood is not curved in some direction, so that there are no classical standard "
            "errors; let fewer coefficients be random, or raise draws",
        }[self]


@dataclass(frozen=True, eq=False)
class MixedLogit:
    """What was found; G people with choices, d coefficients of which those of `random` (q,) vary, p parameters.

    mean (d,); factor (q, q), lower triangular with a diagonal of at least 0: covariance of the random coefficients =
    factor factor'.  log_likelihood, simulated; doubled: the same parameters' under twice the draws, fresh ones.
    parameters (p,): mean, then factor's free entries, row by row; covariance (p, p): inverse of minus the Hessian;
    outer (p, p): inverse of the scores' outer product; clustered (p, p): the sandwich by person.  scores (N, p).
    conditional_means (N, d): E[theta_i | her choices], the mean for who made none.  logit_log_likelihood: of the
    conditional logit.  decrement: about twice what is left to gain, nats.  people: G.
    """

    mean: FloatArray
    factor: FloatArray
    random: IntArray
    correlated: bool
    draws: int
    log_likelihood: float
    doubled: float
    parameters: FloatArray
    covariance: FloatArray
    outer: FloatArray
    clustered: FloatArray
    scores: FloatArray
    conditional_means: FloatArray
    logit_log_likelihood: float
    steps: int
    decrement: float
    status: MixedStatus
    people: int

    @property
    def deviations(self) -> FloatArray:
        """Standard deviations (d,) over people, zero where a coefficient is the same for all."""
        out = np.zeros(len(self.mean))
        out[self.random] = np.linalg.norm(self.factor, axis=1)
        return out

    def mean_errors(self, covariance: FloatArray | None = None) -> FloatArray:
        """Standard errors (d,) of the means, from `covariance` (default: the classical one)."""
        own = self.covariance if covariance is None else covariance
        return np.sqrt(np.diag(own)[: len(self.mean)])

    def mean_limits(self, level: float = 0.95) -> FloatArray:
        """(d, 2) of the means by the errors clustered by person, see `limits_by_person`."""
        return limits_by_person(self.mean, self.mean_errors(self.clustered), self.people, level)

    def deviation_errors(self, covariance: FloatArray | None = None) -> FloatArray:
        """Standard errors (d,) of the standard deviations, by the delta method; NaN where they do not vary.

        Of another covariance than the classical one NaN too of a deviation within two classical errors of 0, where the
        likelihood turns round: scores, 0 at 0, say nothing of how far it may be (the sandwich's limits held .66).
        """
        classical = self._deviation_errors(self.covariance)
        if covariance is None:
            return classical
        return np.where(self.deviations > _NEAR * classical, self._deviation_errors(covariance), np.nan)

    def _deviation_errors(self, own: FloatArray) -> FloatArray:
        d, q = len(self.mean), len(self.random)
        out = np.full(d, np.nan)
        sizes = np.linalg.norm(self.factor, axis=1)
        slopes = np.where(sizes[:, None] > 0, self.factor, np.eye(q)) / np.where(sizes > 0, sizes, 1.0)[:, None]
        places = free_entries(q, self.correlated)
        for a, k in enumerate(self.random):
            slope = np.where(places[0] == a, slopes[places], 0.0)
            out[k] = np.sqrt(slope @ own[d:, d:] @ slope)
        return out


class _Ended(NamedTuple):
    """How the search went; start: the conditional logit's log-likelihood."""

    draws: int
    doubled: float
    start: float
    steps: int
    decrement: float
    status: MixedStatus


# Long for its docstring.
def mixed_logit(
    *,
    rows: Any,
    starts: Any,
    annotator: Any,
    n_annotators: int | None = None,
    weights: Any = None,
    random: Sequence[int] | IntArray,
    correlated: bool = False,
    draws: int = 256,
    kind: str = "sobol",
    antithetic: bool = False,
    stream: Stream | None = None,
    start: FloatArray | None = None,
    tolerance: float = 1e-6,
    max_steps: int = 500,
) -> MixedLogit:
    """Maximise sum_i log (1/R) sum_r prod_{e of i} P_e(mean + L eps_ir)^w_e by BFGS with the exact gradient.

    log P_e(theta) = -log(1 + sum_j exp(-<theta, row_j>)), see `sim.estimators.choice_panel`.  random: numbers of the
    coefficients that vary over people, none: the conditional logit.  correlated: L lower triangular, else diagonal.
    draws, kind, antithetic: R a person, see `panel_draws.normal_draws`.  start: parameters (p,), see `MixedLogit`;
    default the conditional logit's theta and half of its size as deviations.

    Steps are taken in units of standard errors (by the outer product of the scores), so that no scale of a feature
    matters; stops when g' B g, about twice what is left to gain in nats, is at most tolerance.  Errors: ValueError,
    also where the choices are separated.
    """
    sets = choice_panel(rows=rows, starts=starts, annotator=annotator, n_annotators=n_annotators, weights=weights)
    d = sets.rows.shape[1]
    vary = np.unique(index_array("random", np.asarray(random, dtype=np.int64) if len(random) == 0 else random, d))
    require_not_negative(tolerance=tolerance)
    require_count("max_steps", max_steps, 0)
    own = Stream(role="mixed logit") if stream is None else stream
    ordered, people = sets.ordered()

    def likelihood(R: int, at: Stream) -> SimulatedLikelihood:
        eps = normal_draws(sets.n_annotators, len(vary), R, at, kind=kind, antithetic=antithetic)
        return SimulatedLikelihood(ordered, people, vary, correlated, eps, information)

    require_count("draws", draws)
    parameters, logit_value, information = _start(sets, vary, correlated, start)
    simulated = likelihood(draws if len(vary) else 1, own)
    parameters, steps, decrement = _maximise(simulated, parameters, tolerance, max_steps)
    simulated, parameters = _signed(simulated, parameters)
    doubled = likelihood(2 * draws if len(vary) else 1, own.child("doubled")).value(parameters)[0]
    status = MixedStatus.CONVERGED
    if decrement > tolerance:
        status = MixedStatus.MAX_STEPS if steps >= max_steps else MixedStatus.STALLED
    return _result(simulated, parameters, _Ended(draws, doubled, logit_value, steps, decrement, status))


def _start(
    sets: ChoiceSets, vary: IntArray, correlated: bool, start: FloatArray | None
) -> tuple[FloatArray, float, FloatArray]:
    """(parameters, the conditional logit's log-likelihood and its information (p,) of each parameter's coefficient)."""
    logit = conditional_logit(
        rows=sets.rows, starts=sets.starts, annotator=sets.annotator, n_annotators=sets.n_annotators,
        weights=sets.weights,
    )  # fmt: skip
    if logit.status is LogitStatus.SEPARATED:
        raise ValueError(f"rows must not be separable: {logit.status.message}")
    _require_spread(logit, vary, len(sets.answered))
    rows, columns = free_entries(len(vary), correlated)
    information = -np.diag(logit.hessian)[np.concatenate([np.arange(len(logit.theta)), vary[rows]])]
    if start is not None:
        given = float_array("start", start, (len(logit.theta) + len(rows),)).copy()
        return given, logit.log_likelihood, information
    # Not zero: there the likelihood is flat in every deviation.
    size = np.maximum(0.5 * np.abs(logit.theta), logit.clustered_errors)
    entries = np.where(rows == columns, size[vary][rows], 0.0)
    return np.concatenate([logit.theta, entries]), logit.log_likelihood, information


def _require_spread(logit: ConditionalLogit, vary: IntArray, n_people: int) -> None:
    """Where nobody's choices pull a coefficient away from the common one, its deviation is 0 or anything."""
    if len(vary) and n_people == 1:
        raise ValueError(
            "annotator must be two or more people with choices for coefficients that vary over people (got 1); give "
            "more people's choices, or no random coefficients: the conditional logit"
        )
    unseen = vary[~logit.spread_seen[vary]].tolist()
    if unseen:
        raise ValueError(
            f"random must not have the columns {unseen}: nobody's choices pull their coefficients away from those of "
            "all, so that nothing is known of how they vary over people; leave them out, or take the conditional logit"
        )


def _maximise(
    likelihood: SimulatedLikelihood, parameters: FloatArray, tolerance: float, max_steps: int
) -> tuple[FloatArray, int, float]:
    """(parameters, steps, decrement g' B g): BFGS, its units renewed until they agree that there is nothing to gain."""
    from scipy.optimize import minimize

    steps, moved = 0, True
    while True:
        _, scores, _ = likelihood.by_person(parameters)
        units = whitening(scores, likelihood.information)
        decrement = float(np.sum((scores.sum(axis=0) @ units) ** 2))
        if decrement <= tolerance or steps >= max_steps or not moved:
            return parameters, steps, decrement
        objective = _in_units(likelihood, parameters, units)
        limits = {"gtol": 0.5 * np.sqrt(tolerance / len(parameters)), "maxiter": max_steps - steps, "norm": np.inf}
        found = minimize(objective, np.zeros(len(parameters)), jac=True, method="BFGS", options=limits)
        steps += int(found.nit)
        moved = found.nit > 0
        parameters = parameters + units @ found.x


def _in_units(
    likelihood: SimulatedLikelihood, centre: FloatArray, units: FloatArray
) -> Callable[[FloatArray], tuple[float, FloatArray]]:
    def objective(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = likelihood.value(centre + units @ z)
        return -value, -(gradient @ units)

    return objective


def _signed(likelihood: SimulatedLikelihood, parameters: FloatArray) -> tuple[SimulatedLikelihood, FloatArray]:
    """The same covariance with a factor whose diagonal is not negative: a column's sign is nobody's.

    The draws along a column that is turned are turned with it, L eps = (L S) (S eps): under those that there were, the
    optimum would be another.
    """
    mean, factor = likelihood.split(parameters)
    sign = np.where(np.diag(factor) < 0, -1.0, 1.0)
    turned = replace(likelihood, draws=likelihood.draws * sign[:, None])
    return turned, np.concatenate([mean, (factor * sign)[free_entries(len(factor), likelihood.correlated)]])


def information_matrix(likelihood: SimulatedLikelihood, parameters: FloatArray) -> FloatArray:
    """(p, p) minus the Hessian, by central differences of the exact gradient over a thousandth of a standard error."""
    units = whitening(likelihood.by_person(parameters)[1], likelihood.information)
    slopes = np.empty(units.shape)
    for k, unit in enumerate(units.T):
        sides = [likelihood.value(parameters + sign * _STEP * unit)[1] for sign in (-1.0, 1.0)]
        slopes[k] = (sides[0] - sides[1]) @ units / (2 * _STEP)
    back = np.linalg.inv(units)
    return np.asarray(back.T @ (0.5 * (slopes + slopes.T)) @ back)


def _result(likelihood: SimulatedLikelihood, parameters: FloatArray, ended: _Ended) -> MixedLogit:
    values, scores, means = likelihood.by_person(parameters)
    units = whitening(scores, likelihood.information)
    information = information_matrix(likelihood, parameters)
    status, nothing = ended.status, np.full(information.shape, np.nan)
    if np.linalg.eigvalsh(units.T @ information @ units)[0] <= _FLAT:
        status, covariance, clustered = MixedStatus.FLAT, nothing, nothing.copy()
    else:
        covariance = inverse(information)
        clustered = clustered_covariance(information, scores, len(likelihood.sets.answered))
    mean, factor = likelihood.split(parameters)
    # Who made no choice that counts has only the draws, whose mean is not quite 0.
    means[np.setdiff1d(np.arange(len(means)), likelihood.sets.answered)] = mean
    return MixedLogit(
        mean, factor, likelihood.random, likelihood.correlated, ended.draws, float(values.sum()), ended.doubled,
        parameters, covariance, units @ units.T, clustered, scores, means, ended.start, ended.steps, ended.decrement,
        status, len(likelihood.sets.answered),
    )  # fmt: skip
