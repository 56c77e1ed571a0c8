"""Claims of the papers: listed, shown, checked, and counter-examples replayed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown, plotted
from sim.errors import InputError
from sim.files.locks import held
from sim.running.engines import EngineName, Tls, available_cores
from theory.engine import witnesses
from theory.engine.checks import Check
from theory.engine.judges import TwoSided
from theory.engine.registry import CLAIMS, answering, checked, find, once, select
from theory.engine.runner import CheckReport, run_checks
from theory.engine.theorem import PROFILES, Profile, Theorem
from theory.report.folder import read_folder, require_check_folder, write_folder

ARITHMETIC = "arithmetic: it checks a formula or an example by itself, and executes no algorithm of `sim`"


class Claim(Shown):
    """One claim: statement, source, variants with their bounds, and controls.  theorem: the object itself."""

    def __init__(self, theorem: Theorem[Any]) -> None:
        self.theorem = theorem

    @property
    def claim_id(self) -> str:
        return self.theorem.claim_id

    @property
    def paper(self) -> str:
        return self.theorem.paper

    @property
    def statement(self) -> str:
        return self.theorem.statement

    @property
    def source(self) -> str:
        return self.theorem.source

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(self.theorem.SETTINGS)

    @property
    def words(self) -> str:
        """What a search looks in."""
        return " ".join((self.claim_id, self.statement, self.source)).casefold()

    def _variants(self) -> dict[str, dict[str, Any]]:
        theorem, found = self.theorem, {}
        for name, variant in theorem.SETTINGS.items():
            bound = theorem.bound(variant.setting)
            found[name] = {
                "statement": variant.statement or theorem.statement,
                "expected": variant.expected,
                "setting": variant.setting.key(),
                "bound": f"{bound.relation} {bound.limit:.6g}",
                "attained": None if variant.attained is None else list(variant.attained),
                "departure": bound.departs if isinstance(bound, TwoSided) else "",
                "controls": [control.name for control in theorem.control(variant.setting)],
            }
        return found

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign show --json` prints."""
        theorem = self.theorem
        # One of one's own may do anything when it is asked.
        with answering(theorem):
            variants = self._variants()
        return {
            "claim_id": theorem.claim_id,
            "paper": theorem.paper,
            "source": theorem.source,
            "reconstructed": "[reconstructed]" in theorem.source,
            "arithmetic": theorem.arithmetic,
            "statement": theorem.statement,
            "details": inspect.getdoc(type(theorem)) or "",
            "variants": variants,
        }

    def page(self) -> Page:
        found = self.as_dict()["variants"]
        rows = [(name.replace("_", " "), row["expected"], row["bound"], "; ".join(row["controls"]))
                for name, row in found.items()]  # fmt: skip
        return Page(f"{self.claim_id} ({self.paper}): {self.statement}", ("variant", "expected", "bound", "controls"),
                    rows, [f"source: {self.source}", *([ARITHMETIC] if self.theorem.arithmetic else [])])  # fmt: skip


