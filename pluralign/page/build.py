"""The page: sections collected, and rendered by the templates beside this file."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pluralign.page.folders import Result, Sources, results_in, unfinished_in
from pluralign.page.limits import PAGE
from sim.errors import InputError
from sim.files.atomic import require_place
from sim.printable import printable
from sim.reading import of_this_version

NAME = "report.html"


@dataclass(frozen=True)
class Sections:
    """What stands on the page, a list a kind of result."""

    title: str
    checks: list[Any]
    studies: list[Any]
    fits: list[Any]
    runs: list[Any]
    mutants_from: str
    sources: Sources
    unfinished: tuple[str, ...] = ()

    @property
    def not_shown(self) -> str:
        """In a line which studies have no results to show; nothing where all have."""
        if not self.unfinished:
            return ""
        some, several = ", ".join(self.unfinished[:12]), len(self.unfinished) > 1
        more = f" and {len(self.unfinished) - 12} more" if len(self.unfinished) > 12 else ""
        return (
            f"not shown, as {'they have' if several else 'it has'} no results (shares of a study, or ones that have "
            f"not ended): {some}{more}; `pluralign study merge` puts shares together, `pluralign study resume` goes on"
        )

    @property
    def told(self) -> str:
        """One line for the terminal."""
        claims = sum(len(check.claims) for check in self.checks)
        parts = [(claims, "claims"), (len(self.studies), "studies"), (len(self.fits), "fits"), (len(self.runs), "runs")]
        return ", ".join(f"{count} {words if count != 1 else words.removesuffix('s').replace('studie', 'study')}"
                         for count, words in parts if count) or "planted faults"  # fmt: skip


def collect(folder: str | Path) -> Sections:
    """Every result in a folder, read; InputError where one cannot be."""
    results = results_in(folder)
    sources = Sources(Path(folder))
    kinds = {result.kind for result in results}
    checks, mutants_from = [], ""
    if kinds & {"check", "mutations"}:
        from pluralign.page.claims import check_shown
        from pluralign.page.mutants import mutants_by_claim

        mutants, mutants_from = mutants_by_claim(results, sources)
        for place, own in _of("check", results):
            with of_this_version(own.folder / "verdicts.json", "run `pluralign check` again"):
                checks.append(check_shown(own, place, sources, mutants))
    studies, fits, runs = [], [], []
    for place, own in _of("study", results):
        from pluralign.page.studies import study_shown

        studies.append(study_shown(own, place, sources))
    for place, own in _of("fit", results):
        from pluralign.page.fits import fit_shown

        with of_this_version(own.folder, "run `pluralign fit` again"):
            fits.append(fit_shown(own, place, sources))
    for place, own in _of("llm", results):
        from pluralign.ownership import require_own_llm

        require_own_llm()
        from pluralign.page.runs import run_shown

        with of_this_version(own.folder, "run the `pluralign llm` commands again"):
            runs.append(run_shown(own, place, sources))
    title = Path(folder).absolute().name or "results"
    return Sections(title, checks, studies, fits, runs, mutants_from, sources, tuple(unfinished_in(folder)))


def _of(kind: str, results: list[Result]) -> list[tuple[int, Result]]:
    return list(enumerate((own for own in results if own.kind == kind), start=1))


def render(sections: Sections) -> str:
    """The page as text: autoescaped, its only script named by its hash, and no address it could load from."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from pluralign.page.svg import number
    from pluralign.version import __version__
    from sim.files.palette import LINES
    from theory.engine.verdicts import Verdict

    environment = Environment(
        loader=PackageLoader("pluralign.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
        # What a terminal would obey, and marks that turn writing round, are no text of a page either.
        finalize=lambda value: printable(value) if type(value) is str else value,
    )  # fmt: skip
    loader = environment.loader
    assert loader is not None
    script = loader.get_source(environment, "page.js")[0]
    style = loader.get_source(environment, "page.css")[0]
    colours = "".join(f"--c{number}:{colour};" for number, colour in enumerate(LINES[:6]))
    # Through `Markup`, because they are ours and no text: nothing of a result is in them.
    told = environment.get_template("page.html").render(
        page=sections, number=number, csv_href=csv_href, verdicts=list(Verdict), version=__version__,
        style=Markup(style.replace("/*colours*/", colours)), script=Markup(script), script_hash=_hash(script),
    )  # fmt: skip
    size = len(told.encode())
    if size > PAGE:
        raise InputError(
            f"would make a page of {size >> 20} MiB, more than {PAGE >> 20}",
            file=sections.sources.top,
            fix="report on fewer results at a time",
        )
    return told


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def csv_href(text: str) -> str:
    """A file to save, inside of the page."""
    return "data:text/csv;charset=utf-8," + quote(printable(text), safe=" ,.-_:;()/\n".replace("\n", ""))


def place_of_page(folder: Path, out: str | Path | None = None) -> Path:
    """FOLDER/report.html, or `out`; refused, before any work, where it cannot be written."""
    target = folder / NAME if out is None else Path(out)
    if target.is_dir():
        raise InputError("is a folder", file=target, fix="name a file")
    require_place(target)
    return target
