"""Answers of people with a context each: rewards bilinear in context and item, without a bound on the rank.

A person's context is the same in all her answers. Sums over answers then go by person: Newton's matrix of d_x d_phi
unknowns, out of reach answer by answer, is one product of two tables, and a gradient costs n d_phi, whatever d_x.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from sim.answer_kinds.events import Events
from sim.compiled.context_losses import losses_and_slopes
from sim.errors import InputError
from sim.estimators.low_rank import LowRankFit, fit_low_rank
from sim.estimators.unidentified import screen_columns
from sim.files.pair_table import PairTable
from sim.fitting.known import INTERCEPT, Known
from sim.fitting.prepare import Answers, Prepared
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.running.threads import one_thread


class Axes(NamedTuple):
    """Eigenvectors (columns) and eigenvalues of the second moments of contexts (d_x, d_x), (d_x,) and differences, both
    over weighted answers."""

    contexts: FloatArray
    of_contexts: FloatArray
    differences: FloatArray
    of_differences: FloatArray


@dataclass(frozen=True, eq=False)
class ContextAnswers:
    """contexts (n_annotators, d_x), one row each; differences (n, d_phi), chosen minus rejected, of `annotator` (n,);
    weights (n,).  offset (n,): margins given from elsewhere, zero if None.  given_weights (n,): the file's own, which
    scores count by, None where it has none."""

    contexts: FloatArray
    differences: FloatArray
    annotator: IntArray
    weights: FloatArray
    offset: FloatArray | None = None
    given_weights: FloatArray | None = None

    def rows(self, mask: BoolArray) -> ContextAnswers:
        """The answers of the mask; contexts stay."""
        return replace(
            self, differences=self.differences[mask], annotator=self.annotator[mask], weights=self.weights[mask],
            given_weights=None if self.given_weights is None else self.given_weights[mask],
        )  # fmt: skip

    @cached_property
    @one_thread()
    def squares(self) -> tuple[FloatArray, FloatArray]:
        """sum_j w_j x_j x_j' and sum_j w_j z_j z_j', what fits to these answers share whatever their ridge and rank."""
        person = np.bincount(self.annotator, self.weights, len(self.contexts))
        x, z = self.contexts * np.sqrt(person)[:, None], self.differences
        if not (self.weights == 1.0).all():
            z = z * np.sqrt(self.weights)[:, None]
        return x.T @ x, z.T @ z

    @cached_property
    @one_thread()
    def axes(self) -> Axes:
        """What full fits share."""
        mass = self.weights.sum()
        (p, vectors_x), (q, vectors_z) = (np.linalg.eigh(own / mass) for own in self.squares)
        return Axes(vectors_x, np.maximum(p, 0.0), vectors_z, np.maximum(q, 0.0))

    def margins(self, theta: FloatArray) -> FloatArray:
        """o + x' Theta z of each answer; (n,)."""
        own = ((self.contexts @ theta)[self.annotator] * self.differences).sum(axis=1)
        return np.asarray(own if self.offset is None else own + self.offset)


def fit_full(
    answers: ContextAnswers, ridge: float, start: FloatArray | None = None, tolerance: float = 1e-9
) -> FloatArray:
    """argmin (1 / sum w) sum_j w_j [-log sigma(o_j + x_j' Theta z_j)] + 0.5 ridge |Theta|_F^2; (d_x, d_phi).

    The objective of `sim.estimators.low_rank.fit_full_rank`, by limited-memory BFGS; stops when a step gains less than
    `tolerance` of the objective.  Unknowns are Theta in coordinates in which the Hessian is about the identity,

        (c p q' + ridge)^(1/2) * (P' Theta Q),

    P, p and Q, q eigenvectors and values of both second moments and c the mean of sigma' at the start: exactly so where
    contexts, differences and curvatures are independent of each other.
    """
    d_x, d_phi = answers.contexts.shape[1], answers.differences.shape[1]
    differences = np.ascontiguousarray(answers.differences)
    offset = np.zeros(len(differences)) if answers.offset is None else answers.offset
    mass, slopes = answers.weights.sum(), np.empty((len(answers.contexts), d_phi))

    def losses(theta: FloatArray) -> tuple[float, float]:
        rewards = answers.contexts @ theta
        loss, curved = losses_and_slopes(rewards, differences, answers.annotator, answers.weights, offset, slopes)
        return float(loss), float(curved)

    first = np.zeros((d_x, d_phi)) if start is None else np.asarray(start, dtype=np.float64)
    axes, curved = answers.axes, losses(first)[1] / mass
    scale = np.sqrt(curved * np.outer(axes.of_contexts, axes.of_differences) + ridge)
    # Nobody has seen such a direction, and no ridge holds it: its gradient is zero whatever the unit.
    scale[scale <= 1e-8 * scale.max()] = 1.0

    def at(flat: FloatArray) -> FloatArray:
        return np.asarray(axes.contexts @ (flat.reshape(d_x, d_phi) / scale) @ axes.differences.T)

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        theta = at(flat)
        loss = losses(theta)[0]
        gradient = answers.contexts.T @ slopes / mass + ridge * theta
        turned = axes.contexts.T @ gradient @ axes.differences / scale
        return loss / mass + 0.5 * ridge * float((theta**2).sum()), turned.ravel()

    begin = (axes.contexts.T @ first @ axes.differences * scale).ravel()
    options = {"maxiter": 1000, "maxcor": 15, "ftol": tolerance, "gtol": 1e-9}
    return at(minimize(objective, begin, jac=True, method="L-BFGS-B", options=options).x)


