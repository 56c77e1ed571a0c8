"""Rank choice: the criteria by their formulas, and the convex surrogate by its optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest

from sim.environments.low_rank import low_rank_matrix, plain_world
from sim.estimators.low_rank import fit_low_rank
from sim.estimators.nuclear_norm import fit_nuclear_norm, largest_penalty
from sim.estimators.rank_choice import choose_rank, penalty
from sim.streams import Stream


def test_penalties_by_hand() -> None:
    assert penalty("aic", 1000, 8, 10) == 2.0
    assert penalty("bic", 1000, 8, 10) == pytest.approx(np.log(1000))
    assert penalty("gic", 1000, 8, 10) == pytest.approx(np.log(np.log(1000)) * np.log(80))


def test_information_criterion_is_its_formula() -> None:
    world = plain_world(low_rank_matrix(4, 5, 2, Stream(1), norm=2.0))
    x, z = world.comparisons(1500, Stream(2))
    found = choose_rank(x, z, criterion="bic")
    for rank, score in zip(found.ranks, found.scores, strict=True):
        theta = fit_low_rank(x, z, rank, ridge=1e-6).theta  # by the other method
        u = np.einsum("ni,ij,nj->n", x, theta, z)
        loss = -2 * np.log(1 / (1 + np.exp(-u))).sum()
        assert score == pytest.approx(loss + np.log(1500) * (9 * rank - rank**2), abs=1e-3)
    assert found.ranks == (1, 2, 3, 4)
    assert found.rank == 2


def test_held_out_likelihood_is_that_of_the_fold() -> None:
    world = plain_world(low_rank_matrix(4, 5, 1, Stream(3), norm=2.0))
    x, z = world.comparisons(900, Stream(4))
    fold = np.arange(900) // 300
    found = choose_rank(x, z, (1, 3), "held_out", fold=fold, ridge=1e-4)
    total = 0.0
    for number in range(3):
        held = fold == number
        theta = fit_low_rank(x[~held], z[~held], 3, ridge=1e-4).theta
        total -= np.log(1 / (1 + np.exp(-np.einsum("ni,ij,nj->n", x[held], theta, z[held])))).sum()
    assert found.scores[1] == pytest.approx(total / 900, abs=1e-5)
    assert found.rank == 1


def test_nonsense_is_refused() -> None:
    x, z = plain_world(low_rank_matrix(4, 5, 1, Stream(3))).comparisons(50, Stream(4))
    with pytest.raises(ValueError, match="criterion must be one of"):
        choose_rank(x, z, criterion="dic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no rank to try"):
        choose_rank(x, z, ())
    with pytest.raises(ValueError, match=r"ranks must be a whole number, 1\.\.4 \(got 5\)"):
        choose_rank(x, z, (5,))


def test_nuclear_norm_fit_meets_its_optimality_conditions() -> None:
    """-G lies in penalty times the subdifferential: |G|_op <= penalty, <G, Theta> = -penalty |Theta|_*."""
    x, z = plain_world(low_rank_matrix(4, 5, 1, Stream(5), norm=2.0)).comparisons(300, Stream(6))
    top = largest_penalty(x, z)
    assert np.abs(fit_nuclear_norm(x, z, 1.01 * top)).max() < 1e-6
    assert np.abs(fit_nuclear_norm(x, z, 0.9 * top)).max() > 1e-3
    weight = 0.3 * top
    theta = fit_nuclear_norm(x, z, weight)
    s = -1.0 / (1.0 + np.exp(np.einsum("ni,ij,nj->n", x, theta, z)))
    gradient = (x * s[:, None]).T @ z / len(x)
    assert np.linalg.norm(gradient, 2) <= weight * (1 + 1e-4)
    nuclear = np.linalg.svd(theta, compute_uv=False).sum()
    assert (gradient * theta).sum() == pytest.approx(-weight * nuclear, rel=1e-4)
    with pytest.raises(ValueError, match="penalty must be positive"):
        fit_nuclear_norm(x, z, 0.0)
