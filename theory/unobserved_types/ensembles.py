"""Claims about ensembles and their regret matrix (arXiv 2405.15065, section 4, Algorithm 2, Appendix E)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.hedge import game_value
from sim.algorithms.minmax_dpo import weigh
from sim.algorithms.regret import discrepancy, discrepancy_sampled, regret_matrix
from sim.policies.mixture import FiniteMixture
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, Equivalent, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import (
    ARXIV,
    exact_regrets,
    optimal_tables,
    random_instance,
    random_priorities,
    random_simplex,
)


@dataclass(frozen=True)
class ScaleSetting(Setting):
    """per_group: priorities that differ, another factor for each row instead of one beta for all."""

    replicates: int = 150
    per_group: bool = False


class WeightsWithoutBeta(Theorem[ScaleSetting]):
    """min_w max_z (R w)_z and min_w max_z (R w / beta)_z have the same minimisers, and MinMax-DPO finds the same ones:
    its step is 1 / range(R), so every round's exponents step * R are free of beta. A step that is a number of its own
    would play another game for every beta.

    Value: the largest difference of `weigh`'s weights at beta = 5 and 0.1 from those at beta = 1, after 500 rounds.
    Scaling groups by different numbers changes the game: the control.
    """

    claim_id, paper, source = "weights-without-beta", PAPER.name, f"{ARXIV}, Algorithm 2"
    statement = "Dropping a beta common to all groups leaves the ensemble of MinMax-DPO unchanged."
    SETTINGS = {"as_stated": Variant(ScaleSetting())}

    def bound(self, setting: ScaleSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: ScaleSetting, stream: Stream) -> float:
        environment = random_instance(stream)
        policies = optimal_tables(environment, 0.5)
        L = discrepancy(policies, np.arange(environment.n_contexts), environment.context_probabilities)
        priorities = random_priorities(3, stream.child("scale")) if setting.per_group else None
        plain = weigh(policies, L, beta=1.0, rounds=500).weights
        scaled = [weigh(policies, L, beta=b, priorities=priorities, rounds=500).weights for b in (5.0, 0.1)]
        return max(float(np.abs(weights - plain).max()) for weights in scaled)

    def control(self, setting: ScaleSetting) -> tuple[Control[ScaleSetting], ...]:
        return (Control("a different factor for each group", replace(setting, per_group=True)),)


@dataclass(frozen=True)
class SampledSetting(Setting):
    """policy: who answers: the mixture, its first member alone, or the average of the members' logits."""

    replicates: int = 330
    policy: Literal["mixture", "first", "geometric"] = "mixture"


class MixtureSampled(Theorem[SampledSetting]):
    """`FiniteMixture.sample` answers with probabilities sum_k w_k pi_k(a | x).

    2,000 answers in each of 4 contexts against these probabilities, summed here from the members': Pearson's
    sum (count - expected)^2 / expected over 4 x 3 degrees of freedom has mean 1 (multinomial counts, exactly).
    Value: that quotient; its standard deviation is sqrt(2 / 12), so the mean of 330 has an error of .022.
    """

    claim_id, paper, source = "mixture-sampled", PAPER.name, f"{ARXIV}, section 4 (ensemble)"
    statement = "Answers sampled from the ensemble have the weighted mean of its members' probabilities."
    SETTINGS = {"as_stated": Variant(SampledSetting())}

    def bound(self, setting: SampledSetting) -> Bound:
        return Equivalent(1.0, margin=0.15)

    def draw(self, setting: SampledSetting, stream: Stream) -> float:
        environment, each = random_instance(stream), 2000
        policies, contexts = optimal_tables(environment, 1.0), np.arange(environment.n_contexts)
        weights = random_simplex(3, stream.child("weights"))
        chances = sum(w * np.exp(p.log_probabilities(contexts)) for w, p in zip(weights, policies, strict=True))
        mixture, rows = FiniteMixture(policies, weights), np.repeat(contexts, each)
        own = stream.child("answers")
        if setting.policy == "geometric":
            log_p = mixture.geometric_log_probabilities(rows)
            answers = np.argmax(log_p + own.gumbels(log_p.shape), axis=1)
        else:
            answers = (mixture if setting.policy == "mixture" else policies[0]).sample(rows, own)
        counts = np.bincount(rows * environment.n_actions + answers, minlength=chances.size).reshape(chances.shape)
        return float(((counts - each * chances) ** 2 / (each * chances)).sum() / (len(contexts) * 3))

    def control(self, setting: SampledSetting) -> tuple[Control[SampledSetting], ...]:
        return (
            Control("the first member alone", replace(setting, policy="first", replicates=100)),
            Control("average of logits", replace(setting, policy="geometric", replicates=100)),
        )


