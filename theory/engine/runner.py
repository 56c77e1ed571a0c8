"""Run many checks: in parallel, resumable, with multiplicity taken care of."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.sealed import read_sealed, write_sealed
from sim.plugin_sources import in_a_file
from sim.plugins import blaming, looking_in
from sim.running.engines import EngineName, Tls, run_tasks
from sim.running.fingerprint import code_fingerprint, versions
from sim.running.watched import Ended, prepared, watched
from sim.running.workers import require_seconds
from theory.engine.checks import Check, ControlResult, Curve, Witness, check_theorem
from theory.engine.given import Given
from theory.engine.json_numbers import number, numbers
from theory.engine.judges import ALPHA
from theory.engine.multiplicity import benjamini_yekutieli, holm
from theory.engine.registry import again, checked, find, once, ours, stated
from theory.engine.theorem import Json, Origin, Premise, Profile, Theorem
from theory.engine.verdicts import Verdict


@dataclass(frozen=True)
class CheckReport:
    """Every verdict of a run."""

    checks: tuple[Check, ...]
    profile: Profile
    seed: int
    seconds: float
    resumed: int

    @property
    def all_as_expected(self) -> bool:
        return all(check.as_expected for check in self.checks)

    @property
    def controls_total(self) -> int:
        return sum(len(check.controls) for check in self.checks)

    @property
    def controls_caught(self) -> int:
        return sum(control.caught for check in self.checks for control in check.controls)

    @property
    def exit_code(self) -> int:
        """0 all as expected; 1 a conclusive verdict differs or a control escaped; 3 otherwise inconclusive."""
        if self.controls_caught < self.controls_total:
            return 1
        differing = {check.verdict for check in self.checks if not check.as_expected}
        if differing - {Verdict.INCONCLUSIVE, Verdict.VACUOUS} or not all(check.tight for check in self.checks):
            return 1
        return 3 if differing else 0

    def as_json(self) -> Json:
        return {
            "verdicts": [check.as_json() for check in self.checks],
            "all_as_expected": self.all_as_expected,
            "controls_caught": self.controls_caught,
            "controls_total": self.controls_total,
            "profile": self.profile,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "resumed": self.resumed,
            "exit_code": self.exit_code,
        }


@dataclass(frozen=True)
class _Task:
    """Picklable: a worker finds the theorem by name.  given: a claim that no module of a name has, itself."""

    claim_id: str
    profile: Profile
    seed: int
    origin: Origin | None = None
    given: Given | None = None
    time_out: float | None = None


def _run(task: _Task) -> list[Check]:
    if task.origin is None and task.given is None:
        theorem = find(task.claim_id)
        prepared()
        return check_theorem(theorem, task.profile, task.seed)
    with ExitStack() as stack:
        stack.enter_context(looking_in(None if task.origin is None else task.origin.folder))
        stack.enter_context(blaming(f"claim '{task.claim_id}'"))
        theorem = again(task.claim_id, task.origin) if task.given is None else stack.enter_context(task.given.here())
        prepared()
        checks = check_theorem(theorem, task.profile, task.seed)
        # Held against what JSON can keep here, where it is this claim's failure.
        json.dumps([check.as_json() for check in checks], allow_nan=False)
        return checks


def _run_in_time(task: _Task) -> list[Check] | Ended:
    return _run(task) if task.time_out is None else watched(_run, task, task.time_out)


def _task(theorem: Theorem[Any], profile: Profile, seed: int, time_out: float | None) -> _Task:
    """A claim is sent by its name where a worker finds the same under it, and else itself."""
    origin = theorem.origin
    if origin is not None and stated(theorem) != origin.stated:
        origin = None  # Its settings were changed here since it was found.
    if origin is not None and not in_a_file(theorem):
        origin = None  # Of a notebook: no worker finds it.
    found = origin is not None or ours(theorem)
    given = None if found else Given(checked(theorem, type(theorem).__name__))
    return _Task(theorem.claim_id, profile, seed, origin, given, time_out)


def fingerprint() -> str:
    """Of `sim` and `theory`: a cell computed by other code is not taken for this code's."""
    return code_fingerprint((Path(__file__).resolve().parents[1],))


