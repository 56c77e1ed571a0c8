"""Preferences between texts: files in, tokens and splits out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from llm.base.tokens import TokenStore
from llm.data.answer_sets import AnswerSet, TextPreferences
from llm.data.answer_texts import require_text
from llm.data.chat_prompts import common_rendering
from llm.data.data_settings import DataSettings
from llm.data.questions import questions_of
from llm.data.splits import answers_of, kept_apart, some_annotators
from llm.data.tokeniser import TokenisedPairs, Tokeniser
from sim.answer_kinds.kinds import AskedLikelihood, Likelihood, likelihood_of
from sim.errors import InputError
from sim.files.pair_table import SPLITS, PairTable
from sim.files.preference_files import read_pairs
from sim.streams import Stream
from sim.weighted_means import unit_note

__all__ = ["AnswerSet", "DataSettings", "TextPreferences", "judged_by", "load_answers", "load_preferences"]


def load_preferences(
    settings: DataSettings, tokenizer: Any, store: TokenStore, window: int, stream: Stream
) -> TextPreferences:
    """Read, check, tokenise and split; see DataSettings."""
    if not settings.train:
        raise InputError("no data", field="data.train", fix="give a file of preferences (--data FILE)")
    tokeniser = Tokeniser(tokenizer, store, window, settings)
    table, tokenised, likelihood, notes = _tokenised(settings.train, settings, tokeniser)
    pairs, keep = tokenised.pairs, tokenised.keep
    # What the file marks to be judged on is not trained on, whatever else is judged.
    marked = None if table.split is None else {name: keep & table.rows_of(name) for name in SPLITS}
    train_rows, known_rows = (keep, np.zeros_like(keep)) if marked is None else (marked["train"], marked["test"])
    if settings.test is not None:
        judged = replace(settings, likelihood=judged_by(settings.likelihood))
        other, test, _, left_out = _tokenised(settings.test, judged, tokeniser, judged=True)
        notes += left_out
        trained = {table.annotators[i] for i in np.unique(pairs.annotator[train_rows | known_rows]).tolist()}
        both = sorted(trained & set(other.annotators))
        if both and not settings.same_annotators:
            raise InputError(
                f"{len(both)} annotators are in {settings.train} too (the first is {both[0]})", file=settings.test,
                field="annotator_id", fix="split by annotator, or set data.same_annotators=true",
            )  # fmt: skip
        unseen = answers_of(other, test, test.keep)
        if marked is not None and (apart := int((marked["test"] | marked["unseen"]).sum())):
            notes.append(
                f"{apart} answers in {settings.train} have split test or unseen: they are not trained on, and policies "
                f"are judged on {settings.test}"
            )
    elif marked is not None:
        unseen = answers_of(table, tokenised, marked["unseen"])
    else:
        drawn = some_annotators(table.n_annotators, settings.unseen, stream.child("unseen"))[table.annotator]
        unseen = answers_of(table, tokenised, keep & drawn)
        train_rows = keep & ~drawn
    notes += tokeniser.notes()
    if not train_rows.any():
        told = "".join(f"; {note}" for note in notes)
        raise InputError(f"no answers are left to train on{told}", file=settings.train, fix="give more rows")
    counts = np.bincount(pairs.annotator[train_rows], minlength=pairs.n_annotators)
    if (counts == 1).any():
        notes.append(
            f"{int((counts == 1).sum())} annotators have a single answer: it is not held out, and says little about "
            "their group"
        )
    if light := unit_note(None if pairs.weights is None else pairs.weights[train_rows]):
        notes.append(light)
    asked = tokenised.prompt
    question = questions_of(pairs, asked, tokenised.choices)
    once = np.flatnonzero(train_rows)[np.unique(question[train_rows], return_index=True)[1]]
    if again := int(train_rows.sum()) - len(once):
        notes.append(
            f"{again} answers are of people who answered the same question before: all answers of one person to one "
            "question are held out together, or none"
        )
    new, held = kept_apart(pairs, asked, train_rows, question, settings.new_prompts, settings.held_out, stream)
    if settings.held_out and np.bincount(asked[once]).max() < 2:
        notes.append(
            "no prompt has answers of two annotators: groups are found by what their answers have in common as texts "
            "alone, and answers are held out on new prompts only"
        )
    people = np.unique(pairs.annotator[train_rows])
    if table.group is not None and (unnamed := sum(not table.group[i] for i in people.tolist())):
        notes.append(
            f"{unnamed} of {len(people)} training annotators have no group_id: what is found is compared with the "
            "known groups of the others"
        )
    return TextPreferences(
        train=answers_of(table, tokenised, train_rows & ~held & ~new, people),
        held_out=answers_of(table, tokenised, train_rows & held, people),
        new_prompts=answers_of(table, tokenised, train_rows & new, people),
        unseen=unseen,
        known_test=answers_of(table, tokenised, known_rows, people),
        notes=tuple(notes),
        chat=tokeniser.chat,
        likelihood=likelihood,
        rendering=common_rendering(table, train_rows) if tokeniser.chat else {},
    )


def load_answers(
    path: str, settings: DataSettings, tokenizer: Any, store: TokenStore, window: int,
    tell: Callable[[str], None] = lambda note: None,
) -> AnswerSet:  # fmt: skip
    """All answers of a file that policies are judged on, as those of `data.test`: whatever split it has.

    settings: the data section of a run, which says how answers are read.  tell: is told what was left out or changed,
    note after note.
    """
    tokeniser = Tokeniser(tokenizer, store, window, settings)
    judged = replace(settings, likelihood=judged_by(settings.likelihood))
    table, tokenised, _, notes = _tokenised(path, judged, tokeniser, judged=True)
    notes += tokeniser.notes()
    if not tokenised.keep.any():
        told = "".join(f"; {note}" for note in notes)
        raise InputError(f"no answers are left to evaluate on{told}", file=path, fix="give more rows")
    for note in notes:
        tell(note)
    return answers_of(table, tokenised, tokenised.keep)


def judged_by(likelihood: AskedLikelihood) -> AskedLikelihood:
    """How answers that policies are judged on are read, where `likelihood` is asked for in training.

    A policy is judged by which response is better, and of that all kinds of answers tell: people nobody trained on need
    not have been asked in the same way, and what cannot be estimated from their answers is not.
    """
    return likelihood if likelihood == "bradley-terry" else "auto"


def _tokenised(
    path: str, settings: DataSettings, tokeniser: Tokeniser, judged: bool = False
) -> tuple[PairTable, TokenisedPairs, Likelihood, list[str]]:
    """(answers as they are used, in tokens, their likelihood, what was left out of them).  judged: see `read_pairs`."""
    table = read_pairs(path, chats=settings.chat, judged=judged)
    if table.answers == "grades":
        raise InputError(
            "the answers are grades of one response each, which compare nothing", file=path,
            fix="give several responses and their scores, or fit rewards: pluralign fit",
        )  # fmt: skip
    found = [f"{path}: {note}" for note in require_text(table)]
    told = likelihood_of(table, settings.likelihood)
    notes = [*found, *(f"{path}: {count} rows {why}, left out" for why, count in told.table.left_out)]
    notes += [f"{path}: {column} says nothing to the likelihood {told.likelihood}" for column in told.unused]
    plain = told.likelihood == "bradley-terry" and told.table.answers == "pairs"
    if plain:
        return told.table, tokeniser.pairs(told.table), told.likelihood, notes
    return told.table, tokeniser.choices(told.table, told.likelihood), told.likelihood, notes
