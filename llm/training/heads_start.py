"""Groups of annotators from linear rewards on the base's own features: where EM over adapters begins.

EM over adapters from a random split sits near its start for many expensive rounds. The same EM over linear heads,
r_k(x, y) = <theta_k, f(x, y)> with f the frozen base's hidden state, takes seconds from many starts, and its
responsibilities are a start that already knows the groups, as far as linear rewards can tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.algorithms.em_choices import em_choice_sets, fit_choices
from sim.algorithms.em_dpo import EMResult, em_dpo, random_split
from sim.algorithms.em_log_linear import LogLinearEM
from sim.algorithms.prompt_laws import PromptLaws
from sim.answer_kinds.response_choices import ResponseChoices
from sim.choice_sets import ChoiceSets
from sim.policies.log_linear import ItemFeatures, LogLinear
from sim.preferences import FloatArray
from sim.restarts import first_best
from sim.streams import Stream
from sim.weighted_means import mean_of, unequal

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Strengths tried, in units of an answer's squared length of features."""

# Directions kept of the features: more add noise to heads of a few thousand answers, and time with their square.
_DIRECTIONS = 128
# Relative change of the penalised likelihood that ends a restart: a start need not be sharper.
_TOLERANCE = 1e-6
# What is kept of responsibilities and likelihoods. The last bits of products and decompositions may depend on threads
# and on where arrays lie in memory; a run that is killed and begun again must take the same path.
_DECIMALS = 6


@dataclass(frozen=True, eq=False)
class HeadAnswers:
    """Answers and the features (S, d) of the responses they are about."""

    choices: ResponseChoices
    features: FloatArray

    def __len__(self) -> int:
        return len(self.choices)

    @property
    def differences(self) -> FloatArray:
        """Of features, a row of the choices each; (m, d)."""
        return self.choices.differences(self.features)


@dataclass(frozen=True, eq=False)
class HeadsStart:
    """The best restart of the best ridge.

    responsibilities: (n_annotators, K).  held_out: mean nats a held-out answer at each ridge, None where nothing is
    held out.  penalised: final penalised log-likelihood of every restart, nats, largest first (with the types' laws
    over prompts, where these are estimated, relative to prompts by their frequencies).
    """

    responsibilities: FloatArray
    ridge: float
    held_out: dict[float, float | None]
    penalised: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """For the record; ridges as text."""
        return {
            "ridge": self.ridge,
            "mixture": self.responsibilities.mean(axis=0).tolist(),
            "held_out_log_likelihood": {format(ridge, "g"): value for ridge, value in self.held_out.items()},
            "restart_penalised": list(self.penalised),
        }


def leading_features(
    train: HeadAnswers, held_out: HeadAnswers, directions: int = _DIRECTIONS
) -> tuple[HeadAnswers, HeadAnswers]:
    """The same answers with features rotated to at most `directions` principal directions of the training answers'
    differences, whose mean squared length becomes one.

    Directions keep their size: hidden states vary most in few of them, and the ridge then holds the others back.
    """
    differences = train.differences
    # Each as often as its answer's weight says, of mean weight one.
    if (weights := unequal(train.choices.weights)) is not None:
        own = weights[train.choices.answer_of_row]
        differences = differences * np.sqrt(own / own.mean())[:, None]
    _, size, rotation = np.linalg.svd(differences, full_matrices=False)
    kept = rotation[: min(directions, int((size > 1e-10 * max(size[0], 1e-300)).sum()))].T
    scale = float(np.sqrt(np.mean((differences @ kept) ** 2) * kept.shape[1])) if kept.size else 1.0
    # Nothing held out has features of no width.
    held = held_out.features @ kept / scale if len(held_out.features) else np.zeros((0, kept.shape[1]))
    return replace(train, features=train.features @ kept / scale), replace(held_out, features=held)


