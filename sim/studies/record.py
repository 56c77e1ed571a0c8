"""What a study's numbers come of, as it is when the run begins: an edit while it goes on, or before it is saved, made
none of them, and a file that is gone by then is not needed any more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.running.fingerprint import code_fingerprint, content_of, versions
from sim.studies.experiment import Experiment
from sim.studies.registry import EXPERIMENTS, find_experiment
from sim.studies.spec import StudySpec


@dataclass(frozen=True)
class Record:
    """definition: the experiment itself, which tells and draws what it measured.  folder: where its module was looked
    for first.  resolved: the whole configuration.  code: digest of our sources, their packages and the files that were
    read.  own_code: of what is not ours, and experiment_code: of the experiment alone, by which it is known again; None
    of ours."""

    definition: Experiment
    folder: Path
    resolved: Mapping[str, Any]
    versions: Mapping[str, str]
    code: str
    own_code: str | None
    experiment_code: str | None

    def __getstate__(self) -> dict[str, Any]:
        """Without the experiment, whose functions no pickle holds: another process looks it up where this one did."""
        return {name: value for name, value in vars(self).items() if name != "definition"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        definition = find_experiment(state["resolved"]["experiment"], state["folder"])
        vars(self).update(state, definition=definition)

    def __deepcopy__(self, memo: dict[int, Any]) -> Record:
        return replace(self, resolved=deepcopy(dict(self.resolved), memo), versions=dict(self.versions))

    def as_json(self) -> dict[str, Any]:
        return {
            **self.resolved, "versions": dict(self.versions), "code": self.code, "own_code": self.own_code,
            "experiment_code": self.experiment_code,
        }  # fmt: skip


def record_of(spec: StudySpec) -> Record:
    read = [code_fingerprint(), *map(content_of, spec.inputs)]
    return Record(
        definition=spec.definition,
        folder=spec.folder,
        resolved=spec.resolved(),
        versions=versions("torch"),
        code=hashlib.blake2b(" ".join(read).encode(), digest_size=12).hexdigest(),
        own_code=spec.sources.digest or None,
        experiment_code=EXPERIMENTS.sources(spec.experiment, spec.folder).digest or None,
    )
