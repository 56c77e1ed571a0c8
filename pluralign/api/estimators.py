"""The papers' estimators on answers as they are: no split, no scaling, no choice of sizes (`fit` does these)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pluralign.api.frames import Frame
from pluralign.api.pairs import Differences, differences_of
from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown, bars, plotted
from sim.algorithms.em_log_linear import EXACT, LogLinearEM, em_log_linear
from sim.arguments import float_array, require_choice, require_count
from sim.counted import counted
from sim.errors import InputError
from sim.named_columns import in_order
from sim.policies.log_linear import ItemFeatures, LogLinear
from sim.preferences import FloatArray
from sim.streams import Stream


def _left_out(counts: Mapping[str, int]) -> tuple[str, ...]:
    """A line of what was not used, none where everything was."""
    return ("left out: " + "; ".join(f"{count} rows {why}" for why, count in counts.items()),) if counts else ()


class Types(Shown):
    """Unobserved types of annotators, the largest first, with log-linear rewards <theta_k, phi(item)>.

    theta (n_types, d), mixture (n_types,), responsibilities (n_annotators, n_types), rows sum to 1; log_likelihood of
    the answers, nats; features (d,) and annotators, names; items (n_items, d).  left_out: why answers are not used, and
    how many.  em: the run itself.
    """

    def __init__(self, title: str, answers: Differences, em: LogLinearEM) -> None:
        order = np.argsort(-em.mixture, kind="stable")
        self.title, self.em = title, em
        self.theta, self.mixture = em.theta[order], em.mixture[order]
        self.responsibilities = em.responsibilities[:, order]
        self.log_likelihood = em.log_likelihood
        self.features, self.items = answers.names, answers.items
        self.annotators = answers.pairs.annotators
        self.left_out = dict(answers.pairs.left_out)
        self.notes = (em.status.message, *_left_out(self.left_out))

    @property
    def n_types(self) -> int:
        return len(self.mixture)

    def policies(self, beta: float = 1.0) -> tuple[LogLinear, ...]:
        """One policy a type over the items, pi_k proportional to exp(<theta_k, phi> / beta), for `minmax_dpo`."""
        features = ItemFeatures(self.items)
        return tuple(LogLinear(features, beta=beta, theta=theta) for theta in self.theta)

    def as_dict(self) -> dict[str, Any]:
        return {
            "n_types": self.n_types,
            "mixture": self.mixture.tolist(),
            "theta": self.theta.tolist(),
            "features": list(self.features),
            "log_likelihood": self.log_likelihood,
            "responsibilities": dict(zip(self.annotators, self.responsibilities.tolist(), strict=True)),
            "left_out": self.left_out,
        }

    def page(self) -> Page:
        rows = []
        for k, theta in enumerate(self.theta):
            strongest = np.argsort(-np.abs(theta), kind="stable")[:3]
            liked = ", ".join(f"{self.features[j]} {theta[j]:+.2f}" for j in strongest)
            surely = int((self.responsibilities[:, k] > 0.9).sum())
            rows.append((k + 1, float(self.mixture[k]), surely, liked))
        title = f"{self.title}: {counted(self.n_types, 'types')} of {counted(len(self.annotators), 'annotators')}"
        return Page(title, ("type", "share", "annotators > .9", "strongest features"), rows,
                    [f"log-likelihood {self.log_likelihood:.2f} nats", *self.notes])  # fmt: skip

    def plot(self) -> Any:
        """Axes with each type's coefficients."""
        series = {f"type {k + 1} ({share:.0%})": theta.tolist()
                  for k, (share, theta) in enumerate(zip(self.mixture, self.theta, strict=True))}  # fmt: skip
        return bars(self.title, series, self.features, "coefficient (reward units)")


