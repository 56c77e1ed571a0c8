"""Verdicts for the page: a claim with its readings, what each rests on, its figures and its witness."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

from pluralign.page.charts import Curve, Line, Row, curves_chart, rows_chart
from pluralign.page.folders import Result, Sources
from pluralign.page.limits import CLAIMS, WITNESS, clipped
from pluralign.page.mutants import Mutant
from pluralign.page.svg import Chart, number
from sim.errors import InputError
from sim.files.checksums import require_unchanged
from theory.engine.checks import Check
from theory.engine.registry import papers, theorems_of
from theory.engine.runner import check_from_json
from theory.engine.verdicts import Verdict

_AGAIN = "run `pluralign check` again"
# The same as colours again.
SIGNS = {
    Verdict.HOLDS: "✓", Verdict.VIOLATED: "✗", Verdict.INCONCLUSIVE: "?", Verdict.VACUOUS: "○",
    Verdict.PREMISE_FAILED: "△",
}  # fmt: skip


@dataclass(frozen=True)
class Witnessed:
    """The witness of a violation: a file to save and replay, and its numbers as text.  href: "" where it is too large
    for the page."""

    file: str
    href: str
    text: str


@dataclass(frozen=True)
class Reading:
    """One variant of a claim; anchor: the address of its witness."""

    check: Check
    anchor: str
    variant: str
    charts: tuple[Chart, ...]
    witness: Witnessed | None

    @property
    def sign(self) -> str:
        return SIGNS[self.check.verdict]

    @property
    def relation(self) -> str:
        return relation_of(self.check)


@dataclass(frozen=True)
class ClaimShown:
    """A claim on the page.  place: module, name and line of its code, where this version has it; origin: module:NAME of
    one that is not ours; anchor: its address on the page."""

    claim_id: str
    paper: str
    statement: str
    source: str
    details: str
    place: str
    origin: str
    anchor: str
    arithmetic: bool
    reconstructed: bool
    readings: tuple[Reading, ...]
    mutants: tuple[Mutant, ...]

    @property
    def as_expected(self) -> bool:
        return all(own.check.as_expected and all(c.caught for c in own.check.controls) for own in self.readings)

    @property
    def verdicts(self) -> str:
        return " ".join(dict.fromkeys(str(own.check.verdict) for own in self.readings))

    @property
    def variants(self) -> str:
        return " ".join(own.check.variant for own in self.readings)

    @property
    def words(self) -> str:
        """What the search looks in."""
        own = [self.claim_id, self.statement, self.source, self.place, *(r.check.statement for r in self.readings)]
        # As the page's script has what is typed: casefold would make "ss" of a letter that toLowerCase leaves.
        return " ".join([*own, *(mutant.id for mutant in self.mutants)]).lower()


@dataclass(frozen=True)
class Erratum:
    """A slip: what is printed, a draw that contradicts it (None where the run kept none), and what holds instead."""

    claim: ClaimShown
    printed: Reading
    corrected: tuple[Reading, ...]


@dataclass(frozen=True)
class PaperShown:
    """A paper's claims, and how many of its verdicts are which."""

    name: str
    title: str
    source: str
    claims: tuple[ClaimShown, ...]
    counts: Mapping[str, int]

    @property
    def errata(self) -> tuple[Erratum, ...]:
        """Claims with a printed reading that is contradicted, as expected, beside one that holds; `as_read` is none:
        nobody printed that."""
        found = []
        for claim in self.claims:
            holding = tuple(own for own in claim.readings if own.check.expected is Verdict.HOLDS)
            printed = [own for own in claim.readings if own.check.variant == "as_printed"]
            found += [Erratum(claim, own, holding) for own in printed
                      if holding and own.check.expected is Verdict.VIOLATED]  # fmt: skip
        return tuple(found)


@dataclass(frozen=True)
class CheckShown:
    """A `check` folder on the page."""

    name: str
    anchor: str
    papers: tuple[PaperShown, ...]
    profile: str
    seed: int
    n_verdicts: int
    n_expected: int
    n_caught: int
    n_controls: int
    left_out: int

    @property
    def claims(self) -> list[ClaimShown]:
        return [claim for paper in self.papers for claim in paper.claims]


