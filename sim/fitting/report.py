"""`pluralign fit`: prepare -> choose -> compare -> report, the same for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sim.counted import counted
from sim.errors import InputError
from sim.files.atomic import Json
from sim.files.pair_table import PairTable
from sim.fitting.beside import asked_beside
from sim.fitting.choose import choose_and_fit, has_types
from sim.fitting.compare import PLAIN, Comparison, compare
from sim.fitting.contexts import known_contexts, require_contexts
from sim.fitting.cross_validation import CrossValidation, cross_validated
from sim.fitting.described import Group
from sim.fitting.identified import one_binary_answer_each, unchosen, unidentified
from sim.fitting.known import require_groups
from sim.fitting.method import Diagnosis, Fits, Method, Say
from sim.fitting.methods import METHODS, checked, code_of, find_method
from sim.fitting.own_methods import described, diagnosed, n_types_of, shares_of
from sim.fitting.prepare import VALIDATION, Prepared, prepare
from sim.fitting.save import save_fit, usable_fit
from sim.fitting.saved import FORMAT, SavedFit
from sim.fitting.settings import FitSettings
from sim.fitting.splits import way_to_hold_out
from sim.fitting.text_features.carried import what_is_carried
from sim.fitting.text_features.encoded import TextEncoder
from sim.fitting.text_features.examples import with_examples
from sim.fitting.text_features.learn import Featured, featured
from sim.fitting.text_features.saved_text import TextPart
from sim.fitting.text_features.told import TextReport
from sim.fitting.with_levels import WithLevels
from sim.plugins import blaming
from sim.streams import Stream
from sim.weighted_means import unit_note


@runtime_checkable
class ChoosesItself(Protocol):
    """A method whose sizes and ridges are not chosen on held-out items: it says how."""

    def fit_all(
        self, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say, extra: Sequence[Method[Any]] = ()
    ) -> Fits: ...


@dataclass(frozen=True, eq=False)
class FitReport:
    """What a fit found: the models, their held-out scores beside each other, and what they say.

    `as_json` is the object that `--json` prints; `save` writes the folder that `load_fit` reads; `saved` is what
    `load_fit` would read, at once.  texts: how features were made of texts, and what they carry; None where the file's
    own are used.  cross_validation: over people, where it was asked for.
    """

    settings: FitSettings
    prepared: Prepared
    fits: Fits
    comparison: Comparison
    groups: tuple[Group, ...]
    diagnosis: Diagnosis
    texts: TextReport | None = None
    cross_validation: CrossValidation | None = None
    # What the method was made of when the fit began (`code_of`): its files may be others by now, or gone.
    method_code: str | None = None

    @property
    def text_part(self) -> TextPart | None:
        """What makes the fit's features of texts."""
        return None if self.texts is None else self.texts.part

    @property
    def model(self) -> Any:
        """The model of the method that was asked for."""
        return self.fits.model

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.diagnosis.warnings

    @property
    def n_types(self) -> int:
        """Types, clusters, rank, or rewards, whichever the method counts."""
        return n_types_of(self.fits, self.fits.asked.name, self.prepared)

    def saved(self) -> SavedFit:
        """The fit ready for new items and new annotators, as `load_fit` gives it, without a folder."""
        return usable_fit(self)

    def save(self, folder: str | Path) -> None:
        """`sim.fitting.save.save_fit`: whole or not at all, an earlier fit replaced."""
        save_fit(folder, self)

    def as_json(self) -> dict[str, Json]:
        """The documented object, as plain values."""
        asked, comparison, parts = self.fits.asked, self.comparison, dict(self.diagnosis.parts)
        baselines = {}
        for name, sets in comparison.baselines.items():
            own = {users: found.as_json() for users, found in sets.items()}
            baselines[name] = {"n_types": n_types_of(self.fits, name, self.prepared), **own, "test": own}
        return {
            "format": FORMAT,
            "method": asked.name,
            "n_types": self.n_types,
            "mixture": shares_of(asked, self.model).tolist(),
            "test": {users: found.as_json() for users, found in comparison.test.items()},
            "baselines": baselines,
            "differences": _all_json(comparison.differences),
            "against_pooled": _all_json(comparison.against_common),
            **self._new_annotators(),
            **({} if self.cross_validation is None else {"cross_validation": self.cross_validation.as_json()}),
            "groups": [group.as_json() for group in self.groups],
            **({} if self.texts is None else {"features": self.texts.as_json()}),
            "selection": self._selection(parts.pop("selection", {})),
            "counts": {**self._counts(), **parts.pop("counts", {})},
            "warnings": list(self.warnings),
            "settings": {**self.settings.as_json(), asked.size_name: self.settings.n_types},
            "titles": {name: method.title or name for name, (method, _) in self.fits.fitted.items()},
            "common": self.fits.common,
            "method_code": self.method_code,
            **parts,
        }

    def _new_annotators(self) -> dict[str, Json]:
        rows = [row.as_json() for row in self.comparison.new_annotators]
        own = self.fits.asked.name
        shown = [
            {"answers_shown": row.answers_shown, **row.by_method[own].as_json()}
            for row in self.comparison.new_annotators if own in row.by_method
        ]  # fmt: skip
        return {"new_users": rows, "few_shot": shown}

    def _selection(self, own: Mapping[str, Json]) -> dict[str, Json]:
        choice = self.fits.choice
        chosen = {
            name: {"size": found.size, "ridge": self._ridge_of(name)} for name, found in choice.chosen.items()
            if name in self.fits.fitted
        }  # fmt: skip
        by = f"mean log-likelihood of held-out {validated_by(self.prepared)} of training answers"
        if unchosen(choice, "") is not None:
            by = f"nothing: no {validated_by(self.prepared)} of training answers could be held out"
        return {
            "by": f"{by}; test answers were not read",
            "candidates": [candidate.as_json() for candidate in choice.tried],
            **own,
            "chosen": {**chosen, **own.get("chosen", {})},
            **({} if self.texts is None else {"features": self.texts.selection()}),
        }

    def _ridge_of(self, name: str) -> float:
        asked = name == self.fits.asked.name and self.settings.ridge is not None
        return float(self.settings.ridge if asked else self.fits.choice.chosen[name].ridge)  # type: ignore[arg-type]

    def _counts(self) -> dict[str, Json]:
        prepared = self.prepared
        noted = dict(prepared.table.noted)
        if (weights := prepared.given_weights(prepared.train)) is not None and (light := unit_note(weights)):
            noted[light] = len(weights)
        return {
            "train_pairs": int(prepared.train.sum()),
            "effective_train_pairs": float(prepared.weights.sum()),
            "annotators": prepared.n_annotators,
            "set_aside_pairs": sum(count for _, count in prepared.table.set_aside),
            "set_aside": dict(prepared.table.set_aside),
            "items": len(prepared.table.items),
            "features": list(prepared.feature_names),
            "held_out": prepared.held_out,
            "own_split": prepared.own_split,
            "left_out": dict(prepared.table.left_out),
            "noted": noted,
            "fitted_as_pairs": 0 if prepared.learned is None else len(prepared.learned.of(prepared.train).answer),
            "unused": list(prepared.unused),
            "answers": prepared.table.answers,
            "likelihood": prepared.likelihood,
        }


