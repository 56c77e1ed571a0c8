"""`eval`: a run, and others on the same base, on annotators nobody trained on and on fresh samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.base.folder_format import read_stamped
from llm.base.progress import Progress
from llm.base.reference_policy import ReferencePolicy
from llm.data.preference_text import AnswerSet
from llm.runs.adapter_mixtures import AdapterMixture, token_average_log_ratios
from llm.runs.margins import (
    difference,
    infer_groups,
    length_margins,
    margins_of,
    match_groups,
    summarise,
)
from llm.runs.minmax_runs import distinct_prompts
from llm.runs.open_run import OpenRun
from llm.runs.quality import (
    PromptMeans,
    draw_samples,
    implicit_regrets,
    scored_regrets,
    with_interval,
    worst_difference,
    worst_with_interval,
)
from llm.runs.run_folder import MINMAX_AGAIN
from llm.scorers.named_scorers import Scorer
from llm.training.adapter_policy import AdapterPolicy
from sim.errors import InputError
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True)
class Ensemble:
    """A row of the tables that weighs members: name, members (keys of policies), weights, and what it stands for."""

    name: str
    members: tuple[str, ...]
    weights: FloatArray
    kind: str


def read_tuples(run: OpenRun) -> list[dict[str, Any]]:
    """The tuples of minmax.json, none if MinMax was not run."""
    path = run.folder / "minmax.json"
    if not path.is_file():
        return []
    return list(read_stamped(path, MINMAX_AGAIN)["tuples"])


def _tuple_name(values: Sequence[float]) -> str:
    return "minmax(" + ",".join(f"{value:g}" for value in values) + ")"


def known_groups(run: OpenRun) -> tuple[tuple[str, ...], FloatArray] | None:
    """(group names, responsibilities) of the training annotators where the file knows their groups."""
    import pyarrow.parquet as pq

    train = run.preferences().train
    if not any(train.group):
        return None
    table = pq.read_table(run.folder / "responsibilities.parquet").to_pydict()
    place = {name: j for j, name in enumerate(table["annotator_id"])}
    columns = [name for name in table if name.startswith("group_")]
    gamma = np.array([[table[column][place[who]] for column in columns] for who in train.annotators])
    return train.group, gamma


def evaluate(
    run: OpenRun,
    others: Mapping[str, OpenRun],
    *,
    answers: AnswerSet | None = None,
    scorers: Mapping[str, Scorer] | None = None,
    prompts: int = 256,
    samples: int = 1,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """Tables of `pluralign llm eval`.

    others: runs on the same base by label, for example a pooled one.  answers: whom to evaluate on (default: the
    run's unseen annotators).  scorers: group name (or adapter) -> scorer of its taste; without them quality and scored
    regrets are left out.  Groups are the file's where it names them, else inferred from half of each one's answers.
    """
    stream = Stream(seed, "eval")
    data = run.preferences()
    answers = answers or (data.unseen if len(data.unseen) else data.held_out)
    if not len(answers):
        raise InputError("no answers to evaluate on", fix="give --data FILE, or train with data.unseen above 0")
    known = known_groups(run)
    K = len(run.policies)
    if known is not None and any(answers.group):
        match = match_groups(*known)
        unknown = sorted(set(answers.group) - set(match))
        if unknown:
            raise InputError(
                f"group '{unknown[0]}' is not in the training data", fix="evaluate on the groups of training"
            )
        names = {k: ", ".join(name for name, adapter in match.items() if adapter == k) for k in range(K)}
        group = np.array([match[name] for name in answers.group])
        used, source = np.ones(len(answers), dtype=np.bool_), "the file's group_id, matched to adapters"
    else:
        group, used = infer_groups(run.policies, np.array(run.mixture.mixture), answers, stream)
        names, source = {k: f"group {k}" for k in range(K)}, "inferred from half of each annotator's answers"
    of_pair = group[answers.pairs.annotator]
    policies, ensembles, grouping = _table_rows(run, others)
    progress(
        f"margins of {len(policies)} policies on {int(used.sum())} answers of {len(answers.annotators)} annotators"
    )
    single = {name: margins_of(policy, answers) for name, policy in policies.items()}
    single["longer response"] = length_margins(run.base.store, answers)
    table: dict[str, dict[str, Any]] = {}
    all_margins = dict(single)
    averaged = _token_average_margins(policies, ensembles, answers)
    for ensemble in ensembles:
        members = [policies[name] for name in ensemble.members]
        all_margins[ensemble.name] = margins_of(AdapterMixture(members, ensemble.weights), answers)
        all_margins[f"{ensemble.name} component average"] = ensemble.weights @ np.stack(
            [single[name] for name in ensemble.members]
        )
        all_margins[f"{ensemble.name} token average (baseline)"] = averaged[ensemble.name]
    for name, margin in all_margins.items():
        own: dict[str, Any] = {}
        for k in range(K):
            rows = used & (of_pair == k)
            for metric, value in summarise(margin[rows], answers.pairs.annotator[rows], stream.child(name)).items():
                own[f"{metric}/group_{k}"] = value
        shown = [own[f"rewards/accuracies/group_{k}"] for k in range(K)]
        own["worst_group_accuracy"] = min((value for value in shown if value is not None), default=None)
        table[name] = own
    content: dict[str, Any] = {
        "groups": [{"group": k, "adapter": run.mixture.adapters[k], "name": names[k],
                    "n_annotators": int((group == k).sum())} for k in range(K)],
        "groups_from": source,
        "policies": table,
        "own_group": _own_group(run, others, single, used, of_pair, answers, stream),
        "ensembles": [{"name": e.name, "members": list(e.members), "weights": e.weights.tolist(), "kind": e.kind}
                      for e in ensembles],
        "grouping": grouping,
        "n_prompts": 0,
    }  # fmt: skip
    contexts = distinct_prompts(answers.pairs.contexts, prompts, stream.child("prompts"))
    progress(f"{samples} responses a prompt from {len(policies) + 1} policies on {len(contexts)} prompts")
    content |= _sampled(run, policies, ensembles, contexts, samples, scorers or {}, names, stream, progress)
    return content


def _token_average_margins(
    policies: Mapping[str, AdapterPolicy], ensembles: Sequence[Ensemble], answers: AnswerSet
) -> dict[str, FloatArray]:
    """Ensemble name -> margins of its token-averaged baseline; ensembles of the same members are scored together."""
    pairs, found = answers.pairs, {}
    for keys in dict.fromkeys(ensemble.members for ensemble in ensembles):
        same = [ensemble for ensemble in ensembles if ensemble.members == keys]
        members, weights = [policies[key] for key in keys], np.stack([ensemble.weights for ensemble in same])
        chosen = token_average_log_ratios(members, weights, pairs.contexts, pairs.chosen)
        rejected = token_average_log_ratios(members, weights, pairs.contexts, pairs.rejected)
        found |= {ensemble.name: members[0].beta * row for ensemble, row in zip(same, chosen - rejected, strict=True)}
    return found


def _table_rows(
    run: OpenRun, others: Mapping[str, OpenRun]
) -> tuple[dict[str, AdapterPolicy], list[Ensemble], dict[str, list[str]]]:
    policies: dict[str, AdapterPolicy] = {}
    ensembles: list[Ensemble] = []
    grouping: dict[str, list[str]] = {}
    for label, opened in ((run.mixture.method, run), *others.items()):
        keys = [label if len(opened.policies) == 1 else f"{label}/{name}" for name in opened.mixture.adapters]
        policies |= dict(zip(keys, opened.policies, strict=True))
        grouping[label] = keys
        if len(keys) == 1:
            continue
        for row in read_tuples(opened):
            ensembles.append(
                Ensemble(f"{label} {_tuple_name(row['priorities'])}", tuple(keys), np.array(row["weights"]), "minmax")
            )
        ensembles.append(Ensemble(f"{label} by shares", tuple(keys), np.array(opened.mixture.mixture), "shares"))
    direct = run.folder / "direct"
    if (direct / "adapter_model.safetensors").is_file():
        run.base.load_adapter("direct", direct)
        policies["direct saddle point"] = AdapterPolicy(
            run.base, "direct", beta=run.mixture.beta, sampling=run.policies[0].sampling
        )
    return policies, ensembles, grouping


def _own_group(
    run: OpenRun, others: Mapping[str, OpenRun], single: Mapping[str, FloatArray], used: FloatArray, of_pair: IntArray,
    answers: AnswerSet, stream: Stream,
) -> list[dict[str, Any]]:  # fmt: skip
    """Each group's own policy against every pooled policy, on the group's answers."""
    rows = []
    pooled = [label for label, other in others.items() if len(other.policies) == 1]
    for k, adapter in enumerate(run.mixture.adapters):
        own = run.mixture.method if len(run.policies) == 1 else f"{run.mixture.method}/{adapter}"
        mine = used & (of_pair == k)
        for label in pooled:
            gap = difference(
                single[own][mine], single[label][mine], answers.pairs.annotator[mine], stream.child(f"{own}/{label}")
            )
            rows.append({"group": k, "policy": own, "against": label, **gap})
    return rows


def _sampled(
    run: OpenRun, policies: Mapping[str, AdapterPolicy], ensembles: Sequence[Ensemble], contexts: IntArray,
    samples: int, scorers: Mapping[str, Scorer], names: Mapping[int, str], stream: Stream, progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """Sampled quality and regrets of every policy and ensemble."""
    K, beta = len(run.policies), run.mixture.beta
    yardsticks = {scorer.name: scorer for scorer in scorers.values()}
    everything: dict[str, AdapterPolicy | ReferencePolicy] = {
        "reference": ReferencePolicy(run.base, beta=beta, sampling=run.policies[0].sampling), **policies,
    }  # fmt: skip
    means: dict[str, PromptMeans] = {}
    spread: dict[str, float] = {}
    for name, policy in everything.items():
        drawn = draw_samples(
            policy, run.policies, contexts, samples, list(yardsticks.values()), run.tokenizer,
            stream.child(f"samples/{name}"),
        )  # fmt: skip
        means[name] = PromptMeans.of(drawn)
        if name == "reference":
            spread = {key: float(values.std()) or 1.0 for key, values in drawn.scores.items()}
        progress(f"sampled {name}")
    for ensemble in ensembles:
        means[ensemble.name] = PromptMeans.mixed([means[name] for name in ensemble.members], ensemble.weights)
    method = run.mixture.method
    own_keys = [method if K == 1 else f"{method}/{adapter}" for adapter in run.mixture.adapters]
    own = [means[key] for key in own_keys]
    of_group = [
        next((scorers[part].name for part in (names[k], run.mixture.adapters[k]) if part in scorers), "")
        for k in range(K)
    ]
    scored = all(of_group)
    scale = np.array([spread[name] for name in of_group]) if scored else np.ones(K)
    quality: dict[str, Any] = {}
    implied: dict[str, FloatArray] = {}
    measured: dict[str, FloatArray] = {}
    for name, mean in means.items():
        key = stream.child(f"interval/{name}")
        row: dict[str, Any] = {"words": float(mean.words.mean())}
        row["scores"] = {score: with_interval(values, key) for score, values in mean.scores.items()}
        implied[name] = implicit_regrets(own, mean, beta)
        row["regret/implicit"] = [with_interval(values, key) for values in implied[name]]
        row["worst_regret/implicit"] = worst_with_interval(implied[name], key)
        if scored:
            measured[name] = scored_regrets(own, mean, of_group, scale)
            row["regret/scored"] = [with_interval(values, key) for values in measured[name]]
            row["worst_regret/scored"] = worst_with_interval(measured[name], key)
        quality[name] = row
    return {
        "n_prompts": len(contexts),
        "samples": samples,
        "scorers": {k: of_group[k] or None for k in range(K)},
        "score_scale": spread,
        "sampled": quality,
        "worst_regret_differences": _differences(run, policies, ensembles, implied, measured, stream),
    }


def _differences(
    run: OpenRun, policies: Mapping[str, AdapterPolicy], ensembles: Sequence[Ensemble],
    implied: Mapping[str, FloatArray], measured: Mapping[str, FloatArray], stream: Stream,
) -> list[dict[str, Any]]:  # fmt: skip
    """Worst-group regret of each MinMax ensemble of the run minus that of every pooled policy, same prompts."""
    rows = []
    pooled = [name for name in policies if "/" not in name and name != "direct saddle point"]
    candidates = [e.name for e in ensembles if e.kind == "minmax" and e.name.startswith(run.mixture.method)]
    candidates += ["direct saddle point"] if "direct saddle point" in policies else []
    for name in candidates:
        for other in pooled:
            key = stream.child(f"difference/{name}/{other}")
            row = {"policy": name, "against": other, "implicit": worst_difference(implied[name], implied[other], key)}
            if measured:
                row["scored"] = worst_difference(measured[name], measured[other], key)
            rows.append(row)
    return rows
