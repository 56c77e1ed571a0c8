"""How far a study is, and what it will take: shown as the commands say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pluralign.api.shown import Page, Shown
from pluralign.study_words import at_its_target, plan_words, status_headline, status_notes
from sim.studies import planning, status


@dataclass(frozen=True, repr=False)
class StudyStatus(Shown, status.StudyStatus):
    __doc__ = status.StudyStatus.__doc__

    def page(self) -> Page:
        """Cells that are not finished, by their factors."""
        left = [] if at_its_target(self) else [cell for cell in self.cells if cell[1] < cell[2]]
        names = list(dict.fromkeys(name for factors, _, _ in left for name in factors))
        rows = [(*(str(factors.get(name, "-")) for name in names), done, of) for factors, done, of in left]
        return Page(status_headline(self), (*names, "finished", "of") if rows else (), rows, status_notes(self))

    def as_dict(self) -> dict[str, Any]:
        return self.as_json()


@dataclass(frozen=True, repr=False)
class StudyPlan(Shown, planning.StudyPlan):
    __doc__ = planning.StudyPlan.__doc__

    def page(self) -> Page:
        """A line each of replicates, memory and time."""
        return Page(
            "plan of a study; nothing was run but a replicate of some cells",
            ("what", ""),
            list(plan_words(self).items()),
        )

    def as_dict(self) -> dict[str, Any]:
        return self.as_json()
