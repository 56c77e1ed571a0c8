"""Whose answers a run is evaluated on: people nobody trained on where there are any, and otherwise it is said who."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm.data.answer_sets import AnswerSet
from llm.runs.open_run import OpenRun
from llm.runs.run_folder import RESPONSIBILITIES
from sim.preferences import FloatArray

NOBODY_TRAINED_ON = "annotators nobody trained on"


@dataclass(frozen=True, eq=False)
class EvaluatedAnswers:
    """answers, and whose they are, as in "accuracy on ..."."""

    answers: AnswerSet
    whose: str


def evaluated_answers(run: OpenRun, given: AnswerSet | None = None) -> EvaluatedAnswers:
    """The answers given, or of the run's own data the first of these that there are: unseen annotators', those of
    training annotators that the file marks `test`, those held out from them, and those held out with their prompts."""
    if given is not None:
        return EvaluatedAnswers(given, _whose(run, given))
    data = run.preferences()
    if len(data.unseen):
        return EvaluatedAnswers(data.unseen, _whose(run, data.unseen))
    if len(data.known_test):
        return EvaluatedAnswers(data.known_test, "answers of training annotators that the file marks test")
    if len(data.held_out):
        return EvaluatedAnswers(data.held_out, "held-out answers of training annotators, which chose the round")
    # Without the others these choose the round: `GroupFit.judged`.
    return EvaluatedAnswers(
        data.new_prompts, "held-out answers of training annotators to new prompts, which chose the round"
    )


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
