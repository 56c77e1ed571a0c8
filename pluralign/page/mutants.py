"""Which planted faults each claim noticed first: of `mutate` folders on the page, else of the run the docs show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pluralign.page.folders import Result, Sources
from pluralign.page.limits import ROWS, clipped
from sim.reading import of_this_version
from theory.mutation.noticed import read_noticed

_AGAIN = "run `pluralign mutate` again"


@dataclass(frozen=True)
class Mutant:
    """A fault and how it was noticed."""

    id: str
    what: str
    place: str
    how: str
    sampled: bool


def mutants_by_claim(results: Sequence[Result], sources: Sources) -> tuple[dict[str, list[Mutant]], str]:
    """Claim -> the faults it noticed first; and which run that is from."""
    found: dict[str, list[Mutant]] = {}
    own = [result for result in results if result.kind == "mutations"]
    for result in own:
        path = result.folder / "mutations.json"
        content = sources.json(path, _AGAIN)
        with of_this_version(path, _AGAIN):
            _sort_in(found, content["mutants"])
    if own:
        return found, f"of {', '.join(result.name for result in own)}"
    _sort_in(found, read_noticed())
    return found, "of the run that the documentation shows (planted_faults.md)"


def _sort_in(found: dict[str, list[Mutant]], rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        if row["killed_by"] and not row.get("equivalent"):
            how = str(row["how"])
            verdict, _, words = how.partition(": ")
            mine = found.setdefault(str(row["killed_by"]), [])
            if len(mine) < ROWS:
                mine.append(Mutant(str(row["id"]), clipped(row["what"]), str(row.get("place", "")),
                                   clipped(words if verdict == "verdict" else how, 200),
                                   row["kind"] != "catalogue"))  # fmt: skip
