"""What the last recorded run of planted faults said, beside the sources: by it a report shows what each claim notices.

`pluralign mutate --docs` writes it together with the tables of the docs, so that both are of one run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim.files.atomic import write_text
from sim.reading import load_json
from theory.mutation.catalogue import catalogue
from theory.mutation.run import MutationReport

NOTICED = Path(__file__).with_name("noticed.json")


def write_noticed(report: MutationReport, path: Path = NOTICED) -> None:
    """Every fault of the catalogue that some claim noticed, a line each: a changed one shows in review."""
    rows = [
        {"id": one.fault.id, "digest": one.fault.digest, "killed_by": one.killed_by, "how": one.how}
        for one in report.of("catalogue") if one.killed
    ]  # fmt: skip
    write_text(path, "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def read_noticed(path: Path = NOTICED) -> list[dict[str, Any]]:
    """The recorded faults as rows of `mutations.json`; those that have changed since are left out."""
    said = {row["id"]: row for row in load_json(path.read_text(encoding="utf-8"))}
    return [
        {"id": fault.id, "paper": fault.paper, "kind": fault.kind, "place": fault.place, "what": fault.what,
         "killed_by": said[fault.id]["killed_by"], "how": said[fault.id]["how"]}
        for fault in catalogue()
        if fault.id in said and said[fault.id]["digest"] == fault.digest
    ]  # fmt: skip
