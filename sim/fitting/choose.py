"""Sizes and ridges, chosen on held-out training answers; test answers are never read here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sim.counted import counted
from sim.distinct import present
from sim.errors import InputError
from sim.fitting.chances import log_chances
from sim.fitting.identified import one_binary_answer_each
from sim.fitting.method import Candidate, Choice, Fits, Grid, Method, Problem, Say, Task
from sim.fitting.methods import METHODS, find_method
from sim.fitting.own_methods import grid_of
from sim.fitting.prepare import Prepared
from sim.fitting.settings import FitSettings
from sim.fitting.splits import hold_out
from sim.fitting.with_levels import WithLevels
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream
from sim.weighted_means import mean_of

_SEARCH_RESTARTS = 3


class _Search:
    """The search over the grids of methods that share a held-out third of each annotator's items.

    The first method's best reward is what the others shrink to.
    """

    def __init__(self, prepared: Prepared, stream: Stream, say: Say) -> None:
        kept, held = hold_out(
            prepared.table, prepared.train, 1 / 3, stream.child(prepared.validation), prepared.hold_out
        )
        self.prepared, self.stream, self.say = prepared, stream, say
        self.kept: BoolArray | None = kept if kept.any() and held.any() else None
        self.held = prepared.answers(held)
        own = prepared.train if self.kept is None else self.kept
        self.n_annotators = len(present(prepared.annotator[own], prepared.n_annotators))
        self.centre: FloatArray | None = None
        self.tried: list[Candidate] = []
        self.began = time.monotonic()

    def run(self, method: Method[Any], grid: Grid, size: int) -> float:
        """The best score of a size; the centre, where there is none yet, becomes that of the best ridge."""
        assert self.kept is not None
        best, centre, at, least = -np.inf, self.centre, np.inf, min(grid.ridges)
        for number, ridge in enumerate((*grid.ridges, *grid.lower)):
            if number >= len(grid.ridges):
                if at != least:
                    break
                least = ridge
            task = Task(self.stream, centre, _SEARCH_RESTARTS, final=False)
            model = method.fit_rows(self.prepared, self.kept, size, ridge, task)
            score = mean_of(log_chances(method, model, self.held, self.prepared.table), self.held.given_weights)
            self.tried.append(Candidate(method.name, size, ridge, score))
            if score > best:
                best, at = score, ridge
                if centre is None:
                    self.centre = common_reward(method, model)
        return best

    def search(self, method: Method[Any], grid: Grid) -> None:
        """Every size of the grid that is possible, until patience ends."""
        most = self.n_annotators if grid.largest is None else grid.largest
        if self.kept is None:
            # Too little to hold anything out: the first size.
            first = [size for size in grid.sizes[:1] if size <= most]
            self.tried += [Candidate(method.name, size, grid.untried, float("nan")) for size in first]
            return
        scores = [max(c.held_out for c in self.of(name)) for name in method.rivals if self.of(name)]
        for number, size in enumerate(grid.sizes):
            if size > most:
                break
            began = time.monotonic()
            scores.append(self.run(method, grid, size))
            ahead = sum(max(later, 1) for later in grid.sizes[number + 1 :])
            left = (time.monotonic() - began) / max(size, 1) * ahead
            more = f" (at most about {left:.0f} s left)" if ahead else ""
            which = f", {method.size_name.replace('n_types', 'types')} {size}" if size else ""
            self.say(f"{method.name}{which}: held-out log-likelihood {scores[-1]:.4f}{more}")
            last = scores[-grid.patience :] if grid.patience else []
            if last and len(scores) > len(last) + 1 and all(value < max(scores) for value in last):
                break

    def of(self, *names: str) -> list[Candidate]:
        return [candidate for candidate in self.tried if candidate.method in names]


def common_reward(method: Method[Any], model: Any) -> FloatArray:
    """What a fit that is the same for everybody says; (d,)."""
    if hasattr(model, "centre"):
        return np.asarray(model.centre)
    if hasattr(model, "theta"):
        return np.asarray(model.theta[0])
    raise InputError(
        f"method: '{method.name}' comes first and has no reward common to all for the others to shrink to",
        fix="let `beside` begin with pooled or dpo",
    )


def _contexts(prepared: Prepared) -> int | None:
    return None if prepared.contexts is None else prepared.contexts.shape[1]


def _problem(
    method: Method[Any], asked: Method[Any], settings: FitSettings, people: int, prepared: Prepared
) -> Problem:
    shared = method is asked or (asked.sizes_shared and method.sizes_shared)
    # One policy for everybody has one type, and so have those beside it.
    wanted = 1 if asked.sizes_shared and asked.least_size == 0 else settings.n_types
    features, size = prepared.differences.shape[1], wanted if shared else None
    return Problem(people, features, size, settings.ridge, most_types(method, prepared, settings), _contexts(prepared))


def has_types(method: Method[Any], prepared: Prepared, settings: FitSettings) -> bool:
    """Whether the method looks for a number of types, clusters or dimensions in the answers alone."""
    problem = _problem(method, method, settings, len(prepared.trained), prepared)
    return not method.wants_contexts and settings.n_types != 1 and not grid_of(method, problem).fixed


def most_types(method: Method[Any], prepared: Prepared, settings: FitSettings) -> int:
    """The largest size to try: one where the answers tell no types apart and nothing else is known of annotators."""
    return settings.max_types if method.wants_contexts or not one_binary_answer_each(prepared) else 1


def _require_possible(method: Method[Any], prepared: Prepared, settings: FitSettings) -> None:
    """A size that was asked for is one the method can have, by what its grid says."""
    size, people, width = settings.n_types, len(prepared.trained), prepared.differences.shape[1]
    if size is None:
        return
    grid = grid_of(method, Problem(people, width, size, settings.ridge, settings.max_types, _contexts(prepared)))
    if grid.fixed:
        if size not in grid.sizes:
            raise InputError(
                f"n_types: {method.name} has no number of its own to choose (got {size})", fix="leave it out"
            )
        return
    most = people if grid.largest is None else grid.largest
    if size > most:
        limit = f"at most {most} are possible here"
        if most == people:
            limit = f"only {counted(people, 'annotators')} with training answers"
        raise InputError(
            f"n_types: {size} {method.counts} and {limit}", file=prepared.table.source,
            fix="ask for fewer, or leave the number to be chosen",
        )  # fmt: skip


def methods_beside(asked: Method[Any], extra: Sequence[Method[Any]] = (), *, plain: bool = True) -> list[Method[Any]]:
    """The methods that `asked` is scored beside, the common one first, itself among them; plain: whether answers are
    plain pairs, which all of them take."""
    if not asked.beside:
        raise InputError(
            f"method: '{asked.name}' stands beside no other", fix="let `beside` begin with pooled or dpo, whose reward "
            "is common to all",
        )  # fmt: skip
    # Beside low rank stand methods that only its own search for plain pairs makes.
    names = [name for name in asked.beside if plain or name == asked.name or METHODS.is_ours(name)]
    found = [asked if name == asked.name else _like(asked, find_method(name)) for name in names]
    whole = [*found, *([] if any(m is asked for m in found) else [asked]), *extra]
    return [method for method in whole if plain or not method.pairs_only]


def _like(asked: Method[Any], method: Method[Any]) -> Method[Any]:
    """On levels as the one that was asked for is."""
    return WithLevels(method) if isinstance(asked, WithLevels) else method


def choose(
    asked: Method[Any],
    methods: Sequence[Method[Any]],
    prepared: Prepared,
    settings: FitSettings,
    stream: Stream,
    say: Say,
) -> Choice:
    """The best size and ridge of each method, by a third of each annotator's items held out of the training answers."""
    search = _Search(prepared, stream, say)
    chosen: dict[str, Candidate] = {}
    people = len(prepared.trained)
    for method in methods:
        if method.like is not None:
            continue
        held_by = people if method.sizes_shared else search.n_annotators
        problem = _problem(method, asked, settings, held_by, prepared)
        if method.size_from is not None and problem.size is None:
            # At least two, so that there is something to compare where one type was found.
            size = max(chosen[method.size_from].size, 2)
            problem = replace(problem, size=size)
        if method.size_from is not None and problem.size is not None:
            possible = min(problem.size, search.n_annotators)
            problem = replace(problem, size=possible)
        grid = grid_of(method, problem)
        search.search(method, grid)
        wanted = _problem(method, asked, settings, held_by, prepared).size
        chosen[method.name] = _best(search, method, grid, wanted, chosen)
    for method in methods:
        if method.like is not None:
            like = chosen[method.like]
            ridge = settings.ridge if settings.ridge is not None and method.like == asked.name else like.ridge
            chosen[method.name] = Candidate(method.name, like.size, ridge, float("nan"))
    return Choice(tuple(search.tried), chosen)


