"""Claims of two papers on language models themselves: `pluralign check pluralign.twin_claims:CLAIMS`.

A Mistral of six tokens writes at most three of them, so every expectation is a sum over its 156 responses to a prompt.
Types are LoRA adapters that weighted DPO fitted to the answers of annotators with known rewards. What is claimed of
regrets, ensembles, EM, the min-max optimum and the mechanism is then checked on what a run trains, not on a table.

The oracle is the model's own: log pi(y | x) by the chain rule from the logits that transformers returns, one prompt at
a time, beside what `llm` scores in padded batches of response tokens alone. Single precision is what errors measure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from llm.runs.tiny_twin import collect, fresh_policies
from pluralign.twin_choices import TwinEqualLosses, TwinMechanism
from pluralign.twin_models import (
    BETA,
    RATE,
    REPLICATES,
    TRAINING,
    FittedTypes,
    drawn_twin,
    expected_rewards,
    fitted_types,
    tables_of,
)  # fmt: skip
from sim.algorithms.em_dpo import em_dpo
from sim.algorithms.regret import discrepancy, regret_matrix
from sim.policies.mixture import FiniteMixture, Mixture
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant

EM_PAPER = "arXiv 2405.15065"


@dataclass(frozen=True)
class RegretSetting(Setting):
    """form: how beta (L_zz - L_zk) is computed."""

    replicates: int = REPLICATES
    form: Literal["corrected", "no beta", "under the reference"] = "corrected"


class TwinRegret(Theorem[RegretSetting]):
    """R_z(pi_z) - R_z(pi_k) = beta (E_{pi_z} h_z - E_{pi_k} h_z), h_z = log(pi_z / pi_ref), for every reward
    r_z = beta h_z + c_z(x), of which pi_z is the KL-regularised optimum; with its own KL taken off the same
    difference is V_z(pi_z) - V_z(pi_k) = beta KL(pi_k || pi_z), V_z = R_z - beta KL(. || pi_ref).

    Three adapters fitted by DPO, c_z drawn. Left: sums over all responses with the chain rule. Right: `regret_matrix`
    of what `llm` scores; KL(pi_k || pi_z) from the chain rule alone, against V_z. Value: the larger error, relative to
    the largest regret or KL. Controls: beta dropped as Algorithm 2 drops it, and expectations over what the reference
    wrote (the annotated answers) as the text suggests.
    """

    claim_id, paper, source = "twin-regret", "twin", f"{EM_PAPER}, Appendix E, on a language model"
    statement = "A fitted model's regret matrix holds its types' regrets, and less their own KL they are beta KL."
    cost = 8.0
    SETTINGS = {"as_corrected": Variant(RegretSetting())}

    def bound(self, setting: RegretSetting) -> Bound:
        return EveryDraw(1e-5, RATE)

    def draw(self, setting: RegretSetting, stream: Stream) -> float:
        fitted = fitted_types(stream, 3)
        log_p, ratios = fitted.log_p, fitted.log_p - fitted.reference
        rewards = BETA * ratios + 3.0 * stream.child("context").normals((3, 2))[..., None]
        reached = np.stack([expected_rewards(own, rewards) for own in log_p], axis=1)
        regrets = np.diag(reached)[:, None] - reached
        regularised = reached - BETA * np.diag(np.stack([expected_rewards(own, ratios) for own in log_p]))
        lost = np.diag(regularised)[:, None] - regularised
        between = BETA * np.stack([expected_rewards(own, own - log_p) for own in log_p], axis=1)
        error = max(np.abs(self._matrix(fitted, setting.form) - regrets).max(), np.abs(lost - between).max())
        return float(error / max(np.abs(regrets).max(), between.max()))

    def _matrix(self, fitted: FittedTypes, form: str) -> FloatArray:
        space = fitted.twin.space
        L = discrepancy(tables_of(fitted), np.arange(len(space.prompts)))
        if form == "under the reference":
            ratios = np.stack([space.implicit_rewards(policy, 1.0) for policy in fitted.policies])
            L = np.where(np.eye(len(L)) > 0, L, expected_rewards(np.log(space.reference()), ratios)[:, None])
        return regret_matrix(L, 1.0 if form == "no beta" else BETA).values[1:]

    def control(self, setting: RegretSetting) -> tuple[Control[RegretSetting], ...]:
        return (
            Control("beta dropped, as Algorithm 2 prints it", replace(setting, form="no beta")),
            Control("expectations over the annotated responses", replace(setting, form="under the reference")),
        )


@dataclass(frozen=True)
class MixtureSetting(Setting):
    """mixed: whole responses, next-token chances, or the members' geometric mean."""

    replicates: int = REPLICATES
    mixed: Literal["responses", "tokens", "geometric"] = "responses"


