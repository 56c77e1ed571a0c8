"""What is measured: for each duel our kernel, its opponents on the same problem, a check that they agree."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import opponents
from choosing_duels import CHOOSING_DUELS
from duel import Candidate, Duel, Skipped
from limits import DIVISION, EXP, Work
from low_rank_duels import LOW_RANK_DUELS
from one_fit_duels import ONE_FIT_DUELS
from reading_duels import READING_DUELS

from sim.algorithms.em_dpo import em_dpo, random_split
from sim.algorithms.em_log_linear import em_log_linear
from sim.algorithms.hedge import default_step, hedge_batch
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.mechanism import Mechanism, best_misreports
from sim.algorithms.welfare import LEXIMIN, NASH
from sim.environments.linear import majority_bandit
from sim.estimators.bradley_terry import fit_bradley_terry_batch
from sim.estimators.shared_representation import fit_shared_batch, representation_error
from sim.policies.log_linear import ArmFeatures
from sim.populations.collect import collect_pairs
from sim.populations.feature_pairs import sample_feature_pairs
from sim.populations.latent_types import LatentTypes
from sim.populations.shared_representation import shared_population
from sim.streams import Stream


def small_fits() -> Duel:
    replicates, n, d, sample = 10_000, 500, 8, 200
    x = Stream(1, role="features").normals((replicates, n, d))
    theta = 0.5 * Stream(1, role="theta").normals((replicates, d))
    margin = np.matmul(x, theta[..., None])[..., 0]
    x *= np.where(Stream(1, role="choice").uniforms((replicates, n)) < 1 / (1 + np.exp(-margin)), 1.0, -1.0)[..., None]

    def agree(ours: Any, name: str, theirs: Any) -> None:
        # Both end at gradients below 1e-8 n, which is 4.6e-7 of theta where the curvature is least (.028 n) of 2,000.
        tolerance = 1e-4 if name == "scikit-learn loop" else 1e-6
        np.testing.assert_allclose(ours.theta[: len(theirs)], theirs, atol=tolerance)

    return Duel(
        f"{replicates:,} Bradley-Terry fits, n = {n}, d = {d}",
        Candidate(lambda: fit_bradley_terry_batch(x, ridge=1e-3)),
        {
            "scikit-learn loop": (
                Candidate(lambda: opponents.sklearn_fits(x[:sample], 1e-3), replicates / sample),
                120.0,
            ),
            "batched NumPy": (Candidate(lambda: opponents.numpy_fits(x, 1e-3)), 6.0),
        },
        agree,
        # Four Newton steps a fit: margins, gradient, the Hessian's lower triangle, a sigmoid.
        limit=Work(operations=4.0 * replicates * n * (4 * d + d * (d + 1) + EXP + 2 * DIVISION)),
    )


def sampling() -> Duel:
    n, d, annotators = 1_000_000, 32, 200
    theta = Stream(2, role="theta").normals((annotators, d)) / 4
    single = theta.astype(np.float32)
    # Both write into memory touched before: fresh pages would cost more than the draws.
    out, out_single, annotator = np.ones((n, d)), np.ones((n, d), np.float32), np.ones(n, np.int64)

    def theirs() -> Any:
        opponents.numpy_pairs(single, out_single, annotator)
        return annotator, out_single

    def agree(ours: Any, name: str, theirs: Any) -> None:
        who, x = theirs
        samples = [(ours.annotator, ours.differences), (who, x)]
        won = [float((np.einsum("nd,nd->n", theta[a], x) > 0).mean()) for a, x in samples]
        np.testing.assert_allclose(won[0], won[1], atol=4e-3)

    return Duel(
        f"{n:,} pairs, d = {d}, float64 by Philox",
        Candidate(lambda: sample_feature_pairs(theta, n, Stream(2), out=out)),
        {"NumPy, float32 in chunks": (Candidate(theirs), 6.0)},
        agree,
        # 33 uniforms a pair of half a Philox block of 10 rounds each, about 70 operations a block; or what is written.
        limit=Work(operations=33 * 35.0 * n, written=8.0 * n * (d + 1)),
    )


def em_small() -> Duel:
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("llm.networks.mlp") is None:
        raise Skipped("needs the llm extra")
    from llm.networks.mlp import LITERAL, MLPPolicy

    pairs = collect_pairs(majority_bandit(), LatentTypes(np.array([0.6, 0.3, 0.1])), 200, 10, Stream(123, "bandit"))
    start = random_split(200, 3, Stream(3))
    features = ArmFeatures(3, 3)

    def ours() -> Any:
        x = features.differences(pairs.contexts, pairs.chosen, pairs.rejected)
        return em_log_linear(x, pairs.annotator, 200, 3, start=start[None])

    def theirs() -> Any:
        policies = [MLPPolicy(3, 3, training=LITERAL, stream=Stream(4, role=f"type/{k}")) for k in range(3)]
        return em_dpo(pairs, policies, start=start, max_rounds=100, guard=False)

    def agree(ours: Any, name: str, theirs: Any) -> None:
        same = ours.responsibilities.argmax(axis=1)[:, None] == ours.responsibilities.argmax(axis=1)
        other = theirs.responsibilities.argmax(axis=1)[:, None] == theirs.responsibilities.argmax(axis=1)
        # Unpenalised networks wander off in late rounds: pairs of annotators told together alike, most of them.
        assert (same == other).mean() > 0.7

    return Duel(
        "EM, 200 annotators x 10 pairs, K = 3, to its stopping rule",
        Candidate(ours),
        {"torch MLP recipe (Table 1)": (Candidate(theirs), 1000.0)},
        agree,
        repeats=3,
    )


def em_million() -> Duel:
    annotators, per, d, n_types, rounds, few = 20_000, 50, 8, 3, 30, 4
    n = annotators * per
    theta = Stream(5, role="theta").normals((n_types, d))
    types = Stream(5, role="types").integers(n_types, annotators)
    annotator = np.repeat(np.arange(annotators), per)
    x = Stream(5, role="features").normals((n, d))
    margin = np.einsum("nd,nd->n", theta[types[annotator]], x)
    x *= np.where(Stream(5, role="choice").uniforms(n) < 1 / (1 + np.exp(-margin)), 1.0, -1.0)[:, None]
    start, offsets = random_split(annotators, n_types, Stream(6)), np.arange(0, n, per)

    def ours() -> Any:
        return em_log_linear(x, annotator, annotators, n_types, start=start[None], max_rounds=rounds, tolerance=0.0)

    def agree(ours: Any, name: str, theirs: Any) -> None:
        np.testing.assert_allclose(ours.likelihood_trace[few], theirs[1], rtol=1e-9)

    # A run of t rounds is t + 2 passes over the answers: two for the start.
    theirs = Candidate(lambda: opponents.numpy_em(x, offsets, start, 1e-3, few), (rounds + 2) / (few + 2))
    return Duel(
        f"EM, {n:,} pairs of {annotators:,} annotators, K = 3, d = {d}, {rounds} rounds, ours with its preparation",
        Candidate(ours),
        {"vectorised NumPy": (theirs, 15.0)},
        agree,
        repeats=5,
        limit=Work(operations=(rounds + 2.0) * n * n_types * (4 * d + d * (d + 1) + 2 * EXP + 3 * DIVISION)),
    )


def hedge() -> Duel:
    n, k, rounds = 1000, 8, 10_000
    games = 2 * Stream(7, role="games").uniforms((n, k, k)) - 1
    step = default_step(games)

    def agree(ours: Any, name: str, theirs: Any) -> None:
        weights = np.atleast_2d(theirs[0])
        np.testing.assert_allclose(ours.weights[: len(weights)], weights, atol=1e-6)

    return Duel(
        f"{rounds:,} rounds of optimistic Hedge on {n:,} games, K = {k}",
        Candidate(lambda: hedge_batch(games, rounds)),
        {
            "NumPy over all games": (
                Candidate(lambda: opponents.numpy_hedge_batched(games, rounds, step)),
                5.0,
            ),
            "NumPy loop": (Candidate(lambda: opponents.numpy_hedge(games[0], rounds, float(step[0])), n), 50.0),
        },
        agree,
        threads=1,
        repeats=3,
        # Two products of the game with a vector and two updates of K weights a round.
        limit=Work(operations=float(n) * rounds * (4 * k * k + 2 * k * (EXP + 8))),
    )


def shared_mle() -> Duel:
    replicates, run, sample, N, d, k, per_user = 1000, 100, 2, 40, 20, 2, 400
    people = [shared_population(N, d, k, Stream(8, "shared", r)) for r in range(run)]
    x = np.stack([own.answers(per_user, Stream(8, "shared", r)) for r, own in enumerate(people)])
    subspaces = np.stack([own.subspace for own in people])

    def agree(ours: Any, name: str, theirs: Any) -> None:
        # Two estimators of one subspace, the second without the likelihood's weights: both near the truth.
        for found in (ours.subspace[:sample], theirs):
            assert representation_error(subspaces[:sample], found).max() < 0.1

    return Duel(
        f"{replicates:,} shared-representation MLEs, N = {N}, d = {d}, k = {k}, Np = {per_user}",
        Candidate(lambda: fit_shared_batch(x, k), replicates / run),
        {
            "scikit-learn fits, then SVD": (
                Candidate(lambda: opponents.sklearn_subspaces(x[:sample], k, 1e-3), replicates / sample),
                30.0,
            ),
        },
        agree,
        repeats=5,
    )


def misreports() -> Duel:
    profiles, sample = 1000, 2
    opinions = Stream(9, "opinions").generator().dirichlet(np.full(3, 1.5), size=(profiles, 4))
    mechanism = Mechanism(1.0, charged=False)

    def agree(ours: Any, name: str, theirs: Any) -> None:
        assert (ours.gain[:sample] >= theirs - 1e-6).all()

    return Duel(
        f"best misreports of 4 annotators in {profiles:,} profiles (four starts each)",
        Candidate(lambda: best_misreports(mechanism, opinions, stream=Stream(9))),
        {
            "SciPy Nelder-Mead": (
                Candidate(lambda: opponents.scipy_misreports(mechanism, opinions[:sample]), profiles / sample), 0.0
            ),
        },
        agree,
        threads=1,
        repeats=5,
    )  # fmt: skip


def nash_lotteries() -> Duel:
    contexts, sample, A, M = 1000, 40, 50, 20
    tables = Stream(10, "nash").uniforms((contexts, M, A))

    def agree(ours: Any, name: str, theirs: Any) -> None:
        assert ours.optimality_gap.max() <= 1e-8
        np.testing.assert_allclose(ours.utilities[:sample], theirs.utilities, rtol=1e-3)

    return Duel(
        f"Nash lotteries of {contexts:,} contexts, A = {A}, M = {M}, relative gap 1e-8",
        Candidate(lambda: best_lotteries(tables, NASH, tolerance=1e-8)),
        {
            "cvxpy (DPP) + Clarabel": (
                Candidate(lambda: best_lotteries(tables[:sample], NASH, method="cvxpy"), contexts / sample), 50.0
            ),
        },
        agree,
        repeats=5,
        # Ten and a half iterations: the M x M matrix of weighted products, its factor, a dozen products with the table.
        limit=Work(operations=10.5 * contexts * (M * (M + 1) * A + M**3 / 3 + 24 * M * A)),
    )  # fmt: skip


def leximin_lotteries() -> Duel:
    contexts, sample, A, M = 200, 20, 50, 20
    tables = Stream(11, "leximin").uniforms((contexts, M, A))

    def agree(ours: Any, name: str, theirs: Any) -> None:
        # Later levels move by many times what the first may give way (1e-9 here, 1e-7 inside HiGHS).
        np.testing.assert_allclose(np.sort(ours.utilities[:sample], axis=1), theirs, atol=2e-5)

    return Duel(
        f"leximin lotteries of {contexts} contexts, A = {A}, M = {M}",
        Candidate(lambda: best_lotteries(tables, LEXIMIN)),
        {
            "HiGHS, same levels by duals": (
                Candidate(lambda: opponents.highs_leximin(tables[:sample]), contexts / sample), 8.0
            ),
        },
        agree,
        repeats=5,
    )  # fmt: skip


def party_rewards() -> Duel:
    replicates, M, n, d, r = 20, 64, 200, 16, 2
    x = np.stack([shared_population(M, d, r, Stream(12, "p", i)).answers(n, Stream(12, "p", i)) for i in range(20)])

    def agree(ours: Any, name: str, theirs: Any) -> None:
        loss = opponents.shared_loss(x[:1], theirs)
        np.testing.assert_allclose(opponents.shared_loss(x[:1], ours.theta[:1]), loss, rtol=2e-3)

    return Duel(
        f"{replicates} shared-representation MLEs, M = {M}, n = {n}, d = {d}, r = {r}, one core",
        Candidate(lambda: fit_shared_batch(x, r)),
        {
            "alternating Newton in NumPy": (
                Candidate(lambda: opponents.alternating_newton(x[:1], r), replicates), 0.0
            ),
        },
        agree,
        threads=1,
        repeats=5,
    )  # fmt: skip


DUELS: dict[str, Callable[[], Duel]] = {
    "small-fits": small_fits,
    "sampling": sampling,
    "em-small": em_small,
    "em-million": em_million,
    "hedge": hedge,
    "shared-mle": shared_mle,
    "misreports": misreports,
    "nash": nash_lotteries,
    "leximin": leximin_lotteries,
    "parties": party_rewards,
    **CHOOSING_DUELS,
    **LOW_RANK_DUELS,
    **ONE_FIT_DUELS,
    **READING_DUELS,
}
