"""The dials of the low-rank studies, and what one replicate draws: answers to learn from, people to serve."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.reduced_pessimism import KINDS, REFERENCES, Kind, Reference, relative_features
from sim.environments.low_rank import LowRankWorld, Targets, exotic_world, low_rank_matrix
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from sim.studies.setting_checks import Count, check_kinds, require_choice, require_share

SHIFTS = ("exotic", "none", "isotropic", "context", "mean", "uncovered")
ESTIMATORS = ("low", "full", "bic", "oracle", "nuclear", "context_free", "per_user", "user_low")
DATA_USES = ("reuse", "split")


@dataclass(frozen=True)
class LowRankSetting:
    """Rewards x' Theta phi of rank `rank`, Frobenius norm `norm`; answers by Bradley-Terry; [reconstructed designs]

    Theta: ratio, of its largest to its smallest singular value; power, singular values j^-power instead; off_rank, a
    dense matrix of so many times the norm added. d_x contexts; features: `common` ones (0: as many as d_x), which carry
    the reward, and `exotic_features` others. fit_rank: what `low` fits (0: the true rank).

    shift, from training to targets (contexts N(0, I), `normal` and `exotic` actions a target):
      exotic, common features vary with standard deviation 1 in training and the others with `tau`; exotic actions are
      N(0, exotic_scale^2) on those, normal ones have none. none, the same with tau = exotic_scale = 1. context, exotic,
      with standard deviation .1 on the second half of the training contexts. mean, exotic, with targets' contexts of
      mean 1 on their first half. isotropic: training from 1 down to tau over all features (geometric), reward on all,
      every action N(0, I). uncovered, like isotropic, with 1 on the common features and 0 on the others.

    unsafe: what an exotic action is worth beside its features. context_mean: of the first context dimension, in
    training and targets. feature_mean: of every action's first feature (no difference shows it). hidden: context
    dimensions nobody observes. users: training contexts are so many people's, in turn, and these people are the
    targets (0: everybody is new). n: answers in all. data_use: split, the subspace from the first half of the answers
    and the confidence set from the others. ridge, nats a comparison; for one-hot users at least 1 / n.

    estimators: low, full, bic (rank by BIC), oracle (true subspace), nuclear (cvxpy, slow), context_free (x = 1),
    per_user and user_low (x = one-hot users, each alone or of rank fit_rank), rank1, rank2, ... (that rank).
    kinds, scales: each kind of policy, the pessimistic ones at each multiple of the radius. betas: KL-regularised
    policies around the uniform one, of pointwise lower bounds and of plain estimates. largest: estimators with more
    free numbers than this are left out.
    """

    d_x: int = 8
    common: Count = 6
    exotic_features: Count = 4
    rank: int = 2
    fit_rank: Count = 0
    norm: float = 1.5
    ratio: float = 1.0
    power: float | None = None
    off_rank: float = 0.0
    n: int = 1000
    tau: float = 0.1
    exotic_scale: float = 1.5
    normal: int = 10
    exotic: Count = 10
    unsafe: float = 0.0
    shift: str = "exotic"
    context_mean: float = 0.0
    feature_mean: float = 0.0
    hidden: Count = 0
    users: Count = 0
    reference: Reference = "zero"
    data_use: str = "reuse"
    targets: int = 300
    ridge: float = 1e-4
    delta: float = 0.1
    estimators: tuple[str, ...] = ("low", "full")
    kinds: tuple[Kind, ...] = KINDS
    scales: tuple[float, ...] = (1.0,)
    betas: tuple[float, ...] = ()
    largest: int = 1200

    def __post_init__(self) -> None:
        check_kinds(self)
        for name, choices in (("shift", SHIFTS), ("reference", REFERENCES), ("data_use", DATA_USES)):
            require_choice(name, getattr(self, name), choices)
        for name, names in (("estimators", ESTIMATORS), ("kinds", KINDS)):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not value:
                raise ValueError(f"{name} must be a list with at least one entry (got {value!r})")
            for own in value:
                if name == "kinds" or given_rank(str(own)) is None:
                    require_choice(name, own, names)
        for name in ("scales", "betas"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(c, int | float) and c > 0 for c in value):
                raise ValueError(f"{name} must be a list of positive numbers (got {value!r})")
        for name in ("norm", "tau", "exotic_scale", "ridge"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive (got {getattr(self, name)})")
        if self.power is not None and not (isinstance(self.power, int | float) and self.power >= 0):
            raise ValueError(f"power must be a number of at least 0, or null (got {self.power!r})")
        if self.off_rank < 0 or not self.ratio >= 1.0:
            raise ValueError(f"off_rank must be at least 0 and ratio at least 1 (got {self.off_rank} and {self.ratio})")
        require_share(delta=self.delta)
        if not 0.0 < self.delta < 1.0:
            raise ValueError(f"delta must lie between 0 and 1 (got {self.delta})")
        self._check_sizes()

    def _check_sizes(self) -> None:
        if self.hidden >= self.d_x:
            raise ValueError(f"hidden must be below d_x, {self.d_x}: somebody must observe something")
        most = min(self.d_x, self.d_phi if self.reward_everywhere else self.rewarding)
        if self.rank > most:
            raise ValueError(f"rank must be at most {most}, the smaller of contexts and rewarding features")
        own = min(self.observed, self.d_phi)
        if self.fit_rank > own:
            raise ValueError(f"fit_rank must be at most {own}, the smaller of observed contexts and features")
        for name in self.estimators:
            given = given_rank(name)
            if given is not None and not 1 <= given <= own:
                raise ValueError(f"estimators: {name} needs a rank in 1..{own}")
        if not self.users and {"per_user", "user_low"} & set(self.estimators):
            raise ValueError("per_user and user_low need people who come back: set users")
        if self.users and self.users > self.n:
            raise ValueError(f"users must be at most n: everybody answers at least once (got {self.users}, {self.n})")
        if "user_low" in self.estimators and self.user_rank > min(self.users, self.d_phi):
            raise ValueError(f"user_low needs at least {self.user_rank} users and features")
        if self.data_use == "split" and self.n < 2:
            raise ValueError("split needs at least 2 answers")

    def memory(self) -> int:
        """Bytes a replicate needs: answers, targets' actions in the coordinates of the largest estimator, its Hessian,
        and one-hot people where an estimator has them."""
        one_hot = {"per_user", "user_low"} & set(self.estimators)
        d_x, d_phi = self.d_x, self.d_phi
        free = min(max(self.observed, self.users if one_hot else 0) * d_phi, self.largest)
        actions = (2 if self.users else 1) * self.targets * (self.normal + self.exotic)
        people = self.users * (d_x + (self.users + self.n if one_hot else 0))
        return 8 * (4 * self.n * (d_x + d_phi) + actions * (4 * d_phi + 3 * free) + 4 * free * free + people
                    + 3 * d_x * d_phi + 2 * d_x * d_x + 2 * d_phi * d_phi)  # fmt: skip

    @property
    def rewarding(self) -> int:
        """Common features."""
        return self.common or self.d_x

    @property
    def d_phi(self) -> int:
        return self.rewarding + self.exotic_features

    @property
    def observed(self) -> int:
        return self.d_x - self.hidden

    @property
    def reward_everywhere(self) -> bool:
        """Exotic features carry reward as well."""
        return self.shift in ("isotropic", "uncovered")

    @property
    def fitted(self) -> int:
        """The rank `low` fits."""
        return self.fit_rank or min(self.rank, self.observed)

    @property
    def user_rank(self) -> int:
        return self.fit_rank or self.rank


def given_rank(name: str) -> int | None:
    """3 of "rank3"; None of other names."""
    digits = name.removeprefix("rank")
    return int(digits) if name.startswith("rank") and digits.isdecimal() else None


@dataclass(frozen=True, eq=False)
class FinitePopulation(LowRankWorld):
    """A world of so many people: whoever asks for contexts gets theirs, in turn."""

    people: FloatArray | None = None

    def _contexts(self, n: int, sd: FloatArray | float, stream: Stream) -> FloatArray:
        assert self.people is not None
        return np.asarray(self.people[np.arange(n) % len(self.people)])


@dataclass(frozen=True, eq=False)
class Drawn:
    """One replicate: answers (contexts (n, observed), signed differences (n, d_phi), user (n,)), targets and theirs,
    targets never met in training (None where all are), phi (m, A, d_phi) of each from its reference, true Theta."""

    theta: FloatArray
    contexts: FloatArray
    differences: FloatArray
    user: IntArray
    targets: Targets
    relative: FloatArray
    target_user: IntArray
    strangers: tuple[Targets, FloatArray] | None

    @property
    def truth(self) -> FloatArray:
        """The rows of Theta that belong to observed contexts."""
        return self.theta[: self.contexts.shape[1]]


def worlds(setting: LowRankSetting, stream: Stream) -> tuple[LowRankWorld, LowRankWorld]:
    """(where answers are from, whom a policy serves)."""
    d_x, d_phi, common = setting.d_x, setting.d_phi, setting.rewarding
    theta = low_rank_matrix(
        d_x, d_phi, setting.rank, stream, norm=setting.norm, ratio=setting.ratio, power=setting.power,
        off_rank=setting.off_rank, columns=None if setting.reward_everywhere else common,
    )  # fmt: skip
    plain = setting.shift == "none"
    world = exotic_world(
        theta, common, tau=1.0 if plain else setting.tau, exotic_scale=1.0 if plain else setting.exotic_scale,
        normal=setting.normal, exotic=setting.exotic, unsafe=setting.unsafe,
    )  # fmt: skip
    mean = np.zeros(d_x)
    mean[0] = setting.context_mean
    world = replace(world, context_mean=mean, hidden=setting.hidden)
    if setting.reward_everywhere:
        covered = np.where(np.arange(d_phi) < common, 1.0, 0.0)
        sd = np.geomspace(1.0, setting.tau, d_phi) if setting.shift == "isotropic" else covered
        world = replace(world, feature_sd=sd, normal_sd=np.ones(d_phi), exotic_sd=np.ones(d_phi))
    second = np.arange(d_x) >= d_x // 2
    served = world
    if setting.shift == "context":
        world = replace(world, context_sd=np.where(second, 0.1, 1.0))
    if setting.shift == "mean":
        served = replace(world, context_mean=mean + np.where(second, 0.0, 1.0))
    return world, served


def draw_replicate(setting: LowRankSetting, stream: Stream) -> Drawn:
    """Theta, answers and targets; cells of one study share them as far as their settings allow."""
    world, served = worlds(setting, stream.child("theta"))
    people, m = max(setting.users, 1), setting.targets
    strangers = None
    if setting.users:
        strangers = _with_mean(served.targets(m, stream.child("strangers")), setting)
        own = world.context_mean + world.context_sd * stream.child("people").normals((setting.users, setting.d_x))
        fields = {name: getattr(world, name) for name in world.__dataclass_fields__}
        world = served = FinitePopulation(**fields, people=own)
    x, z = world.comparisons(setting.n, stream.child("train"))
    targets, relative = _with_mean(served.targets(m, stream.child("targets")), setting)
    return Drawn(world.theta, x, z, np.arange(setting.n) % people, targets, relative, np.arange(m) % people, strangers)


def _with_mean(targets: Targets, setting: LowRankSetting) -> tuple[Targets, FloatArray]:
    """The targets with the features' mean, and their features from the reference.

    A mean shifts all rewards at a target by one number, which no policy can change: rewards are left as they were.
    """
    features = targets.features.copy()
    features[:, :, 0] += setting.feature_mean
    behaviour = features[:, : setting.normal].mean(axis=1)
    return replace(targets, features=features), relative_features(features, setting.reference, behaviour)
