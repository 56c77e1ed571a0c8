"""How many types a run has: a fit for each candidate, and the one that held-out answers prefer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from llm.base.embeddings import hidden_state_embeddings, sentence_embeddings
from llm.base.journal import Journal
from llm.base.progress import Progress
from llm.base.shared_base import SharedBase
from llm.data.preference_text import AnswerSet, TextPreferences
from llm.runs.run_folder import save_metrics
from llm.runs.run_settings import RunSettings
from llm.training.adapter_policy import AdapterPolicy
from llm.training.adapter_training import FitReport
from llm.training.group_training import GroupFit, RoundRecord, fit_groups
from sim.errors import InputError
from sim.preferences import FloatArray
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


def candidate_types(settings: RunSettings, data: TextPreferences) -> list[int]:
    """The numbers of types to fit; raises InputError where the answers are too few for them."""
    candidates = (
        [1] if settings.method == "dpo"
        else [settings.groups.types] if settings.groups.types is not None
        else list(range(1, settings.groups.max_types + 1))
    )  # fmt: skip
    if max(candidates) > data.train.pairs.n_annotators:
        raise InputError(
            f"{max(candidates)} types need at least as many annotators ({data.train.pairs.n_annotators} train)",
            field="groups.types", fix="ask for fewer",
        )  # fmt: skip
    if len(candidates) > 1 and not len(data.held_out):
        raise InputError("choosing types needs held-out answers", field="data.held_out", fix="set it above 0")
    return candidates


def fit_candidates(inputs: RunInputs) -> dict[int, GroupFit]:
    """A fit for each number of types that the settings allow."""
    candidates = candidate_types(inputs.settings, inputs.data)
    inputs.progress(f"note: {inputs.base.adapted_layers}")
    return {n_types: _fit_candidate(inputs, n_types, many=len(candidates) > 1) for n_types in candidates}


def best_types(fits: Mapping[int, GroupFit]) -> int:
    """The number of types whose held-out log-likelihood is largest."""
    return max(fits, key=lambda k: fits[k].held_out) if len(fits) > 1 else next(iter(fits))


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
        policies.append(
            AdapterPolicy(
                base, name, beta=settings.beta, training=settings.training, stream=role, sampling=settings.sampling,
                journal=inputs.journal, on_fit=watch.on_fit,
            )
        )  # fmt: skip

    def features() -> FloatArray:
        return chosen_embeddings(base, inputs.tokenizer, data.train, settings.groups.embedding)

    return fit_groups(
        settings.method, policies, data.train, data.held_out, settings.groups, own, features=features,
        truth=data.train.group, on_round=watch.on_round,
    )  # fmt: skip


class _Watch:
    """Writes what happens during a candidate's fit to metrics.jsonl, and says each round."""

    def __init__(self, inputs: RunInputs, n_types: int, many: bool) -> None:
        self._inputs, self._n_types, self._many = inputs, n_types, many
        self._round = 0

    def on_fit(self, name: str, report: FitReport) -> None:
        head = {"phase": "fit", "types": self._n_types, "round": self._round, "adapter": name}
        self._inputs.record.extend({**head, **step} for step in report.record)
        self._inputs.record.append({
            **head, "phase": "fit_end", "steps": report.steps, "n_answers": report.n_answers,
            "skipped_share": report.skipped_share,
            # Beside it the bound: |F - G| <= skipped_share * max(loss kept, loss skipped).
            "loss_last": report.record[-1]["loss"] if report.record else None,
        })  # fmt: skip

    def on_round(self, row: RoundRecord) -> None:
        self._round = row.round + 1
        self._inputs.record.append({"phase": "round", "types": self._n_types, **row.as_json()})
        save_metrics(self._inputs.out / "metrics.jsonl", self._inputs.record)
        held = "-" if row.held_out_log_likelihood is None else format(row.held_out_log_likelihood, ".4f")
        shares = ", ".join(f"{share:.2f}" for share in row.mixture)
        rand = row.adjusted_rand_index
        agreement = "" if rand is None else f", adjusted Rand index {rand:.2f}"
        self._inputs.progress(
            f"{'K = ' + str(self._n_types) + ', ' if self._many else ''}round {row.round}: shares {shares}; "
            f"log-likelihood {row.log_likelihood:.1f}; held out {held}{agreement}"
        )


def chosen_embeddings(base: SharedBase, tokenizer: Any, answers: AnswerSet, embedding: str) -> FloatArray:
    """Embedding of each chosen response; "hidden" is the base's own mean hidden state, else a sentence model."""
    pairs = answers.pairs
    rows, back = np.unique(np.stack([pairs.contexts, pairs.chosen], axis=1), axis=0, return_inverse=True)
    if embedding == "hidden":
        return hidden_state_embeddings(base, rows[:, 0], rows[:, 1])[back]
    texts = [tokenizer.decode(base.store[r], skip_special_tokens=True) for r in rows[:, 1].tolist()]
    return sentence_embeddings(texts, embedding, str(base.device))[back]