# Long for its docstring.
@plain_numbers
def em_dpo(
    pairs: Frame,
    n_types: int,
    *,
    ridge: float = 1e-3,
    restarts: int = 10,
    max_rounds: int = 200,
    tolerance: float = 1e-8,
    assignment: str = "soft",
    seed: int = 0,
) -> Types:
    """EM-DPO: a policy for each unobserved type (arXiv 2405.15065, Algorithm 1), for log-linear rewards.

    Maximises sum_i log sum_k eta_k prod_{j of i} sigma(<theta_k, phi(chosen_j) - phi(rejected_j)>)^{w_j}
    - 0.5 ridge sum_k W_k |theta_k|^2, W_k the type's total weight, and keeps the best of `restarts` random splits.

    pairs: whatever `read_pairs` takes; features as they are given, an indicator an item where there are none; ties are
    left out, as in every estimator here.
    assignment: soft, or hard (each annotator wholly to her most probable type).  Errors: ValueError, InputError.
    """
    require_choice("assignment", assignment, ("soft", "hard"))
    answers = differences_of(pairs)
    found = em_log_linear(
        answers.differences, answers.annotator, answers.n_annotators, n_types, weights=answers.weights, ridge=ridge,
        restarts=restarts, max_rounds=max_rounds, tolerance=tolerance, estep="hard" if assignment == "hard" else "soft",
        stream=Stream(seed, role="em"),
    )  # fmt: skip
    return Types("EM-DPO", answers, found)


@plain_numbers
def cluster_dpo(pairs: Frame, n_types: int, *, ridge: float = 1e-3, seed: int = 0) -> Types:
    """k-means on the mean features of what each annotator chose, then one policy a cluster.

    [arXiv 2405.15065, section 5, the baseline]  Arguments as in `em_dpo`; responsibilities are zeros and ones.
    """
    from sim.algorithms.cluster_dpo import mean_chosen_features
    from sim.algorithms.k_means import k_means

    answers = differences_of(pairs)
    require_count("n_types", n_types)
    chosen = answers.items[answers.pairs.chosen]
    points = mean_chosen_features(chosen, answers.annotator, answers.n_annotators, answers.weights)
    labels, _ = k_means(points, n_types, Stream(seed, role="k-means"))
    found = em_log_linear(
        answers.differences, answers.annotator, answers.n_annotators, n_types, weights=answers.weights, ridge=ridge,
        start=np.eye(n_types)[labels][None], max_rounds=0, newton_steps=EXACT,
    )  # fmt: skip
    result = Types("Cluster-DPO", answers, found)
    result.notes = ("one exact fit a cluster", *_left_out(result.left_out))
    order = np.argsort(-np.bincount(labels, minlength=n_types), kind="stable")
    result.responsibilities = np.eye(n_types)[labels][:, order]
    return result


class Rewards(Shown):
    """Rewards linear in features.  theta: a row for all, an annotator or an annotator's feature, (rows, d).

    rows, features: names.  left_out: why answers are not used, and how many.  estimate: the estimator's own result,
    with its status and what else it found.
    """

    def __init__(self, title: str, theta: FloatArray, rows: Sequence[str], answers: Differences, estimate: Any) -> None:
        self.title, self.theta, self.rows = title, theta, tuple(rows)
        self.features, self.estimate = answers.names, estimate
        self.left_out = dict(answers.pairs.left_out)

    def score_items(self, items: Any) -> FloatArray:
        """<theta_row, phi(item)>; items (n, d) -> (rows, n), reward units.

        Columns of a frame go by the names of the features, in any order.
        """
        own = np.atleast_2d(np.asarray(in_order("items", items, self.features, what="the features")))
        # Laid out alike, whatever held them: a product's last digits depend on it.
        return self.theta @ np.ascontiguousarray(float_array("items", own, ("n", len(self.features)))).T

    def as_dict(self) -> dict[str, Any]:
        return {"theta": self.theta.tolist(), "rows": list(self.rows), "features": list(self.features),
                "status": self.estimate.status.name, "left_out": self.left_out}  # fmt: skip

    def page(self) -> Page:
        notes = [self.estimate.status.message, *_left_out(self.left_out)]
        if len(self.rows) == 1:
            rows: list[tuple[Any, ...]] = [
                (name, float(value)) for name, value in zip(self.features, self.theta[0], strict=True)
            ]
            rows.sort(key=lambda row: -abs(row[1]))
            return Page(self.title, ("feature", "coefficient"), rows, notes)
        rows = [(name, *map(float, theta)) for name, theta in zip(self.rows, self.theta, strict=True)]
        return Page(self.title, ("", *self.features), rows, notes)

    def plot(self) -> Any:
        """Axes with the coefficients: bars of one reward, colours of several."""
        if len(self.rows) == 1:
            return bars(self.title, {"all": self.theta[0].tolist()}, self.features, "coefficient (reward units)")

        def draw() -> None:
            from sim.files.figure_files import subplots

            figure, axis = subplots(figsize=(7.0, 4.6), layout="constrained")
            most = float(np.abs(self.theta).max()) or 1.0
            shown = axis.imshow(self.theta, aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most)
            axis.set_xticks(range(len(self.features)), self.features, rotation=60, ha="right", fontsize=7)
            if len(self.rows) <= 30:
                axis.set_yticks(range(len(self.rows)), self.rows, fontsize=7)
            axis.set_title(self.title, fontsize=10)
            figure.colorbar(shown, ax=axis, label="coefficient (reward units)")

        axes = plotted(draw)
        return axes[0] if isinstance(axes, np.ndarray) else axes


