"""Claims about a group's regret (arXiv 2405.15065, section 4 and Appendix E)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.regret import discrepancy, regret_matrix
from sim.environments.tabular import TabularEnvironment
from sim.policies.finite import log_softmax
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import ARXIV, optimal_tables, random_instance

BETAS = (0.1, 1.0, 5.0)


Form = Literal["corrected", "reversed", "no-beta", "precedence"]


@dataclass(frozen=True)
class IdentitySetting(Setting):
    """form: how beta (L_zz - L_zk) is computed."""

    replicates: int = 200
    form: Form = "corrected"


def _matrix(environment: TabularEnvironment, beta: float, form: Form) -> FloatArray:
    """The (K, K) regrets of the types' own optima by the formula under test."""
    policies = optimal_tables(environment, beta)
    contexts = np.arange(environment.n_contexts)
    if form == "precedence":
        # log(pi) / pi_0 for log(pi / pi_0): a slip of operator precedence seen in practice
        log_p = np.stack([policy.log_probabilities(contexts) for policy in policies])
        ratio = log_p / environment.reference
        L = np.einsum("s,ksa,zsa->zk", environment.context_probabilities, np.exp(log_p), ratio)
    else:
        L = discrepancy(policies, contexts, environment.context_probabilities)
    R = regret_matrix(L, 1.0 if form == "no-beta" else beta).values[1:]
    return -R if form == "reversed" else R


def _true_regrets(environment: TabularEnvironment, beta: float) -> FloatArray:
    """R_z(pi_z*) - R_z(pi_k*) from the rewards; (K, K)."""
    optima = environment.optimal_policies(beta)
    return np.stack([environment.regret(policy, "kl", beta) for policy in optima], axis=1)


class RegretBeta(Theorem[IdentitySetting]):
    """R_z(pi_z*) - R_z(pi) = beta (E_{pi_z*} h_z - E_pi h_z), h_z = log(pi_z* / pi_0): with
    r_z = beta h_z + beta log C_z(x), the normaliser cancels in the difference.

    The regret matrix of Algorithm 2 has no beta. A common factor does not move the optimal weights, but the entries are
    then no regrets, and gap, step and reported values scale with 1 / beta. Appendix E's first line and the direct
    formulation print the sign reversed: a control.

    Left: expected rewards, exact over 4 contexts and 4 arms. Right: `regret_matrix` of the types' optima. Each draw
    takes beta in {0.1, 1, 5} and reports the largest error relative to the rewards' scale: at beta = 1 alone a
    forgotten beta would not show.
    """

    claim_id, paper, source = "regret-beta", PAPER.name, f"{ARXIV}, Appendix E against Algorithm 2"
    statement = "The entries of the regret matrix are the groups' regrets."
    SETTINGS = {
        "as_printed": Variant(IdentitySetting(form="no-beta"), Verdict.VIOLATED, "R_zk = L_zz - L_zk."),
        "as_corrected": Variant(IdentitySetting(), Verdict.HOLDS, "R_zk = beta (L_zz - L_zk)."),
    }

    def bound(self, setting: IdentitySetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: IdentitySetting, stream: Stream) -> float:
        environment, worst = random_instance(stream), 0.0
        scale = float(np.abs(environment.rewards).max())
        for beta in BETAS:
            error = np.abs(_matrix(environment, beta, setting.form) - _true_regrets(environment, beta)).max()
            worst = max(worst, float(error) / scale)
        return worst

    def witness(self, setting: IdentitySetting, stream: Stream) -> Json:
        environment = random_instance(stream)
        return {
            "beta": 1.0,
            "formula": _matrix(environment, 1.0, setting.form).tolist(),
            "true_regret": _true_regrets(environment, 1.0).tolist(),
        }

    def control(self, setting: IdentitySetting) -> tuple[Control[IdentitySetting], ...]:
        return (
            Control("sign reversed, as Appendix E prints it", replace(setting, form="reversed")),
            Control("log(pi) / pi_0 instead of log(pi / pi_0)", replace(setting, form="precedence")),
        )


@dataclass(frozen=True)
class NonNegativeSetting(Setting):
    """regularised: compare R_z - beta KL instead of R_z."""

    replicates: int = 200
    regularised: bool = True


class NonNegativeRegret(Theorem[NonNegativeSetting]):
    """pi_z* maximises R_z(pi) - beta KL(pi || pi_0), not R_z(pi): the greedy policy has a negative unregularised
    regret against it (-0.387 against the softmax optimum (.6, .3, .1) of one type).

    Value of a draw: the largest advantage over pi_z* of the greedy policy and of 50 random ones, relative.
    """

    claim_id, paper, source = "regret-nonnegative", PAPER.name, f"{ARXIV}, section 4 (regret against pi_z*)"
    statement = "No policy does better for a group than its own pi_z*."
    SETTINGS = {
        "as_printed": Variant(
            NonNegativeSetting(regularised=False), Verdict.VIOLATED, "In expected reward R_z, as the regret is printed."
        ),
        "as_corrected": Variant(NonNegativeSetting(), Verdict.HOLDS, "In the regularised value R_z - beta KL."),
    }

    def bound(self, setting: NonNegativeSetting) -> Bound:
        return EveryDraw(1e-12)

    def _advantage(self, setting: NonNegativeSetting, stream: Stream) -> tuple[float, FloatArray]:
        environment, beta = random_instance(stream, n_types=1), 1.0
        greedy = np.eye(4)[environment.rewards[0].argmax(axis=1)]
        random = np.exp(log_softmax(2.0 * stream.child("policies").normals((50, 4, 4))))
        optimum = environment.optimal_policies(beta)[0]

        def value(policy: FloatArray) -> float:
            if setting.regularised:
                return float(environment.regularised_value(policy, beta)[0])
            return float(environment.expected_reward(policy)[0])

        best = max(value(policy) for policy in (greedy, *random))
        return (best - value(optimum)) / float(np.abs(environment.rewards).max()), optimum

    def draw(self, setting: NonNegativeSetting, stream: Stream) -> float:
        return self._advantage(setting, stream)[0]

    def witness(self, setting: NonNegativeSetting, stream: Stream) -> Json:
        example = np.log([0.6, 0.3, 0.1])
        own = float(np.exp(example) @ example)
        return {
            "optimum_of_the_draw": self._advantage(setting, stream)[1].tolist(),
            "by_hand": {"optimum": [0.6, 0.3, 0.1], "greedy_regret": own - float(example.max())},
        }

    def control(self, setting: NonNegativeSetting) -> tuple[Control[NonNegativeSetting], ...]:
        return (Control("unregularised regret", replace(setting, regularised=False)),)


THEOREMS = (
    RegretBeta(),
    NonNegativeRegret(),
)
