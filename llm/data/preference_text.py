"""Preferences between texts: files in, tokens and splits out."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from llm.base.tokens import TokenStore
from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.files.preference_files import place_of, read_pairs
from sim.preferences import BoolArray, IntArray, PreferencePairs
from sim.streams import Stream


@dataclass(frozen=True)
class DataSettings:
    """train, test: files (.jsonl, .jsonl.gz, .parquet) or folders saved by `datasets`.

    Without `test` and without a split column, the share `unseen` of the annotators is kept for evaluation. All answers
    to the share `held_out` of the prompts stop training early and choose the number of types.
    same_annotators: whether `test` may hold people who are in `train`.
    window: most tokens of prompt and response together (default: the model's, at most 512); too_long: what to do with
    a longer response.  append_end: whether responses end with the end token; false for continuations cut at a length.
    """

    train: str = ""
    test: str | None = None
    unseen: float = 0.2
    held_out: float = 0.1
    same_annotators: bool = False
    window: int | None = None
    too_long: Literal["error", "drop", "truncate"] = "error"
    append_end: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.unseen < 1 or not 0 <= self.held_out < 1:
            raise ValueError(f"data.unseen and data.held_out must lie in [0, 1) (got {self.unseen}, {self.held_out})")
        if self.window is not None and self.window < 2:
            raise ValueError(f"data.window must be at least 2 (got {self.window})")


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
    """train and held_out share their annotators; unseen holds people who are nowhere else; known_test later answers
    of training annotators where the file marks some. notes: what was left out or changed, for the reader."""

    train: AnswerSet
    held_out: AnswerSet
    unseen: AnswerSet
    known_test: AnswerSet
    notes: tuple[str, ...]


def require_text(table: PairTable) -> None:
    """Refuse what is no text: numbers, features, messages, lists that were turned into text, empty responses."""
    if table.kind != "text":
        problem, fix = {
            "conversation": ("is a conversation (a list of messages)",
                             "give prompt and answers as texts, as the model's chat template renders them"),
            "vector": ("is a list of numbers", "give the text"),
            "number": (f"is a number ({table.items[table.chosen[0]]}), perhaps a position in a list of answers",
                       "give the text of the answer"),
        }[table.kind]  # fmt: skip
        raise InputError(problem, field="chosen", fix=fix, **place_of(table, 0))
    empty = {j for j, text in enumerate(table.items) if not text.strip()}
    listed = {j for j, text in enumerate(table.items) if _is_list(text)}
    for field, column in (("chosen", table.chosen), ("rejected", table.rejected)):
        for row, item in enumerate(column.tolist()):
            if item in empty:
                raise InputError("the response is empty", field=field, fix="drop the row", **place_of(table, row))
            if item in listed:
                raise InputError(
                    f"is a list written as text ({table.items[item][:40]}...)", field=field,
                    fix="write the response itself, not str(list)", **place_of(table, row),
                )  # fmt: skip


def _is_list(text: str) -> bool:
    """Whether a text is a list or mapping that somebody turned into text: "['a', 'b']"."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")) and not (text.startswith("{") and text.endswith("}")):
        return False
    for parse in (json.loads, ast.literal_eval):
        try:
            return isinstance(parse(text), list | dict)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return False


def are_transcripts(table: PairTable) -> bool:
    """Whether the answers are whole transcripts: every one begins with its prompt, and goes on after it.

    One that happens to begin with its prompt's letters ("The", "Then it rained.") is an answer like the others.
    """
    asked = np.concatenate([table.prompt, table.prompt])
    given = np.concatenate([table.chosen, table.rejected])
    prompts, texts = table.prompts, table.items
    return all(
        prompts[p] != "" and texts[r].startswith(prompts[p]) and len(texts[r]) > len(prompts[p])
        for p, r in set(zip(asked.tolist(), given.tolist(), strict=True))
    )


