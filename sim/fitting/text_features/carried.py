"""How much of what can be predicted the features carry: beside who the items are, how long they are, and a coin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim.files.atomic import Json
from sim.fitting.common_rewards import STRENGTH_RIDGES, advantages, item_strengths
from sim.fitting.compare import held_out_by
from sim.fitting.method import Candidate, Fits
from sim.fitting.outcomes import coin_of
from sim.fitting.prepare import Prepared
from sim.fitting.scores import Difference, HeldOut, Score, longer_wins, scored
from sim.fitting.splits import hold_out
from sim.likelihoods import log_sigmoid
from sim.streams import Stream
from sim.weighted_means import mean_of


@dataclass(frozen=True, eq=False)
class Carried:
    """Held-out scores of what is the same for everybody: a reward on the features, a strength an item, the longer
    response, a coin; each minus the coin, and the features minus the strengths, with paired intervals over annotators.
    """

    scores: Mapping[str, Mapping[str, Score]]
    over_coin: Mapping[str, Mapping[str, Difference]]
    over_items: Mapping[str, Difference]
    ridge: float | None

    def as_json(self) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for users in ("known_users", "unseen_users"):
            rows = {}
            for name, sets in self.scores.items():
                own, gain = sets[users].as_json(), self.over_coin.get(name, {}).get(users)
                rows[name] = {key: own[key] for key in ("n_pairs", "log_likelihood", "log_likelihood_interval")}
                rows[name] |= _gain("over_coin", gain)
                if name == "features":
                    rows[name] |= _gain("over_items", self.over_items.get(users))
            found[users] = rows
        return {**found, "items_ridge": self.ridge}


def _gain(name: str, found: Difference | None) -> dict[str, Json]:
    if found is None:
        return {}
    told = found.as_json()
    return {name: told["log_likelihood"], f"{name}_interval": told["log_likelihood_interval"]}


def what_is_carried(fits: Fits, prepared: Prepared, stream: Stream) -> Carried:
    """The scores; the strengths' ridge is chosen on held-out training answers, as the features' was."""
    predicted = {"features": held_out_by(*fits.fitted[fits.common], prepared)}
    ridge = None
    if prepared.is_plain:  # a strength an item, and which is longer, are rules for pairs
        ridge = _strength_ridge(prepared, stream.child("strengths"))
        margins = advantages(prepared.table, item_strengths(prepared.table, prepared.train, ridge))
        chances = np.asarray(log_sigmoid(margins))
        predicted["items"] = HeldOut(chances[prepared.test], chances[prepared.unseen])
        predicted["length"] = longer_wins(prepared)
    predicted["coin"] = coin_of(prepared)
    others = [name for name in predicted if name != "coin"]
    over_items = [("features", "items")] if "items" in predicted else []
    found = scored(predicted, [*((name, "coin") for name in others), *over_items], prepared, stream.child("intervals"))
    return Carried(
        scores=found.scores,
        over_coin=found.against("coin", others),
        over_items=found.differences["features", "items"] if over_items else {},
        ridge=ridge,
    )


def _strength_ridge(prepared: Prepared, stream: Stream) -> float:
    kept, held = hold_out(prepared.table, prepared.train, 1 / 3, stream, prepared.hold_out)
    if not (kept.any() and held.any()):
        return STRENGTH_RIDGES[len(STRENGTH_RIDGES) // 2 - 1]
    tried = []
    for ridge in STRENGTH_RIDGES:
        margins = advantages(prepared.table, item_strengths(prepared.table, kept, ridge))
        tried.append(
            Candidate("popularity", 0, ridge, mean_of(log_sigmoid(margins[held]), prepared.given_weights(held)))
        )
    return max(tried, key=lambda candidate: candidate.held_out).ridge
