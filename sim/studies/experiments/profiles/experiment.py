"""What Nash, Utilitarian and Leximin do to whom, in societies of different shape (study S4)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.algorithms.fairness import pareto_option, pigou_dalton_lottery, smallest_share
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import NASH, RULES, share_of_maximum
from sim.environments.trajectory_pool import sign_answers
from sim.estimators.party_rewards import estimate_party_rewards
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.studies.comparison import values_of
from sim.studies.experiment import Backends, Experiment, Measurement, check_kinds, require_choice
from sim.studies.plots import COLOURS, Rows, curve, finish, half_width, levels, panels
from sim.studies.summary import means_table

PROFILES = ("consensus", "polarised", "minority", "loud", "compromise")


@dataclass(frozen=True)
class ProfileSetting:
    """One state, gains of `parties` over `actions`, from what they have in common and what they have not.

    consensus: everybody near one taste.  polarised: two halves of opposite taste.  minority: a tenth (one party at
    least) opposed to the others.  loud: own tastes, the first party's scale tenfold.  compromise: each action is
    somebody's favourite (1) and nobody else's (0), the last gives everybody .45.  answers: a party's comparisons from
    which the rules learn.
    """

    profile: str = "polarised"
    parties: int = 10
    actions: int = 12
    answers: int = 400

    def __post_init__(self) -> None:
        check_kinds(self)
        require_choice("profile", self.profile, PROFILES)
        if self.actions < 3 or self.parties < 2:
            raise ValueError("a profile needs at least 2 parties and 3 actions")


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


_SHOWN = (
    ("mean", "mean share of own maximum"),
    ("least", "least share of own maximum"),
    ("gini", "Gini of the shares"),
    ("nash_lost", "Nash welfare lost, share of best"),
    ("scale_matters", "choice changes with scales"),
)


def draw_profiles(rows: Rows, folder: Path) -> list[Path]:
    """Bars of each rule by profile, at the most answers; and what the rules lose when they learn."""
    profiles: list[str | None] = [name for name in PROFILES if name in levels(rows, "profile")] or [None]
    most = levels(rows, "answers")[-1:] or [None]
    figure, axes = panels(len(_SHOWN), width=4.0)
    for axis, (metric, words) in zip(axes, _SHOWN, strict=True):
        for number, rule in enumerate(RULES):
            for place, profile in enumerate(profiles):
                where = {"method": rule, "metric": metric, "profile": profile, "answers": most[0]}
                found = values_of(rows, {k: v for k, v in where.items() if v is not None})
                if found.size:
                    at = place + 0.27 * (number - 1)
                    axis.bar(at, found.mean(), 0.25, yerr=half_width(found), color=COLOURS[number], capsize=2,
                             label=rule if place == 0 else None, error_kw={"linewidth": 1})  # fmt: skip
                    if abs(found.mean()) < 5e-3:
                        axis.annotate("0", (at, 0), textcoords="offset points", xytext=(0, 2), ha="center", fontsize=7)
        axis.set_xticks(range(len(profiles)), [str(name) for name in profiles], rotation=30, fontsize=8)
        axis.set_title(words, fontsize=9.5)
    paths = finish(figure, rows, "Lotteries of three rules in five societies", folder, "profiles", axes[0])
    if len(levels(rows, "answers")) > 1:
        figure, axes = panels(len(profiles), width=3.7)
        for axis, profile in zip(axes, profiles, strict=True):
            for number, rule in enumerate(RULES):
                curve(axis, rows, "answers", "own_lost", {"method": rule, "profile": profile}, rule, number)
            axis.set_xscale("log")
            axis.set_xlabel("answers a party")
            axis.set_title(str(profile), fontsize=10)
        axes[0].set_ylabel("share of the rule's own welfare lost")
        paths += finish(figure, rows, "Which rule is recovered first", folder, "recovered", axes[0])
    return paths


PROFILE = Experiment(ProfileSetting, run_profiles, draw_profiles, means_table)
