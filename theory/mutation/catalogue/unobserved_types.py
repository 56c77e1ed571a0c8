"""Faults planted in the code of unobserved_types: EM-DPO, the choice of K, regrets, Hedge, MinMax-DPO, ensembles."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="unobserved_types")
_EM = "sim.algorithms.em_dpo"
_COMPILED = "sim.compiled.em_pass"
_CHOICE = "sim.algorithms.model_selection"
_REGRET = "sim.algorithms.regret"
_HEDGE = "sim.algorithms.hedge"
_MINMAX = "sim.algorithms.minmax_dpo"
_MIXTURE = "sim.policies.mixture"
_CLUSTER = "sim.algorithms.cluster_dpo"

FAULTS: tuple[Fault, ...] = (
    _fault(
        id="em-mixture-frozen", place=f"{_EM}:em_dpo",
        old="        mixture = posterior.responsibilities.mean(axis=0)\n        undone", new="        undone",
        what="the mixture is never updated after the first M-step",
    ),
    _fault(
        id="em-mixture-by-answers", place=f"{_EM}:em_dpo",
        old="mixture = posterior.responsibilities.mean(axis=0)", new="mixture = posterior.answer_weights.mean(axis=0)",
        what="the mixture weighs annotators by how many answers they gave",
    ),
    _fault(
        id="em-mixture-over-types", place=f"{_EM}:em_dpo",
        old="mixture = posterior.responsibilities.mean(axis=0)",
        new="mixture = posterior.responsibilities.mean(axis=0) / n_types",
        what="the mixture is divided by the number of types, as printed",
    ),
    _fault(
        id="em-no-prior", place=f"{_EM}:soft_posterior",
        old=" + np.log(np.maximum(mixture, _SMALLEST_SHARE))", new="",
        what="the posterior leaves the mixture out",
    ),
    _fault(
        id="em-posterior-per-pair", place=f"{_EM}:soft_posterior",
        old="return Posterior(responsibilities, responsibilities[annotator], float(total.sum()))",
        new="alone = np.exp(answers - np.logaddexp.reduce(answers, axis=1)[:, None])\n"
        "    return Posterior(responsibilities, alone, float(total.sum()))",
        what="every answer has a posterior of its own in the M-step, not its annotator's",
    ),
    _fault(
        id="em-scores-averaged", place=f"{_EM}:annotator_scores",
        old="np.bincount(annotator, weights=column, minlength=n_annotators) for",
        new="np.bincount(annotator, weights=column, minlength=n_annotators)\n"
        "         / np.maximum(np.bincount(annotator, minlength=n_annotators), 1) for",
        what="an annotator's log-likelihood is a mean over her answers, not their sum",
    ),
    _fault(
        id="em-hard-takes-the-least", place=f"{_EM}:hard_posterior",
        old="responsibilities.argmax(axis=1)", new="responsibilities.argmin(axis=1)",
        what="hard EM gives each annotator to her least probable type",
    ),
    _fault(
        id="em-guard-reversed", place=f"{_EM}:_maximise",
        old="worse = new - _penalty_of(policy, mass) < old", new="worse = new - _penalty_of(policy, mass) > old",
        what="the guard undoes the steps that raise the objective",
    ),
    _fault(
        id="em-restarts-keep-the-first", place=f"{_EM}:em_dpo_restarts",
        old="if best is None or first_best(np.array([best.penalised[-1], reached[r]])) == 1:", new="if best is None:",
        what="the first restart is kept, not the best",
    ),
    _fault(
        id="em-one-start", place=f"{_EM}:em_dpo_restarts",
        old='stream.child(f"restart/{r}")', new='stream.child("restart/0")',
        what="every restart begins at the same split",
    ),
    _fault(
        id="compiled-em-half-the-answers", place=f"{_COMPILED}:_some_tiles",
        old="for tile in range(lo_tile, hi_tile):", new="for tile in range(lo_tile, (lo_tile + hi_tile + 1) // 2):",
        what="compiled EM sees the first half of its answers only",
    ),
    _fault(
        id="compiled-em-no-prior", place=f"{_COMPILED}:_tile",
        old="joint[k] = total + log_mixture[k]", new="joint[k] = total",
        what="compiled EM leaves the mixture out of the posterior",
    ),
    _fault(
        id="compiled-em-wrong-curvature", place=f"{_COMPILED}:_tile",
        old="curvature[c] = w * wrong[c] * (1.0 - wrong[c])", new="curvature[c] = w * wrong[c]",
        what="the Hessian's weights are those of a linear model",
    ),
    _fault(
        id="bic-is-aic", place=f"{_CHOICE}:bic",
        old="n_parameters * float(np.log(n_answers))", new="2.0 * n_parameters",
        what="BIC counts two for a parameter, as AIC does",
    ),
    _fault(
        id="bic-likelihood-once", place=f"{_CHOICE}:bic",
        old="-2.0 * log_likelihood", new="-log_likelihood",
        what="BIC takes the likelihood once, not twice",
    ),
    _fault(
        id="bic-forgets-types", place=f"{_CHOICE}:n_mixture_parameters",
        old="n_free * n_types + n_types - 1", new="n_free + n_types - 1",
        what="the parameters of one type are counted for all",
    ),
    _fault(
        id="held-out-is-training", place=f"{_CHOICE}:choose_n_types_by_held_out",
        old="predictive_log_likelihood(fitted.theta, gamma, differences[holds], annotator[holds])",
        new="predictive_log_likelihood(fitted.theta, gamma, differences[~holds], annotator[~holds])",
        what="the number of types is chosen by the answers it was fitted to",
    ),
    _fault(
        id="regret-without-beta", place=f"{_REGRET}:regret_matrix",
        old="scale = beta * c[:, None]", new="scale = c[:, None]",
        what="regrets leave beta out, as printed",
    ),
    _fault(
        id="regret-transposed", place=f"{_REGRET}:regret_matrix",
        old="np.diag(discrepancy)[:, None] - discrepancy)", new="np.diag(discrepancy)[:, None] - discrepancy.T)",
        what="the regret matrix is transposed",
    ),
    _fault(
        id="regret-own-of-the-column", place=f"{_REGRET}:regret_matrix",
        old="np.diag(discrepancy)[:, None] - discrepancy)", new="np.diag(discrepancy)[None, :] - discrepancy)",
        what="a regret starts from the policy's own discrepancy, not the group's",
    ),
    _fault(
        id="discrepancy-from-the-reference", place=f"{_REGRET}:discrepancy",
        old='np.einsum("n,kna,zna->zk", share, np.exp(log_p), log_p - log_reference, optimize=True)',
        new='np.einsum("n,kna,zna->zk", share, np.exp(log_p), log_p, optimize=True)',
        what="discrepancies leave the reference out",
    ),
    _fault(
        id="discrepancy-sampled-from-the-group", place=f"{_REGRET}:discrepancy_sampled",
        old="drawn = policy.sample(", new="drawn = policies[0].sample(",
        what="every policy's responses are drawn from the first one",
    ),
    _fault(
        id="group-regret-with-priorities", place=f"{_REGRET}:RegretMatrix.of_groups",
        old=" / self.priorities)", new=")",
        what="a group's own regret still carries its priority",
    ),
    _fault(
        id="hedge-step-halved", place=f"{_HEDGE}:default_step",
        old="np.where(spread > 0, 1.0 / np", new="np.where(spread > 0, 0.5 / np",
        what="Hedge plays with half of the step that the bound admits",
    ),
    _fault(
        id="hedge-bound-log2", place=f"{_HEDGE}:hedge_bound",
        old="(np.log(n_columns) + np.log(n_rows))", new="(np.log2(n_columns) + np.log2(n_rows))",
        what="the bound on the gap has logarithms to the base 2",
    ),
    _fault(
        id="hedge-not-optimistic", place=f"{_HEDGE}:hedge_batch",
        old="float(optimistic)", new="0.0",
        what="optimistic Hedge plays plain Hedge",
    ),
    _fault(
        id="hedge-last-for-average", place=f"{_HEDGE}:hedge_batch",
        old="out_of_lanes(w_mean), out_of_lanes(p_mean)", new="out_of_lanes(w), out_of_lanes(p)",
        what="the last round's play is returned as the average",
    ),
    _fault(
        id="hedge-gap-zero", place=f"{_HEDGE}:hedge_batch",
        old="gap=upper - lower", new="gap=0.0 * (upper - lower)",
        what="the certificate is always zero",
    ),
    _fault(
        id="game-value-of-the-rows", place=f"{_HEDGE}:game_value",
        old="return GameValue(least + unit * attained,", new="return GameValue(float(np.max(regret.mean(axis=1))),",
        what="the game's value is that of even play",
    ),
    _fault(
        id="priorities-dropped", place=f"{_MINMAX}:weigh",
        old="regret_matrix(discrepancy, beta, priorities, standard_error)",
        new="regret_matrix(discrepancy, beta, None, standard_error)",
        what="MinMax-DPO leaves the groups' priorities out",
    ),
    _fault(
        id="mixture-sample-first", place=f"{_MIXTURE}:Mixture.draw_members",
        old='return stream.child("member").choice(self.weights, n)', new="return np.zeros(n, dtype=np.int64)",
        what="a mixture always answers by its first policy",
    ),
    _fault(
        id="mixture-averages-logs", place=f"{_MIXTURE}:FiniteMixture.log_probabilities",
        old="np.logaddexp.reduce(parts + self._log_weights[:, None, None], axis=0)",
        new="np.tensordot(self.weights, parts, axes=1)",
        what="a mixture averages log-probabilities",
    ),
    _fault(
        id="clusters-see-zeros", place=f"{_CLUSTER}:mean_chosen_features",
        old="means = sums / np.where(silent, 1.0, mass)[:, None]",
        new="means = 0.0 * sums / np.where(silent, 1.0, mass)[:, None]",
        what="Cluster-DPO's features are zeros",
    ),
    _fault(
        id="cluster-fits-everybody", place=f"{_CLUSTER}:cluster_dpo",
        old="pairs.pair_weights() * responsibilities[pairs.annotator, k]", new="pairs.pair_weights()",
        what="every cluster's policy is fitted to all answers",
    ),
    # The claims' own bounds.
    _fault(
        id="hedge-claim-log2", place="theory.unobserved_types.games:HedgeBound._play",
        old="(np.log(K) / step + np.log(K + 1) / (setting.ratio * step))",
        new="(np.log2(K) / step + np.log2(K + 1) / (setting.ratio * step))",
        what="the claim's bound on the gap has logarithms to the base 2",
    ),
    _fault(
        id="hedge-claim-trebled", place="theory.unobserved_types.games:HedgeBound.bound",
        old="EveryDraw(1.0)", new="EveryDraw(3.0)",
        what="the claim's bound on the gap is three times looser",
    ),
    _fault(
        id="hedge-solution-log2", place="theory.unobserved_types.games:HedgeSolves._play",
        old="limit = (np.log(K) + np.log(K + 1))", new="limit = (np.log2(K) + np.log2(K + 1))",
        what="the limit on the solution's distance has logarithms to the base 2",
    ),
    _fault(
        id="hedge-solution-trebled", place="theory.unobserved_types.games:HedgeSolves.bound",
        old="EveryDraw(1.0)", new="EveryDraw(3.0)",
        what="the limit on the solution's distance is three times looser",
    ),
    _fault(
        id="priorities-limit-trebled", place="theory.unobserved_types.priorities:PrioritiesOnRows.bound",
        old="EveryDraw((np.log(3) + np.log(4)) / _ROUNDS)", new="EveryDraw(3.0 * (np.log(3) + np.log(4)) / _ROUNDS)",
        what="the limit on the largest weighted regret is three times looser",
    ),
    _fault(
        id="reward-noise-trebled", place="theory.unobserved_types.fairness:RewardNoise.bound",
        old="Exactly(0.002)", new="Exactly(0.006)",
        what="the rewards' noise may change a choice three times as much",
    ),
    _fault(
        id="ternary-gain-a-third", place="theory.unobserved_types.samples:TernaryGain.bound",
        old="MeanAtLeast(100.0, departure=50.0)", new="MeanAtLeast(33.0, departure=50.0)",
        what="a third of the gain in likelihood is enough",
    ),
    _fault(
        id="clusters-third", place="theory.unobserved_types.recovery:ClustersSeeTypes.bound",
        old="MeanAtLeast(0.7)", new="MeanAtLeast(0.23)",
        what="the baseline need agree with the types a third as well",
    ),
    _fault(
        id="direct-too-optimistic", place="sim.algorithms.saddle_point:saddle_point_table",
        old="2 * gain_t - gain_tm1", new="3 * gain_t - gain_tm1",
        what="the direct game's groups move half as fast again",
    ),
    _fault(
        id="hedge-step-of-the-sum", place="sim.algorithms.hedge:default_step",
        old="regret.max(axis=(-2, -1)) - regret.min", new="regret.max(axis=(-2, -1)) + regret.min",
        what="Hedge's step comes from the sum of the largest and the least regret",
    ),
    _fault(
        id="hedge-last-gap-one-sided", place="sim.algorithms.hedge:hedge_batch",
        old="last_gap=out_of_lanes(last_gap)", new="last_gap=upper",
        what="the gap of the last play is what the average play guarantees",
    ),
    _fault(
        id="fill-everybody", place="theory.unobserved_types.priorities:_filled",
        old="t.max()", new="t[-1]",
        what="weights are filled as if every group were in play, whatever its priority",
    ),
)  # fmt: skip
