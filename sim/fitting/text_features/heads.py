"""The vectors of a fitted reward: r(x, y) = <w, h(x, y)> + constant, for a type, a cluster or an annotator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import InputError
from sim.estimators.ideal_points import bend
from sim.estimators.party_confidence import PartyConfidence
from sim.fitting.head_errors import ANNOTATOR, STRANGER
from sim.fitting.reward_model import IdealPointModel
from sim.fitting.saved import SavedFit
from sim.fitting.text_features.encoded import EncodedFeatures, TextEncoder
from sim.fitting.text_features.saved_text import has_heads
from sim.fitting.type_model import TypeModel
from sim.preferences import FloatArray
from sim.streams import Stream

# Before names of the fit's own heads and of annotators, where a name alone could mean either.
_FIT = "fit:"
# Shares below which a type has nobody, as in EM's own steps.
_NOBODY = 1e-12


@dataclass(frozen=True, eq=False)
class Head:
    """weight: (hidden,) of hidden states; constant: what <weight, h> is above the reward, whose zero is the mean
    training item.  bend: (m, hidden + 1), of [h, 1], whose squared length is taken off, where the reward is a distance.
    """

    name: str
    weight: FloatArray
    constant: float
    bend: FloatArray | None = None

    def rewards(self, states: FloatArray) -> FloatArray:
        """(n, hidden) -> (n,)."""
        linear = states @ self.weight - self.constant
        if self.bend is None:
            return np.asarray(linear)
        return np.asarray(linear - ((states @ self.bend[:, :-1].T + self.bend[:, -1]) ** 2).sum(axis=1))


def head_names(fit: SavedFit) -> tuple[str, ...]:
    """The fit's own, `stranger` (somebody who has answered nothing) and types as `type_1`, ..., and its annotators.

    Where an annotator is called as a head of the fit's own, both have their kind before the name: `fit:type_1`,
    `annotator:type_1`.  `head_of` knows every head under such a name, too.
    """
    return tuple(_heads(fit))


def type_heads(fit: SavedFit) -> tuple[str, ...]:
    """Names of the types' heads (or clusters')."""
    return tuple(name for name, head in _heads(fit).items() if head.type is not None)


def heads_of_nobody(fit: SavedFit) -> tuple[str, ...]:
    """Those of `type_heads` whose share is nothing: a cluster that nobody was left in keeps the reward it began with,
    which is what one annotator was taken for before she went elsewhere."""
    shares = fit.model.mixture if isinstance(fit.model, TypeModel) else getattr(fit.model, "shares", None)
    if shares is None:
        return ()
    return tuple(name for name, share in zip(type_heads(fit), shares, strict=True) if share < _NOBODY)


def annotator_heads(fit: SavedFit) -> tuple[str, ...]:
    """Names of the annotators' heads."""
    return tuple(name for name, head in _heads(fit).items() if head.annotator is not None)


def annotators_of(fit: SavedFit, names: Sequence[str]) -> tuple[str, ...]:
    """The annotators among these heads, as the fit calls them.  Errors: as of `head_of`."""
    return tuple(who for name in names if (who := _meant(fit, name)[1].annotator) is not None)


@dataclass(frozen=True)
class _Whose:
    """The index of a type, or an annotator's name; neither: a stranger."""

    type: int | None = None
    annotator: str | None = None

    @property
    def key(self) -> str:
        """What `HeadErrors` calls it."""
        if self.annotator is not None:
            return f"{ANNOTATOR}{self.annotator}"
        return STRANGER if self.type is None else f"type_{self.type + 1}"


def _heads(fit: SavedFit) -> dict[str, _Whose]:
    """By names that no two heads share; who was assigned since stands behind the fit's own people."""
    own = {STRANGER: _Whose(), **{f"type_{k + 1}": _Whose(type=k) for k in range(len(_types(fit)))}}
    people = list(fit.people)
    named = {f"{_FIT}{name}" if name in people else name: head for name, head in own.items()}
    for name in people:
        unclear = name in own or name.startswith((_FIT, ANNOTATOR))
        named[f"{ANNOTATOR}{name}" if unclear else name] = _Whose(annotator=name)
    return named


def _meant(fit: SavedFit, name: str) -> tuple[str, _Whose]:
    """The head that somebody calls `name`, and its name among `head_names`."""
    heads = _heads(fit)
    if name in heads:
        return name, heads[name]
    for kind, rest in ((kind, name.removeprefix(kind)) for kind in (_FIT, ANNOTATOR) if name.startswith(kind)):
        head = heads.get(rest)
        if head is not None and (head.annotator is not None) == (kind == ANNOTATOR):
            return rest, head
    if f"{_FIT}{name}" in heads:
        raise InputError(
            f"'{name}' is a head of the fit's own, and one of its annotators is called so", file=fit.folder,
            fix=f"give {_FIT}{name} or {ANNOTATOR}{name}",
        )  # fmt: skip
    if f"{ANNOTATOR}{name}" in heads:
        return f"{ANNOTATOR}{name}", heads[f"{ANNOTATOR}{name}"]
    shown = ", ".join(list(heads)[:8]) + (", ..." if len(heads) > 8 else "")
    raise InputError(f"has no head called '{name}'", file=fit.folder, fix=f"give one of {shown}")


