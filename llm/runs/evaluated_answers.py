"""Whose answers a run is evaluated on: people nobody trained on where there are any, and otherwise it is said who."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llm.data.answer_sets import AnswerSet, TextPreferences
from llm.runs.open_run import OpenRun
from llm.runs.run_folder import RESPONSIBILITIES, read_annotators
from sim.errors import InputError
from sim.preferences import FloatArray

NOBODY_TRAINED_ON = "annotators nobody trained on"
# Annotators without whom there are no limits of any mean.
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class EvaluatedAnswers:
    """answers, and whose they are, as in "accuracy on ..."."""

    answers: AnswerSet
    whose: str


def evaluated_answers(
    run: OpenRun, given: AnswerSet | None = None, others: Mapping[str, OpenRun] | None = None
) -> EvaluatedAnswers:
    """The answers given, or of the run's own data the first of these that there are: unseen annotators', those of
    training annotators that the file marks `test`, those held out from them, and those held out with their prompts.

    others: runs that are judged on them too, by label. Annotators whom one of these was trained on and `run` was not,
    or of whom it may not have held out the same answers, are left out.  InputError where fewer than two are left.
    """
    data = None if given is not None else run.preferences()
    if data is None or len(data.unseen):
        answers = given if data is None else data.unseen
        assert answers is not None
        known = set(read_annotators(run.folder))
        asked = {label: set(read_annotators(other.folder)) - known for label, other in (others or {}).items()}
        found = EvaluatedAnswers(answers, _whose(run, answers))
    else:
        apart = {label: other for label, other in (others or {}).items() if not _same_split(run, other)}
        asked = {label: set(read_annotators(other.folder)) for label, other in apart.items()}
        found = _held_out(data)
    return _without(found, run, asked)


def _held_out(data: TextPreferences) -> EvaluatedAnswers:
    if len(data.known_test):
        return EvaluatedAnswers(data.known_test, "answers of training annotators that the file marks test")
    if len(data.held_out):
        return EvaluatedAnswers(data.held_out, "held-out answers of training annotators, which chose the round")
    # Without the others these choose the round: `GroupFit.judged`.
    return EvaluatedAnswers(
        data.new_prompts, "held-out answers of training annotators to new prompts, which chose the round"
    )


def _same_split(run: OpenRun, other: OpenRun) -> bool:
    """Whether two runs hold out the same answers: these are drawn from file, seed and the settings of data."""

    def split(own: OpenRun) -> tuple[Any, ...]:
        files = {name: own.origin.data.get(name) for name in ("train", "test")}
        # Where the files lie says nothing, and the window is the one that was taken.
        settings = replace(own.settings.data, train="", test=None, window=own.mixture.window, same_annotators=False)
        return own.settings.seed, settings, files

    return split(run) == split(other)


def _without(found: EvaluatedAnswers, run: OpenRun, asked: Mapping[str, set[str]]) -> EvaluatedAnswers:
    """Without the annotators that other runs were trained on, by label."""
    there = found.answers.annotators
    of_run = {label: names & set(there) for label, names in asked.items() if names & set(there)}
    known = set().union(*of_run.values())
    if not known:
        return found
    kept = np.array([name not in known for name in there], dtype=np.bool_)
    labels = ", ".join(of_run)
    if kept.sum() < _FEWEST:
        raise InputError(
            f"--against: {labels} was trained on {len(known)} of the {len(there)} annotators to evaluate on, or may "
            f"have been on these answers of theirs, and {int(kept.sum())} are left",
            fix=f"train it on the file, with the seed and data settings of {run.folder}, or give others: --data FILE",
        )  # fmt: skip
    whose = f"{found.whose} ({len(known)} of {len(there)} left out: {labels} was trained on them)"
    return EvaluatedAnswers(found.answers.of_annotators(kept), whose)


def _whose(run: OpenRun, answers: AnswerSet) -> str:
    trained = training_responsibilities(run)
    known = sum(name in trained for name in answers.annotators)
    return f"annotators of whom {known} of {len(answers.annotators)} were trained on" if known else NOBODY_TRAINED_ON


def training_responsibilities(run: OpenRun) -> dict[str, FloatArray]:
    """Annotator of training -> (K,) responsibilities, as the run has them."""
    import pyarrow.parquet as pq

    table = pq.read_table(run.folder / RESPONSIBILITIES).to_pydict()
    columns = [name for name in table if name.startswith("group_")]
    gamma = np.array([table[column] for column in columns]).T
    return dict(zip(table["annotator_id"], gamma, strict=True))