def validated_by(prepared: Prepared) -> str:
    """What is held out to choose by: inside the people who train, people cannot be."""
    by = way_to_hold_out(prepared.table, prepared.hold_out)
    return "answers" if by == "people" else by


def _all_json(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Json]:
    return {name: {users: found.as_json() for users, found in sets.items()} for name, sets in rows.items()}


def require_allowed(asked: Method[Any], settings: FitSettings, extra: Sequence[Method[Any]] = ()) -> None:
    """Refuse settings that the method would not heed, and names that are taken, before any work."""
    if settings.shift is not None and not asked.takes_shift:
        raise InputError("shift: belongs to method low-rank", fix="leave it out, or ask for low-rank")
    if settings.priorities is not None:
        if not asked.sizes_shared:
            raise InputError("priorities: only policies of groups have them", fix=f"leave it out with {asked.name}")
        types = 1 if asked.least_size == 0 else settings.n_types
        if types is not None and len(settings.priorities) != types:
            raise InputError(
                f"priorities: expected {types} numbers, one a type, got {len(settings.priorities)}",
                fix="give one a type",
            )
    taken = {*PLAIN, asked.name, *asked.beside}
    for method in extra:
        if method.name in taken:
            raise InputError(f"extra: there is one called '{method.name}' already", fix="give it another name")
        if method.like is not None and method.like not in (asked.name, *asked.beside):
            raise InputError(
                f"extra: '{method.name}' takes over the size of '{method.like}', which is not fitted with {asked.name}",
                fix=f"ask for {method.like}",
            )
        taken.add(method.name)


