"""What a study leaves behind: results, tables, figures, the comparison with reference numbers, the configuration."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sim.errors import InputError, short
from sim.files.atomic import write_json, write_text
from sim.files.checksums import forget_checksums, require_unchanged, write_checksums
from sim.files.own_folder import require_own_folder
from sim.plugins import blaming
from sim.reading import load_json
from sim.studies.cells import StudyRun
from sim.studies.comparison import Compared, compare, markdown_table
from sim.studies.experiment import Experiment
from sim.studies.reference import Reference
from sim.studies.registry import EXPERIMENTS, find_experiment
from sim.studies.request import study_file_here
from sim.studies.results import Results
from sim.studies.spec import StudySpec, folder_of
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
        """The experiment's table.  InputError, in a line, where it makes none of these results."""
        run = self.run
        return told(run.spec.experiment, run.record.definition, run.results, tuple(run.spec.grid))

    @cached_property
    def summary(self) -> str:
        """The experiment's table, or where that cannot be made the means: the numbers are there."""
        try:
            return self.overview
        except InputError:
            return means_table(self.run.results, tuple(self.run.spec.grid))

    @cached_property
    def comparison(self) -> str:
        """The comparison as Markdown; empty if there is nothing to compare."""
        return markdown_table(self.compared, self.reference.source) if self.reference and self.compared else ""

    def write(self, folder: Path) -> None:
        """results.parquet, study.json, summary.md, comparison.md where there is a reference, and their checksums."""
        forget_checksums(folder)
        self.run.results.write(folder / "results.parquet")
        content = {
            **self.run.record.as_json(),
            "skipped": dict(self.run.skipped),
            "failed": [vars(row) for row in self.run.failed],
            "n_failed": self.run.n_failed,
        }
        write_json(folder / "study.json", content)
        write_text(folder / "summary.md", self.summary)
        if self.comparison:
            write_text(folder / "comparison.md", self.comparison)
        written = ("results.parquet", "study.json", "summary.md", *(["comparison.md"] if self.comparison else []))
        write_checksums(folder, written)

    def draw(self, folder: Path) -> list[Path]:
        """The figure the study file names, as PNG and SVG."""
        spec = self.run.spec
        return draw_figure(spec.experiment, self.run.record.definition, spec.figure, self.run.results, folder)

    def mistakes(self, folder: Path) -> list[str]:
        """Draws the figure into a folder where the study is written; why its table or the figure could not be made."""
        found = []
        try:
            _ = self.overview
        except InputError as error:
            found.append(f"the table cannot be made of these results ({error.problem})")
        try:
            self.draw(folder)
        except InputError as error:
            found.append(f"the figure cannot be drawn from these results ({error.problem})")
        return found

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
        if self.reference is not None and self.reference.other:
            lines.append(f"nothing to compare with: the reference was measured at {self.reference.other}")
        elif self.reference is not None and self.reference.elsewhere:
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
            "study": dict(run.record.resolved),
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
    that names it lies there: a result that somebody sent must not choose what is run, not even of what lies here.  One
    that is loaded here already draws its results from anywhere, if it is the one that measured them.  Else the numbers
    are shown without its figure.
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
            saved = cls(study, Results.read(folder / "results.parquet", study["settings"]), folder)
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
        if EXPERIMENTS.is_ours(self.name) or ":" not in self.name:
            return self._imported(None)
        if (file := study_file_here(self.folder, self.name)) is not None:
            return self._imported(folder_of(file))
        loaded = EXPERIMENTS.loaded(self.name, str(self.study.get("experiment_code")))
        if isinstance(loaded, Experiment):
            return loaded, ""
        return None, f"no study file at or below {Path.cwd()} that the folder is of names it"

    def _imported(self, folder: Path | None) -> tuple[Experiment | None, str]:
        try:
            return find_experiment(self.name, folder), ""
        except InputError as error:
            if EXPERIMENTS.is_ours(self.name):
                raise
            return None, error.problem

    def require_definition(self) -> Experiment:
        """Its experiment.  InputError where it cannot be imported here."""
        if self.definition is None:
            raise InputError(
                f"'{self.name}' cannot be imported here ({self.unknown}), and only it can draw it",
                file=self.folder,
                fix="draw where the study file is, or import the module first",
            )
        return self.definition

    @property
    def figure(self) -> str | None:
        """As the study file named it; files of before named none."""
        if (definition := self.definition) is None:
            return None
        name = self.study.get("figure") or definition.figure_for(self.factors)
        return name if name in definition.figures else None

    def table(self) -> str:
        if self.definition is None:
            return means_table(self.results, self.factors)
        return told(self.name, self.definition, self.results, self.factors)

    def draw(self, folder: Path) -> list[Path]:
        return draw_figure(self.name, self.definition, self.figure, self.results, folder)


def told(experiment: str, definition: Experiment, results: Results, factors: Sequence[str]) -> str:
    """Its table of these results.  InputError, in a line, where it raises, or gives something else than a text."""
    with blaming(f"experiment '{experiment}': table"):
        text: Any = definition.table(results, factors)
    if not isinstance(text, str):
        raise InputError(f"experiment '{experiment}': table must return a text (got {short(text)})")
    return text


def draw_figure(
    experiment: str, definition: Experiment | None, figure: str | None, results: Results, folder: Path
) -> list[Path]:
    """Nothing where nothing was measured or no figure is named; InputError, in a line, where it cannot be drawn, of
    ours as of one of somebody's own: it is drawn of whatever replicates there are."""
    if figure is None or definition is None or not len(results.measured()):
        return []
    said = f"experiment '{experiment}': figure '{figure}'"
    with blaming(said):
        files: Any = definition.figures[figure].draw(results, folder)
    if not isinstance(files, list | tuple) or not all(isinstance(file, str | Path) for file in files):
        raise InputError(f"{said} must return the files that it wrote (got {short(files)})", fix="return a list")
    return [Path(file) for file in files]
