"""What is installed, what is missing, what this machine can do."""

from __future__ import annotations

import importlib
import json
from typing import Any

from pluralign.api.shown import Page, Shown


class Doctor(Shown):
    """What `pluralign doctor` found; problems: a line each, none where all is well."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._found["problems"])

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign doctor --json` prints."""
        return dict(self._found)

    def page(self) -> Page:
        own = self._found
        rows = [(name, version or "MISSING") for name, version in own["packages"].items()]
        rows += [(f"extra {name}", "installed" if state["installed"] else "not installed")
                 for name, state in own["extras"].items()]  # fmt: skip
        title = f"pluralign {own['pluralign']}, Python {own['python']}, {own['cores']} cores"
        return Page(title, ("package", "version"), rows, self.problems or ("no problems found",))


def doctor() -> Doctor:
    """Say what is installed, what is missing, and what this machine can do."""
    from click.testing import CliRunner

    # By name: the command imports this package, and a file may not stand on a circle.
    command = importlib.import_module("pluralign.commands.doctor").command
    return Doctor(json.loads(CliRunner().invoke(command, ["--json"]).stdout))
