"""What a method of fitting preferences is: one class in one file, ours or a user's own.

    from sim.fitting.method import Answers, Grid, Method, Problem, Task

    class Constant(Method[float]):
        name = "constant"
        ...

`pluralign fit PAIRS --method mymodule:Constant` then chooses, fits, scores, draws and saves it like one of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

import numpy as np

from sim.files.atomic import Json
from sim.fitting.described import Group, Trait, strongest
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.settings import FitSettings
from sim.preferences import AnyArray, BoolArray, FloatArray
from sim.streams import Stream

Say: TypeAlias = Callable[[str], None]
Model = TypeVar("Model")

__all__ = [
    "Answers",
    "Candidate",
    "Choice",
    "Diagnosis",
    "FitSettings",
    "Fits",
    "Grid",
    "Group",
    "Json",
    "Method",
    "Model",
    "Prepared",
    "Problem",
    "Say",
    "Stream",
    "Task",
    "Trait",
    "strongest",
]  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A size (number of types, rank, clusters; 0 where there is none) and ridge tried, and the mean log-likelihood of
    held-out training answers, nats a pair (nan: nothing could be held out)."""

    method: str
    size: int
    ridge: float
    held_out: float

    def as_json(self) -> dict[str, Json]:
        """JSON has no nan: a score nobody could measure is null."""
        score = self.held_out if np.isfinite(self.held_out) else None
        return {"method": self.method, "size": self.size, "ridge": self.ridge, "held_out": score}


@dataclass(frozen=True)
class Problem:
    """What a grid may depend on: annotators with training answers, features, the size and ridge asked for (None: to be
    chosen), the largest size to try (`max_types`), and what is known of annotators (a number), where a method wants it.
    """

    n_annotators: int
    n_features: int
    size: int | None = None
    ridge: float | None = None
    largest: int = 8
    n_contexts: int | None = None


@dataclass(frozen=True)
class Grid:
    """Sizes and ridges to try on held-out training answers.

    untried: the ridge where nothing can be held out.  patience: stop after so many sizes in a row that do worse than
    the best so far (None: try all).  lower: ridges below `ridges` that are tried one after another at a size while the
    least so far is the best there.  fixed: there is one size, and no other can be asked for.  largest: the largest
    size that is possible (None: as many as annotators with answers).
    """

    sizes: tuple[int, ...]
    ridges: tuple[float, ...]
    untried: float
    patience: int | None = None
    fixed: bool = False
    largest: int | None = None
    lower: tuple[float, ...] = ()


@dataclass(frozen=True)
class Task:
    """What a fit is given beside answers, size and ridge.

    stream: randomness of this run, to take children of.  centre: (d,) the reward common to all that departures shrink
    to, None while it is itself being fitted.  restarts: random starts.  final: the last fit, not one of the search.
    """

    stream: Stream
    centre: FloatArray | None
    restarts: int
    final: bool


@dataclass(frozen=True)
class Choice:
    """Everything tried, in order, and what was chosen for each method."""

    tried: tuple[Candidate, ...]
    chosen: Mapping[str, Candidate]

    def of(self, *methods: str) -> tuple[Candidate, ...]:
        """What was tried of these methods."""
        return tuple(candidate for candidate in self.tried if candidate.method in methods)


@dataclass(frozen=True, eq=False)
class Fits:
    """Methods by name, each with its model; what was chosen for each; the common reward (d,) and its method's name."""

    asked: Method[Any]
    fitted: Mapping[str, tuple[Method[Any], Any]]
    choice: Choice
    centre: FloatArray
    common: str

    @property
    def model(self) -> Any:
        """The model that was asked for."""
        return self.fitted[self.asked.name][1]

    @property
    def size(self) -> int:
        return self.choice.chosen[self.asked.name].size


