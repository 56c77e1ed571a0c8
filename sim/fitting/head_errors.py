"""How sure a fit is of each of its linear rewards: Wald covariances from the training answers, people independent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from sim.fitting.mixture_errors import sets_of
from sim.fitting.people_errors import NOBODY, score_covariance
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.fitting.spread import Shrunk, spread_of, spread_of_people
from sim.fitting.type_model import TypeModel
from sim.fitting.with_levels import LevelModel
from sim.preferences import AnyArray, FloatArray

STRANGER = "stranger"
# Before an annotator's name: she may be called as a type is.
ANNOTATOR = "annotator:"
_HERE = "errors/"
# A responsibility so near to one is one: the annotator's reward is a type's.
_SURE = 1e-9
# People by whom it is seen how far rewards lie apart.
_ENOUGH = 60


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

        C_i = U H^-1 V H^-1 U' + J C_c J',   H = U' I_i U + ridge,   J = 1 - U H^-1 U' I_i          [derived]

    I_i the information in her answers, V = H. The common reward is everybody's, and one person's answers go together:

        C_c = M^-1 (K + ridge_c) M^-1,   M = I + ridge_c,   K the covariance of its gradient over people

    (`score_covariance`; M^-1 if answers were independent). Its second term is the prior's: nobody is sure of what
    nobody was asked. Without answers C_i is C_c + U U' / ridge.

    That takes rewards to lie 1 / ridge, mean square, from what they shrink to.  Ridges are chosen for what is
    predicted, and are often larger.  Where by the answers rewards lie further, tau^2 (`sim.fitting.spread`), the ridge
    in all of these is 1 / tau^2, and a bound allows for how far the one of the fit has moved the reward beyond that:

        C_i + s s',   s = theta_i - theta_i at the ridge 1 / tau^2                                  [derived]

    A cluster's answers are its members', several people's, and so V = K + ridge of these; a type's are everybody's,
    each by her responsibility, which counts as known, as the subspace U does: errors are a little too small.  There,
    and of the common reward, s is one step of Newton's.  One type is the common reward itself.  A reward from contexts
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


def _information(theta: FloatArray, sets: ChoiceSets) -> FloatArray:
    """Minus the Hessian of the weighted log-likelihood; (d, d)."""
    return derivatives(theta, sets)[2]


def moved(
    information: FloatArray, basis: FloatArray, ridge: float, common: FloatArray, varies: FloatArray | None = None
) -> FloatArray:
    """C of a reward that shrinks to a common one; see `head_errors`.  information, common: (d, d); basis: (d, k);
    varies: (d, d) covariance of the gradient, the information where the answers are one person's."""
    penalty = ridge * np.eye(basis.shape[1])
    inner = basis.T @ information @ basis + penalty
    half = np.linalg.solve(inner, basis.T)
    own = basis @ half
    carried = np.eye(len(information)) - own @ information
    if varies is not None:
        own = half.T @ (basis.T @ varies @ basis + penalty) @ half
    return np.asarray(own + carried @ common @ carried.T)


def _of_people(
    theta: FloatArray, away: FloatArray, sets: ChoiceSets, ridge: float
) -> tuple[Shrunk, Callable[[FloatArray, float], FloatArray]]:
    """Of a reward that several people's answers make and that lies `away` from where it shrinks to: for `spread_of`,
    and C from the common one's and tau^2."""
    information = _information(theta, sets)
    varies = score_covariance(theta, sets, information, ridge)
    whole = np.eye(len(theta))

    def covariance(common: FloatArray, spread: float) -> FloatArray:
        less = _likelier(ridge, spread)
        # The gradient of the answers is ridge * away where the fit ends.
        further = np.linalg.solve(information + less * whole, (ridge - less) * away)
        return moved(information, whole, less, common, varies) + np.outer(further, further)

    return Shrunk(away, information, varies, ridge), covariance


def _likelier(ridge: float, spread: float) -> float:
    """The ridge, or 1 / tau^2 where that is less."""
    return ridge if ridge * spread <= 1.0 else 1.0 / spread


def _common(fits: Fits, sets: ChoiceSets) -> FloatArray:
    """C_c of the reward common to all, whose ridge is a share of the answers' weight and shrinks it to zero."""
    common: Any = fits.fitted[fits.common][1]
    common = common.inner if isinstance(common, LevelModel) else common
    d = len(fits.centre)
    head, covariance = _of_people(fits.centre, fits.centre, sets, common.ridge * sets.weights.sum())
    return covariance(np.zeros((d, d)), spread_of([head]))


def _of_rewards(model: RewardModel, fits: Fits, answers: Answers, annotators: tuple[str, ...]) -> dict[str, FloatArray]:
    sets = sets_of(answers)
    common, d = _common(fits, sets), len(fits.centre)
    if fits.model is fits.fitted[fits.common][1]:  # one reward for all
        return dict.fromkeys([STRANGER, *(f"{ANNOTATOR}{annotators[i]}" for i in answers.answered)], common)
    basis, found = np.eye(d) if model.subspace is None else model.subspace, {}
    if model.departures is not None and model.label is not None:
        heads = []
        for k, away in enumerate(model.departures):
            members = replace(sets, weights=sets.weights * (model.label[sets.annotator] == k))
            heads.append(_of_people(model.centre + away, away, members, model.ridge))
        spread = spread_of(head for head, _ in heads)
        found = {f"type_{k + 1}": covariance(common, spread) for k, (_, covariance) in enumerate(heads)}
        own = {f"{ANNOTATOR}{annotators[i]}": found[f"type_{model.label[i] + 1}"] for i in answers.answered}
        return {**own, **found}
    people = list(sets.by_annotator())
    few = people[:: -(-len(people) // _ENOUGH) or 1]
    spread = spread_of_people([hers.projected(basis, hers.rows @ model.centre) for _, hers in few])
    ridge = _likelier(model.ridge, spread)
    likelier = model if ridge == model.ridge else replace(model, ridge=ridge).with_heads(answers)
    found[STRANGER] = moved(np.zeros((d, d)), basis, ridge, common)
    for i, hers in people:
        shift = model.theta[i] - likelier.theta[i]
        own_errors = moved(_information(likelier.theta[i], hers), basis, ridge, common)
        found[f"{ANNOTATOR}{annotators[i]}"] = own_errors + np.outer(shift, shift)
    return found


def _of_types(model: TypeModel, fits: Fits, answers: Answers, annotators: tuple[str, ...]) -> dict[str, FloatArray]:
    """A type's ridge is a share of the weight of its answers; one type alone shrinks to zero, whatever method made it
    (`least_size`).  Of a type that nobody is of neither answers nor a ridge say anything: it has no errors."""
    sets, d = sets_of(replace(answers, weights=fits.asked.weights(answers))), model.theta.shape[1]
    alone = model.n_types == 1
    common, centre = (np.zeros((d, d)), np.zeros(d)) if alone else (_common(fits, sets_of(answers)), fits.centre)
    heads = {}
    for k, theta in enumerate(model.theta):
        own = replace(sets, weights=sets.weights * model.responsibilities[sets.annotator, k])
        if own.weights.sum() >= NOBODY:
            heads[k] = _of_people(theta, theta - centre, own, model.ridge * own.weights.sum())
    spread = spread_of(head for head, _ in heads.values())
    found = {f"type_{k + 1}": covariance(common, spread) for k, (_, covariance) in heads.items()}
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
