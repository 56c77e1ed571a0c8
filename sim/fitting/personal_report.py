"""`pluralign fit --method personal|shared|cluster|pooled`: choice, scores, new annotators, and what is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.estimators.bootstrap import cluster_interval
from sim.files.pair_table import PairTable
from sim.fitting.personal import (
    METHODS,
    Method,
    NetworkFitter,
    PersonalCandidate,
    PersonalModel,
    choose_personal,
    default_sizes,
    fit_personal,
    over_network,
    pooled_centre,
)
from sim.fitting.prepare import Prepared, prepare
from sim.fitting.scores import (
    LEAST_RESERVED,
    SHOWN,
    both_sets,
    differences,
    finite,
    length_predictions,
    predictions,
    reserve_new_users,
    score_fields,
)
from sim.preferences import FloatArray
from sim.streams import Stream


@dataclass(frozen=True)
class PersonalSettings:
    """size: rank or number of clusters, None to choose.  ridge None: chosen."""

    method: Method = "shared"
    size: int | None = None
    ridge: float | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class PersonalReport:
    settings: PersonalSettings
    prepared: Prepared
    model: PersonalModel
    summary: dict[str, Any]


def fit_personal_preferences(
    table: PairTable,
    settings: PersonalSettings,
    on_progress: Callable[[str], None] | None = None,
    network: NetworkFitter | None = None,
) -> PersonalReport:
    """Choose, fit and score all four methods; test answers and unseen annotators are read once, at the end.

    network: also fit a learned representation, at the rank and ridge chosen for the linear one.
    """
    stream = Stream(settings.seed, cell="fit")
    prepared = prepare(table, stream)
    say = on_progress or (lambda _: None)
    people = len(np.unique(prepared.annotator[prepared.train]))
    say(
        f"{int(prepared.train.sum())} training answers of {people} annotators, {prepared.differences.shape[1]} features"
    )
    width = prepared.differences.shape[1]
    most = people if settings.method == "cluster" else min(people, width)
    if settings.size is not None and settings.method in ("shared", "cluster") and not 1 <= settings.size <= most:
        what = "clusters" if settings.method == "cluster" else "dimensions"
        raise InputError(
            f"--types: {settings.size} {what} and at most {most} are possible here", file=table.source,
            fix="ask for fewer, or use --types auto",
        )  # fmt: skip
    ridge, tried = choose_personal(prepared, default_sizes(settings.size, settings.method), stream, say)
    centre = pooled_centre(prepared, prepared.train, ridge)
    models: dict[str, PersonalModel] = {}
    for method in METHODS:
        best = max((c for c in tried if c.method == method), key=lambda c: c.held_out)
        asked = method == settings.method
        own = settings.ridge if settings.ridge is not None and asked else best.ridge
        # A size that was asked for holds, even where fewer people were left in the validation split.
        size = settings.size if settings.size is not None and asked and best.size else best.size
        models[method] = fit_personal(prepared, prepared.train, method, size, own, centre, stream.child("clusters"))
    if network is not None:
        like = models["shared"]
        say(f"a network of rank {like.size} in place of the linear subspace")
        learned = network(prepared, prepared.train, like.size, like.ridge, centre, stream.child("network"))
        models["shared-network"] = over_network(learned, prepared, like.ridge, centre)
    say("scoring held-out answers")
    return PersonalReport(
        settings, prepared, models[settings.method], _summary(settings, prepared, models, tried, stream)
    )


def _summary(
    settings: PersonalSettings, prepared: Prepared, models: dict[str, PersonalModel],
    tried: tuple[PersonalCandidate, ...], stream: Stream,
) -> dict[str, Any]:  # fmt: skip
    score, model = stream.child("score"), models[settings.method]
    predicted: dict[str, dict[str, FloatArray]] = {
        name: {
            "known_users": other.log_likelihood(prepared, prepared.test),
            "unseen_users": other.log_likelihood(prepared, prepared.unseen),
        }
        for name, other in models.items()
    }
    predicted["coin"], predicted["length"] = predictions(None, prepared), length_predictions(prepared)
    ours = predicted[settings.method]
    names = [name for name in predicted if name != settings.method]
    trained = np.unique(prepared.annotator[prepared.train])
    shares = model.shares if model.shares is not None else np.ones(1)
    return {
        "kind": "personal",
        "method": settings.method,
        "n_types": {"pooled": 1, "cluster": model.size}.get(settings.method, len(trained)),
        "rank": model.size if settings.method == "shared" else None,
        "mixture": shares.tolist(),
        "test": both_sets(ours, prepared, score),
        "baselines": {name: both_sets(predicted[name], prepared, score) for name in names},
        "differences": {name: differences(ours, predicted[name], prepared, score) for name in names},
        "against_pooled": {
            name: differences(predicted[name], predicted["pooled"], prepared, score)
            for name in models if name != "pooled"
        },
        "new_users": new_users(models, prepared, score.child("new-users")),
        "groups": _groups(model, prepared),
        "selection": {
            "by": "mean log-likelihood of held-out items of training answers; test answers were not read",
            "chosen": {name: {"size": other.size, "ridge": other.ridge} for name, other in models.items()},
            "candidates": [_plain(candidate) for candidate in tried],
        },
        "counts": {
            "train_pairs": int(prepared.train.sum()),
            "effective_train_pairs": float(prepared.weight.sum()),
            "annotators": prepared.n_annotators,
            "items": len(prepared.table.items),
            "features": list(prepared.feature_names),
        },
        "warnings": [] if prepared.test.any() else ["no held-out answers of known annotators"],
        "settings": asdict(settings),
    }  # fmt: skip


def _plain(candidate: PersonalCandidate) -> dict[str, Any]:
    row = asdict(candidate)
    return row if np.isfinite(candidate.held_out) else {**row, "held_out": None}


def _groups(model: PersonalModel, prepared: Prepared) -> list[dict[str, Any]]:
    """Clusters by share, with their strongest departures from the pooled reward; directions of a shared subspace."""
    if model.departures is not None and model.shares is not None:
        rows, names = model.departures, [f"cluster {c + 1}" for c in range(model.size)]
        shares: list[float | None] = list(model.shares)
    elif model.subspace is not None:
        heads = (model.theta - model.centre) @ model.subspace
        # Principal axes of the heads: the subspace's own axes are arbitrary.
        turned = np.linalg.svd(heads - heads.mean(axis=0), full_matrices=False)[2]
        rows, names = turned @ model.subspace.T, [f"direction {c + 1}" for c in range(model.size)]
        shares = [None] * model.size
    else:
        return []
    out = []
    for name, share, row in zip(names, shares, rows, strict=True):
        order = np.argsort(-np.abs(row), kind="stable")[:6]
        against = [{"feature": prepared.feature_names[j], "coefficient": float(row[j])} for j in order]
        out.append({"group": name, "share": None if share is None else float(share), "against_pooled": against})
    return out


def new_users(models: dict[str, PersonalModel], prepared: Prepared, stream: Stream) -> list[dict[str, Any]]:
    """Unseen annotators after 0, 5, 10, 20 and 40 of their answers, each method adapted to these alone, scored on the
    answers `reserve_new_users` sets aside."""
    steps, rest, first = reserve_new_users(prepared, stream, SHOWN, LEAST_RESERVED)
    if len(steps) < 2:
        return []
    out = []
    for shown in steps:
        seen = first(shown)
        scores = {
            name: model.log_likelihood(prepared, rest, model.adapt(prepared, seen) if shown else None)
            for name, model in models.items()
        }
        row: dict[str, Any] = {"answers_shown": shown}
        for name, values in scores.items():
            gain, cluster = values - scores["pooled"], prepared.annotator[rest]
            row[name] = {
                **score_fields(values, cluster, stream.child("bootstrap")),
                "gain_over_pooled": float(gain.mean()),
                "gain_over_pooled_interval": finite(cluster_interval(gain, cluster, stream.child("bootstrap"))),
            }
        out.append(row)
    return out
