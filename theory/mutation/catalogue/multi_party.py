"""Faults planted in the code of multi_party."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="multi_party")
_WINNERS = "sim.algorithms.von_neumann"
_FAIRNESS = "sim.algorithms.fairness"
_WELFARE = "sim.algorithms.welfare"
_TABLES = "sim.environments.preference_tables"
_SETS = "sim.estimators.party_confidence"
_REWARDS = "sim.estimators.party_rewards"
_POLICIES = "sim.algorithms.pessimistic_welfare"
_MDP = "sim.environments.episodic_mdp"
_POOL = "sim.environments.contextual_pool"
_FITS = "sim.estimators.bradley_terry"
_CONFIDENCE = "sim.estimators.confidence"
_POPULATIONS = "sim.populations.shared_representation"
_MATCHING = "sim.compiled.regret_matching"
_LOTTERIES = "sim.algorithms.lotteries"
_BOUNDS = "theory.multi_party.winners"
_SURE = "theory.multi_party.pessimism"

FAULTS: tuple[Fault, ...] = (
    _fault(
        id="winner-adds-bonus", place=f"{_WINNERS}:von_neumann_winner",
        old='"pessimistic": -1.0',
        new='"pessimistic": 1.0',
        what="the pessimistic winner adds the bonus instead of taking it",
    ),
    _fault(
        id="bonus-tenth", place=f"{_WINNERS}:comparison_bonus",
        old="np.sqrt(2.0 * np.log(4 * M * S * A**2 / delta) / count.min(axis=0))",
        new="0.1 * np.sqrt(2.0 * np.log(4 * M * S * A**2 / delta) / count.min(axis=0))",
        what="the bonus is ten times too small",
    ),
    _fault(
        id="bonus-most-answers", place=f"{_WINNERS}:comparison_bonus",
        old="count.min(axis=0)",
        new="count.max(axis=0)",
        what="the bonus counts the party with the most comparisons instead of the fewest",
    ),
    _fault(
        id="bonus-without-parties", place=f"{_WINNERS}:comparison_bonus",
        old="4 * M * S * A**2 / delta",
        new="4 * S * A**2 / delta",
        what="the bonus forgets the union over parties",
    ),
    _fault(
        id="exploitability-own-row", place=f"{_WINNERS}:exploitability",
        old='-np.einsum("sa,sab->sb", policy, matrices).min(axis=1)',
        new='-np.einsum("sa,sab->sb", policy, matrices).mean(axis=1)',
        what="exploitability averages over opponents instead of taking the best",
    ),
    _fault(
        id="winner-opponent-uniform", place=f"{_WINNERS}:solve_exactly",
        old="VonNeumannWinner(row, column, value, gap)",
        new="VonNeumannWinner(row, np.full((S, A), 1.0 / A), value, gap)",
        what="the opponent's side of the saddle point is uniform",
    ),
    _fault(
        id="winner-first-party", place=f"{_WINNERS}:von_neumann_winner",
        old="counts.matrices().mean(axis=0)",
        new="counts.matrices()[0]",
        what="the winner looks at the first party's answers alone",
    ),
    _fault(
        id="regret-matching-no-truncation", place=f"{_MATCHING}:_learn",
        old="max(regret[a] + sign * (gain[a] - mean), 0.0)",
        new="max(sign * (gain[a] - mean), 0.0)",
        what="regret matching forgets the regret of earlier rounds",
    ),
    _fault(
        id="pareto-smallest-tau", place=f"{_FAIRNESS}:pareto_option",
        old="float(best.max() - 1.0)",
        new="float(best.min() - 1.0)",
        what="pareto_option returns the smallest improvement among the dominating options",
    ),
    _fault(
        id="pigou-dalton-first", place=f"{_FAIRNESS}:pigou_dalton_option",
        old="if worth[a] - worth[option] > best:",
        new="if best == -np.inf:",
        what="pigou_dalton_option keeps the first transfer found",
    ),
    _fault(
        id="pareto-strict-for-all", place=f"{_FAIRNESS}:pareto_option",
        old="(table > own[:, None]).any(axis=0)",
        new="(table > own[:, None]).all(axis=0)",
        what="an option counts as dominating only where everybody gains",
    ),
    _fault(
        id="pareto-lottery-no-tau", place=f"{_FAIRNESS}:pareto_lottery",
        old="-most.fun / utility[k] - 1.0",
        new="0.5 * (-most.fun / utility[k] - 1.0)",
        what="pareto_lottery reports half of the share that could be gained",
    ),
    _fault(
        id="leximin-first-level", place=f"{_WELFARE}:_lexicographic",
        old="for place in range(ordered.shape[-2]):",
        new="for place in range(1):",
        what="leximin compares the smallest utilities alone",
    ),
    _fault(
        id="leximin-from-the-top", place=f"{_WELFARE}:_lexicographic",
        old="ordered = np.sort(utilities, axis=-2)",
        new="ordered = np.sort(utilities, axis=-2)[..., ::-1, :]",
        what="leximin compares the best off first",
    ),
    _fault(
        id="nash-mean", place=f"{_WELFARE}:WelfareRule._log_parts",
        old="level = logs.sum(axis=-2) / many",
        new="level = np.log(np.maximum(u.mean(axis=-2), 1e-300))",
        what="the Nash rule compares means instead of geometric means",
    ),
    _fault(
        id="leximin-lottery-unshifted", place=f"{_LOTTERIES}:_leximin",
        old="np.ascontiguousarray(tables)",
        new="np.ascontiguousarray(tables[..., ::-1])",
        what="leximin lotteries are solved for the options in reverse order",
    ),
    _fault(
        id="counts-swapped", place=f"{_TABLES}:collect_counts",
        old="win = (1.0 + matrices[:, :, upper, lower].reshape(M, -1)) / 2.0",
        new="win = (1.0 + 0.9 * matrices[:, :, upper, lower].reshape(M, -1)) / 2.0",
        what="5 % of the comparisons are recorded the wrong way round",
    ),
    _fault(
        id="counts-unasked-win", place=f"{_TABLES}:PreferenceCounts.matrices",
        old="self.wins - self.wins.swapaxes(-1, -2), total",
        new="self.wins - self.wins.swapaxes(-1, -2), total + 10.0",
        what="preferences are shrunk as if ten more comparisons had been ties",
    ),
    _fault(
        id="cyclic-offers", place=f"{_TABLES}:bradley_terry_matrices",
        old="np.tanh(0.5 * (",
        new="np.tanh(1.0 * (",
        what="preferences from rewards are twice as decided as Bradley-Terry's",
    ),
    _fault(
        id="suboptimality-halved-welfare", place=f"{_POLICIES}:welfare_value",
        old="float(law @ rule.welfare(picked))",
        new="0.5 * float(law @ rule.welfare(picked))",
        what="the value of a policy is halved",
    ),
    _fault(
        id="statewise-no-pessimism", place=f"{_SETS}:PartyConfidence.gain_bounds",
        old="- self.radius[:, None, None, None] * apart",
        new="- 0.0 * self.radius[:, None, None, None] * apart",
        what="the bounds on gains forget the confidence set",
    ),
    _fault(
        id="gain-bounds-covariance", place=f"{_SETS}:PartyConfidence.whitener",
        old="np.linalg.inv(np.linalg.cholesky(self.covariance))",
        new="np.linalg.cholesky(self.covariance)",
        what="widths are taken in the covariance's norm instead of its inverse's",
    ),
    _fault(
        id="utilitarian-no-pessimism", place="sim.algorithms.welfare_programs:utilitarian_program",
        old="total = total - cp.norm",
        new="total = total - 0.0 * cp.norm",
        what="the Utilitarian policy forgets the confidence set",
    ),
    _fault(
        id="reward-bounds-half-radius", place=f"{_SETS}:PartyConfidence.reward_bounds",
        old="mean - self.radius",
        new="mean - 0.5 * self.radius",
        what="the lower bound on rewards takes half of the radius",
    ),
    _fault(
        id="gains-from-mean", place=f"{_SETS}:gains",
        old="rewards.min(axis=-1, keepdims=True)",
        new="rewards.mean(axis=-1, keepdims=True)",
        what="gains are counted from the mean action instead of the worst",
    ),
    _fault(
        id="ridge-hundredfold", place=f"{_FITS}:_penalty",
        old="ridge * mass if mass_scaled else ridge",
        new="100.0 * (ridge * mass if mass_scaled else ridge)",
        what="the ridge of Bradley-Terry is a hundred times what was asked for",
    ),
    _fault(
        id="covariance-sum", place=f"{_CONFIDENCE}:answer_covariance",
        old="/ Np +",
        new="/ (Np / 2) +",
        what="the covariance counts every answer twice",
    ),
    _fault(
        id="pooled-one-party", place=f"{_REWARDS}:estimate_party_rewards",
        old="x.reshape(B, M * n, d)",
        new="np.ascontiguousarray(x[:, 0])",
        what="the pooled estimate is fitted to the first party's answers alone",
    ),
    _fault(
        id="rate-log-two", place=f"{_REWARDS}:estimation_rate",
        old="np.log(parties / delta)",
        new="np.log2(parties / delta)",
        what="the estimation rate has log2 for log",
    ),
    _fault(
        id="rate-own-over-parties", place=f"{_REWARDS}:estimation_rate",
        old="own = rank**2 / n",
        new="own = rank**2 / (n * parties)",
        what="the part of the rate that is a party's own is divided by the number of parties",
    ),
    _fault(
        id="leave-one-out-keeps", place=f"{_REWARDS}:_leave_one_out",
        old="np.delete(x, m, axis=1)",
        new="np.delete(x, (m + 1) % M, axis=1)",
        what="leaving a party out leaves out its neighbour instead",
    ),
    _fault(
        id="mdp-greedy", place=f"{_MDP}:EpisodicMDP.best_policy",
        old="reward + self.transitions[h] @ ahead",
        new="reward + 0.0 * (self.transitions[h] @ ahead)",
        what="the planner looks one step ahead only",
    ),
    _fault(
        id="mdp-occupancy-first-action", place=f"{_MDP}:EpisodicMDP.occupancy",
        old="self.transitions[h][np.arange(S), policy[h]]",
        new="self.transitions[h][np.arange(S), policy[0]]",
        what="occupancies follow the first step's actions throughout",
    ),
    _fault(
        id="pool-one-law", place=f"{_POOL}:ContextualPool._actions",
        old="edges, picked = np.cumsum(laws, axis=1, dtype=float)",
        new="edges, picked = np.cumsum(laws[:1].repeat(len(laws), axis=0), axis=1, dtype=float)",
        what="actions are drawn by the first context's law in every context",
    ),
    _fault(
        id="heads-independent", place=f"{_POPULATIONS}:shared_population",
        old="length * _unit(heads) @ subspace.T",
        new="length * heads @ subspace.T",
        what="parties' heads are not scaled to the stated length",
    ),
    _fault(
        id="winner-bound-log2", place=f"{_BOUNDS}:winner_bound",
        old="np.log(4 * M * S * A**2 / delta)",
        new="np.log2(4 * M * S * A**2 / delta)",
        what="Theorem 8's bound has log2 for log",
    ),
    _fault(
        id="winner-bound-16", place=f"{_BOUNDS}:winner_bound",
        old="float(8 * A",
        new="float(16 * A",
        what="Theorem 8's bound has 16 for 8",
    ),
    _fault(
        id="winner-bound-power", place=f"{_BOUNDS}:winner_bound",
        old="np.sqrt(coverage / n)",
        new="(coverage / n) ** (1 / 3)",
        what="Theorem 8's bound falls as n^(-1/3)",
    ),
    _fault(
        id="winner-sure-four", place=f"{_BOUNDS}:WinnerSure.draw",
        old="2.0 * best[s]",
        new="4.0 * best[s]",
        what="the sure form of Theorem 8 allows four times the bonus",
    ),
    _fault(
        id="nash-relative-four", place=f"{_SURE}:NashRelativeBound.excess",
        old="relative = 2.0 *",
        new="relative = 4.0 *",
        what="the relative form of Theorem 2 allows four times the widths",
    ),
    _fault(
        id="leximin-bound-four", place=f"{_SURE}:LeximinBound.excess",
        old="loss / (2.0 *",
        new="loss / (4.0 *",
        what="the sure form of Theorem 6 allows four times the width",
    ),
    _fault(
        id="utilitarian-bound-four", place="theory.multi_party.utilitarian:UtilitarianBound.draw",
        old="max(2.0 * float(",
        new="max(4.0 * float(",
        what="the sure form of Theorem 5 allows four times the widths",
    ),
    _fault(
        id="coverage-twelve", place="theory.multi_party.coverage:CoverageClaim.ratios",
        old="loss / (6 * 2",
        new="loss / (12 * 2",
        what="the bounds with a coverage coefficient have 12 M for 6 M",
    ),
    _fault(
        id="pareto-lottery-first-party", place=f"{_FAIRNESS}:pareto_lottery",
        old="for k in range(len(table)):",
        new="for k in range(1):",
        what="pareto_lottery asks what the first party alone could gain",
    ),
    _fault(
        id="nash-lottery-flat", place="sim.algorithms.welfare_programs:welfare_program",
        old="cp.sum(cp.log(own.t)) if alpha == 0.0", new="cp.sum(cp.log(own.t)) if alpha == 9.0",
        what="the pessimistic Nash lottery maximises a constant",
    ),
    _fault(
        id="covariance-tolerance-doubled", place="theory.multi_party.confidence:CovarianceConcentrates.bound",
        old="EveryDraw(0.1)", new="EveryDraw(0.2)",
        what="sample covariances may be a fifth off",
    ),
    _fault(
        id="dominated-by-nobody", place="theory.multi_party.ex_post:_dominated_population",
        old="rewards[:, 1] = rewards[:, 0] -", new="rewards[:, 1] = rewards[:, 1] -",
        what="the action that should be dominated is not",
    ),
    _fault(
        id="reward-bounds-of-one", place="sim.estimators.party_confidence:PartyConfidence.reward_bounds",
        old="(width.ndim - 1)", new="(width.ndim - 2)",
        what="parties' radii are spread over actions where several vectors are asked for at once",
    ),
)  # fmt: skip
