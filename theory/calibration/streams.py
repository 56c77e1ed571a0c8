"""Streams: uniform, unrelated where any key differs, equal where all are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant

_N = 4000


@dataclass(frozen=True)
class StreamSetting(Setting):
    broken: bool = False


class Unrelated(Theorem[StreamSetting]):
    """sqrt(n) |correlation| <= 6 (a normal deviate beyond 6 has probability 2e-9), for every key that differs."""

    claim_id = "streams-unrelated"
    paper = "calibration"
    source = "pluralign, statistics of a verdict, streams"
    statement = "Replicates, roles, cells, seeds and indices give uncorrelated numbers."
    SETTINGS = {"as_stated": Variant(StreamSetting(100))}

    def bound(self, setting: StreamSetting) -> EveryDraw:
        return EveryDraw(6.0)

    def draw(self, setting: StreamSetting, stream: Stream) -> float | FloatArray:
        first = stream.uniforms(_N)
        others = (
            stream.at(replicate=stream.replicate + 1), stream.child("other"), stream.at(cell="other"),
            replace(stream, seed=stream.seed + 1),
        )  # fmt: skip
        seconds = [first if setting.broken else other.uniforms(_N) for other in others]
        seconds.append(first if setting.broken else stream.uniforms(_N, start=1))
        return np.array([np.sqrt(_N) * abs(np.corrcoef(first, second)[0, 1]) for second in seconds])

    def control(self, setting: StreamSetting) -> tuple[Control[StreamSetting], ...]:
        return (Control("a stream beside itself", replace(setting, broken=True)),)


class Uniform(Unrelated):
    """Kolmogorov's distance, sqrt(n) sup |F_n(u) - u| <= 3: beyond it with probability 2 exp(-18)."""

    claim_id = "streams-uniform"
    statement = "A stream's numbers are uniform."

    def bound(self, setting: StreamSetting) -> EveryDraw:
        return EveryDraw(3.0)

    def draw(self, setting: StreamSetting, stream: Stream) -> float:
        u = np.sort(stream.uniforms(_N))
        u = u**1.3 if setting.broken else u
        ranks = np.arange(_N)
        return float(np.sqrt(_N) * max((u - ranks / _N).max(), ((ranks + 1) / _N - u).max()))

    def control(self, setting: StreamSetting) -> tuple[Control[StreamSetting], ...]:
        return (Control("u to the power 1.3", replace(setting, broken=True)),)


class Repeatable(Unrelated):
    """The i-th number depends on start + i alone: what is drawn in two parts is what is drawn at once."""

    claim_id = "streams-repeatable"
    statement = "Equal identities give equal numbers, wherever a draw begins."

    def bound(self, setting: StreamSetting) -> EveryDraw:
        return EveryDraw(0.0)

    def draw(self, setting: StreamSetting, stream: Stream) -> float:
        again = replace(stream, replicate=stream.replicate + int(setting.broken))
        return float(np.abs(stream.uniforms(50)[7:] - again.uniforms(43, start=7)).max())

    def control(self, setting: StreamSetting) -> tuple[Control[StreamSetting], ...]:
        return (Control("the next replicate", replace(setting, broken=True)),)


THEOREMS = (Unrelated(), Uniform(), Repeatable())
