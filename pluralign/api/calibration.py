"""How far the checks themselves can be trusted: power that is planned, and false alarms that are counted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown
from sim.errors import InputError
from sim.files.locks import held
from sim.running.engines import EngineName, Tls, available_cores
from theory.engine.judges import ALPHA
from theory.engine.planning import MOST, TIMES, PowerPlan, plan
from theory.engine.registry import CLAIMS, find, select
from theory.engine.runner import forget_finished, run_checks
from theory.engine.theorem import PROFILES, Profile
from theory.report.alarms import Alarms, alarms
from theory.report.folder import require_check_folder


class PowerResult(Shown):
    """How many replicates a claim's check needs.  plan: every number."""

    def __init__(self, found: PowerPlan) -> None:
        self.plan = found

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign power --json` prints."""
        return dict(self.plan.as_json())

    def page(self) -> Page:
        own = self.plan
        rows: list[tuple[Any, ...]] = [("the claim " + own.holds.against, own.holds.now, own.holds.replicates)]
        rows.append((f"departure: {own.departure.against}", own.departure.now, own.departure.replicates))
        rows += [(f"control: {need.against}", need.now, need.replicates) for need in own.controls]
        rows += [(f"grid {grid.words} ({len(grid.grid)} points)", None, grid.replicates) for grid in own.grids]
        reach = f"{own.needed} replicates reach power {own.target:g}"
        if own.unreached:
            reach = f"no number of replicates reaches power {own.target:g} for {', '.join(own.unreached)}"
        notes = [
            f"the claim's verdict at p <= {own.level:.2g}, adjusted among {own.family} verdicts; departure and "
            f"controls at {ALPHA:g}, not adjusted",
            f"a replicate takes {own.seconds_a_replicate:.3g} s here",
        ]
        if own.unreached:
            notes.append(f"tried up to {TIMES * own.replicates:,} replicates, for the departure up to {MOST:,}")
        if own.tested < 1.0:
            notes.insert(1, f"{own.tested:.0%} of the replicates test the claim; all are counted")
        return Page(
            f"{own.claim_id} ({own.variant.replace('_', ' ')}): {reach} (it has {own.replicates})",
            ("against", f"power at {own.replicates}", "replicates needed"), rows,
            notes,
        )  # fmt: skip


@plain_numbers
def power(
    claim: str, *, target: float = 0.8, variant: str | None = None, profile: Profile = "quick", seed: int = 0,
    family: int | None = None,
) -> PowerResult:  # fmt: skip
    """How many replicates, and for a rate which grid, the check of a claim needs to see what it should see.

    claim: a name, or module:NAME of your own.  target: the probability to reach.  variant: None: the last one of the
    claim, the one that holds.  family: among how many verdicts the claim's is adjusted; None: those of its paper.
    """
    if profile not in PROFILES:
        raise InputError(f"profile must be one of {', '.join(PROFILES)} (got {profile!r})")
    found = select((claim,)) if ":" in claim or claim in CLAIMS.names() else (find(claim),)
    if len(found) > 1:
        raise InputError(f"claim '{claim}': these are {len(found)} claims", fix="name one of them")
    chosen = list(found[0].SETTINGS)[-1] if variant is None else variant
    return PowerResult(plan(found[0], chosen, target=target, profile=profile, seed=seed, family=family))


class AlarmsResult(Shown):
    """Verdicts and controls that were not as expected, over seeds.  alarms: every number."""

    def __init__(self, found: Alarms) -> None:
        self.alarms = found

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign check --seeds N --json` prints."""
        return dict(self.alarms.as_json())

    def page(self) -> Page:
        own = self.alarms
        rows = []
        for paper, verdicts in own.verdicts.items():
            controls, (low, high) = own.controls[paper], verdicts.interval
            rows.append((
                paper, f"{verdicts.events} of {verdicts.trials}", f"[{low:.2g}, {high:.2g}]",
                f"{controls.events} of {controls.trials}", f"{len(own.clean[paper])} of {len(own.seeds)}",
            ))  # fmt: skip
        named = [f"{one.claim_id} ({one.what}): seeds {', '.join(map(str, one.seeds))}"
                 + (", STANDS OUT" if one.stands_out else "") for one in own.suspects]  # fmt: skip
        return Page(f"false alarms over {len(own.seeds)} seeds",
                    ("paper", "verdicts not as expected", "95 % interval", "controls escaped", "clean seeds"),
                    rows, named or ["every verdict and every control came out as expected"])  # fmt: skip


# Long for its arguments, the options of `pluralign check --seeds`.
@plain_numbers
def false_alarms(
    *names: str,
    seeds: int = 30,
    seed: int = 0,
    profile: Profile = "quick",
    workers: int | None = None,
    engine: EngineName = "joblib",
    scheduler: str | None = None,
    tls: tuple[str | Path, str | Path, str | Path] | None = None,
    time_out: float | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    progress: Callable[[str], None] | None = None,
) -> AlarmsResult:
    """Check the same claims at many seeds: the share of verdicts and controls that are not as expected.

    names: papers or claims, module:CLAIMS of your own; all of ours if none.  seeds: how many, from `seed` on.  out: a
    folder that keeps every finished claim; a run that is killed goes on from there, and one with more seeds takes
    what there is.  Other arguments: as `check`.
    """
    if seeds < 1:
        raise InputError(f"seeds must be at least 1 (got {seeds})")
    if profile not in PROFILES:
        raise InputError(f"profile must be one of {', '.join(PROFILES)} (got {profile!r})")
    theorems = select(names)
    security = None if tls is None else Tls(*map(Path, tls))
    reports = []
    if out is not None:
        require_check_folder(out)
    with nullcontext() if out is None else held(out):
        if fresh and out is not None:
            # Of all seeds, before the first: a run that is killed must not leave the others' to be taken.
            forget_finished(Path(out) / "cells", theorems, profile, range(seed, seed + seeds))
        for place in range(seeds):

            def arrived(claim_id: str, done: int, total: int, left: float, place: int = place) -> None:
                if progress is not None:
                    progress(f"seed {seed + place} ({place + 1} of {seeds}): {done} of {total} claims")

            reports.append(run_checks(
                theorems, profile=profile, seed=seed + place, engine=engine, scheduler=scheduler, tls=security,
                workers=available_cores() if workers is None else workers, time_out=time_out,
                cells=None if out is None else Path(out) / "cells", on_progress=arrived,
            ))  # fmt: skip
            # What there is so far is there to read: the whole takes hours.
            if out is not None:
                alarms(reports).write(Path(out))
    return AlarmsResult(alarms(reports))
