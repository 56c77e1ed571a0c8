"""Check one theorem: every variant, its controls, its power."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sim.streams import Stream
from theory.engine.json_numbers import exact, finite
from theory.engine.judges import Bound, Capped, EveryDraw, Exactly, Frequency, Judgement, Slope, TwoSided
from theory.engine.kept import keeping
from theory.engine.required import (
    require_bound,
    require_controls,
    require_measurement,
    require_premises,
    require_setting,
    require_variants,
)  # fmt: skip
from theory.engine.theorem import Json, Measurement, Premise, Profile, Setting, Theorem
from theory.engine.verdicts import Verdict

POWER_DRAWS = 200
LEAST_POWER = 0.8
# What a constant answer says nothing of: draws that differ, if they are rarer than this.
_RARE = 0.2
CAUGHT = (Verdict.VIOLATED, Verdict.PREMISE_FAILED)


@dataclass(frozen=True)
class ControlResult:
    """A broken version and whether the check noticed."""

    name: str
    verdict: Verdict
    caught: bool
    measured: float | None
    power: float


@dataclass(frozen=True)
class Witness:
    """A draw that contradicts a claim, and what `pluralign replay` needs to make it again.

    setting: its key.  value: the draw's, one number or one a grid point; limit and relation: what it breaks.  payload:
    the numbers that let a reader see it by hand.  origin: module:NAME of a claim that is not ours.
    """

    claim_id: str
    paper: str
    variant: str
    profile: str
    seed: int
    setting: str
    replicate: int
    value: float | list[float]
    limit: float
    relation: str
    payload: Json
    origin: str = ""


@dataclass(frozen=True)
class Curve:
    """Mean and standard error at each grid point, for the figures of rates."""

    grid: list[float]
    mean: list[float]
    standard_error: list[float]


@dataclass(frozen=True)
class Check:
    """One variant's verdict with everything it rests on.

    power: the least over its controls, how surely each is caught.  attained: the measured share of the bound; band:
    where the claim says it lies.  departs: the smallest departure that matters, in words; departure_power: how surely
    it would be seen, None where that is not measured.  arithmetic: it executes no code of `sim`.  tested: how many of
    the replicates tested the claim, where others did not; None: all of them.
    """

    claim_id: str
    paper: str
    source: str
    statement: str
    variant: str
    expected: Verdict
    verdict: Verdict
    bound: float
    relation: str
    measured: float | None
    interval: tuple[float, float] | None
    interval_of: str
    standard_error: float
    p_value: float
    power: float
    replicates: int
    premises: tuple[Premise, ...]
    controls: tuple[ControlResult, ...]
    witness: Witness | None = None
    note: str = ""
    curve: Curve | None = None
    axes: tuple[str, str] = ("n", "measured value")
    attained: float | None = None
    band: tuple[float, float] | None = None
    departs: str = ""
    departure_power: float | None = None
    arithmetic: bool = False
    tested: int | None = None

    @property
    def as_expected(self) -> bool:
        """The verdict expected, and as much of the bound attained as the claim says."""
        return self.verdict is self.expected and self.tight

    @property
    def tight(self) -> bool:
        """Whether the share of the bound that is attained lies in the stated band; true where none is stated."""
        return self.band is None or (self.attained is not None and self.band[0] <= self.attained <= self.band[1])

    def as_json(self) -> Json:
        """JSON without NaN or infinity: these become null, and words in a witness, which must give them again."""
        plain = {name: finite(value) for name, value in asdict(self).items()}
        plain["witness"] = _kept_witness(self.witness)
        plain["control_verdict"] = [control.verdict for control in self.controls]
        return plain

    def as_kept(self) -> Json:
        """JSON that is read again as it was: words for NaN and infinity."""
        plain = {name: exact(value) for name, value in asdict(self).items()}
        return {**plain, "witness": _kept_witness(self.witness)}


def _kept_witness(witness: Witness | None) -> Json | None:
    if witness is None:
        return None
    # What a claim tells readers may hold words of its own.
    return {name: (finite if name == "payload" else exact)(value) for name, value in asdict(witness).items()}


def stream_of(theorem: Theorem[Any], setting: Setting, seed: int) -> Stream:
    """The randomness of a setting: the same for equal settings, whichever variant or control they serve."""
    return Stream(seed, cell=f"{theorem.paper}/{theorem.claim_id}/{theorem.drawn_as(setting).key()}")


@dataclass(frozen=True, eq=False)
class _Taken:
    premises: tuple[Premise, ...]
    measurement: Measurement | None


class Checker:
    """Checks one theorem; equal settings (a control two variants share) are measured once."""

    def __init__(self, theorem: Theorem[Any], profile: Profile, seed: int) -> None:
        self.theorem, self.profile, self.seed = theorem, profile, seed
        self._taken: dict[str, _Taken] = {}

    def _take(self, setting: Setting, bound: Bound) -> _Taken:
        key = setting.key()
        if key not in self._taken:
            stream = stream_of(self.theorem, setting, self.seed)
            require_setting(self.theorem, setting, "what is measured")
            premises = self.theorem.premises(setting, stream)
            require_premises(self.theorem, premises)
            broken = any(not premise.holds for premise in premises)
            self._taken[key] = _Taken(premises, None if broken else self.theorem.measure(setting, stream))
        taken = self._taken[key]
        if taken.measurement is not None:
            require_measurement(self.theorem, setting, bound, taken.measurement)
        return taken

    def check(self, variant: str) -> Check:
        """The variant's verdict; INCONCLUSIVE where the check's measured power is below 0.8."""
        theorem, chosen = self.theorem, self.theorem.SETTINGS[variant]
        setting = theorem.at_profile(chosen.setting, self.profile)
        bound, stream = theorem.bound(setting), stream_of(theorem, setting, self.seed)
        require_bound(theorem, bound)
        taken = self._take(setting, bound)
        broken = theorem.control(chosen.setting)
        require_controls(theorem, broken)
        controls = tuple(
            self._control(control.name, theorem.at_profile(control.setting, self.profile), bound) for control in broken
        )
        power = min((control.power for control in controls), default=0.0)
        judgement = judged(theorem, bound, taken.measurement, stream)
        verdict = _conclude(judgement, power, bound, theorem.largest_possible(setting))
        attained, departure_power = _two_sides(bound, taken.measurement, stream)
        tested = None if taken.measurement is None else len(taken.measurement.values)
        found = judgement if tested else None
        return Check(
            claim_id=theorem.claim_id,
            paper=theorem.paper,
            source=theorem.source,
            statement=chosen.statement or theorem.statement,
            variant=variant,
            expected=chosen.expected,
            verdict=verdict,
            bound=float(bound.limit),
            relation=bound.relation,
            measured=None if found is None else found.measured,
            interval=None if found is None else found.interval,
            interval_of="" if judgement is None else judgement.interval_of,
            standard_error=0.0 if judgement is None else judgement.standard_error,
            p_value=1.0 if judgement is None else judgement.p_value,
            power=power,
            replicates=setting.replicates,
            premises=taken.premises,
            controls=controls,
            witness=self._witness(variant, setting, bound, judgement) if verdict is Verdict.VIOLATED else None,
            note="" if judgement is None else judgement.note,
            curve=_curve(bound, taken.measurement),
            axes=theorem.axes,
            attained=attained,
            band=chosen.attained,
            departs=bound.departs if isinstance(bound, TwoSided) else "",
            departure_power=departure_power,
            arithmetic=theorem.arithmetic,
            tested=tested if taken.measurement is not None and taken.measurement.untested else None,
        )

    def _witness(self, variant: str, setting: Setting, bound: Bound, judgement: Judgement | None) -> Witness | None:
        """The draw to blame, where the judgement names one."""
        theorem, measurement = self.theorem, self._take(setting, bound).measurement
        if judgement is None or judgement.worst is None or measurement is None:
            return None
        replicate = measurement.number(judgement.worst)
        own = stream_of(theorem, setting, self.seed).at(replicate=replicate)
        return Witness(
            claim_id=theorem.claim_id,
            paper=theorem.paper,
            variant=variant,
            profile=self.profile,
            seed=self.seed,
            setting=setting.key(),
            replicate=replicate,
            value=np.asarray(measurement.values[judgement.worst]).tolist(),
            limit=float(bound.limit),
            relation=bound.relation,
            payload=theorem.witness(setting, own),
            origin="" if theorem.origin is None else theorem.origin.place,
        )

    def _control(self, name: str, setting: Setting, bound: Bound) -> ControlResult:
        """The control under the variant's own bound; its power is how often a resampled control is caught.

        Power is that of this check, with its number of replicates, against the way of being wrong that the
        control stands for: replicates are resampled with replacement and judged again. Those that are no numbers are
        left out: a computation that breaks down says nothing of what the check can tell apart.
        """
        taken = self._take(setting, bound)
        if taken.measurement is None:
            failed = any(not premise.holds and not math.isnan(premise.value) for premise in taken.premises)
            return ControlResult(name, Verdict.PREMISE_FAILED, failed, None, float(failed))
        stream = stream_of(self.theorem, setting, self.seed)
        measurement = taken.measurement.numbers
        judgement = _judge(bound, measurement, stream)
        if judgement is None or not len(measurement.values):
            return ControlResult(name, Verdict.INCONCLUSIVE, False, None, 0.0)
        caught, measured = judgement.verdict in CAUGHT, judgement.measured
        if measurement.drawn == 1:
            return ControlResult(name, judgement.verdict, caught, measured, float(caught))
        again = measurement.resampled(stream.child("power"), POWER_DRAWS, measurement.drawn)
        found = [_judge(bound, one, stream) for one in again]
        hits = [one is not None and one.verdict in CAUGHT for one in found]
        return ControlResult(name, judgement.verdict, caught, measured, float(np.mean(hits)))


def _judge(bound: Bound, measurement: Measurement | None, stream: Stream) -> Judgement | None:
    if measurement is None:
        return None
    if not len(measurement.values):
        none = f"none of {measurement.untested} draws tested the claim"
        return Judgement(Verdict.INCONCLUSIVE, math.nan, (math.nan, math.nan), "", 1.0, note=none)
    return bound.judge(measurement.values, measurement.grid, stream)


def judged(theorem: Theorem[Any], bound: Bound, measurement: Measurement | None, stream: Stream) -> Judgement | None:
    """What a claim's measurement is judged to be; None where a premise failed."""
    judgement = _judge(bound, measurement, stream)
    return None if judgement is None or measurement is None else _drawn(theorem, bound, measurement, judgement)


