"""Softmax tables: one free reward for every (context, action); the exact backend for finite contexts."""

from __future__ import annotations

import numpy as np

from sim.arguments import float_array, index_array, require_finite, require_positive, require_shape, weight_array
from sim.policies.finite import RewardPolicy
from sim.preferences import AnyArray, FloatArray, IntArray, Observations, PreferencePairs, Rankings

_MAX_STEPS = 100


class SoftmaxTable(RewardPolicy):
    """log pi(a|s) = log pi_ref(a|s) + r[s, a] / beta - log Z(s); contexts and actions are integers.

    `fit` maximises sum_j w_j log sigma(r[s, chosen] - r[s, rejected]) - 0.5 ridge ||r||^2 (ridge times the
    total weight if `mass_scaled`). Pairs enter through the weighted win counts W[s, a, b], their sufficient
    statistic, and contexts separate, so Newton's step is one batched A x A solve.
    reference: (n_contexts, n_actions) probabilities.
    """

    def __init__(
        self,
        reference: FloatArray,
        *,
        beta: float = 1.0,
        ridge: float = 1e-3,
        mass_scaled: bool = True,
        rewards: FloatArray | None = None,
    ) -> None:
        require_positive(beta=beta, ridge=ridge)
        reference = float_array("reference", reference, ("n_contexts", "n_actions"))
        if not np.allclose(reference.sum(axis=1), 1.0) or (reference <= 0).any():
            raise ValueError(
                "reference must be (n_contexts, n_actions) with positive rows that sum to 1; "
                "an action the reference never takes has no log-ratio"
            )
        self.beta, self.ridge, self.mass_scaled = beta, ridge, mass_scaled
        self._log_reference = np.log(reference)
        self.table = np.zeros(reference.shape) if rewards is None else np.array(rewards, dtype=np.float64)
        require_shape("rewards", self.table, reference.shape)
        require_finite(rewards=self.table)
        # EM fits every round on the same answers: their numbers are looked at once.
        self._seen: Observations | None = None

    def implicit_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """r[s, a] = beta log(pi / pi_ref) + beta log Z(s); (n,)."""
        return np.asarray(self.table[contexts, responses])

    def rewards(self, contexts: AnyArray) -> FloatArray:
        return np.asarray(self.table[contexts])

    def reference_log_probabilities(self, contexts: AnyArray) -> FloatArray:
        return np.asarray(self._log_reference[contexts])

    def fit(self, observations: Observations, weights: FloatArray) -> None:
        if not isinstance(observations, PreferencePairs | Rankings):
            raise TypeError(f"expected pairs or rankings, got {type(observations).__name__}; fit it with em_choices")
        weights = weight_array("weights", weights, len(observations))
        self._require_in_table(observations)
        ridge = self.ridge * (weights.sum() if self.mass_scaled else 1.0)
        if ridge == 0.0:
            return
        if isinstance(observations, PreferencePairs):
            wins = _win_counts(observations, weights, self.table.shape)
            self.table = _fit_win_counts(wins, ridge)
        else:
            self.table = _fit_rankings(
                self.table, observations.contexts, observations.responses, observations.n_ranked, weights, ridge
            )

    def _require_in_table(self, observations: Observations) -> None:
        """An index beyond the table would be counted in another cell."""
        if self._seen is observations:
            return
        n_contexts, n_actions = self.table.shape
        index_array("contexts", observations.contexts, n_contexts)
        if isinstance(observations, PreferencePairs):
            index_array("chosen", observations.chosen, n_actions)
            index_array("rejected", observations.rejected, n_actions)
        else:
            index_array("responses", observations.responses, n_actions)
        self._seen = observations

    def penalty(self, group_mass: float) -> float:
        """0.5 ridge ||r||^2, times the group's total weight if `mass_scaled`."""
        return 0.5 * self.ridge * (group_mass if self.mass_scaled else 1.0) * float(np.sum(self.table**2))

    def snapshot(self) -> FloatArray:
        return self.table.copy()

    def restore(self, state: FloatArray) -> None:
        self.table = state.copy()


def _win_counts(pairs: PreferencePairs, weights: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """W[s, a, b] = total weight of "a preferred to b in context s"; (n_contexts, A, A)."""
    n_contexts, n_actions = shape
    cell = (pairs.contexts * n_actions + pairs.chosen) * n_actions + pairs.rejected
    counts = np.bincount(cell, weights=weights, minlength=n_contexts * n_actions**2)
    return counts.astype(np.float64).reshape(n_contexts, n_actions, n_actions)


def _fit_win_counts(wins: FloatArray, ridge: float) -> FloatArray:
    """Newton on each context's Bradley-Terry likelihood from win counts; (S, A, A) -> (S, A)."""

    def objective(table: FloatArray) -> FloatArray:
        margin = table[:, :, None] - table[:, None, :]
        loss = (wins * np.logaddexp(0.0, -margin)).sum(axis=(1, 2))
        return np.asarray(loss + 0.5 * ridge * (table**2).sum(axis=1))

    table = np.zeros(wins.shape[:2])
    value = objective(table)
    played = wins + wins.transpose(0, 2, 1)
    diagonal = np.arange(wins.shape[1])
    for _ in range(_MAX_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(table[:, :, None] - table[:, None, :], -700, 700)))
        gradient = -(wins - played * chance).sum(axis=2) + ridge * table
        curvature = played * chance * (1.0 - chance)
        hessian = -curvature
        hessian[:, diagonal, diagonal] += curvature.sum(axis=2) + ridge
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        slope = (gradient * step).sum(axis=1)
        size = np.ones(len(table))
        while True:
            proposal = table - size[:, None] * step
            proposed = objective(proposal)
            # The rounding of the objective itself bounds what a step can be seen to gain.
            worse = proposed > value - 1e-4 * size * slope + 1e-12 * np.abs(value)
            if not worse.any() or size[worse].max() < 1e-10:
                break
            size[worse] *= 0.5
        keep = ~worse
        table[keep], value[keep] = proposal[keep], proposed[keep]
        if np.abs(gradient).max() <= 1e-10 * max(1.0, float(played.sum())):
            break
    return table


def _fit_rankings(
    table: FloatArray,
    contexts: IntArray,
    responses: IntArray,
    n_ranked: int,
    weights: FloatArray,
    ridge: float,
) -> FloatArray:
    """Plackett-Luce by Newton, block by block over contexts (brute but exact; tables are small)."""
    from sim.estimators.plackett_luce import fit_plackett_luce

    fitted = np.zeros_like(table)
    for context in np.unique(contexts):
        rows = contexts == context
        one_hot = np.eye(table.shape[1])[responses[rows]]
        fitted[context] = fit_plackett_luce(one_hot, n_ranked, weights[rows], ridge=ridge).theta
    return fitted
