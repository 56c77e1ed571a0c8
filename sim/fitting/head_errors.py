"""How sure a fit is of each of its linear rewards: Wald covariances from the information in the training answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.choice_sets import ChoiceSets
from sim.errors import InputError
from sim.estimators.choice_panel import derivatives
from sim.fitting.contexts import context_answers
from sim.fitting.diagnostics.serving import weighted_confidence
from sim.fitting.method import Fits
from sim.fitting.methods.low_rank import BilinearModel
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.fitting.type_model import TypeModel
from sim.fitting.with_levels import LevelModel
from sim.preferences import AnyArray, FloatArray

STRANGER = "stranger"
# Before an annotator's name: she may be called as a type is.
ANNOTATOR = "annotator:"
_HERE = "errors/"
# A responsibility so near to one is one: the annotator's reward is a type's.
_SURE = 1e-9


@dataclass(frozen=True, eq=False)
class HeadErrors:
    """names: heads, `type_1`, ..., `stranger`, and `annotator:` with a name.

    covariance: (H, d, d) of their coefficients on standardised features, positive definite up to rounding.
    """

    names: tuple[str, ...]
    covariance: FloatArray

    def of(self, name: str) -> FloatArray:
        """(d, d).  Errors: InputError where nothing is known of that head."""
        if name not in self.names and f"{ANNOTATOR}{name}" in self.names:
            name = f"{ANNOTATOR}{name}"
        if name not in self.names:
            raise InputError(f"pessimistic: the fit does not say how sure it is of '{name}'",
                             fix="name types, or annotators of the fit")  # fmt: skip
        return np.asarray(self.covariance[self.names.index(name)])

    def arrays(self) -> dict[str, AnyArray]:
        """Under names that begin with `errors/`; of a symmetric matrix the lower half."""
        rows, columns = np.tril_indices(self.covariance.shape[1])
        return {f"{_HERE}names": np.array(self.names), f"{_HERE}covariance": self.covariance[:, rows, columns]}


def read_errors(arrays: Mapping[str, AnyArray]) -> HeadErrors | None:
    """What `HeadErrors.arrays` wrote among a folder's arrays, None where there is none; KeyError where it is cut."""
    if f"{_HERE}names" not in arrays:
        return None
    packed = arrays[f"{_HERE}covariance"]
    d = int((np.sqrt(8 * packed.shape[1] + 1) - 1) / 2)
    rows, columns = np.tril_indices(d)
    whole = np.zeros((len(packed), d, d))
    whole[:, rows, columns] = whole[:, columns, rows] = packed
    return HeadErrors(tuple(arrays[f"{_HERE}names"].tolist()), whole)


def head_errors(fits: Fits, prepared: Prepared) -> HeadErrors | None:
    """Of every linear reward of the method that was asked for; None where it is of another form (`knows_errors`).

    An annotator's theta = argmax LL_i(theta) - 0.5 ridge |v|^2, theta = c + U v, moves with her answers and with the
    common reward c that it shrinks to:

        C_i = U H^-1 U' + J C_c J',   H = U' I_i U + ridge,   J = 1 - U H^-1 U' I_i          [derived]

    I_i the information in her answers, C_c = (I + ridge_c)^-1 of the common reward from everybody's. Without answers
    that is C_c + U U' / ridge. A cluster's answers are its members'; a type's are everybody's, each by her
    responsibility, which counts as known, as the subspace U does: errors are a little too small. A reward from contexts
    has its own form (`weighted_confidence`), of plain pairs only.
    """
    if not fits.asked.knows_errors:
        return None
    model, annotators = fits.model, prepared.table.annotators
    if isinstance(model, LevelModel):
        prepared, model = prepared.at(model.thresholds), model.inner
    answers = prepared.answers(prepared.train)
    if isinstance(model, BilinearModel):
        found = _of_contexts(model, fits, answers, annotators) if prepared.is_plain else {}
    elif isinstance(model, RewardModel):
        found = _of_rewards(model, fits, answers, annotators)
    elif isinstance(model, TypeModel):
        found = _of_types(model, fits, answers, annotators)
    else:
        return None
    if not found:
        return None
    covariance = np.stack(list(found.values()))
    return HeadErrors(tuple(found), 0.5 * (covariance + covariance.transpose(0, 2, 1)))


def _sets(answers: Answers) -> ChoiceSets:
    """The answers as choices."""
    own = answers.choices()
    if own is not None:
        return own
    n = len(answers)
    return ChoiceSets(
        answers.differences, np.arange(n + 1), answers.annotator, answers.n_annotators, answers.weights, np.zeros(n)
    )