def fit(
    table: PairTable,
    settings: FitSettings | None = None,
    on_progress: Say | None = None,
    extra: Sequence[Method[Any]] = (),
    encoder: TextEncoder | None = None,
    validation: str = VALIDATION,
    given: Method[Any] | None = None,
) -> FitReport:
    """Fit a method and those beside it, and score them; test answers and unseen annotators are read once, at the end.

    settings.method: a name of ours or module:NAME.  extra: further methods to fit and score beside them.  encoder: what
    makes features of the items' texts, where settings.features says neither columns nor words.  validation: see
    `Prepared`; of an encoder that was trained on answers, the role by which some were kept from it.  given: the method
    itself, as it is, where `settings.method` is but the name by which it is found again.
    Errors: InputError where the method or the table does not allow what is asked for.
    """
    settings = settings or FitSettings()
    say = on_progress or (lambda _: None)
    asked = find_method(settings.method) if given is None else checked(given, settings.method)
    code = code_of(settings.method, given)
    extra = (*extra, *asked_beside(asked, settings.beside))
    require_allowed(asked, settings, extra)
    _require_columns(asked, extra, table)
    if (encoder is None) != (settings.features in ("columns", "words")):
        raise ValueError(f"features: '{settings.features}' and the encoder do not go together (got {encoder})")
    if METHODS.is_ours(settings.method):
        return _fit(asked, table, settings, say, extra, encoder, validation)
    with blaming(f"method {asked.name}"):
        found = _fit(asked, table, settings, say, extra, encoder, validation)
    return replace(found, method_code=code)


def _require_columns(asked: Method[Any], extra: Sequence[Method[Any]], table: PairTable) -> None:
    """What the methods need to know of annotators is in the table: said before others are fitted, not after."""
    if asked.wants_contexts:
        require_contexts(table)
    ours = (find_method(name) for name in asked.beside if METHODS.is_ours(name))
    for method in (asked, *extra, *ours):
        if method.wants_groups:
            require_groups(method.name, table)


def _of_choice(asked: Method[Any], fits: Fits, prepared: Prepared, of_texts: Featured | None) -> tuple[str, ...]:
    """What was not chosen, for want of answers to hold out; a method that chooses by itself says so itself."""
    undirected = of_texts is not None and not of_texts.tried
    if prepared.is_plain and isinstance(asked, ChoosesItself) and not undirected:
        return ()
    told = unchosen(fits.choice, validated_by(prepared), features=undirected)
    return () if told is None else (told,)


def _require_takes_choices(methods: Sequence[Method[Any]], prepared: Prepared) -> None:
    """A method that knows pairs alone would take the first choice of each answer for the whole of it."""
    for method in methods:
        if not method.takes_choices or method.pairs_only:
            what = f"{prepared.table.answers} ({prepared.likelihood})"
            raise InputError(
                f"method: '{method.name}' is for plain pairs, and the answers are {what}", file=prepared.table.source,
                fix="give another method, or let one of your own heed `answers.events` and say takes_choices = True",
            )  # fmt: skip


