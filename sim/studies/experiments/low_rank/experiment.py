"""Low-rank contextual rewards under shift: who learns, who is afraid of what, and what each policy is worth."""

from __future__ import annotations

import numpy as np

from sim.algorithms.reduced_pessimism import suboptimality
from sim.environments.low_rank import Targets
from sim.estimators.reduced_confidence import scaled_error
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.low_rank.figures import FIGURES
from sim.studies.experiments.low_rank.methods import ONE_HOT, Learned, free_numbers, learn, own_contexts, policies
from sim.studies.experiments.low_rank.setting import Drawn, LowRankSetting, draw_replicate
from sim.studies.experiments.low_rank.tables import table_low_rank


def run_low_rank(setting: LowRankSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """Each estimator's error, coverage, C* and rank; each of its policies' regret, true value, share of exotic choices,
    bound and gap (method "low/distributional/c=1"); the uniform policy and the behaviour (uniform on normal actions).

    error: |estimate - Theta|_F on identified features; error/common on the common ones.  covers: 1 if the Wald set
    contains RTV(Theta).  C*: |mean psi*|_{M^-1}; C*/each: mean of |psi*|_{M^-1}.  bound: 2 f C* + 2 b_max + gap
    [reconstructed]; bound/width without b_max, what truncation drops at most.
    tail: the part of Theta off its best rank-`fitted` approximation, Frobenius norm.
    """
    drawn = draw_replicate(setting, stream)
    values = np.linalg.svd(drawn.truth, compute_uv=False)
    rows = [
        Measurement("truth", "tail", float(np.sqrt((values[setting.fitted :] ** 2).sum()))),
        Measurement("truth", "value", float(drawn.targets.rewards.max(axis=1).mean())),
    ]
    rows += _anchors(setting, drawn.targets)
    for name in setting.estimators:
        if free_numbers(name, setting) > setting.largest:
            rows.append(Measurement(name, "error", None, status="left out: larger than `largest`"))
            continue
        learned = learn(name, setting, drawn, stream.child(name))
        rows += _estimate(learned, setting, drawn)
        rows += _served(learned, setting, drawn, drawn.targets, drawn.relative, "")
        if drawn.strangers is not None and name not in ONE_HOT:
            rows += _served(learned, setting, drawn, *drawn.strangers, "/strangers")
    return rows


def _anchors(setting: LowRankSetting, targets: Targets) -> list[Measurement]:
    m, A = targets.rewards.shape
    rows = []
    for name, share in (("uniform", np.ones(A)), ("behaviour", ~targets.exotic)):
        policy = np.broadcast_to(share / share.sum(), (m, A))
        rows += _choices(name, "", policy, targets, 0.0)
    return rows


def _choices(method: str, whose: str, policy: FloatArray, targets: Targets, seconds: float) -> list[Measurement]:
    return [
        Measurement(method, f"regret{whose}", suboptimality(policy, targets.rewards), seconds),
        Measurement(method, f"value{whose}", float((policy * targets.rewards).sum(axis=1).mean()), seconds),
        Measurement(method, f"exotic{whose}", float(policy[:, targets.exotic].sum(axis=1).mean()), seconds),
    ]


def _estimate(learned: Learned, setting: LowRankSetting, drawn: Drawn) -> list[Measurement]:
    """What does not depend on a policy; all with the seconds that fit and confidence set took."""
    found = {"rank": float(learned.subspace.rank), "free": float(learned.subspace.dimension)}
    if learned.rewards_context:
        missed = learned.theta - drawn.truth
        identified = np.abs(drawn.differences).max(axis=0) > 0
        found["error"] = float(np.linalg.norm(missed[:, identified]))
        found["error/common"] = float(np.linalg.norm(missed[:, : setting.rewarding]))
        found["covers"] = float(scaled_error(learned.ellipsoid, learned.subspace.vector(drawn.truth)) <= 1.0)
    return [Measurement(learned.name, metric, value, learned.seconds) for metric, value in found.items()]


def _served(
    learned: Learned, setting: LowRankSetting, drawn: Drawn, targets: Targets, relative: FloatArray, whose: str
) -> list[Measurement]:
    """Policies for these targets, and how often the estimate orders two of a target's normal actions rightly."""
    x = own_contexts(learned.name, targets.contexts, drawn.target_user, setting)
    psi = learned.subspace.features(x[:, None], relative)
    normal = np.flatnonzero(~targets.exotic)
    first, second = (normal[i] for i in np.triu_indices(len(normal), 1))
    guess = psi @ learned.ellipsoid.estimate
    same = (guess[:, first] > guess[:, second]) == (targets.rewards[:, first] > targets.rewards[:, second])
    rows = [Measurement(learned.name, f"agreement{whose}", float(same.mean()), learned.seconds)] if same.size else []
    best = psi[np.arange(len(psi)), targets.rewards.argmax(axis=1)]
    joint, each = float(learned.ellipsoid.norm(best.mean(axis=0))[0]), float(learned.ellipsoid.norm(best).mean())
    rows += [
        Measurement(learned.name, f"C*{whose}", joint, learned.seconds),
        Measurement(learned.name, f"C*/each{whose}", each, learned.seconds),
    ]
    # The bound is about a reward that the observed contexts and the features decide.
    bounded = learned.rewards_context and not setting.hidden and setting.unsafe == 0.0
    missed = learned.subspace.bias(drawn.truth, x[:, None], relative) if bounded else np.zeros(1)
    for kind, scale, found, seconds in policies(learned, psi, setting):
        method = f"{learned.name}/{kind}/c={scale:g}"
        rows += _choices(method, whose, found.policy, targets, seconds)
        if bounded and kind in ("pointwise", "distributional"):
            f = float(np.sqrt(learned.at_scale(scale).radius))
            width = 2.0 * f * (joint if kind == "distributional" else each) + found.gap
            rows.append(Measurement(method, f"bound{whose}", width + 2.0 * float(np.abs(missed).max()), seconds))
            rows.append(Measurement(method, f"bound/width{whose}", width, seconds))
        if kind == "distributional":
            rows.append(Measurement(method, f"gap{whose}", found.gap, seconds))
    return rows


LOW_RANK = Experiment(LowRankSetting, run_low_rank, FIGURES, table_low_rank, memory=LowRankSetting.memory)
