"""Any method on answers with ordered levels: it fits at given thresholds, these follow at its rewards, turn by turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.answer_kinds.levels import best_thresholds
from sim.fitting.described import Group
from sim.fitting.method import Diagnosis, Fits, Grid, Method, Problem, Say, Task
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.settings import FitSettings
from sim.fitting.type_model import TypeModel
from sim.preferences import AnyArray, FloatArray
from sim.streams import Stream

THRESHOLDS = "level_thresholds"
_SETTLED, _SEARCHED, _FINAL = 1e-4, 2, 15
_SAID = (
    "name", "title", "beside", "least_size", "rivals", "size_from", "sizes_shared", "wants_contexts", "takes_shift",
    "size_name", "counts", "like", "per_annotator", "takes_choices", "pairs_only", "knows_errors",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LevelModel:
    """A method's model, and the thresholds it goes with; asked for anything else, the model answers."""

    inner: Any
    thresholds: FloatArray

    def __getattr__(self, name: str) -> Any:
        if name == "inner" or name.startswith("__"):
            raise AttributeError(name)  # while it is being copied, there is no model yet
        return getattr(self.inner, name)


class WithLevels(Method[LevelModel]):
    """`inner`, its models with thresholds beside them."""

    name = "with-levels"  # of each instance, the inner method's

    def __init__(self, inner: Method[Any]) -> None:
        self.inner = inner
        for name in _SAID:
            setattr(self, name, getattr(inner, name))

    def grid(self, problem: Problem) -> Grid:
        return self.inner.grid(problem)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> LevelModel:
        """Turn by turn, to 1e-4 of a threshold, or 15 turns (2 while searching); rewards last.

        Rewards and thresholds share their scale, so that plain turns, which raise the likelihood each, creep: every
        third but the last goes as far as the two before it, whose changes shrink by a ratio, would go in the end
        (Aitken).
        """
        levels = answers.levels
        assert levels is not None
        thresholds, model, before = levels.start(), None, np.zeros(0)
        turns = _FINAL if task.final else _SEARCHED
        for turn in range(turns):
            model = self.inner.fit(answers.at(thresholds), size, ridge, task)

            def score(at: FloatArray, fitted: Any = model) -> float:
                seen = answers.at(at)
                if isinstance(fitted, TypeModel):
                    return fitted.observed(seen)
                return float(answers.weights @ self.inner.log_likelihood(fitted, seen))

            change = best_thresholds(levels, score, thresholds) - thresholds
            ratio = (
                float(change @ before / (before @ before))
                if turn % 3 == 2 and turn < turns - 2 and before.any()
                else 0.0
            )
            further = thresholds + change / (1.0 - min(ratio, 0.9)) if ratio > 0.0 else thresholds + change
            thresholds = further if levels.allows(further) else thresholds + change
            before = change
            if np.abs(change).max(initial=0.0) < _SETTLED:
                break
        return LevelModel(self.inner.fit(answers.at(thresholds), size, ridge, task), thresholds)

    def weights(self, answers: Answers) -> FloatArray:
        return self.inner.weights(answers)

    def log_likelihood(self, model: LevelModel, answers: Answers) -> FloatArray:
        return self.inner.log_likelihood(model.inner, answers.at(model.thresholds))

    def adapt(self, model: LevelModel, answers: Answers) -> LevelModel:
        return LevelModel(self.inner.adapt(model.inner, answers.at(model.thresholds)), model.thresholds)

    def describe(self, model: LevelModel, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        return self.inner.describe(model.inner, prepared.at(model.thresholds), centre, stream)

    def parameters(self, model: LevelModel) -> Mapping[str, FloatArray | None]:
        return {**self.inner.parameters(model.inner), THRESHOLDS: model.thresholds}

    def restore(self, parameters: Mapping[str, FloatArray | None]) -> LevelModel:
        own = dict(parameters)
        thresholds = own.pop(THRESHOLDS)
        assert thresholds is not None
        return LevelModel(self.inner.restore(own), thresholds)

    def shares(self, model: LevelModel) -> FloatArray:
        return self.inner.shares(model.inner)

    def n_types(self, model: LevelModel, size: int, prepared: Prepared) -> int:
        return self.inner.n_types(model.inner, size, prepared)

    def table(self, model: LevelModel) -> Mapping[str, AnyArray]:
        return self.inner.table(model.inner)

    def table_of_contexts(self, model: LevelModel, contexts: FloatArray) -> Mapping[str, AnyArray]:
        return self.inner.table_of_contexts(model.inner, contexts)

    def by_group(self, model: LevelModel) -> LevelModel | None:
        found = self.inner.by_group(model.inner)
        return None if found is None else LevelModel(found, model.thresholds)

    def new_annotator_streams(self, score: Stream) -> tuple[Stream, Stream]:
        return self.inner.new_annotator_streams(score)

    def compared_on_new(self, fits: Fits) -> tuple[str, ...]:
        return self.inner.compared_on_new(fits)

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        """What the method says, and the thresholds of its model."""
        thresholds, levels = fits.model.thresholds, prepared.levels
        assert levels is not None
        plain = {name: (_plain(method), _plain_model(model)) for name, (method, model) in fits.fitted.items()}
        found = self.inner.diagnostics(
            replace(fits, asked=self.inner, fitted=plain), prepared.at(thresholds), settings, stream, say
        )  # fmt: skip
        told = {"names": list(levels.names), "thresholds": thresholds.tolist(), "around_zero": levels.around_zero}
        return Diagnosis({**found.parts, "levels": told}, found.warnings)


def _plain(method: Method[Any]) -> Method[Any]:
    return method.inner if isinstance(method, WithLevels) else method


def _plain_model(model: Any) -> Any:
    return model.inner if isinstance(model, LevelModel) else model
