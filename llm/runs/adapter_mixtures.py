"""Ensembles of adapters: the paper's, and two baselines that are often taken for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from peft.tuners.lora import LoraLayer

from llm.base.journal import Journal, fingerprint
from llm.base.sequences import collate_sequences, distinct_rows, row_batches
from llm.base.shared_base import SharedBase
from llm.training.adapter_policy import WORTH_KEEPING, AdapterPolicy
from sim.arguments import probability_array
from sim.policies.mixture import Mixture
from sim.preferences import AnyArray, FloatArray, IntArray


class AdapterMixture(Mixture):
    """pi = sum_k w_k pi_k over whole responses: draw k once, then let adapter k write.

    log pi(y | x) = logsumexp_k(log w_k + log pi_k(y | x)), exact.     [arXiv 2405.15065, section 4]
    """

    def __init__(self, policies: Sequence[AdapterPolicy], weights: FloatArray) -> None:
        super().__init__(policies, weights)
        self.members, self.beta = tuple(policies), policies[0].beta

    def implicit_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """beta log(pi / pi_ref) of the log-mixture; (n,)."""
        return self.beta * self.log_ratio(contexts, responses)

    def averaged_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """sum_k w_k beta log(pi_k / pi_ref): the component average, linear in w; (n,)."""
        parts = np.stack([policy.implicit_reward(contexts, responses) for policy in self.members])
        return np.asarray(self.weights @ parts)


def token_average_log_ratios(
    policies: Sequence[AdapterPolicy], weights: FloatArray, contexts: AnyArray, responses: AnyArray
) -> FloatArray:
    """Baseline, not the paper's ensemble: next-token distributions averaged, then multiplied along the response.

    log(sum_k w_k pi_k(y_t | x, y_<t)) summed over t, minus log pi_ref(y | x), for every row of `weights`.

    weights: (n_ensembles, K).  Returns (n_ensembles, n).  Each member scores each distinct response once, whatever
    the number of ensembles and of annotators who share the response, and remembers what it gave: asked for its own
    scores of these rows afterwards, it need not compute them again.
    """
    weights = np.stack([probability_array("weights", row, (len(policies),), 1e-9) for row in np.atleast_2d(weights)])
    base = policies[0].base
    with np.errstate(divide="ignore"):
        log_weights = torch.from_numpy(np.log(weights))
    distinct, back = distinct_rows(base.store, contexts, responses)
    prompts, answers = distinct[:, 0], distinct[:, 1]
    journal = policies[0].journal if len(distinct) >= WORTH_KEEPING else Journal(None)
    identities = [policy.identity for policy in policies]
    piece = "averaged-" + fingerprint(identities, weights, *base.batching, base.store.digest(prompts, answers))
    kept = journal.read(piece)
    if kept is None:
        out, own = _scores_of_average(policies, log_weights, prompts, answers)
        journal.write(piece, {"averaged": torch.from_numpy(out), "members": torch.from_numpy(own)})
    else:
        out, own = kept[0]["averaged"].numpy(), kept[0]["members"].numpy()
    reference = base.reference_beside(prompts, answers, policies[0].journal, WORTH_KEEPING)
    for policy, scores in zip(policies, own, strict=True):
        policy.remember(distinct, scores, reference)
    return np.asarray((out - reference)[:, back])


def _scores_of_average(
    policies: Sequence[AdapterPolicy], log_weights: torch.Tensor, prompts: IntArray, answers: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Log-probabilities of these rows under each average (n_ensembles, n), and under each member (K, n)."""
    base = policies[0].base
    out, own = np.empty((len(log_weights), len(prompts))), np.empty((len(policies), len(prompts)))
    with torch.inference_mode():
        for sequences in row_batches(base.scorer, base.store, prompts, answers, base.eval_tokens):
            batch = collate_sequences(base.store, prompts, answers, sequences, base.pad, base.device)
            rows, parts = np.concatenate(sequences), []
            for policy in policies:
                with base.scoring_as(policy.name):
                    parts.append(base.scorer.tokens(batch).double().cpu())
            members, place = torch.stack(parts), batch.row.cpu()
            mixed = torch.logsumexp(members + log_weights[:, :, None], dim=1)
            for scores, tokens in ((out, mixed), (own, members)):
                total = torch.zeros(len(tokens), len(rows), dtype=torch.float64)
                scores[:, rows] = total.index_add(1, place, tokens).numpy()
    return out, own


def merged_adapter(
    base: SharedBase, policies: Sequence[AdapterPolicy], weights: FloatArray, name: str
) -> AdapterPolicy:
    """Baseline, not the paper's ensemble: one adapter whose update is sum_k w_k Delta W_k (PEFT's "cat").

    ValueError of DoRA, whose adapters are no sums of updates.
    """
    weights = probability_array("weights", weights, (len(policies),), 1e-9)
    used = [policies[k].name for k in range(len(policies)) if weights[k] > 0]
    if any(base.peft.peft_config[own].use_dora for own in used):
        raise ValueError("policies must not be of DoRA: lengths of rows do not add up")
    base.peft.add_weighted_adapter(
        used, [float(weight) for weight in weights if weight > 0], adapter_name=name, combination_type="cat"
    )
    # PEFT puts each scaling into its A, and then scales by alpha / r = 1; of rsLoRA by sqrt(r) once more.
    base.peft.peft_config[name].use_rslora = False
    for layer in base.model.modules():
        if isinstance(layer, LoraLayer) and name in layer.scaling:
            layer.scaling[name] = 1.0
    base.peft.eval()
    return AdapterPolicy(base, name, beta=policies[0].beta, sampling=policies[0].sampling)
