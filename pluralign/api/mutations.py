"""Planted faults: whether the checks notice when the code they check is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown
from sim.errors import InputError
from sim.files.locks import held
from sim.running.engines import available_cores
from theory.engine.theorem import PROFILES, Profile
from theory.mutation.catalogue import catalogue
from theory.mutation.fault import Fault
from theory.mutation.run import MutationReport, Outcome, run_mutations
from theory.report.faults import require_mutations_folder, write_mutations

SAMPLE = 200


class MutationResult(Shown):
    """Planted faults and which claim noticed each.  report: as it was measured."""

    def __init__(self, report: MutationReport) -> None:
        self.report = report

    @property
    def survivors(self) -> tuple[Fault, ...]:
        """Faults that no claim noticed and that are not argued to be equivalent; nor those of which a claim could not
        answer, since its process was ended from outside."""
        return tuple(
            one.fault for one in self.report.outcomes
            if not one.killed and not one.unanswered and not one.fault.equivalent
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign mutate --json` prints."""
        return dict(self.report.as_json())

    def page(self) -> Page:
        own = self.report.outcomes
        rows = [(one.fault.id, one.fault.paper, one.killed_by or _nobody(one), one.fault.what)
                for one in sorted(own, key=lambda one: one.killed)]  # fmt: skip
        killed = sum(one.killed for one in own)
        return Page(f"{killed} of {len(own)} planted faults noticed", ("fault", "in", "noticed by", "what"), rows)


# Long for its arguments, the options of `pluralign mutate`.
@plain_numbers
def mutate(
    *papers: str,
    profile: Profile = "quick",
    seed: int = 0,
    sample: int | None = None,
    only: str | Sequence[str] = (),
    workers: int | None = None,
    out: str | Path = "mutations",
    progress: Callable[[str], None] | None = None,
) -> MutationResult:
    """Plant one fault at a time in `sim` and `theory`, in memory, and see whether the claims notice.

    papers: whose faults of the catalogue; all if none.  profile: quick, or full: what quick does not notice is tried
    again with more replicates.  sample: so many faults of the generic operators beside them (None: 200 with all
    papers, none with some).  only: ids of faults.  workers: processes, None: one a core.  out: folder that keeps every
    answer, one run's alone; a run that is killed goes on from there.  progress: called with a line now and then.
    """
    if profile not in PROFILES:
        raise InputError(f"profile must be one of {', '.join(PROFILES)} (got {profile!r})")
    size = (0 if papers or only else SAMPLE) if sample is None else sample
    if size < 0:
        raise InputError(f"sample must be at least 0 (got {size})")
    planted, only = catalogue(*papers), (only,) if isinstance(only, str) else tuple(only)
    for name in only:
        if name not in {fault.id for fault in planted}:
            raise InputError(f"there is no planted fault '{name}'",
                             fix="`pluralign mutate --list` names them")  # fmt: skip
    require_mutations_folder(out)
    said = progress or (lambda line: None)
    # A second run would begin with the kernels under the first one's processes.
    with held(out):
        report = run_mutations(
            [fault for fault in planted if not only or fault.id in only],
            sample=size,
            # One paper's faults are mostly in what its own claims execute, and a survey of all takes minutes.
            claims=papers,
            profile=profile,
            seed=seed,
            workers=available_cores() if workers is None else workers,
            out=Path(out),
            on_survey=lambda claim, done, total: said(f"[{done}/{total}] {claim} as it is"),
            on_progress=lambda one, done, total, left: said(
                f"[{done}/{total}] {one.fault.id}: {one.killed_by or _unnoticed(one)} (about {left / 60:.0f} min left)"
            ),
        )
        write_mutations(Path(out), report)
    return MutationResult(report)


def _unnoticed(one: Outcome) -> str:
    return "argued" if one.fault.equivalent else "NOT ANSWERED" if one.unanswered else "NOT NOTICED"


def _nobody(one: Outcome) -> str:
    return "NOT ANSWERED" if one.unanswered else "NOBODY"
