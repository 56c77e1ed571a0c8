"""Plain text and conversations in files: one document a row."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any, TypeAlias

from sim.errors import InputError, require_whole
from sim.files.conversations import conversation_text, is_conversation
from sim.reading import bounded, load_json

_BREAK = re.compile(r"\s*<br\s*/?>\s*", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
# White space after a sentence and whatever quotes close it.
_GAP = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')]))\s+(?=[\"'(A-Z0-9])")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(A-Z0-9])")


# A text, or the messages of a conversation.
Document: TypeAlias = str | list[dict[str, Any]]


def read_documents(path: str | Path, limit: int | None = None, *, tidied: bool = False) -> list[Document]:
    """Field `text` or `messages` of each row of a .jsonl or .jsonl.gz file; tidied: texts as `tidy` has them."""
    place = Path(path)
    if not place.is_file():
        raise InputError("no such file", file=place, fix="check the path")
    if not place.name.endswith((".jsonl", ".jsonl.gz")):
        raise InputError("expected a file ending in .jsonl or .jsonl.gz", file=place, fix='one {"text": ...} a line')
    opener = gzip.open if place.name.endswith(".gz") else open
    documents: list[Document] = []
    row = 0
    try:
        with opener(place, "rt", encoding="utf-8") as lines:
            for row, line in enumerate(bounded(lines, place), start=1):
                if limit is not None and len(documents) >= limit:
                    break
                if not line.strip():
                    continue
                found = _document(load_json(line), {"file": place, "row": row})
                documents.append(tidy(found) if tidied and isinstance(found, str) else found)
    except InputError:
        raise
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"cannot be read ({error})", file=place, row=row, fix="mend or copy it again") from error
    if not documents:
        raise InputError("holds no text", file=place, fix="write one document a line")
    return documents


def _document(content: Any, where: dict[str, Any]) -> Document:
    told = content if isinstance(content, dict) else {}
    if is_conversation(told.get("messages")):
        messages: list[dict[str, Any]] = json.loads(conversation_text(told["messages"], {**where, "field": "messages"}))
        return messages
    text = told.get("text")
    if not isinstance(text, str) or not text.strip():
        raise InputError("expected a text", **where, field="text", fix="fill it in or drop it; or give messages")
    require_whole(text, {**where, "field": "text"})
    return text


def tidy(text: str) -> str:
    """One line, single spaces, no line-break markup."""
    return _SPACES.sub(" ", _BREAK.sub(" ", text)).strip()


def sentences(text: str) -> list[str]:
    """A rule-based split after . ! ? before a capital, a digit or a quote; abbreviations may be cut."""
    return [part for part in _SENTENCE.split(text) if part]


def cuts(text: str, words: int) -> list[str]:
    """Pieces of a text as it stands, line breaks and all, cut between sentences after about `words` words."""
    out, begun = [], 0
    for gap in _GAP.finditer(text):
        if len(text[begun : gap.start()].split()) >= words:
            out.append(text[begun : gap.start()])
            begun = gap.end()
    return [*out, text[begun:]] if text[begun:].strip() else out


def passages(text: str, words: int) -> list[str]:
    """Whole sentences of a tidy text put together until about `words` words: documents a small model can learn to begin
    and end."""
    out: list[str] = []
    held: list[str] = []
    count = 0
    for sentence in sentences(text):
        held.append(sentence)
        count += sentence.count(" ") + 1
        if count >= words:
            out.append(" ".join(held))
            held, count = [], 0
    if held:
        out.append(" ".join(held))
    return out