def _drawn(theorem: Theorem[Any], bound: Bound, measurement: Measurement, judgement: Judgement) -> Judgement:
    """The judgement, or none at all where a random claim's replicates all gave the same: then one draw was judged many
    times, and its certainty is none. Draws that are all exactly zero are a count of violations, or a clipped one."""
    values = measurement.values
    if len(values) <= 1 or not bool((values == values[0]).all()):
        return judgement
    if theorem.constant:
        # A yes or no that came out the same n times, which it would with this probability were a fifth of them others.
        return replace(judgement, p_value=max(judgement.p_value, (1.0 - _RARE) ** len(values)))
    if isinstance(bound, EveryDraw | Exactly | Frequency) and not values.any():
        return judgement
    if isinstance(bound, EveryDraw | Exactly) and judgement.verdict is Verdict.VIOLATED:
        return judgement  # One counter-example is enough.
    note = f"all {len(values)} replicates gave the same: nothing was drawn"
    return replace(judgement, verdict=Verdict.INCONCLUSIVE, p_value=1.0, note=note)


def _two_sides(bound: Bound, measurement: Measurement | None, stream: Stream) -> tuple[float | None, float | None]:
    """The share of the bound that is attained, and the power against the smallest departure; a judge of one's own need
    not have them."""
    if measurement is None or not len(measurement.values) or not isinstance(bound, TwoSided):
        return None, None
    values = measurement.values
    return bound.attained(values), bound.detects(values, measurement.grid, stream) if len(values) > 1 else None


