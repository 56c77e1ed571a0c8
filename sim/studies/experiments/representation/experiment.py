"""Estimating many parties' rewards over a common subspace, when there is one and when there is not.

Studies S1 (the representation violated step by step) and S6 (where sharing pays) of arXiv 2403.05006.
"""

from __future__ import annotations

import time

import numpy as np

from sim.environments.trajectory_pool import sign_answers
from sim.estimators.party_confidence import gains
from sim.estimators.party_rewards import estimate_party_rewards, estimation_rate
from sim.populations.shared_representation import shared_population
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.representation.figures import FIGURES, table_representation
from sim.studies.experiments.representation.setting import METHODS, RepresentationSetting


def population(setting: RepresentationSetting, stream: Stream) -> tuple[FloatArray, FloatArray]:
    """(theta (M, d), subspace (d, r))."""
    M, d = setting.parties, setting.dimension
    people = shared_population(M, d, setting.rank, stream.child("people"), length=1.0)
    off = stream.child("off").normals((M, d))
    off -= off @ people.subspace @ people.subspace.T
    off /= np.linalg.norm(off, axis=1, keepdims=True)
    w = np.full(M, setting.violation)
    w[: round(setting.outlier_share * M)] = 1.0
    return np.sqrt(1.0 - w**2)[:, None] * people.theta + w[:, None] * off, people.subspace


def run_representation(setting: RepresentationSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """Each method's mean and largest error and error over the rate; on a bandit of 5 states and 6 actions, what a party
    loses by its own estimate's choice and what the sum of gains loses by the common one, as shares of the best."""
    theta, subspace = population(setting, stream)
    M, n, d = setting.parties, setting.answers, setting.dimension
    x = sign_answers(stream.child("x").generator().standard_normal((M, n, d)), theta, stream)
    if setting.permuted:
        x = x.reshape(M * n, d)[stream.child("permutation").permutation(M * n)].reshape(M, n, d)
    features = stream.child("features").normals((5, 6, d)) / np.sqrt(d)
    true, states = gains(theta, features), np.arange(5)
    together = true.sum(axis=0)
    rate = estimation_rate(n, M, d, setting.fit_rank)
    rows = []
    for method in METHODS:
        if method == "shared" and setting.fit_rank > M:
            continue
        began = time.perf_counter()
        found = estimate_party_rewards(x[None], method, rank=setting.fit_rank, subspace=subspace, ridge=setting.ridge)
        wall = time.perf_counter() - began
        error = np.linalg.norm(found[0] - theta, axis=1)
        learned = gains(found[0], features)
        own = np.take_along_axis(true, learned.argmax(axis=2)[..., None], axis=2)[..., 0]
        values = {
            "error": float(error.mean()),
            "error/worst": float(error.max()),
            "error/rate": float(error.max() / rate),
            "own_loss": float(1.0 - own.sum() / true.max(axis=2).sum()),
            "welfare_lost": float(1.0 - together[states, learned.sum(axis=0).argmax(axis=1)].sum()
                                  / together.max(axis=1).sum()),
        }  # fmt: skip
        rows += [Measurement(method, name, value, wall) for name, value in values.items()]
    return rows


REPRESENTATION = Experiment(
    RepresentationSetting, run_representation, FIGURES, table_representation, memory=RepresentationSetting.memory
)
