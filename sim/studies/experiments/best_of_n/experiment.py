"""Best of n by a learned reward: the true score against n, for greedy and pessimistic heads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.algorithms.prs import learn_reward
from sim.algorithms.reduced_pessimism import KINDS, scaled_actions
from sim.environments.low_rank import low_rank_matrix
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.best_of_n.figures import FIGURES
from sim.studies.experiments.best_of_n.responses import Draw, Spectrum, stored
from sim.studies.experiments.best_of_n.setting import BestOfNSetting


@dataclass(frozen=True, eq=False)
class Drawn:
    """contexts (answers, d_x) and signed differences (answers, d) to learn from; prompts' contexts (m, d_x), the pool
    of their candidates (m, pool, d), its true rewards and which of it is odd (m, pool)."""

    theta: FloatArray
    contexts: FloatArray
    differences: FloatArray
    asked: FloatArray
    candidates: FloatArray
    rewards: FloatArray
    odd: BoolArray


def draw_replicate(setting: BestOfNSetting, stream: Stream) -> Drawn:
    """Cells of one study share all of it as far as their settings allow; fewer candidates are the first of more."""
    draw = _law(setting)
    d, m, usual = setting.directions, setting.targets, setting.directions - setting.rare
    theta = low_rank_matrix(setting.contexts, d, setting.rank, stream.child("theta"), norm=1.0)
    if setting.prompts != "rewarding":
        theta[:, usual:] = 0.0
    shown, _ = draw(2 * setting.answers, False, stream.child("shown"))
    z = shown[::2] - shown[1::2]
    x = stream.child("contexts").generator().standard_normal((setting.answers, setting.contexts))
    # Var(x' Theta z) = E |Theta z|^2 for x ~ N(0, I).
    theta *= setting.spread / np.sqrt(((z @ theta.T) ** 2).sum(axis=1).mean())
    margin = ((x @ theta) * z).sum(axis=1)
    first = stream.child("answers").generator().random(len(z)) < 1.0 / (1.0 + np.exp(-margin))
    asked = stream.child("asked").generator().standard_normal((m, setting.contexts))
    written, odd = draw(m * setting.pool, setting.prompts != "covered", stream.child("candidates"))
    written, odd = written.reshape(m, setting.pool, d), odd.reshape(m, setting.pool)
    rewards = np.einsum("md,mad->ma", asked @ theta, written)
    return Drawn(theta, x, np.where(first[:, None], z, -z), asked, written, rewards, odd)


def _law(setting: BestOfNSetting) -> Draw:
    if setting.file is not None:
        return stored(setting.file, setting.directions, setting.rare, setting.odd).draw
    return Spectrum(
        setting.directions, setting.rare, setting.odd, setting.tau, setting.reach, setting.decay, setting.tail
    ).draw


def run_best_of_n(setting: BestOfNSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """Methods: "low/..." (rank `rank`) and "full/..." heads, each greedy, pointwise and distributional; "best", which
    knows the rewards.

    score: true reward of what is picked above the mean of the prompt's pool, nats.  promise: what the head itself
    makes of it (a pessimistic one: its lower bound).  odd: share of odd responses picked.  error: |fit - Theta|_F.
    """
    drawn = draw_replicate(setting, stream)
    candidates, odd = drawn.candidates[:, : setting.n], drawn.odd[:, : setting.n]
    gain = (drawn.rewards - drawn.rewards.mean(axis=1, keepdims=True))[:, : setting.n]
    rows = [Measurement("best", "score", float(gain.max(axis=1).mean()))]
    for name, rank in (("low", setting.rank), ("full", None)):
        learned = learn_reward(drawn.contexts, drawn.differences, rank, ridge=setting.ridge, delta=setting.delta,
                               scale=setting.scale)  # fmt: skip
        rows.append(Measurement(name, "error", float(np.linalg.norm(learned.theta - drawn.theta))))
        # Candidates stand around the usual responses' mean, which is the reference pessimism is relative to.
        actions = scaled_actions(learned.psi(drawn.asked, candidates), learned.ellipsoid)
        for kind in KINDS:
            policy = actions.policy(kind)
            promise = actions.gain if kind == "greedy" else actions.lower_bounds()
            promised = float((policy * promise).sum(axis=1).mean())
            if kind == "distributional":
                mean = np.einsum("ma,mak->k", policy, actions.scaled) / len(policy)
                promised = float((policy * actions.gain).sum(axis=1).mean() - actions.f * np.linalg.norm(mean))
            found = {"score": float((policy * gain).sum(axis=1).mean()), "promise": promised,
                     "odd": float((policy * odd).sum(axis=1).mean())}  # fmt: skip
            rows += [Measurement(f"{name}/{kind}", metric, value) for metric, value in found.items()]
    return rows


def _files(setting: BestOfNSetting) -> tuple[Path, ...]:
    """What a finished piece depends on beside its setting."""
    return () if setting.file is None else (Path(setting.file),)


BEST_OF_N = Experiment(
    BestOfNSetting, run_best_of_n, FIGURES, memory=BestOfNSetting.memory, files=_files, paths=("file",)
)
