"""The answers that a plan is made for: those of a file, counted, where nothing else was said."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from llm.data.data_settings import DataSettings
from llm.data.splits import kept_apart, some_annotators
from llm.planning.plan_settings import PlanSettings
from llm.training.answer_sizes import LargestAnswer, largest_answer
from sim.answer_kinds.kinds import likelihood_of
from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.files.preference_files import read_pairs
from sim.preferences import BoolArray, IntArray, PreferencePairs
from sim.streams import Stream

# A token is about four bytes of English.
_BYTES = 4


@dataclass(frozen=True)
class PlannedAnswers:
    """pairs: answers to train on.  distinct: different (prompt, response) that they are about: what is scored.  alike:
    what is left of the pairs where those answered alike are merged, whoever answered; None where nothing is known of
    it.  prompt_tokens, response_tokens: mean lengths.  largest: the largest answer where its responses stand behind
    their prompt, and where each has its own; None where all are alike.  responses: how many an answer is about on
    average, two of a pair.  annotators: of a file, who gave them."""

    pairs: int
    distinct: int
    alike: int | None
    prompt_tokens: int
    response_tokens: int
    largest: tuple[LargestAnswer, LargestAnswer] | None = None
    responses: float = 2.0
    annotators: int = 0

    def as_largest(self, alone: bool) -> LargestAnswer:
        """What memory goes by; alone: each response has a sequence of its own."""
        if self.largest is not None:
            return self.largest[alone]
        return LargestAnswer(self.prompt_tokens, self.response_tokens, math.ceil(self.responses), alone)


def planned_answers(settings: PlanSettings) -> PlannedAnswers:
    """What was said of the answers; of what was not said, what `settings.data` holds, or the defaults.

    Where the number of pairs was said, how many of the file's pairs are alike or about the same says nothing of them.
    """
    counted = None if settings.data is None else count_answers(settings.data)
    if counted is not None and settings.pairs is None and settings.types > counted.annotators:
        raise InputError(
            f"{settings.types} types need at least as many annotators, and there are {counted.annotators}",
            file=settings.data, field="types", fix="plan for fewer (--types), or say of how many pairs (--pairs)",
        )  # fmt: skip
    default = counted or PlannedAnswers(6_000, 12_000, None, 20, 40)
    pairs = settings.pairs or default.pairs
    of_file = counted if settings.pairs is None else None
    alike = settings.alike or (None if of_file is None else of_file.alike)
    shown = round(default.responses * pairs)
    distinct = settings.distinct or (shown if of_file is None else of_file.distinct)
    for name, value, most in (("alike", alike or 1, pairs), ("distinct", distinct, shown)):
        if not 1 <= value <= most:
            raise InputError(f"{name} must lie in 1 to {most}, there are {pairs} pairs (got {value})", field=name)
    largest = default.largest
    if largest is not None:
        # A length that is said is that of all.
        behind, alone = (
            replace(own, prompt=settings.prompt_tokens or own.prompt, response=settings.response_tokens or own.response)
            for own in largest
        )
        largest = behind, alone
    return PlannedAnswers(
        pairs, distinct, alike, settings.prompt_tokens or default.prompt_tokens,
        settings.response_tokens or default.response_tokens, largest, default.responses,
    )  # fmt: skip


def count_answers(path: str) -> PlannedAnswers:
    """Of a preference file the answers that `train` trains on by its own settings of data: without those of unseen
    annotators and those held out.  largest: of those held out too, which are scored."""
    table = read_pairs(path)
    if table.answers == "grades":
        raise InputError(
            "the answers are grades of one response each, which train does not take", file=path,
            fix="give several responses and their scores",
        )  # fmt: skip
    table = likelihood_of(table, DataSettings().likelihood).table
    known, used = _rows_of_training(table)
    largest = _largest_of(table.select(known))
    table = table.select(used)
    sizes = np.array([len(text.encode()) for text in table.items])
    prompts = np.array([len(text.encode()) for text in table.prompts])
    answer, item = table.shown()
    prompt = table.prompt[answer]
    tokens = [max(1, round(float(own) / _BYTES)) for own in (prompts[table.prompt].mean(), sizes[item].mean())]
    # Only pairs that were answered alike are merged.
    alike = np.unique(np.stack([table.prompt, table.chosen, table.rejected]), axis=1).shape[1]
    return PlannedAnswers(
        pairs=len(table),
        distinct=np.unique(np.stack([prompt, item]), axis=1).shape[1],
        alike=alike if table.answers == "pairs" else None,
        prompt_tokens=tokens[0],
        response_tokens=tokens[1],
        largest=largest,
        responses=len(item) / len(table),
        annotators=len(np.unique(table.annotator)),
    )


def _rows_of_training(table: PairTable) -> tuple[BoolArray, BoolArray]:
    """(answers of training annotators, those of them that are trained on), masks (n,), as `load_preferences` has them
    with seed 0: another seed draws other people, as many."""
    settings, stream = DataSettings(), Stream(0, "llm")
    if table.split is not None and table.rows_of("train").any():
        rows = table.rows_of("train")
    else:
        apart = some_annotators(table.n_annotators, settings.unseen, stream.child("unseen"))
        rows = ~apart[table.annotator]
    pairs = PreferencePairs(table.prompt, table.chosen, table.rejected, table.annotator, table.n_annotators)
    answer, item = table.shown()
    # The same responses to the same person, in whatever order they stand.
    order = np.lexsort((item, answer))
    shown = np.split(item[order], np.searchsorted(answer[order], np.arange(1, len(table))))
    numbers: dict[tuple[int, int, bytes], int] = {}
    asked = zip(table.annotator.tolist(), table.prompt.tolist(), shown, strict=True)
    question = np.array([numbers.setdefault((who, at, own.tobytes()), len(numbers)) for who, at, own in asked])
    new, held = kept_apart(pairs, table.prompt, rows, question, settings.new_prompts, settings.held_out, stream)
    return rows, rows & ~new & ~held


def _largest_of(table: PairTable) -> tuple[LargestAnswer, LargestAnswer]:
    answer, item = table.shown()
    prompts, items = (np.array([len(text.encode()) for text in texts]) for texts in (table.prompts, table.items))
    return _largest(_tokens(prompts)[table.prompt], _tokens(items)[item], answer)


def _tokens(sizes: IntArray) -> IntArray:
    return np.maximum(1, np.rint(sizes / _BYTES)).astype(np.int64)


def _largest(prompt: IntArray, response: IntArray, answer: IntArray) -> tuple[LargestAnswer, LargestAnswer]:
    """Of answers with prompts of so many tokens (n,); response: tokens of each response, of answer number `answer`."""
    n = len(prompt)
    total = np.bincount(answer, weights=response, minlength=n).astype(np.int64)
    longest, responses = np.zeros(n, dtype=np.int64), np.bincount(answer, minlength=n)
    np.maximum.at(longest, answer, response)
    behind, alone = (largest_answer(prompt, total, longest, responses, alone=own) for own in (False, True))
    return behind, alone
