"""Plain text in files: one document a row."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from sim.errors import InputError
from sim.reading import bounded, load_json

_BREAK = re.compile(r"\s*<br\s*/?>\s*", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(A-Z0-9])")


def read_documents(path: str | Path, limit: int | None = None) -> list[str]:
    """Field `text` of each row of a .jsonl or .jsonl.gz file, line breaks and markup for them as single spaces."""
    place = Path(path)
    if not place.is_file():
        raise InputError("no such file", file=place, fix="check the path")
    if not place.name.endswith((".jsonl", ".jsonl.gz")):
        raise InputError("expected a file ending in .jsonl or .jsonl.gz", file=place, fix='one {"text": ...} a line')
    opener = gzip.open if place.name.endswith(".gz") else open
    documents: list[str] = []
    row = 0
    try:
        with opener(place, "rt", encoding="utf-8") as lines:
            for row, line in enumerate(bounded(lines, place), start=1):
                if limit is not None and len(documents) >= limit:
                    break
                if not line.strip():
                    continue
                content = load_json(line)
                text = content.get("text") if isinstance(content, dict) else None
                if not isinstance(text, str) or not text.strip():
                    raise InputError("expected a text", file=place, row=row, field="text", fix="fill it in or drop it")
                documents.append(tidy(text))
    except InputError:
        raise
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"cannot be read ({error})", file=place, row=row, fix="mend or copy it again") from error
    if not documents:
        raise InputError("holds no text", file=place, fix="write one document a line")
    return documents


def tidy(text: str) -> str:
    """One line, single spaces, no line-break markup."""
    return _SPACES.sub(" ", _BREAK.sub(" ", text)).strip()


def sentences(text: str) -> list[str]:
    """A rule-based split after . ! ? before a capital, a digit or a quote; abbreviations may be cut."""
    return [part for part in _SENTENCE.split(text) if part]


def passages(text: str, words: int) -> list[str]:
    """Whole sentences put together until about `words` words: documents a small model can learn to begin and end."""
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
