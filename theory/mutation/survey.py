"""What every claim executes and how long it takes, without any fault: which claims a fault is tried on, and when."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.files.sealed import read_sealed, write_sealed
from sim.running.fingerprint import versions
from theory.engine.theorem import Theorem
from theory.mutation.fault import Fault
from theory.mutation.session import Session
from theory.mutation.sources import Sources

# Seconds a claim may take that is as it is in the files, kernels compiled first.
_PATIENCE = 1200.0


@dataclass(frozen=True, eq=False)
class Surveyed:
    """claim_id; lines: module -> lines that its measurements execute or, in kernels, can reach; seconds at the quick
    profile; noticed: why it is not as expected without a fault, mostly empty; digest: of all it can execute."""

    claim_id: str
    paper: str
    lines: dict[str, set[int]]
    seconds: float
    noticed: str
    digest: str

    @property
    def arithmetic(self) -> bool:
        """Whether it executes no code of `sim` but streams and what they stand on."""
        return not any(module.startswith(("sim.algorithms", "sim.estimators", "sim.environments", "sim.populations",
                                          "sim.policies", "sim.compiled", "sim.tables", "sim.fitting"))
                       and module != "sim.compiled.philox" for module in self.lines)  # fmt: skip


def imported_by(sources: Sources, theorem: Theorem[Any]) -> frozenset[str]:
    """The modules of ours that the claim, or the engine that checks it, imports."""
    return sources.closure(type(theorem).__module__) | sources.closure("theory.engine.checks")


def digest_of(sources: Sources, theorem: Theorem[Any]) -> str:
    """Of every module of ours that the claim and the engine that checks it import, and of the versions of Python and
    of the packages that decide numbers."""
    return f"{sources.digest(type(theorem).__module__)}{sources.digest('theory.engine.checks')}{_versions()}"


@cache
def _versions() -> str:
    return hashlib.blake2b(json.dumps(versions(), sort_keys=True).encode(), digest_size=8).hexdigest()


def survey(
    theorems: Sequence[Theorem[Any]],
    sources: Sources,
    *,
    seed: int,
    workers: int,
    cells: Path,
    on_progress: Callable[[str, int, int], None],
) -> dict[str, Surveyed]:
    """Every claim traced at two replicates, and checked once at the quick profile as it is.

    cells: a file a claim, taken again while nothing that the claim imports, nor any version, has changed.
    """
    cells.mkdir(parents=True, exist_ok=True)
    found: dict[str, Surveyed] = {}
    waiting = []
    for theorem in theorems:
        kept = _load(cells / f"{theorem.claim_id}.json", theorem, digest_of(sources, theorem), seed)
        if kept is None:
            waiting.append(theorem)
        else:
            found[theorem.claim_id] = kept
    waiting.sort(key=lambda theorem: -theorem.cost)
    lock = threading.Lock()

    def run() -> None:
        with Session(None) as session:
            while True:
                with lock:
                    if not waiting:
                        return
                    theorem = waiting.pop(0)
                claim = theorem.claim_id
                # Checked first: kernels are then compiled, and the trace is not slowed down by it.
                checked = session.ask("check", claim, "quick", seed, _PATIENCE)
                # A second time where kernels may have been compiled in the first.
                if checked["seconds"] > 3.0 * theorem.cost:
                    checked = session.ask("check", claim, "quick", seed, _PATIENCE)
                traced = session.ask("trace", claim, "quick", seed, _PATIENCE)
                if "lines" not in traced or checked.get("unanswered"):
                    why = checked.get("unanswered") or traced.get("unanswered") or traced["noticed"]
                    raise InputError(f"claim '{claim}': could not be traced ({why})",
                                     fix="the same command goes on; fewer workers need less memory")  # fmt: skip
                own = {
                    "claim_id": claim, "digest": digest_of(sources, theorem), "seed": seed,
                    "seconds": checked["seconds"], "noticed": checked["noticed"], "lines": traced["lines"],
                }  # fmt: skip
                write_sealed(cells / f"{claim}.json", own)
                with lock:
                    found[claim] = _surveyed(own, theorem)
                    on_progress(claim, len(found), len(theorems))

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(run) for _ in range(min(workers, len(waiting)))]:
            done.result()
    return {
        theorem.claim_id: Surveyed(
            **{**found[theorem.claim_id].__dict__, "lines": sources.reached(found[theorem.claim_id].lines)}
        )
        for theorem in theorems
    }


def _surveyed(row: dict[str, Any], theorem: Theorem[Any]) -> Surveyed:
    lines = {str(module): {int(line) for line in own} for module, own in row["lines"].items()}
    return Surveyed(
        theorem.claim_id, theorem.paper, lines, float(row["seconds"]), str(row["noticed"]), str(row["digest"])
    )


def _load(path: Path, theorem: Theorem[Any], digest: str, seed: int) -> Surveyed | None:
    try:
        row = read_sealed(path)
        return _surveyed(row, theorem) if (row["digest"], row["seed"]) == (digest, seed) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def executed(surveyed: Iterable[Surveyed]) -> dict[str, set[int]]:
    """Module -> lines that any of these claims executes."""
    found: dict[str, set[int]] = {}
    for own in surveyed:
        for module, lines in own.lines.items():
            found.setdefault(module, set()).update(lines)
    return found


def covering(fault: Fault, sources: Sources, surveyed: Iterable[Surveyed]) -> list[Surveyed]:
    """The claims that execute a line the fault changes, quick ones first.

    Where none does (what stands outside functions runs when a module is imported, and a line in the middle of a
    statement is not always an event of its own): those that execute anything of the function, class or module.
    """
    lines = set(sources.lines(fault))
    module = sources.module(fault)
    function = module.functions.get(fault.qualname)
    whole = set(range(function.first, function.last + 1)) if function else set(range(1, module.text.count("\n") + 2))
    claims = list(surveyed)
    for wanted in (lines, whole):
        found = [own for own in claims if own.lines.get(module.name, set()) & wanted]
        if found:
            return sorted(found, key=lambda own: own.seconds)
    return []
