"""Rewards bilinear in an annotator's context and an item's features, of low rank (arXiv 2412.19436)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.estimators.bilinear_choices import fit_full_choices, fit_low_rank_choices
from sim.estimators.low_rank import LowRankFit
from sim.fitting.choose import choose
from sim.fitting.common_rewards import choose_pooled, choose_strengths, crossed_advantages
from sim.fitting.contexts import context_answers, fit_full, fit_of_rank
from sim.fitting.diagnostics.low_rank import LowRankWork, describe_directions, diagnose_low_rank
from sim.fitting.diagnostics.serving import region_of
from sim.fitting.low_rank_choice import RIDGES, choose_low_rank, fit_chosen, folds_of, ranks_up_to
from sim.fitting.method import Choice, Diagnosis, Fits, Grid, Group, Method, Problem, Say, Task
from sim.fitting.methods.common import CommonReward, Popularity
from sim.fitting.methods.personal import Personal
from sim.fitting.methods.pooled import Pooled
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import pooled_reward
from sim.fitting.settings import FitSettings
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray
from sim.running.threads import one_thread
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class BilinearModel:
    """theta (d_x, d), of rank `rank` (0: no bound).  strength: (n_items,) what everybody thinks of each item, below the
    reward, or None.  fitted: how the fit ended.  work: what the choice left, for diagnostics."""

    theta: FloatArray
    rank: int
    strength: FloatArray | None = None
    fitted: LowRankFit | None = None
    work: LowRankWork | None = None


class Bilinear(Method[BilinearModel]):
    """x' Theta phi(a): somebody who has answered nothing is served from her context alone."""

    wants_contexts = True
    takes_choices = True
    knows_errors = True
    size_name = "rank"
    reads_restarts = False
    reads_beta = False

    @one_thread()
    def log_likelihood(self, model: BilinearModel, answers: Answers) -> FloatArray:
        """log sigma(o + x' Theta z), o the difference of the items' strengths where there are any; (n,), nats."""
        if answers.events is not None:
            assert answers.contexts is not None
            events, who = answers.events, answers.annotator[answers.events.answer_of_row]
            return events.folded((events.rows * (answers.contexts @ model.theta)[who]).sum(axis=1))
        own = context_answers(answers)
        if model.strength is not None:
            offset = model.strength[answers.chosen] - model.strength[answers.rejected]
            own = replace(own, offset=offset)
        return np.asarray(log_sigmoid(own.margins(model.theta)))

    def adapt(self, model: BilinearModel, answers: Answers) -> BilinearModel:
        """The same: the context says it all."""
        return model

    def describe(
        self, model: BilinearModel, prepared: Prepared, centre: FloatArray, stream: Stream
    ) -> tuple[Group, ...]:
        return describe_directions(model.theta, model.rank, prepared)

    def parameters(self, model: BilinearModel) -> Mapping[str, FloatArray | None]:
        return {"theta": model.theta, "rank": np.array(float(model.rank)), "strength": model.strength}

    def restore(self, parameters: Mapping[str, FloatArray | None]) -> BilinearModel:
        theta, rank = parameters["theta"], parameters["rank"]
        assert theta is not None
        assert rank is not None
        return BilinearModel(theta, int(rank), parameters.get("strength"))

    def table_of_contexts(self, model: BilinearModel, contexts: FloatArray) -> Mapping[str, FloatArray]:
        return {"theta": contexts @ model.theta}

    def n_types(self, model: BilinearModel, size: int, prepared: Prepared) -> int:
        return model.rank


class FullRank(Bilinear):
    """Theta without a bound on its rank."""

    name = "full-rank"
    title = "full rank"

    def grid(self, problem: Problem) -> Grid:
        return Grid((0,), RIDGES, untried=0.1, fixed=True)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> BilinearModel:
        choices = answers.choices()
        if choices is not None:
            mass = float(choices.weights.sum())
            return BilinearModel(fit_full_choices(choices, answers.contexts, ridge=ridge * mass), 0)
        return BilinearModel(fit_full(context_answers(answers), ridge), 0)


