"""A check's result folder: written after a run, read again by `pluralign report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from sim.errors import InputError
from sim.files.atomic import write_json, write_text
from sim.files.checksums import forget_checksums, require_unchanged, write_checksums
from sim.files.own_folder import require_own_folder
from sim.reading import load_json
from theory.engine import witnesses
from theory.engine.checks import Check
from theory.engine.runner import CheckReport, check_from_json, resolved_configuration
from theory.report.table import markdown_table


def require_check_folder(folder: str | Path) -> None:
    """Refuse a folder with anything but a check in it, of one seed or of many; one that was killed has left claims."""
    require_own_folder(folder, "check", ("verdicts.json", "alarms.json", f"cells/*-{'[0-9a-f]' * 16}.json"))


def write_folder(folder: str | Path, report: CheckReport, names: Sequence[str]) -> None:
    """verdicts.json, verdicts.md, witnesses/, resolved.yaml, their checksums, and figures."""
    target = Path(folder)
    forget_checksums(target)
    # Of an earlier check; other people's files are not named like these.
    for pattern in ("witnesses/*--*.json", "figures/rate-*-*.png", "figures/rate-*-*.svg"):
        for stale in target.glob(pattern):
            stale.unlink()
    saved = [witnesses.save(target / "witnesses", check) for check in report.checks]
    write_json(target / "verdicts.json", report.as_json())
    write_text(target / "verdicts.md", markdown_table(report.checks) + "\n")
    write_text(target / "resolved.yaml", yaml.safe_dump(resolved_configuration(report, names), sort_keys=False))
    written = [f"witnesses/{path.name}" for path in saved if path is not None]
    write_checksums(target, ["verdicts.json", "verdicts.md", "resolved.yaml", *written])
    from theory.report.figures import draw_check

    draw_check(report.checks, target / "figures")


def read_folder(folder: str | Path) -> list[Check]:
    """The verdicts of an earlier run."""
    path = Path(folder) / "verdicts.json"
    try:
        content = load_json(path.read_text(encoding="utf-8"))
        found = [check_from_json(row) for row in content["verdicts"]]
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"is not a verdict file of this version ({error})", file=path, fix="run `pluralign check` again"
        ) from error
    require_unchanged(folder, "verdicts.json")
    return found