@dataclass(frozen=True)
class MixtureSetting(Setting):
    """mixing: sequence (draw a member once), geometric (average logits), token (average token by token)."""

    replicates: int = 200
    mixing: Literal["sequence", "geometric", "token"] = "sequence"


class MixtureLinear(Theorem[MixtureSetting]):
    """R_z(pi_z*) - R_z(sum_k w_k pi_k) = sum_k w_k R_zk: expectations are linear in the policy.

    It needs the ensemble of sequences: draw k once, then let pi_k write the whole response. Responses here are two
    tokens out of three (nine arms); the controls mix token by token, or average logits.
    """

    claim_id, paper, source = "mixture-linear", PAPER.name, f"{ARXIV}, section 4 (ensemble) and Appendix E"
    statement = "A group's regret is linear in the ensemble's weights."
    SETTINGS = {"as_stated": Variant(MixtureSetting())}

    def bound(self, setting: MixtureSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: MixtureSetting, stream: Stream) -> float:
        environment, beta = random_instance(stream, n_actions=9), 0.5
        policies, contexts = optimal_tables(environment, beta), np.arange(environment.n_contexts)
        weights = random_simplex(3, stream.child("weights"))
        R = exact_regrets(environment, beta)
        mixture = FiniteMixture(policies, weights)
        if setting.mixing == "sequence":
            mixed = np.exp(mixture.log_probabilities(contexts))
        elif setting.mixing == "geometric":
            mixed = np.exp(mixture.geometric_log_probabilities(contexts))
        else:
            mixed = _token_average([np.exp(p.log_probabilities(contexts)) for p in policies], weights)
        true = environment.regret(mixed, "kl", beta)
        return float(np.abs(true - R @ weights).max() / np.abs(environment.rewards).max())

    def control(self, setting: MixtureSetting) -> tuple[Control[MixtureSetting], ...]:
        return (
            Control("average of logits", replace(setting, mixing="geometric")),
            Control("average token by token", replace(setting, mixing="token")),
        )


def _token_average(tables: list[FloatArray], weights: FloatArray) -> FloatArray:
    """pi(t1) = sum w_k pi_k(t1), pi(t2 | t1) = sum w_k pi_k(t2 | t1), for responses of two tokens out of three."""
    joint = [table.reshape(len(table), 3, 3) for table in tables]
    first = sum(w * j.sum(axis=2) for w, j in zip(weights, joint, strict=True))
    second = sum(w * j / j.sum(axis=2, keepdims=True) for w, j in zip(weights, joint, strict=True))
    return np.asarray((np.asarray(first)[:, :, None] * np.asarray(second)).reshape(len(tables[0]), 9))


@dataclass(frozen=True)
class ZeroRowSetting(Setting):
    """matrix: policies (discrepancies of real policies, random priorities) or arbitrary (any numbers)."""

    replicates: int = 200
    matrix: Literal["policies", "arbitrary"] = "policies"


