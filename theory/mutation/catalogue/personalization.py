"""Faults planted in the code of personalization."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="personalization")
_OURS = "theory.personalization"
_MECHANISM = "sim.algorithms.mechanism"

FAULTS: tuple[Fault, ...] = (
    _fault(
        id="payment-halved", place=f"{_MECHANISM}:Mechanism.outcome",
        old="(now - then).sum(axis=-1)", new="0.5 * (now - then).sum(axis=-1)",
        what="the mechanism charges half of what a lie costs the others",
    ),
    _fault(
        id="payment-doubled", place=f"{_MECHANISM}:Mechanism.outcome",
        old="(now - then).sum(axis=-1)", new="2.0 * (now - then).sum(axis=-1)",
        what="the mechanism charges twice what a lie costs the others",
    ),
    _fault(
        id="payment-dropped", place=f"{_MECHANISM}:Mechanism.outcome",
        old="if self.charged and n > 1:", new="if self.charged and n > 99:",
        what="the mechanism charges nobody",
    ),
    _fault(
        id="payment-misdirected", place=f"{_MECHANISM}:Mechanism.outcome",
        old="costs[..., i] =", new="costs[..., i - 1] =",
        what="an annotator's cost is charged to the one before her",
    ),
    _fault(
        id="payment-mismatched", place=f"{_MECHANISM}:Mechanism.outcome",
        old="now = opinion_distance(others, consensus[..., None, :], self.distance)",
        new="now = opinion_distance(others, consensus[..., None, :], self.distance + 1.0)",
        what="what the others lose is measured by the distance of another alpha",
    ),
    _fault(
        id="pivot-of-everybody", place=f"{_MECHANISM}:Mechanism.outcome",
        old="without = pool_opinions(others, self.alpha)", new="without = pool_opinions(reports, self.alpha)",
        what="the pivot is the pool with the annotator's own report in it",
    ),
    _fault(
        id="pivot-linear", place=f"{_MECHANISM}:Mechanism.outcome",
        old="without = pool_opinions(others, self.alpha)", new="without = pool_opinions(others, 1.0)",
        what="the pivot is the others' linear pool whatever alpha is",
    ),
    _fault(
        id="pivot-dropped", place=f"{_MECHANISM}:Mechanism.outcome",
        old="(now - then).sum(axis=-1)", new="now.sum(axis=-1)",
        what="the costs are what the others lose, without what they would lose in any case",
    ),
    _fault(
        id="mechanism-distance-shifted", place=f"{_MECHANISM}:Mechanism.distance",
        old="self.alpha if", new="self.alpha + 0.5 if",
        what="the mechanism's distance is that of alpha + 1/2",
    ),
    _fault(
        id="utility-by-the-report", place=f"{_MECHANISM}:Mechanism.utilities",
        old="-opinion_distance(truth,", new="-opinion_distance(truth if reports is None else floored(reports),",
        what="an annotator's utility is measured by what she reports and not by what she thinks",
    ),
    _fault(
        id="candidate-cost-halved", place=f"{_MECHANISM}:pivotal_choice",
        old="others.max(axis=1) - others[:, choice]", new="0.5 * (others.max(axis=1) - others[:, choice])",
        what="the pivot over candidates charges half",
    ),
    _fault(
        id="log-mean-exp-sum", place="sim.algorithms.aggregation:log_mean_exp",
        old="np.where(finite, top, 0.0))).mean(axis=axis)", new="np.where(finite, top, 0.0))).sum(axis=axis)",
        what="1/N is lost in the aggregate",
    ),
    _fault(
        id="log-mean-exp-scale", place="sim.algorithms.aggregation:log_mean_exp",
        old="np.squeeze(top, axis) + far / alpha", new="np.squeeze(top, axis) + far",
        what="the aggregate of spread rewards is not divided by alpha",
    ),
    _fault(
        id="aggregate-limits-swapped", place="sim.algorithms.aggregation:log_mean_exp",
        old="values.max(axis=axis) if alpha > 0 else values.min(axis=axis))",
        new="values.min(axis=axis) if alpha > 0 else values.max(axis=axis))",
        what="alpha at infinity is the minimum and at minus infinity the maximum",
    ),
    _fault(
        id="prime-no-alpha", place="sim.algorithms.aggregation:aggregate_prime",
        old="np.expm1(alpha * rewards).mean(axis=-2) / alpha", new="np.expm1(alpha * rewards).mean(axis=-2)",
        what="Agg' is not divided by alpha, so that it falls for negative alpha",
    ),
    _fault(
        id="shares-sign", place="sim.algorithms.aggregation:reward_shares",
        old="exponent = alpha * rewards", new="exponent = -alpha * rewards",
        what="the aggregate's gradient is that of minus alpha",
    ),
    _fault(
        id="distance-one-reversed", place="sim.algorithms.opinion_distances:opinion_distance",
        old="return _divergence(p, q)", new="return _divergence(q, p)",
        what="the distance at alpha = 1 is the divergence in the other direction",
    ),
    _fault(
        id="distance-scale", place="sim.algorithms.opinion_distances:opinion_distance",
        old="-total / alpha / (1.0 - alpha)", new="-total / (1.0 - alpha)",
        what="the distance is not divided by alpha",
    ),
    _fault(
        id="gradient-exponent", place="sim.algorithms.opinion_distances:distance_gradient",
        old="np.exp(alpha * log_ratio)", new="np.exp(log_ratio)",
        what="the distance's gradient has the exponent 1",
    ),
    _fault(
        id="representation-error-halved", place="sim.estimators.shared_representation:representation_error",
        old="2.0 * k - 2.0 * singular.sum(axis=-1)", new="k - singular.sum(axis=-1)",
        what="the distance of two subspaces is half of what it is",
    ),
    _fault(
        id="representation-error-trace", place="sim.estimators.shared_representation:representation_error",
        old="2.0 * singular.sum(axis=-1)", new="2.0 * (singular**2).sum(axis=-1)",
        what="the distance of two subspaces is that of their projections",
    ),
    _fault(
        id="shared-ridge", place="sim.estimators.shared_representation:fit_shared_batch",
        old="float(ridge * scale**2)", new="float(100.0 * ridge * scale**2)",
        what="the ridge of the shared fit is a hundred times larger",
    ),
    _fault(
        id="head-ridge", place="sim.estimators.shared_representation:fit_head",
        old="margin, float(ridge))", new="margin, 1e4 * float(ridge))",
        what="the ridge of a new annotator's head is ten thousand times larger",
    ),
    _fault(
        id="radius-in-width", place="sim.estimators.confidence:Ellipsoid.worst",
        old="np.sqrt(self.radius) * inverse", new="self.radius * inverse",
        what="the worst reward is taken at the squared radius",
    ),
    _fault(
        id="covariance-not-averaged", place="sim.estimators.confidence:answer_covariance",
        old="@ differences / Np", new="@ differences",
        what="the covariance of the answers is a sum and not a mean",
    ),
    _fault(
        id="pessimism-radius-dropped", place="sim.algorithms.pessimistic_policy:pessimistic_policy",
        old="radius = float(np.sqrt(ellipsoid.radius))", new="radius = 0.0",
        what="the policy is the best one for the estimate",
    ),
    _fault(
        id="optimism", place="sim.algorithms.pessimistic_policy:pessimistic_policy",
        old="radius = float(np.sqrt(ellipsoid.radius))", new="radius = -float(np.sqrt(ellipsoid.radius))",
        what="the policy adds its uncertainty and does not take it off",
    ),
    _fault(
        id="likelihood-drop-ignored", place="sim.estimators.likelihood_set:LikelihoodSet.worst",
        old="floor = self.objective(self.estimate) - self.drop", new="floor = self.objective(self.estimate)",
        what="the likelihood set is the estimate alone",
    ),
    _fault(
        id="discrepancy-sum", place="sim.algorithms.discrepancy:label_discrepancy",
        old="(first - second) @ differences / len(differences)", new="(first - second) @ differences",
        what="the label discrepancy is a sum over pairs and not a mean",
    ),
    _fault(
        id="clusters-first-restart", place="sim.estimators.user_clusters:_best",
        old="first_best(last)", new="last.argmin(axis=-1)",
        what="the worst restart of the clusters is kept",
    ),
    _fault(
        id="pigou-dalton-past-equality", place="sim.algorithms.axioms:PigouDalton.trial",
        old="amount = 0.5 * stream", new="amount = 4.0 * stream",
        what="the transfer of the sixth axiom goes past equality",
    ),
    _fault(
        id="lexicographic-descending", place="sim.algorithms.axioms:Lexicographic.sign",
        old="np.sort(first, axis=1), np.sort(second, axis=1)",
        new="-np.sort(-first, axis=1), -np.sort(-second, axis=1)",
        what="leximin looks at the best off first",
    ),
    _fault(
        id="pop-optimum-beta", place="sim.algorithms.pop_dpo:pop_dpo_optimum",
        old="np.log(consensus) / beta", new="np.log(consensus) * beta",
        what="the optimum of POP-DPO has the exponent beta and not its inverse",
    ),
    _fault(
        id="pooled-pairs-unweighted", place="sim.algorithms.pop_dpo:pooled_pairs",
        old="np.concatenate([consensus[:, 0], consensus[:, 1]])",
        new="np.concatenate([consensus[:, 1], consensus[:, 0]])",
        what="the resampled answers have each other's weights",
    ),
    _fault(
        id="answers-flipped", place="sim.environments.trajectory_pool:sign_answers",
        old="np.minimum(-margin, 700.0)", new="np.minimum(margin, 700.0)",
        what="annotators answer the opposite of what they prefer",
    ),
    _fault(
        id="answers-half-margin", place="sim.environments.trajectory_pool:sign_answers",
        old="np.minimum(-margin, 700.0)", new="np.minimum(-0.5 * margin, 700.0)",
        what="annotators answer with half of their reward differences",
    ),
    _fault(
        id="first-reward-margin", place="sim.environments.trajectory_pool:LowerBoundFamily.first_rewards",
        old="2.0 * self.margin", new="4.0 * self.margin",
        what="the hard family's good action is twice as good as it should be",
    ),
    _fault(
        id="rare-exponent", place="sim.environments.trajectory_pool:LowerBoundFamily.first_probability",
        old="2.0 / self.concentrability**2", new="2.0 / self.concentrability",
        what="the hard family's rare action has probability 2 / Lambda",
    ),
    _fault(
        id="inequality-loosened", place=f"{_OURS}.pessimism:PessimismInequality.bound",
        old="EveryDraw(1.0 + 1e-4)", new="EveryDraw(3.0)",
        what="the inequality behind Theorem 3.1 is three times looser",
    ),
    _fault(
        id="discrepancy-loosened", place=f"{_OURS}.clusters:DiscrepancyBound.bound",
        old="EveryDraw(1.0)", new="EveryDraw(3.0)",
        what="the bound by label discrepancies is three times looser",
    ),
    _fault(
        id="unique-loosened", place=f"{_OURS}.representation:UniqueRepresentation.bound",
        old="EveryDraw(1.05)", new="EveryDraw(3.15)",
        what="the constant of unique representations is three times looser",
    ),
    _fault(
        id="confidence-loosened", place=f"{_OURS}.personal:ConfidenceSet.bound",
        old="Frequency(0.1, GAUSSIAN_CONSTANT)", new="Frequency(0.1, 3.0 * GAUSSIAN_CONSTANT)",
        what="the confidence set's constant is three times larger",
    ),
    _fault(
        id="bracket-log2", place=f"{_OURS}.personal:ConfidenceSet.draw",
        old="np.log(_N / 0.1)", new="np.log2(_N / 0.1)",
        what="the confidence set's bracket takes the logarithm to the base two",
    ),
    _fault(
        id="concentrability-loosened", place=f"{_OURS}.pessimism:Concentrability.bound",
        old="EveryDraw(1.0 + 1e-9)", new="EveryDraw(3.0)",
        what="the bound on the concentrability coefficient is three times looser",
    ),
    _fault(
        id="risk-met-loosened", place=f"{_OURS}.lower_bounds:LowerBoundMet.bound",
        old="MeanAtLeast(1.0)", new="MeanAtLeast(0.33)",
        what="the learner's gap is compared with a third of the Bayes risk",
    ),
    _fault(
        id="lipschitz-loosened", place=f"{_OURS}.aggregation:AggregateLipschitz.bound",
        old="EveryDraw(1.0 + 1e-9)", new="EveryDraw(3.0)",
        what="the aggregate may move three times as much as the rewards",
    ),
    _fault(
        id="cluster-bias-loosened", place=f"{_OURS}.clusters:ClusterBias.bound",
        old="MeanAtMost(0.1)", new="MeanAtMost(0.3)",
        what="too few clusters need to cost three times the error only",
    ),
    _fault(
        id="shared-rate-half", place=f"{_OURS}.personal:SharedRate.bound",
        old="Slope(-0.85, lowest=-1.15)", new="Slope(-0.35, lowest=-0.65)",
        what="the rate of the shared error is 1 / sqrt(Np)",
    ),
    _fault(
        id="stochastic-start-of-the-others", place="sim.algorithms.stochastic_cluster_dpo:stochastic_cluster_dpo",
        old="pairs.annotator == annotator", new="pairs.annotator != annotator",
        what="a cluster starts from the answers of everybody but its annotator",
    ),
    _fault(
        id="ascent-downhill", place="sim.policies.log_linear:LogLinear.ascend",
        old="self.theta + length *", new="self.theta - length *",
        what="the stochastic alternation's steps go downhill",
    ),
    _fault(
        id="heads-root-of-length", place="theory.personalization.representation:_turned",
        old="theta = B * heads @ omega.T", new="theta = np.sqrt(B) * heads @ omega.T",
        what="rewards of heads of length B are as large as those of the root of B",
    ),
)  # fmt: skip
