"""Finished work that a later run takes up: what was changed is not what was written."""

import json
import re

import pytest

from sim.files.sealed import read_sealed, write_sealed

CONTENT = [{"measured": 13.976, "name": "é", "limits": [0.1, None]}, {"verdict": "HOLDS"}]


def test_what_was_written_is_read(tmp_path):
    write_sealed(tmp_path / "a.json", CONTENT)
    assert read_sealed(tmp_path / "a.json") == CONTENT
    write_sealed(tmp_path / "b.json", {"pair": (1, 2.0)})
    assert read_sealed(tmp_path / "b.json") == {"pair": [1, 2.0]}


def test_every_digit_counts(tmp_path):
    write_sealed(tmp_path / "a.json", CONTENT)
    text = (tmp_path / "a.json").read_text("utf-8")
    for place in (found.start() for found in re.finditer(r"\d", text[text.index('"content"') :])):
        place += text.index('"content"')
        changed = text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :]
        (tmp_path / "a.json").write_text(changed, "utf-8")
        with pytest.raises(ValueError, match="changed since it was written"):
            read_sealed(tmp_path / "a.json")


def test_what_has_no_checksum_is_not_taken(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(CONTENT))
    with pytest.raises(ValueError, match="changed since it was written"):
        read_sealed(tmp_path / "a.json")
    with pytest.raises(OSError, match="No such file"):
        read_sealed(tmp_path / "b.json")