def heads_start(
    train: HeadAnswers,
    held_out: HeadAnswers,
    n_types: int,
    restarts: int,
    stream: Stream,
    ridges: Sequence[float] = RIDGES,
    prompts: PromptLaws | None = None,
) -> HeadsStart:
    """EM over K linear heads (`em_choices`) from `restarts` random splits at each ridge.

    Of the restarts the largest penalised log-likelihood is kept, of the ridges the largest held-out log-likelihood; the
    strongest ridge where nothing is held out.  prompts: where types may meet different prompts; at the ridge that was
    chosen, EM then runs anew with their laws in its E-step (`em_dpo`), from as many splits and from where it ended.
    """
    fits: dict[float, LogLinearEM] = {}
    scores: dict[float, float | None] = {}
    for ridge in ridges:
        fits[ridge], constants = _fitted(train, n_types, ridge, restarts, stream.child("heads"))
        scores[ridge] = _held_out(fits[ridge], held_out, constants) if len(held_out) else None
    known = {ridge: score for ridge, score in scores.items() if score is not None}
    best = max(known, key=lambda ridge: known[ridge]) if known else max(ridges)
    gamma, reached = fits[best].responsibilities, fits[best].restart_penalised
    if prompts is not None:
        splits = [random_split(train.choices.n_annotators, n_types, stream.child(f"laws/{r}")) for r in range(restarts)]
        ran = [_with_laws(train, start, best, prompts) for start in (gamma, *splits)]
        reached = np.round([result.penalised[-1] for result in ran], _DECIMALS)
        gamma = ran[int(first_best(reached))].responsibilities
    penalised = np.round(np.sort(reached)[::-1], _DECIMALS)
    shares = np.round(gamma, _DECIMALS)
    return HeadsStart(shares / shares.sum(axis=1, keepdims=True), best, scores, tuple(penalised.tolist()))


def _with_laws(train: HeadAnswers, start: FloatArray, ridge: float, prompts: PromptLaws) -> EMResult:
    """EM over linear heads whose E-step knows the types' laws over prompts too."""
    # A response is its row of the features.
    choices = replace(train.choices, responses=np.arange(len(train.features)))
    heads = [_Head(ItemFeatures(train.features), ridge=ridge) for _ in range(start.shape[1])]
    return em_dpo(choices, heads, start=start, tolerance=_TOLERANCE, prompts=prompts)


class _Head(LogLinear):
    """r(x, y) = <theta, f(x, y)>, fitted to answers of any kind."""

    def fit(self, observations: Any, weights: FloatArray) -> None:
        rows = self.features.rows(observations.contexts, observations.responses)
        self.theta = fit_choices(_choice_sets(observations, rows, weights), ridge=self.ridge)


def _fitted(
    train: HeadAnswers, n_types: int, ridge: float, restarts: int, stream: Stream
) -> tuple[LogLinearEM, FloatArray]:
    """The fit, and the constants it was made at: of ties and levels, found once from rewards at their shares."""
    choices = train.choices
    weights = choices.pair_weights()
    everybody = np.zeros((len(choices.contexts), 1))
    choices = choices.refitted(everybody, weights[:, None])
    turns = 2 if len(choices.constants) else 1
    fit: LogLinearEM | None = None
    for _ in range(turns):
        if fit is not None:
            gamma = fit.responsibilities[choices.annotator]
            choices = choices.refitted(train.features @ fit.theta.T, weights[:, None] * gamma)
        sets = _choice_sets(choices, train.features, weights)
        fit = em_choice_sets(sets, n_types, ridge=ridge, restarts=restarts, tolerance=_TOLERANCE, stream=stream)
    assert fit is not None
    return fit, choices.constants


def _choice_sets(choices: ResponseChoices, features: FloatArray, weights: FloatArray) -> ChoiceSets:
    """The choices of answers with these weights (n,), as linear heads see them."""
    return ChoiceSets(
        choices.differences(features), choices.starts, choices.annotator[choices.answer], choices.n_annotators,
        weights[choices.answer] * choices.weight, choices.offset(),
    )  # fmt: skip


def _held_out(fit: LogLinearEM, answers: HeadAnswers, constants: FloatArray) -> float:
    """Mean of log sum_k gamma_ik p_k(answer) over new answers of known annotators, each as often as its weight says."""
    with np.errstate(divide="ignore"):
        shares = np.log(fit.responsibilities[answers.choices.annotator])
    own = answers.choices.folded(answers.features @ fit.theta.T, constants)
    return round(mean_of(np.logaddexp.reduce(shares + own, axis=1), answers.choices.weights), _DECIMALS)