def _fit(
    asked: Method[Any], table: PairTable, settings: FitSettings, say: Say, extra: Sequence[Method[Any]],
    encoder: TextEncoder | None, validation: str,
) -> FitReport:  # fmt: skip
    stream = Stream(settings.seed, cell="fit")
    validated: CrossValidation | None = None
    if settings.folds is not None:

        def of_fold(part: PairTable) -> tuple[Prepared, Fits]:
            return _fitted(asked, part, settings, stream, lambda _: None, extra, encoder, validation)[:2]

        validated = cross_validated(table, settings.folds, stream, of_fold, say)
    prepared, fits, of_texts = _fitted(asked, table, settings, stream, say, extra, encoder, validation)
    asked = fits.asked
    score = stream.child("score")
    diagnosis = diagnosed(asked, fits, prepared, settings, stream, say)
    if has_types(asked, prepared, settings) and one_binary_answer_each(prepared):
        told = unidentified(fits.size, asked.counts, asked=settings.n_types is not None)
        diagnosis = replace(diagnosis, warnings=(told, *diagnosis.warnings))
    diagnosis = replace(diagnosis, warnings=(*diagnosis.warnings, *_of_choice(asked, fits, prepared, of_texts)))
    say("scoring held-out answers")
    comparison = compare(fits, prepared, score)
    groups, undescribed = described(asked, fits, prepared, score)
    diagnosis = replace(diagnosis, warnings=(*diagnosis.warnings, *undescribed))
    if of_texts is None:
        return FitReport(settings, prepared, fits, comparison, groups, diagnosis, None, validated)
    groups = with_examples(groups, asked.departures(fits.model, fits.centre), prepared, of_texts.made)
    carried = what_is_carried(fits, prepared, score.child("carried"))
    report = TextReport(of_texts, carried)
    return FitReport(settings, prepared, fits, comparison, groups, diagnosis, report, validated)


def _fitted(
    asked: Method[Any], table: PairTable, settings: FitSettings, stream: Stream, say: Say,
    extra: Sequence[Method[Any]], encoder: TextEncoder | None, validation: str,
) -> tuple[Prepared, Fits, Featured | None]:  # fmt: skip
    """Prepare and choose: everything before test answers are read."""
    of_texts: Featured | None = None
    own_split = table.split is not None
    if settings.features != "columns":
        of_texts = featured(table, settings.features, encoder, stream, settings, say)
        table = of_texts.table
    prepared = prepare(table, stream, settings.hold_out, settings.likelihood)
    prepared = replace(prepared, validation=validation)
    if of_texts is not None:
        # The split was made of the whole table; what answers are left might look otherwise.
        prepared = replace(prepared, held_out=of_texts.held_out, own_split=own_split)
    for method in (asked, *extra):
        if method.wants_groups:
            require_groups(method.name, table, prepared.trained.tolist())
    if not prepared.is_plain:
        _require_takes_choices([asked, *extra], prepared)
        if settings.shift is not None:
            raise InputError("shift: is for plain pairs", file=table.source, fix="leave it out")
    if prepared.levels is not None:
        asked, extra = WithLevels(asked), [WithLevels(method) for method in extra]
    if asked.wants_contexts:
        prepared = known_contexts(prepared)
    n, people = int(prepared.train.sum()), len(prepared.trained)
    context = "" if prepared.contexts is None else f"{prepared.contexts.shape[1]} context and "
    about = f"{counted(n, 'training answers')} of {counted(people, 'annotators')}"
    say(f"{about}, {context}{counted(prepared.differences.shape[1], 'item features')}")
    if prepared.is_plain and isinstance(asked, ChoosesItself):
        fits = asked.fit_all(prepared, settings, stream, say, extra)
    else:
        fits = choose_and_fit(asked, prepared, settings, stream, say, extra)
    return prepared, fits, of_texts
