"""Rewards of one's own: per annotator, over a shared subspace, by cluster, or one for all, on people's preferences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.shared_representation import SharedRewards, fit_head, fit_shared
from sim.estimators.user_clusters import assign_users, cluster_users
from sim.fitting.prepare import Prepared, effective_weights, hold_out
from sim.likelihoods import log_sigmoid
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream

Method = Literal["personal", "shared", "cluster", "pooled"]
METHODS: tuple[Method, ...] = ("personal", "shared", "cluster", "pooled")
# On one annotator's departure, and on that of a cluster, whose answers are those of many.
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0)
CLUSTER_RIDGES = (100.0, 1000.0, 3000.0, 10_000.0, 30_000.0)
_POOLED_RIDGES = (0.003, 0.03, 0.1, 0.3)
_RANKS = (1, 2, 3, 4, 6, 8)
_CLUSTERS = (2, 4, 6, 8)


@dataclass(frozen=True, eq=False)
class PersonalModel:
    """theta (n_annotators, d), each annotator's reward: the pooled one plus what her own answers add.

    size: rank k, number of clusters K, or 0.  ridge: on what is added, in effective answers.  subspace (d, k) for
    "shared"; departures (K, d) of the clusters and their shares for "cluster".  Annotators without answers have the
    pooled reward (clusters: see `log_likelihood`).
    """

    method: Method
    centre: FloatArray
    theta: FloatArray
    size: int
    ridge: float
    subspace: FloatArray | None = None
    departures: FloatArray | None = None
    shares: FloatArray | None = None
    label: IntArray | None = None
    represent: Callable[[FloatArray], FloatArray] | None = None

    def rows_of(self, prepared: Prepared) -> FloatArray:
        """What rewards are linear in: differences of features, and of the learned representation beside them."""
        if self.represent is None:
            return prepared.differences
        psi = self.represent(prepared.features)
        return np.hstack([prepared.differences, psi[prepared.table.chosen] - psi[prepared.table.rejected]])

    def adapt(self, prepared: Prepared, seen: BoolArray) -> FloatArray:
        """Rewards of annotators nobody trained on from the answers `seen`; (n_annotators, d), pooled for the others.

        [arXiv 2405.00254, Algorithm 2; for clusters the assignment rule of Algorithm 3]
        """
        weight = effective_weights(prepared.table, seen)
        theta = np.tile(self.centre, (prepared.n_annotators, 1))
        if self.method == "pooled" or not seen.any():
            return theta
        differences = self.rows_of(prepared)
        offset = differences @ self.centre
        if self.departures is not None:
            rows = np.flatnonzero(seen)
            label = assign_users(
                self.departures, differences[rows], prepared.annotator[rows], prepared.n_annotators,
                weights=weight[rows], offset=offset[rows],
            )  # fmt: skip
            own = np.unique(prepared.annotator[rows])
            theta[own] += self.departures[label[own]]
            return theta
        basis = np.eye(len(self.centre)) if self.subspace is None else self.subspace
        for i in np.unique(prepared.annotator[seen]):
            rows = np.flatnonzero(seen & (prepared.annotator == i))
            head = fit_head(differences[rows], basis, weights=weight[rows], offset=offset[rows], ridge=self.ridge)
            theta[i] += basis @ head
        return theta

    def log_likelihood(self, prepared: Prepared, rows: BoolArray, theta: FloatArray | None = None) -> FloatArray:
        """log P(answer) under `theta` (default: the fitted ones); nats.

        theta None for annotators without answers and clusters: the clusters' mixture, by their shares.
        """
        x, person = self.rows_of(prepared)[rows], prepared.annotator[rows]
        own = self.theta if theta is None else theta
        scores = log_sigmoid((x * own[person]).sum(axis=1))
        if theta is None and self.departures is not None and self.shares is not None and self.label is not None:
            unknown = self.label[person] < 0
            if unknown.any():
                margins = x[unknown] @ (self.centre + self.departures).T
                scores[unknown] = np.log(np.exp(log_sigmoid(margins)) @ self.shares)
        return np.asarray(scores)


def fit_personal(
    prepared: Prepared,
    rows: BoolArray,
    method: Method,
    size: int,
    ridge: float,
    centre: FloatArray,
    stream: Stream,
    restarts: int = 10,
) -> PersonalModel:
    """One method at one size and ridge, on the masked answers with their effective weights.

    personal: max LL_i(centre + delta_i) - 0.5 ridge |delta_i|^2, annotator by annotator.  shared: delta_i = U v_i, U
    common, ridge on v_i.  cluster: delta_i one of K.  pooled: delta = 0.
    """
    weight = effective_weights(prepared.table, rows)
    x, person = prepared.differences[rows], prepared.annotator[rows]
    offset, n = x @ centre, prepared.n_annotators
    theta = np.tile(centre, (n, 1))
    if method == "pooled":
        return PersonalModel("pooled", centre, theta, 0, ridge)
    if method == "shared":
        fitted = fit_shared(x, person, n, size, weights=weight[rows], offset=offset, ridge=ridge, tolerance=1e-7)
        return PersonalModel("shared", centre, theta + fitted.theta, size, ridge, subspace=fitted.subspace)
    if method == "cluster":
        found = cluster_users(
            x, person, n, size, stream, weights=weight[rows], offset=offset, ridge=ridge, restarts=restarts
        )
        answered = np.bincount(person, minlength=n) > 0
        label = np.where(answered, found.label, -1)
        shares = np.bincount(found.label[answered], minlength=size) / answered.sum()
        order = np.argsort(-shares, kind="stable")
        place = np.argsort(order)
        theta[answered] += found.theta[found.label[answered]]
        return PersonalModel(
            "cluster", centre, theta, size, ridge, departures=found.theta[order], shares=shares[order],
            label=np.where(label >= 0, place[label], -1),
        )  # fmt: skip
    model = PersonalModel("personal", centre, theta, 0, ridge)
    return PersonalModel("personal", centre, model.adapt(prepared, rows), 0, ridge)


class NetworkFitter(Protocol):
    """Fits a representation to (prepared, mask, rank, ridge, centre, stream); see `llm.networks.shared_network`."""

    def __call__(
        self, prepared: Prepared, rows: BoolArray, rank: int, ridge: float, centre: FloatArray, stream: Stream
    ) -> SharedRewards: ...


def over_network(fitted: SharedRewards, prepared: Prepared, ridge: float, centre: FloatArray) -> PersonalModel:
    """Rewards over a learned representation as a `PersonalModel`: linear in [features, psi], psi's part being one's
    own."""
    k = fitted.heads.shape[1]
    wide = np.concatenate([centre, np.zeros(k)])
    subspace = np.vstack([np.zeros((len(centre), k)), np.eye(k)])
    theta = wide + fitted.heads @ subspace.T
    # Nobody has answers of hers here whom the fit did not see: her head is what it started from.
    unseen = np.bincount(prepared.annotator[prepared.train], minlength=prepared.n_annotators) == 0
    theta[unseen] = wide
    return PersonalModel("shared", wide, theta, k, ridge, subspace=subspace, represent=fitted.represent)


@dataclass(frozen=True)
class PersonalCandidate:
    """A size and ridge tried, and the mean log-likelihood of held-out training answers, nats a pair."""

    method: Method
    size: int
    ridge: float
    held_out: float


def pooled_centre(prepared: Prepared, rows: BoolArray, ridge: float) -> FloatArray:
    """One reward for everybody; (d,)."""
    weight = effective_weights(prepared.table, rows)[rows]
    return fit_bradley_terry(prepared.differences[rows], weight, ridge=ridge, mass_scaled=True).theta


def choose_personal(
    prepared: Prepared, sizes: dict[Method, tuple[int, ...]], stream: Stream, say: Callable[[str], None]
) -> tuple[float, tuple[PersonalCandidate, ...]]:
    """(ridge of the pooled reward, every candidate) by held-out items of the TRAINING answers; no test answer is read.

    A third of each annotator's items is held out, as for EM-DPO; sizes: for each method what to try.
    """
    kept, held = hold_out(prepared.table, prepared.train, 1 / 3, stream.child("validation"))
    people = len(np.unique(prepared.annotator[kept if kept.any() else prepared.train]))
    sizes = {method: _possible(method, of, people, prepared) for method, of in sizes.items()}
    if not kept.any() or not held.any():
        # Too little to hold anything out: the smallest size and the middle of each grid.
        middle = [PersonalCandidate("pooled", 0, _POOLED_RIDGES[1], float("nan"))]
        for method, of in sizes.items():
            grid = CLUSTER_RIDGES if method == "cluster" else RIDGES
            middle.append(PersonalCandidate(method, of[0], grid[2], float("nan")))
        return _POOLED_RIDGES[1], tuple(middle)

    def score(model: PersonalModel) -> float:
        return float(model.log_likelihood(prepared, held).mean())

    centres = {ridge: pooled_centre(prepared, kept, ridge) for ridge in _POOLED_RIDGES}
    means = {
        ridge: score(fit_personal(prepared, kept, "pooled", 0, ridge, centre, stream))
        for ridge, centre in centres.items()
    }
    best = max(means, key=lambda ridge: means[ridge])
    tried = [PersonalCandidate("pooled", 0, ridge, mean) for ridge, mean in means.items()]
    for method, of in sizes.items():
        own = []
        for size in of:
            for ridge in CLUSTER_RIDGES if method == "cluster" else RIDGES:
                model = fit_personal(
                    prepared, kept, method, size, ridge, centres[best], stream.child("clusters"), restarts=3
                )
                own.append(PersonalCandidate(method, size, ridge, score(model)))
        top = max(own, key=lambda c: c.held_out)
        say(f"{method}: held-out log-likelihood {top.held_out:.4f} (size {top.size}, ridge {top.ridge:g})")
        tried += own
    return best, tuple(tried)


def _possible(method: Method, of: tuple[int, ...], people: int, prepared: Prepared) -> tuple[int, ...]:
    """The sizes that so many people with answers allow; 1 if none of them."""
    if method == "personal":
        return of
    most = people if method == "cluster" else min(people, prepared.differences.shape[1])
    return tuple(size for size in of if size <= most) or (1,)


def default_sizes(size: int | None, method: Method) -> dict[Method, tuple[int, ...]]:
    """What is tried for each method; a size asked for holds for the method that was asked for."""
    sizes: dict[Method, tuple[int, ...]] = {"personal": (0,), "shared": _RANKS, "cluster": _CLUSTERS}
    if size is not None and method in ("shared", "cluster"):
        sizes[method] = (size,)
    return sizes
