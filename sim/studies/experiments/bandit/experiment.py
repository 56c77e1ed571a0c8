"""The bandit experiment of arXiv 2405.15065, section 5.1: three groups, one of them a majority.

Z_i ~ Cat(.6, .3, .1);  x ~ U[0, 1]^3;  r_z(x, a) = 10 sum(x) 1{a = z} + N(0, .01);  each annotator compares
two distinct uniform arms in 10 contexts; labels are Bradley-Terry.

A third of the pairs are coin flips and the others nearly deterministic, so margins grow until something stops
them: the two recipes differ in what. `literal` is Table 1 read to the letter (no penalty, the plain sum of
losses); `normalised` divides each group's loss by its mass and adds the same small ridge to each;
`normalised_tenfold` is that with ten times the ridge, because a net of 183 parameters still memorises the
smallest group's coin flips at 1e-3: even with the true groups given, its exact optimum overfits that group.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.algorithms.cluster_dpo import cluster_dpo
from sim.algorithms.dpo import dpo
from sim.algorithms.em_dpo import EMResult, EMStatus, em_dpo, em_dpo_restarts
from sim.algorithms.minmax_dpo import MinMaxResult, minmax_dpo
from sim.environments.linear import LinearBandit, majority_bandit
from sim.install import install_line
from sim.partitions import adjusted_rand_index
from sim.policies.finite import log_softmax
from sim.policies.log_linear import ArmFeatures, LogLinear
from sim.policies.protocol import FinitePolicy
from sim.populations.behaviour import Behaviour, concentrability
from sim.populations.collect import collect_pairs
from sim.populations.latent_types import LatentTypes
from sim.preferences import AnyArray, FloatArray, IntArray, PreferencePairs
from sim.streams import Stream
from sim.studies.experiment import (
    Backend,
    Backends,
    Experiment,
    FittedPolicy,
    Measurement,
    PolicyRequest,
)
from sim.studies.experiments.bandit.figures import FIGURES
from sim.studies.experiments.bandit.setting import BanditSetting
from sim.studies.experiments.bandit.tables import table_bandit


def log_linear_backend(request: PolicyRequest) -> LogLinear:
    """phi(x, a) = e_a kron [x; 1], fitted exactly.

    The maximum without a ridge lies at infinity, so the literal recipe keeps one, of the same small number but
    not scaled by a group's mass.
    """
    return LogLinear(
        ArmFeatures(request.n_actions, request.dimension),
        beta=request.beta,
        ridge=request.ridge,
        mass_scaled=not request.literal,
    )


LOG_LINEAR = Backend(log_linear_backend)


def run_bandit(setting: BanditSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """One replicate of one cell. Answers, contexts and evaluation are keyed without the cell's recipe or
    backend: these are compared on the same people."""
    environment = majority_bandit(len(setting.mixture), setting.dimension, setting.scale, setting.noise_sd)
    population = LatentTypes(np.array(setting.mixture))
    behaviour = Behaviour(setting.coverage)
    pairs = collect_pairs(
        environment, population, setting.n_annotators, setting.pairs_per_annotator, stream.child("answers"),
        behaviour=behaviour,
    )  # fmt: skip
    evaluation = environment.draw_contexts(setting.evaluation_contexts, stream.child("evaluation"))
    replicate = _Replicate(
        setting, environment, pairs, evaluation, stream.child(f"{setting.backend}/{setting.recipe}"),
        backends[setting.backend],
    )  # fmt: skip
    assert pairs.group is not None
    sizes = np.bincount(pairs.group, minlength=environment.n_types)
    rows = _by_group("population", "annotators", sizes.astype(float), 0.0)
    # The worst single-policy concentrability over the types' own best arms.
    law, arms = behaviour.probabilities(environment.n_actions), np.eye(environment.n_actions)
    worst = max(concentrability(arms[None, z], law) for z in range(environment.n_types))
    rows.append(Measurement("population", "concentrability", worst, 0.0))
    return rows + replicate.pooled() + replicate.em() + replicate.clusters() + replicate.exact()


@dataclass(frozen=True, eq=False)
class _Replicate:
    setting: BanditSetting
    environment: LinearBandit
    pairs: PreferencePairs
    evaluation: FloatArray
    stream: Stream
    backend: Backend

    def pooled(self) -> list[Measurement]:
        """DPO on everybody: the stochastic policy at beta, its argmax, and the same margins at beta / 10."""
        began = time.perf_counter()
        policy = self._policies(self.stream.child("pooled"), 1)[0]
        dpo(policy, self.pairs)
        wall = time.perf_counter() - began
        log_p = policy.log_probabilities(self.evaluation)
        best = np.eye(log_p.shape[1])[log_p.argmax(axis=1)]
        sharper = np.exp(log_softmax(10.0 * log_p))  # uniform reference: log pi grows as 1 / beta
        regret = self.environment.regret
        return [
            *self._regrets("pooled_dpo", np.exp(log_p), wall),
            *_by_group("pooled_dpo_argmax", "regret", regret(self.evaluation, best), wall),
            *_by_group("pooled_dpo_beta_tenth", "regret", regret(self.evaluation, sharper), wall),
            *[
                Measurement("pooled_dpo", f"mass/arm_{a}", float(mass), wall)
                for a, mass in enumerate(np.exp(log_p).mean(axis=0))
            ],
        ]

    def em(self) -> list[Measurement]:
        """EM-DPO, then MinMax-DPO on its policies."""
        began = time.perf_counter()
        fitted = self._fit_em()
        policies = [policy for policy in fitted.policies if isinstance(policy, FinitePolicy)]
        result = minmax_dpo(policies, self.pairs.contexts, beta=self.setting.beta, rounds=self.setting.hedge_rounds)
        wall = time.perf_counter() - began
        status = "ok" if fitted.status is EMStatus.CONVERGED else "max_rounds"
        return [
            Measurement("em_minmax", "em_rounds", float(fitted.rounds), wall, status),
            Measurement("em_minmax", "log_likelihood", float(fitted.log_likelihood[-1]), wall, status),
            *self._ensemble("em_minmax", result, policies, fitted.responsibilities, wall, status),
        ]

    def clusters(self) -> list[Measurement]:
        """k-means on each annotator's mean winner, one DPO fit a cluster, then the same game."""
        began = time.perf_counter()
        n_types, stream = self.environment.n_types, self.stream.child("clusters")
        winners = np.eye(self.environment.n_actions)[self.pairs.chosen]
        fitted = cluster_dpo(self.pairs, winners, self._policies(stream, n_types), stream)
        policies = [policy for policy in fitted.policies if isinstance(policy, FinitePolicy)]
        result = minmax_dpo(policies, self.pairs.contexts, beta=self.setting.beta, rounds=self.setting.hedge_rounds)
        wall = time.perf_counter() - began
        return self._ensemble("cluster_minmax", result, policies, fitted.responsibilities, wall, "ok")

    def exact(self) -> list[Measurement]:
        """The game between the true KL-regularised optima pi_z*: what a perfect fit would give."""
        began = time.perf_counter()
        features = ArmFeatures(self.environment.n_actions, self.environment.dimension)
        policies = [
            LogLinear(features, beta=self.setting.beta, theta=theta.ravel()) for theta in self.environment.coefficients
        ]
        result = minmax_dpo(policies, self.pairs.contexts, beta=self.setting.beta, rounds=self.setting.hedge_rounds)
        assert self.pairs.group is not None
        truth = np.eye(self.environment.n_types)[self.pairs.group]
        wall = time.perf_counter() - began
        return self._ensemble("exact_minmax", result, policies, truth, wall, "ok")

    def _policies(self, stream: Stream, n: int) -> list[FittedPolicy]:
        setting = self.setting
        return [
            self.backend.make(
                PolicyRequest(
                    dimension=self.environment.dimension,
                    n_actions=self.environment.n_actions,
                    beta=setting.beta,
                    literal=setting.literal,
                    ridge=setting.ridge * (10.0 if setting.recipe == "normalised_tenfold" else 1.0),
                    epochs=setting.epochs if setting.literal else setting.epochs_normalised,
                    stream=stream.child(f"policy/{k}"),
                )
            )
            for k in range(n)
        ]

    def _fit_em(self) -> EMResult:
        setting, stream, n_types = self.setting, self.stream.child("em"), self.environment.n_types
        if setting.literal:
            # Nets that differ from the start need no split; exact solvers start equal and would stay so.
            return em_dpo(
                self.pairs,
                self._policies(stream, n_types),
                start="policies" if self.backend.random_start else None,
                max_rounds=setting.em_rounds,
                tolerance=setting.em_tolerance,
                guard=False,
                stream=stream,
            )
        return em_dpo_restarts(
            self.pairs,
            lambda own: self._policies(own, n_types),
            restarts=setting.restarts_inexact if self.backend.random_start else setting.restarts,
            stream=stream,
            max_rounds=setting.em_rounds,
            tolerance=setting.em_tolerance,
        )[0]

    def _ensemble(
        self,
        method: str,
        result: MinMaxResult,
        policies: Sequence[FinitePolicy],
        responsibilities: FloatArray,
        wall: float,
        status: str,
    ) -> list[Measurement]:
        assert self.pairs.group is not None
        place = matched_groups(responsibilities, self.pairs.group, self.environment.n_types)
        weights = result.weights[place]
        mixed = sum(
            w * np.exp(policy.log_probabilities(self.evaluation))
            for w, policy in zip(result.weights, policies, strict=True)
        )
        own = np.array(
            [
                self.environment.regret(self.evaluation, np.exp(policies[k].log_probabilities(self.evaluation)))[z]
                for z, k in enumerate(place)
            ]
        )
        single = {
            "ari": adjusted_rand_index(self.pairs.group, responsibilities.argmax(axis=1)),
            "largest_regret_entry": float(result.regret.values.max()),
            "game_value": result.value,
            "game_gap": result.gap,
            "weight_below_.01": float(weights.min() < 0.01),
        }
        return [
            *[Measurement(method, name, value, wall, status) for name, value in single.items()],
            *_by_group(method, "weight", weights, wall, status),
            *_by_group(method, "own_regret", own, wall, status),
            *self._regrets(method, np.asarray(mixed), wall, status),
        ]

    def _regrets(self, method: str, policy: FloatArray, wall: float, status: str = "ok") -> list[Measurement]:
        """True regret: sampled policy, greedy comparator, fresh contexts."""
        regret = self.environment.regret(self.evaluation, policy)
        worst = Measurement(method, "regret/worst", float(regret.max()), wall, status)
        return [*_by_group(method, "regret", regret, wall, status), worst]


def matched_groups(responsibilities: FloatArray, group: IntArray, n_types: int) -> IntArray:
    """place[z] = the fitted type that stands for true group z: the matching that covers most annotators."""
    from scipy.optimize import linear_sum_assignment

    shared = np.eye(n_types)[group].T @ responsibilities
    return np.asarray(linear_sum_assignment(-shared)[1], dtype=np.int64)


def _by_group(method: str, metric: str, values: AnyArray, wall: float, status: str = "ok") -> list[Measurement]:
    return [Measurement(method, f"{metric}/group_{z}", float(value), wall, status) for z, value in enumerate(values)]


def _missing(setting: BanditSetting, backends: Backends) -> str | None:
    if setting.backend in backends:
        return None
    if setting.backend == "mlp":
        return f"backend mlp needs torch; {install_line('llm')}"
    raise ValueError(f"backend must be one of {', '.join(backends)}, mlp (got {setting.backend!r})")


def _backend(setting: BanditSetting) -> str:
    return setting.backend


BANDIT = Experiment(BanditSetting, run_bandit, FIGURES, table_bandit, _missing, _backend, memory=BanditSetting.memory)
