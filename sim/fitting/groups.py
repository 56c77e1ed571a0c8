"""Who the groups are, and what one policy for all of them costs each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.algorithms.hedge import game_value, hedge
from sim.algorithms.regret import checked_priorities, regret_matrix
from sim.errors import InputError
from sim.fitting.models import TypeModel, answer_scores
from sim.fitting.prepare import Prepared
from sim.fitting.scores import score_fields
from sim.policies.finite import log_softmax
from sim.preferences import FloatArray
from sim.streams import Stream

_MOST_PROMPTS = 2000
_STRONGEST = 6


def coefficient_errors(model: TypeModel, prepared: Prepared) -> FloatArray:
    """Standard errors of theta, robust to dependence within annotators; (K, d).

    Sandwich H^-1 (sum over annotators of g_i g_i') H^-1, g_i the annotator's summed score and H the penalised
    information, responsibilities taken as known (so they are a little too small).
    """
    rows = prepared.train
    x, person = prepared.differences[rows], prepared.annotator[rows]
    out = np.empty_like(model.theta)
    for k, theta in enumerate(model.theta):
        weight = prepared.weight[rows] * model.responsibilities[person, k]
        wrong = 1.0 / (1.0 + np.exp(np.clip(x @ theta, -700, 700)))
        information = (x * (weight * wrong * (1 - wrong))[:, None]).T @ x
        information += model.ridge * weight.sum() * np.eye(x.shape[1])
        slope = x * (weight * wrong)[:, None]
        by_person = np.stack([np.bincount(person, weights=c, minlength=prepared.n_annotators) for c in slope.T], axis=1)
        by_person -= by_person.mean(axis=0)
        inverse = np.linalg.inv(information)
        out[k] = np.sqrt(np.maximum(np.diag(inverse @ (by_person.T @ by_person) @ inverse), 0.0))
    return out


def describe_groups(model: TypeModel, pooled: TypeModel, prepared: Prepared, stream: Stream) -> list[dict[str, Any]]:
    """Share, size, strongest features (absolute and against the pooled fit), favourite items, held-out scores."""
    errors = coefficient_errors(model, prepared)
    member = model.responsibilities.argmax(axis=1)
    trained = np.zeros(prepared.n_annotators, dtype=bool)
    trained[np.unique(prepared.annotator[prepared.train])] = True
    known = np.flatnonzero(prepared.test)
    scores = answer_scores(model, prepared, prepared.test, model.responsibilities)
    seen_often = np.bincount(
        np.concatenate([prepared.table.chosen[prepared.train], prepared.table.rejected[prepared.train]]),
        minlength=len(prepared.table.items),
    )
    common = np.flatnonzero(seen_often >= np.quantile(seen_often[seen_often > 0], 0.75))
    groups = []
    for k in range(model.n_types):
        own = member[prepared.annotator[known]] == k
        difference = model.theta[k] - pooled.theta[0]
        top = common[np.argsort(-(prepared.features[common] @ model.theta[k]), kind="stable")[:_STRONGEST]]
        groups.append(
            {
                "group": k + 1,
                "share": float(model.mixture[k]),
                "n_annotators": int((trained & (member == k)).sum()),
                "strongest_features": _features(model.theta[k], errors[k], prepared.feature_names),
                "against_pooled": _features(difference, errors[k], prepared.feature_names),
                "favourite_items": [prepared.table.items[j] for j in top],
                "known_users": score_fields(scores[own], prepared.annotator[known][own], stream),
            }
        )
    return groups


def _features(values: FloatArray, errors: FloatArray, names: Sequence[str]) -> list[dict[str, Any]]:
    order = np.argsort(-np.abs(values), kind="stable")[:_STRONGEST]
    return [{"feature": names[j], "coefficient": float(values[j]), "standard_error": float(errors[j])} for j in order]


def _candidate_sets(prepared: Prepared) -> tuple[list[np.ndarray[Any, Any]], FloatArray]:
    """Distinct items seen with each prompt (training answers), and the prompts' shares; the most frequent 2,000."""
    rows = prepared.train
    prompt = np.concatenate([prepared.table.prompt[rows]] * 2)
    item = np.concatenate([prepared.table.chosen[rows], prepared.table.rejected[rows]])
    counts = np.bincount(prompt, minlength=len(prepared.table.prompts))
    frequent = np.argsort(-counts, kind="stable")[:_MOST_PROMPTS]
    frequent = frequent[counts[frequent] > 0]
    order = np.argsort(prompt, kind="stable")
    bounds = np.searchsorted(prompt[order], np.arange(len(prepared.table.prompts) + 1))
    sets = [np.unique(item[order[bounds[p] : bounds[p + 1]]]) for p in frequent]
    return sets, counts[frequent] / counts[frequent].sum()


def group_regrets(
    model: TypeModel, pooled: TypeModel, prepared: Prepared, beta: float, priorities: Sequence[float] | None
) -> dict[str, Any]:
    """Each group's regret under pooled DPO and under MinMax-DPO, exact over the items of each prompt.

    pi_k(y | x) proportional to exp(<theta_k, phi(y)> / beta) over the prompt's items (uniform reference);
    regret_z(pi) = beta (E_{pi_z} h_z - E_pi h_z), h_z = log(pi_z / pi_0): in units of the implied reward.
    with_pooled: the exact min-max when the pooled policy may be mixed in too (its weight is the last).
    """
    K = model.n_types
    try:
        c = checked_priorities(priorities, K)
    except ValueError as error:
        raise InputError(f"--priorities: {error}", fix=f"give {K} positive numbers, one a group") from error
    theta = np.concatenate([model.theta, pooled.theta[:1]])
    sets, shares = _candidate_sets(prepared)
    L = np.zeros((K, K + 1))
    for items, share in zip(sets, shares, strict=True):
        log_policy = log_softmax((prepared.features[items] @ theta.T).T / beta)
        h = log_policy[:K] + np.log(len(items))
        L += share * (h @ np.exp(log_policy).T)
    game = regret_matrix(L[:, :K], beta, c)
    # Pooled DPO is a policy like any other: its column uses the same formula.
    of_pooled = beta * (np.diag(L[:, :K]) - L[:, K])
    played, exact = hedge(game.values, 20_000), game_value(game.values)
    of_minmax = game.of_groups(played.weights)
    # The ensemble holds the groups' own policies only, so MinMax can leave its worst group worse off than pooled DPO
    # does: on real people it happens. With the pooled policy as one more column it cannot.
    wider = np.column_stack([game.values, np.concatenate([[0.0], c * of_pooled])])
    served = game_value(wider)
    return {
        "beta": beta,
        "priorities": c.tolist(),
        "matrix": game.values[1:].tolist(),
        "pooled_dpo": of_pooled.tolist(),
        "minmax_dpo": of_minmax.tolist(),
        "minmax_weights": played.weights.tolist(),
        "value": float(np.max(game.values @ played.weights)),
        "lp_value": exact.value,
        "gap": played.gap,
        "with_pooled": {
            "weights": served.weights.tolist(),
            "value": served.value,
            "regret_per_group": (wider[1:] @ served.weights / c).tolist(),
        },
        "worst_group": {
            "pooled_dpo": float(np.max(c * of_pooled)),
            "minmax_dpo": float(np.max(c * of_minmax)),
            "with_pooled": served.value,
        },
        "largest_possible": float(game.values.max()),
    }