class LowRank(Bilinear):
    """Theta of rank at most k.

    Rank and ridge are chosen on training annotators held out whole, whom the reward is for; so are the baselines that
    serve strangers too (the common reward, popularity), and one reward each on held-out items as everywhere.
    """

    name = "low-rank"
    title = "low rank"
    counts = "ranks"
    takes_shift = True
    beside = ("pooled", "low-rank", "full-rank", "personal", "popularity", "low-rank-on-popularity")

    def grid(self, problem: Problem) -> Grid:
        ranks = ranks_up_to(problem.largest) if problem.size is None else (problem.size,)
        if problem.n_contexts is None:
            return Grid(ranks, RIDGES, untried=0.1)
        most = min(problem.n_contexts, problem.n_features)
        return Grid(tuple(rank for rank in ranks if rank <= most) or (most,), RIDGES, untried=0.1, largest=most)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> BilinearModel:
        choices = answers.choices()
        if choices is not None:
            mass = float(choices.weights.sum())
            return BilinearModel(fit_low_rank_choices(choices, answers.contexts, size, ridge=ridge * mass), size)
        own = context_answers(answers)
        fitted = fit_of_rank(own, size, ridge, fit_full(own, ridge))
        return BilinearModel(fitted.theta, fitted.rank, fitted=fitted)

    @one_thread()
    def fit_all(
        self, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say, extra: Sequence[Method[Any]] = ()
    ) -> Fits:
        """Chosen on whole annotators, where other methods choose on held-out items."""
        _require_rank(prepared, settings)
        if settings.shift is not None:
            region_of(prepared.table, settings.shift)  # refused before the work, not after
        training = prepared.answers(prepared.train)
        answers = context_answers(training)
        fold = folds_of(answers, stream.child("people"))
        ranks = ranks_up_to(settings.max_types) if settings.n_types is None else (settings.n_types,)
        choice = choose_low_rank(answers, fold, ranks, settings.ridge, say)
        low, full = fit_chosen(answers, choice)
        common, popular = choose_pooled(prepared, fold), choose_strengths(prepared, fold)
        centre = pooled_reward(training, common.ridge)
        items = choose(Personal(), [Pooled(), Personal()], prepared, FitSettings("personal"), stream, say)
        own = items.chosen["personal"]
        personal = Personal().fit(training, 0, own.ridge, Task(stream, centre, settings.restarts, final=True))
        popularity = Popularity().fit(training, 0, popular.ridge, Task(stream, centre, 1, final=True))
        advantage = crossed_advantages(prepared, popular.ridge, fold)
        beside = replace(answers, offset=advantage[prepared.train])
        # On top of what everybody thinks of each item: the same rank and ridge, nothing chosen anew.
        both = fit_of_rank(beside, low.rank, choice.low.ridge, fit_full(beside, choice.low.ridge)).theta
        work = LowRankWork(answers, choice, low, full, ranks)
        fitted: dict[str, tuple[Method[Any], Any]] = {
            "pooled": (CommonReward(), centre),
            "low-rank": (self, BilinearModel(low.theta, low.rank, fitted=low, work=work)),
            "full-rank": (FullRank(), BilinearModel(full, 0)),
            "personal": (Personal(), personal),
            "popularity": (Popularity(), popularity),
            "low-rank-on-popularity": (LowRankOnPopularity(), BilinearModel(both, low.rank, popularity)),
        }
        for method in extra:
            task = Task(stream, centre, settings.restarts, final=True)
            fitted[method.name] = (method, method.fit(training, low.rank, choice.low.ridge, task))
        found = {c.method: c for c in (choice.low, choice.full, common, popular, own)}
        return Fits(self, fitted, Choice(choice.candidates, found), centre, "pooled")

    def compared_on_new(self, fits: Fits) -> tuple[str, ...]:
        """None: new annotators are served from their contexts, whatever they answer."""
        return ()

    @one_thread()
    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        """The spectrum, serving under a shift, what is not identified; of other answers than pairs the values alone."""
        if not prepared.is_plain:
            values = np.linalg.svd(fits.model.theta, compute_uv=False)
            parts = {"kind": "low-rank", "rank": fits.model.rank, "singular_values": values.tolist()}
            return Diagnosis(parts, ("tests of the spectrum and of pessimism are for plain pairs",))
        return diagnose_low_rank(fits, prepared, settings, stream, say)


class LowRankOnPopularity(LowRank):
    """A low-rank reward on top of how often each item wins."""

    name = "low-rank-on-popularity"
    title = "low rank on top of popularity"
    pairs_only = True


def _require_rank(prepared: Prepared, settings: FitSettings) -> None:
    assert prepared.contexts is not None
    d_x, d_phi = prepared.contexts.shape[1], prepared.differences.shape[1]
    if settings.n_types is not None and settings.n_types > min(d_x, d_phi):
        raise InputError(
            f"n_types: rank {settings.n_types} and at most {min(d_x, d_phi)} is possible with {d_x} context and "
            f"{d_phi} item features (intercept counted, unidentified ones not)",
            file=prepared.table.source, fix="ask for less, or leave the rank to be chosen",
        )  # fmt: skip
