"""`pluralign report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("report")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(folder: str, as_json: bool) -> None:
    """Draw the table and figures (PNG and SVG) of a result folder: of `check`, `fit`, `study` or `llm train`.

    Figures go to FOLDER/figures. Exit code 2 if the folder holds no result.

    Example: pluralign report groups
    """
    from sim.errors import InputError

    here = Path(folder)
    if (here / "verdicts.json").is_file():
        text, figures, content = _check(here)
    elif (here / "fit.json").is_file():
        text, figures, content = _fit(here)
    elif (here / "results.parquet").is_file():
        text, figures, content = _study(here)
    elif (here / "mixture.json").is_file():
        text, figures, content = _llm(here)
    else:
        raise InputError(
            "holds no verdicts.json, fit.json, results.parquet or mixture.json",
            file=folder,
            fix="give a folder written by pluralign check, fit, study or llm train",
        )
    if as_json:
        click.echo(json.dumps({**content, "figures": [str(path) for path in figures]}, indent=2, allow_nan=False))
        return
    click.echo(text)
    click.echo("\nfigures: " + ", ".join(str(path) for path in figures if path.suffix == ".png"))


def _check(folder: Path) -> tuple[str, list[Path], dict[str, Any]]:
    from theory.report.figures import draw_check
    from theory.report.folder import read_folder
    from theory.report.table import plain_table

    checks = read_folder(folder)
    return plain_table(checks), draw_check(checks, folder / "figures"), {"verdicts": [c.as_json() for c in checks]}


def _fit(folder: Path) -> tuple[str, list[Path], dict[str, Any]]:
    from sim.errors import InputError
    from sim.fitting.figures import draw_fit
    from sim.fitting.save import read_summary
    from sim.fitting.text import fit_text

    fit = read_summary(folder)
    try:
        return fit_text(fit, str(folder)), draw_fit(fit, folder / "figures"), {"fit": fit}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"is not a fit of this version ({error})", file=folder / "fit.json", fix="run `pluralign fit` again"
        ) from error


def _study(folder: Path) -> tuple[str, list[Path], dict[str, Any]]:
    from sim.studies.report import SavedStudy

    saved = SavedStudy.read(folder)
    return saved.table(), saved.draw(folder), {"study": saved.study}


def _llm(folder: Path) -> tuple[str, list[Path], dict[str, Any]]:
    from pluralign.commands.llm_eval import eval_text
    from pluralign.ownership import require_own_llm
    from sim.errors import InputError

    require_own_llm()
    from llm.runs.run_figures import draw_run
    from llm.runs.run_folder import read_written

    content: dict[str, Any] = read_written(folder)
    parts = []
    try:
        if "run" in content:
            shares = ", ".join(f"{share:.3f}" for share in content["run"]["mixture"])
            parts.append(f"{content['run']['method']} with {content['run']['n_types']} types, shares {shares}")
        if "eval" in content:
            parts.append(eval_text(content["eval"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"is not a run of this version ({error})", file=folder, fix="run llm eval again") from error
    return "\n\n".join(parts) or "an unfinished run", draw_run(folder), content
