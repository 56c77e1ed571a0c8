"""A planted fault: one change of one function's source, and what is known of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One wrong line, planted in memory and never in a file.

    id: small letters, digits and hyphens.  paper: whose code it is, or "calibration" for what judges all of them.
    place: "module:function" or "module:Class.method"; "module" alone for what stands outside functions.
    old, new: the text there and the text in its place; `old` is found once, or `nth` (from 0) says which one.
    what: the mistake in a reader's words.  kind: "catalogue" or the operator that made it.
    equivalent: why no measurement could notice it; empty where one must.
    """

    id: str
    paper: str
    place: str
    old: str
    new: str
    what: str
    nth: int | None = None
    kind: str = "catalogue"
    equivalent: str = ""

    @property
    def module(self) -> str:
        return self.place.partition(":")[0]

    @property
    def qualname(self) -> str:
        return self.place.partition(":")[2]

    @property
    def digest(self) -> str:
        """Of the change itself."""
        text = "\0".join((self.place, self.old, self.new, str(self.nth)))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