def _cell_path(folder: Path, task: _Task) -> Path:
    own = [] if task.origin is None else [task.origin.digest, task.origin.stated]
    identity = json.dumps([task.claim_id, task.profile, task.seed, fingerprint(), *own])
    return folder / f"{task.claim_id}-{hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()}.json"


def forget_finished(cells: Path, theorems: Sequence[Theorem[Any]], profile: Profile, seeds: Sequence[int]) -> None:
    """What finished of these is computed again by whoever comes next, also where this run is killed before."""
    for task in (_task(theorem, profile, seed, None) for seed in seeds for theorem in once(theorems)):
        if task.given is None:
            _cell_path(cells, task).unlink(missing_ok=True)


def _load_cell(path: Path) -> list[Check] | None:
    """A finished cell, or None if it is missing, was changed or was not written by this program."""
    try:
        return [check_from_json(row) for row in read_sealed(path)]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_from_json(row: Any) -> Check:
    """What `Check.as_kept` or `Check.as_json` wrote; KeyError, TypeError or ValueError where neither did.

    Of a null of `as_json` nobody knows what it was: NaN, and the whole line of an interval.
    """
    if not isinstance(row, dict):
        raise TypeError(f"a verdict is {type(row).__name__}")
    row = {name: value for name, value in row.items() if name != "control_verdict"}
    row["verdict"], row["expected"] = Verdict(row["verdict"]), Verdict(row["expected"])
    row["premises"] = tuple(Premise(**{**premise, "value": number(premise["value"])}) for premise in row["premises"])
    row["controls"] = tuple(
        ControlResult(**{**control, "verdict": Verdict(control["verdict"]), "power": number(control["power"]),
                         "measured": _known(control["measured"])})
        for control in row["controls"]
    )  # fmt: skip
    row["axes"] = tuple(row["axes"])
    for name in ("bound", "standard_error", "p_value", "power"):
        row[name] = number(row[name])
    for name in ("measured", "attained", "departure_power"):
        row[name] = _known(row.get(name))
    if (witness := row["witness"]) is not None:
        row["witness"] = Witness(**{**witness, "value": numbers(witness["value"]), "limit": number(witness["limit"])})
    if (curve := row["curve"]) is not None:
        row["curve"] = Curve(**{name: numbers(values) for name, values in curve.items()})
    for name in ("interval", "band"):
        if row[name] is not None:
            low, high = row[name]
            row[name] = number(low, -np.inf), number(high, np.inf)
    return Check(**row)


def _known(value: object) -> float | None:
    return None if value is None else number(value)


