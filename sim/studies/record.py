"""What a study's numbers come of, as it is when the run begins: an edit while it goes on, or before it is saved, made
none of them, and a file that is gone by then is not needed any more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.running.fingerprint import code_fingerprint, content_of, versions
from sim.studies.experiment import Experiment
from sim.studies.registry import EXPERIMENTS
from sim.studies.spec import StudySpec


@dataclass(frozen=True)
class Record:
    """definition: the experiment itself, which tells and draws what it measured.  resolved: the whole configuration.
    code: digest of our sources, their packages and the files that were read.  own_code: of what is not ours, and
    experiment_code: of the experiment alone, by which it is known again; None of ours."""

    definition: Experiment
    resolved: Mapping[str, Any]
    versions: Mapping[str, str]
    code: str
    own_code: str | None
    experiment_code: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            **self.resolved, "versions": dict(self.versions), "code": self.code, "own_code": self.own_code,
            "experiment_code": self.experiment_code,
        }  # fmt: skip


def record_of(spec: StudySpec) -> Record:
    read = [code_fingerprint(), *map(content_of, spec.inputs)]
    return Record(
        definition=spec.definition,
        resolved=spec.resolved(),
        versions=versions("torch"),
        code=hashlib.blake2b(" ".join(read).encode(), digest_size=12).hexdigest(),
        own_code=spec.sources.digest or None,
        experiment_code=EXPERIMENTS.sources(spec.experiment, spec.folder).digest or None,
    )
