"""A theorem as an object: settings, premises, bound, measurement, controls."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

import numpy as np

from sim.errors import InputError
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from theory.engine.identity import identity
from theory.engine.judges import Bound
from theory.engine.verdicts import Verdict

# An object of JSON: what a reader is told, whatever a claim has to tell.
Json: TypeAlias = dict[str, object]

Profile = Literal["quick", "full"]
PROFILES: tuple[Profile, ...] = ("quick", "full")


@dataclass(frozen=True)
class Setting:
    """What a claim is checked at. A claim subclasses it with its own dials; `replicates` independent draws."""

    replicates: int = 1

    def key(self) -> str:
        """Readable identity: every field by name. Two settings with one key are one setting.

        Errors: InputError for a field with no lasting identity, as a lambda's (`theory.engine.identity`).
        """
        return ",".join(f"{field.name}={self._identity(field.name)}" for field in dataclasses.fields(self))

    def _identity(self, name: str) -> str:
        try:
            return identity(getattr(self, name))
        except InputError as error:
            raise InputError(f"{type(self).__name__}.{name}: {error.problem}", fix=error.fix) from None


S = TypeVar("S", bound=Setting)


@dataclass(frozen=True)
class Origin:
    """Where a claim that is not ours is found again, by a worker or by `replay`.

    place: "module:NAME", or the name an installed package gives.  folder: where modules are looked for first.
    digest: of its sources, as they were when it was found.  stated: its variants and its state then.
    """

    place: str
    folder: Path
    digest: str
    stated: str = ""


def _verdict(name: str) -> Verdict:
    try:
        return Verdict(name)
    except ValueError:
        known = ", ".join(Verdict)
        raise InputError(f"a variant's expected verdict must be one of {known} (got {str(name)[:40]!r})") from None


@dataclass(frozen=True)
class Variant(Generic[S]):
    """One reading of a claim: as_stated, as_printed (with the paper's slip), as_read (what words of the paper may be
    taken to say, and nobody printed) or as_corrected.

    attained: where the bound's constant matters, the band in which the share of it that is measured must lie. A bound
    three times looser would still hold, and leave the band.
    """

    setting: S
    expected: Verdict = Verdict.HOLDS
    statement: str = ""
    attained: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        # A verdict's name is as good as the verdict, here and when it is read again from a file.
        object.__setattr__(self, "expected", _verdict(self.expected))


@dataclass(frozen=True)
class Control(Generic[S]):
    """A premise broken, or the naive algorithm: the same check must come out VIOLATED or PREMISE_FAILED."""

    name: str
    setting: S


@dataclass(frozen=True)
class Premise:
    """One assumption, what it requires, what was found."""

    name: str
    holds: bool
    value: float
    requirement: str


@dataclass(frozen=True, eq=False)
class Measurement:
    """values: (n_tested,) or (n_tested, n_points) over `grid` (n_points,).

    which: the replicates that `values` are of, (n_tested,); None: all of them, in order.  untested: how many were drawn
    beside them and tested nothing.
    """

    values: FloatArray
    grid: FloatArray | None = None
    which: IntArray | None = None
    untested: int = 0

    @property
    def drawn(self) -> int:
        return len(self.values) + self.untested

    def number(self, row: int) -> int:
        """Which replicate a row of `values` is."""
        return row if self.which is None else int(self.which[row])

    def resampled(self, stream: Stream, times: int, n: int) -> Iterator[Measurement]:
        """`times` measurements of n replicates each, drawn again with replacement from those that were drawn: one that
        tested nothing tests nothing again."""
        for picked in stream.integers(self.drawn, (times, n)):
            rows = picked[picked < len(self.values)]
            yield Measurement(self.values[rows], self.grid, rows, n - len(rows))

    @property
    def numbers(self) -> Measurement:
        """Without the replicates in which anything is NaN."""
        rows = np.array([r for r, value in enumerate(self.values) if not np.isnan(value).any()], dtype=np.int64)
        which = rows if self.which is None else self.which[rows]
        return dataclasses.replace(self, values=self.values[rows], which=which)


class Theorem(abc.ABC, Generic[S]):
    """A claim that can be checked.

    `bound` uses the paper's constants alone; `measure` is never shown it. `draw` is one replicate, so that a
    witness can be replayed from its seed; a claim may override `measure` with a batched form that agrees.
    """

    claim_id: ClassVar[str]
    paper: ClassVar[str]
    source: ClassVar[str]
    statement: ClassVar[str]
    cost: ClassVar[float] = 1.0
    """Rough seconds of the quick profile: long claims start first."""

    axes: ClassVar[tuple[str, str]] = ("n", "measured value")
    """Names of a rate's abscissa and value, for its figure."""

    arithmetic: ClassVar[bool] = False
    """Whether it measures a formula or an example by itself, and no code of `sim`."""

    short_grid: ClassVar[str] = ""
    """Why a rate's grid spans less than two decades; empty where it does not."""

    right_side: ClassVar[Literal["bound", "draw", "code"]] = "bound"
    """Where the right side of the claimed inequality is computed: by `bound`, or by the draw, which returns left over
    right to be held against 1: written out there (draw), or with numbers of the code under test (code)."""

    constant: ClassVar[bool] = False
    """Whether its replicates may rightly all give one number; elsewhere that means that nothing was drawn."""

    origin: Origin | None = None
    """None for ours."""

    SETTINGS: Mapping[str, Variant[S]]
    full_factor: ClassVar[int] = 5
    """How many times more replicates the full profile takes."""

    def premises(self, setting: S, stream: Stream) -> tuple[Premise, ...]:
        """The assumptions that can fail in this setting, measured; none by default."""
        return ()

    @abc.abstractmethod
    def bound(self, setting: S) -> Bound:
        """The claim's number and how it is judged; a function of the setting and the paper's constants."""

    @abc.abstractmethod
    def draw(self, setting: S, stream: Stream) -> float | FloatArray | None:
        """One replicate's value, or one value a grid point; None where the claim says nothing of what was drawn (an
        event that it is conditional on did not happen), or where what was drawn obeys it whatever it says (a loss of
        zero, under a right side that is never negative), which is then no evidence for it.

        The event may depend on what is drawn, and on how it comes out only where no violation could be left out."""

    def grid(self, setting: S) -> FloatArray | None:
        """The abscissa of a rate."""
        return None

    def measure(self, setting: S, stream: Stream) -> Measurement:
        """All replicates; replicate r draws from stream.at(replicate=r)."""
        drawn = [self.draw(setting, stream.at(replicate=r)) for r in range(setting.replicates)]
        tested = [r for r, value in enumerate(drawn) if value is not None]
        values = [value for value in drawn if value is not None]
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            shapes = dict.fromkeys(f"{type(value).__name__} of shape {np.shape(value)}" for value in values[:20])
            raise InputError(
                f"claim '{self.claim_id}': draw must return a number, or arrays of numbers of one shape "
                f"(got {', '.join(list(shapes)[:3])})"
            ) from None
        return Measurement(array, self.grid(setting), np.array(tested, dtype=np.int64), len(drawn) - len(tested))

    @abc.abstractmethod
    def control(self, setting: S) -> tuple[Control[S], ...]:
        """Broken versions of this setting; at least one."""

    def drawn_as(self, setting: S) -> S:
        """The setting whose random numbers this one draws: its own. A control that breaks only what is done with a draw
        may name the setting that it breaks, with as many replicates or more: what both compute of it is `kept` then
        (`theory.engine.kept`), and computed once."""
        return setting

    def largest_possible(self, setting: S) -> float | None:
        """The largest value a replicate could have, if known: a bound that only greater ones break is vacuous."""
        return None

    def witness(self, setting: S, stream: Stream) -> Json:
        """The numbers of one replicate that let a reader see the violation by hand; JSON-able."""
        return {}

    def at_profile(self, setting: S, profile: Profile) -> S:
        """The setting with the profile's number of replicates (deterministic cases stay as they are)."""
        if profile == "quick" or setting.replicates == 1:
            return setting
        return dataclasses.replace(setting, replicates=setting.replicates * self.full_factor)
