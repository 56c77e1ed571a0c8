"""Result folders read again: table and figures, whatever command wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pluralign.api.shown import Page, Shown
from sim.errors import InputError


class Report(Shown):
    """text: the table a command printed; figures: files drawn (PNG and SVG); content: what it is about."""

    def __init__(self, text: str, figures: list[Path], content: dict[str, Any]) -> None:
        self.text, self.figures, self._content = text, tuple(figures), content

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign report --json` prints."""
        return {**self._content, "figures": [str(path) for path in self.figures]}

    def page(self) -> Page:
        lines = [line for line in self.text.splitlines() if line.strip()]
        drawn = ", ".join(path.name for path in self.figures if path.suffix == ".png")
        return Page(lines[0], ("",), [(line,) for line in lines[1:]], [f"figures: {drawn}"])


def report(folder: str | Path) -> Report:
    """Draw the table and figures of a result folder of check, fit, study or llm train; they go to FOLDER/figures.

    To look at results without writing, use `load_check`, `load_fit` or `load_study` and `.plot()`.
    """
    here = Path(folder)
    if (here / "verdicts.json").is_file():
        return _check(here)
    if (here / "fit.json").is_file():
        return _fit(here)
    if (here / "results.parquet").is_file():
        return _study(here)
    if (here / "mixture.json").is_file():
        return _llm(here)
    raise InputError(
        "holds no verdicts.json, fit.json, results.parquet or mixture.json",
        file=folder,
        fix="give a folder written by pluralign check, fit, study or llm train",
    )


def _check(folder: Path) -> Report:
    from theory.report.figures import draw_check
    from theory.report.folder import read_folder
    from theory.report.table import plain_table

    checks = read_folder(folder)
    drawn = draw_check(checks, folder / "figures")
    return Report(plain_table(checks), drawn, {"verdicts": [check.as_json() for check in checks]})


def _fit(folder: Path) -> Report:
    from sim.fitting.figures import draw_fit
    from sim.fitting.save import read_summary
    from sim.fitting.text import fit_text

    fit = read_summary(folder)
    try:
        return Report(fit_text(fit, str(folder)), draw_fit(fit, folder / "figures"), {"fit": fit})
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"is not a fit of this version ({error})", file=folder / "fit.json", fix="run `pluralign fit` again"
        ) from error


def _study(folder: Path) -> Report:
    from sim.studies.report import SavedStudy

    saved = SavedStudy.read(folder)
    return Report(saved.table(), saved.draw(folder), {"study": saved.study})


def _llm(folder: Path) -> Report:
    from pluralign.commands.llm_eval import eval_text
    from pluralign.commands.llm_train import groups_text
    from pluralign.ownership import require_own_llm

    require_own_llm()
    from llm.runs.run_figures import draw_run
    from llm.runs.run_folder import read_written

    content: dict[str, Any] = read_written(folder)
    parts = []
    try:
        if "run" in content:
            shares = ", ".join(f"{share:.3f}" for share in content["run"]["mixture"])
            told = f"{content['run']['method']} with {content['run']['n_types']} types, shares {shares}"
            parts.append("\n".join([told, *groups_text(content["run"].get("groups", ()))]))
        if "eval" in content:
            parts.append(eval_text(content["eval"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"is not a run of this version ({error})", file=folder, fix="run llm eval again") from error
    return Report("\n\n".join(parts) or "an unfinished run", draw_run(folder), content)