def run_checks(
    theorems: Sequence[Theorem[Any]],
    *,
    profile: Profile,
    seed: int,
    workers: int = 1,
    engine: EngineName = "joblib",
    scheduler: str | None = None,
    tls: Tls | None = None,
    time_out: float | None = None,
    cells: Path | None = None,
    fresh: bool = False,
    on_progress: Callable[[str, int, int, float], None] | None = None,
) -> CheckReport:
    """Check every theorem; one task a theorem, the longest first.

    theorems: of `select`, or claims of one's own as they are (instances).
    cells: folder of finished tasks, written as each one ends and read again by a later run of the same code,
    seed and profile (unless `fresh`): a killed run loses what was in flight and nothing else. A claim given as it is,
    whose sources nobody can name, is not kept there.
    time_out: seconds a claim may take; one that takes longer, or takes its process along, is an InputError once the
    others are done and kept.
    on_progress(claim_id, done, total, seconds left).
    """
    began = time.monotonic()
    require_seconds("time_out", time_out)
    theorems = once(theorems)
    tasks = [_task(theorem, profile, seed, time_out) for theorem in theorems]
    done: dict[str, list[Check]] = {}
    if cells is not None and fresh:
        forget_finished(cells, theorems, profile, [seed])
    elif cells is not None:
        for task in (task for task in tasks if task.given is None):
            found = _load_cell(_cell_path(cells, task))
            if found is not None:
                done[task.claim_id] = found
    resumed = len(done)
    cost = {theorem.claim_id: theorem.cost for theorem in theorems}
    open_tasks = sorted((t for t in tasks if t.claim_id not in done), key=lambda t: -cost[t.claim_id])

    if engine == "dask" or time_out is not None or (engine == "joblib" and workers > 1 and len(open_tasks) > 1):
        # Before any begins: what cannot be sent is said in a line, and by the thread that sends as a traceback.
        for given in (task.given for task in open_tasks if task.given is not None):
            given.packed()
    ended: dict[str, str] = {}

    def arrived(index: int, checks: list[Check] | Ended) -> None:
        task = open_tasks[index]
        if isinstance(checks, Ended):
            ended[task.claim_id] = checks.why
            return
        done[task.claim_id] = checks
        if cells is not None and task.given is None:
            write_sealed(_cell_path(cells, task), [check.as_kept() for check in checks])
        if on_progress is not None:
            spent = time.monotonic() - began
            paid = sum(cost[t.claim_id] for t in open_tasks if t.claim_id in done)
            left = sum(cost[t.claim_id] for t in open_tasks if t.claim_id not in done)
            on_progress(task.claim_id, len(done), len(tasks), spent * left / max(paid, 1e-9))

    run_tasks(_run_in_time, open_tasks, workers=workers, engine=engine, scheduler=scheduler, tls=tls, on_done=arrived)
    if ended:
        claim, why = next(iter(ended.items()))
        others = f", and {len(ended) - 1} others did not come back" if len(ended) > 1 else ""
        raise InputError(
            f"claim '{claim}': {why}{others}; {len(done)} claims were checked",
            fix="they are kept where there is a folder: give more time, or leave these claims out",
        )
    checks = adjust([check for task in tasks for check in done[task.claim_id]])
    return CheckReport(tuple(checks), profile, seed, time.monotonic() - began, resumed)


def adjust(checks: list[Check]) -> list[Check]:
    """Holm within each paper and Benjamini-Yekutieli across all: an assertion whose adjusted p-value exceeds
    the level is taken back to INCONCLUSIVE."""
    asserted = [c for c in checks if c.verdict in (Verdict.HOLDS, Verdict.VIOLATED)]
    if not asserted:
        return checks
    # A p-value that is not a number is no evidence; left as it is it would switch off the correction of all others.
    p_values = {id(c): 1.0 if np.isnan(c.p_value) else c.p_value for c in asserted}
    across = dict(zip(map(id, asserted), benjamini_yekutieli(np.array(list(p_values.values()))), strict=True))
    within: dict[int, float] = {}
    for paper in dict.fromkeys(c.paper for c in asserted):
        family = [c for c in asserted if c.paper == paper]
        within.update(zip(map(id, family), holm(np.array([p_values[id(c)] for c in family])), strict=True))
    return [
        replace(
            check,
            verdict=Verdict.INCONCLUSIVE,
            witness=None,
            note=f"{check.note} adjusted p {max(within.get(id(check), 0.0), across[id(check)]):.3g}".strip(),
        )
        if id(check) in across and max(within.get(id(check), 0.0), across[id(check)]) > ALPHA
        else check
        for check in checks
    ]


def resolved_configuration(report: CheckReport, names: Sequence[str]) -> Json:
    """What a reader needs to run the same again."""
    return {
        "command": "check",
        "claims": list(names),
        "profile": report.profile,
        "seed": report.seed,
        "code": fingerprint(),
        "versions": versions(),
        "platform": f"{sys.platform} {platform.machine()}",
    }
