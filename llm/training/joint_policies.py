"""Policies of one base that are fitted and scored together: M-step and E-step of all types in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from llm.base.journal import fingerprint
from llm.base.shared_base import SharedBase
from llm.training.adapter_policy import WORTH_KEEPING, AdapterPolicy
from llm.training.adapter_training import fit_adapters_together
from llm.training.joint_passes import JointFit, Sharing
from llm.training.passes import DPOTraining
from sim.algorithms.em_dpo import FitAll
from sim.answer_kinds.response_choices import ResponseChoices
from sim.errors import InputError
from sim.preferences import FloatArray, IntArray, PreferencePairs


class JointPolicies:
    """Policies that are what each alone would be, up to rounding."""

    def __init__(self, policies: Sequence[AdapterPolicy], sharing: Sharing) -> None:
        """policies: of one base, with the same beta, training and journal.  From now on one that computes scores of few
        enough rows computes the others', too.  InputError where the base takes no lanes (`SharedBase.takes_lanes`)."""
        first = policies[0]
        if any((own.base, own.beta, own.training) != (first.base, first.beta, first.training) for own in policies):
            raise ValueError("policies must be of one base, with the same beta and training")
        if not first.base.takes_lanes:
            raise InputError(
                "adapters of this form, or on this model, cannot share a forward pass", field="training.together",
                fix="set it to false",
            )  # fmt: skip
        self._policies, self._sharing = tuple(policies), sharing
        for own in policies:
            own.score_first = self._score

    def fit(self, observations: PreferencePairs | ResponseChoices, weights: FloatArray) -> None:
        """`AdapterPolicy.fit` of all of them; weights: (n, K)."""
        first, columns = self._policies[0], [np.ascontiguousarray(own, dtype=np.float64) for own in weights.T]
        begun = [
            (policy, own, *policy.begin_fit(observations, own))
            for policy, own in zip(self._policies, columns, strict=True)
        ]  # fmt: skip
        begun = [found for found in begun if found[1].any()]
        # An adapter's last bits depend on whose rows shared its passes.
        key = fingerprint("together", [alone for _, _, alone, _ in begun], self._sharing.padding)
        keys = [fingerprint(key, k) for k in range(len(begun))]
        kept = [found for own in keys if (found := first.journal.read(f"fit-{own}")) is not None]
        if len(kept) == len(keys):
            for (policy, *_), found in zip(begun, kept, strict=True):
                policy.take_fit(*found)
            return
        fits = [
            JointFit(policy.name, stream, own, policy.on_step, policy.on_record)
            for (policy, _, _, stream), own in zip(begun, keys, strict=True)
        ]  # fmt: skip
        reports = fit_adapters_together(
            first.base, fits, observations, [own for _, own, _, _ in begun], first.beta, first.training, self._sharing,
            journal=first.journal, key=key,
        )  # fmt: skip
        for (policy, *_), own, report in zip(begun, keys, reports, strict=True):
            policy.end_fit(own, report)
        first.journal.remove(f"part-{key}")

    def _score(self, asked: AdapterPolicy, rows: IntArray) -> None:
        """Give `asked`, and those of the others that know nothing of these rows (n, 2) either, their scores."""
        base, store = asked.base, asked.base.store
        length = store.lengths(rows[:, 0]) + store.lengths(rows[:, 1])
        others = [own for own in self._policies if own is asked or own.knows_none(rows)]
        # A base in a shorter format has its reference from the same pass, so that what rounding does to both cancels.
        beside = base.rounded or not base.knows_reference(rows[:, 0], rows[:, 1])
        names = [*(own.name for own in others), *([None] if beside else [])]
        if len(names) < 2 or length.sum() > self._sharing.tokens or length.max() * len(names) > base.eval_tokens:
            return
        scores = self._kept(others, names, rows)
        if beside and not base.rounded:
            base.remember_reference(rows[:, 0], rows[:, 1], scores[:, -1])
        reference = scores[:, -1] if beside else base.reference(rows[:, 0], rows[:, 1])
        for k, own in enumerate(others):
            own.remember(rows, scores[:, k], reference)

    def _kept(self, policies: Sequence[AdapterPolicy], names: Sequence[str | None], rows: IntArray) -> FloatArray:
        base, journal = policies[0].base, policies[0].journal
        if len(rows) < WORTH_KEEPING:
            return base.score_in_lanes(names, rows[:, 0], rows[:, 1])
        identities = [own.identity for own in policies]
        piece = "scores-" + fingerprint(
            identities, names[-1] is None, *base.batching, base.store.digest(rows[:, 0], rows[:, 1])
        )
        kept = journal.read(piece)
        if kept is not None:
            return np.asarray(kept[0]["scores"].numpy())
        scores = base.score_in_lanes(names, rows[:, 0], rows[:, 1])
        journal.write(piece, {"scores": torch.from_numpy(scores)})
        return scores


def tokens_of_a_step(
    base: SharedBase, observations: PreferencePairs | ResponseChoices, training: DPOTraining
) -> float:  # fmt: skip
    """Mean tokens of a batch of these answers, each with the prompt once where the model allows."""
    lengths = base.store.lengths
    if isinstance(observations, PreferencePairs):
        prompts, responses = lengths(observations.contexts), lengths(observations.chosen)
        each = responses + lengths(observations.rejected) + prompts * (1 if base.scorer.shares else 2)
        return float(each.mean()) * min(training.batch, len(observations))
    prompts, responses = lengths(observations.contexts), lengths(observations.responses)
    # A prompt has as many responses as it comes up with.
    n_prompts = len(np.unique(observations.contexts)) if base.scorer.shares else len(prompts)
    total = float(responses.sum() + prompts.mean() * n_prompts)
    return total / len(observations) * min(training.batch, len(observations))


def sharing_of(
    base: SharedBase, observations: PreferencePairs | ResponseChoices, training: DPOTraining, n_types: int
) -> Sharing | None:  # fmt: skip
    """How far the fits of so many adapters to these answers share forward passes; None where they do not."""
    found = Sharing.of(training, base.lora)
    if found is None or n_types == 1 or tokens_of_a_step(base, observations, training) > found.tokens:
        return None
    return found


def fit_all_of(policies: Sequence[AdapterPolicy], observations: PreferencePairs | ResponseChoices) -> FitAll | None:
    """`JointPolicies.fit` where these policies share passes (`sharing_of`), for `em_dpo`; None where they do not.
    InputError where that was asked for and the base takes no lanes."""
    base, training = policies[0].base, policies[0].training
    sharing = sharing_of(base, observations, training, len(policies))
    if sharing is None or not (training.together or base.takes_lanes):
        return None
    return JointPolicies(policies, sharing).fit
