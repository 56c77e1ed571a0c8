"""One JSON file with a checksum of its content in it: finished work that a later run takes up.

    {"blake2b": "0f3c...", "content": [...]}        16 bytes of BLAKE2b over the content, keys sorted

It protects against accidents, as `checksums` does for whole folders: what was changed is computed again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sim.files.atomic import Json, write_json
from sim.reading import load_json


def seal_of(content: Json) -> str:
    """Of what JSON makes of it."""
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def write_sealed(path: Path, content: Json) -> None:
    """Atomic, as all files."""
    write_json(path, {"blake2b": seal_of(content), "content": content})


def read_sealed(path: Path) -> Json:
    """The content; ValueError where it is not what was written, OSError where there is none."""
    found = load_json(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or "content" not in found or found.get("blake2b") != seal_of(found["content"]):
        raise ValueError("changed since it was written")
    return found["content"]
