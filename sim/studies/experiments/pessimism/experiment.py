"""Pessimism, the plain estimate and optimism, as coverage goes from uniform to biased (study S3)."""

from __future__ import annotations

import numpy as np

from sim.algorithms.pessimistic_welfare import log_welfare_bounds
from sim.algorithms.welfare import NASH
from sim.estimators.party_confidence import PartyConfidence, gains, party_confidence
from sim.estimators.party_rewards import estimate_party_rewards
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.pessimism.figures import FIGURES
from sim.studies.experiments.pessimism.setting import MULTIPLIERS, PessimismSetting, method_of


def _answers(setting: PessimismSetting, value: FloatArray, stream: Stream) -> FloatArray:
    """Signed one-hot differences, action minus status quo; (M, n, A)."""
    M, A = value.shape
    counts = np.where(np.arange(A) < setting.known, setting.well, setting.few)
    shown = np.repeat(np.arange(A), counts)
    chance = 1.0 / (1.0 + np.exp(-setting.sharpness * value[:, shown]))
    won = stream.child("answers").uniforms((M, len(shown))) < chance
    x = np.zeros((M, len(shown), A))
    x[:, np.arange(len(shown)), shown] = np.where(won, 1.0, -1.0)
    return x


def _upper(sets: PartyConfidence, features: FloatArray, radius: FloatArray) -> FloatArray:
    """Optimism: the estimated gain plus radius times the width over the estimated worst action; (M, A)."""
    mean = np.einsum("md,ad->ma", sets.theta, features)
    worst = mean.argmin(axis=1)
    apart = np.stack([sets.norms(features - features[w])[m] for m, w in enumerate(worst)])
    return np.asarray(mean - mean.min(axis=1, keepdims=True) + radius[:, None] * apart)


def run_pessimism(setting: PessimismSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """Regret of Nash welfare (equivalent utility, gains in units of the largest) for each multiple of the parties' own
    errors: product sets; and one joint ellipsoid, by the delta method."""
    M, A = setting.parties, setting.actions
    value = stream.child("value").uniforms((M, A))
    if setting.expert:
        value = np.where(np.arange(A) < setting.known, 0.5 + 0.5 * value, 0.6 * value)
    x = _answers(setting, value, stream)
    theta = estimate_party_rewards(x[None], "separate", ridge=setting.ridge)[0]
    plain = party_confidence(x, theta, 0.0, 1e-9)
    truth = setting.sharpness * value
    errors = plain.errors(truth)
    features = np.vstack([np.eye(A), np.zeros(A)])
    exact = gains(truth, features[None])[:, 0] / setting.sharpness
    best = _welfare(exact).max()
    estimated = gains(theta, features[None])[:, 0]
    rows = []
    for z in MULTIPLIERS:
        radius = abs(z) * errors
        if z > 0:
            table = PartyConfidence(theta, plain.covariance, radius).gain_bounds(features[None])[:, 0]
        else:
            table = _upper(plain, features, radius) if z < 0 else estimated
        chosen = int(_welfare(table).argmax())
        rows.append(Measurement(method_of(z), "regret", float(best - _welfare(exact)[chosen])))
    worst = estimated.argmin(axis=1)
    widths = np.stack([plain.norms(features - features[w])[m] for m, w in enumerate(worst)])
    joint = log_welfare_bounds(estimated, widths, float(np.sqrt((errors**2).sum())))
    rows.append(Measurement("joint", "regret", float(best - _welfare(exact)[int(joint.argmax())])))
    return rows


def _welfare(table: FloatArray) -> FloatArray:
    """Nash's equivalent utility; an upper bound on a gain may lie below zero, and counts as nothing."""
    return NASH.equivalent(np.maximum(table, 0.0))


PESSIMISM = Experiment(PessimismSetting, run_pessimism, FIGURES, memory=PessimismSetting.memory)
