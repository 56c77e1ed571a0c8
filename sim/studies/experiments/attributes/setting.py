"""The dials of the attributes study."""

from __future__ import annotations

from dataclasses import dataclass

from sim.studies.setting_checks import check_kinds


@dataclass(frozen=True)
class AttributesSetting:
    """`groups` whose rewards weigh two attributes, see `sim.environments.two_attributes`; `n` answers in all.

    conflict: how far, in right angles, the smallest group's weights are turned from the largest's.  skew: each group is
    so many times smaller than the one before.  tempting: actions that are more helpful and less safe by `temptation`.
    ridge, nats an answer; scale, of the radius of the pessimistic policy.  [reconstructed design]
    """

    groups: int = 6
    features: int = 10
    n: int = 1000
    conflict: float = 1.0
    skew: float = 1.5
    normal: int = 10
    tempting: int = 5
    temptation: float = 1.0
    norm: float = 1.5
    targets: int = 600
    ridge: float = 1e-3
    delta: float = 0.1
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.groups < 2 or self.features < 2:
            raise ValueError(f"groups and features must be at least 2 (got {self.groups} and {self.features})")
        for name in ("skew", "norm", "ridge", "scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive (got {getattr(self, name)})")
        if not 0.0 <= self.conflict <= 2.0:
            raise ValueError(f"conflict is in right angles, 0 to 2 (got {self.conflict})")
        if not 0.0 < self.delta < 1.0:
            raise ValueError(f"delta must lie between 0 and 1 (got {self.delta})")

    def memory(self) -> int:
        """Bytes a replicate needs: answers, targets' actions in the coordinates of the full fit, and its Hessian."""
        G, d, m, A = self.groups, self.features, self.targets, self.normal + self.tempting
        free = G * d
        return 8 * (4 * self.n * (G + d) + m * A * (3 * d + 4 * free) + 4 * free * free + G * G)
