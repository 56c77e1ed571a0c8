"""`pluralign fit`: groups hidden in people's preferences, held-out scores, and a policy that serves all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from sim.errors import InputError
from sim.estimators.bradley_terry import fit_bradley_terry, is_separable
from sim.files.pair_table import PairTable
from sim.fitting.groups import describe_groups, group_regrets
from sim.fitting.models import RIDGES, Selection, TypeModel, fit_clusters, fit_plain_pooled, fit_types, select, type_bic
from sim.fitting.prepare import Prepared, prepare
from sim.fitting.scores import both_sets, differences, few_shot, length_predictions, predictions
from sim.streams import Stream

Method = Literal["dpo", "em-dpo", "cluster-dpo"]
METHODS: tuple[Method, ...] = ("dpo", "em-dpo", "cluster-dpo")


@dataclass(frozen=True)
class FitSettings:
    """n_types None: chosen by held-out likelihood up to max_types.  ridge None: chosen likewise.

    beta: temperature of the policies (margins and scores do not depend on it).
    """

    method: Method = "em-dpo"
    n_types: int | None = None
    max_types: int = 8
    restarts: int = 10
    ridge: float | None = None
    beta: float = 0.1
    priorities: tuple[float, ...] | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class FitReport:
    """The fitted model and everything the result folder holds."""

    settings: FitSettings
    prepared: Prepared
    model: TypeModel
    pooled: TypeModel
    summary: dict[str, Any]


def _require_types(settings: FitSettings, prepared: Prepared) -> None:
    people = len(np.unique(prepared.annotator[prepared.train]))
    if settings.n_types is not None and settings.n_types > people:
        raise InputError(
            f"--types: {settings.n_types} types and only {people} annotators with training answers",
            file=prepared.table.source,
            fix="ask for fewer types, or use --types auto",
        )


def fit_preferences(
    table: PairTable, settings: FitSettings, on_progress: Callable[[str], None] | None = None
) -> FitReport:
    """Choose, fit, score and describe; test answers are read once, after every choice is made."""
    stream = Stream(settings.seed, cell="fit")
    prepared = prepare(table, stream)
    _require_types(settings, prepared)
    say = on_progress or (lambda _: None)
    n, people = int(prepared.train.sum()), len(np.unique(prepared.annotator[prepared.train]))
    say(f"{n} training answers of {people} annotators, {prepared.differences.shape[1]} features")
    ridges = RIDGES if settings.ridge is None else (settings.ridge,)
    wanted = 1 if settings.method == "dpo" else settings.n_types
    sizes = (wanted,) if wanted is not None else tuple(range(2, min(settings.max_types, people) + 1))
    chosen = select(prepared, sizes, ridges, wanted, stream, say)
    pooled = fit_types(prepared, prepared.train, 1, chosen.best(1).ridge, None, 1, stream.child("pooled"))
    centre = pooled.theta[0]

    def em(n_types: int) -> TypeModel:
        if n_types == 1:
            return pooled
        ridge = chosen.best(n_types).ridge
        return fit_types(prepared, prepared.train, n_types, ridge, centre, settings.restarts, stream.child("em"))

    def clusters(n_types: int) -> TypeModel:
        return fit_clusters(
            prepared, prepared.train, n_types, chosen.best_clusters().ridge, centre, stream.child("k-means")
        )

    size = wanted if wanted is not None else chosen.best().n_types
    say(f"fitting {settings.method} with {size} types")
    fitted: dict[str, TypeModel] = {"dpo": pooled}
    if size > 1:
        fitted["em-dpo"], fitted["cluster-dpo"] = em(size), clusters(size)
    elif settings.method == "em-dpo":
        fitted["em-dpo"] = pooled
    else:
        fitted.setdefault(settings.method, pooled)
    fitted["dpo-equal-weights"] = fit_plain_pooled(prepared, ridges, stream)
    model = fitted[settings.method]
    say("scoring held-out answers")
    summary = _summary(settings, prepared, fitted, chosen, stream)
    return FitReport(settings, prepared, model, pooled, summary)


def _summary(
    settings: FitSettings, prepared: Prepared, fitted: dict[str, TypeModel], chosen: Selection, stream: Stream
) -> dict[str, Any]:
    model, pooled = fitted[settings.method], fitted["dpo"]
    table, score = prepared.table, stream.child("score")
    predicted = {name: predictions(other, prepared) for name, other in fitted.items()}
    predicted["coin"] = predictions(None, prepared)
    # Only generated text has a length that could give a response away; an identifier's length means nothing, but is
    # reported all the same, so that nobody has to trust that.
    predicted["length"] = length_predictions(prepared)
    ours = predicted[settings.method]
    names = [name for name in predicted if name != settings.method]
    baselines = {}
    for name in names:
        own = both_sets(predicted[name], prepared, score)
        baselines[name] = {"n_types": fitted[name].n_types if name in fitted else 0, **own, "test": own}
    summary: dict[str, Any] = {
        "method": settings.method,
        "n_types": model.n_types,
        "mixture": model.mixture.tolist(),
        "test": both_sets(ours, prepared, score),
        "baselines": baselines,
        "differences": {name: differences(ours, predicted[name], prepared, score) for name in names},
        "few_shot": few_shot(model, pooled, prepared, score.child("few-shot")),
        "groups": describe_groups(model, pooled, prepared, score),
        "regret": group_regrets(model, pooled, prepared, settings.beta, settings.priorities),
        "selection": {
            "by": "mean log-likelihood of held-out items of training answers; test answers were not read",
            "chosen": {"n_types": model.n_types, "ridge": model.ridge},
            "candidates": [_finite(asdict(candidate)) for candidate in chosen.candidates],
            "clusters": [_finite(asdict(candidate)) for candidate in chosen.clusters],
            "bic": type_bic(model, prepared),
            "bic_pooled": type_bic(pooled, prepared),
        },
        "fit": {
            "log_likelihood": model.log_likelihood,
            "largest_margin": model.largest_margin,
            "restarts": model.restart_penalised.tolist(),
        },
        "counts": {
            "train_pairs": int(prepared.train.sum()),
            "effective_train_pairs": float(prepared.weight.sum()),
            "annotators": table.n_annotators,
            "items": len(table.items),
            "features": list(prepared.feature_names),
        },
        "warnings": _warnings(prepared, pooled, model),
        "settings": asdict(settings),
    }
    if table.group is not None:
        summary["adjusted_rand_index"] = _against_truth(model, prepared)
    return summary


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in row.items()}


def _warnings(prepared: Prepared, pooled: TypeModel, model: TypeModel) -> list[str]:
    found = []
    rows = prepared.differences[prepared.train]
    nearly = fit_bradley_terry(rows, ridge=1e-6, mass_scaled=True)
    # The linear program is certain but slow; it is asked only where the fit gets almost every answer right.
    if nearly.separable or ((rows @ nearly.theta <= 0).mean() < 0.02 and is_separable(rows)):
        found.append(
            "the training answers are separable: one linear rule explains all; the ridge alone keeps the fit finite"
        )
    if model.largest_margin > 20:
        found.append(
            f"margins reach {model.largest_margin:.0f}: raise --ridge, chances this near to 0 and 1 are not known"
        )
    if not prepared.test.any():
        found.append("no held-out answers of known annotators: give a split or more answers each")
    if not prepared.unseen.any():
        found.append("no unseen annotators: nothing is known about people outside the file")
    return found


def _against_truth(model: TypeModel, prepared: Prepared) -> float:
    """Adjusted Rand index of the groups found against the file's group_id (read here alone)."""
    from sklearn.metrics import adjusted_rand_score

    own = np.unique(prepared.annotator[prepared.train])
    assert prepared.table.group is not None
    truth = [prepared.table.group[i] for i in own]
    return float(adjusted_rand_score(truth, model.responsibilities[own].argmax(axis=1)))