class Tokeniser:
    """Prompts and responses as rows of a token store."""

    def __init__(self, tokenizer: Any, store: TokenStore, window: int, settings: DataSettings) -> None:
        self._tokenizer, self._store, self._window, self._settings = tokenizer, store, window, settings
        self.shortened = 0
        self.transcripts = False

    def prompt(self, text: str) -> tuple[int, list[int]]:
        tokens = list(self._tokenizer(text)["input_ids"])
        end = self._tokenizer.eos_token_id
        if tokens and tokens[-1] == end:
            tokens.pop()
        if not tokens:
            # A response needs a token before it; tokenizers without a beginning token give none for no text.
            start = self._tokenizer.bos_token_id
            tokens = [end if start is None else start]
        return self._store.add(tokens), tokens

    def response(self, prompt: str, prompt_tokens: list[int], response: str) -> list[int]:
        """Tokens of the response after the prompt: those of the joint text where the prompt's are its beginning.

        response: without the prompt.
        """
        joint = list(self._tokenizer(prompt + response)["input_ids"])
        end = self._tokenizer.eos_token_id
        if joint and joint[-1] == end:
            joint.pop()
        known = len(prompt_tokens)
        tokens = (
            joint[known:]
            if joint[:known] == prompt_tokens and len(joint) > known
            else list(self._tokenizer(response, add_special_tokens=False)["input_ids"])
        )
        return [*tokens, end] if self._settings.append_end else tokens

    def pairs(self, table: PairTable) -> tuple[PreferencePairs, BoolArray]:
        """All rows in tokens, and which to keep."""
        settings, whole = self._settings, are_transcripts(table)
        self.transcripts = self.transcripts or whole
        prompts = [self.prompt(text) for text in table.prompts]
        known: dict[tuple[int, int], int] = {}
        keep = np.ones(len(table), dtype=np.bool_)
        columns: dict[str, list[int]] = {"chosen": [], "rejected": []}
        for row in range(len(table)):
            prompt_tokens = prompts[table.prompt[row]][1]
            for field, items in (("chosen", table.chosen), ("rejected", table.rejected)):
                key = (int(table.prompt[row]), int(items[row]))
                if key not in known:
                    prompt, text = table.prompts[key[0]], table.items[key[1]]
                    tokens = self.response(prompt, prompt_tokens, text.removeprefix(prompt) if whole else text)
                    known[key] = self._fitting(tokens, len(prompt_tokens), table, row, field)
                if known[key] < 0:
                    keep[row] = False
                columns[field].append(max(known[key], 0))
        chosen, rejected = (np.array(columns[field], dtype=np.int64) for field in ("chosen", "rejected"))
        same = keep & (chosen == rejected)
        if same.any() and settings.too_long != "truncate":
            place = place_of(table, int(np.flatnonzero(same)[0]))
            raise InputError("chosen and rejected are the same tokens", field="rejected", fix="drop the row", **place)
        keep &= ~same
        contexts = np.array([number for number, _ in prompts], dtype=np.int64)[table.prompt]
        pairs = PreferencePairs(contexts, chosen, rejected, table.annotator, table.n_annotators, weights=table.weights)
        return pairs, keep

    def _fitting(self, tokens: list[int], prompt: int, table: PairTable, row: int, field: str) -> int:
        """The response's number; -1 if its row is dropped."""
        room = self._window - prompt
        if len(tokens) <= room:
            return self._store.add(tokens)
        if self._settings.too_long == "error" or room < 1:
            raise InputError(
                f"the response has {len(tokens)} tokens, the prompt {prompt}, and the window is {self._window}",
                field=field, fix="raise data.window, or set data.too_long to drop or truncate", **place_of(table, row),
            )  # fmt: skip
        self.shortened += 1
        return -1 if self._settings.too_long == "drop" else self._store.add(tokens[:room])