def check_shown(result: Result, place: int, sources: Sources, mutants: Mapping[str, Sequence[Mutant]]) -> CheckShown:
    """verdicts.json of a folder, as its run left it."""
    path = result.folder / "verdicts.json"
    content = sources.json(path, _AGAIN)
    try:
        checks = [check_from_json(row) for row in content["verdicts"]]
        profile, seed = str(content["profile"]), int(content["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"is not a verdict file of this version ({error})", file=path, fix=_AGAIN) from error
    require_unchanged(result.folder, "verdicts.json")
    by_paper: dict[str, dict[str, list[Check]]] = {}
    for check in checks:
        by_paper.setdefault(check.paper, {}).setdefault(check.claim_id, []).append(check)
    shown, room = [], CLAIMS
    for paper, claims in by_paper.items():
        taken = list(claims.items())[:room]
        room -= len(taken)
        own = tuple(
            _claim(_anchor(place, name, number), readings, mutants.get(name, ()))
            for number, (name, readings) in enumerate(taken)
        )
        told = papers().get(paper)
        verdicts = [str(reading.verdict) for readings in claims.values() for reading in readings]
        shown.append(PaperShown(
            paper, "" if told is None else told.title, "" if told is None else told.source, own,
            {str(verdict): verdicts.count(str(verdict)) for verdict in Verdict},
        ))  # fmt: skip
    caught = [control.caught for check in checks for control in check.controls]
    return CheckShown(
        result.name, f"check{place}", tuple(shown), profile, seed, len(checks),
        sum(check.as_expected for check in checks), sum(caught), len(caught),
        sum(map(len, by_paper.values())) - sum(len(paper.claims) for paper in shown),
    )  # fmt: skip


def _anchor(place: int, name: str, number: int) -> str:
    """An address that a reader can type where the claim's name is one, and no other text of the file."""
    return f"check{place}-{name}" if re.fullmatch(r"[a-z0-9_-]+", name) else f"check{place}-claim-{number}"


@cache
def _registered(paper: str) -> dict[str, tuple[str, str, str]]:
    """Claim -> what it says before it is read in one way, its derivation, and where it stands; of ours alone: a folder
    that somebody sent must not choose what is imported."""
    found = {}
    root = Path(__file__).parents[2]
    for theorem in theorems_of(paper) if paper in papers() else ():
        own = type(theorem)
        try:
            file, line = Path(inspect.getfile(own)), inspect.getsourcelines(own)[1]
            place = f"{file.relative_to(root).as_posix()}:{line} ({own.__name__})"
        except (OSError, TypeError, ValueError):
            place = f"{own.__module__}:{own.__name__}"
        found[theorem.claim_id] = (theorem.statement, inspect.getdoc(own) or "", place)
    return found


def _claim(anchor: str, checks: Sequence[Check], mutants: Sequence[Mutant]) -> ClaimShown:
    first = checks[0]
    statement, details, place = _registered(first.paper).get(first.claim_id, (first.statement, "", ""))
    origin = next((check.witness.origin for check in checks if check.witness is not None), "")
    return ClaimShown(
        first.claim_id, first.paper, statement, first.source, clipped(details, 6000), place, origin, anchor,
        first.arithmetic, "[reconstructed]" in first.source,
        tuple(_reading(check, f"{anchor}-witness-{number}") for number, check in enumerate(checks)),
        tuple(mutants),
    )  # fmt: skip


def _reading(check: Check, anchor: str) -> Reading:
    return Reading(check, anchor, check.variant.replace("_", " "), _charts(check), _witnessed(check))


def _witnessed(check: Check) -> Witnessed | None:
    content = check.as_json()["witness"]
    if content is None:
        return None
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    file = f"{check.claim_id}--{check.variant}.json"
    href = f"data:application/json;charset=utf-8,{quote(text)}" if len(text) <= WITNESS else ""
    return Witnessed(file, href, clipped(text, 4000))


def _charts(check: Check) -> tuple[Chart, ...]:
    if check.curve is not None and len(check.curve.grid) > 1:
        return (_rate(check), _measured(check))
    frequency = check.interval_of == "violation frequency"
    return (_measured(check), *((_violations(check),) if frequency and check.interval else ()))


def _name(check: Check, what: str) -> str:
    return f"{check.claim_id}--{check.variant}-{what}.csv"


def relation_of(check: Check) -> str:
    return check.relation.replace("<=", "≤").replace(">=", "≥")


def _measured(check: Check) -> Chart:
    """The measured number and the controls' against the claim's own number."""
    own = check.interval if check.interval_of not in ("violation frequency", "value") else None
    what = "slope" if check.curve is not None else check.interval_of.partition(" (")[0]
    words = {"violation frequency": "the worst draw's value", "value": "value", "": "value"}.get(what, what)
    # "mean (90 %)": its interval is of another level than those of other claims.
    level = check.interval_of.partition(" (")[2].rstrip(")")
    said = f"measured, {level} interval" if own and level else "measured"
    rows = [Row(said if what not in ("violation frequency",) else "measured, worst draw", check.measured, own)]
    rows += [Row(f"control: {control.name}" + ("" if control.caught else " (escaped)"), control.measured, None, 5, "",
                 True) for control in check.controls if control.measured is not None]  # fmt: skip
    line = Line(check.bound, f"{relation_of(check)} {number(check.bound)}")
    return rows_chart(rows, "Measured against the claim's number", words, _name(check, "measured"), lines=(line,))


def _violations(check: Check) -> Chart:
    assert check.interval is not None
    middle = 0.0 if check.interval[0] == 0 else None
    row = Row("share of draws that break it, 95 %", middle, check.interval)
    return rows_chart(
        [row], "How often a draw breaks the limit", "share of draws", _name(check, "violations"),
        lines=(Line(0.0, "claim: none"),), least=0.0, most=1.0,
    )  # fmt: skip


def _rate(check: Check) -> Chart:
    """The mean at each grid point with two standard errors, and the claimed slope through the middle."""
    curve = check.curve
    assert curve is not None
    log = min(*curve.mean, *curve.grid) > 0
    low = [
        max(m - 2 * e, 0.05 * m) if log else m - 2 * e for m, e in zip(curve.mean, curve.standard_error, strict=True)
    ]
    high = [m + 2 * e for m, e in zip(curve.mean, curve.standard_error, strict=True)]
    middle = len(curve.grid) // 2
    theory = [curve.mean[middle] * (x / curve.grid[middle]) ** check.bound for x in curve.grid]
    return curves_chart(
        [Curve("measured", curve.grid, curve.mean, low, high),
         Curve(f"slope {number(check.bound)}", curve.grid, theory, dashed=True)],
        "Rate, with two standard errors", check.axes, _name(check, "rate"), log=log,
    )  # fmt: skip