@plain_numbers
def bradley_terry(pairs: Frame, *, ridge: float = 1e-3) -> Rewards:
    """One reward for everybody: max sum_j w_j log sigma(<theta, d_j>) - 0.5 ridge |theta|^2, d = chosen - rejected.

    Without features theta holds a strength an item.  pairs: whatever `read_pairs` takes.
    """
    from sim.estimators.bradley_terry import fit_bradley_terry

    answers = differences_of(pairs)
    found = fit_bradley_terry(answers.differences, answers.weights, ridge=ridge)
    return Rewards("Bradley-Terry", found.theta[None], ("all",), answers, found)


@plain_numbers
def shared_rewards(pairs: Frame, rank: int, *, ridge: float = 1e-3, max_rounds: int = 200) -> Rewards:
    """A reward an annotator over a subspace all share: theta_i = U v_i, U (d, rank) orthonormal.

    [arXiv 2405.00254, Algorithm 1, step 1]  max sum w log sigma(<U v_i, d_ij>) - 0.5 ridge sum_i |v_i|^2.
    `estimate` has subspace and heads.  pairs: whatever `read_pairs` takes.
    """
    from sim.estimators.shared_representation import fit_shared

    answers = differences_of(pairs)
    found = fit_shared(
        answers.differences, answers.annotator, answers.n_annotators, rank, weights=answers.weights, ridge=ridge,
        max_rounds=max_rounds,
    )  # fmt: skip
    return Rewards(f"rewards over a shared subspace of rank {rank}", found.theta, answers.pairs.annotators,
                   answers, found)  # fmt: skip


@plain_numbers
def low_rank_rewards(pairs: Frame, rank: int, *, ridge: float = 1e-6, max_rounds: int = 1000) -> Rewards:
    """Rewards x' Theta phi of an annotator's features x and an item's phi, Theta (d_x, d) of rank at most `rank`.

    [arXiv 2412.19436, rank-constrained maximum likelihood]  The pairs need `annotator_features`.
    """
    from sim.estimators.low_rank import fit_low_rank

    answers = differences_of(pairs)
    told = answers.pairs.annotator_features
    if told is None:
        raise InputError("the annotators have no features", file=answers.pairs.source, field="annotator_features",
                         fix="add the column, or use shared_rewards")  # fmt: skip
    found = fit_low_rank(
        told[answers.annotator], answers.differences, rank, weights=answers.weights, ridge=ridge, max_rounds=max_rounds,
        method="quasi_newton",
    )  # fmt: skip
    return Rewards(f"rewards of rank {rank}", found.theta, answers.pairs.annotator_feature_names, answers, found)
