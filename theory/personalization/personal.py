"""Errors and value gaps of personal rewards (arXiv 2405.00254, Theorems 3.1, 3.2, F.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.estimators.bradley_terry import fit_bradley_terry, fit_bradley_terry_batch
from sim.estimators.shared_representation import fit_head, fit_shared, fit_shared_batch
from sim.populations.shared_representation import Layout, shared_population
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, Equivalent, EveryDraw, Frequency, Slope
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.personalization import PAPER
from theory.personalization._instances import ANSWERS, ARXIV, answers, fit, mean_squared_error, population

_N, _D, _K = 20, 10, 2


@dataclass(frozen=True)
class ErrorSetting(Setting):
    """layout of the annotators; rank that is fitted, true_rank where it differs."""

    replicates: int = 32
    layout: Layout = "diverse"
    rank: int = _K
    true_rank: int = _K


class SharedRate(Theorem[ErrorSetting]):
    """Lemma 6, the sharp observable behind Theorem 3.1: the mean squared error of reward differences falls as 1 / Np.
    N = 20, d = 10, k = 2. Slope -1 +- .15.

    Controls break realizability (A1): annotators without a common subspace, and a true rank of 6 fitted with 2.
    """

    claim_id, paper, source = "shared-rate", PAPER.name, f"{ARXIV}, Theorem 3.1 (Lemma 6)"
    statement = "The error of personal rewards over a shared subspace falls as 1 / Np."
    cost = 8.0
    full_factor = 3
    axes = ("answers an annotator", "mean squared error of reward differences")
    SETTINGS = {"as_stated": Variant(ErrorSetting())}

    def bound(self, setting: ErrorSetting) -> Bound:
        return Slope(-0.85, lowest=-1.15)

    def grid(self, setting: ErrorSetting) -> FloatArray:
        return np.array(ANSWERS, dtype=np.float64)

    def draw(self, setting: ErrorSetting, stream: Stream) -> FloatArray:
        people = population(_N, _D, setting.true_rank, setting.layout, stream)
        return np.array(
            [mean_squared_error(fit(people, Np, setting.rank, stream).theta[0], people.theta) for Np in ANSWERS]
        )

    def control(self, setting: ErrorSetting) -> tuple[Control[ErrorSetting], ...]:
        broken = replace(setting, replicates=16)
        return (
            Control("annotators without a common subspace (A1 broken)", replace(broken, layout="independent")),
            Control("true rank 6 fitted with rank 2 (A1 broken)", replace(broken, true_rank=6)),
        )


class NoDiversityRate(SharedRate):
    """Theorem F.1 needs realizability alone: with heads on one line the error still falls as 1 / Np, while the
    representation is lost (representation-lost). The two theorems come apart."""

    claim_id, source = "no-diversity-rate", f"{ARXIV}, Theorem F.1, eq. (F.3)"
    statement = "Without diversity the error of personal rewards still falls as 1 / Np."
    SETTINGS = {"as_stated": Variant(ErrorSetting(layout="line"))}

    def control(self, setting: ErrorSetting) -> tuple[Control[ErrorSetting], ...]:
        broken = replace(setting, layout="diverse", true_rank=6, replicates=16)
        return (Control("true rank 6 fitted with rank 2 (A1 broken)", broken),)


@dataclass(frozen=True)
class GainSetting(Setting):
    replicates: int = 32
    layout: Layout = "diverse"


class SharedGain(Theorem[GainSetting]):
    """Shared over unshared mean squared error, divided by the parametric ratio k (d + N - k) / (N d), averaged over
    N = 20, 40, 80, 160; d = 20, k = 2, Np = 400. Equivalent to 1 within 25 %.

    The paper's bound is a factor k looser (the "sqrt(k) gap"); this is the rate parameters count.   [derived]
    """

    claim_id, paper, source = "shared-gain", PAPER.name, f"{ARXIV}, Remark 1 [derived]"
    statement = "Sharing a subspace divides the error by N d / (k (d + N - k))."
    cost = 10.0
    full_factor = 3
    SETTINGS = {"as_stated": Variant(GainSetting())}

    def bound(self, setting: GainSetting) -> Bound:
        return Equivalent(1.0, 0.25)

    def draw(self, setting: GainSetting, stream: Stream) -> float:
        d, k, Np = 20, 2, 400
        ratios = []
        for n in (20, 40, 80, 160):
            own = stream.child(f"n/{n}")
            people = population(n, d, k, setting.layout, own)
            given = answers(people, Np, own)
            shared = mean_squared_error(fit_shared_batch(given[None], k).theta[0], people.theta)
            alone = mean_squared_error(fit_bradley_terry_batch(given).theta, people.theta)
            ratios.append(shared / alone / (k * (d + n - k) / (n * d)))
        return float(np.mean(ratios))

    def control(self, setting: GainSetting) -> tuple[Control[GainSetting], ...]:
        return (Control("annotators without a common subspace (A1 broken)", replace(setting, layout="independent")),)


@dataclass(frozen=True)
class NewUserSetting(Setting):
    """source: layout of the 40 annotators learned from; the new one has the last direction where they have none."""

    replicates: int = 32
    source: Layout = "diverse"


class NewUserRate(Theorem[NewUserSetting]):
    """A new annotator's head over the frozen subspace learned from 40 others (4,000 answers each, d = 20, k = 2): her
    error falls as 1 / Np over 50 ... 2,500 answers, until it meets the source's floor of about k d / (N Np_source).
    Slope -1 +- .25.

    Control: the others' heads lie on one line and hers is orthogonal to it; nothing of hers was learned.
    """

    short_grid = "beyond 2,500 answers her error meets the floor of the subspace that was learned from others"
    claim_id, paper, source = "new-user-rate", PAPER.name, f"{ARXIV}, Theorem 3.2 (Algorithm 2)"
    statement = "A new annotator's reward is learned at rate 1 / Np, as in k dimensions."
    cost = 6.0
    full_factor = 3
    axes = ("answers of the new annotator", "squared error of her reward differences")
    SETTINGS = {"as_stated": Variant(NewUserSetting())}
    _ANSWERS = (50, 133, 356, 949, 2530)

    def bound(self, setting: NewUserSetting) -> Bound:
        return Slope(-0.75, lowest=-1.25)

    def grid(self, setting: NewUserSetting) -> FloatArray:
        return np.array(self._ANSWERS, dtype=np.float64)

    def draw(self, setting: NewUserSetting, stream: Stream) -> FloatArray:
        people = shared_population(40, 20, 2, stream.child("population"), layout=setting.source)
        subspace = fit(people, 4000, 2, stream).subspace[0]
        errors = []
        for Np in self._ANSWERS:
            own = stream.child(f"new/{Np}")
            # Twenty new annotators a point: one head's squared error alone varies too much for a slope.
            heads = own.child("heads").normals((20, 2))
            if setting.source == "line":
                heads[:, 0] = 0.0
            theta = 1.5 * heads / np.linalg.norm(heads, axis=1, keepdims=True) @ people.subspace.T
            asked = replace(people, theta=theta).answers(Np, own)
            learned = np.stack([fit_head(rows, subspace) for rows in asked]) @ subspace.T
            errors.append(mean_squared_error(learned, theta))
        return np.array(errors)

    def control(self, setting: NewUserSetting) -> tuple[Control[NewUserSetting], ...]:
        broken = replace(setting, source="line", replicates=16)
        return (Control("others on one line, the new head orthogonal to it", broken),)


@dataclass(frozen=True)
class StationarySetting(Setting):
    """ridge: what the estimators are given, in multiples of the stated one; 1 leaves it to their defaults."""

    replicates: int = 130
    ridge: float = 1.0


_STATED_RIDGE = 1e-3


def _slack(differences: FloatArray, subspace: FloatArray, heads: FloatArray) -> float:
    """Largest entry of the gradient of sum_ij log sigma(<U' x_ij, v_i>) - 0.5 ridge sum_i |v_i|^2, in V and, at right
    angles to U, in U; differences (N, Np, d), subspace (d, k), heads (N, k)."""
    wrong = 1.0 / (1.0 + np.exp(np.einsum("njd,dk,nk->nj", differences, subspace, heads)))
    pull = np.einsum("nj,njd->nd", wrong, differences)
    of_heads = pull @ subspace - _STATED_RIDGE * heads
    of_subspace = pull.T @ heads
    of_subspace = of_subspace - subspace @ (subspace.T @ of_subspace)
    return float(max(np.abs(of_heads).max(), np.abs(of_subspace).max()))


class FitsStationary(Theorem[StationarySetting]):
    """The estimators the claims of this paper rest on are where the gradient of the stated objective is zero: the
    likelihood less half of 1e-3 |v|^2 an annotator, written out here. Shared rewards by `fit_shared_batch` and
    `fit_shared`, a head over a frozen subspace by `fit_head`, one annotator's by `fit_bradley_terry`; 6 annotators,
    d = 4, k = 2, 30 answers each. Value: the largest entry of a gradient. Control: ten times the stated ridge."""

    claim_id, paper, source = "fits-stationary", PAPER.name, f"{ARXIV}, Algorithms 1 and 2, step 1"
    statement = "The maximum likelihood estimators maximise the likelihood they state, ridge included."
    SETTINGS = {"as_stated": Variant(StationarySetting())}

    def bound(self, setting: StationarySetting) -> Bound:
        return EveryDraw(1e-4)

    def draw(self, setting: StationarySetting, stream: Stream) -> float:
        N, d, k, Np = 6, 4, 2, 30
        x = shared_population(N, d, k, stream.child("population")).answers(Np, stream.child("answers"))
        own: dict[str, Any] = {} if setting.ridge == 1.0 else {"ridge": setting.ridge * _STATED_RIDGE}
        batch = fit_shared_batch(x[None], k, tolerance=1e-14, **own)
        rows, annotator = x.reshape(-1, d), np.repeat(np.arange(N), Np)
        shared = fit_shared(rows, annotator, N, k, tolerance=1e-14, **own)
        # Over a subspace that is held only the heads are free: seen from inside it.
        frozen = x @ shared.subspace
        heads = np.stack([fit_head(answers, shared.subspace, **own) for answers in x])
        alone = np.stack([fit_bradley_terry(answers, **own).theta for answers in frozen])
        return max(
            _slack(x, batch.subspace[0], batch.heads[0]),
            _slack(x, shared.subspace, shared.heads),
            _slack(frozen, np.eye(k), heads),
            _slack(frozen, np.eye(k), alone),
        )

    def control(self, setting: StationarySetting) -> tuple[Control[StationarySetting], ...]:
        return (Control("ten times the stated ridge", replace(setting, ridge=10.0)),)


@dataclass(frozen=True)
class SetSetting(Setting):
    replicates: int = 200
    layout: Layout = "diverse"


# The paper's C8 is unspecified, and its xi^2 kappa^2 / eta^2, about 6e3 here, would make any absolute bound vacuous.
# This one is the normal law's that the estimator's error tends to, by quadrature of the information: the quantile
# that leaves out a twentieth of delta (a test draws it). The rest of delta is for what 400 answers add.
GAUSSIAN_CONSTANT = 15.1


class ConfidenceSet(Theorem[SetSetting]):
    """A set of Algorithm 1's form with C (k (d + N) / (N Np) + (k + log(N / delta)) / Np) in place of its zeta', and C
    taken from the estimator's normal limit, which no fit enters, holds every annotator's true reward except with
    frequency delta = .1.

    The paper's zeta' has k log N_G / (N Np) first, log N_G = (d k + N k) log(Rmax N Np / delta): a factor k (the gap of
    sqrt(k) to the rate) and the logarithm more than this, and link constants. They are left out here, and at one size,
    for which C is, nothing tells one bracket from another: this is a claim of C, not of the shape of zeta'.

    Value: the largest over annotators of (1 / Np) sum_j |Drhat - Dr*|^2, in units of the bracket. N = 20, d = 10,
    k = 2, Np = 400.
    """

    claim_id, paper, source = "confidence-set", PAPER.name, f"{ARXIV}, Algorithm 1, steps 2 and 3"
    statement = (
        "With the normal limit's constant a set of this form "
        "holds the true rewards with probability at least 1 - delta."
    )
    cost = 10.0
    SETTINGS = {
        "as_corrected": Variant(
            SetSetting(replicates=1600),
            statement="k (d + N) / (N Np) in place of k log N_G / (N Np), and the normal limit's constant.",
            attained=(0.70, 0.86),
        )
    }

    def bound(self, setting: SetSetting) -> Bound:
        return Frequency(0.1, GAUSSIAN_CONSTANT)

    def draw(self, setting: SetSetting, stream: Stream) -> float:
        Np = 400
        people = population(_N, _D, _K, setting.layout, stream)
        given = answers(people, Np, stream)
        theta = fit_shared_batch(given[None], _K).theta[0]
        squared = (((theta - people.theta)[:, None, :] * given).sum(axis=-1) ** 2).mean(axis=1)
        bracket = _K * (_D + _N) / (_N * Np) + (_K + np.log(_N / 0.1)) / Np
        return float(squared.max() / bracket)

    def control(self, setting: SetSetting) -> tuple[Control[SetSetting], ...]:
        broken = replace(setting, layout="independent", replicates=100)
        return (Control("annotators without a common subspace (A1 broken)", broken),)


THEOREMS = (SharedRate(), NoDiversityRate(), SharedGain(), NewUserRate(), FitsStationary(), ConfidenceSet())
