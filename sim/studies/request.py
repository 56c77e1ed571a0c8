"""How a study was asked for, kept beside its results: enough to go on with it, and to put shares of it together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from sim.arguments import require_count
from sim.errors import InputError
from sim.files.atomic import write_json
from sim.files.sealed import seal_of
from sim.reading import load_json, of_this_version, read_text
from sim.running.engines import EngineName, Tls, Workers
from sim.running.fingerprint import code_fingerprint, content_of
from sim.running.workers import require_seconds
from sim.studies.decided import changed, differences
from sim.studies.grid import Share
from sim.studies.registry import EXPERIMENTS
from sim.studies.shipped import study_file
from sim.studies.spec import StudySpec, load_spec

NAME = "request.json"
_SEAL = "checksum"


@dataclass(frozen=True)
class Request:
    """study: a file or a shipped study's name.  overrides: key=value texts.  seed: None: the file's.  cells: the place
    of finished replicates; None: in the study's folder.  where: the folder it was asked for in, which relative paths of
    settings are of; None: the working folder.  content, code: digests of the study file and of the code, as they
    were."""

    study: str
    overrides: tuple[str, ...] = ()
    seed: int | None = None
    engine: EngineName = "joblib"
    workers: int = 1
    scheduler: str | None = None
    tls: tuple[str, str, str] | None = None
    cells: str | None = None
    batch: int | None = None
    time_out: float | None = None
    shard: tuple[int, int] = (1, 1)
    where: str | None = None
    content: str = ""
    code: str = ""

    def __post_init__(self) -> None:
        try:
            if not isinstance(self.shard, tuple | list) or len(self.shard) != 2:
                raise ValueError(f"shard must be a pair (i, n) of whole numbers (got {self.shard!r})")
            for name, value in (("shard", self.shard[0]), ("shard", self.shard[1]), ("workers", self.workers)):
                require_count(name, value)
            if self.batch is not None:
                require_count("batch", self.batch)
        except ValueError as error:
            raise InputError(str(error)) from error
        # As JSON keeps them.
        plain = {
            "shard": (int(self.shard[0]), int(self.shard[1])), "workers": int(self.workers),
            "batch": None if self.batch is None else int(self.batch),
        }  # fmt: skip
        for name, kept in plain.items():
            object.__setattr__(self, name, kept)
        _ = self.share
        if self.where is not None and (not isinstance(self.where, str) or "\0" in self.where):
            raise InputError(f"where must be a folder (got {self.where!r})")
        if self.tls is not None and len(self.tls) != 3:
            raise InputError(f"tls must name three files: of the authority, certificate, key (got {len(self.tls)})")
        require_seconds("time_out", self.time_out)
        object.__setattr__(self, "time_out", None if self.time_out is None else float(self.time_out))

    @property
    def share(self) -> Share:
        return Share(*self.shard)

    @property
    def who(self) -> Workers:
        return Workers(self.workers, self.engine, self.scheduler, self.security)

    @property
    def security(self) -> Tls | None:
        return None if self.tls is None else Tls(*map(Path, self.tls))

    def spec(self) -> StudySpec:
        """The study, checked; a share of one whose size depends on what is measured is refused."""
        where = None if self.where is None else Path(self.where)
        try:
            spec = load_spec(study_file(self.study), self.overrides, self.seed, where)
        except InputError as error:
            if where is None or where == Path.cwd():
                raise
            said = f"{error.problem} (the study was asked for in {where}, and relative paths are of there)"
            raise InputError(said, file=error.file, row=error.row, field=error.field, fix=error.fix) from error
        if spec.target_error and self.share.of > 1:
            raise InputError(
                "a study with a target_error cannot be shared out: how far a cell goes depends on all its replicates",
                file=spec.file, field="target_error", fix="leave it out of the shares",
            )  # fmt: skip
        return spec

    def by(
        self, workers: int | None, engine: EngineName | None, scheduler: str | None, tls: tuple[str, ...] | None
    ) -> Request:
        """The same work by others, as far as others are named."""
        others: dict[str, Any] = {"workers": workers, "engine": engine, "scheduler": scheduler, "tls": tls}
        others = {name: value for name, value in others.items() if value is not None}
        if others.get("engine", "dask") != "dask":
            others = {"scheduler": None, "tls": None, **others}
        return replace(self, **others)

    def place(self, folder: Path) -> str:
        return str(folder / "cells") if self.cells is None else self.cells

    def write(self, folder: Path, spec: StudySpec, decided: Mapping[str, Any]) -> Sequence[str]:
        """With the file as it is now, where it is now, and what else decides the numbers (`decided.decided_by`); what
        of that was otherwise in the request that stood there, in words."""
        content = {
            **asdict(self), "study": str(spec.file.resolve()), "where": self.where or str(Path.cwd()),
            "content": content_of(spec.file), "code": code_fingerprint(), "experiment": spec.experiment,
            "title": spec.title, "decided": decided,
        }  # fmt: skip
        try:
            before = load_json((folder / NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
        write_json(folder / NAME, {**content, _SEAL: seal_of(content)})
        return differences(before, content)

    @classmethod
    def read(cls, folder: Path) -> Request:
        """Of a study's folder; its study file must be as it was then.

        An experiment of one's own is looked for where this program runs: a folder that somebody sent must not choose
        what is run, so that a study file from elsewhere is refused.
        """
        path = folder / NAME
        fix = "name the folder of a study (--out of `pluralign study`)"
        if not path.is_file():
            raise InputError("is not the folder of a study", file=folder, fix=fix)
        with of_this_version(path, "run `pluralign study` again"):
            found = load_json(read_text(path, fix))
            # Folders of before it was kept have none.
            if _SEAL in found and found.pop(_SEAL) != seal_of(found):
                raise InputError(
                    "was changed since it was written (checksum)", file=path,
                    fix=f"give the study's command again, or delete '{_SEAL}' in it if the change was meant",
                )  # fmt: skip
            file, experiment = Path(found["study"]), str(found["experiment"])
            kept: dict[str, Any] = {}
            for field in fields(cls):
                # Folders of before it was kept have none.
                value = found.get(field.name) if field.name == "where" else found[field.name]
                kept[field.name] = tuple(value) if isinstance(value, list) else value
            request = cls(**kept)
            _ = request.share, [str(text) for text in request.overrides]
        _require_here(file, experiment, folder)
        if content_of(file) != request.content:
            raise InputError(
                "has changed since the study was begun", file=file,
                fix=f"`pluralign study {file}` into {folder} goes on with the file as it is",
            )  # fmt: skip
        return request


def changed_since(folder: Path) -> str:
    """What decides whether a study goes on and is not as it was when the study was begun, or ""."""
    try:
        found = load_json((folder / NAME).read_text(encoding="utf-8"))
        if _SEAL in found and found.pop(_SEAL) != seal_of(found):
            return f"{NAME}, which says how the study was asked for, was changed since it was written"
        file, content, code = Path(found["study"]), str(found["content"]), str(found["code"])
        if not file.is_file():
            return f"the study's file, {file}, is not there any more; `study resume` needs it"
        if content_of(file) != content:
            return f"the study's file, {file}, has changed since; `study resume` goes on with the file as it was only"
        if code != code_fingerprint():
            return (
                "the program, or a package it runs on, is another version since; `study resume` computes all of it "
                "again"
            )
        # Folders of before it was kept have none.
        return changed(found["decided"]) if "decided" in found else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{NAME}, which says how the study was asked for, cannot be read; `study resume` needs it"


def study_file_here(folder: Path, experiment: str) -> Path | None:
    """The study file of a folder's request, where it lies where this program runs, as for `Request.read`, and names
    this experiment itself: it is the reader's own then, whoever the folder is from."""
    try:
        file = Path(load_json((folder / NAME).read_text(encoding="utf-8"))["study"])
        _require_here(file, experiment, folder)
        named = yaml.safe_load(file.read_text(encoding="utf-8"))["experiment"] == experiment
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    return file if named else None


