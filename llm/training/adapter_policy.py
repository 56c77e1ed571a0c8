"""A policy of `sim.policies` whose numbers come from one adapter of a shared base."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from llm.base.generation import KeptSamples, Sampling, sample_responses
from llm.base.journal import Journal, fingerprint
from llm.base.sequences import distinct_rows
from llm.base.shared_base import SharedBase
from llm.training.adapter_training import FitReport, fit_adapter, fit_adapter_robustly
from llm.training.batches import CUT
from llm.training.group_weights import GroupWeights
from llm.training.passes import DPOTraining
from llm.training.steps import Step
from sim.answer_kinds.response_choices import ResponseChoices
from sim.errors import InputError
from sim.preferences import AnyArray, FloatArray, IntArray, PreferencePairs
from sim.streams import Stream

# Evaluations of fewer rows are cheaper to repeat than to keep.
WORTH_KEEPING = 256


class AdapterPolicy:
    """pi_k: base plus adapter `name`; contexts and responses are numbers of the base's token store.

    Log-probabilities are those of whole responses, so `log_ratio` is exact and beta times it is the implicit reward.
    """

    def __init__(
        self,
        base: SharedBase,
        name: str,
        *,
        beta: float,
        training: DPOTraining | None = None,
        stream: Stream | None = None,
        sampling: Sampling | None = None,
        journal: Journal | None = None,
        on_fit: Callable[[str, FitReport], None] = lambda name, report: None,
        on_step: Callable[[int, int], None] = lambda step, total: None,
        on_record: Callable[[Sequence[Step]], None] = lambda record: None,
    ) -> None:
        """The adapter must exist in `base`.  stream: keys the order of the answers.  journal: finished work."""
        if not beta > 0:
            raise ValueError(f"beta must be positive (got {beta})")
        if name not in base.adapters:
            raise ValueError(f"no adapter '{name}' (there are {', '.join(base.adapters)})")
        self.base, self.name, self.beta = base, name, beta
        self.training, self.sampling = training or DPOTraining(), sampling or Sampling()
        self._stream = stream or Stream(role=f"fit/{name}")
        self.journal, self._on_fit, self.on_step = journal or Journal(None), on_fit, on_step
        self.on_record = on_record
        self._fits = 0
        self._identity: str | None = None
        self._known: dict[tuple[int, int], tuple[float, float]] = {}
        # May `remember` the scores of rows (n, 2) before they are computed here (`JointPolicies`).
        self.score_first: Callable[[AdapterPolicy, IntArray], None] = lambda policy, rows: None

    @property
    def identity(self) -> str:
        """Fingerprint of base and adapter as they are, and of the numbers they are computed in."""
        if self._identity is None:
            base = self.base
            self._identity = fingerprint(base.identity, base.computed_in, base.lora.identity(), self._tensors())
        return self._identity

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: value.detach() for name, value in self.base.parameters_of(self.name).items()}

    def changed(self) -> None:
        """Forget what was computed of earlier parameters: call it after changing them from outside."""
        self._identity = None
        self._known = {}

    def log_probability(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """log pi(response | context); (n,)."""
        return self._scored(contexts, responses)[:, 0]

    def log_ratio(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """log (pi / pi_ref); (n,), exactly 0 of an adapter that is zero where scores are bfloat16."""
        found = self._scored(contexts, responses)
        return np.asarray(found[:, 0] - found[:, 1])

    def _scored(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """(own, the reference's) log-probability of each row; (n, 2).

        Each (context, response) goes through the model once as long as the parameters stay, whoever answers about it
        and in whichever set of answers: annotators share pairs, what one prefers another does not, and answers are
        held out about pairs that are trained on.
        """
        rows, place = np.unique(np.stack([contexts, responses], axis=1), axis=0, return_inverse=True)
        pairs = [(int(c), int(r)) for c, r in rows.tolist()]
        missing = [pair for pair in pairs if pair not in self._known]
        if missing:
            base, columns = self.base, np.array(missing, dtype=np.int64).T
            new, _ = distinct_rows(base.store, columns[0], columns[1])
            self.score_first(self, new)
            if self.knows_none(new):
                one = self._score if len(new) < WORTH_KEEPING else self._kept
                own = one(new[:, 0], new[:, 1])
                self.remember(new, own, base.reference_beside(new[:, 0], new[:, 1], self.journal, WORTH_KEEPING))
        return np.array([self._known[pair] for pair in pairs]).reshape(-1, 2)[place.reshape(-1)]

    def knows_none(self, rows: IntArray) -> bool:
        """Whether the present parameters have scored none of these rows (n, 2)."""
        return not any((row[0], row[1]) in self._known for row in rows.tolist())

    def remember(self, rows: IntArray, own: FloatArray, reference: FloatArray) -> None:
        """Log-probabilities (n,) of rows (n, 2) that a forward pass of the present parameters gave, and the
        reference's to be subtracted from them. What is known already stays."""
        self._require_finite(own)
        for row, value, beside in zip(rows.tolist(), own.tolist(), reference.tolist(), strict=True):
            self._known.setdefault((row[0], row[1]), (value, beside))

    def _kept(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        # Of how many tokens batches are: in bfloat16 scores depend on it, and the reference's must be from the same.
        own = self.base
        piece = "score-" + fingerprint(self.identity, *own.batching, own.store.digest(contexts, responses))
        kept = self.journal.read(piece)
        if kept is not None:
            return np.asarray(kept[0]["scores"].numpy())
        scores = self._score(contexts, responses)
        self.journal.write(piece, {"scores": torch.from_numpy(scores)})
        return scores

    def _score(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        scores = self.base.score(self.name, contexts, responses)
        self._require_finite(scores)
        return scores

    def _require_finite(self, scores: FloatArray) -> None:
        if not np.isfinite(scores).all():
            raise InputError(
                f"log-probabilities of '{self.name}' are not finite: its training diverged", field="training.rate",
                fix=f"lower the rate (now {self.training.rate:g})",
            )  # fmt: skip

    def implicit_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        return self.beta * self.log_ratio(contexts, responses)

    def fit(self, observations: PreferencePairs | ResponseChoices, weights: FloatArray) -> None:
        """Weighted DPO from the present parameters; a fit that the journal knows is read, not repeated."""
        weights = np.asarray(weights, dtype=np.float64)
        key, stream = self.begin_fit(observations, weights)
        if not weights.any():
            return
        kept = self.journal.read(f"fit-{key}")
        if kept is not None:
            self.take_fit(*kept)
            return
        self.end_fit(key, fit_adapter(
            self.base, self.name, observations, weights, self.beta, self.training, stream,
            journal=self.journal, key=key, on_step=self.on_step, on_record=self.on_record,
        ))  # fmt: skip

    def take_fit(self, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any]) -> None:
        """A fit as the journal has it."""
        self._put(tensors)
        self._on_fit(self.name, _report(notes))

    def end_fit(self, key: str, report: FitReport) -> None:
        """Take a fit whose parameters are in place, and keep it."""
        self._keep_fit(key, report, {})
        self._on_fit(self.name, report)

    def fit_robustly(
        self, observations: PreferencePairs | ResponseChoices, weights: FloatArray, groups: GroupWeights
    ) -> GroupWeights:
        """Group-robust DPO from the present parameters and weights of the groups; returns these as they end.

        A fit that the journal knows is read, not repeated, its weights with it.  Errors: see `fit_adapter_robustly`.
        """
        weights = np.asarray(weights, dtype=np.float64)
        key, stream = self.begin_fit(
            observations, weights, list(groups.names), groups.group, groups.log_weights, groups.step
        )
        kept = self.journal.read(f"fit-{key}")
        if kept is not None:
            self._put(kept[0])
            report, ended = _report(kept[1]), groups.restored(kept[0])
        else:
            report, ended = fit_adapter_robustly(
                self.base, self.name, observations, weights, groups, self.beta, self.training, stream,
                journal=self.journal, key=key, on_step=self.on_step, on_record=self.on_record,
            )  # fmt: skip
            self._keep_fit(key, report, ended.tensors())
        self._on_fit(self.name, report)
        return ended

    def begin_fit(
        self, observations: PreferencePairs | ResponseChoices, weights: FloatArray, *beside: Any
    ) -> tuple[str, Stream]:
        """The key of all that the next fit's result depends on, and the stream of its answers' order."""
        if not isinstance(observations, PreferencePairs | ResponseChoices):
            raise TypeError(f"expected pairs or choices, got {type(observations).__name__}")
        number, self._fits = self._fits, self._fits + 1
        stream = self._stream.child(f"fit/{number}")
        data = _digest(self.base, observations)
        # Recomputed activations change gradients by rounding alone, and another device may need them; fits that share
        # passes have keys of their own; and how often a fit is kept does not change it.
        free = ("gradient_checkpointing", "together", "checkpoint_steps")
        training = {name: value for name, value in asdict(self.training).items() if name not in free}
        # What decides the batches, beside the training: answers' lengths count prompts once where they are shared.
        behind = (self.base.scorer.window,) if self.base.scorer.shares else ()
        parts = (self.identity, data, weights, self.beta, training, CUT, asdict(stream), *behind, *beside)
        return fingerprint(*parts), stream

    def _keep_fit(self, key: str, report: FitReport, beside: Mapping[str, torch.Tensor]) -> None:
        """Keep what a fit ended with, and `beside` with it."""
        self.changed()
        self.journal.write(f"fit-{key}", {**self._tensors(), **beside}, asdict(report))
        self.journal.remove(f"part-{key}")

    def _put(self, tensors: Mapping[str, torch.Tensor]) -> None:
        own = self.base.parameters_of(self.name)
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(tensors[name])
        self.changed()

    def sample(self, contexts: AnyArray, stream: Stream) -> AnyArray:
        """One response a context (numbers of the token store), temperature and length as in `sampling`; those that the
        journal knows are read."""
        kept = KeptSamples(self.journal, self.identity) if self.journal.folder is not None else None
        return sample_responses(self.base, self.name, contexts, stream, self.sampling, kept)

    def snapshot(self) -> Any:
        return {name: value.clone() for name, value in self._tensors().items()}, dict(self._known)

    def restore(self, state: Any) -> None:
        tensors, known = state
        self._put(tensors)
        self._known = dict(known)


def _report(notes: Mapping[str, Any]) -> FitReport:
    return FitReport(**{**notes, "record": tuple(notes["record"])})


def _digest(base: SharedBase, observations: PreferencePairs | ResponseChoices) -> str:
    """A fingerprint of what is answered, whatever the numbers of its tokens are."""
    if isinstance(observations, PreferencePairs):
        return base.store.digest(observations.contexts, observations.chosen, observations.rejected)
    own = observations
    parts = (own.first, own.second, own.scale, own.starts, own.answer, own.weight, own.offset(), own.constant())
    return fingerprint(base.store.digest(own.contexts, own.responses), *parts)
