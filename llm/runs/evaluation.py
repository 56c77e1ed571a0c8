"""`eval`: a run, and others on the same base, on answers that were not trained on and on fresh samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llm.base.progress import Progress
from llm.data.preference_text import AnswerSet
from llm.runs.adapter_mixtures import AdapterMixture, token_average_log_ratios
from llm.runs.evaluated_answers import evaluated_answers, training_responsibilities
from llm.runs.evaluation_report import EvaluatedGroup, Evaluation, OwnGroupGap, PolicyOnAnswers
from llm.runs.margins import both_sides, difference, infer_groups, length_margins, margins_of, match_groups, summarise
from llm.runs.open_run import OpenRun
from llm.runs.sampled_prompts import contexts_of_prompts, sampled_prompts, say_tempered
from llm.runs.sampled_tables import sampled_tables
from llm.runs.table_rows import Ensemble, table_rows
from llm.scorers.named_scorers import Scorer
from llm.training.adapter_policy import AdapterPolicy
from sim.errors import InputError
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream


def evaluate(
    run: OpenRun,
    others: Mapping[str, OpenRun],
    *,
    answers: AnswerSet | None = None,
    scorers: Mapping[str, Scorer] | None = None,
    named: Sequence[str] = (),
    prompts: int = 256,
    samples: int = 1,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> Evaluation:
    """Tables of `pluralign llm eval`.

    others: runs on the same base by label, for example a pooled one.  answers: what to evaluate on (default: see
    `evaluated_answers`).  scorers: group name (or adapter) -> scorer of its taste; without them quality and scored
    regrets are left out.  named: of these groups, those that must be there.  Annotators are in the group that the file
    names, else where the run's responsibilities put those it was trained on, else in one that is inferred from half of
    their answers.
    """
    stream = Stream(seed, "eval")
    own_data = answers is None
    evaluated = evaluated_answers(run, answers, others)
    answers = evaluated.answers
    if not len(answers):
        raise InputError("no answers to evaluate on", fix="give --data FILE, or train with data.unseen above 0")
    contexts, apiece = sampled_prompts(
        contexts_of_prompts(answers, run.base.store), prompts, samples, stream.child("prompts")
    )  # fmt: skip
    match = _matched(run, answers, own_data)
    names = _names(run, match)
    require_groups(named, [*names.values(), *(match or {})], run.mixture.adapters)
    policies, ensembles, grouping = table_rows(run, others)
    say_tempered(run.settings.sampling.temperature, progress)
    progress(f"margins of {len(policies)} policies on {len(answers)} answers of {len(answers.annotators)} annotators")
    # First of all: these passes give the scores of the members, too.
    averaged = _token_average_margins(policies, ensembles, answers)
    who = _who_is_who(run, answers, match, names, stream)
    # Of two responses that are alike none should be preferred.
    who = replace(who, used=who.used & answers.decided)
    rows = _group_rows(answers, match, who)
    of_pair = rows.of_annotator[answers.pairs.annotator]
    single = {}
    for name, policy in policies.items():
        single[name] = margins_of(policy, answers)
        progress(f"scored {name}")
    single["longer response"] = length_margins(run.base.store, answers)
    table = {}
    for name, margin in {**single, **_ensemble_margins(policies, ensembles, single, averaged, answers)}.items():
        masks = [who.used & (of_pair == g) for g in range(len(rows.names))]
        table[name] = PolicyOnAnswers(
            tuple(
                summarise(margin[own], answers.pairs.annotator[own], stream.child(name), answers.given_weights(own))
                for own in masks
            )
        )
    n_prompts = len(np.unique(contexts))
    progress(f"{samples} responses a prompt from {len(policies) + 1} policies on {n_prompts} prompts")
    return Evaluation(
        groups=tuple(
            EvaluatedGroup(g, run.mixture.adapters[k], name, int((rows.of_annotator == g).sum()))
            for g, (k, name) in enumerate(zip(rows.adapters, rows.names, strict=True))
        ),
        groups_from=who.source,
        answers_from=evaluated.whose,
        policies=table,
        own_group=_own_group(run, others, single, who.used, rows, answers, stream),
        ensembles=tuple(ensembles),
        grouping=grouping,
        samples=replace(
            sampled_tables(run, policies, ensembles, contexts, apiece, scorers or {}, who.names, stream, progress),
            n_prompts=n_prompts,
            samples=samples,
        ),
    )


_INFERRED = "inferred from half of each annotator's answers"
_TRAINED = "the run's responsibilities"


@dataclass(frozen=True, eq=False)
class _WhoIsWho:
    """group (n_annotators,); used: mask of the answers to evaluate on; names of the groups; how they are known."""

    group: IntArray
    used: BoolArray
    names: Mapping[int, str]
    source: str


def _matched(run: OpenRun, answers: AnswerSet, own_data: bool) -> Mapping[str, int] | None:
    """Name of a group of the training file -> its adapter's number; None where no groups are named.

    own_data: whether they are the run's own answers. A group of its file may have nobody in training: its people are
    then like others of whom no group is known.  InputError where a file that was given names such a group.
    """
    if not any(answers.group) or (known := known_groups(run)) is None:
        return None
    match = match_groups(*known)
    unknown = sorted(set(answers.group) - set(match) - {""})
    if unknown and not own_data:
        raise InputError(f"group '{unknown[0]}' is not in the training data", fix="evaluate on the groups of training")
    return match


def _names(run: OpenRun, match: Mapping[str, int] | None) -> dict[int, str]:
    """What each policy's group is called; one that no known group is matched to has its number for a name."""
    found = {} if match is None else match
    return {
        k: ", ".join(name for name, adapter in found.items() if adapter == k) or f"group {k}"
        for k in range(len(run.policies))
    }


