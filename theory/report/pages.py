"""A paper's page in the docs: what stands there between markers is written from its claims and their verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.files.atomic import write_text
from theory.engine.checks import Check
from theory.engine.registry import all_theorems, papers, theorems_of
from theory.engine.theorem import Theorem
from theory.report.lists import right_sides, short_grids
from theory.report.table import markdown_rows, markdown_table

PARTS = ("claims", "readings", "verdicts")


def markers(part: str) -> tuple[str, str]:
    return f"<!-- {part}:begin -->", f"<!-- {part}:end -->"


def page_of(folder: str | Path, paper: str) -> Path:
    return Path(folder) / "papers" / f"{paper}.md"


def claims_table(theorems: Iterable[Theorem[Any]]) -> str:
    """Every claim, what it says, and where: the source without the paper's own name, which the page has."""
    rows = [
        (
            f"{t.claim_id} (arithmetic)" if t.arithmetic else t.claim_id,
            t.statement,
            t.source.removeprefix(papers()[t.paper].source).lstrip(" ,:"),
        )
        for t in theorems
    ]
    return markdown_rows((("claim", "what it says", "where"), *rows))


def readings_table(theorems: Iterable[Theorem[Any]]) -> str:
    """Claims that are read in more than one way: what the first reading is, says and comes out as, and what holds."""
    rows = [("claim", "what it says", "first reading", "which says", "comes out", "as it holds")]
    for theorem in theorems:
        (name, first), *others = theorem.SETTINGS.items()
        if others:
            repaired = "; ".join(other.statement for _, other in others)
            reading = name.replace("_", " ")
            rows.append((theorem.claim_id, theorem.statement, reading, first.statement, str(first.expected), repaired))
    return markdown_rows(rows)


def require_pages(folder: str | Path, theorems: Sequence[Theorem[Any]]) -> None:
    """An error, before the work, where a page could not be written: it shows a paper's claims together or not at all,
    because verdicts are adjusted for how many claims of a paper were checked."""
    for paper in dict.fromkeys(theorem.paper for theorem in theorems):
        if paper not in papers():
            raise InputError(f"there is no page for claims of '{paper}'", fix="leave out --docs, or those claims")
        chosen, every = sum(theorem.paper == paper for theorem in theorems), len(theorems_of(paper))
        if chosen < every:
            raise InputError(
                f"{chosen} of the {every} claims of {paper} were asked for, and its page shows all of them",
                fix=f"name the paper: pluralign check {paper} --docs {folder}",
            )
        text = _read(page_of(folder, paper))
        for part in PARTS:
            _between(text, part, page_of(folder, paper))


def update_pages(folder: str | Path, checks: Sequence[Check]) -> None:
    """The three tables of every paper that was checked, and the lists of all claims in verdicts.md, if it is there."""
    for paper in dict.fromkeys(check.paper for check in checks):
        theorems, path = theorems_of(paper), page_of(folder, paper)
        text = replaced(_read(path), "claims", claims_table(theorems), path)
        text = replaced(text, "readings", readings_table(theorems), path)
        own = [check for check in checks if check.paper == paper]
        write_text(path, replaced(text, "verdicts", markdown_table(own), path))
    lists = Path(folder) / "verdicts.md"
    if lists.is_file():
        update_tables(lists, {"short-grids": short_grids(all_theorems()), "right-sides": right_sides(all_theorems())})


def require_tables(path: Path, parts: Sequence[str]) -> None:
    """An error, before the work, where the page cannot be read or has no place for one of the parts."""
    text = _read(path)
    for part in parts:
        _between(text, part, path)


def update_tables(path: Path, tables: Mapping[str, str]) -> None:
    """The page with each part's table written anew."""
    text = _read(path)
    for part, table in tables.items():
        text = replaced(text, part, table, path)
    write_text(path, text)


def replaced(text: str, part: str, table: str, path: Path) -> str:
    """The page with another table between the markers of `part`."""
    begin, end = markers(part)
    head, _, tail = _between(text, part, path)
    return f"{head}{begin}\n{table}\n{end}{tail}"


def part_of(path: Path, part: str) -> str:
    """What stands between the markers of `part`."""
    return _between(_read(path), part, path)[1].strip("\n")


def _between(text: str, part: str, path: Path) -> tuple[str, str, str]:
    begin, end = markers(part)
    if begin not in text or end not in text:
        raise InputError(f"the markers {begin} and {end} are missing", file=path, fix="write them where the table goes")
    head, rest = text.split(begin, 1)
    inside, tail = rest.split(end, 1)
    return head, inside, tail


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, fix="name the folder of the docs") from error