def head_of(fit: SavedFit, name: str) -> Head:
    """Errors: InputError where the fit has no such head, or the reward of that annotator is a mixture of rewards."""
    weight, constant = _of_states(fit, coefficients_of(fit, name)[None])
    bend = None
    if isinstance(fit.model, IdealPointModel):
        lengths, constants = _of_states(fit, fit.model.map)
        bend = np.hstack([lengths, -constants[:, None]])
    return Head(_meant(fit, name)[0], weight[0], float(constant[0]), bend)


def linear_head(fit: SavedFit, name: str) -> Head:
    """`head_of`, to be a model's last layer.  Errors: also where the reward is a distance."""
    found = head_of(fit, name)
    if found.bend is not None:
        raise InputError(
            f"the rewards of {fit.method.name} are distances, and no last layer gives them", file=fit.folder,
            fix="export a reward that is linear, of pal for example; `llm choose` takes this one as it is",
        )  # fmt: skip
    return found


def _of_states(fit: SavedFit, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rows (m, d) on standardised features as rows (m, hidden) of hidden states, and what these are above; (m,)."""
    made, kept = _features(fit), fit.scales.kept
    own = np.zeros((len(rows), len(kept)))
    own[:, kept] = rows / fit.scales.scale[kept]
    weight = own @ made.directions.astype(np.float64).T
    return weight, weight @ made.mean + own @ fit.scales.mean


def coefficients_of(fit: SavedFit, name: str) -> FloatArray:
    """(d,) of a head on the fit's standardised features, what is linear in it.  Errors: as of `head_of`."""
    _features(fit)
    _, whose = _meant(fit, name)
    width = int(fit.scales.kept.sum())
    if whose.type is not None:
        return np.asarray(_types(fit)[whose.type][:width])
    return _of_annotator(fit, whose.annotator, width)


def head_confidence(fit: SavedFit, names: Sequence[str], radius: float) -> PartyConfidence:
    """The heads' coefficients and the sets of `radius` standard errors around them, on standardised features.

    {theta: (theta - theta_m)' C_m^-1 (theta - theta_m) <= radius^2}, C_m of `sim.fitting.head_errors`.
    Errors: InputError where the fit does not say how sure it is.
    """
    theta = np.stack([coefficients_of(fit, name) for name in names])
    width, whose = theta.shape[1], [_meant(fit, name)[1] for name in names]
    errors = fit.fitted.errors
    if errors is None:
        raise _unknown_errors(fit)
    rounds = fit.people
    if later := [one.annotator for one in whose if one.annotator is not None and rounds[one.annotator] > 0]:
        raise InputError(
            f"pessimistic: does not say how sure it is of rewards of annotators it was given later, as '{later[0]}'",
            file=fit.folder, fix="fit again, with their answers among the others, or name other parties",
        )  # fmt: skip
    covariance = np.stack([errors.of(one.key)[:width, :width] for one in whose])
    return PartyConfidence(theta, np.asarray(np.linalg.inv(covariance)), np.full(len(names), float(radius)))


def _unknown_errors(fit: SavedFit) -> InputError:
    """Other methods know them, and of plain pairs alone those too whose rewards come from contexts."""
    counts = fit.summary["counts"]
    answers, likelihood = counts.get("answers", "pairs"), counts.get("likelihood", "bradley-terry")
    plain = (answers, likelihood) == ("pairs", "bradley-terry")
    why = ""
    if fit.context is not None and fit.method.knows_errors and not plain:
        why = f": of {fit.method.name} that is known from plain pairs, and the answers are {answers} by {likelihood}"
    return InputError(
        f"pessimistic: does not say how sure it is of its rewards{why}", file=fit.folder,
        fix=f"fit again, by pooled, personal, shared, cluster, {'low-rank, ' if plain else ''}dpo, em-dpo or "
        "cluster-dpo",
    )  # fmt: skip


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
    if isinstance(fit.model, IdealPointModel):
        scores = scores - bend(fit.model.map, rows)
    theta, told = scores[:width], scores[width:]
    if np.abs(some @ theta - told).max() > 1e-6 * max(1.0, float(np.abs(told).max())):
        raise InputError(
            f"the reward of '{who or STRANGER}' is a mixture of types, and no one vector", file=fit.folder,
            fix="export a type: type_1, type_2, ...",
        )  # fmt: skip
    return np.asarray(theta)
