"""Result folders read again: a page, and of one result its table and figures, whatever command wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pluralign.api.shown import Page, Shown
from sim.errors import InputError
from sim.files.atomic import require_other, write_text
from sim.files.file_rows import require_ending


class Report(Shown):
    """text: the table a command printed; figures: drawn (PNG and SVG); undrawn: why a study has none; html: the page;
    content: what it is about."""

    def __init__(
        self, text: str, figures: list[Path], html: Path, content: dict[str, Any], undrawn: str = ""
    ) -> None:  # fmt: skip
        self.text, self.figures, self.html, self.undrawn, self._content = text, tuple(figures), html, undrawn, content

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign report --json` prints."""
        return {**self._content, "figures": [str(path) for path in self.figures], "page": str(self.html)}

    def page(self) -> Page:
        lines = [line for line in self.text.splitlines() if line.strip()]
        drawn = ", ".join(path.name for path in self.figures if path.suffix == ".png")
        notes = [f"figures: {drawn}"] if drawn else [f"no figure: {self.undrawn}"] if self.undrawn else []
        notes.append(f"page: {self.html}")
        return Page(lines[0], ("",), [(line,) for line in lines[1:]], notes)


def report(folder: str | Path, out: str | Path | None = None) -> Report:
    """One HTML page of a result folder of check, fit, study or llm train, or of a folder that holds several of them.

    The page is FOLDER/report.html, and of a single result its figures are drawn too, to FOLDER/figures (a study's to
    FOLDER). With `out` the page is that file, and nothing else is written. To look at results without writing, use
    `load_check`, `load_fit` or `load_study` and `.plot()`.
    """
    from pluralign.page.build import collect, place_of_page, render
    from pluralign.page.folders import kind_of, results_in

    here = Path(folder)
    results = results_in(here)
    html, kind = place_of_page(here, out), kind_of(here)
    # An earlier page is replaced; everything else in the folder is what the page is made of.
    if html.suffix != ".html":
        require_other(html, here)
    require_ending(html, ".html", ".htm")
    sections = collect(here)
    # Whole before anything is written: a page that is refused leaves no figures behind.
    text = render(sections)
    # The page says of a study's figure why there is none.
    undrawn = "".join(study.undrawn for study in sections.studies)
    told = _RESULTS[kind](here, out is None and not undrawn) if kind in _RESULTS else None
    write_text(html, text)
    if told is not None:
        return Report(told.text, told.figures, html, told.content, undrawn)
    listed = [{"kind": result.kind, "folder": result.name} for result in results]
    lines = [f"{row['kind']:9}  {row['folder']}" for row in listed]
    lines += [sections.not_shown] if sections.not_shown else []
    content = {"results": listed, "unfinished": list(sections.unfinished)}
    return Report("\n".join([f"{sections.told} in {here}", *lines]), [], html, content)


@dataclass(frozen=True)
class _Told:
    """Of one result: what its command printed, the figures drawn, and what --json says."""

    text: str
    figures: list[Path]
    content: dict[str, Any]


def _check(folder: Path, drawing: bool) -> _Told:
    from theory.report.figures import draw_check
    from theory.report.folder import read_folder
    from theory.report.table import plain_table

    checks = read_folder(folder)
    drawn = draw_check(checks, folder / "figures") if drawing else []
    return _Told(plain_table(checks), drawn, {"verdicts": [check.as_json() for check in checks]})


def _fit(folder: Path, drawing: bool) -> _Told:
    from sim.fitting.figures import draw_fit
    from sim.fitting.save import read_summary
    from sim.fitting.text import fit_text

    fit = read_summary(folder)
    try:
        drawn = draw_fit(fit, folder / "figures") if drawing else []
        return _Told(fit_text(fit, str(folder)), drawn, {"fit": fit})
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"is not a fit of this version ({error})", file=folder / "fit.json", fix="run `pluralign fit` again"
        ) from error


def _study(folder: Path, drawing: bool) -> _Told:
    from sim.studies.report import SavedStudy

    saved = SavedStudy.read(folder)
    return _Told(saved.table(), saved.draw(folder) if drawing else [], {"study": saved.study})


def _llm(folder: Path, drawing: bool) -> _Told:
    from pluralign.commands.llm_eval import eval_text
    from pluralign.commands.llm_train import groups_text
    from pluralign.ownership import require_own_llm

    require_own_llm()
    from llm.runs.run_figures import draw_run
    from llm.runs.run_folder import outdated, read_written

    content: dict[str, Any] = read_written(folder)
    parts = []
    try:
        if "run" in content:
            shares = ", ".join(f"{share:.3f}" for share in content["run"]["mixture"])
            told = f"{content['run']['method']} with {content['run']['n_types']} types, shares {shares}"
            parts.append("\n".join([told, *groups_text(content["run"].get("groups", ()))]))
        if "eval" in content:
            parts.append(eval_text(content["eval"]))
            if (note := outdated(folder, content["eval"])) is not None:
                parts.append(f"note: {note}")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"is not a run of this version ({error})", file=folder, fix="run llm eval again") from error
    drawn = draw_run(folder) if drawing else []
    return _Told("\n\n".join(parts) or "an unfinished run", drawn, content)


_RESULTS = {"check": _check, "fit": _fit, "study": _study, "llm": _llm}
