"""Toy claims whose verdict is known, through the whole check; their witnesses."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.streams import Stream
from theory.calibration import _trials
from theory.engine.judges import Exactly
from theory.engine.theorem import Control, Setting, Theorem, Variant


@dataclass(frozen=True)
class ToysSetting(Setting):
    broken: bool = False


class ToyVerdicts(Theorem[ToysSetting]):
    """Toys that hold, are violated, lack a premise, are vacuous, never vary, and have a control that escapes."""

    claim_id = "toy-verdicts"
    paper = "calibration"
    source = "pluralign, statistics of a verdict, verdicts"
    statement = "Claims whose verdict is known get it."
    SETTINGS = {"as_stated": Variant(ToysSetting())}

    def bound(self, setting: ToysSetting) -> Exactly:
        return Exactly(0.0)

    def draw(self, setting: ToysSetting, stream: Stream) -> float:
        return _trials.wrong_verdicts(stream.integer_seed(), setting.broken)

    def control(self, setting: ToysSetting) -> tuple[Control[ToysSetting], ...]:
        return (Control("the right verdicts in reverse", replace(setting, broken=True)),)


class ToyWitness(ToyVerdicts):
    """The witness of a violated mean is its largest draw, and is drawn again from its replicate."""

    claim_id = "toy-witness"
    statement = "The witness of a violated claim is its largest draw and replays to the same number."

    def bound(self, setting: ToysSetting) -> Exactly:
        return Exactly(1e-12)

    def draw(self, setting: ToysSetting, stream: Stream) -> float:
        return _trials.witness_error(stream.integer_seed(), setting.broken)

    def control(self, setting: ToysSetting) -> tuple[Control[ToysSetting], ...]:
        return (Control("a witness that is tampered with", replace(setting, broken=True)),)


THEOREMS = (ToyVerdicts(), ToyWitness())
