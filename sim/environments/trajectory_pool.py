"""A finite pool of trajectories with frozen features, from which every annotator is shown pairs (horizon 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import (
    float_array,
    probability_array,
    require_count,
    require_finite,
    require_index,
    require_positive,
    require_shape,
)
from sim.environments.protocol import require_pairs
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class TrajectoryPool:
    """features (M, d) of M trajectories; first, second (M,): the laws of a pair's two trajectories (mu0, mu1).

    [arXiv 2405.00254, section 2, at H = 1]  reference: the number of the trajectory whose reward is 0 for everybody,
    or None. Comparisons never identify an annotator's additive constant, and aggregation by any alpha but 0 depends on
    it (assumption A5); with a reference, features are taken relative to it, in the generator and for the estimator.
    """

    features: FloatArray
    first: FloatArray
    second: FloatArray
    reference: int | None = None

    def __post_init__(self) -> None:
        float_array("features", self.features, ("M", "d"))
        M = len(self.features)
        probability_array("first", self.first, (M,), 1e-5)
        probability_array("second", self.second, (M,), 1e-5)
        if self.reference is not None:
            require_index("reference", self.reference, M)

    @property
    def n_trajectories(self) -> int:
        return len(self.features)

    @property
    def n_features(self) -> int:
        return int(self.features.shape[1])

    def draw_contexts(self, n: int, stream: Stream) -> IntArray:
        """There is one context, 0; (n,)."""
        return np.zeros(n, dtype=np.int64)

    def draw_offers(self, contexts: IntArray, n_offered: int, stream: Stream) -> IntArray:
        """Numbers of two trajectories, from `first` and `second`; (n, 2)."""
        require_pairs(n_offered)
        return np.stack(self.draw_pairs((len(contexts),), stream), axis=1)

    def features_of(self, contexts: IntArray, responses: IntArray) -> FloatArray:
        """Pinned features of trajectories (n, J); (n, J, d)."""
        return np.asarray(self.pinned[responses])

    @property
    def pinned(self) -> FloatArray:
        """Features, minus those of the reference where there is one; (M, d)."""
        return self.features if self.reference is None else self.features - self.features[self.reference]

    def rewards(self, theta: FloatArray, shifts: FloatArray | None = None) -> FloatArray:
        """r_i(tau) = <theta_i, phi(tau)> + shift_i; (N, d) -> (N, M). With a reference, no shift is allowed."""
        require_shape("theta", theta, ("N", self.features.shape[1]))
        if shifts is not None:
            require_shape("shifts", shifts, (len(theta),))
        if shifts is not None and self.reference is not None:
            raise ValueError("a reference trajectory has reward 0: annotators cannot have constants of their own")
        values = theta @ self.pinned.T
        return np.asarray(values if shifts is None else values + shifts[:, None])

    def draw_pairs(self, shape: tuple[int, ...], stream: Stream) -> tuple[IntArray, IntArray]:
        """Numbers of the two trajectories of each pair, independent: tau0 ~ first, tau1 ~ second."""
        return stream.child("first").choice(self.first, shape), stream.child("second").choice(self.second, shape)

    def collect(self, theta: FloatArray, per_annotator: int, stream: Stream) -> FloatArray:
        """phi(chosen) - phi(rejected) of Bradley-Terry answers; (N, per_annotator, d)."""
        float_array("theta", theta, ("N", self.features.shape[1]))
        require_count("per_annotator", per_annotator)
        a, b = self.draw_pairs((len(theta), per_annotator), stream)
        differences = self.features[a] - self.features[b]
        return sign_answers(differences, theta, stream)

    def count_answers(self, theta: FloatArray, per_annotator: int, stream: Stream) -> tuple[FloatArray, FloatArray]:
        """(wins, losses) of each trajectory against the reference, for pairs (tau0 ~ first, reference); (N, M) each.

        The sufficient statistic where every pair is against one trajectory: the work does not grow with the answers.
        """
        if self.reference is None or self.second[self.reference] < 1.0:
            raise ValueError("counts describe all answers only where every pair is against the reference")
        float_array("theta", theta, ("N", self.features.shape[1]))
        require_count("per_annotator", per_annotator)
        asked = stream.child("asked").generator().multinomial(per_annotator, self.first, size=len(theta))
        chance = 1.0 / (1.0 + np.exp(-self.rewards(theta)))
        wins = stream.child("answers").generator().binomial(asked, chance)
        return wins.astype(np.float64), (asked - wins).astype(np.float64)


def sign_answers(differences: FloatArray, theta: FloatArray, stream: Stream) -> FloatArray:
    """Turn phi(tau0) - phi(tau1) into chosen minus rejected: P(o = 0, tau0 preferred) = sigma(r(tau0) - r(tau1)).

    differences: (..., N, n, d).  theta: (..., N, d).  [arXiv 2405.00254, section 2]
    """
    if theta.shape != (*differences.shape[:-2], differences.shape[-1]):
        raise ValueError(
            f"theta must be {(*differences.shape[:-2], differences.shape[-1])}, one row an annotator of differences "
            f"(got {theta.shape})"
        )
    require_finite(differences=differences, theta=theta)
    margin = (differences @ theta[..., None])[..., 0]
    wins = stream.child("answers").uniforms(margin.shape) * (1.0 + np.exp(np.minimum(-margin, 700.0))) < 1.0
    # Times 1 or -1, in one pass: a choice between the array and its negative is two, and most of a draw's time.
    return np.asarray(differences * np.where(wins, 1.0, -1.0)[..., None])


def three_arms() -> tuple[FloatArray, FloatArray]:
    """(features (3, 2), theta): psi = 0, e1, e2 and theta = (1/2, -1/2).  [derived]

    With all comparisons but one between arms 0 and 1, a greedy policy takes arm 2 about as often as that one answer
    goes its way, however many answers there are: pessimism is not a refinement of the proof.
    """
    return np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0.5, -0.5])


@dataclass(frozen=True)
class LowerBoundFamily:
    """The hard instances of Theorems 3.3 and 4.2: k / 3 contexts, three actions, one unknown sign a context.

    [arXiv 2405.00254, section 3.4]  psi(s, a1) = e_3s, psi(s, a2) = e_3s+1, psi(s, a3) = 0. Rewards relative to a3:
    1/k + 2D [w_s = 1] for a1, 1/k + D for a2 (the paper prints d for k). Comparisons are against a3 and show a1 with
    probability 2 / Lambda^2; the paper prints a1 as the common action and 2 Lambda^2 for 2 / Lambda^2, which leaves
    nothing hard. rare_first False: as printed.
    """

    k: int
    concentrability: float
    margin: float
    rare_first: bool = True

    def __post_init__(self) -> None:
        if self.k % 3 or self.k < 3:
            raise ValueError(f"k must be a multiple of 3 (got {self.k})")
        require_positive(concentrability=self.concentrability, margin=self.margin)

    @property
    def n_contexts(self) -> int:
        return self.k // 3

    @property
    def first_probability(self) -> float:
        """Chance that a comparison is about a1."""
        rare = 2.0 / self.concentrability**2
        return rare if self.rare_first else 1.0 - rare

    def first_rewards(self, positive: BoolArray) -> FloatArray:
        """Reward of a1 over a3 where w_s = +1 (True) or -1."""
        return np.where(positive, 1.0 / self.k + 2.0 * self.margin, 1.0 / self.k)

    @property
    def second_reward(self) -> float:
        return 1.0 / self.k + self.margin
