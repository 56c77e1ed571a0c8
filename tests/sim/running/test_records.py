"""Finished tasks on disk: kills, damage, two runs at once, other formats."""

import os
import subprocess
import sys

import pytest
from places import ROOT

from sim.errors import InputError
from sim.running.records import Records

CONTENT = {f"cell-{i}": [["method", "metric", i / 7, 0.0, "ok"]] * 5 for i in range(20)}


def _fill(folder, keys=tuple(CONTENT)):
    with Records(folder) as records:
        for key in keys:
            records.add(key, CONTENT[key])


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_added_is_found_exactly(tmp_path):
    _fill(tmp_path)
    found = Records(tmp_path).find(CONTENT)
    assert found.contents == CONTENT
    assert found.notices == ()
    assert Records(tmp_path).find(["cell-3", "absent"]).contents == {"cell-3": CONTENT["cell-3"]}
    assert Records(tmp_path / "nowhere").find(["a"]).contents == {}
    assert _names(tmp_path) == ["records-0001.jsonl"]


def test_a_file_cut_anywhere_loses_the_line_being_written_and_nothing_else(tmp_path):
    _fill(tmp_path / "whole")
    whole = (tmp_path / "whole" / "records-0001.jsonl").read_bytes()
    (tmp_path / "cut").mkdir()
    for length in range(0, len(whole), 37):
        (tmp_path / "cut" / "records-0001.jsonl").write_bytes(whole[:length])
        found = Records(tmp_path / "cut").find(CONTENT)
        assert len(found.contents) == max(whole[:length].count(b"\n") - 1, 0)
        assert all(CONTENT[key] == content for key, content in found.contents.items())
        assert found.notices == (), "a kill is no damage"


def test_every_flipped_byte_is_noticed(tmp_path):
    _fill(tmp_path, ["cell-0", "cell-1", "cell-2"])
    path = tmp_path / "records-0001.jsonl"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        found = Records(tmp_path).find(CONTENT)
        assert all(CONTENT[key] == content for key, content in found.contents.items())
        assert len(found.contents) >= 1
        assert found.notices or len(found.contents) == 2, "a lost newline may look like a kill; nothing else does"


def test_merging_keeps_what_is_whole_in_one_file(tmp_path):
    _fill(tmp_path, ["cell-0", "cell-1"])
    _fill(tmp_path, ["cell-2"])
    path = tmp_path / "records-0001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"cell-1", b"cell-9"))
    with Records(tmp_path) as records:
        records.add("cell-0", ["computed again"])
        records.merge()
    assert _names(tmp_path) == ["records-0004.jsonl"]
    found = Records(tmp_path).find(CONTENT)
    assert found.contents == {"cell-0": ["computed again"], "cell-2": CONTENT["cell-2"]}
    assert found.notices == ()
    before = (tmp_path / "records-0004.jsonl").stat()
    Records(tmp_path).merge()
    assert (tmp_path / "records-0004.jsonl").stat().st_mtime_ns == before.st_mtime_ns, "nothing to merge"


def test_a_kill_between_the_new_file_and_the_removal_of_the_old_ones_changes_nothing(tmp_path, monkeypatch):
    _fill(tmp_path, ["cell-0", "cell-1"])
    _fill(tmp_path, ["cell-2"])

    def killed(path, missing_ok=False):
        if path.name.startswith("records-"):
            raise KeyboardInterrupt
        os.unlink(path)

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            Records(tmp_path).merge()
    assert len(_names(tmp_path)) == 3
    assert len(Records(tmp_path).find(CONTENT).contents) == 3
    Records(tmp_path).merge()
    assert len(_names(tmp_path)) == 1
    assert len(Records(tmp_path).find(CONTENT).contents) == 3


def test_a_file_another_run_writes_to_is_left_alone(tmp_path):
    _fill(tmp_path, ["cell-0"])
    code = (
        "import sys; from pathlib import Path; from sim.running.records import Records\n"
        "records = Records(Path(sys.argv[1])); records.add('cell-1', [1]); print('ready', flush=True); input()\n"
        "records.add('cell-2', [2])"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert running.stdout.readline() == "ready\n"
    _fill(tmp_path, ["cell-3"])
    Records(tmp_path).merge()
    assert "records-0002.jsonl" in _names(tmp_path)
    running.communicate("\n")
    assert running.returncode == 0
    assert set(Records(tmp_path).find(CONTENT).contents) == {"cell-0", "cell-1", "cell-2", "cell-3"}
    Records(tmp_path).merge()
    assert len(_names(tmp_path)) == 1


def test_another_format_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.running.records.VERSION", 3)
    _fill(tmp_path)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"records-0001\.jsonl: holds finished tasks of format 3, this"):
        Records(tmp_path).find(CONTENT)


def test_a_number_that_json_has_not_is_refused(tmp_path):
    with Records(tmp_path) as records, pytest.raises(ValueError, match="not JSON compliant"):
        records.add("cell-0", [float("nan")])
