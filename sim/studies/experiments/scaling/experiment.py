"""How the loss of a common policy grows with the number of parties, and where the growth comes from (study S2)."""

from __future__ import annotations

import numpy as np

from sim.algorithms.pessimistic_welfare import statewise_policy
from sim.algorithms.welfare import RULES
from sim.environments.trajectory_pool import sign_answers
from sim.estimators.party_confidence import gains, party_confidence
from sim.estimators.party_rewards import estimate_party_rewards
from sim.populations.shared_representation import shared_population
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.scaling.figures import FIGURES
from sim.studies.experiments.scaling.setting import ScalingSetting


def run_scaling(setting: ScalingSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """gamma: mean error in the answers' metric; coverage: the largest width ||phi(pi*) - phi(a_m^-)|| over parties,
    a_m^- the party's worst action, in the expected covariance of an answer, for each rule's optimum; lost: a rule's
    welfare lost by the pessimistic and by the plug-in policy (equivalent utility, share of the best), by one reward
    fitted for all, and by each party's answers alone."""
    M, A, d = setting.parties, setting.actions, setting.dimension
    n = setting.answers_each
    features = stream.child("features").normals((1, A, d))
    features *= 0.5 / np.linalg.norm(features, axis=-1).max()
    theta = shared_population(M, d, min(setting.rank, d), stream.child("people"), length=1.0).theta
    if setting.shared_worst:
        # One more feature, that only the first action has and everybody dislikes.
        features, theta = np.pad(features, ((0, 0), (0, 0), (0, 1))), np.pad(theta, ((0, 0), (0, 1)))
        features[0, 0, -1], theta[:, -1] = 0.5, -2.0
    law = stream.child("law").uniforms(A) ** setting.coverage_power
    pairs = stream.child("pairs").choice(law / law.sum(), (2, M, n))
    x = setting.sharpness * (features[0, pairs[0]] - features[0, pairs[1]])
    x = sign_answers(x, theta, stream)
    rank = min(setting.rank + int(setting.shared_worst), M, features.shape[-1])
    estimates = {"shared": estimate_party_rewards(x[None], rank=rank)[0]}
    for name in ("separate", "pooled"):
        estimates[name] = estimate_party_rewards(x[None], name)[0]
    true, rows = gains(theta, features)[:, 0], []
    plain = party_confidence(x, estimates["shared"], 0.0, 1e-4)
    sets = party_confidence(x, estimates["shared"], plain.errors(theta), 1e-4)
    rows.append(Measurement("shared", "gamma", float(plain.errors(theta).mean())))
    rows.append(Measurement("separate", "gamma", float(party_confidence(x, estimates["separate"], 0.0, 1e-4)
                                                       .errors(theta).mean())))  # fmt: skip
    bounds = sets.gain_bounds(features)
    worst = true.argmin(axis=1)
    shown = law / law.sum()
    centred = features[0] - shown @ features[0]
    expected = 2.0 * setting.sharpness**2 * np.einsum("a,ai,aj->ij", shown, centred, centred) + 1e-4 * np.eye(
        len(x[0, 0])
    )
    apart = np.stack([features[0] - features[0, w] for w in worst])
    norms = np.stack([np.sqrt(np.einsum("ai,ij,aj->a", own, np.linalg.inv(expected), own)) for own in apart])
    for name, rule in RULES.items():
        value = rule.equivalent(true)
        best = int(value.argmax())
        if value[best] <= 1e-9:
            continue
        rows.append(Measurement(name, "coverage", float(norms[:, best].max())))
        chosen = {"pessimistic": bounds, **{method: gains(own, features) for method, own in estimates.items()}}
        for method, table in chosen.items():
            picked = max(int(statewise_policy(table, rule)[0]), 0)
            rows.append(Measurement(name, f"lost/{method}", float(1.0 - value[picked] / value[best])))
    return rows


SCALING = Experiment(ScalingSetting, run_scaling, FIGURES, memory=ScalingSetting.memory)
