"""Mechanisms, right and wrong ones, and what the claims about them draw and search."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.mechanism import (
    Mechanism,
    Outcome,
    floored,
)
from sim.algorithms.opinion_distances import opinion_distance
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.theorem import Control, Measurement, Setting, Theorem
from theory.personalization._instances import simplex_points

ALPHAS = (-1.0, 0.0, 0.5, 1.0, 2.0)
Payment = Literal["", "too low", "too high", "misdirected", "pivot on the report", "no pivot", "linear pivot"]


@dataclass(frozen=True)
class MechanismSetting(Setting):
    """mismatched: the distance of another alpha (the pool's plus one); infinite: the min rule with d_0; charged: with
    the costs; payment: what is wrong with the costs."""

    replicates: int = 130
    charged: bool = True
    mismatched: bool = False
    infinite: bool = False
    payment: Payment = ""


@dataclass(frozen=True)
class WrongPayments(Mechanism):
    """The mechanism with one mistake in what it charges."""

    payment: Payment = ""

    def outcome(self, reports: FloatArray) -> Outcome:
        own = super().outcome(reports)
        costs = own.costs
        # No mistake here is undone by another of its kind in the mechanism itself (a half by a double, a shift by one
        # back): a control that came out right would hide behind "inconclusive" what the claim sees.
        if self.payment == "too low":
            costs = 0.7 * costs
        elif self.payment == "too high":
            costs = 1.5 * costs
        elif self.payment == "misdirected":
            costs = costs[..., ::-1]
        elif self.payment == "pivot on the report":
            # Half of the agent's own distance to the consensus is taken off: the pivot is not the others' alone.
            costs = costs - 0.5 * opinion_distance(floored(reports), own.consensus[..., None, :], self.distance)
        elif self.payment in ("no pivot", "linear pivot"):
            costs = self._pivoted(floored(reports), own.consensus)
        return Outcome(own.consensus, np.asarray(costs))

    def _pivoted(self, reports: FloatArray, consensus: FloatArray) -> FloatArray:
        """What the others lose at the consensus, less what they lose at their linear pool; (..., N)."""
        costs = np.empty(reports.shape[:-1])
        for i in range(reports.shape[-2]):
            others = np.delete(reports, i, axis=-2)
            costs[..., i] = opinion_distance(others, consensus[..., None, :], self.distance).sum(axis=-1)
            if self.payment == "linear pivot":
                then = opinion_distance(others, others.mean(axis=-2, keepdims=True), self.distance)
                costs[..., i] -= then.sum(axis=-1)
        return costs


def mechanism_of(setting: MechanismSetting, stream: Stream) -> Mechanism:
    """Each draw has one of five alphas in turn."""
    if setting.infinite:
        return Mechanism(-np.inf, distance_alpha=0.0, charged=setting.charged)
    alpha = ALPHAS[stream.replicate % len(ALPHAS)]
    distance = alpha + 1.0 if setting.mismatched else None
    if setting.payment:
        return WrongPayments(alpha, distance, setting.charged, setting.payment)
    return Mechanism(alpha, distance_alpha=distance, charged=setting.charged)


def broken(setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
    return (
        Control("no costs", replace(setting, charged=False)),
        Control("the distance of another alpha", replace(setting, mismatched=True)),
        Control("infinite alpha", replace(setting, infinite=True)),
    )


def mispaid(setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
    return (
        Control("seven tenths of the costs", replace(setting, payment="too low")),
        Control("costs half as high again", replace(setting, payment="too high")),
        Control("costs charged to the annotator opposite", replace(setting, payment="misdirected")),
        Control("a pivot that depends on the report", replace(setting, payment="pivot on the report")),
    )


class OverProfiles(Theorem[MechanismSetting]):
    """One number a profile of N = 4, K = 3: Dirichlet(1.5) opinions, and reports of the others that are not theirs."""

    def _profile(self, stream: Stream) -> tuple[FloatArray, FloatArray]:
        P = simplex_points((2, 4, 3), stream.child("opinions"))
        return P[0], P[1]

    @abc.abstractmethod
    def _values(self, mechanism: Mechanism, opinions: FloatArray, reports: FloatArray) -> FloatArray:
        """(B,) for profiles (B, N, K)."""
        ...

    def draw(self, setting: MechanismSetting, stream: Stream) -> float:
        opinions, reports = self._profile(stream)
        return float(self._values(mechanism_of(setting, stream), opinions[None], reports[None])[0])

    def measure(self, setting: MechanismSetting, stream: Stream) -> Measurement:
        """All draws of one mechanism at once; each profile's number does not depend on the others."""
        streams = [stream.at(replicate=r) for r in range(setting.replicates)]
        values = np.empty(setting.replicates)
        for first in range(min(len(ALPHAS), setting.replicates)):
            own = streams[first :: len(ALPHAS)]
            opinions, reports = (np.stack(part) for part in zip(*map(self._profile, own), strict=True))
            values[first :: len(ALPHAS)] = self._values(mechanism_of(setting, own[0]), opinions, reports)
        return Measurement(values)

    def control(self, setting: MechanismSetting) -> tuple[Control[MechanismSetting], ...]:
        return (*broken(replace(setting, infinite=False)), *mispaid(replace(setting, infinite=False)))