@dataclass(frozen=True, eq=False)
class _GroupRows:
    """Groups that accuracies are told of: names, adapters (the number of each one's), of_annotator (n_annotators,)."""

    names: tuple[str, ...]
    adapters: tuple[int, ...]
    of_annotator: IntArray


def _group_rows(answers: AnswerSet, match: Mapping[str, int] | None, who: _WhoIsWho) -> _GroupRows:
    """A row an adapter; of one that several known groups share, as they do a policy for all, a row each, and another
    for people of none: the worst-served of them is not their mean."""
    names: list[str] = []
    adapters: list[int] = []
    row, own_name = np.zeros(len(answers.group), dtype=np.int64), np.array(answers.group)
    for k, together in who.names.items():
        mine = who.group == k
        known = [name for name, adapter in (match or {}).items() if adapter == k]
        parts = [(together, mine)]
        if len(known) > 1:
            parts = [(name, own_name == name) for name in known]
            left = mine & ~np.isin(own_name, known)
            parts += [(f"of no known group, with {together}", left)] if left.any() else []
        for name, mask in parts:
            row[mask] = len(names)
            names.append(name)
            adapters.append(k)
    return _GroupRows(tuple(names), tuple(adapters), row)


def require_groups(named: Sequence[str], names: Sequence[str], adapters: Sequence[str]) -> None:
    """InputError where something was said of a group that is not there (see `scorers_of_groups`)."""
    there = list(dict.fromkeys([*filter(None, names), *adapters]))
    for group in named:
        if group not in there:
            raise InputError(f"--scorer: no group '{group}'", fix=f"choose one of {', '.join(map(repr, there))}")


