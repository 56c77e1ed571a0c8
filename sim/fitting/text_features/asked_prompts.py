"""Which prompts a fit of responses was made of, and how they are written: what its candidates are held against."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim.preferences import AnyArray, BoolArray

_HERE = "asked/"


@dataclass(frozen=True, eq=False)
class AskedPrompts:
    """digests: (n,) uint64, ascending, of the different prompts.  forms: `text`, `messages`, or both."""

    digests: AnyArray
    forms: tuple[str, ...]

    def has(self, labels: Sequence[str]) -> BoolArray:
        """Whether each item's prompt is one of them; (n,)."""
        return np.isin(np.array([_digest(label) for label in labels], dtype=np.uint64), self.digests)

    def arrays(self) -> dict[str, AnyArray]:
        """Under names that begin with `asked/`."""
        return {f"{_HERE}digests": self.digests, f"{_HERE}forms": np.array(self.forms)}


def asked_prompts(labels: Iterable[str]) -> AskedPrompts:
    """labels: of items that are prompts with their responses, a JSON object each."""
    own = list(labels)
    digests = np.unique(np.array([_digest(label) for label in own], dtype=np.uint64))
    return AskedPrompts(digests, tuple(sorted({form_of(label) for label in own})))


def read_asked_prompts(arrays: Mapping[str, AnyArray]) -> AskedPrompts | None:
    """What `AskedPrompts.arrays` wrote, None where there is none; KeyError where it is cut."""
    if f"{_HERE}digests" not in arrays:
        return None
    return AskedPrompts(arrays[f"{_HERE}digests"], tuple(arrays[f"{_HERE}forms"].tolist()))


def form_of(label: str) -> str:
    """text: prompt and response one after the other; messages: turns of a conversation."""
    return "text" if isinstance(json.loads(label)["prompt"], str) else "messages"


def _digest(label: str) -> int:
    asked = json.dumps(json.loads(label)["prompt"], sort_keys=True)
    return int.from_bytes(hashlib.blake2b(asked.encode(), digest_size=8).digest(), "big")
