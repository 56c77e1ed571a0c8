"""Logit models of choices among several alternatives, with standard errors: the same tastes for all, or one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pluralign.api.choice_rows import Choices, choices_of_rows
from pluralign.api.frames import is_path, rows_of
from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown, bars, finite_or_text
from sim.compiled.forks import require_threads
from sim.converters.answers import Converted
from sim.converters.converter import find_converter
from sim.counted import counted
from sim.errors import InputError
from sim.estimators.choice_panel import choice_panel
from sim.estimators.clustered_errors import ConditionalLogit
from sim.estimators.mixed_logit import MixedLogit
from sim.named_columns import in_order, names_of_columns
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream


class ChoiceModel(Shown):
    """Coefficients of a logit of choices, with standard errors.

    theta (d,): the coefficients, in a mixed logit their means over people; errors, clustered_errors (d,): classical,
    and clustered by person ("by person" where it is printed); log_likelihood and that of equal chances, nats.
    deviations, deviation_errors, clustered_deviation_errors (d,): of a mixed logit, how far people differ, zero (NaN)
    where they do not; None else.  conditional_means (n_annotators, d): of a mixed logit, what each person's own choices
    say of hers.  not_identified: names of features whose coefficients a ridge alone decides; their errors are NaN.
    estimate: the estimator's own result.
    """

    def __init__(self, title: str, choices: Choices, estimate: ConditionalLogit | MixedLogit) -> None:
        self.title, self.estimate = title, estimate
        self.features, self.annotators, self.left_out = choices.features, choices.annotators, dict(choices.left_out)
        self.n_choices = len(choices.panel)
        sizes = np.diff(choices.panel.starts) + 1.0
        self.null_log_likelihood = -float(choices.panel.weights @ np.log(sizes))
        self.log_likelihood = estimate.log_likelihood
        self.not_identified: tuple[str, ...] = ()
        self.deviations: FloatArray | None = None
        self.deviation_errors: FloatArray | None = None
        self.clustered_deviation_errors: FloatArray | None = None
        self.conditional_means: FloatArray | None = None
        if isinstance(estimate, MixedLogit):
            self.theta = estimate.mean
            self.errors, self.clustered_errors = estimate.mean_errors(), estimate.mean_errors(estimate.clustered)
            self.deviations, self.deviation_errors = estimate.deviations, estimate.deviation_errors()
            self.clustered_deviation_errors = estimate.deviation_errors(estimate.clustered)
            self.conditional_means = estimate.conditional_means
        else:
            self.theta, self.errors, self.clustered_errors = estimate.theta, estimate.errors, estimate.clustered_errors
            self.not_identified = self._named(~estimate.identified)

    def _named(self, mask: BoolArray) -> tuple[str, ...]:
        return tuple(name for name, own in zip(self.features, mask, strict=True) if own)

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "model": self.title,
            "features": list(self.features),
            "theta": self.theta.tolist(),
            "errors": _numbers(self.errors),
            "clustered_errors": _numbers(self.clustered_errors),
            "log_likelihood": self.log_likelihood,
            "null_log_likelihood": self.null_log_likelihood,
            "n_choices": self.n_choices,
            "n_annotators": len(self.annotators),
            "left_out": self.left_out,
            "not_identified": list(self.not_identified),
            "status": self.estimate.status.name,
        }
        if isinstance(self.estimate, MixedLogit):
            own = self.estimate
            out |= {
                "random": [self.features[k] for k in own.random],
                "correlated": own.correlated,
                "draws": own.draws,
                "deviations": own.deviations.tolist(),
                "deviation_errors": _numbers(own.deviation_errors()),
                "clustered_deviation_errors": _numbers(own.deviation_errors(own.clustered)),
                "factor": own.factor.tolist(),
                "log_likelihood_doubled_draws": own.doubled,
                "conditional_means": dict(zip(self.annotators, own.conditional_means.tolist(), strict=True)),
            }
        return out

    def page(self) -> Page:
        head: tuple[str, ...] = ("feature", "coefficient", "error", "by person")
        rows: list[tuple[Any, ...]] = [
            (name, _known(self.theta[k]), *(
                ("not identified", None) if name in self.not_identified
                else (_known(self.errors[k]), _known(self.clustered_errors[k]))
            ))
            for k, name in enumerate(self.features)
        ]  # fmt: skip
        notes = [f"log-likelihood {self.log_likelihood:.2f} nats, of equal chances {self.null_log_likelihood:.2f}"]
        if isinstance(self.estimate, MixedLogit):
            own = self.estimate
            head = (*head, "deviation", "error", "by person")
            spread = (own.deviations, own.deviation_errors(), own.deviation_errors(own.clustered))
            rows = [
                (*row, *(_known(part[k]) if k in own.random else None for part in spread)) for k, row in enumerate(rows)
            ]
            notes.append(f"{own.draws} draws a person; with twice as many, fresh, {own.doubled:.2f} nats")
        elif remark := self._remark(self.estimate):
            notes.append(remark)
        left = "; ".join(f"{count} {what}" for what, count in self.left_out.items())
        notes.append(self.estimate.status.message + (f"; left out: {left}" if left else ""))
        title = f"{self.title}: {counted(self.n_choices, 'choices')} of {counted(len(self.annotators), 'annotators')}"
        return Page(title, head, rows, notes)

    def _remark(self, own: ConditionalLogit) -> str:
        """Of coefficients whose errors are not known though the fit has converged."""
        unseen = self._named(own.identified & ~own.spread_seen)
        parts = [f"decided by the ridge alone: {', '.join(self.not_identified)}"] if self.not_identified else []
        parts += [f"nobody's choices pull {', '.join(unseen)} either way"] if unseen else []
        return "; ".join(parts)

    def plot(self) -> Any:
        """Axes with the coefficients."""
        return bars(self.title, {"all": self.theta.tolist()}, self.features, "coefficient (reward units)")


def _numbers(values: FloatArray) -> list[float | str | None]:
    return [None if np.isnan(value) else finite_or_text(float(value)) for value in values]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


# Long for its docstring.
@plain_numbers
def conditional_logit(
    choices: Any = None,
    *,
    rows: Any = None,
    starts: Any = None,
    annotator: Any = None,
    weights: Any = None,
    feature_names: Sequence[str] | None = None,
    ridge: float = 0.0,
    **columns: str,
) -> ChoiceModel:
    """Logit of choices among several alternatives, the same coefficients for all people (McFadden 1974).

    Maximises sum_e w_e log P_e - 0.5 ridge |theta|^2,  P_e = exp <theta, phi(chosen)> / sum_j exp <theta, phi(j)>.

    choices: the path of a table of choices, long (a row an alternative: choice, id, alt, chid and the features) or wide
    (features in columns that end in the alternative's number), columns of other names as `person`, `choice`,
    `alternative`, `situation`; or rows with `features` (a mapping an alternative), `choice` and `annotator_id`,
    perhaps `weight`, as a list or frame; or rows of pairs (`chosen_features`, `rejected_features`; ties are left out).
    Or arrays: rows (m, d), features of the chosen alternative minus those of each other of its set; starts (E + 1,),
    those of choice e are rows[starts[e]:starts[e + 1]]; annotator (E,) names or numbers; weights (E,).

    Standard errors are classical and clustered by person.  Errors: InputError, and ValueError where a combination of
    the features is the same in all alternatives.  Choices that are separated are said in the result's status.
    """
    from sim.estimators.clustered_errors import conditional_logit as fit

    read = _read(choices, (rows, starts, annotator), weights, feature_names, columns)
    found = _fitted(read, lambda: fit(**read.arrays, ridge=ridge))
    return ChoiceModel("conditional logit", read, found)


# Long for its docstring.
@plain_numbers
def mixed_logit(
    choices: Any = None,
    *,
    random: str | int | Sequence[str | int] | None = None,
    correlated: bool = False,
    draws: int = 256,
    kind: str = "sobol",
    antithetic: bool = False,
    rows: Any = None,
    starts: Any = None,
    annotator: Any = None,
    weights: Any = None,
    feature_names: Sequence[str] | None = None,
    seed: int = 0,
    **columns: str,
) -> ChoiceModel:
    """Logit whose coefficients are each person's own, normal over people (Revelt and Train 1998).

    theta_i = mean + L eps_i, eps_i standard normal.  Maximises the simulated likelihood
    sum_i log (1/R) sum_r prod_{e of i} P_e(mean + L eps_ir)^{w_e}.

    random: names or numbers of the features whose coefficients vary over people; None: all.  correlated: L lower
    triangular, else diagonal.  draws: R a person, of a kind sobol, halton or pseudo; with few the log-likelihood is too
    low, and the result says what twice as many make of it.  The rest as in `conditional_logit`.
    """
    from sim.estimators.mixed_logit import mixed_logit as fit

    read = _read(choices, (rows, starts, annotator), weights, feature_names, columns)
    random = (random,) if isinstance(random, str | int | np.integer) else random
    vary = list(range(len(read.features))) if random is None else [_place(name, read.features) for name in random]
    found = _fitted(
        read,
        lambda: fit(
            **read.arrays, random=vary, correlated=correlated, draws=draws, kind=kind, antithetic=antithetic,
            stream=Stream(seed, role="mixed logit"),
        ),
    )  # fmt: skip
    return ChoiceModel("mixed logit, correlated" if correlated else "mixed logit", read, found)


def _fitted(read: Choices, fit: Any) -> Any:
    """What `fit` finds; a message about columns by number names the features."""
    require_threads("a choice model")
    try:
        return fit()
    except ValueError as error:
        text = str(error)
        start, _, rest = text.partition("columns [")
        if rest:
            numbers, _, end = rest.partition("]")
            names = ", ".join(read.features[int(number)] for number in numbers.split(","))
            text = f"{start}features {names}{end}"
        raise InputError(text, file=read.source) from error


def _place(name: str | int, features: Sequence[str]) -> int:
    if isinstance(name, str):
        if name not in features:
            raise InputError(f"random: no feature '{name}'", fix=f"the features: {', '.join(features)}")
        return list(features).index(name)
    return name


def _read(
    choices: Any, arrays: tuple[Any, Any, Any], weights: Any, feature_names: Sequence[str] | None,
    columns: Mapping[str, str],
) -> Choices:  # fmt: skip
    given = [name for name, part in zip(("rows", "starts", "annotator"), arrays, strict=True) if part is not None]
    if choices is None:
        if len(given) < 3:
            raise InputError("choices must be given, or all of rows, starts and annotator", fix="give a table's path")
        if columns:
            raise InputError(f"{next(iter(columns))}: arrays have no columns", fix="leave it out")
        return _of_arrays(arrays, weights, feature_names)
    if given or weights is not None or feature_names is not None:
        name = given[0] if given else "weights" if weights is not None else "feature_names"
        raise InputError(f"{name}: choices is given too, and holds it", fix=f"leave out choices, or {name}")
    if is_path(choices):
        made = find_converter("choices").answers([Path(choices)], "choices", columns)
        return choices_of_rows(made.rows, made.left_out, str(choices))
    if columns:
        raise InputError(f"{next(iter(columns))}: only a file's columns can be named", fix="leave it out")
    if isinstance(choices, Converted):
        return choices_of_rows(choices.rows, choices.left_out, "choices")
    found = rows_of(choices, "choices")
    return choices_of_rows(found.rows, {}, found.source)


def _of_arrays(arrays: tuple[Any, Any, Any], weights: Any, feature_names: Sequence[str] | None) -> Choices:
    rows, starts, annotator = arrays
    listed = np.asarray(annotator)
    if listed.ndim != 1:
        raise ValueError(f"annotator must have one entry a choice (got {listed.shape})")
    people, numbers = np.unique(listed, return_inverse=True)
    named = names_of_columns(rows) if feature_names is None else feature_names
    rows = in_order("rows", rows, named or (), what="feature_names")
    panel = choice_panel(rows=rows, starts=starts, annotator=numbers, n_annotators=len(people), weights=weights)
    d = panel.rows.shape[1]
    names = tuple(f"x{k + 1}" for k in range(d)) if named is None else tuple(named)
    if len(names) != d:
        raise ValueError(f"feature_names must name {d} columns (got {len(names)})")
    return Choices(panel, names, tuple(map(str, people)), {})
