"""How many types a run has: a fit for each candidate, and the one that held-out answers prefer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llm.base.embeddings import require_sentence_model
from llm.base.journal import Journal
from llm.base.processes import processes
from llm.base.progress import Progress
from llm.base.shared_base import SharedBase
from llm.data.answer_sets import TextPreferences
from llm.data.known_groups import known_groups
from llm.runs.adapter_start import begin_at_start, read_start, require_a_folder_a_group, start_folders
from llm.runs.response_embeddings import RunEmbeddings
from llm.runs.run_folder import save_metrics
from llm.runs.run_settings import RunSettings
from llm.runs.tracking import Tracking
from llm.training.adapter_policy import AdapterPolicy
from llm.training.adapter_training import FitReport
from llm.training.answer_sizes import answer_sizes
from llm.training.device_memory import choose_checkpointing, fits_together
from llm.training.group_training import SINGLE, GroupFit, RoundRecord, fit_groups
from llm.training.heads_start import HeadsStart
from llm.training.joint_policies import fit_all_of, sharing_of
from llm.training.passes import start_gradient_checkpointing
from llm.training.robust_training import fit_robustly
from llm.training.steps import Step
from sim.errors import InputError
from sim.partitions import known_rand_index
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class RunInputs:
    """What every candidate is fitted with.  record: rows of metrics.jsonl, in the order they happened."""

    settings: RunSettings
    base: SharedBase
    tokenizer: Any
    data: TextPreferences
    stream: Stream
    journal: Journal
    out: Path
    progress: Progress
    record: list[dict[str, Any]] = field(default_factory=list)
    tracking: Tracking = field(default_factory=Tracking)

    @property
    def embeddings(self) -> RunEmbeddings:
        return RunEmbeddings(self.base, self.tokenizer, self.settings.groups.embedding, self.journal)


def candidate_types(settings: RunSettings, data: TextPreferences) -> list[int]:
    """The numbers of types to fit; raises InputError where the answers are too few for them."""
    candidates = (
        [1] if settings.method in SINGLE
        else [settings.groups.types] if settings.groups.types is not None
        else list(range(1, settings.groups.max_types + 1))
    )  # fmt: skip
    if max(candidates) > data.train.pairs.n_annotators:
        raise InputError(
            f"{max(candidates)} types need at least as many annotators ({data.train.pairs.n_annotators} train)",
            field="groups.types", fix="ask for fewer",
        )  # fmt: skip
    if len(candidates) > 1 and not len(data.held_out) and not len(data.new_prompts):
        raise InputError("choosing types needs held-out answers", field="data.held_out", fix="set it above 0")
    for n_types in candidates:
        require_a_folder_a_group(settings.lora, n_types)
    return candidates


def require_fitting(settings: RunSettings, data: TextPreferences, base: SharedBase) -> None:
    """InputError where the settings ask for what these answers and this base cannot give: said before the work."""
    candidate_types(settings, data)
    if settings.method == "group-dpo":
        known_groups(data.train, settings.data)
    if settings.groups.embedding != "hidden":
        require_sentence_model(settings.groups.embedding)
    # Layers that are not there.
    _ = base.adapted_layers
    if settings.training.gradient_checkpointing:
        start_gradient_checkpointing(base)
        base.model.eval()
    for folder in start_folders(settings.lora):
        read_start(base, folder)


def fit_candidates(inputs: RunInputs) -> dict[int, GroupFit]:
    """A fit for each number of types that the settings allow."""
    candidates = candidate_types(inputs.settings, inputs.data)
    inputs = replace(inputs, settings=_with_what_fits(inputs, max(candidates)))
    inputs.progress(f"note: {inputs.base.adapted_layers}")
    return {n_types: _fit_candidate(inputs, n_types, many=len(candidates) > 1) for n_types in candidates}


def best_types(fits: Mapping[int, GroupFit]) -> int:
    """The number of types whose held-out log-likelihood is largest."""
    return max(fits, key=lambda k: fits[k].judged) if len(fits) > 1 else next(iter(fits))


def _with_what_fits(inputs: RunInputs, n_types: int) -> RunSettings:
    """The settings, activations recomputed where a training step does not fit into memory otherwise."""
    settings, training, observations = inputs.settings, inputs.settings.training, inputs.data.train.observations
    largest = answer_sizes(inputs.base.scorer, inputs.base.store, observations).largest
    shared = sharing_of(inputs.base, observations, training, n_types)
    if shared and not fits_together(inputs.base, n_types, largest, training):
        inputs.progress("note: a training step of all groups does not fit into memory: they are fitted one by one")
        training = replace(training, together=False)
    recompute = choose_checkpointing(inputs.base, n_types, largest, training)
    if recompute and training.gradient_checkpointing is None:
        inputs.progress("note: a training step does not fit into memory as it is: activations are computed twice")
    return replace(settings, training=replace(training, gradient_checkpointing=recompute))


def _fit_candidate(inputs: RunInputs, n_types: int, many: bool) -> GroupFit:
    """many: adapters carry the number of types in their names, so that candidates do not meet."""
    settings, base, data = inputs.settings, inputs.base, inputs.data
    own = inputs.stream.child(f"types/{n_types}")
    watch = _Watch(inputs, n_types, many)
    policies = []
    for k in range(n_types):
        name = f"group_{k}" if not many else f"k{n_types}_group_{k}"
        role = own.child(f"group/{k}")
        base.add_adapter(name, role.child("start"))
        begin_at_start(base, name, k, n_types)
        policies.append(
            AdapterPolicy(
                base, name, beta=settings.beta, training=settings.training, stream=role, sampling=settings.sampling,
                journal=inputs.journal, on_fit=watch.on_fit, on_step=watch.step_of(name),
                on_record=watch.record_of(name),
            )
        )  # fmt: skip
    if settings.method == "group-dpo":
        known = known_groups(data.train, settings.data)
        return fit_robustly(policies[0], data, known, settings.groups, on_round=watch.on_round)
    fit_all = fit_all_of(policies, data.train.observations)
    if fit_all is not None:
        inputs.progress("note: a step's answers of all groups go through the model together")
    return fit_groups(
        settings.method, policies, data, settings.groups, own, features=inputs.embeddings, fit_all=fit_all,
        truth=data.train.group, on_round=watch.on_round, on_start=watch.on_start,
    )  # fmt: skip


class _Watch:
    """Writes what happens during a candidate's fit to metrics.jsonl, and says each round."""

    def __init__(self, inputs: RunInputs, n_types: int, many: bool) -> None:
        self._inputs, self._n_types, self._many = inputs, n_types, many
        self._round = 0

    def step_of(self, name: str) -> Callable[[int, int], None]:
        """What is said while an adapter is fitted: a fit may take an hour."""
        return lambda step, total: self._inputs.progress(f"{name}: step {step} of at most {total}")

    def record_of(self, name: str) -> Callable[[Sequence[Step]], None]:
        """What the tracker is told while an adapter is fitted."""
        return lambda record: self._inputs.tracking.steps(name, record)

    def on_fit(self, name: str, report: FitReport) -> None:
        self._inputs.tracking.steps(name, report.record, ended=True)
        head = {"phase": "fit", "types": self._n_types, "round": self._round, "adapter": name}
        self._inputs.record.extend({**head, **step} for step in report.record)
        self._inputs.record.append({
            **head, "phase": "fit_end", "steps": report.steps, "n_answers": report.n_answers,
            "skipped_share": report.skipped_share,
            # Beside it the bound: |F - G| <= skipped_share * max(loss kept, loss skipped).
            "loss_last": report.record[-1]["loss"] if report.record else None,
        })  # fmt: skip

    def on_start(self, heads: HeadsStart) -> None:
        rand = known_rand_index(self._inputs.data.train.group, heads.responsibilities.argmax(axis=1))
        self._inputs.record.append({
            "phase": "heads", "types": self._n_types, **heads.as_json(),
            **({} if rand is None else {"adjusted_rand_index": rand}),
        })  # fmt: skip
        shares = ", ".join(f"{share:.2f}" for share in heads.responsibilities.mean(axis=0))
        agreement = "" if rand is None else f"; adjusted Rand index {rand:.2f}"
        self._inputs.progress(
            f"{'K = ' + str(self._n_types) + ', ' if self._many else ''}linear heads: shares {shares}{agreement}"
        )

    def on_round(self, row: RoundRecord) -> None:
        self._round = row.round + 1
        self._inputs.record.append({"phase": "round", "types": self._n_types, **row.as_json()})
        if processes().is_first:
            save_metrics(self._inputs.out / "metrics.jsonl", self._inputs.record)
            self._inputs.tracking.round(self._n_types, row, many=self._many)
        seen, new = (
            "-" if value is None else format(value, ".4f")
            for value in (row.held_out_log_likelihood, row.new_prompts_log_likelihood)
        )
        shares = ", ".join(f"{share:.2f}" for share in row.mixture)
        rand = row.adjusted_rand_index
        agreement = "" if rand is None else f", adjusted Rand index {rand:.2f}"
        weights = "; ".join(f"{own.name} {own.weight:.2f} at {own.log_likelihood:.4f}" for own in row.groups)
        agreement += f"; weights {weights}" if weights else ""
        self._inputs.progress(
            f"{'K = ' + str(self._n_types) + ', ' if self._many else ''}round {row.round}: shares {shares}; "
            f"log-likelihood {row.log_likelihood:.1f}; held out {seen}, "
            f"on new prompts {new}{agreement}"
        )