def fit_of_rank(
    answers: ContextAnswers, rank: int, ridge: float, start: FloatArray, tolerance: float = 1e-9
) -> LowRankFit:
    """The same with Theta of rank at most `rank`, from the leading directions of `start` (d_x, d_phi)."""
    return fit_low_rank(
        answers.contexts[answers.annotator], answers.differences, rank, weights=answers.weights, offset=answers.offset,
        ridge=ridge, method="quasi_newton", start=start, tolerance=tolerance, squares=answers.squares,
    )  # fmt: skip


def information(answers: ContextAnswers, theta: FloatArray) -> FloatArray:
    """(1 / sum w) sum_j w_j sigma'(u_j) vec(x_j z_j') vec(x_j z_j')'; (d_x d_phi, d_x d_phi), x the slower index.

    sum over people of (x_i x_i') kron S_i, S_i the person's own sum over her answers.
    """
    n_people, d_x = answers.contexts.shape
    d_phi = answers.differences.shape[1]
    e = np.exp(-np.abs(answers.margins(theta)))
    curved = answers.weights * e / (1.0 + e) ** 2 / answers.weights.sum()
    order = np.argsort(answers.annotator, kind="stable")
    edges = np.searchsorted(answers.annotator[order], np.arange(n_people + 1))
    own = np.zeros((n_people, d_phi * d_phi))
    for i in np.flatnonzero(np.diff(edges)):
        rows = order[edges[i] : edges[i + 1]]
        z = answers.differences[rows]
        own[i] = ((z * curved[rows, None]).T @ z).ravel()
    outer = (answers.contexts[:, :, None] * answers.contexts[:, None, :]).reshape(n_people, d_x * d_x)
    blocks = (outer.T @ own).reshape(d_x, d_x, d_phi, d_phi)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3)).reshape(d_x * d_phi, d_x * d_phi)


def require_contexts(table: PairTable) -> None:
    """InputError where nothing is known of anybody."""
    if table.annotator_features is None:
        raise InputError(
            "the column is missing: low-rank rewards depend on what is known of a person", file=table.source,
            field="annotator_features", fix="add a list of numbers, the same in all her rows "
            "(MovieLens: pluralign convert movielens --history 0.5)",
        )  # fmt: skip


def known_contexts(prepared: Prepared) -> Prepared:
    """Contexts and items without the columns that do not vary, or that others determine."""
    table = prepared.table
    require_contexts(table)
    assert table.annotator_features is not None
    trained = np.unique(prepared.annotator[prepared.train])
    own = table.annotator_features[trained]
    centre, scale = own.mean(axis=0), own.std(axis=0)
    # A constant 0.1 has a standard deviation of 1e-17, not 0.
    varies = scale > 1e-12 * np.abs(own).max(axis=0)
    standard = np.where(varies, (table.annotator_features - centre) / np.where(varies, scale, 1.0), 0.0)
    people = screen_columns(standard[trained], table.annotator_feature_names)
    contexts = np.hstack([np.full((table.n_annotators, 1), INTERCEPT), standard[:, people.kept]])
    kept = [name for name, keep in zip(table.annotator_feature_names, people.kept, strict=True) if keep]
    items = screen_columns(_seen(prepared), prepared.feature_names)
    names = [name for name, keep in zip(prepared.feature_names, items.kept, strict=True) if keep]
    dropped = tuple(
        name for name in table.feature_names if table.features is not None and name not in prepared.feature_names
    )
    seen = replace(
        prepared, differences=prepared.differences[:, items.kept], features=prepared.features[:, items.kept],
        feature_names=tuple(names), scales=prepared.scales.without(items.kept),
        events=_with_columns(prepared.events, items.kept), learned=_with_columns(prepared.learned, items.kept),
    )  # fmt: skip
    known = Known(
        contexts, ("intercept", *kept), people, replace(items, constant=(*dropped, *items.constant)),
        table.annotator_feature_names, centre, np.where(varies, scale, 0.0),
    )  # fmt: skip
    return replace(seen, known=known)


def _seen(prepared: Prepared) -> FloatArray:
    """Rows of training answers, all of them where answers are several choices."""
    if prepared.events is None:
        return prepared.differences[prepared.train]
    return prepared.events.rows[prepared.train[prepared.events.answer_of_row]]


def _with_columns(events: Events | None, kept: BoolArray) -> Events | None:
    """What answers are made of, without the columns that are left out."""
    return None if events is None else replace(events, rows=events.rows[:, kept])


def context_answers(answers: Answers) -> ContextAnswers:
    """The answers with their annotators' contexts."""
    assert answers.contexts is not None
    return ContextAnswers(
        answers.contexts, answers.differences, answers.annotator, answers.weights, given_weights=answers.given_weights
    )
