"""What Nash, Utilitarian and Leximin do to whom, in societies of different shape (study S4)."""

from __future__ import annotations

import numpy as np

from sim.algorithms.fairness import pareto_option, pigou_dalton_lottery, smallest_share
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import NASH, RULES, share_of_maximum
from sim.environments.trajectory_pool import sign_answers
from sim.estimators.party_rewards import estimate_party_rewards
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.profiles.figures import FIGURES
from sim.studies.experiments.profiles.setting import ProfileSetting


def gains_of_profile(setting: ProfileSetting, stream: Stream) -> FloatArray:
    """(M, A), each party's worst action at 0."""
    M, A = setting.parties, setting.actions
    own = stream.child("own").normals((M, A))
    common = stream.child("common").normals(A)
    sign = np.ones(M)
    if setting.profile == "polarised":
        sign[M // 2 :] = -1.0
    elif setting.profile == "minority":
        sign[: max(M // 10, 1)] = -1.0
    if setting.profile == "compromise":
        reward = np.zeros((M, A))
        reward[np.arange(M), np.arange(M) % (A - 1)] = 1.0
        reward[:, -1] = 0.45
        reward += 0.02 * own
    else:
        weight = {"consensus": 0.25, "polarised": 0.35, "minority": 0.35, "loud": 1.0}[setting.profile]
        reward = (0.0 if setting.profile == "loud" else 1.0) * sign[:, None] * common + weight * own
    gained = reward - reward.min(axis=1, keepdims=True)
    gained /= gained.max()
    if setting.profile == "loud":
        gained[0] *= 10.0
    return np.asarray(gained)


def _learned(setting: ProfileSetting, true: FloatArray, stream: Stream) -> FloatArray:
    """Gains fitted to Bradley-Terry answers about uniform pairs of actions, at four times the gain."""
    M, A = true.shape
    pair = stream.child("pairs").integers(A, (2, M, setting.answers))
    x = sign_answers(np.eye(A)[pair[0]] - np.eye(A)[pair[1]], 4.0 * true, stream)
    theta = estimate_party_rewards(x[None], "separate", ridge=0.5)[0]
    return np.asarray(theta - theta.min(axis=1, keepdims=True))


def run_profiles(setting: ProfileSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """Each rule's lottery on the true gains: mean, least, Gini, smallest share of a maximum, whether a transfer from
    the best to the worst off is left undone, whether scales change it; its single choice: tau of Pareto; and what it
    loses, by its own welfare, when the gains are learned."""
    true = gains_of_profile(setting, stream)
    learned, A = _learned(setting, true, stream), setting.actions
    scales = 10.0 ** (2.0 * stream.child("scales").uniforms((setting.parties, 1)) - 1.0)
    rows = []
    for name, rule in RULES.items():
        p, moved = (best_lotteries(table[None], rule).probabilities[0] for table in (true, scales * true))
        gained = true @ p
        option = int(rule.best(true))
        # Where every action is somebody's worst Nash has no single choice; the lottery has.
        tau = pareto_option(true, option).tau if option >= 0 else float("nan")
        equivalent = rule.equivalent(gained[:, None])[0]
        from_answers = rule.equivalent((true @ best_lotteries(learned[None], rule).probabilities[0])[:, None])[0]
        share = share_of_maximum(true, gained)
        ends = (int(gained.argmax()), int(gained.argmin()))
        values = {
            "mean": float(share.mean()),
            "least": float(share.min()),
            "gini": _gini(share),
            "smallest_share": smallest_share(true, p)[0],
            "transfers": float(pigou_dalton_lottery(true, p, [ends]).available > 0),
            "scale_matters": float(0.5 * np.abs(p - moved).sum() > 1e-3),
            "options_played": float((p > 1e-6).sum() / A),
            "nash_lost": float(1.0 - NASH.equivalent(gained[:, None])[0] / NASH.equivalent(
                (true @ best_lotteries(true[None], NASH).probabilities[0])[:, None])[0]),
            "own_lost": float(1.0 - from_answers / max(equivalent, 1e-300)),
        }  # fmt: skip
        rows += [Measurement(name, metric, value) for metric, value in values.items()]
        rows.append(Measurement(name, "tau", None if not np.isfinite(tau) else tau))
    return rows


def _gini(values: FloatArray) -> float:
    """Mean absolute difference over twice the mean."""
    mean = float(values.mean())
    return float(np.abs(values[:, None] - values[None]).mean() / (2.0 * mean)) if mean > 0 else 0.0


PROFILE = Experiment(ProfileSetting, run_profiles, FIGURES, memory=ProfileSetting.memory)