class TwinMixture(Theorem[MixtureSetting]):
    """R_z(sum_k w_k pi_k) = sum_k w_k R_z(pi_k) for the ensemble that draws its member once for a whole response.

    Left: `Mixture` over three fitted adapters, as a run samples it, summed over all responses. Right: the members'
    values by the chain rule. Value: the largest error over three types' true rewards, relative to the largest
    difference between members. Controls: next-token chances averaged at every step, and the geometric mean, are other
    policies.
    """

    claim_id, paper, source = "twin-mixture", "twin", f"{EM_PAPER}, section 4 (ensembles), on a language model"
    statement = "An ensemble of adapters is worth to each type the weighted mean of what its members are worth."
    cost = 8.0
    SETTINGS = {"as_stated": Variant(MixtureSetting())}

    def bound(self, setting: MixtureSetting) -> Bound:
        return EveryDraw(1e-5, RATE)

    def draw(self, setting: MixtureSetting, stream: Stream) -> float:
        fitted = fitted_types(stream, 3)
        space, rewards = fitted.twin.space, fitted.twin.rewards
        raw = -np.log(stream.child("weights").uniforms(3))
        weights = raw / raw.sum()
        members = np.stack([expected_rewards(own, rewards) for own in fitted.log_p], axis=1)
        if setting.mixed == "tokens":
            log_p = np.log(np.tensordot(weights, np.exp(fitted.tokens), axes=1)).sum(axis=2)
        elif setting.mixed == "geometric":
            members_as_tables = FiniteMixture(tables_of(fitted), weights)
            log_p = members_as_tables.geometric_log_probabilities(np.arange(len(space.prompts)))
        else:
            log_p = space.log_probabilities(Mixture(fitted.policies, weights))
        error = np.abs(expected_rewards(log_p, rewards) - members @ weights).max()
        return float(error / np.ptp(members, axis=1).max())

    def control(self, setting: MixtureSetting) -> tuple[Control[MixtureSetting], ...]:
        return (
            Control("next-token chances averaged", replace(setting, mixed="tokens")),
            Control("the geometric mean of the members", replace(setting, mixed="geometric")),
        )


@dataclass(frozen=True)
class GuardSetting(Setting):
    """guard: whether an M-step that lowers its own Q is undone."""

    replicates: int = REPLICATES
    guard: bool = True


class TwinEM(Theorem[GuardSetting]):
    """A round whose M-steps lower no Q_k does not lower sum_i log sum_k eta_k prod_j sigma(M_kj); AdamW at a rate too
    large lowers some, and the guard of generalised EM puts such an adapter back.

    Two adapters, 10 annotators of opposed tastes with 6 answers each, three rounds of one pass at rate 0.3. Value: the
    largest fall of the observed likelihood in a round, relative. Control: the same without the guard.
    """

    claim_id, paper, source = "twin-em", "twin", f"{EM_PAPER}, Algorithm 1, with LoRA adapters"
    statement = "With the guard, EM over adapters never lowers the likelihood of the answers."
    cost = 12.0
    SETTINGS = {"as_corrected": Variant(GuardSetting())}

    def bound(self, setting: GuardSetting) -> Bound:
        return EveryDraw(1e-9, RATE)

    def draw(self, setting: GuardSetting, stream: Stream) -> float:
        trace = self._trace(setting, stream)
        return float(-np.diff(trace).min() / np.abs(trace).max())

    def _trace(self, setting: GuardSetting, stream: Stream) -> FloatArray:
        twin = drawn_twin(stream, 2, opposed=True)
        rough = replace(TRAINING, rate=0.3, epochs=1, batch=30)
        policies = fresh_policies(twin, ["type_0", "type_1"], BETA, rough, stream)
        found = em_dpo(
            collect(twin, 10, 6, stream.child("people")), policies, max_rounds=3, tolerance=0.0, guard=setting.guard,
            stream=stream.child("split"),
        )  # fmt: skip
        return found.log_likelihood

    def witness(self, setting: GuardSetting, stream: Stream) -> Json:
        return {"log_likelihood_by_round": self._trace(setting, stream).tolist()}

    def control(self, setting: GuardSetting) -> tuple[Control[GuardSetting], ...]:
        return (Control("no guard", replace(setting, guard=False)),)


CLAIMS = (TwinRegret(), TwinMixture(), TwinEM(), TwinEqualLosses(), TwinMechanism())