def _best(
    search: _Search, method: Method[Any], grid: Grid, wanted: int | None, chosen: Mapping[str, Candidate]
) -> Candidate:
    """The candidate of the largest score; a size that was asked for holds, even where fewer annotators were left in the
    validation split, with the best ridge of that size or, if it could not be tried, of its other sizes and rivals.
    A method none of whose sizes could be tried has the first one, with the ridge for that case."""
    own = search.of(method.name, *method.rivals)
    if not own:
        own = [_untried(search, method, grid)]
    of_size = [c for c in own if c.size == wanted] if wanted is not None else own
    top = max(of_size or own, key=_score)
    size = top.size
    if method.size_from is not None:
        size = chosen[method.size_from].size
    if wanted is not None and not grid.fixed:
        size = wanted
    return Candidate(method.name, size, top.ridge, top.held_out)


def _score(candidate: Candidate) -> float:
    """Nobody could measure it, or the method says no number: below all others."""
    return candidate.held_out if np.isfinite(candidate.held_out) else -np.inf


def _untried(search: _Search, method: Method[Any], grid: Grid) -> Candidate:
    """The grid's first size, where training answers as a whole allow it."""
    people = len(search.prepared.trained)
    most = people if grid.largest is None else grid.largest
    if not grid.sizes or grid.sizes[0] > most:
        least = f"{grid.sizes[0]} {method.counts} at least" if grid.sizes else "no size at all"
        raise InputError(
            f"method: '{method.name}' tries {least}, and {most} is the most that is possible here",
            file=search.prepared.table.source, fix="let its grid name a size that is, or give more annotators",
        )  # fmt: skip
    return Candidate(method.name, grid.sizes[0], grid.untried, float("nan"))


