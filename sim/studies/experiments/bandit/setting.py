"""The keys of the bandit study, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import probability_array, require_positive
from sim.studies.setting_checks import check_kinds, require_choice

RECIPES = ("literal", "normalised", "normalised_tenfold")


@dataclass(frozen=True)
class BanditSetting:
    """Every key a study file may set or vary.

    coverage: of the behaviour policy (1: arms uniform; less: the first arm more often).
    epochs, em_rounds, hedge_rounds: limits of Table 1's loops (1000, 100, 1000).  epochs_normalised: the
    normalised recipe's M-step starts from the last round's policy and needs fewer.  restarts: random splits
    tried by the normalised recipes where fits are exact, best penalised likelihood kept; restarts_inexact: where
    they are not (a net costs a hundred times more). The literal recipe has a single start.
    """

    backend: str = "log_linear"
    recipe: str = "normalised"
    mixture: tuple[float, ...] = (0.6, 0.3, 0.1)
    n_annotators: int = 200
    pairs_per_annotator: int = 10
    dimension: int = 3
    scale: float = 10.0
    noise_sd: float = 0.1
    coverage: float = 1.0
    beta: float = 1.0
    ridge: float = 1e-3
    epochs: int = 1000
    epochs_normalised: int = 300
    em_rounds: int = 30
    em_tolerance: float = 1e-6
    restarts: int = 10
    restarts_inexact: int = 3
    hedge_rounds: int = 1000
    evaluation_contexts: int = 5000

    def __post_init__(self) -> None:
        check_kinds(self)
        require_positive(scale=self.scale, beta=self.beta, ridge=self.ridge, em_tolerance=self.em_tolerance)
        if self.noise_sd < 0:
            raise ValueError(f"noise_sd must not be negative (got {self.noise_sd})")
        require_choice("recipe", self.recipe, RECIPES)
        probability_array("mixture", np.array(self.mixture), ("n_types",), 1e-9)
        if not 2 <= len(self.mixture) <= self.n_annotators:
            raise ValueError(f"mixture must name 2 to n_annotators types (got {len(self.mixture)})")

    @property
    def literal(self) -> bool:
        return self.recipe == "literal"

    def memory(self) -> int:
        """Bytes a replicate needs: answers, their features a policy, the evaluation's contexts and their probabilities.

        A policy's Hessian is small where there are few types and dimensions, and what counts where there are many.
        """
        K, d = len(self.mixture), self.dimension
        answers = self.n_annotators * self.pairs_per_annotator
        return 8 * (
            answers * (4 * d + 6 * K) + self.evaluation_contexts * (2 * d + (4 + 2 * K) * K) + 2 * self.n_annotators * K
            + 3 * (K * (d + 1)) ** 2
        )  # fmt: skip
