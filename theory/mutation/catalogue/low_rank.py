"""Faults planted in the code of low_rank."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="low_rank")
_FIT = "sim.estimators.low_rank:fit_low_rank"
_DESCENT = "sim.estimators.low_rank_descent"
_SUBSPACE = "sim.estimators.reduced_subspace"
_CONFIDENCE = "sim.estimators.reduced_confidence"
_PESSIMISM = "sim.algorithms.reduced_pessimism"
_PRS = "sim.algorithms.prs"
_WORLD = "sim.environments.low_rank"
_CHOICE = "sim.estimators.rank_choice"
_RANKINGS = "sim.estimators.low_rank_rankings"

FAULTS: tuple[Fault, ...] = (
    # The maximum of the likelihood, and what it starts from.
    _fault(
        id="low-rank-ridge-hundredfold", place=_FIT,
        old="limits = Limits(float(ridge),", new="limits = Limits(100.0 * float(ridge),",
        what="the ridge of the rank-constrained fit is a hundred times the one asked for",
    ),
    _fault(
        id="low-rank-factors-transposed", place=_FIT,
        old="factors.left[:, :d_x].T @ factors.right[:, :d_phi]",
        new="(factors.right[:, :d_phi].T @ factors.left[:, :d_x])",
        what="Theta is put together from its factors the wrong way round",
    ),
    _fault(
        id="low-rank-separable-turned", place=_FIT,
        old="all_positive(x, z, own", new="all_positive(x, -z, own",
        what="answers are called separable where every one of them is on the wrong side",
    ),
    _fault(
        id="low-rank-spectral-start-half", place="sim.estimators.low_rank_problem:spectral_start",
        old="2.0 * (x.T @ z)", new="(x.T @ z)",
        what="the spectral start is half as long as the linearised link makes it",
    ),
    _fault(
        id="low-rank-dimension-of-factors", place="sim.estimators.low_rank_problem:manifold_dimension",
        old=" - rank * rank", new="",
        what="the numbers in both factors are counted as if all of them were free",
    ),
    # Descent on the factors.
    _fault(
        id="descent-start-out-of-balance", place=f"{_DESCENT}:balanced_factors",
        old="u[:, :rank] * root, vt[:rank].T * root", new="u[:, :rank] * root * root, vt[:rank].T",
        what="one of the starting factors carries all of the singular values",
    ),
    _fault(
        id="descent-curvature-one", place=f"{_DESCENT}:descend",
        old="smooth = 0.25 *", new="smooth = 1.0 *",
        what="the step forgets that the logistic loss has curvature of at most a quarter",
    ),
    _fault(
        id="descent-preconditioner-dropped", place=f"{_DESCENT}:descend",
        old='kind == "scaled", float(eta)', new="False, float(eta)",
        what="scaled descent takes its long steps without the preconditioner",
    ),
    _fault(
        id="descent-balance-sign", place="sim.compiled.descent:_step",
        old="balance * (own[a, b] - across[a, b])", new="balance * (across[a, b] - own[a, b])",
        what="the balancing term drives the two factors apart",
    ),
    _fault(
        id="descent-simultaneous", place="sim.compiled.descent:descend",
        old="        curved_pass(answers, factors, scratch, gradient, curvature)\n        if not _step(right",
        new="        if not _step(right",
        what="the second factor steps along the gradient at the old first one",
    ),
    # The reduced subspace.
    _fault(
        id="subspace-right-transposed", place=f"{_SUBSPACE}:reduced_subspace",
        old="np.ascontiguousarray(vt.T)", new="np.ascontiguousarray(vt)",
        what="the right singular vectors are taken from the rows' place",
    ),
    _fault(
        id="subspace-block-by-columns", place=f"{_SUBSPACE}:ReducedSubspace.vector",
        old="rotated[:r, r:].ravel()", new="rotated[:r, r:].T.ravel()",
        what="the coefficients of one block are stacked by columns where its features go by rows",
    ),
    _fault(
        id="subspace-wrong-rank", place=f"{_PRS}:_around",
        old="min(fit.shape) if rank is None else rank)", new="min(fit.shape) if rank is None else max(rank - 1, 1))",
        what="the subspace keeps a direction fewer than the fit has",
    ),
    _fault(
        id="subspace-from-truth", place=f"{_PRS}:_around",
        old="reduced_subspace(fit,", new="reduced_subspace(fit if truth is None else truth,",
        what="the subspace leaks the true Theta where that is known",
    ),
    _fault(
        id="split-not-split", place=f"{_PRS}:learn_reward",
        old="own = (contexts, differences) if second is None else second", new="own = (contexts, differences)",
        what="the second stage uses the answers of the first one although others were given",
    ),
    _fault(
        id="prs-scale-lost", place=f"{_PRS}:prs",
        old="mode, delta, scale, ridge, None", new="mode, delta, 1.0, ridge, None",
        what="PRS ignores the multiple of the radius that was asked for",
    ),
    # Confidence sets.
    _fault(
        id="wald-radius-doubled", place=f"{_CONFIDENCE}:reduced_confidence",
        old="f = float(np.sqrt(chi2", new="f = 2.0 * float(np.sqrt(chi2",
        what="Wald's radius is twice what it should be",
    ),
    _fault(
        id="weighted-radius-doubled", place=f"{_CONFIDENCE}:reduced_confidence",
        old="f += b_rms / 4 * np.sqrt(values.max())\n    return Ellipsoid(estimate, matrix, (scale * float(f)) ** 2)",
        new="f += b_rms / 4 * np.sqrt(values.max())\n    return Ellipsoid(estimate, matrix, (2.0 * scale * f) ** 2)",
        what="the radius of the weighted set is twice what it should be",
    ),
    _fault(
        id="theory-radius-doubled", place=f"{_CONFIDENCE}:reduced_confidence",
        old="f = (0.5 * np.sqrt((k +", new="f = (np.sqrt((k +",
        what="the finite-sample radius forgets that an answer's noise is sub-Gaussian with a half",
    ),
    _fault(
        id="weighted-truncation-left-out", place=f"{_CONFIDENCE}:reduced_confidence",
        old="f += b_rms / 4 * np.sqrt(values.max())", new="f += 0.0 * values.max()",
        what="the weighted radius has no share for the truncation's error",
    ),
    _fault(
        id="wald-two-sided-level", place=f"{_CONFIDENCE}:reduced_confidence",
        old="chi2_quantile(1.0 - delta,", new="chi2_quantile(1.0 - 0.5 * delta,",
        what="the level of an ellipsoid is halved as if it had two sides",
    ),
    _fault(
        id="wald-curvature-at-zero", place=f"{_CONFIDENCE}:reduced_confidence",
        old="curvature(own)[:, None]", new="curvature(0.0 * own)[:, None]",
        what="every answer weighs as if its margin were zero",
    ),
    _fault(
        id="refit-ridge-hundredfold", place=f"{_CONFIDENCE}:reduced_fit",
        old="ridge=max(ridge, 1e-12)", new="ridge=100.0 * max(ridge, 1e-12)",
        what="the second fit has a hundred times the first one's ridge",
    ),
    _fault(
        id="curvature-square-lost", place=f"{_CONFIDENCE}:curvature",
        old="e / (1.0 + e) ** 2", new="e / (1.0 + e)",
        what="the logistic function in place of its derivative",
    ),
    # Pessimism.
    _fault(
        id="reduced-bound-optimistic", place=f"{_PESSIMISM}:ScaledActions.lower_bounds",
        old="self.gain - self.f", new="self.gain + self.f",
        what="the uncertainty is added to an action's value in place of being taken off",
    ),
    _fault(
        id="reduced-first-action-unpinned", place=f"{_PESSIMISM}:relative_features",
        old="return features - features[:, :1]", new="return features",
        what="the reference action is asked for and not subtracted",
    ),
    _fault(
        id="reduced-behaviour-added", place=f"{_PESSIMISM}:relative_features",
        old="return features - (own", new="return features + (own",
        what="the behaviour's mean features are added",
    ),
    _fault(
        id="low-rank-suboptimality-halved", place=f"{_PESSIMISM}:suboptimality",
        old="return float((rewards.max", new="return 0.5 * float((rewards.max",
        what="a policy is said to lose half of what it loses",
    ),
    _fault(
        id="frank-wolfe-line-search-sign", place="sim.compiled.frank_wolfe:_best_move",
        old="(-b + gain *", new="(b + gain *",
        what="the line search has the sign of the linear term wrong",
    ),
    _fault(
        id="frank-wolfe-kink-left-out", place="sim.compiled.frank_wolfe:_certificate",
        old="gap += radius * np.sqrt(size) - scale * size", new="gap += 0.0",
        what="the certificate leaves out what smoothing the norm takes off",
    ),
    # The world.
    _fault(
        id="low-rank-ratio-short", place=f"{_WORLD}:low_rank_matrix",
        old="max(count - 1, 1)", new="count",
        what="the last singular value is not so much smaller than the first as was asked for",
    ),
    _fault(
        id="low-rank-operator-norm", place=f"{_WORLD}:low_rank_matrix",
        old="norm * theta / np.linalg.norm(theta)", new="norm * theta / np.linalg.norm(theta, 2)",
        what="Theta gets the operator norm where the Frobenius norm was asked for",
    ),
    _fault(
        id="ranked-items-too-far-apart", place=f"{_WORLD}:LowRankWorld.rankings",
        old="items = self.feature_sd / np.sqrt(2.0) * noise", new="items = self.feature_sd * noise",
        what="ranked items have twice the variance that makes their differences those of comparisons",
    ),
    _fault(
        id="ranking-first-place-only", place=f"{_WORLD}:LowRankWorld.rankings",
        old="order = np.argsort(-utility, axis=1)",
        new="order = (np.argmax(utility, axis=1)[:, None] + np.arange(K)) % K",
        what="only the first place of a ranking is drawn, the others are as they come",
    ),
    _fault(
        id="plackett-luce-first-place-only", place="sim.compiled.bilinear:ranking_slopes",
        old="slope[start + j] = weight * passed - (1.0 if j < K - 1 else 0.0)",
        new="slope[start + j] = weight * passed - (1.0 if j < 1 else 0.0)",
        what="a ranking's gradient counts the first place's choice only",
    ),
    _fault(
        id="plackett-luce-order-worst-first", place="sim.populations.choice:PlackettLuce.order",
        old="np.argsort(-(self.scale * utility", new="np.argsort((self.scale * utility",
        what="orders come worst first",
    ),
    _fault(
        id="ranking-pairs-adjacent", place=f"{_RANKINGS}:pairs_of_rankings",
        old="np.triu_indices(ranked.shape[1], 1)",
        new="(np.arange(ranked.shape[1] - 1), np.arange(1, ranked.shape[1]))",
        what="a ranking is split into the pairs of neighbours only",
    ),
    _fault(
        id="ranking-mass-of-items", place=f"{_RANKINGS}:fit_low_rank_rankings",
        old="rows, float(n), True, K", new="rows, float(rows), True, K",
        what="the mean loss is an item's where it should be a ranking's, so that the ridge is K times as strong",
    ),
    # Choosing the rank.
    _fault(
        id="rank-bic-is-aic", place=f"{_CHOICE}:penalty",
        old="return float(np.log(n))", new="return 2.0",
        what="the Bayesian criterion has the penalty of AIC",
    ),
    _fault(
        id="rank-gic-sum", place=f"{_CHOICE}:penalty",
        old="np.log(d_x * d_phi)", new="np.log(d_x + d_phi)",
        what="the generalised criterion takes the dimensions' sum for their product",
    ),
    _fault(
        id="rank-deviance-halved", place=f"{_CHOICE}:choose_rank",
        old="2.0 * float(np.logaddexp(0.0, -u).sum())", new="float(np.logaddexp(0.0, -u).sum())",
        what="the criterion has the loss where it should have twice the loss",
    ),
    _fault(
        id="rank-held-out-seen", place=f"{_CHOICE}:choose_rank",
        old="fit_low_rank(contexts[~held], differences[~held],", new="fit_low_rank(contexts, differences,",
        what="answers that are held out are fitted all the same",
    ),
    # The claims' own bounds.
    _fault(
        id="loss-bound-four-f", place="theory.low_rank._learned:Learned.loss_bound",
        old="2.0 * f * self.width", new="4.0 * f * self.width",
        what="the bound on the loss has 4 f for 2 f",
    ),
    _fault(
        id="certified-error-four", place="theory.low_rank.estimation:certified_error",
        old="2.0 * np.sqrt(2.0 * rank)", new="4.0 * np.sqrt(2.0 * rank)",
        what="the certified bound on the error is twice as large",
    ),
    _fault(
        id="truncation-exponent", place="theory.low_rank.truncation:TruncationSure._ratio",
        old="weakest / error**2", new="weakest / error",
        what="the truncation's bound is of first order in the error",
    ),
    _fault(
        id="subspace-bound-trebled", place="theory.low_rank.truncation:_SureTruncation.bound",
        old="EveryDraw(1.0 + 1e-9)", new="EveryDraw(3.0)",
        what="the bounds on subspace and truncation are three times looser",
    ),
    _fault(
        id="loss-rate-fourth-root", place="theory.low_rank.loss_rates:LossRate.bound",
        old="Slope(-0.4)", new="Slope(-0.15)",
        what="the loss may fall as the fourth root",
    ),
    _fault(
        id="coverage-level-trebled", place="theory.low_rank.coverage:_FiniteSample.bound",
        old="threshold=1.0", new="threshold=3.0",
        what="an error of three radii still counts as covered",
    ),
    _fault(
        id="bound-ratio-trebled", place="theory.low_rank.reduction:BoundRatio.bound",
        old="MeanAtMost(1.0)", new="MeanAtMost(3.0)",
        what="the reduced bound may be three times the share of the full one",
    ),
    _fault(
        id="pooling-bound-trebled", place="theory.low_rank.special:PoolingCommon.bound",
        old="MeanAtMost(0.5)", new="MeanAtMost(1.5)",
        what="pooling may be half as bad again and still counts as better",
    ),
    _fault(
        id="reduced-width-trebled", place="theory.low_rank.reduction:ReducedWidth.bound",
        old="EveryDraw(1.0 + 1e-9)", new="EveryDraw(3.0)",
        what="the reduced width may be three times the full one",
    ),
    _fault(
        id="weights-taken-for-ones", place="sim.estimators.low_rank:fit_low_rank",
        old="(own == 1.0).all()", new="(own != 1.0).all()",
        what="weights that are all unlike one are left out of the low-rank fit",
    ),
    _fault(
        id="separable-misjudged", place="sim.compiled.low_rank_fits:all_positive",
        old="row, inner = theta[a], 0.0", new="row, inner = theta[a], 1.0",
        what="whether answers are separable is read off margins that are not the fit's",
    ),
    _fault(
        id="shared-never-converged", place="sim.compiled.shared:fit_shared",
        old="            status = 0\n", new="            status = 1\n",
        what="a shared fit that converged says that it stalled",
    ),
)  # fmt: skip