def choose_and_fit(
    asked: Method[Any], prepared: Prepared, settings: FitSettings, stream: Stream, say: Say,
    extra: Sequence[Method[Any]] = (),
) -> Fits:  # fmt: skip
    """Choose, then fit every method to all training answers at what was chosen."""
    _require_possible(asked, prepared, settings)
    methods = methods_beside(asked, extra, plain=prepared.is_plain)
    choice = choose(asked, methods, prepared, settings, stream, say)
    fitted: dict[str, tuple[Method[Any], Any]] = {}
    centre: FloatArray | None = None
    for method in methods:
        found = choice.chosen[method.name]
        ridge = settings.ridge if settings.ridge is not None and method is asked else found.ridge
        if found.size < method.least_size:
            # The common fit again: shown under the name that was asked for, and not twice.
            if method is asked:
                fitted[method.name] = (method, fitted[methods[0].name][1])
            continue
        say(f"fitting {method.name}" + (f", size {found.size}" if found.size else ""))
        task = Task(stream, centre, settings.restarts, final=True)
        model = method.fit_rows(prepared, prepared.train, found.size, ridge, task)
        fitted[method.name] = (method, model)
        if centre is None:
            centre = common_reward(method, model)
    assert centre is not None
    return Fits(asked, fitted, choice, centre, methods[0].name)