class Claims(Shown, Sequence[Claim]):
    """Claims in the papers' order."""

    def __init__(self, found: Sequence[Claim]) -> None:
        self._found = tuple(found)

    def __getitem__(self, place: Any) -> Any:
        return Claims(self._found[place]) if isinstance(place, slice) else self._found[place]

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign list --json` prints."""
        return {
            "claims": [
                {"claim_id": own.claim_id, "paper": own.paper, "source": own.source, "statement": own.statement,
                 "variants": list(own.variants), "arithmetic": own.theorem.arithmetic}
                for own in self
            ]
        }  # fmt: skip

    def page(self) -> Page:
        return Page(f"{len(self)} claims", ("claim", "paper", "statement"),
                    [(own.claim_id, own.paper, own.statement) for own in self])  # fmt: skip


def claims(*names: str, search: str = "") -> Claims:
    """The claims of these papers, of these names, of module:NAME of your own; all of ours if none is named.

    search: only those with all of these words in name, statement or source, upper and lower case alike.
    """
    words = search.casefold().split()
    found = [Claim(theorem) for theorem in select(names)]
    return Claims([own for own in found if all(word in own.words for word in words)])


def claim(name: str) -> Claim:
    """One claim by name, or module:NAME of your own."""
    found = select((name,)) if ":" in name or name in CLAIMS.names() else (find(name),)
    if len(found) > 1:
        listed = ", ".join(theorem.claim_id for theorem in found)
        raise InputError(f"claim '{name}': these are {len(found)} claims ({listed})", fix="name one of them, a class")
    return Claim(found[0])


class CheckResult(Shown):
    """Verdicts, with what they rest on.  checks: one a claim and variant; report: of a fresh run, None if read."""

    def __init__(self, checks: Sequence[Check], report: CheckReport | None = None, names: Sequence[str] = ()) -> None:
        self.checks, self.report, self._names = tuple(checks), report, tuple(names)

    @property
    def all_as_expected(self) -> bool:
        """Whether every verdict is the one the claim expects (a printed slip expects VIOLATED)."""
        return all(check.as_expected for check in self.checks)

    @property
    def controls_caught(self) -> int:
        return sum(control.caught for check in self.checks for control in check.controls)

    @property
    def controls_total(self) -> int:
        return sum(len(check.controls) for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign check --json` prints; of verdicts that were read, these alone."""
        if self.report is not None:
            return dict(self.report.as_json())
        return {"verdicts": [check.as_json() for check in self.checks]}

    def save(self, folder: str | Path) -> None:
        """verdicts.json, verdicts.md, witnesses, resolved.yaml and figures, as `pluralign check` writes them."""
        if self.report is None:
            raise InputError("only a fresh check can be saved", fix="copy the folder it came from")
        require_check_folder(folder)
        write_folder(folder, self.report, self._names)

    def page(self) -> Page:
        rows = []
        for check in self.checks:
            caught = sum(control.caught for control in check.controls)
            name = check.claim_id if check.variant == "as_stated" else f"{check.claim_id} ({check.variant[3:]})"
            verdict = str(check.verdict) + ("" if check.as_expected else " (!)")
            limit = f"{check.relation} {check.bound:.3g}"
            rows.append((name, verdict, check.measured, limit, check.power, f"{caught}/{len(check.controls)}"))
        expected = sum(check.as_expected for check in self.checks)
        # What differs from what was expected first: a cut table must not hide it.
        rows.sort(key=lambda row: not str(row[1]).endswith("(!)"))
        return Page(
            f"{expected} of {len(self.checks)} verdicts as expected, "
            f"{self.controls_caught} of {self.controls_total} controls caught",
            ("claim", "verdict", "measured", "bound", "power", "controls"), rows,
            ["(!): not the verdict expected"] if expected < len(self.checks) else [],
        )  # fmt: skip

    def plot(self, claim: str | None = None) -> Any:
        """Axes: verdicts at a glance, or the rate that one claim measured."""
        from theory.report.figures import rate_figure, verdict_figure

        if claim is None:
            return plotted(lambda: verdict_figure(self.checks))
        rates = {check.claim_id: check for check in self.checks if check.curve is not None}
        if claim not in rates:
            known = ", ".join(rates) or "none of these claims is a rate"
            raise InputError(f"claim: '{claim}' has no rate to draw", fix=f"choose one of: {known}")
        return plotted(lambda: rate_figure(rates[claim]))


# Long for its arguments, the options of `pluralign check`.
@plain_numbers
def check(
    *names: str | Theorem[Any],
    profile: Profile = "quick",
    seed: int = 0,
    workers: int | None = None,
    engine: EngineName = "joblib",
    scheduler: str | None = None,
    tls: tuple[str | Path, str | Path, str | Path] | None = None,
    time_out: float | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    progress: Callable[[str], None] | None = None,
) -> CheckResult:
    """Check claims numerically: a verdict, an interval, the check's power, and controls that must fail.

    names: papers or claims (`claims`), module:CLAIMS, or theorems of your own; all of ours if none.  profile: quick, or
    full with more replicates.  workers: processes, None: one a core; verdicts do not depend on them.  engine: local,
    joblib or dask (scheduler: its address; tls: files of the authority, the client's certificate and its key).
    time_out: seconds a claim may take; one that takes longer is an error once the others are done.  out: a folder to
    write and to resume from; None: nothing is kept but the result.  fresh: compute again what lies there.  progress:
    called with a line now and then, e.g. print.
    """
    if profile not in PROFILES:
        raise InputError(f"profile must be one of {', '.join(PROFILES)} (got {profile!r})")

    def on_progress(claim_id: str, done: int, total: int, left: float) -> None:
        if progress is not None:
            progress(f"[{done}/{total}] {claim_id} (about {left:.0f} s left)")

    if out is not None:
        require_check_folder(out)
    with nullcontext() if out is None else held(out):
        report = run_checks(
            _theorems(names),
            profile=profile,
            seed=seed,
            workers=available_cores() if workers is None else workers,
            engine=engine,
            scheduler=scheduler,
            tls=None if tls is None else Tls(*map(Path, tls)),
            time_out=time_out,
            cells=None if out is None else Path(out) / "cells",
            fresh=fresh,
            on_progress=on_progress,
        )
        named = [own if isinstance(own, str) else own.claim_id for own in names]
        if out is not None:
            write_folder(out, report, named)
    return CheckResult(report.checks, report, named)


def _theorems(names: Sequence[str | Theorem[Any]]) -> list[Theorem[Any]]:
    """In the order they were named; a claim named twice is checked once, and two of one name are refused."""
    if not names:
        return list(select(()))
    return list(once(
        own for name in names for own in (select((name,)) if isinstance(name, str) else (checked(name, str(name)),))
    ))  # fmt: skip


def load_check(folder: str | Path) -> CheckResult:
    """The verdicts that `pluralign check` or `check(out=...)` wrote."""
    return CheckResult(read_folder(folder))


class ReplayResult(Shown):
    """A counter-example computed again from its seed; `replay` has the recorded and the recomputed numbers."""

    def __init__(self, found: witnesses.Replay) -> None:
        self.replay = found

    @property
    def reproduced(self) -> bool:
        return self.replay.reproduced

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign replay --json` prints."""
        return dict(self.replay.as_json())

    def page(self) -> Page:
        found = self.replay
        rows = list(enumerate(zip(found.recorded, found.recomputed, strict=True), start=1))
        said = "reproduced" if found.reproduced else "NOT reproduced"
        return Page(f"{found.claim_id} ({found.variant.replace('_', ' ')}): {said}; limit {found.limit:.6g}",
                    ("point", "recorded", "recomputed"), [(n, *pair) for n, pair in rows])  # fmt: skip


def replay(witness: str | Path) -> ReplayResult:
    """Compute a saved witness again from its seed.  witness: a file of a check's folder `witnesses`."""
    return ReplayResult(witnesses.replay(witness))
