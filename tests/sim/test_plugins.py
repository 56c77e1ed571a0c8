"""Doors: what is found, what it is made of, and what is said where nothing is."""

import os
import subprocess
import sys
from importlib import metadata

import pytest
from places import ROOT

from sim import plugins
from sim.errors import InputError
from sim.plugins import Door, Sources, blaming, looking_in, together

DOOR = Door("rule", {"plain": "math:fsum"}, hidden=())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of modules; nothing of it stays on the path or loaded."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
            plugins._LOADED.pop(name, None)


def _write(folder, **modules):
    for name, text in modules.items():
        path = folder / (name.replace("__", "/").replace("INIT", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_ours_and_theirs(folder):
    import math

    _write(folder, door_mine="ANSWER = 42\n")
    assert DOOR.find("plain") is math.fsum
    assert DOOR.sources("plain").digest == ""
    assert DOOR.find("door_mine:ANSWER", folder) == 42
    with looking_in(folder):
        assert DOOR.find("door_mine:ANSWER") == 42


def test_sources_are_what_it_imports_however_far(folder):
    """Packages beside it, relative imports, imports inside functions; not what stands beside it and is not imported."""
    _write(
        folder,
        door_top="import json\nfrom door_pack.inner import VALUE\ndef f():\n    import door_late\nANSWER = VALUE\n",
        door_pack__INIT="",
        door_pack__inner="from . import deep\nfrom .deep import X as VALUE\n",
        door_pack__deep="X = 1\n",
        door_late="import click\nimport numpy\n",
        door_beside="raise ValueError\n",
    )
    found = DOOR.sources("door_top:ANSWER", folder)
    names = {str(path.relative_to(folder)) for path in found.files}
    assert names == {"door_top.py", "door_pack/__init__.py", "door_pack/inner.py", "door_pack/deep.py", "door_late.py"}
    assert found.packages == ("click", "numpy"), "installed packages count by their version"
    for name in names:
        path = folder / name
        text = path.read_text()
        path.write_text(text + "# more\n")
        changed = DOOR.sources("door_top:ANSWER", folder)
        assert changed.digest != found.digest, name
        path.write_text(text)
    assert DOOR.sources("door_top:ANSWER", folder).digest == found.digest
    (folder / "door_beside.py").write_text("")
    assert DOOR.sources("door_top:ANSWER", folder).digest == found.digest


def test_versions_of_packages_count(folder, monkeypatch):
    _write(folder, door_version="import click\nANSWER = 1\n")
    before = DOOR.sources("door_version:ANSWER", folder).digest
    real = metadata.version
    monkeypatch.setattr(plugins.metadata, "version", lambda name: "99" if name == "click" else real(name))
    plugins._LOADED.clear()
    assert DOOR.sources("door_version:ANSWER", folder).digest != before


def test_rooms_of_ours_count_where_they_are_used(folder):
    _write(folder, door_room="from theory.engine.theorem import Theorem\nANSWER = Theorem\n")
    found = DOOR.sources("door_room:ANSWER", folder)
    assert ROOT / "theory" / "engine" / "runner.py" in found.files
    assert not any(path.is_relative_to(ROOT / "sim") for path in found.files), "sim is in every fingerprint anyway"


def test_an_edited_module_is_imported_again_with_what_it_imports(folder):
    """Also within the second and the size that bytecode would not tell apart."""
    _write(folder, door_edit="from door_help import X\nANSWER = X\n", door_help="X = 1\n")
    assert DOOR.find("door_edit:ANSWER", folder) == 1
    (folder / "door_help.py").write_text("X = 2\n")
    assert DOOR.find("door_edit:ANSWER", folder) == 2
    assert not list(folder.rglob("*.pyc"))


def test_a_worker_refuses_other_sources(folder):
    _write(folder, door_worker="ANSWER = 1\n")
    digest = DOOR.sources("door_worker:ANSWER", folder).digest
    assert DOOR.find_unchanged("door_worker:ANSWER", folder, digest) == 1
    (folder / "door_worker.py").write_text("ANSWER = 2\n")
    with pytest.raises(InputError, match="its sources changed while the run was going on"):
        DOOR.find_unchanged("door_worker:ANSWER", folder, digest)


def test_installed_packages_offer_theirs(folder, monkeypatch):
    _write(folder, door_installed="ANSWER = 7\n")
    info = folder / "door_installed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: door-installed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pluralign.rules]\nseven = door_installed:ANSWER\n")
    monkeypatch.syspath_prepend(folder)
    _look_again()
    try:
        assert DOOR.names() == ("plain", "seven")
        assert DOOR.find("seven") == 7
        assert DOOR.sources("seven").files == (folder / "door_installed.py",)
        with pytest.raises(InputError, match="did you mean 'seven'"):
            DOOR.find("sevn")
    finally:
        _look_again()


def _look_again():
    for cache in (plugins._installed, plugins._entries, plugins._is_offered):
        cache.cache_clear()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plane", "rule: there is none called 'plane'; did you mean 'plain'"),
        ("door_none:X", "No module named 'door_none'; check that Python can import"),
        (":X", "expected module:NAME"),
        (".a:B", "expected module:NAME"),
        ("a:", "expected module:NAME"),
        ("a b:C", "expected module:NAME"),
        ("door_said:ANSWR", "module door_said has no ANSWR; did you mean 'ANSWER'"),
        ("door_bad:X", r"door_bad.py, row 2: rule 'door_bad:X': .*syntax"),
        ("door_raises:X", r"its module raised ZeroDivisionError \(door_raises.py, line 3\): division by zero"),
        ("door_imports:X", "No module named 'door_nowhere'"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(folder, name, message):
    _write(
        folder, door_said="ANSWER = 1\n", door_bad="X = 1\nX = = 2\n", door_raises="X = 1\n\nY = 1 / 0\n",
        door_imports="import door_nowhere\n",
    )  # fmt: skip
    with pytest.raises(InputError, match=message) as error:
        DOOR.find(name, folder)
    assert "\n" not in str(error.value)


def test_blame_names_the_line_of_the_code_that_is_not_ours(folder):
    _write(folder, door_blamed="import json\n\ndef f():\n    return json.loads('{')\n")
    f = DOOR.find("door_blamed:f", folder)
    where = r"^rule 'f' raised JSONDecodeError \(door_blamed.py, line 4\): "
    with pytest.raises(InputError, match=where), blaming("rule 'f'"):
        f()
    with pytest.raises(InputError, match=r"^as it is$"), blaming("rule 'f'"):
        raise InputError("as it is")


def test_the_whole_traceback_is_shown_when_asked_for(folder):
    _write(folder, door_shown="1 / 0\n")
    code = "from sim.plugins import Door\ntry:\n    Door('rule', {}).find('door_shown:X')\nexcept ValueError: pass"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PLURALIGN_TRACEBACK": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=True)
    assert "ZeroDivisionError" in done.stderr
    assert 'door_shown.py", line 1' in done.stderr


def test_sources_together():
    one, two = Sources((), ("a",), "1"), Sources((), ("b",), "2")
    assert together(plugins.NOTHING, one) is one
    assert together(one, two).packages == ("a", "b")
    assert len({together(one, two).digest, together(two, one).digest, one.digest, two.digest}) == 4
    assert together() is plugins.NOTHING


def test_a_module_imported_before_and_edited_since_is_imported_again(folder):
    """As in a notebook: what stands in sys.modules is of no known state."""
    import importlib

    _write(folder, door_before="from door_beneath import X\nANSWER = X\n", door_beneath="X = 1\n")
    sys.path.insert(0, str(folder))
    assert importlib.import_module("door_before").ANSWER == 1
    (folder / "door_beneath.py").write_text("X = 2\n")
    assert DOOR.find("door_before:ANSWER", folder) == 2


def test_helpers_of_one_name_in_two_folders(folder):
    for number, place in enumerate(("one", "two"), start=1):
        (folder / place).mkdir()
        _write(folder / place, **{f"door_main_{place}": "from door_helper import X\nANSWER = X\n"},
               door_helper=f"X = {number}\n")  # fmt: skip
    for _ in range(2):
        for number, place in enumerate(("one", "two"), start=1):
            assert DOOR.find(f"door_main_{place}:ANSWER", folder / place) == number
            files = DOOR.sources(f"door_main_{place}:ANSWER", folder / place).files
            assert files == (folder / place / "door_helper.py", folder / place / f"door_main_{place}.py")


def test_hashing_runs_nothing(folder, capsys):
    _write(
        folder, door_calm="ANSWER = 1\ndef f():\n    from door_wild.deep import X\n",
        door_wild__INIT="print('ran')\nraise RuntimeError('no gpu')\n", door_wild__deep="X = 1\n",
    )  # fmt: skip
    names = [path.name for path in DOOR.sources("door_calm:ANSWER", folder).files]
    assert names == ["door_calm.py", "__init__.py", "deep.py"]
    assert capsys.readouterr().out == ""


def test_no_file_beside_us_stands_for_an_installed_package(folder, monkeypatch):
    (folder / "site").mkdir()
    (folder / "here").mkdir()
    _write(folder / "site", door_shadowed="ANSWER = 'installed'\n")
    _write(folder / "here", door_shadowed="ANSWER = 'beside'\n", door_other="ANSWER = 1\n")
    monkeypatch.syspath_prepend(folder / "site")
    monkeypatch.setattr(plugins, "_installed", lambda group: {"shadowed": "door_shadowed:ANSWER"})
    monkeypatch.chdir(folder / "here")
    assert DOOR.find("door_other:ANSWER") == 1
    assert DOOR.find("shadowed") == "installed"
    assert DOOR.find("door_shadowed:ANSWER") == "beside"
    assert DOOR.find("shadowed") == "installed"
