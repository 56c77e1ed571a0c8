"""The half of `eval` that samples: quality and regrets of every policy and ensemble on common prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from llm.base.progress import Progress
from llm.base.reference_policy import ReferencePolicy
from llm.runs.evaluation_report import ReadSample, SampledQuality, SampledTables, WorstRegretGap
from llm.runs.open_run import OpenRun
from llm.runs.quality import (
    MeanInterval,
    PromptMeans,
    ScoreUnit,
    draw_samples,
    implicit_regrets,
    scored_regrets,
    with_interval,
)
from llm.runs.table_rows import DIRECT, Ensemble
from llm.runs.worst_group import worst_difference, worst_with_interval
from llm.scorers.named_scorers import Scorer
from llm.training.adapter_policy import AdapterPolicy
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream

# Prompts whose samples are kept as text, for people to read side by side.
_READ = 8


def sampled_tables(
    run: OpenRun, policies: Mapping[str, AdapterPolicy], ensembles: Sequence[Ensemble], contexts: IntArray,
    samples: int, scorers: Mapping[str, Scorer], names: Mapping[int, str], stream: Stream, progress: Progress,
) -> SampledTables:  # fmt: skip
    """Sampled quality and regrets of every policy and ensemble."""
    K, beta = len(run.policies), run.mixture.beta
    yardsticks = {scorer.name: scorer for scorer in scorers.values()}
    everything: dict[str, AdapterPolicy | ReferencePolicy] = {
        "reference": ReferencePolicy(
            run.base, beta=beta, sampling=run.policies[0].sampling, journal=run.policies[0].journal
        ),
        **policies,
    }
    means: dict[str, PromptMeans] = {}
    prompts: tuple[str, ...] = ()
    texts: dict[str, tuple[str, ...]] = {}
    units: dict[str, ScoreUnit] = {}
    for name, policy in everything.items():
        drawn = draw_samples(
            policy, run.policies, contexts, samples, list(yardsticks.values()), run.tokenizer,
            stream.child(f"samples/{name}"),
        )  # fmt: skip
        means[name] = PromptMeans.of(drawn)
        prompts, texts[name] = drawn.prompts, drawn.texts
        if name == "reference":
            units = {key: ScoreUnit.of(values) for key, values in drawn.scores.items()}
        progress(f"sampled {name}")
    for ensemble in ensembles:
        means[ensemble.name] = PromptMeans.mixed([means[name] for name in ensemble.members], ensemble.weights)
    method = run.mixture.method
    own_keys = [method if K == 1 else f"{method}/{adapter}" for adapter in run.mixture.adapters]
    own = [means[key] for key in own_keys]
    of_group = scorers_of_groups(scorers, names, run.mixture.adapters)
    scored = all(of_group)
    if scorers and not scored:
        alone = ", ".join(adapter for adapter, own in zip(run.mixture.adapters, of_group, strict=True) if not own)
        progress(f"note: no scorer was given for {alone}: regrets by scorers are left out")
    quality: dict[str, SampledQuality] = {}
    implied: dict[str, FloatArray] = {}
    measured: dict[str, FloatArray] = {}
    itself: dict[str, BoolArray] = {}
    for name, mean in means.items():
        implied[name] = implicit_regrets(own, mean, beta)
        if scored:
            measured[name] = scored_regrets(own, mean, of_group, units)
        # Against itself no policy has a regret, whatever the prompts.
        itself[name] = np.array([one is mean for one in own])
        quality[name] = _quality(
            mean, implied[name], measured.get(name), itself[name], stream.child(f"interval/{name}")
        )  # fmt: skip
    return SampledTables(
        n_prompts=len(contexts),
        samples=samples,
        scorers={k: of_group[k] or None for k in range(K)},
        score_scale={name: unit.scale for name, unit in units.items()},
        sampled=quality,
        worst_regret_differences=_differences(run, policies, ensembles, implied, measured, itself, stream),
        examples=tuple(
            ReadSample(prompt, {name: written[j] for name, written in texts.items()})
            for j, prompt in enumerate(prompts[:_READ])
        ),
    )


def scorers_of_groups(scorers: Mapping[str, Scorer], names: Mapping[int, str], adapters: Sequence[str]) -> list[str]:
    """The name of each group's scorer, "" where it has none: one given to its name, else to its adapter.

    Groups of a file may be called as adapters are; what is said of such a group is not said of the adapter.
    """
    found = []
    for k, adapter in enumerate(adapters):
        called = (names[k], adapter) if adapter not in names.values() else (names[k],)
        found.append(next((scorers[part].name for part in called if part in scorers), ""))
    return found


def _quality(
    mean: PromptMeans, implied: FloatArray, measured: FloatArray | None, itself: BoolArray, key: Stream
) -> SampledQuality:
    def of_groups(regrets: FloatArray) -> tuple[MeanInterval, ...]:
        return tuple(with_interval(values, key, bool(known)) for values, known in zip(regrets, itself, strict=True))

    return SampledQuality(
        words=float(mean.words.mean()),
        scores={score: with_interval(values, key) for score, values in mean.scores.items()},
        implicit=of_groups(implied),
        worst_implicit=worst_with_interval(implied, key, itself),
        scored=None if measured is None else of_groups(measured),
        worst_scored=None if measured is None else worst_with_interval(measured, key, itself),
    )


def _differences(
    run: OpenRun, policies: Mapping[str, AdapterPolicy], ensembles: Sequence[Ensemble],
    implied: Mapping[str, FloatArray], measured: Mapping[str, FloatArray], itself: Mapping[str, BoolArray],
    stream: Stream,
) -> tuple[WorstRegretGap, ...]:  # fmt: skip
    """Worst-group regret of each MinMax ensemble of the run minus that of every pooled policy, same prompts."""
    rows = []
    pooled = [name for name in policies if "/" not in name and name != DIRECT]
    candidates = [e.name for e in ensembles if e.kind == "minmax" and e.name.startswith(run.mixture.method)]
    candidates += [DIRECT] if DIRECT in policies else []
    for name in candidates:
        for other in pooled:
            key = stream.child(f"difference/{name}/{other}")
            known = itself[name], itself[other]
            implicit = worst_difference(implied[name], implied[other], key, known)
            scored = worst_difference(measured[name], measured[other], key, known) if measured else None
            rows.append(WorstRegretGap(name, other, implicit, scored))
    return tuple(rows)
