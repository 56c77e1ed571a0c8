"""PrefLib: the ballots of elections and of other rankings (.soc, .soi, .toc, .toi)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.converters.answers import Item
from sim.converters.converter import Converter
from sim.converters.records import ending_of, files_of
from sim.errors import InputError, short
from sim.files.text_files import opened
from sim.reading import bounded

# A row a voter beyond this is no file of answers but a slip in a count.
MOST_VOTERS = 10_000_000
_ENDINGS = (".soc", ".soi", ".toc", ".toi")
_HEAD = re.compile(r"#\s*([^:]+):\s*(.*)")
_MOST_DIGITS = 18
_NAME = re.compile(r"ALTERNATIVE NAME (\d{1,18})")
_ORDER = re.compile(r"\{([^{}]*)\}|([^,{}]+)")


@dataclass
class _Ballots:
    """What the head of a file says: its title, and number -> name of the alternatives."""

    title: str = ""
    names: dict[int, str] = field(default_factory=dict)


def rows(files: Sequence[Path], voters: str) -> Iterator[Item]:
    """A ranking of all alternatives a voter, those she has not placed unranked.

    voters: each, one row a voter, or weights, one row an order, with the number of its voters as its weight.
    """
    if voters not in ("each", "weights"):
        raise InputError(f"voters: expected each or weights, got '{voters}'", fix="use one of them")
    for path in files_of(files, _ENDINGS):
        ending_of(path, _ENDINGS)
        if not path.is_file():
            raise InputError("is no file", file=path, fix="check the path")
        yield from _ballots(path, voters == "each")


def _ballots(path: Path, each: bool) -> Iterator[Item]:
    head, voter = _Ballots(), 0
    stem = path.name.split(".")[0]
    with opened(path) as lines:
        for number, line in enumerate(bounded(lines, path), start=1):
            if line.startswith("#"):
                _read_head(line, head)
                continue
            if not line.strip():
                continue
            if not head.names:
                raise InputError("has no alternatives in its head", file=path, row=number,
                                 fix="give the file in the form that preflib.org has used since 2022")  # fmt: skip
            try:
                count, ranking = _order(line, head, {"file": path, "row": number})
            except InputError as error:
                yield error
                continue
            row = {"prompt": head.title or stem, "responses": list(head.names.values()), "ranking": ranking}
            # A voter of one election is not one of another: her name has the file's in it.
            if each and voter + count > MOST_VOTERS:
                raise InputError(
                    f"has more than {MOST_VOTERS:,} voters, too many for a row each", file=path, row=number,
                    fix="set voters to weights: a row an order, with the number of its voters",
                )  # fmt: skip
            if each:
                yield from ({**row, "annotator_id": f"{stem} voter {voter + j + 1}"} for j in range(count))
            else:
                yield {**row, "annotator_id": f"{stem} order {voter + 1}", "weight": float(count)}
            voter += count if each else 1


def _read_head(line: str, head: _Ballots) -> None:
    found = _HEAD.match(line)
    if found is None:
        return
    key, value = found.group(1).strip(), found.group(2).strip()
    named = _NAME.fullmatch(key)
    if named:
        # Two alternatives of one name are two: their numbers tell them apart.
        taken = value in head.names.values() or not value
        head.names[int(named.group(1))] = f"{value} ({named.group(1)})".strip() if taken else value
    elif key == "TITLE":
        head.title = value


def _is_whole(text: str) -> bool:
    """Python reads no number of thousands of digits, and calls a superscript two a digit."""
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _order(line: str, head: _Ballots, where: dict[str, Any]) -> tuple[int, list[int | None]]:
    """(voters, a rank an alternative) of a line "12: 3,{1,2}": 1 best, as many better ones as there are plus 1."""
    count, colon, order = line.strip().partition(":")
    if not colon or not _is_whole(count.strip()) or int(count) < 1:
        problem = f"expected 'voters: order', got {short(line.strip())}"
        raise InputError(problem, fix="mend or delete the line", **where)
    ranks: dict[int, int] = {}
    for tied, alone in _ORDER.findall(order):
        place = len(ranks) + 1
        for text in (tied or alone).split(","):
            if not text.strip():
                continue
            if not _is_whole(text.strip()) or int(text) not in head.names or int(text) in ranks:
                problem = f"expected each alternative once, by its number, got {short(text.strip())}"
                raise InputError(problem, fix="mend or delete the line", **where)
            ranks[int(text)] = place
    if not ranks:
        raise InputError("ranks nothing", fix="mend or delete the line", **where)
    return int(count), [ranks.get(number) for number in head.names]


CONVERTER = Converter(
    rows,
    schema="PrefLib files .soc, .soi, .toc, .toi (lines '# ALTERNATIVE NAME 1: ...' and 'voters: 3,{1,2},4'), also .gz",
    licence="differs by data set: see its page on preflib.org; cite PrefLib and the source it names",
    loses="who voted: voters are numbered; whether unplaced alternatives were all there to be placed; other lines of "
    "the head",
    options={"voters": "each"},
)
