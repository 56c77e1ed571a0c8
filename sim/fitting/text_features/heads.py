"""The vectors of a fitted reward: r(x, y) = <w, h(x, y)> + constant, for a type, a cluster or an annotator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import InputError
from sim.estimators.party_confidence import PartyConfidence
from sim.fitting.head_errors import STRANGER
from sim.fitting.saved import SavedFit
from sim.fitting.text_features.encoded import EncodedFeatures, TextEncoder
from sim.fitting.text_features.saved_text import has_heads
from sim.fitting.type_model import TypeModel
from sim.preferences import FloatArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class Head:
    """weight: (hidden,) of hidden states; constant: what <weight, h> is above the reward, whose zero is the mean
    training item."""

    name: str
    weight: FloatArray
    constant: float


def head_names(fit: SavedFit) -> tuple[str, ...]:
    """`stranger`, for somebody who has answered nothing; types as `type_1`, ...; and the annotators of the fit."""
    types = tuple(f"type_{k + 1}" for k in range(len(_types(fit))))
    return (STRANGER, *types, *(fit.annotators[i] for i in fit.trained))


def head_of(fit: SavedFit, name: str) -> Head:
    """Errors: InputError where the fit has no such head, or the reward of that annotator is not linear."""
    made, theta = _features(fit), coefficients_of(fit, name)
    kept, scale, mean = fit.scales.kept, fit.scales.scale, fit.scales.mean
    own = np.zeros(len(kept))
    own[kept] = theta / scale[kept]
    weight = made.directions.astype(np.float64) @ own
    return Head(name, weight, float(made.mean @ weight + mean @ own))


def coefficients_of(fit: SavedFit, name: str) -> FloatArray:
    """(d,) of a head on the fit's standardised features.  Errors: as of `head_of`."""
    _features(fit)
    names = head_names(fit)
    if name not in names:
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise InputError(f"has no head called '{name}'", file=fit.folder, fix=f"give one of {shown}")
    width = int(fit.scales.kept.sum())
    if name.startswith("type_") and name not in fit.annotators:
        return np.asarray(_types(fit)[int(name.removeprefix("type_")) - 1][:width])
    return _of_annotator(fit, None if name == STRANGER else name, width)


def head_confidence(fit: SavedFit, names: Sequence[str], radius: float) -> PartyConfidence:
    """The heads' coefficients and the sets of `radius` standard errors around them, on standardised features.

    {theta: (theta - theta_m)' C_m^-1 (theta - theta_m) <= radius^2}, C_m of `sim.fitting.head_errors`.
    Errors: InputError where the fit does not say how sure it is.
    """
    theta = np.stack([coefficients_of(fit, name) for name in names])
    if fit.errors is None:
        assigned = fit.earlier is not None
        raise InputError(
            "pessimistic: does not say how sure it is of its rewards"
            + (" of annotators it was given later" if assigned else ""),
            file=fit.folder, fix="fit again" + (", with their answers among the others" if assigned else ""),
        )  # fmt: skip
    width = theta.shape[1]
    covariance = np.stack([fit.errors.of(name)[:width, :width] for name in names])
    return PartyConfidence(theta, np.asarray(np.linalg.inv(covariance)), np.full(len(names), float(radius)))


def standard_features(fit: SavedFit, states: FloatArray) -> FloatArray:
    """(n, hidden) states of items as the features that coefficients are on; (n, d)."""
    made = _features(fit)
    own = (states - made.mean) @ made.directions.astype(np.float64)
    return fit.scales.standard("items", own)[:, : int(fit.scales.kept.sum())]


def encoder_of_reward(fit: SavedFit) -> TextEncoder:
    """What made the hidden states; InputError where the fit is no reward on a language model."""
    return _features(fit).encoder


def _features(fit: SavedFit) -> EncodedFeatures:
    if fit.text is None or not has_heads(fit.text):
        raise InputError("is no fit of `pluralign llm reward`", file=fit.folder, fix="give the folder of one")
    assert isinstance(fit.text.made, EncodedFeatures)
    return fit.text.made


def _types(fit: SavedFit) -> FloatArray:
    """(K, d) rewards of the types or clusters, none where the method has no such."""
    model = fit.model
    if isinstance(model, TypeModel):
        return np.asarray(model.theta)
    # Clusters: what each adds to the common reward.
    if getattr(model, "shares", None) is not None and getattr(model, "departures", None) is not None:
        return np.asarray(model.centre + model.departures)
    return np.zeros((0, 0))


def _of_annotator(fit: SavedFit, who: str | None, width: int) -> FloatArray:
    """(width,) by what the fit says of items that differ from the mean one in a single direction.

    An annotator whose reward is a mixture of types has none that is linear: her chance is a mean of chances.
    """
    if fit.context is not None and who is None:
        raise InputError(
            f"{fit.method.name} serves nobody without knowing something of her", file=fit.folder,
            fix="give an annotator of the fit",
        )  # fmt: skip
    stream = Stream(0, "probe")
    some = stream.uniforms((8, width)) * 2.0 - 1.0
    rows = np.concatenate([np.eye(width), some])
    items = np.tile(fit.scales.mean, (len(rows), 1))
    items[:, fit.scales.kept] += rows * fit.scales.scale[fit.scales.kept]
    scores = fit.score_items(items, who)
    theta, told = scores[:width], scores[width:]
    if np.abs(some @ theta - told).max() > 1e-6 * max(1.0, float(np.abs(told).max())):
        raise InputError(
            f"the reward of '{who or STRANGER}' is a mixture of types, and no one vector", file=fit.folder,
            fix="export a type: type_1, type_2, ...",
        )  # fmt: skip
    return np.asarray(theta)
