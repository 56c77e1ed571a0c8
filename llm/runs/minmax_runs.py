"""MinMax-DPO over a run's adapters: sampled regrets, the game for each tuple of priorities, and its certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llm.base.folder_format import checksums, read_stamped, require_unchanged, stamped
from llm.base.identity import versions
from llm.base.progress import Progress
from llm.runs.model_card import direct_card
from llm.runs.open_run import OpenRun
from llm.runs.run_folder import MINMAX_AGAIN, save_adapter, save_mixture
from llm.runs.sampled_prompts import contexts_of_prompts, sampled_prompts, say_tempered
from llm.runs.unsolved_games import unsolved
from llm.runs.worst_group import student_scales
from llm.training.adapter_policy import AdapterPolicy
from llm.training.direct_saddle_point import SaddleSettings, SaddleStep, direct_saddle_point
from sim.algorithms.hedge import game_value
from sim.algorithms.minmax_dpo import weigh
from sim.algorithms.regret import SampledDiscrepancy, discrepancy_sampled, error_of_mean, regret_matrix
from sim.errors import InputError
from sim.files.atomic import write_json
from sim.preferences import FloatArray
from sim.streams import Stream

# Draws of the regret matrix from its standard errors, for the intervals of the weights.
_DRAWS = 400
_DIRECT = "direct.json"


@dataclass(frozen=True)
class MinMaxTuple:
    """The game for one tuple of priorities (K,): weights and their 95 % limits, the worst weighted regret (`value`) and
    its certificates, and the regrets it was played on, with standard errors."""

    priorities: tuple[float, ...]
    weights: tuple[float, ...]
    weights_interval: tuple[tuple[float, float], ...]
    value: float
    lp_value: float
    gap: float
    group_regret: tuple[float, ...]
    regret: tuple[tuple[float, ...], ...]
    regret_standard_error: tuple[tuple[float, ...], ...]
    rounds: int
    step: float


@dataclass(frozen=True)
class MinMaxReport:
    """minmax.json: what was sampled, the discrepancies (K, K) with standard errors, and a game a tuple."""

    adapters: tuple[str, ...]
    beta: float
    prompts: int
    samples: int
    max_new_tokens: int
    seed: int
    discrepancy: tuple[tuple[float, ...], ...]
    discrepancy_standard_error: tuple[tuple[float, ...], ...]
    tuples: tuple[MinMaxTuple, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class DirectReport:
    """direct.json: regrets (K,) of the direct policy on fresh samples, beside the ensemble's worst one.

    files: name in the run's folder -> checksum of the policy's adapter.
    """

    priorities: tuple[float, ...] | None
    settings: SaddleSettings
    regret: tuple[float, ...]
    regret_standard_error: tuple[float, ...]
    worst_regret: float
    ensemble_worst_regret: float
    adversary: tuple[float, ...]
    kl_to_reference: float
    record: tuple[SaddleStep, ...]
    seed: int
    files: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_tuples(folder: Path) -> list[MinMaxTuple]:
    """The tuples of a run's minmax.json, none if MinMax was not run."""
    path = folder / "minmax.json"
    if not path.is_file():
        return []
    content = read_stamped(path, MINMAX_AGAIN)
    try:
        return [MinMaxTuple(**{key: _frozen(value) for key, value in row.items()}) for row in content["tuples"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"is no result of this version ({error})", file=path, fix=MINMAX_AGAIN) from error


def direct_adapter(folder: Path) -> Path | None:
    """The adapter of a run's direct saddle point, as it was written; None where there is none that is finished."""
    path = folder / _DIRECT
    if not path.is_file():
        return None
    again = f"{MINMAX_AGAIN} with --direct"
    files = read_stamped(path, again).get("files")
    if not isinstance(files, dict) or not files:
        raise InputError("is no result of this version", file=path, fix=again)
    require_unchanged(folder, files, again)
    return folder / "direct"


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def minmax_run(
    run: OpenRun,
    priorities: Sequence[Sequence[float]],
    *,
    prompts: int = 512,
    samples: int = 1,
    rounds: int = 10_000,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> MinMaxReport:
    """Weights of the ensemble for each tuple of group priorities (one number an adapter).

    L[z, k] = E_x E_{y ~ pi_k} log(pi_z / pi_ref) is estimated from `samples` responses a prompt of each adapter, once
    for all tuples. Writes minmax.json, and the first tuple's weights to mixture.json.
    """
    K = len(run.policies)
    for values in priorities:
        if len(values) != K:
            raise InputError(
                f"--priorities: expected {K} numbers, one an adapter, got {len(values)}", fix="give one an adapter"
            )
    stream = Stream(seed, "minmax")
    data = run.preferences()
    asked = contexts_of_prompts(data.train, run.base.store)
    contexts, apiece = sampled_prompts(asked, prompts, samples, stream.child("prompts"))
    say_tempered(run.settings.sampling.temperature, progress)
    progress(f"{apiece * len(contexts)} responses from each of {K} adapters")
    sampled = discrepancy_sampled(run.policies, contexts, stream.child("samples"), apiece)
    tuples = tuple(
        _play(run, sampled, [float(c) for c in values], rounds, stream.child("intervals")) for values in priorities
    )
    report = MinMaxReport(
        adapters=tuple(run.mixture.adapters),
        beta=run.mixture.beta,
        prompts=len(np.unique(contexts)),
        samples=samples,
        max_new_tokens=run.policies[0].sampling.max_new_tokens,
        seed=seed,
        discrepancy=_rows(sampled.estimate),
        discrepancy_standard_error=_rows(sampled.standard_error),
        tuples=tuples,
    )
    for row in tuples:
        if told := unsolved(row.value, row.lp_value, row.priorities, row.regret, row.rounds):
            progress(f"note: {told}")
    write_json(run.folder / "minmax.json", stamped(report.as_json()))
    first = tuples[0]
    save_mixture(run.folder, replace(run.mixture, weights=first.weights, priorities=first.priorities))
    return report


def _play(
    run: OpenRun, sampled: SampledDiscrepancy, priorities: list[float], rounds: int, stream: Stream
) -> MinMaxTuple:
    played = weigh(
        run.policies, sampled.estimate, beta=run.mixture.beta, priorities=priorities,
        standard_error=sampled.regret_error, rounds=rounds,
    )  # fmt: skip
    low, high = weight_intervals(sampled, run.mixture.beta, priorities, stream)
    return MinMaxTuple(
        priorities=tuple(priorities),
        weights=tuple(played.weights.tolist()),
        weights_interval=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        value=played.value,
        lp_value=played.lp_value,
        gap=played.gap,
        group_regret=tuple(played.group_regret.tolist()),
        regret=_rows(played.regret.values),
        regret_standard_error=_rows(played.regret.standard_error),
        rounds=rounds,
        step=played.hedge.step,
    )


def _rows(matrix: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def weight_intervals(
    sampled: SampledDiscrepancy, beta: float, priorities: Sequence[float], stream: Stream
) -> tuple[FloatArray, FloatArray]:
    """95 % limits of the optimal weights when L is drawn from the law of its estimate; (K,) twice.

    Entries are means over the same n contexts and vary together, with the covariance of the contexts' own values over
    their number, which is estimated too: a draw is L + C z sqrt((n - 1) / chi^2_{n - 1}), C C' that covariance, z
    normal [derived: t_{n - 1} in each direction; Cornish, Proc. IRE 42(9), 1954]. Each draw is solved exactly (LP).
    Fewer than three contexts vary along one line, and say nothing of what lies beside it: limits are then 0 and 1.
    """
    matrix, n = sampled.estimate, sampled.by_context.shape[2]
    if n < 3:
        return np.zeros(len(matrix)), np.ones(len(matrix))
    values, vectors = np.linalg.eigh(np.cov(sampled.by_context.reshape(matrix.size, n)).reshape(matrix.size, -1) / n)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    errors = stream.normals((_DRAWS, matrix.size)) * student_scales(n - 1, _DRAWS, stream)[:, None]
    draws = np.stack([
        game_value(regret_matrix(matrix + (root @ error).reshape(matrix.shape), beta, priorities).values).weights
        for error in errors
    ])  # fmt: skip
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return low, high


def direct_regrets(sampled: SampledDiscrepancy, ratios: FloatArray, beta: float) -> tuple[FloatArray, FloatArray]:
    """beta (L[z, z] - E_x E_{y ~ pi} log(pi_z / pi_ref)) of a policy pi, and its standard error; (K,) twice.

    ratios: (K, n samples) log(pi_z / pi_ref) of pi's responses, those to each of the n contexts of `sampled` together.
    Both are means over the same contexts: the error is that of the differences within them.
    """
    K, n = len(ratios), sampled.by_context.shape[2]
    apart = np.diagonal(sampled.by_context).T - ratios.reshape(K, n, -1).mean(axis=2)
    return beta * apart.mean(axis=1), beta * error_of_mean(apart)


def direct_run(
    run: OpenRun,
    settings: SaddleSettings,
    priorities: Sequence[float] | None,
    *,
    prompts: int = 512,
    samples: int = 1,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> DirectReport:
    """The direct saddle-point policy of a run: adapter folder `direct`, direct.json; resumes from what the journal of
    the run's policies keeps.

    Its regrets are measured on fresh samples, beside the ensemble's value on the same prompts.
    """
    stream = Stream(seed, "direct")
    asked = contexts_of_prompts(run.preferences().train, run.base.store)
    contexts, apiece = sampled_prompts(asked, prompts, samples, stream.child("prompts"))
    say_tempered(run.settings.sampling.temperature, progress)
    sampled = discrepancy_sampled(run.policies, contexts, stream.child("samples"), apiece)
    matrix = sampled.estimate
    own = run.policies[0]
    # What is scored at a step is of use to that step alone: nothing of it is kept.
    groups = [AdapterPolicy(run.base, each.name, beta=each.beta, sampling=each.sampling) for each in run.policies]
    found = direct_saddle_point(
        run.base, groups, np.diag(matrix).copy(), contexts, settings, stream, priorities=priorities,
        journal=own.journal, progress=progress,
    )  # fmt: skip
    policy = AdapterPolicy(run.base, found.policy.name, beta=own.beta, sampling=own.sampling, journal=own.journal)
    repeated = np.repeat(contexts, apiece)
    drawn = policy.sample(repeated, stream.child("judge"))
    h = np.stack([policy.log_ratio(repeated, drawn) for policy in run.policies])
    regret, spread = direct_regrets(sampled, h, run.mixture.beta)
    ensemble = weigh(
        run.policies, matrix, beta=run.mixture.beta, priorities=None if priorities is None else list(priorities),
        standard_error=sampled.regret_error,
    )  # fmt: skip
    # The adapter counts from the moment its report stands beside it: `direct_adapter`.
    (run.folder / _DIRECT).unlink(missing_ok=True)
    kl = float(policy.log_ratio(repeated, drawn).mean())
    rows = [
        ("method", "direct saddle point against the worst group"),
        ("groups", str(len(run.policies))),
        ("worst regret, reward units", f"{regret.max():.4f} (of the ensemble {ensemble.group_regret.max():.4f})"),
        ("KL from the reference, nats", f"{kl:.3f}"),
        ("prompts it was measured on", str(len(np.unique(contexts)))),
        ("seed", str(seed)),
    ]
    card = direct_card(run.mixture, rows, {"priorities": priorities, **asdict(settings)}, versions())
    save_adapter(run.base, "direct", run.folder / "direct", card)
    report = DirectReport(
        priorities=None if priorities is None else tuple(priorities),
        settings=settings,
        regret=tuple(regret.tolist()),
        regret_standard_error=tuple(spread.tolist()),
        worst_regret=float(regret.max()),
        ensemble_worst_regret=float(ensemble.group_regret.max()),
        adversary=tuple(found.adversary.tolist()),
        kl_to_reference=kl,
        record=found.record,
        seed=seed,
        files=checksums(run.folder, ["direct"]),
    )
    write_json(run.folder / _DIRECT, stamped(report.as_json()))
    return report
