"""Groups who weigh two attributes of an answer, helpfulness and safety, differently: rewards of rank two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, probability_array, require_count, require_number, require_positive
from sim.environments.low_rank import LowRankWorld, Targets
from sim.preferences import FloatArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoAttributeWorld(LowRankWorld):
    """Contexts are one-hot groups, drawn with `shares` (G,); theta[g] = norm (cos a_g helpful + sin a_g safe).

    helpful, safe: (d_phi,), of length 1, orthogonal.  Exotic actions are tempting: `temptation` more helpful and as
    much less safe than their other features say.
    """

    shares: FloatArray
    helpful: FloatArray
    safe: FloatArray
    temptation: float

    def __post_init__(self) -> None:
        super().__post_init__()
        groups, d_phi = self.theta.shape
        probability_array("shares", self.shares, (groups,))
        float_array("helpful", self.helpful, (d_phi,))
        float_array("safe", self.safe, (d_phi,))
        require_number(temptation=self.temptation)

    def _contexts(self, n: int, sd: FloatArray | float, stream: Stream) -> FloatArray:
        return np.asarray(np.eye(len(self.theta))[stream.choice(self.shares, (n,))])

    def targets(self, m: int, stream: Stream) -> Targets:
        found = super().targets(m, stream)
        features = found.features + self.temptation * found.exotic[:, None] * (self.helpful - self.safe)
        return Targets(
            found.contexts, features, np.einsum("md,mad->ma", found.contexts @ self.theta, features), found.exotic
        )


def two_attribute_world(
    groups: int, d_phi: int, stream: Stream, *, norm: float = 1.5, conflict: float = 1.0, skew: float = 1.5,
    normal: int = 10, tempting: int = 5, temptation: float = 1.0,
) -> TwoAttributeWorld:  # fmt: skip
    """Shares fall like skew^-g. Weights turn evenly from helpfulness alone, the largest group's, to `conflict` right
    angles towards safety, the smallest group's: 0, everybody wants the same; 1, the smallest wants safety alone."""
    require_count("groups", groups, 2)
    require_count("d_phi", d_phi, 2)
    require_count("normal", normal, 0)
    require_count("tempting", tempting, 0)
    require_positive(norm=norm, skew=skew)
    require_number(conflict=conflict, temptation=temptation)
    axes = np.linalg.qr(stream.child("attributes").normals((d_phi, 2)))[0]
    angle = 0.5 * np.pi * conflict * np.arange(groups) / (groups - 1)
    shares = skew ** -np.arange(groups, dtype=np.float64)
    ones = np.ones(d_phi)
    return TwoAttributeWorld(
        theta=norm * (np.outer(np.cos(angle), axes[:, 0]) + np.outer(np.sin(angle), axes[:, 1])),
        context_sd=np.ones(groups), feature_sd=ones, normal_sd=ones, exotic_sd=ones, normal=normal, exotic=tempting,
        shares=shares / shares.sum(), helpful=axes[:, 0], safe=axes[:, 1], temptation=temptation,
    )  # fmt: skip