def require_same_places(folder: Path, request: Request, data: Mapping[str, str]) -> None:
    """Refuse to go on from another folder where an experiment of one's own finds other files there: the results would
    be written over.  data: file -> digest, as they are read now.  Folders of before it was kept say nothing."""
    if request.where is None or Path(request.where) == Path.cwd():
        return
    try:
        before = load_json((folder / NAME).read_text(encoding="utf-8"))["decided"]["data"]
        then, now = ([file for file in one if file not in other] for one, other in ((before, data), (data, before)))
    except (OSError, ValueError, KeyError, TypeError):
        return
    if then and now:
        raise InputError(
            f"was begun in {request.where} and read {then[0]}; from here it would read {now[0]}", file=folder,
            fix=f"cd {request.where}; an experiment whose `paths` name its files can be resumed from anywhere",
        )  # fmt: skip


def _require_here(file: Path, experiment: str, folder: Path) -> None:
    if not file.is_file():
        raise InputError("the study's file is not there any more", file=file, fix="put it back")
    if ":" in experiment and not EXPERIMENTS.is_ours(experiment):
        there = file.resolve().parent
        if not there.is_relative_to(Path.cwd()) or there.is_relative_to(folder.resolve()):
            raise InputError(
                f"names code of one's own, '{experiment}', which is run only from its own folder", file=file,
                fix=f"cd {there}, or give `pluralign study {file}` with this folder",
            )  # fmt: skip


def require_same(requests: Sequence[Request], folders: Sequence[Path]) -> None:
    """InputError where they are not of one study, or of other code than this."""
    for request, folder in zip(requests, folders, strict=True):
        if request.code != requests[0].code:
            raise InputError(
                f"was computed by another version of the program, or of the packages it runs on, than {folders[0]}",
                file=folder, fix="compute all shares with one version",
            )  # fmt: skip
    for request, folder in zip(requests, folders, strict=True):
        if request.code != code_fingerprint():
            raise InputError(
                "was computed by another version of the code, or of the packages it runs on", file=folder,
                fix="merge with the version that computed it, or run it again",
            )  # fmt: skip
        for name in ("content", "overrides", "seed"):
            ours, theirs = getattr(requests[0], name), getattr(request, name)
            if ours != theirs:
                what = {"content": "another study file"}.get(name, f"other {name} ({json.dumps(theirs)})")
                raise InputError(
                    f"is of {what} than {folders[0]}", file=folder, fix="merge the shares of one study, run alike"
                )
