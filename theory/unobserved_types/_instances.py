"""Instances the claims share: the bandit of section 5.1 and random finite games of policies."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from sim.algorithms.regret import discrepancy, regret_matrix
from sim.environments.linear import majority_bandit
from sim.environments.tabular import TabularEnvironment, random_tabular
from sim.likelihoods import log_sigmoid
from sim.policies.log_linear import ArmFeatures
from sim.policies.softmax_table import SoftmaxTable
from sim.populations.collect import collect_pairs
from sim.populations.latent_types import LatentTypes
from sim.preferences import FloatArray, PreferencePairs
from sim.streams import Stream
from theory.unobserved_types import PAPER

ARXIV = PAPER.source
LATER = f"{ARXIV}, later version"
SHARES = (0.6, 0.3, 0.1)
FEATURES = ArmFeatures(3, 3)


def bandit_pairs(
    stream: Stream,
    n_annotators: int = 200,
    per_annotator: int = 10,
    shares: tuple[float, ...] = SHARES,
    scale: float = 10.0,
) -> PreferencePairs:
    """Answers in the bandit of section 5.1: Z ~ Cat(shares), x ~ U[0, 1]^3, two distinct arms."""
    population = LatentTypes(np.array(shares))
    return collect_pairs(majority_bandit(scale=scale), population, n_annotators, per_annotator, stream)


def uneven_pairs(stream: Stream) -> PreferencePairs:
    """The bandit's answers, 30 annotators with 1 to 9 each: a mean over annotators is none over answers."""
    pairs = bandit_pairs(stream, n_annotators=30, per_annotator=9)
    kept = 1 + stream.child("kept").integers(9, 30)
    return pairs.select(np.tile(np.arange(9), 30) < kept[pairs.annotator])


def bandit_differences(pairs: PreferencePairs) -> FloatArray:
    """(e_chosen - e_rejected) kron [x; 1]; (n, 12)."""
    return FEATURES.differences(pairs.contexts, pairs.chosen, pairs.rejected)


def random_instance(
    stream: Stream, n_types: int = 3, n_contexts: int = 4, n_actions: int = 4, scale: float = 2.0
) -> TabularEnvironment:
    """Normal rewards, uneven contexts, a reference that is not uniform."""
    return random_tabular(n_types, n_contexts, n_actions, stream.child("instance"), scale=scale)


def optimal_tables(environment: TabularEnvironment, beta: float) -> list[SoftmaxTable]:
    """pi_z* of each type as a policy object."""
    return [SoftmaxTable(environment.reference, beta=beta, rewards=r) for r in environment.rewards]


def exact_regrets(environment: TabularEnvironment, beta: float) -> FloatArray:
    """beta (L_zz - L_zk) of the types' optima; (K, K)."""
    contexts = np.arange(environment.n_contexts)
    L = discrepancy(optimal_tables(environment, beta), contexts, environment.context_probabilities)
    return regret_matrix(L, beta).values[1:]


def value_of_rows(regret: FloatArray) -> float:
    """max v s.t. (R' p)_k >= v for every column k, p in the simplex: the adversary's program, by HiGHS.

    Written apart from `sim.algorithms.hedge.game_value`, which solves the policies' program; by duality the two values
    are one.
    """
    n_rows, n_columns = regret.shape
    solved = linprog(
        np.append(np.zeros(n_rows), -1.0),
        A_ub=np.concatenate([-regret.T, np.ones((n_columns, 1))], axis=1),
        b_ub=np.zeros(n_columns),
        A_eq=np.append(np.ones(n_rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, 1.0)] * n_rows + [(None, None)],
        method="highs",
    )
    assert solved.success, solved.message
    return float(-solved.fun)


def random_simplex(n: int, stream: Stream) -> FloatArray:
    """Uniform on the simplex; (n,)."""
    weights = -np.log(stream.uniforms(n))
    return np.asarray(weights / weights.sum())


def random_priorities(n: int, stream: Stream, spread: float = 4.0) -> FloatArray:
    """Log-uniform on [1 / spread, spread]; (n,)."""
    return np.asarray(spread ** (2.0 * stream.uniforms(n) - 1.0))


def sigmoid(t: FloatArray | float) -> FloatArray:
    """1 / (1 + e^-t) as e^(log sigma), without overflow."""
    return np.asarray(np.exp(log_sigmoid(np.asarray(t, dtype=np.float64))))
