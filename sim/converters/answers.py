"""What a converter makes: answers of one kind, and what of the data is not among them, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sim.converters.records import Record, files_of, is_text, records, unpacked
from sim.errors import InputError, short
from sim.files.answer_checks import check_answer
from sim.files.recognise import recognise

# Where the data names nobody.
EVERYBODY = "everybody"
POOLED = "the data names no annotator: one stands for all, and only pooled methods make sense"

# What to do about a file without a column that it should have.
AS_PUBLISHED = "give the file as it is published"

Row: TypeAlias = dict[str, Any]
Messages: TypeAlias = list[dict[str, str]]


@dataclass(frozen=True)
class LeftOut:
    """In the place of an answer: there is none here that could be kept, and why."""

    kind: str


@dataclass(frozen=True)
class Noted:
    """Before an answer: what was read into it, counted."""

    kind: str


Item: TypeAlias = Mapping[str, Any] | LeftOut | Noted | InputError


@dataclass(frozen=True)
class Converted:
    """The answers of a data set.

    kind: pairs, choices, rankings or ratings; rows: mappings with the columns of an answer file of that kind.
    left_out: how many answers were left out, by why; noted: how many were read so, by what; notes: what to know.
    """

    kind: str
    rows: list[Row]
    left_out: Mapping[str, int]
    noted: Mapping[str, int]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        """What is in it, not the rows."""
        left = f"; {sum(self.left_out.values())} left out" if self.left_out else ""
        return f"<{len(self)} {self.kind} of {len(self.annotators)} annotators, {self.ties} ties{left}>"

    @property
    def annotators(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row["annotator_id"] for row in self.rows))

    @property
    def ties(self) -> int:
        return sum(row.get("tie") is True for row in self.rows)


def each(
    files: Sequence[Path],
    answers: Callable[[Record], Iterable[Item]],
    needs: Sequence[str],
    skip: Callable[[Record], bool] = lambda record: False,
    fix: str = AS_PUBLISHED,
) -> Iterator[Item]:
    """The answers of each record of the files, a bad one as the InputError that names it.

    files: in the place of a folder its own.  needs: columns that a file must have, looked for in its first record.
    skip: records that are read elsewhere.  fix: what to do where a column is missing.
    """
    for path in files_of(files):
        first = True
        for record in records(path):
            if isinstance(record, InputError):
                yield record
                continue
            if skip(record):
                continue
            if first:
                require(record, needs, answers.__module__.rpartition(".")[2], fix)
                first = False
            yield from _answers_of(record, answers)


def require(record: Record, needs: Sequence[str], own: str, fix: str = AS_PUBLISHED) -> None:
    """InputError where a column is missing: the file is another's, or not as it is published.

    own: the module of the converter that reads it, which is not offered in its own place.  fix: what to do else.
    """
    missing = [name for name in needs if not record.has(name)]
    if missing:
        other = recognise(tuple(record.fields), record.fields)
        is_other = other is not None and other.replace("-", "_") != own
        fix = f"it looks like pluralign convert {other}" if is_other else fix
        found = ", ".join(list(record.fields)[:12])
        raise InputError(f"the column is missing (found {found})", file=record.file, field=missing[0], fix=fix)


def _answers_of(record: Record, answers: Callable[[Record], Iterable[Item]]) -> Iterator[Item]:
    noted: list[Noted] = []  # of an answer that is left out, or is bad, nothing was kept
    try:
        for item in answers(record):
            if isinstance(item, Noted):
                noted.append(item)
                continue
            if isinstance(item, Mapping) and _is_empty(item):
                yield LeftOut("a response is empty")
            elif isinstance(item, Mapping):
                check_answer(item, record.at())
                yield from noted
                yield item
            else:
                yield item
            noted = []
    except InputError as error:
        yield error


def _is_empty(row: Mapping[str, Any]) -> bool:
    """Whether a response of it, a text or messages, says nothing: nothing that could be read was compared."""
    listed = row.get("responses")
    several = listed if isinstance(listed, list) else [row[name] for name in ("chosen", "rejected") if name in row]
    # What whole conversations begin with is no response.
    shared = _n_shared(several) if several and all(isinstance(response, list) for response in several) else 0
    responses = [response[shared:] if shared else response for response in several]
    return any(_says_nothing(response) for response in (*responses, *([row["response"]] if "response" in row else ())))


def _says_nothing(response: Any) -> bool:
    if not isinstance(response, list):
        return isinstance(response, str) and not response.strip()
    listed = [message if isinstance(message, Mapping) else {"content": message} for message in response]
    said = [message for message in listed if message.get("role") != "user"] or listed
    return not any(str(message.get("content") or "").strip() for message in said)


def one_by_one(parts: Iterable[Any], answer: Callable[[Any], Item]) -> Iterator[Item]:
    """An answer a part; of a bad part the error, so that it costs no other part its answer."""
    for part in parts:
        try:
            yield answer(part)
        except InputError as error:
            yield error


def messages(record: Record, field: str, value: Any, roles: Mapping[str, str] | None = None) -> Messages:
    """A list of messages, role and content each; roles: theirs -> the usual names."""
    listed = unpacked(value)
    if not isinstance(listed, list) or not listed:
        raise record.bad(field, f"expected a list of messages, got {short(value)}")
    found = []
    for message in listed:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise record.bad(field, f"expected messages with role and content, got {short(message)}")
        content = _content(message.get("content"))
        if content is None:
            raise record.bad(field, f"a message's content is no text ({short(message.get('content'))})")
        found.append({"role": (roles or {}).get(message["role"], message["role"]), "content": content})
    return found


def _content(value: Any) -> str | None:
    """A message's text, also where it comes as a list of parts that are all text; None where there is more."""
    if isinstance(value, str):
        return value if is_text(value) else None
    parts = value if isinstance(value, list) else []
    found = [part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None for part in parts]
    texts = [text for text in found if is_text(text)]
    return "\n".join(texts) if parts and len(texts) == len(parts) else None


def divided(first: Messages, second: Messages) -> tuple[Messages, Messages, Messages]:
    """(the messages that both conversations begin with, the rest of the first, the rest of the second)."""
    shared = _n_shared((first, second))
    return first[:shared], first[shared:], second[shared:]


def _n_shared(talks: Sequence[Messages]) -> int:
    """How many messages all of them begin with; something is left of each, also where one goes on from another."""
    most = min(map(len, talks)) - 1
    return next((j for j in range(most) if any(talk[j] != talks[0][j] for talk in talks)), max(most, 0))


def pair_of(first: Any, second: Any, preferred: int, **more: Any) -> Row | LeftOut:
    """A pair of two responses: preferred is 0 or 1, or -1 where neither is better."""
    if first == second:
        return LeftOut("both responses are the same")
    chosen, rejected = (second, first) if preferred == 1 else (first, second)
    return {"chosen": chosen, "rejected": rejected, "tie": preferred == -1, **more}
