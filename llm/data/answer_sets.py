"""Answers in tokens: one set of them, and the sets that a run trains and is judged on."""

from __future__ import annotations

from dataclasses import dataclass

from sim.preferences import PreferencePairs


@dataclass(frozen=True, eq=False)
class AnswerSet:
    """Answers of some annotators in tokens. group: (n_annotators,) names, "" where the file has none."""

    pairs: PreferencePairs
    annotators: tuple[str, ...]
    group: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, eq=False)
class TextPreferences:
    """train, held_out and new_prompts share their annotators: held_out is about prompts that are in train, new_prompts
    about others.  unseen holds people who are nowhere else; known_test later answers of training annotators where the
    file marks some.  notes: what was left out or changed, for the reader.  chat: whether prompts are turns of
    a conversation, rendered by the chat template."""

    train: AnswerSet
    held_out: AnswerSet
    new_prompts: AnswerSet
    unseen: AnswerSet
    known_test: AnswerSet
    notes: tuple[str, ...]
    chat: bool = False
