"""Counter-examples as files that replay."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.atomic import write_json
from sim.files.checksums import require_unchanged
from sim.reading import load_json, read_text
from theory.engine.checks import Check, Witness, stream_of
from theory.engine.json_numbers import exact, finite, numbers
from theory.engine.registry import answering, find, others
from theory.engine.theorem import PROFILES, Json, Theorem

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "claim_id": str,
    "variant": str,
    "profile": str,
    "seed": int,
    "setting": str,
    "replicate": int,
    "value": (int, float, list, str),
    "limit": (int, float, str),
}
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Replay:
    """The recorded and the recomputed value of one draw."""

    claim_id: str
    variant: str
    recorded: list[float]
    recomputed: list[float]
    limit: float
    reproduced: bool
    payload: Json

    def as_json(self) -> Json:
        own = {name: exact(value) for name, value in self.__dict__.items()}
        return {**own, "payload": finite(self.payload)}


def save(folder: str | Path, check: Check) -> Path | None:
    """Write the check's witness, if it has one, as CLAIM--VARIANT.json."""
    if check.witness is None:
        return None
    path = Path(folder) / f"{check.claim_id}--{check.variant}.json"
    write_json(path, check.as_json()["witness"])
    return path


def read(path: str | Path) -> Witness:
    """A witness file, its fields checked."""
    try:
        content = load_json(read_text(path, "give a witness file"))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"is not JSON ({error})", file=path, fix="give a file from a report's witnesses") from error
    if not isinstance(content, dict):
        raise InputError("expected one JSON object", file=path, fix="give a file from a report's witnesses")
    for name, kind in _FIELDS.items():
        if name not in content:
            raise InputError("is missing", file=path, field=name, fix="give a file from a report's witnesses")
        if not isinstance(content[name], kind) or isinstance(content[name], bool):
            raise InputError(f"has the wrong type ({type(content[name]).__name__})", file=path, field=name)
    for name in ("value", "limit"):
        content[name] = _numbers(content[name], path, name)
    # Of the file only what decides the draw is needed; what is there for readers may be missing.
    return Witness(
        paper=content.get("paper", ""), relation=content.get("relation", ""), payload=content.get("payload", {}),
        origin=str(content.get("origin", "")),
        **{name: content[name] for name in _FIELDS},
    )  # fmt: skip


def _numbers(value: object, path: str | Path, field: str) -> object:
    """A number or lists of them; "nan", "inf" and "-inf" are what JSON has no number for."""
    try:
        found = numbers(value, unknown=None)
        np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError, RecursionError):
        raise InputError("expected numbers, or nan, inf, -inf in quotes", file=path, field=field,
                         fix="check the claim again") from None  # fmt: skip
    return found


def _claim(recorded: Witness, path: str | Path, folder: str | Path | None) -> Theorem[Any]:
    if not recorded.origin:
        return find(recorded.claim_id)
    for theorem in others(recorded.origin, folder):
        if theorem.claim_id == recorded.claim_id:
            return theorem
    raise InputError(
        f"{recorded.origin} has no claim '{recorded.claim_id}'", file=path, field="claim_id", fix="check it again"
    )


def replay(path: str | Path, folder: str | Path | None = None) -> Replay:
    """Draw that replicate again from its seed and compare with what was recorded.

    folder: where the module of a claim of one's own is looked for first; None: the working directory.
    Errors: InputError for a file that is no witness of the claim as it is now, and for whatever a claim of one's own
    raises.
    """
    recorded = read(path)
    place = Path(path)
    if place.parent.name == "witnesses":
        require_unchanged(place.parent.parent, f"witnesses/{place.name}")
    theorem = _claim(recorded, path, folder)
    with answering(theorem):
        return _replayed(recorded, theorem, path)


def _replayed(recorded: Witness, theorem: Theorem[Any], path: str | Path) -> Replay:
    if recorded.variant not in theorem.SETTINGS:
        known = ", ".join(theorem.SETTINGS)
        raise InputError(f"no variant '{recorded.variant}', expected one of {known}", file=path, field="variant")
    profile = next((known for known in PROFILES if known == recorded.profile), None)
    if profile is None:
        raise InputError(f"expected quick or full, got '{recorded.profile}'", file=path, field="profile")
    if recorded.replicate < 0:
        raise InputError(f"expected a number from 0, got {recorded.replicate}", file=path, field="replicate")
    setting = theorem.at_profile(theorem.SETTINGS[recorded.variant].setting, profile)
    if setting.key() != recorded.setting:
        raise InputError(
            "the claim's setting has changed since this witness was written",
            file=path,
            field="setting",
            fix="check the claim again",
        )
    stream = stream_of(theorem, setting, recorded.seed).at(replicate=recorded.replicate)
    value = np.atleast_1d(np.asarray(theorem.draw(setting, stream), dtype=np.float64))
    written = np.atleast_1d(np.asarray(recorded.value, dtype=np.float64))
    same = value.shape == written.shape and bool(
        np.allclose(value, written, rtol=_ROUNDING, atol=1e-12, equal_nan=True)
    )
    found = Replay(
        claim_id=theorem.claim_id,
        variant=recorded.variant,
        recorded=written.ravel().tolist(),
        recomputed=value.ravel().tolist(),
        limit=float(recorded.limit),
        reproduced=same,
        payload=theorem.witness(setting, stream),
    )
    # Held against what JSON can keep here, where it is the claim's failure.
    json.dumps(found.as_json(), allow_nan=False)
    return found
