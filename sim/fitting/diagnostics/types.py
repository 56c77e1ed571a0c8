"""Who the types are, how sure that is, and what is wrong with the answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.algorithms.model_selection import bic, n_mixture_parameters
from sim.answer_kinds.level_slopes import threshold_slopes
from sim.estimators.bradley_terry import fit_bradley_terry, is_separable
from sim.files.atomic import Json
from sim.fitting.described import Group, strongest
from sim.fitting.diagnostics.regret import group_regrets
from sim.fitting.identified import untested
from sim.fitting.method import Candidate, Diagnosis, Fits
from sim.fitting.mixture_errors import Mixture, Scale, sets_of, type_errors_of
from sim.fitting.outcomes import right_of
from sim.fitting.prepare import Prepared
from sim.fitting.scores import hits, score
from sim.fitting.settings import FitSettings
from sim.fitting.type_model import TypeModel
from sim.partitions import known_rand_index
from sim.preferences import FloatArray
from sim.running.threads import one_thread
from sim.streams import Stream

_FAVOURITES = 6
# Parameters whose errors are found jointly; more, and the matrices of them all cost more than the fit.
_MOST = 2000
# Of all people's scores of them, .4 GB: a few copies are held at once.
_MOST_SCORES = 50_000_000


@one_thread()
def coefficient_errors(
    model: TypeModel, centre: FloatArray, prepared: Prepared, weights: FloatArray | None = None
) -> FloatArray:
    """Standard errors of theta, robust to dependence within annotators; (K, d).

    See `sim.fitting.mixture_errors`: the sandwich by person, with what few people leave open, of coefficients, shares
    and thresholds at once, and who is of which type as little known as the answers say.  Of more than `_MOST`
    parameters, or `_MOST_SCORES` of them and people, each type's on its own, thresholds and responsibilities as known
    (so they are a little too small).
    NaN of a type that nobody is of, and of types that the answers do not tell apart.
    weights: (n,) of the training answers, the effective ones if None.  centre: (d,) what types shrink to.
    """
    answers = prepared.answers(prepared.train)
    own = answers.weights if weights is None else weights
    (K, d), N = model.theta.shape, prepared.n_annotators
    centre = np.zeros(d) if K == 1 else centre
    sets, levels = sets_of(replace(answers, weights=own)), answers.levels
    mixture = Mixture(model.theta, model.mixture, model.responsibilities, model.ridge, centre)
    if K * d > _MOST or N * K * d > _MOST_SCORES:
        alone = [
            mixture._replace(theta=theta[None], shares=np.ones(1), responsibilities=np.ones((N, 1)))
            for theta in model.theta
        ]  # fmt: skip
        parts = [replace(sets, weights=sets.weights * gamma[sets.annotator]) for gamma in model.responsibilities.T]
        return np.concatenate([type_errors_of(one, part) for one, part in zip(alone, parts, strict=True)])
    if levels is None or levels.thresholds is None:
        return type_errors_of(mixture, sets)
    return type_errors_of(mixture, sets, Scale(threshold_slopes(levels, levels.thresholds), answers.annotator, own))


def describe_types(
    model: TypeModel, centre: FloatArray, prepared: Prepared, stream: Stream, weights: FloatArray | None = None
) -> tuple[Group, ...]:
    """Share, size, strongest features (absolute and against the pooled fit), favourite items, held-out scores.

    weights: (n,) of the training answers that the model was fitted with, the effective ones if None.
    """
    errors = coefficient_errors(model, centre, prepared, weights)
    member = model.responsibilities.argmax(axis=1)
    trained = np.zeros(prepared.n_annotators, dtype=bool)
    trained[prepared.trained] = True
    held_out = prepared.answers(prepared.test)
    scores, counts = model.log_likelihood_of(held_out), held_out.given_weights
    right = hits(scores) if prepared.is_plain else right_of(model.log_likelihood_of, held_out, scores)
    answer, item = prepared.table.shown()
    used, weights = prepared.train[answer], prepared.table.weights
    counted = None if weights is None else weights[answer[used]]
    seen_often = np.bincount(item[used], counted, minlength=len(prepared.table.items))
    common = np.flatnonzero(seen_often >= np.quantile(seen_often[seen_often > 0], 0.75))
    groups, names = [], prepared.feature_names
    for k in range(model.n_types):
        own = member[held_out.annotator] == k
        top = common[np.argsort(-(prepared.features[common] @ model.theta[k]), kind="stable")[:_FAVOURITES]]
        groups.append(
            Group(
                group=k + 1,
                share=float(model.mixture[k]),
                against_pooled=strongest(model.theta[k] - centre, names, errors[k]),
                n_annotators=int((trained & (member == k)).sum()),
                strongest_features=strongest(model.theta[k], names, errors[k]),
                favourite_items=tuple(prepared.table.items[j] for j in top),
                known_users=score(scores[own], held_out.annotator[own], stream, right[own], counts[own]),
            )
        )
    return tuple(groups)


@one_thread()
def n_identified(prepared: Prepared) -> int:
    """Coefficients of a type that training answers say something about."""
    return int(np.linalg.matrix_rank(_rows(prepared)))


def type_bic(model: TypeModel, prepared: Prepared, rank: int) -> float:
    """BIC with the effective number of answers; rank: `n_identified`."""
    answers = int(np.clip(prepared.weights.sum(), 1, 2**62))
    return bic(model.log_likelihood, n_mixture_parameters(rank, model.n_types), answers)


def diagnose_types(fits: Fits, prepared: Prepared, settings: FitSettings) -> Diagnosis:
    """Regrets, criteria, restarts, agreement with the file's groups; warnings."""
    model, pooled = fits.model, fits.fitted[fits.common][1]
    choice, rank = fits.choice, n_identified(prepared)

    def tried(*methods: str) -> list[dict[str, Json]]:
        return [_with_types(candidate) for candidate in choice.of(*methods)]

    parts: dict[str, Json] = {
        "regret": group_regrets(model, fits.centre, prepared, settings.beta, settings.priorities).as_json(),
        "selection": {
            "chosen": {"n_types": model.n_types, "ridge": model.ridge},
            "candidates": tried("dpo", "em-dpo"),
            "clusters": tried("cluster-dpo"),
            "bic": type_bic(model, prepared, rank),
            "bic_pooled": type_bic(pooled, prepared, rank),
        },
        "fit": {
            "log_likelihood": model.log_likelihood,
            "largest_margin": model.largest_margin,
            "restarts": model.restart_penalised.tolist(),
        },
    }
    if (rand := _against_truth(model, prepared)) is not None:
        parts["adjusted_rand_index"] = rand
    return Diagnosis(parts, tuple(_warnings(prepared, model)))