def _information(theta: FloatArray, sets: ChoiceSets) -> FloatArray:
    """Minus the Hessian of the weighted log-likelihood; (d, d)."""
    return derivatives(theta, sets)[2]


def _common(fits: Fits, sets: ChoiceSets) -> FloatArray:
    """C_c of the reward common to all, whose ridge is a share of the answers' weight."""
    common: Any = fits.fitted[fits.common][1]
    common = common.inner if isinstance(common, LevelModel) else common
    d = len(fits.centre)
    whole = _information(fits.centre, sets) + common.ridge * sets.weights.sum() * np.eye(d)
    return np.asarray(np.linalg.inv(whole))


def moved(information: FloatArray, basis: FloatArray, ridge: float, common: FloatArray) -> FloatArray:
    """C of a reward that shrinks to a common one; see `head_errors`.  information, common: (d, d); basis: (d, k)."""
    inner = basis.T @ information @ basis + ridge * np.eye(basis.shape[1])
    own = basis @ np.linalg.solve(inner, basis.T)
    carried = np.eye(len(information)) - own @ information
    return np.asarray(own + carried @ common @ carried.T)


def _of_rewards(model: RewardModel, fits: Fits, answers: Answers, annotators: tuple[str, ...]) -> dict[str, FloatArray]:
    sets = _sets(answers)
    common, d = _common(fits, sets), len(fits.centre)
    if fits.asked.name == fits.common:  # one reward for all
        return dict.fromkeys([STRANGER, *(f"{ANNOTATOR}{annotators[i]}" for i in answers.answered)], common)
    basis, found = np.eye(d) if model.subspace is None else model.subspace, {}
    if model.departures is not None and model.label is not None:
        for k, departure in enumerate(model.departures):
            members = replace(sets, weights=sets.weights * (model.label[sets.annotator] == k))
            inside = _information(model.centre + departure, members)
            found[f"type_{k + 1}"] = moved(inside, basis, model.ridge, common)
        own = {f"{ANNOTATOR}{annotators[i]}": found[f"type_{model.label[i] + 1}"] for i in answers.answered}
        return {**own, **found}
    found[STRANGER] = moved(np.zeros((d, d)), basis, model.ridge, common)
    for i, hers in sets.by_annotator():
        own_information = _information(model.theta[i], hers)
        found[f"{ANNOTATOR}{annotators[i]}"] = moved(own_information, basis, model.ridge, common)
    return found


def _of_types(model: TypeModel, fits: Fits, answers: Answers, annotators: tuple[str, ...]) -> dict[str, FloatArray]:
    """A type's ridge is a share of the weight of its answers; the first of one type shrinks to zero."""
    sets, d = _sets(answers), model.theta.shape[1]
    common = np.zeros((d, d)) if fits.asked.name == fits.common else _common(fits, sets)
    found: dict[str, FloatArray] = {}
    for k, theta in enumerate(model.theta):
        share = sets.weights * model.responsibilities[sets.annotator, k]
        own = replace(sets, weights=share)
        found[f"type_{k + 1}"] = moved(_information(theta, own), np.eye(d), model.ridge * share.sum(), common)
    sure = {
        f"{ANNOTATOR}{annotators[i]}": found[f"type_{model.responsibilities[i].argmax() + 1}"] for i in answers.answered
        if model.responsibilities[i].max() > 1.0 - _SURE
    }  # fmt: skip
    return {**sure, **found}


def _of_contexts(
    model: BilinearModel, fits: Fits, answers: Answers, annotators: tuple[str, ...]
) -> dict[str, FloatArray]:
    """theta_i = Theta' x_i: psi(x_i, .) of unit features carries the reduced coordinates' covariance to hers."""
    own = context_answers(answers)
    rank, ridge = model.rank or min(model.theta.shape), fits.choice.chosen[fits.asked.name].ridge
    set_ = weighted_confidence(own, model.theta, rank, ridge)
    inverse = np.linalg.inv(set_.ellipsoid.covariance) * set_.effect / own.weights.sum()
    d = model.theta.shape[1]
    found = {}
    for i in answers.answered:
        psi = set_.subspace.features(np.tile(own.contexts[i], (d, 1)), np.eye(d))
        found[f"{ANNOTATOR}{annotators[i]}"] = psi @ inverse @ psi.T
    return found
