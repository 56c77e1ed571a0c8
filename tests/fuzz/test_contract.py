"""The contract that hostile inputs are held to notices each way of breaking it."""

import sys
import warnings
from pathlib import Path

import hostile_contract as contract
import pytest
from hostile_contract import check_command, check_reader, folder_of

from sim.errors import InputError


def _say(text, *, to=None, code=2):
    print(text, file=to or sys.stderr, end="")
    return code


def _partial():
    Path("out").mkdir()
    return _say("pluralign: error: no\n")


def _half():
    Path(".out-x7").write_text("")
    return _say("[]", to=sys.stdout, code=0)


def _gone():
    Path("input").unlink()
    return _say("pluralign: error: no\n")


def _hang():
    while True:
        pass


BROKEN = {
    "a traceback": lambda: [][0],
    "left by SystemExit": lambda: sys.exit(0),
    "took more than": _hang,
    "left behind: ['out']": _partial,
    "half-written: ['.out-x7']": _half,
    "gone: ['input']": _gone,
    "reaches the terminal": lambda: _say("\x1b[31mred\n", to=sys.stdout, code=0),
    "300 characters|characters:": lambda: _say("pluralign: error: " + "x" * 1000 + "\n"),
    "pluralign: error: one": lambda: _say("pluralign: error: one\nand another\n"),
    "out of memory": lambda: _say("pluralign: error: out of memory\n"),
    "NaN is not JSON": lambda: _say("[NaN]", to=sys.stdout, code=0),
    "RuntimeWarning": lambda: warnings.warn("overflow", RuntimeWarning, stacklevel=1),
    "MemoryError": lambda: len(bytearray(1 << 30)) * 0,
    r"\(1, ''\)": lambda: 1,
}  # fmt: skip


@pytest.mark.parametrize(("message", "broken"), BROKEN.items(), ids=BROKEN)
def test_a_command_that_breaks_it_is_noticed(monkeypatch, message, broken):
    monkeypatch.setattr(contract, "SECONDS", 0.2)
    monkeypatch.setattr(contract, "main", broken)
    pattern = message if "|" in message or "\\" in message else message.replace("[", r"\[").replace("]", r"\]")
    with folder_of({"input": b""}) as folder, pytest.raises(AssertionError, match=pattern):
        check_command(folder, ("minmax", "--json"))


def test_one_that_keeps_it_passes(monkeypatch):
    with folder_of({"input": b""}) as folder:
        monkeypatch.setattr(contract, "main", lambda: _say("warning: w\npluralign: error: no\n"))
        assert check_command(folder, ("minmax",)) == 2
        monkeypatch.setattr(contract, "main", lambda: _say("[1]", to=sys.stdout, code=0))
        assert check_command(folder, ("minmax", "--json")) == 0


def test_readers_are_held_to_it_too(monkeypatch):
    monkeypatch.setattr(contract, "SECONDS", 0.2)

    def refuse():
        raise InputError("no", file="x")

    assert check_reader(refuse) is None
    broken = {_hang: AssertionError, lambda: [][0]: IndexError, lambda: bytearray(1 << 30): MemoryError}
    for read, error in broken.items():
        with pytest.raises(error):
            check_reader(read)
