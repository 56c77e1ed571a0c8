"""Preferences as people's files hold them: items with features, annotators with names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from sim.counted import counted
from sim.distinct import distinct
from sim.errors import InputError
from sim.preferences import AnyArray, BoolArray, FloatArray, IntArray, PreferencePairs

SPLITS = ("train", "test", "unseen")

# Why rows say nothing, in `left_out`.
OF_WEIGHT_ZERO = "of weight 0"
SAME_ANSWERS = "whose two answers are the same, which say nothing"
# Items that no file has: none of those offered, and what a grade of one item is against.
NONE_OF_THEM = "none of them"
SCALE = "the scale"

# What chosen and rejected are in the file: texts, numbers that stand for items, vectors of features, or conversations
# (lists of messages, whose labels are what JSON makes of them).  answered: no file has these, prompts with their
# responses (`llm.rewards.answered_items`).
ItemKind: TypeAlias = Literal["text", "number", "vector", "conversation", "answered"]


# What answers are: pairs; choices out of sets, with rankings, which are several each; ratings, compared within
# annotator and prompt; grades of one item each.
AnswerKind: TypeAlias = Literal["pairs", "choices", "rankings", "ratings", "grades"]


@dataclass(frozen=True, eq=False)
class Offered:
    """What the answers to sets are made of: E choices, of each the item taken and the others.

    answer: (E,) the answer a choice is part of, ascending, every answer at least once.  taken: (E,) item.
    others: (m,) items, choice e has others[starts[e]:starts[e + 1]].  weight: (E,) how much of its answer's weight a
    choice has.  tie: (E,) whether neither is better, of choices between two.  none: the item that stands for none of
    those offered, in every set, -1 where nobody took it.
    """

    answer: IntArray
    taken: IntArray
    starts: IntArray
    others: IntArray
    weight: FloatArray
    tie: BoolArray
    none: int = -1

    def of(self, rows: IntArray) -> Offered:
        """The choices of these answers (ascending), which get the numbers 0, 1, ..."""
        place = np.full(int(self.answer[-1]) + 1 if len(self.answer) else 0, -1)
        place[rows] = np.arange(len(rows))
        kept = place[self.answer] >= 0
        sizes = np.diff(self.starts)
        return Offered(
            place[self.answer][kept], self.taken[kept], np.concatenate([[0], np.cumsum(sizes[kept])]),
            self.others[np.repeat(kept, sizes)], self.weight[kept], self.tie[kept], self.none,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class PairTable:
    """Pairwise preferences over a table of items.

    items: labels (n_items,).  features: (n_items, d) or None where the file has none; feature_names (d,).
    prompts: distinct prompts; prompt: (n_pairs,) index.  chosen, rejected: (n_pairs,) item index.
    annotators: names; annotator: (n_pairs,) index.  weights: (n_pairs,) or None.
    split: (n_pairs,) index into SPLITS or None.  "test" holds later answers of people who are in "train";
    "unseen" holds people who are nowhere else.  group: (n_annotators,) names or None; read by
    group-dpo alone, whose groups are known.
    annotator_features: (n_annotators, d_x) what is known of people beside their answers, or None; names (d_x,).
    tie: (n_pairs,) whether neither is better, or None where no answer is one.  strength: (n_pairs,) how much chosen is
    above rejected, whole numbers from 1, or None.  left_out: why rows of the file are not here, and how many.
    noted: what of the answers that are here says nothing, and how much.  set_aside: why a split that the file does not
    have itself uses answers on neither side, and how many.
    kind, prompt_kind: what the file's items and prompts are.  rendering: (n_prompts,) what goes to a chat template
    beside a prompt's messages (tools, chat_template_kwargs), as JSON, or None; prompts that differ in it are two.
    answers: of which kind the answers are.  offered: what answers other than pairs are made of (chosen and rejected
    then say no more than the first choice: what it took, and an item it did not);
    grade: (n_pairs,) of one item each, 0 the lowest, rejected then the item `SCALE`; grades: their names.
    """

    items: tuple[str, ...]
    features: FloatArray | None
    feature_names: tuple[str, ...]
    prompts: tuple[str, ...]
    prompt: IntArray
    chosen: IntArray
    rejected: IntArray
    annotators: tuple[str, ...]
    annotator: IntArray
    weights: FloatArray | None = None
    split: IntArray | None = None
    group: tuple[str, ...] | None = None
    annotator_features: FloatArray | None = None
    annotator_feature_names: tuple[str, ...] = ()
    tie: BoolArray | None = None
    strength: IntArray | None = None
    left_out: tuple[tuple[str, int], ...] = ()
    noted: tuple[tuple[str, int], ...] = ()
    set_aside: tuple[tuple[str, int], ...] = ()
    kind: ItemKind = "text"
    prompt_kind: Literal["text", "conversation"] = "text"
    rendering: tuple[str, ...] | None = None
    answers: AnswerKind = "pairs"
    offered: Offered | None = None
    grade: IntArray | None = None
    grades: tuple[str, ...] = ()
    source: str = field(default="", compare=False)

    def __len__(self) -> int:
        return len(self.chosen)

    def __repr__(self) -> str:
        """What is in it, not the arrays."""
        features = "no features" if self.features is None else counted(len(self.feature_names), "features")
        known = counted(len(self.annotator_feature_names), "features")
        told = f", {known} an annotator" if self.annotator_feature_names else ""
        has = [name for name in ("weights", "split", "group", "tie", "strength") if getattr(self, name) is not None]
        also = f"; with {', '.join(has)}" if has else ""
        return (
            f"<{self.answers.capitalize()}: {counted(len(self), 'answers')} of "
            f"{counted(self.n_annotators, 'annotators')} about {counted(len(self.items), 'items')}, "
            f"{features}{told}{also}>"
        )

    @property
    def n_annotators(self) -> int:
        return len(self.annotators)

    def rows_of(self, split: str) -> BoolArray:
        """Mask of the rows of one split."""
        if self.split is None:
            raise ValueError("this table has no split; make one first")
        return np.asarray(self.split == SPLITS.index(split))

    def select(self, rows: AnyArray) -> PairTable:
        """The answers at `rows` (indices or a mask); items, prompts and annotators keep their numbers."""
        columns = ("prompt", "chosen", "rejected", "annotator", "weights", "split", "tie", "strength", "grade")
        given = {name: getattr(self, name) for name in columns}
        found = replace(self, **{name: own[rows] for name, own in given.items() if own is not None})
        if self.offered is None:
            return found
        return replace(found, offered=self.offered.of(np.arange(len(self))[rows]))

    def shown(self) -> tuple[IntArray, IntArray]:
        """(answer, item) of every item that an answer is about, none of those offered left out; both as long."""
        if self.grade is not None:
            return np.arange(len(self)), self.chosen
        if self.offered is None:
            return np.tile(np.arange(len(self)), 2), np.concatenate([self.chosen, self.rejected])
        own = self.offered
        answer = np.concatenate([own.answer, np.repeat(own.answer, np.diff(own.starts))])
        # Answer and item as one number: pairs of numbers are compared as bytes, some hundred times as slowly.
        both = distinct(answer * len(self.items) + np.concatenate([own.taken, own.others]))
        answer, item = np.divmod(both, len(self.items))
        return answer[item != own.none], item[item != own.none]

    def require_pairs(self, who: str) -> PairTable:
        """The same table; InputError where its answers are no pairs, which `who` alone takes."""
        if self.answers != "pairs":
            raise InputError(
                f"the answers are {self.answers}, and {who} takes pairs", file=self.source,
                fix="give chosen and rejected, or fit them: pluralign fit",
            )  # fmt: skip
        return self

    def pairs(self) -> PreferencePairs:
        """The answers for the algorithms: contexts are prompt numbers, responses item numbers.

        InputError where some are ties: which of the two is called chosen says nothing, and would count as a win.
        """
        self.require_pairs("the algorithm")
        if self.tie is not None and self.tie.any():
            raise InputError(f"{counted(int(self.tie.sum()), 'answers')} are ties, and the algorithm takes none",
                             file=self.source, field="tie", fix="leave them out: table.select(~table.tie)")  # fmt: skip
        return PreferencePairs(
            self.prompt, self.chosen, self.rejected, self.annotator, self.n_annotators, weights=self.weights
        )