class ZeroRow(Theorem[ZeroRowSetting]):
    """With p_z proportional to w_z / c_z, sum_z p_z c_z (R w)_z = (1/2) sum_zk w_z w_k <pi_z - pi_k, h_z - h_k> / norm,
    half a Jeffreys divergence each, so max_z (R w)_z >= 0 for every w: the value is never negative and the empty
    group z0, whose row is zero, changes nothing (derivation; the paper adds the row for the positive part).

    Value of a draw: |value with the row - value without| + the negative part of the latter, by LP. For an arbitrary
    matrix, which no policies have, it fails.
    """

    claim_id, paper, source = (
        "zero-row",
        PAPER.name,
        f"{ARXIV}, Algorithm 2 (z0) and the positive part of the objective",
    )
    statement = "For an exact ensemble the row of z0 changes neither value nor optimal weights."
    SETTINGS = {"as_stated": Variant(ZeroRowSetting())}

    def bound(self, setting: ZeroRowSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: ZeroRowSetting, stream: Stream) -> float:
        if setting.matrix == "policies":
            environment = random_instance(stream)
            L = discrepancy(optimal_tables(environment, 1.0), np.arange(4), environment.context_probabilities)
            R = regret_matrix(L, 1.0, random_priorities(3, stream.child("priorities"))).values
        else:
            R = np.concatenate([np.zeros((1, 3)), stream.child("matrix").normals((3, 3))])
        with_row, without = game_value(R).value, game_value(R[1:]).value
        return float((abs(with_row - without) + max(-without, 0.0)) / np.abs(R).max())

    def control(self, setting: ZeroRowSetting) -> tuple[Control[ZeroRowSetting], ...]:
        return (Control("an arbitrary matrix", replace(setting, matrix="arbitrary")),)


@dataclass(frozen=True)
class SamplingSetting(Setting):
    """source: policy (responses drawn from pi_k) or annotated (drawn from pi_0, as annotated responses are)."""

    replicates: int = 200
    source: Literal["policy", "annotated"] = "policy"


class DiscrepancySamples(Theorem[SamplingSetting]):
    """L_zk = E_x E_{y ~ pi_k} log(pi_z / pi_0): an average over responses drawn from pi_k estimates it without bias.

    The text suggests simple averages over the annotated data; those responses were written by pi_0, and the average
    estimates E_{pi_0} log(pi_z / pi_0) <= 0 instead. One fixed instance; the value of a replicate is the error of
    L_01 from 512 contexts with one response each (the paper's number), in units of the root mean square of
    log(pi_0* / pi_0) under pi_1*, so that the noise of a replicate is about 1 / sqrt(512) whatever the instance.
    """

    claim_id, paper, source = "discrepancy-samples", PAPER.name, f"{ARXIV}, Algorithm 2, estimation of L"
    statement = "The empirical discrepancy estimates L without bias."
    SETTINGS = {
        "as_printed": Variant(
            SamplingSetting(source="annotated"), Verdict.VIOLATED, "Averages over the annotated responses."
        ),
        "as_corrected": Variant(SamplingSetting(), Verdict.HOLDS, "Averages over responses sampled from each policy."),
    }

    def bound(self, setting: SamplingSetting) -> Bound:
        return Equivalent(0.0, margin=0.05)

    def draw(self, setting: SamplingSetting, stream: Stream) -> float:
        fixed = Stream(stream.seed, cell="discrepancy-samples")
        environment = random_instance(fixed)
        policies = optimal_tables(environment, 1.0)
        exact = discrepancy(policies, np.arange(4), environment.context_probabilities)
        contexts = environment.draw_contexts(512, stream.child("contexts"))
        if setting.source == "policy":
            estimate = discrepancy_sampled(policies, contexts, stream.child("responses"))[0][0, 1]
        else:
            noise = stream.child("responses").gumbels((512, 4))
            written = np.argmax(np.log(environment.reference[contexts]) + noise, axis=1)
            estimate = policies[0].log_ratio(contexts, written).mean()
        chance = np.exp(policies[1].log_probabilities(np.arange(4)))
        ratio = policies[0].log_probabilities(np.arange(4)) - np.log(environment.reference)
        spread = np.sqrt(environment.context_probabilities @ (chance * ratio**2).sum(axis=1))
        return float((estimate - exact[0, 1]) / spread)

    def witness(self, setting: SamplingSetting, stream: Stream) -> Json:
        return {"relative_error": self.draw(setting, stream)}

    def control(self, setting: SamplingSetting) -> tuple[Control[SamplingSetting], ...]:
        return (Control("annotated responses", replace(setting, source="annotated")),)


THEOREMS = (
    WeightsWithoutBeta(),
    MixtureSampled(),
    MixtureLinear(),
    ZeroRow(),
    DiscrepancySamples(),
)