def _conclude(judgement: Judgement | None, power: float, bound: Bound, largest_possible: float | None) -> Verdict:
    if judgement is None:
        return Verdict.PREMISE_FAILED
    vacuous = largest_possible is not None and isinstance(bound, Capped) and bound.cap >= largest_possible
    # A value above it is in hand: it was not the largest possible one.
    if vacuous and judgement.verdict is not Verdict.VIOLATED:
        return Verdict.VACUOUS
    if power < LEAST_POWER:
        return Verdict.INCONCLUSIVE
    return judgement.verdict


def _curve(bound: Bound, measurement: Measurement | None) -> Curve | None:
    if measurement is None or measurement.grid is None or not len(measurement.values):
        return None
    values, n = measurement.values, len(measurement.values)
    if isinstance(bound, Slope):
        values = bound.column(values, measurement.grid)
    with np.errstate(invalid="ignore"):  # A replicate may be infinite.
        mean = values.mean(axis=0)
        error = values.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(values.shape[1])
    return Curve(measurement.grid.tolist(), mean.tolist(), error.tolist())


def check_theorem(theorem: Theorem[Any], profile: Profile, seed: int) -> list[Check]:
    """Every variant of one theorem."""
    require_variants(theorem)
    checker = Checker(theorem, profile, seed)
    with keeping():
        return [checker.check(variant) for variant in theorem.SETTINGS]
