"""What a study leaves behind: results, tables, figures, the comparison with reference numbers, the configuration."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.files.atomic import write_json, write_text
from sim.files.checksums import forget_checksums, require_unchanged, write_checksums
from sim.files.own_folder import require_own_folder
from sim.plugins import blaming
from sim.reading import load_json
from sim.running.fingerprint import code_fingerprint, versions
from sim.studies.cells import StudyRun
from sim.studies.comparison import Compared, compare, markdown_table
from sim.studies.experiment import Experiment
from sim.studies.reference import Reference
from sim.studies.registry import EXPERIMENTS, find_experiment
from sim.studies.request import names_it_here
from sim.studies.results import Results
from sim.studies.spec import StudySpec
from sim.studies.summary import means_table


@dataclass(frozen=True)
class StudyReport:
    """A finished run and, where its file names one, the reference it is compared with."""

    run: StudyRun
    reference: Reference | None

    @cached_property
    def compared(self) -> list[Compared]:
        """Each reference number this study measured too."""
        return [] if self.reference is None else compare(self.run.results, self.reference)

    @property
    def agreeing(self) -> int:
        """How many numbers lie within 3 joint standard errors."""
        return sum(row.agrees for row in self.compared)

    @cached_property
    def overview(self) -> str:
        """The experiment's table."""
        return self.run.spec.definition.table(self.run.results, tuple(self.run.spec.grid))

    @cached_property
    def comparison(self) -> str:
        """The comparison as Markdown; empty if there is nothing to compare."""
        return markdown_table(self.compared, self.reference.source) if self.reference and self.compared else ""

    def write(self, folder: Path) -> None:
        """results.parquet, study.json, summary.md, comparison.md where there is a reference, and their checksums."""
        spec = self.run.spec
        forget_checksums(folder)
        self.run.results.write(folder / "results.parquet")
        content = {
            **spec.resolved(),
            "versions": versions("torch"),
            "code": code_fingerprint(spec.inputs),
            # Of an experiment or a world of one's own, as it is now: not read once a process, like ours.
            "own_code": spec.sources.digest or None,
            "skipped": dict(self.run.skipped),
            "failed": [vars(row) for row in self.run.failed],
            "n_failed": self.run.n_failed,
        }
        write_json(folder / "study.json", content)
        write_text(folder / "summary.md", self.overview)
        if self.comparison:
            write_text(folder / "comparison.md", self.comparison)
        written = ("results.parquet", "study.json", "summary.md", *(["comparison.md"] if self.comparison else []))
        write_checksums(folder, written)

    def draw(self, folder: Path) -> list[Path]:
        """The figure the study file names, as PNG and SVG."""
        return draw_figure(
            self.run.spec.experiment, self.run.spec.folder, self.run.spec.figure, self.run.results, folder
        )

    def remarks(self, cells: str | Path) -> list[str]:
        """A line each: what was taken from an earlier run or could not be, what was skipped, and what failed."""
        run = self.run
        lines = list(run.notices)
        if run.failed:
            first = run.failed[0]
            lines.append(
                f"{run.n_failed} of {run.tasks} replicates failed; the first, cell {first.cell_id}, replicate "
                f"{first.replicate}: {first.error}; the others are kept, and the next run tries these again"
            )
        if run.resumed:
            lines.append(f"{run.resumed} of {run.tasks} replicates were taken from {cells}")
        if run.missed:
            lines.append(run.missed)
        if self.reference is not None and self.reference.elsewhere:
            of = self.reference.elsewhere + len(self.reference.rows)
            lines.append(
                f"{self.reference.elsewhere} of {of} rows of the reference are of other cells than the study's"
            )
        for reason, cells_skipped in sorted(Counter(run.skipped.values()).items()):
            lines.append(f"{cells_skipped} of the study's cells skipped: {reason}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        run = self.run
        return {
            "study": run.spec.resolved(),
            "tasks": run.tasks,
            "resumed": run.resumed,
            "skipped": dict(run.skipped),
            "failed": [vars(row) for row in run.failed],
            "n_failed": run.n_failed,
            "above_target": {
                cell: {**vars(worst), "error": worst.error if math.isfinite(worst.error) else None}
                for cell, worst in run.above_target.items()
            },
            "seconds": round(run.seconds, 3),
            "comparison": [vars(row) for row in self.compared],
            "within_3_joint_errors": self.agreeing,
            "compared": len(self.compared),
        }


def require_own_study_folder(folder: str | Path) -> None:
    """Refuse a folder with anything but a study in it."""
    require_own_folder(folder, "study", ("request.json", "study.json"))


def require_same_study(folder: Path, spec: StudySpec) -> None:
    """Refuse a folder that holds something else, or another study's results, before the work: they would be
    overwritten, or mixed."""
    require_own_study_folder(folder)
    there = _study_in(folder)
    if there is not None and there != (spec.experiment, spec.title):
        raise InputError(
            f"holds another study, '{there[1]}' of {there[0]}", file=folder, fix="name another folder (out)"
        )


def _study_in(folder: Path) -> tuple[str, str] | None:
    """(experiment, title) of the study that was begun in a folder, ended or not, or of which it is a share."""
    # Requests of before they had a title have it in the status.
    for names in (("study.json",), ("request.json",), ("status.json", "request.json")):
        try:
            found: dict[str, Any] = {}
            for name in names:
                found |= json.loads((folder / name).read_text(encoding="utf-8"))
            return found["experiment"], found["title"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


@dataclass(frozen=True)
class SavedStudy:
    """A study read back from its folder: to be looked at and drawn again.

    An experiment of one's own (`module:NAME`) is imported only where this program runs, and only where the study file
    that names it lies there: a result that somebody sent must not choose what is run, not even of what lies here.
    Else the numbers are shown without its figure.
    """

    study: Mapping[str, Any]
    results: Results
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> SavedStudy:
        path = folder / "study.json"
        if not path.is_file() and (folder / "request.json").is_file():
            raise InputError(
                "has no results: a share of a study, or one that has not ended", file=folder,
                fix="`pluralign study merge` puts shares together, `pluralign study resume` goes on",
            )  # fmt: skip
        try:
            study = load_json(path.read_text(encoding="utf-8"))
            saved = cls(study, Results.read(folder / "results.parquet"), folder)
            # Whatever is needed below is there, or this is another version's file.
            _ = saved.factors, saved.name, saved.figure
            require_unchanged(folder, "study.json", "results.parquet")
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            fix = "run `pluralign study` again"
            raise InputError(f"is not a study of this version ({error})", file=path, fix=fix) from error
        return saved

    @property
    def name(self) -> str:
        return str(self.study["experiment"])

    @property
    def factors(self) -> tuple[str, ...]:
        return tuple(self.study["grid"])

    @property
    def definition(self) -> Experiment | None:
        """Its experiment; None for one of somebody's own that cannot be imported here."""
        return self._found[0]

    @property
    def unknown(self) -> str:
        """Why it cannot be imported; empty where it can."""
        return self._found[1]

    def __getstate__(self) -> dict[str, Any]:
        """Without the experiment, which is looked up again where the copy is read, by the same rule."""
        return {name: value for name, value in vars(self).items() if name != "_found"}

    @cached_property
    def _found(self) -> tuple[Experiment | None, str]:
        if ":" in self.name and not EXPERIMENTS.is_ours(self.name) and not names_it_here(self.folder, self.name):
            return None, f"no study file at or below {Path.cwd()} that the folder is of names it"
        try:
            return find_experiment(self.name), ""
        except InputError as error:
            if EXPERIMENTS.is_ours(self.name):
                raise
            return None, error.problem

    @property
    def figure(self) -> str | None:
        """As the study file named it; files of before named none."""
        if (definition := self.definition) is None:
            return None
        name = self.study.get("figure") or definition.figure_for(self.factors)
        return name if name in definition.figures else None

    def table(self) -> str:
        definition = self.definition
        return (means_table if definition is None else definition.table)(self.results, self.factors)

    def draw(self, folder: Path) -> list[Path]:
        return draw_figure(self.name, None, self.figure, self.results, folder)


def draw_figure(experiment: str, beside: Path | None, figure: str | None, results: Results, folder: Path) -> list[Path]:
    """Nothing where nothing was measured or no figure is named; InputError, in a line, where it cannot be drawn, of
    ours as of one of somebody's own: it is drawn of whatever replicates there are."""
    if figure is None or not len(results.measured()):
        return []
    draw = find_experiment(experiment, beside).figures[figure].draw
    with blaming(f"experiment '{experiment}': figure '{figure}'"):
        return draw(results, folder)