@dataclass(frozen=True)
class Diagnosis:
    """parts: name -> JSON content of the report.  warnings: one line each."""

    parts: Mapping[str, Json] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Method(Protocol[Model]):
    """A way to learn from preferences.  Subclass it; the six methods without a default are the method.

    name: what `--method` says (a class of one's own may leave it out: its class name).  title: for figures.
    beside: names of the methods it is scored beside, the one whose reward departures shrink to first.
    least_size: below it the fit is the common one again.  rivals: methods whose candidates are sizes of this one too.
    size_from: the method whose size it takes over.  sizes_shared: a size asked for holds for the methods beside it too.
    wants_contexts: it needs `annotator_features`.  wants_groups: it needs everybody's `group_id`.  takes_shift: its
    diagnostics answer `FitSettings.shift`.
    size_name: what its size is called; counts: what it counts, in messages.
    like: the method whose size and ridge it takes over, without a search of its own.
    per_annotator: names of the `parameters` that hold a row an annotator, left out of the file for readers.
    takes_choices: it heeds `Answers.events`: choices, rankings, ties, levels.  pairs_only: it is left out beside others
    where answers are such.  knows_errors: its rewards are of a form that `sim.fitting.head_errors` knows the errors of.
    reads_restarts: `fit` heeds `Task.restarts`.  reads_beta: `diagnostics` heeds `FitSettings.beta`.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    beside: ClassVar[tuple[str, ...]] = ("pooled", "personal", "shared", "cluster")
    least_size: ClassVar[int] = 0
    rivals: ClassVar[tuple[str, ...]] = ()
    size_from: ClassVar[str | None] = None
    sizes_shared: ClassVar[bool] = False
    wants_contexts: ClassVar[bool] = False
    wants_groups: ClassVar[bool] = False
    takes_shift: ClassVar[bool] = False
    size_name: ClassVar[str] = "size"
    counts: ClassVar[str] = "sizes"
    like: ClassVar[str | None] = None
    per_annotator: ClassVar[tuple[str, ...]] = ()
    takes_choices: ClassVar[bool] = False
    pairs_only: ClassVar[bool] = False
    knows_errors: ClassVar[bool] = False
    reads_restarts: ClassVar[bool] = True
    reads_beta: ClassVar[bool] = True

    def grid(self, problem: Problem) -> Grid:
        """What to try; the best on held-out training answers is fitted to all of them."""
        ...

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> Model:
        """The model at one size and ridge; it may hold a row an annotator (answers.n_annotators)."""
        ...

    def weights(self, answers: Answers) -> FloatArray:
        """What each answer counts in `fit`; (n,).  For `knows_errors`."""
        return answers.weights

    def fit_rows(self, prepared: Prepared, rows: BoolArray, size: int, ridge: float, task: Task) -> Model:
        """`fit` on the masked answers; for methods that need more of the table than its answers."""
        return self.fit(prepared.answers(rows), size, ridge, task)

    def log_likelihood(self, model: Model, answers: Answers) -> FloatArray:
        """log P(chosen above rejected) of each answer, (n,), nats; annotators the model has no answers of by what is
        known of people in general."""
        ...

    def adapt(self, model: Model, answers: Answers) -> Model:
        """The model for annotators of whom only `answers` are known (perhaps none), nothing else refitted."""
        ...

    def describe(self, model: Model, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        """Types, clusters or directions for a reader; () if it has none.  centre: (d,) the common reward."""
        ...

    def departures(self, model: Model, centre: FloatArray) -> FloatArray | None:
        """What each group of `describe` adds to the common reward, (n_groups, d); None where that is no vector."""
        return None

    def parameters(self, model: Model) -> Mapping[str, FloatArray | None]:
        """Everything `restore` needs, as named arrays (None is kept as none)."""
        ...

    def restore(self, parameters: Mapping[str, FloatArray | None]) -> Model:
        """The model of `parameters`, in another process; a row an annotator in the same order."""
        ...

    def shares(self, model: Model) -> FloatArray:
        """Shares of its types or clusters; (K,), one share where all are one."""
        return np.ones(1)

    def n_types(self, model: Model, size: int, prepared: Prepared) -> int:
        """Number of types, clusters or rewards, for the report."""
        return len(self.shares(model))

    def table(self, model: Model) -> Mapping[str, AnyArray]:
        """Columns (n_annotators, ...) for a file a reader opens: a row an annotator."""
        return {}

    def table_of_contexts(self, model: Model, contexts: FloatArray) -> Mapping[str, AnyArray]:
        """The same where rewards follow from contexts (n_annotators, d_x), for unseen annotators too."""
        return {}

    def by_group(self, model: Model) -> Model | None:
        """The model of as many annotators as it has types or clusters (`shares`), each wholly of one; None where it has
        none."""
        return None

    def new_annotator_streams(self, score: Stream) -> tuple[Stream, Stream]:
        """Randomness of which new annotators' answers are reserved, and of their scores' intervals."""
        own = score.child("new-users")
        return own, own.child("bootstrap")

    def compared_on_new(self, fits: Fits) -> tuple[str, ...]:
        """The methods whose adaptation to new annotators is scored."""
        return tuple(fits.fitted)

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        """What only this method can say: named parts of the report, and warnings."""
        return Diagnosis()
