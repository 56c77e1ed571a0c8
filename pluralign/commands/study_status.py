"""`pluralign study status`."""

from __future__ import annotations

import click

from pluralign.terminal import print_answer


@click.command("status")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(folder: str, as_json: bool) -> None:
    """How far a study is: running, finished, interrupted, stopped (and by what) or killed; nothing is run.

    FOLDER is the --out of `pluralign study`. What is finished is counted where it lies.

    Example: pluralign study status section_5_1
    """
    import json
    from pathlib import Path

    from pluralign.commands.study_shown import status_lines
    from sim.studies.status import StudyStatus

    found = StudyStatus.read(Path(folder))
    print_answer(json.dumps(found.as_json(), indent=2) if as_json else status_lines(found))
