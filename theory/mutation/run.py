"""Plant faults one at a time and see which claims notice: in parallel, resumable, at the granularity of one claim."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.files.sealed import read_sealed, write_sealed
from theory.engine.registry import select
from theory.engine.theorem import Json, Profile
from theory.mutation.fault import Fault
from theory.mutation.operators import sample as sample_of
from theory.mutation.session import Session
from theory.mutation.sources import Module, Sources
from theory.mutation.survey import Surveyed, covering, executed, imported_by, survey

# A claim that takes so many times its usual time, and these seconds more, has been made endless.
SLOWER, PATIENCE, COMPILING = 10.0, 60.0, 240.0
FULL_FACTOR = 8.0
# The share of the catalogue's faults that must be noticed.
TARGETS: dict[Profile, float] = {"quick": 0.95, "full": 1.0}


@dataclass(frozen=True)
class Outcome:
    """fault; killed_by: the claim that noticed, or ""; how: its verdict, control or error; tried: the claims that were
    run, in order; profile: the one at which it was noticed, or the last one tried; unanswered: claims that were asked
    twice and whose process was ended from outside."""

    fault: Fault
    killed_by: str
    how: str
    tried: tuple[str, ...]
    profile: Profile
    seconds: float
    unanswered: tuple[str, ...] = ()

    @property
    def killed(self) -> bool:
        return bool(self.killed_by)

    @property
    def way(self) -> str:
        """How it was noticed: "verdict", "inconclusive", "control", "error", or "" where it was not."""
        return "inconclusive" if " INCONCLUSIVE where " in self.how else self.how.partition(":")[0]

    def as_json(self) -> Json:
        fault = self.fault
        return {
            "id": fault.id, "paper": fault.paper, "kind": fault.kind, "place": fault.place, "what": fault.what,
            "old": fault.old, "new": fault.new, "killed_by": self.killed_by or None, "how": self.how,
            "tried": len(self.tried), "unanswered": list(self.unanswered), "profile": self.profile,
            "equivalent": fault.equivalent or None, "seconds": round(self.seconds, 2),
        }  # fmt: skip


@dataclass(frozen=True)
class MutationReport:
    """Every planted fault and what became of it."""

    outcomes: tuple[Outcome, ...]
    profile: Profile
    seed: int
    seconds: float
    unstable: tuple[str, ...]
    """Claims that are not as expected without any fault: they notice nothing."""

    def of(self, kind: str) -> tuple[Outcome, ...]:
        """kind: "catalogue" or "sample"; without the equivalent ones."""
        return tuple(
            one for one in self.outcomes
            if (one.fault.kind == "catalogue") == (kind == "catalogue") and not one.fault.equivalent
        )  # fmt: skip

    @property
    def by_claim(self) -> dict[str, int]:
        """How many faults each claim noticed first."""
        return dict(Counter(one.killed_by for one in self.outcomes if one.killed).most_common())

    @property
    def exit_code(self) -> int:
        """0 where the catalogue's target is reached, 1 where not."""
        own = self.of("catalogue")
        return int(sum(one.killed for one in own) < TARGETS[self.profile] * len(own))

    def as_json(self) -> Json:
        return {
            "killed": sum(one.killed for one in self.outcomes),
            "total": len(self.outcomes),
            "ways": dict(Counter(one.way for one in self.outcomes if one.killed).most_common()),
            "catalogue": _rates(self.of("catalogue")),
            "sample": _rates(self.of("sample")),
            "equivalent": [one.fault.id for one in self.outcomes if one.fault.equivalent],
            "by_paper": {
                paper: _rates(tuple(one for one in self.of("catalogue") if one.fault.paper == paper))
                for paper in dict.fromkeys(one.fault.paper for one in self.of("catalogue"))
            },
            "by_claim": self.by_claim,
            "unstable": list(self.unstable),
            "unanswered": [one.fault.id for one in self.outcomes if one.unanswered],
            "mutants": [one.as_json() for one in self.outcomes],
            "profile": self.profile,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "exit_code": self.exit_code,
        }


def _rates(own: Sequence[Outcome]) -> Json:
    killed = sum(one.killed for one in own)
    return {"killed": killed, "total": len(own), "rate": killed / len(own) if own else None}


