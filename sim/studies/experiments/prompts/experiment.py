"""Prompts that depend on the type (Assumption 1 of arXiv 2405.15065 broken): EM as printed, and with prompts' laws."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sim.algorithms.em_dpo import EMResult, EMStatus, em_dpo_restarts
from sim.algorithms.prompt_laws import PromptLaws
from sim.environments.tabular import TabularEnvironment
from sim.partitions import adjusted_rand_index
from sim.policies.log_linear import ItemFeatures, LogLinear
from sim.populations.latent_types import LatentTypes
from sim.preferences import FloatArray, PreferencePairs
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.prompts.figures import FIGURES
from sim.studies.experiments.prompts.setting import PromptsSetting


def run_prompts(setting: PromptsSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """adjusted_rand: of the types found against the true ones (1 alike, 0 as by chance).  mixture_error: half of the
    summed difference of the estimated shares and the annotators' own.  regret: V_z(pi_z*) - V_z(pi) of the policy of
    the type an annotator is put in, her own z, V_z = E_x[E_pi r_z - beta KL(pi || pi_0)] over all prompts alike; the
    mean over annotators, and worst_type the largest mean of a true type.

    em_dpo: Assumption 1.  prompts_<s>: with prompts' laws, prior of strength s.  true_types: the types given.
    """
    world = _world(setting, stream.child("world"))
    pairs = _answers(setting, world, stream.child("answers"))
    rows = []
    for method, fitted in _methods(setting, world, pairs, stream):
        began = time.perf_counter()
        found = fitted()
        wall = time.perf_counter() - began
        rows += [
            Measurement(method, metric, value, wall, found.status)
            for metric, value in _measured(setting, world, pairs, found).items()
        ]
    return rows


@dataclass(frozen=True, eq=False)
class _World:
    """features (S, A, d); table: types' rewards, prompts alike, uniform reference; laws (K, S) of prompts by type."""

    features: FloatArray
    table: TabularEnvironment
    laws: FloatArray


@dataclass(frozen=True, eq=False)
class _Found:
    """theta (K, d), mixture (K,), responsibilities (n_annotators, K)."""

    theta: FloatArray
    mixture: FloatArray
    responsibilities: FloatArray
    status: str = "ok"


def _world(setting: PromptsSetting, stream: Stream) -> _World:
    K, S, A = len(setting.mixture), setting.prompts, setting.responses
    features = stream.child("features").normals((S, A, setting.features))
    theta = stream.child("tastes").normals((K, setting.features))
    theta *= setting.taste / np.linalg.norm(theta, axis=1, keepdims=True)
    rewards = np.einsum("sad,kd->ksa", features, theta)
    table = TabularEnvironment(rewards, np.full(S, 1.0 / S), np.full((S, A), 1.0 / A))
    own = np.arange(K)[:, None] == np.arange(S) * K // S
    laws = (1.0 - setting.correlation) / S + setting.correlation * own / own.sum(axis=1, keepdims=True)
    return _World(features, table, laws)


def _answers(setting: PromptsSetting, world: _World, stream: Stream) -> PreferencePairs:
    """Bradley-Terry answers between two responses of a prompt drawn by the annotator's type; responses are numbered
    over all prompts, group is the true types."""
    kind = LatentTypes(np.array(setting.mixture)).draw(setting.annotators, stream.child("types"))
    annotator = np.repeat(np.arange(setting.annotators), setting.answers)
    of_type, n = kind[annotator], len(annotator)
    edges = np.cumsum(world.laws, axis=1)[of_type]
    drawn = (edges < stream.child("prompts").uniforms(n)[:, None]).sum(axis=1)
    prompt = np.minimum(drawn, setting.prompts - 1)
    offered = world.table.draw_offers(prompt, 2, stream.child("offers"))
    wins = stream.child("choices").uniforms(n) < world.table.preferred(prompt, of_type, offered)
    chosen, rejected = (np.where(wins, offered[:, a], offered[:, 1 - a]) for a in (0, 1))
    first = prompt * setting.responses
    return PreferencePairs(prompt, first + chosen, first + rejected, annotator, setting.annotators, group=kind)


def _methods(
    setting: PromptsSetting, world: _World, pairs: PreferencePairs, stream: Stream
) -> Iterator[tuple[str, Callable[[], _Found]]]:
    items, K = ItemFeatures(world.features.reshape(-1, setting.features)), len(setting.mixture)

    def policies(own: Stream) -> list[LogLinear]:
        return [LogLinear(items, beta=setting.beta, ridge=setting.ridge, mass_scaled=False) for _ in range(K)]

    def em(prompts: PromptLaws | None) -> _Found:
        best, _ = em_dpo_restarts(
            pairs, policies, restarts=setting.restarts, stream=stream.child("em"), tolerance=1e-5, prompts=prompts
        )
        return _of(best)

    def given() -> _Found:
        assert pairs.group is not None
        own, fitted = np.eye(K)[pairs.group], policies(stream)
        for k, policy in enumerate(fitted):
            policy.fit(pairs, own[pairs.annotator, k])
        return _Found(np.stack([policy.theta for policy in fitted]), own.mean(axis=0), own)

    yield "em_dpo", lambda: em(None)
    for strength in setting.strengths:
        laws = PromptLaws(pairs.contexts, strength)
        yield f"prompts_{strength:g}", lambda laws=laws: em(laws)  # type: ignore[misc]  # its own laws each
    yield "true_types", given


def _of(result: EMResult) -> _Found:
    theta = np.stack([policy.theta for policy in result.policies if isinstance(policy, LogLinear)])
    status = "ok" if result.status is EMStatus.CONVERGED else "max_rounds"
    return _Found(theta, result.mixture, result.responsibilities, status)


def _measured(setting: PromptsSetting, world: _World, pairs: PreferencePairs, found: _Found) -> dict[str, float]:
    from scipy.optimize import linear_sum_assignment

    assert pairs.group is not None
    truth, K = pairs.group, len(setting.mixture)
    agree = np.eye(K)[truth].T @ found.responsibilities
    _, order = linear_sum_assignment(-agree)
    shares = np.bincount(truth, minlength=K) / len(truth)
    label = found.responsibilities.argmax(axis=1)
    by_policy = _regrets(setting, world, found.theta)
    regret = by_policy[truth, label]
    of_types = [regret[truth == z].mean() for z in np.unique(truth)]
    return {
        "adjusted_rand": adjusted_rand_index(truth, label),
        "mixture_error": float(0.5 * np.abs(found.mixture[order] - shares).sum()),
        "regret": float(regret.mean()),
        "worst_type": float(max(of_types)),
    }


def _regrets(setting: PromptsSetting, world: _World, theta: FloatArray) -> FloatArray:
    """V_z(pi_z*) - V_z(pi_k), pi_k the KL-regularised optimum of <theta_k, phi>; (K types, K policies)."""
    table, beta = world.table, setting.beta
    best = np.array([
        table.regularised_value(policy, beta)[z] for z, policy in enumerate(table.optimal_policies(beta))
    ])  # fmt: skip
    learned = TabularEnvironment(
        np.einsum("sad,kd->ksa", world.features, theta), table.context_probabilities, table.reference
    )
    reached = [table.regularised_value(policy, beta) for policy in learned.optimal_policies(beta)]
    return np.asarray(best[:, None] - np.stack(reached, axis=1))


PROMPTS = Experiment(PromptsSetting, run_prompts, FIGURES, memory=PromptsSetting.memory)
