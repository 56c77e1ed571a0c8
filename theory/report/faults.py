"""The table of planted faults: what was noticed, by whom, and what survived."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.files.atomic import write_json, write_text
from sim.files.own_folder import require_own_folder
from theory.mutation.run import MutationReport, Outcome
from theory.report.table import markdown_rows


def rates_table(report: MutationReport) -> str:
    """Kill rates by paper, of the catalogue and of the sample."""
    rows: list[tuple[str, ...]] = [
        ("faults in", "noticed", "of", "share", "only as inconclusive", "by an error", "equivalent, left out")
    ]
    catalogue = [one for one in report.outcomes if one.fault.kind == "catalogue"]
    for paper in dict.fromkeys(one.fault.paper for one in catalogue):
        rows.append(_rate(paper, [one for one in catalogue if one.fault.paper == paper]))
    rows.append(_rate("catalogue, all", catalogue))
    sample = [one for one in report.outcomes if one.fault.kind != "catalogue"]
    for kind in dict.fromkeys(one.fault.kind for one in sample):
        rows.append(_rate(f"sample: {kind}", [one for one in sample if one.fault.kind == kind]))
    if sample:
        rows.append(_rate("sample, all", sample))
    return markdown_rows(rows)


def _rate(words: str, all_of_it: Sequence[Outcome]) -> tuple[str, ...]:
    own = [one for one in all_of_it if not one.fault.equivalent]
    killed = sum(one.killed for one in own)
    share = f"{100 * killed / len(own):.0f} %" if own else "-"
    weakly = [str(sum(one.way == way for one in own)) for way in ("inconclusive", "error")]
    return (words, str(killed), str(len(own)), share, *weakly, str(len(all_of_it) - len(own)))


def catalogue_table(report: MutationReport) -> str:
    """Every fault of the catalogue and the claim that notices it."""
    rows = [("fault", "in", "what is wrong", "noticed by", "how")]
    for one in report.outcomes:
        if one.fault.kind == "catalogue" and not one.fault.equivalent:
            rows.append((one.fault.id, one.fault.paper, one.fault.what, one.killed_by or _nobody(one), _how(one)))
    return markdown_rows(rows)


def survivors_table(report: MutationReport) -> str:
    """What no claim noticed, with the place: each is a hole in a check, or is argued to be none."""
    rows = [("fault", "place", "what is changed", "claims tried", "equivalent because")]
    for one in report.outcomes:
        if not one.killed or one.fault.equivalent:
            argued = one.fault.equivalent or ("(not answered)" if one.unanswered else "(not argued: a hole)")
            rows.append((one.fault.id, one.fault.place, one.fault.what, str(len(one.tried)), argued))
    return markdown_rows(rows)


def claims_table(report: MutationReport) -> str:
    """Which claim notices how many."""
    counted = report.by_claim.items()
    return markdown_rows([("claim", "faults it noticed first"), *((claim, str(n)) for claim, n in counted)])


def _nobody(one: Outcome) -> str:
    return "not answered" if one.unanswered else "nobody"


def _how(one: Outcome) -> str:
    plain = one.how.partition(": ")
    words = plain[2] if plain[0] == "verdict" else one.how
    return words if len(words) <= 90 else words[:87] + "..."


TABLES = {
    "rates": rates_table,
    "faults": catalogue_table,
    "survivors": survivors_table,
    "by-claim": claims_table,
}


def require_mutations_folder(folder: str | Path) -> None:
    """Refuse a folder with anything but planted faults in it; a run that was killed has left answers."""
    require_own_folder(folder, "run of planted faults", ("mutations.json", "cells/faults"))


def write_mutations(folder: Path, report: MutationReport) -> None:
    """mutations.json and mutations.md."""
    write_json(folder / "mutations.json", report.as_json())
    write_text(folder / "mutations.md", "\n\n".join(table(report) for table in TABLES.values()) + "\n")
