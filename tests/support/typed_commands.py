"""`pluralign WORDS` as typed, in this process."""

import json
import sys

from pluralign.__main__ import main


def typed(monkeypatch, capsys, *words):
    """(exit code, stdout, stderr)."""
    monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
    capsys.readouterr()
    code = main()
    out, err = capsys.readouterr()
    return code, out, err


def typed_json(monkeypatch, capsys, *words):
    """What --json prints."""
    code, out, err = typed(monkeypatch, capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)