class _Cells:
    """One file a fault: what each claim said of it, while neither has changed."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        self.path = folder / f"{fault.id}-{fault.digest}.json"
        self._said: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._said = dict(read_sealed(self.path))

    def get(self, key: str, claim: Surveyed) -> dict[str, Any] | None:
        own = self._said.get(key)
        return own if isinstance(own, dict) and own.get("digest") == claim.digest and "noticed" in own else None

    def put(self, key: str, claim: Surveyed, answer: dict[str, Any]) -> None:
        self._said[key] = {
            "digest": claim.digest, "noticed": answer["noticed"], "seconds": answer["seconds"],
        }  # fmt: skip
        write_sealed(self.path, self._said)


class _Run:
    def __init__(self, sources: Sources, surveyed: Sequence[Surveyed], profile: Profile, seed: int, out: Path) -> None:
        self.sources, self.surveyed, self.profile, self.seed, self.out = sources, surveyed, profile, seed, out
        self.kernels = out / "cells" / "kernels"
        self.sessions: set[Session] = set()
        self.stopped = threading.Event()

    def fault(self, fault: Fault) -> Outcome:
        began = time.monotonic()
        # Argued to change nothing: most of a quick run's time would go into asking every claim once more.
        if fault.equivalent and fault.kind != "catalogue" and self.profile == "quick":
            return Outcome(fault, "", "", (), self.profile, 0.0)
        claims = [own for own in covering(fault, self.sources, self.surveyed) if not own.noticed]
        cells = _Cells(self.out / "cells" / "faults", fault)
        folder = self.kernels / fault.digest
        session: Session | None = None
        tried: list[str] = []
        unanswered: list[str] = []
        outcome = Outcome(fault, "", "", (), self.profile, 0.0)
        profiles: tuple[Profile, ...] = ("quick",) if self.profile == "quick" else ("quick", "full")
        try:
            for profile in profiles:
                for claim in claims:
                    if self.stopped.is_set():
                        return outcome
                    key = f"{claim.claim_id} {profile} {self.seed}"
                    answer = cells.get(key, claim)
                    if answer is None:
                        session, answer = self._asked(session, fault, claim, profile)
                        if self.stopped.is_set():
                            return outcome
                        if answer.get("unanswered"):
                            unanswered.append(claim.claim_id)
                            continue
                        cells.put(key, claim, answer)
                    tried.append(claim.claim_id)
                    outcome = Outcome(
                        fault, claim.claim_id if answer["noticed"] else "", answer["noticed"],
                        tuple(dict.fromkeys(tried)), profile, time.monotonic() - began,
                    )  # fmt: skip
                    if outcome.killed:
                        return outcome
            return replace(outcome, unanswered=tuple(dict.fromkeys(unanswered)))
        finally:
            if session is not None:
                session.end()
                self.sessions.discard(session)
            shutil.rmtree(folder, ignore_errors=True)

    def _asked(
        self, session: Session | None, fault: Fault, claim: Surveyed, profile: Profile
    ) -> tuple[Session | None, dict[str, Any]]:
        """The answer, with the session that goes on, if any does; a claim whose process died is asked once more."""
        answer: dict[str, Any] = {}
        for _ in range(2):
            session = session or self._session(fault, self.kernels / fault.digest)
            patience = self._patience(claim, profile, compiles=bool(self._kernels(fault)))
            answer = session.ask("check", claim.claim_id, profile, self.seed, patience)
            if not answer.get("over"):
                return session, answer
            session.end()
            self.sessions.discard(session)
            session = None
            if self.stopped.is_set() or not answer.get("died"):
                break
        return None, answer

    def _patience(self, claim: Surveyed, profile: Profile, compiles: bool) -> float:
        usual = claim.seconds * (1.0 if profile == "quick" else FULL_FACTOR)
        return SLOWER * usual + PATIENCE + (COMPILING if compiles else 0.0)

    def _kernels(self, fault: Fault) -> dict[str, str]:
        """The modules whose kernels must be compiled anew: what depends on the changed module through kernels."""

        def compiles(module: Module) -> bool:
            return any(function.compiled for function in module.functions.values())

        modules = self.sources.modules
        if not compiles(modules[fault.module]):
            return {}
        own = {name for name, module in modules.items() if compiles(module)}
        changed = self.sources.dependents(fault.module) & own
        return {name: str(self.sources.modules[name].path) for name in sorted(changed | {fault.module})}

    def _session(self, fault: Fault, folder: Path) -> Session:
        module = self.sources.module(fault)
        session = Session({
            "module": module.name, "path": str(module.path), "text": self.sources.planted(fault),
            "kernels": self._kernels(fault), "folder": str(folder),
        })  # fmt: skip
        self.sessions.add(session)
        return session

    def stop(self) -> None:
        self.stopped.set()
        for session in list(self.sessions):
            session.end()


def run_mutations(
    faults: Sequence[Fault],
    *,
    sample: int = 0,
    claims: Sequence[str] = (),
    profile: Profile = "quick",
    seed: int = 0,
    workers: int = 1,
    out: Path,
    on_survey: Callable[[str, int, int], None] = lambda claim, done, total: None,
    on_progress: Callable[[Outcome, int, int, float], None] = lambda outcome, done, total, left: None,
) -> MutationReport:
    """Each fault against the claims that execute the changed line, quick ones first, until one notices.

    sample: so many of the generic operators' faults beside them.  claims: papers and claims that may notice; all if
    empty.
    profile: at full, what no claim notices at quick is tried again with full replicates.
    out: cells/ there keep every answer; a later run takes what nothing has changed since.
    """
    began = time.monotonic()
    sources = Sources()
    theorems = select(claims)
    for fault in faults:
        sources.planted(fault)  # a fault that does not fit is said before hours of work
    if not sample:
        # Only claims that import a changed module can execute it.
        modules = {fault.module for fault in faults}
        theorems = tuple(own for own in theorems if modules & imported_by(sources, own))
    shutil.rmtree(out / "cells" / "kernels", ignore_errors=True)
    (out / "cells" / "faults").mkdir(parents=True, exist_ok=True)
    found = list(
        survey(
            theorems, sources, seed=seed, workers=workers, cells=out / "cells" / "claims", on_progress=on_survey
        ).values()
    )
    planted = [*faults, *(sample_of(sources, executed(found), sample, seed) if sample else ())]
    run = _Run(sources, found, profile, seed, out)
    outcomes: dict[str, Outcome] = {}
    started = time.monotonic()
    pool = ThreadPoolExecutor(workers)
    try:
        waiting = {pool.submit(run.fault, fault): fault for fault in planted}
        for done in as_completed(waiting):
            outcomes[waiting[done].id] = done.result()
            left = (time.monotonic() - started) / len(outcomes) * (len(planted) - len(outcomes))
            on_progress(done.result(), len(outcomes), len(planted), left)
    finally:
        run.stop()
        pool.shutdown(wait=True, cancel_futures=True)
    return MutationReport(
        tuple(outcomes[fault.id] for fault in planted), profile, seed, time.monotonic() - began,
        tuple(own.claim_id for own in found if own.noticed),
    )  # fmt: skip