def _who_is_who(
    run: OpenRun, answers: AnswerSet, match: Mapping[str, int] | None, names: Mapping[int, str], stream: Stream
) -> _WhoIsWho:
    found = {} if match is None else match
    named = np.array([name in found for name in answers.group], dtype=np.bool_)
    group, used = np.array([found.get(name, 0) for name in answers.group]), np.ones(len(answers), dtype=np.bool_)
    sources = [(int(named.sum()), "the file's group_id, matched to adapters")]
    # Their training answers say who they are: none of these need be spent on it.
    trained = training_responsibilities(run)
    known = ~named & np.array([name in trained for name in answers.annotators], dtype=np.bool_)
    for i in np.flatnonzero(known):
        group[i] = trained[answers.annotators[i]].argmax()
    sources.append((int(known.sum()), _TRAINED))
    left = ~named & ~known
    if left.any():
        inferred, kept = infer_groups(run.policies, np.array(run.mixture.mixture), answers, stream)
        group = np.where(left, inferred, group)
        used = kept | ~left[answers.pairs.annotator]
        sources.append((int(left.sum()), _INFERRED))
    told = [(count, text) for count, text in sources if count]
    strange = match is not None and any(name and name not in match for name in answers.group)
    none = "annotators have none that is in training" if strange else "annotators have none"
    others = none if named.any() or strange else "annotators"
    parts = [f"{count} of {len(group)} {others}: {text}" for count, text in told]
    source = "; ".join(parts if strange and not named.any() else [told[0][1], *parts[1:]])
    return _WhoIsWho(group, used, names, source)


def _ensemble_margins(
    policies: Mapping[str, AdapterPolicy], ensembles: Sequence[Ensemble], single: Mapping[str, FloatArray],
    averaged: Mapping[str, FloatArray], answers: AnswerSet,
) -> dict[str, FloatArray]:  # fmt: skip
    """Margins of each ensemble and of the two baselines that are often taken for it."""
    found: dict[str, FloatArray] = {}
    for ensemble in ensembles:
        members = [policies[name] for name in ensemble.members]
        found[ensemble.name] = margins_of(AdapterMixture(members, ensemble.weights), answers)
        found[f"{ensemble.name} component average"] = ensemble.weights @ np.stack(
            [single[name] for name in ensemble.members]
        )
        found[f"{ensemble.name} token average (baseline)"] = averaged[ensemble.name]
    return found


def _token_average_margins(
    policies: Mapping[str, AdapterPolicy], ensembles: Sequence[Ensemble], answers: AnswerSet
) -> dict[str, FloatArray]:
    """Ensemble name -> margins of its token-averaged baseline; ensembles of the same members are scored together."""
    found: dict[str, FloatArray] = {}
    for keys in dict.fromkeys(ensemble.members for ensemble in ensembles):
        same = [ensemble for ensemble in ensembles if ensemble.members == keys]
        members, weights = [policies[key] for key in keys], np.stack([ensemble.weights for ensemble in same])
        chosen, rejected = np.split(token_average_log_ratios(members, weights, *both_sides(answers)), 2, axis=1)
        found |= {ensemble.name: members[0].beta * row for ensemble, row in zip(same, chosen - rejected, strict=True)}
    return found


def _own_group(
    run: OpenRun, others: Mapping[str, OpenRun], single: Mapping[str, FloatArray], used: BoolArray, groups: _GroupRows,
    answers: AnswerSet, stream: Stream,
) -> tuple[OwnGroupGap, ...]:  # fmt: skip
    """Each group's own policy, or the one it shares, against every pooled policy, on the group's answers."""
    rows, of_pair = [], groups.of_annotator[answers.pairs.annotator]
    pooled = [label for label, other in others.items() if len(other.policies) == 1]
    for g, k in enumerate(groups.adapters):
        own = run.mixture.method if len(run.policies) == 1 else f"{run.mixture.method}/{run.mixture.adapters[k]}"
        mine = used & (of_pair == g)
        for label in pooled:
            gap = difference(
                single[own][mine], single[label][mine], answers.pairs.annotator[mine], stream.child(f"{own}/{label}"),
                answers.given_weights(mine),
            )  # fmt: skip
            rows.append(OwnGroupGap(g, own, label, gap.accuracy, gap.accuracy_interval))
    return tuple(rows)


def known_groups(run: OpenRun) -> tuple[tuple[str, ...], FloatArray] | None:
    """(group names, "" for none, and responsibilities) of the training annotators, where the file knows some groups."""
    train = run.preferences().train
    if not any(train.group):
        return None
    trained = training_responsibilities(run)
    return train.group, np.array([trained[who] for who in train.annotators])