def _with_types(candidate: Candidate) -> dict[str, Json]:
    return {"n_types": candidate.size, **candidate.as_json()}


def _warnings(prepared: Prepared, model: TypeModel) -> list[str]:
    found = []
    if _separable(prepared):
        found.append(
            "the training answers are separable: one linear rule explains all; the ridge alone keeps the fit finite"
        )
    if model.largest_margin > 20:
        found.append(
            f"margins reach {model.largest_margin:.0f}: raise the ridge, chances this near to 0 and 1 are not known"
        )
    if (why := untested(prepared)) is not None:
        found.append(why)
    group = prepared.table.group
    if group is not None and (unnamed := sum(not group[i] for i in prepared.trained)):
        found.append(
            f"{unnamed} of {len(prepared.trained)} training annotators have no group_id: the types are compared with "
            "the known groups of the others"
        )
    if not prepared.unseen.any():
        found.append("no unseen annotators: nothing is known about people outside the file")
    return found


def _rows(prepared: Prepared) -> FloatArray:
    """Features of the taken minus each other alternative, of training answers."""
    if prepared.events is None:
        return prepared.answers(prepared.train).differences
    return prepared.events.rows[prepared.train[prepared.events.answer_of_row]]


def _separable(prepared: Prepared) -> bool:
    if prepared.levels is not None or (prepared.events is not None and prepared.events.offset.any()):
        return False  # thresholds hold levels apart
    rows = _rows(prepared)
    nearly = fit_bradley_terry(rows, ridge=1e-6, mass_scaled=True)
    # The linear program is certain but slow; it is asked only where the fit gets almost every answer right.
    return nearly.separable or bool((rows @ nearly.theta <= 0).mean() < 0.02 and is_separable(rows))


def _against_truth(model: TypeModel, prepared: Prepared) -> float | None:
    """Adjusted Rand index of the types found against the file's group_id (read here alone), of those who have one."""
    if prepared.table.group is None:
        return None
    truth = [prepared.table.group[i] for i in prepared.trained]
    return known_rand_index(truth, model.responsibilities[prepared.trained].argmax(axis=1))
