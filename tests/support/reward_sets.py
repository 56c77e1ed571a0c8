"""Confidence sets of a reward that several tests draw."""

import numpy as np

from sim.estimators.confidence import Ellipsoid, answer_covariance
from sim.estimators.likelihood_set import LikelihoodSet


def drawn_ellipsoid(seed, M=9, k=3):
    """(psi (M, k), reference (M,), set) of a seed."""
    rng = np.random.default_rng(seed)
    psi, reference = rng.normal(size=(M, k)), rng.dirichlet(np.ones(M))
    covariance = answer_covariance(rng.normal(size=(40, k)), 0.01)
    return psi, reference, Ellipsoid(0.7 * rng.normal(size=k), covariance, float(10.0 ** rng.uniform(-2, 1)))


def drawn_likelihood_set(drop=2.0):
    """The set of 60 answers about three features."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 3))
    signs = np.where(rng.random(60) < 1 / (1 + np.exp(-x @ [1.0, -0.5, 0.2])), 1, -1)
    return LikelihoodSet(x * signs[:, None], drop, ridge=0.1)
