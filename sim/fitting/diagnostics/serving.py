"""Which item to show whom, trained without one region of items and served with it: pessimism put to the test."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular

from sim.algorithms.prs import ReducedReward
from sim.algorithms.reduced_pessimism import ScaledActions
from sim.errors import InputError
from sim.estimators.confidence import Ellipsoid, chi2_quantile
from sim.estimators.reduced_subspace import reduced_subspace
from sim.files.pair_table import PairTable
from sim.fitting.contexts import ContextAnswers, information
from sim.fitting.prepare import Prepared
from sim.likelihoods import log_sigmoid
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import unequal

CONSTANTS = (0.125, 0.25, 0.5, 1.0)
DELTA = 0.1
# Films of each side in a candidate set, sets a person, and answers about a film from which its worth is taken.
PER_SIDE, SETS, LEAST_ANSWERS = 3, 3, 3
_OPERATORS: dict[str, Callable[[FloatArray, float], BoolArray]] = {
    ">=": lambda x, v: np.asarray(x >= v),
    "<=": lambda x, v: np.asarray(x <= v),
    ">": lambda x, v: np.asarray(x > v),
    "<": lambda x, v: np.asarray(x < v),
}


def region_of(table: PairTable, asked: str) -> BoolArray:
    """Items inside the region `asked`, (n_items,): NAME of an indicator, or NAME>VALUE (>=, <, <=) in file units."""
    found = re.fullmatch(r"(?P<name>.*?)\s*(?P<operator>>=|<=|>|<)\s*(?P<value>\S+)\s*", asked)
    name = found["name"] if found else asked.strip()
    if table.features is None:
        raise InputError("shift: the items have no features", file=table.source, fix="add chosen_features")
    if name not in table.feature_names:
        near = difflib.get_close_matches(name, table.feature_names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"one of: {', '.join(table.feature_names[:8])}, ..."
        raise InputError(f"shift: no item feature is called '{name}'", file=table.source, fix=hint)
    column = table.features[:, table.feature_names.index(name)]
    if found is None:
        if not np.isin(column, (0.0, 1.0)).all():
            raise InputError(
                f"shift: '{name}' is not 0 or 1 throughout", file=table.source,
                fix=f"say where the region begins, e.g. '{name}>{np.median(column):g}'",
            )  # fmt: skip
        inside: BoolArray = column == 1.0
    else:
        try:
            value = float(found["value"])
        except ValueError:
            raise InputError(f"shift: expected a number, got '{found['value']}'", fix=f"'{name}>0.5'") from None
        inside = _OPERATORS[found["operator"]](column, value)
    if inside.all() or not inside.any():
        raise InputError(
            f"shift: {'every' if inside.all() else 'no'} item lies in '{asked}'", file=table.source,
            fix="name a region that some items lie in and others do not",
        )  # fmt: skip
    return inside


@dataclass(frozen=True, eq=False)
class CandidateSets:
    """What people are served from: annotator (m,), item (m, A), worth (m, A), inside (m, A).

    worth: share of the person's held-out answers about the item, each against another item of hers, that it won. Only
    her answers say what she likes: the order of a set is known as far as she has compared its items.
    """

    annotator: IntArray
    item: IntArray
    worth: FloatArray
    inside: BoolArray

    def of(self, people: BoolArray) -> BoolArray:
        return np.asarray(people[self.annotator])


def candidate_sets(prepared: Prepared, rows: BoolArray, inside: BoolArray, stream: Stream) -> CandidateSets:
    """SETS sets a person of PER_SIDE items from inside the region and as many from outside it, at random among items
    with LEAST_ANSWERS of her masked answers or more; twice as many from outside where no masked answer is about the
    region. People with too few items on a side have none."""
    table = prepared.table
    n_items = len(table.items)
    both = np.concatenate([table.chosen[rows], table.rejected[rows]])
    keys = np.concatenate([table.annotator[rows], table.annotator[rows]]) * n_items + both
    wins = np.repeat([1.0, 0.0], int(rows.sum()))
    distinct, index = np.unique(keys, return_inverse=True)
    weights = unequal(prepared.given_weights(rows))
    counted = None if weights is None else np.tile(weights, 2)
    count = np.bincount(index, counted)
    worth = np.bincount(index, wins if counted is None else wins * counted) / np.where(count > 0, count, 1)
    usable = count >= LEAST_ANSWERS
    distinct, worth = distinct[usable], worth[usable]
    owner, item = distinct // n_items, distinct % n_items
    quotas = {True: PER_SIDE, False: PER_SIDE} if inside[both].any() else {False: 2 * PER_SIDE}
    people, items, worths = [], [], []
    for person in np.unique(owner):
        own = np.flatnonzero(owner == person)
        sides = {side: own[inside[item[own]] == side] for side in quotas}
        if any(len(sides[side]) < quota for side, quota in quotas.items()):
            continue
        draw = stream.at(replicate=int(person))
        for number in range(SETS):
            picked = np.concatenate(
                [
                    sides[side][draw.child(f"{number}/{side}").permutation(len(sides[side]))[:quota]]
                    for side, quota in quotas.items()
                ]
            )
            people.append(person)
            items.append(item[picked])
            worths.append(worth[picked])
    chosen = np.array(items, dtype=np.int64).reshape(-1, 2 * PER_SIDE)
    return CandidateSets(
        np.array(people, dtype=np.int64), chosen, np.array(worths).reshape(chosen.shape), inside[chosen]
    )


@dataclass(frozen=True, eq=False)
class Confidence(ReducedReward):
    """A reward's reduced coordinates and the set its coefficients lie in, for the constant 1; freedom: the degrees of
    freedom its radius counts; effect: how many times the variance of independent answers it allows for."""

    freedom: float
    effect: float


def weighted_confidence(
    answers: ContextAnswers, theta: FloatArray, rank: int, ridge: float, margins: FloatArray | None = None
) -> Confidence:
    """The `wald` set of `sim.estimators.reduced_confidence` for weighted answers of people with contexts and tastes of
    their own.

    M = (1 / sum w) sum_j w_j sigma'(u_j) psi_j psi_j' + ridge I over the rotated, truncated coordinates psi of theta;
    the estimate is theta itself, which a refit on the same answers with the same ridge would return.
    f = sqrt(e chi2_{p, 1 - delta} / sum w), p = tr[(M - ridge I) M^-1], the numbers the answers and not the ridge
    decide: with k of them every option but the mean one would be refused.
    e = (1 / p) tr(M^-1 J), J = (1 / sum w) sum_i (g_i - mean)(g_i - mean)', g_i = sum over person i's answers of
    w_j sigma(-u_j) psi_j, is the design effect: answers of one person share what in her taste her context does not
    say, and are not independent (first-order correction of Rao and Scott, Annals of Statistics 12 (1984), 46-60).
    margins: u (n,), of fits to other people where there are such; None: by theta, which makes e a little small.
    [reconstructed; weights, p and e are this tool's]
    """
    subspace = reduced_subspace(theta, rank)
    turned = replace(
        answers, contexts=answers.contexts @ subspace.left, differences=answers.differences @ subspace.right
    )
    d_x, d_phi = theta.shape
    place = np.arange(d_x * d_phi).reshape(d_x, d_phi)
    kept = np.concatenate([place[:, :rank].ravel(), place[:rank, rank:].ravel()])
    matrix = information(turned, subspace.left.T @ theta @ subspace.right)[np.ix_(kept, kept)]
    matrix[np.diag_indices(len(kept))] += ridge
    freedom = len(kept) - ridge * float(np.trace(np.linalg.inv(matrix)))
    mass = float(answers.weights.sum())
    slope = answers.weights * np.exp(log_sigmoid(-(answers.margins(theta) if margins is None else margins)))
    people, own = np.unique(answers.annotator, return_inverse=True)
    sums = np.zeros((len(people), d_phi))
    np.add.at(sums, own, slope[:, None] * turned.differences)
    scores = (turned.contexts[people, :, None] * sums[:, None, :]).reshape(len(people), -1)[:, kept]
    scores = solve_triangular(np.linalg.cholesky(matrix), (scores - scores.mean(axis=0)).T, lower=True)
    effect = float((scores**2).sum()) / mass / max(freedom, 1e-12)
    radius = effect * chi2_quantile(1 - DELTA, freedom) / mass
    return Confidence(subspace, Ellipsoid(subspace.vector(theta), matrix, radius), freedom, effect)


def judged(confidence: Confidence, contexts: FloatArray, features: FloatArray, sets: CandidateSets) -> ScaledActions:
    """The sets' items for policies of every kind: relative to the mean training item, whose features are zero, the
    people of all sets standing for the law a distributional policy is optimal for."""
    m, A = sets.item.shape
    psi = confidence.subspace.features(contexts[np.repeat(sets.annotator, A)], features[sets.item.ravel()])
    ellipsoid = confidence.ellipsoid
    scaled = solve_triangular(np.linalg.cholesky(ellipsoid.covariance), psi.T, lower=True, check_finite=False).T
    return ScaledActions(
        (psi @ ellipsoid.estimate).reshape(m, A), np.ascontiguousarray(scaled).reshape(m, A, -1),
        float(np.sqrt(ellipsoid.radius)),
    )  # fmt: skip