def load_preferences(
    settings: DataSettings, tokenizer: Any, store: TokenStore, window: int, stream: Stream
) -> TextPreferences:
    """Read, check, tokenise and split; see DataSettings."""
    if not settings.train:
        raise InputError("no data", field="data.train", fix="give a file of preferences (--data FILE)")
    tokeniser, notes = Tokeniser(tokenizer, store, window, settings), []
    table = read_pairs(settings.train).require_pairs("training")
    require_text(table)
    pairs, keep = tokeniser.pairs(table)
    notes += [f"{settings.train}: {count} rows {why}, left out" for why, count in table.left_out]
    if settings.test is not None:
        other = read_pairs(settings.test).require_pairs("training")
        require_text(other)
        both = sorted(set(table.annotators) & set(other.annotators))
        if both and not settings.same_annotators:
            raise InputError(
                f"{len(both)} annotators are in {settings.train} too (the first is {both[0]})", file=settings.test,
                field="annotator_id", fix="split by annotator, or set data.same_annotators=true",
            )  # fmt: skip
        test_pairs, test_keep = tokeniser.pairs(other)
        notes += [f"{settings.test}: {count} rows {why}, left out" for why, count in other.left_out]
        unseen = _answers(other, test_pairs, test_keep)
        train_rows, known_rows = keep, np.zeros_like(keep)
    elif table.split is not None:
        unseen = _answers(table, pairs, keep & table.rows_of("unseen"))
        train_rows, known_rows = keep & table.rows_of("train"), keep & table.rows_of("test")
    else:
        apart = _some_annotators(table.n_annotators, settings.unseen, stream.child("unseen"))
        unseen = _answers(table, pairs, keep & apart[table.annotator])
        train_rows, known_rows = keep & ~apart[table.annotator], np.zeros_like(keep)
    if not train_rows.any():
        raise InputError("no answers are left to train on", file=settings.train, fix="give more rows")
    if tokeniser.transcripts:
        notes.append("the answers are whole transcripts: the prompt is taken off each")
    if tokeniser.shortened:
        what = "dropped" if settings.too_long == "drop" else "cut"
        notes.append(f"{tokeniser.shortened} responses longer than the window of {window} tokens were {what}")
    counts = np.bincount(pairs.annotator[train_rows], minlength=pairs.n_annotators)
    if (counts == 1).any():
        notes.append(
            f"{int((counts == 1).sum())} annotators have a single answer: it is not held out, and says little about "
            "their group"
        )
    held = _hold_out(pairs.contexts, pairs.annotator, train_rows, settings.held_out, stream.child("held-out"))
    people = np.unique(pairs.annotator[train_rows])
    return TextPreferences(
        train=_answers(table, pairs, train_rows & ~held, people),
        held_out=_answers(table, pairs, train_rows & held, people),
        unseen=unseen,
        known_test=_answers(table, pairs, known_rows, people),
        notes=tuple(notes),
    )


def _some_annotators(n: int, share: float, stream: Stream) -> BoolArray:
    """A random share of the annotators, at least one where the share is positive and two are there."""
    chosen = np.zeros(n, dtype=np.bool_)
    size = min(n - 1, max(1, round(share * n))) if share > 0 else 0
    chosen[stream.permutation(n)[:size]] = True
    return chosen


def _hold_out(contexts: IntArray, annotator: IntArray, rows: BoolArray, share: float, stream: Stream) -> BoolArray:
    """All answers to a random share of the prompts; people who answered nothing else keep theirs for training.

    Prompts and not answers are drawn: annotators share prompts, and a policy that has seen somebody's answer to a
    prompt has memorised part of everybody's.
    """
    prompts = np.unique(contexts[rows])
    size = round(share * len(prompts)) if share > 0 else 0
    chosen = prompts[stream.permutation(len(prompts))[: min(size, len(prompts) - 1)]]
    held = rows & np.isin(contexts, chosen)
    left = np.bincount(annotator[rows & ~held], minlength=int(annotator.max()) + 1)
    return np.asarray(held & (left[annotator] > 0), dtype=np.bool_)


def _answers(table: PairTable, pairs: PreferencePairs, rows: BoolArray, people: IntArray | None = None) -> AnswerSet:
    """The rows as a set of their own, annotators numbered anew (as `people` if given)."""
    people = np.unique(pairs.annotator[rows]) if people is None else people
    number = np.full(pairs.n_annotators, -1, dtype=np.int64)
    number[people] = np.arange(len(people))
    part = pairs.select(rows)
    group = tuple("" if table.group is None else table.group[i] for i in people.tolist())
    return AnswerSet(
        PreferencePairs(
            part.contexts, part.chosen, part.rejected, number[part.annotator], len(people), weights=part.weights
        ),
        tuple(table.annotators[i] for i in people.tolist()),
        group,
    )
