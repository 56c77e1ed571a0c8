"""Group-robust DPO on a language model: one adapter for all, which serves the worst of known groups best.

    min over theta of max_g L_g(theta),   L_g the mean of -log p(answer) over the answers of known group g
                                                                     [arXiv 2405.20304, eq. (8), Algorithm 1]

It makes as many fits as EM-DPO, Cluster-DPO and pooled DPO do, by the same rules (schedule, passes until a fit
settles, guard, patience): what is judged is the worst group, wherever they judge everybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from enum import Enum

import numpy as np

from llm.data.answer_sets import AnswerSet, TextPreferences
from llm.data.known_groups import KnownGroups
from llm.training.adapter_policy import AdapterPolicy
from llm.training.group_training import GroupFit, GroupRecord, GroupSettings, RoundRecord
from llm.training.group_weights import GroupWeights
from sim.algorithms.em_dpo import constants_of
from sim.answer_kinds.response_choices import ResponseChoices
from sim.policies.protocol import choice_log_likelihood
from sim.preferences import FloatArray, IntArray, PreferencePairs
from sim.weighted_means import mean_of, unequal


class RobustStatus(Enum):
    """How the fits ended; each value says what to do."""

    CONVERGED = "the worst group's training loss changes by less than its tolerance"
    MAX_ROUNDS = "the round limit was reached first; raise groups.rounds"
    STOPPED = "held-out answers of the worst group gained nothing for groups.patience rounds"


def fit_robustly(
    policy: AdapterPolicy,
    data: TextPreferences,
    groups: KnownGroups,
    settings: GroupSettings,
    *,
    on_round: Callable[[RoundRecord], None] = lambda row: None,
) -> GroupFit:
    """Fit one adapter to known groups, in place; the weights of the groups go on from fit to fit.

    The round whose worst group has the largest mean log-likelihood of held-out answers is kept (to prompts that were
    seen, or to new ones; without any, the last).  A fit that raises the worst group's training loss is undone, weights
    with it, and is the last.  Constants of answers that are no pairs suit the groups as they weigh then.
    Errors: see `fit_adapter_robustly`.
    """
    train = data.train
    observations, weights = train.observations, train.observations.pair_weights()
    group = groups.of_annotator[observations.annotator]
    own = GroupWeights.even(groups.names, group, settings.weight_step)
    worst, best, record = math.inf, None, []
    status = RobustStatus.MAX_ROUNDS
    for number in range(settings.rounds + 1):
        state, before = policy.snapshot(), (own, observations)
        own = policy.fit_robustly(observations, weights, own)
        if isinstance(observations, ResponseChoices):
            each = own.alpha[group] * own.shares(weights) * len(weights)
            observations = observations.refined([policy], each[:, None])
        reached = _mean_by_group(policy, observations, weights, group, len(groups.names))
        undone = bool(number > 0 and -reached.min() > worst)
        if undone:
            policy.restore(state)
            own, observations = before
            reached = _mean_by_group(policy, observations, weights, group, len(groups.names))
        row = _record(number, policy, data, groups, own, observations, weights, reached, undone)
        record.append(row)
        on_round(row)
        judged = _judged(row)
        if best is None or not math.isfinite(judged) or judged > best[0]:
            best = (judged, row, policy.snapshot())
        if number - best[1].round >= settings.patience:
            status = RobustStatus.STOPPED
            break
        now = float(-reached.min())
        if undone or (number > 0 and abs(worst - now) <= settings.tolerance * abs(now)):
            status = RobustStatus.CONVERGED
            break
        worst = now
    assert best is not None, "there is at least one fit"
    _, row, state = best
    policy.restore(state)
    return GroupFit(
        policies=(policy,),
        mixture=np.ones(1),
        responsibilities=np.ones((train.pairs.n_annotators, 1)),
        held_out=_number(row.held_out_log_likelihood),
        new_prompts=_number(row.new_prompts_log_likelihood),
        best_round=row.round,
        status=status.value,
        rounds=tuple(record),
        constants=np.array(row.constants),
        groups=row.groups,
    )


def _mean_by_group(
    policy: AdapterPolicy, observations: PreferencePairs | ResponseChoices, weights: FloatArray, group: IntArray, G: int
) -> FloatArray:
    """Mean log-likelihood of each group's answers, -L_g; (G,), nats, nan without any."""
    each = choice_log_likelihood(policy, observations)
    mass = np.bincount(group, weights, G)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(group, weights * each, G) / mass)


def _record(
    number: int, policy: AdapterPolicy, data: TextPreferences, groups: KnownGroups, own: GroupWeights,
    observations: PreferencePairs | ResponseChoices, weights: FloatArray, reached: FloatArray, undone: bool,
) -> RoundRecord:  # fmt: skip
    constants = constants_of(observations)
    kept = [_on_held_out(policy, answers, groups, constants) for answers in (data.held_out, data.new_prompts)]
    (seen, seen_by), (new, new_by) = kept
    mass = np.bincount(own.group, weights, len(groups.names))
    return RoundRecord(
        round=number,
        mixture=(1.0,),
        log_likelihood=float(mass @ reached),
        held_out_log_likelihood=_finite(seen),
        new_prompts_log_likelihood=_finite(new),
        undone=(undone,),
        entropy=0.0,
        constants=tuple(constants.tolist()),
        groups=tuple(
            GroupRecord(name, float(own.alpha[g]), float(reached[g]), _finite(seen_by[g]), _finite(new_by[g]))
            for g, name in enumerate(groups.names)
        ),
    )


def _on_held_out(
    policy: AdapterPolicy, answers: AnswerSet, groups: KnownGroups, constants: FloatArray
) -> tuple[float, FloatArray]:
    """Mean nats an answer, each as often as its weight says, of all and of each group's (G,); nan without any."""
    if not len(answers):
        return math.nan, np.full(len(groups.names), math.nan)
    own = answers.observations
    if isinstance(own, ResponseChoices):
        own = replace(own, constants=constants)
    each = choice_log_likelihood(policy, own)
    group = groups.of_annotator[answers.pairs.annotator]
    weights = np.ones(len(each)) if (counted := unequal(answers.pairs.weights)) is None else counted
    mass = np.bincount(group, weights, len(groups.names))
    with np.errstate(invalid="ignore"):
        return mean_of(each, counted), np.bincount(group, weights * each, len(groups.names)) / mass


def _judged(row: RoundRecord) -> float:
    """The worst group's mean on held-out answers to prompts that were seen, or on new ones; nan without both."""
    seen = [own.held_out_log_likelihood for own in row.groups if own.held_out_log_likelihood is not None]
    new = [own.new_prompts_log_likelihood for own in row.groups if own.new_prompts_log_likelihood is not None]
    return min(seen or new, default=math.nan)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
