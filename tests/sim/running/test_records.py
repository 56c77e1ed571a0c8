"""Finished tasks on disk: kills, damage, two runs at once, other formats, order."""

import os
import random
import subprocess
import sys

import pytest
from places import ROOT

from sim.errors import InputError
from sim.running.index import Index, merge
from sim.running.places import Folder
from sim.running.ranges import Ranges
from sim.running.records import FolderWriter, as_json, writing_to

CONTENT = {i: [["method", "metric", i / 7, 0.0, "ok"]] * 5 for i in range(20)}


def _fill(folder, numbers=tuple(CONTENT), series="cell"):
    with writing_to(str(folder)) as writer:
        for number in numbers:
            writer.add(series, number, as_json(CONTENT[number]))


@pytest.fixture(autouse=True)
def _own_files(monkeypatch):
    """Each filling is another process's: a file of its own."""
    monkeypatch.setattr("sim.running.records.FolderWriter._taken_up", lambda writer: None)


def _found(folder):
    """number -> content, in the order of reading."""
    import json

    index = Index([Folder(folder)]).refresh()
    found = {line.number: json.loads(line.content) for line in index.ordered("cell", 0, 1000)}
    assert sorted(found) == list(found)
    assert sum(index.done_of("cell").count(number, number + 1) for number in found) == len(found)
    return found, index


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_added_is_found_exactly_and_in_order(tmp_path):
    numbers = list(CONTENT)
    random.Random(0).shuffle(numbers)
    _fill(tmp_path, numbers[:9])
    _fill(tmp_path, numbers[9:])
    _fill(tmp_path, [5], "other")
    found, index = _found(tmp_path)
    assert found == CONTENT
    assert index.notices() == []
    assert [line.number for line in index.ordered("cell", 3, 6)] == [3, 4, 5]
    assert Index([Folder(tmp_path / "nowhere")]).refresh().done_of("cell").count(0, 9) == 0
    assert len(_names(tmp_path)) == 3


def test_what_is_new_is_read_and_nothing_twice(tmp_path, monkeypatch):
    _fill(tmp_path, range(10))
    index = Index([Folder(tmp_path)]).refresh()
    read = []
    real = Folder.read
    monkeypatch.setattr(Folder, "read", lambda own, *where: read.append(where) or real(own, *where))
    _fill(tmp_path, range(10, 12))
    index.refresh()
    assert [name for name, _, _ in read] == ["records-0002.jsonl"]
    assert list(index.done_of("cell")) == [(0, 12)]


def test_a_file_cut_anywhere_loses_the_line_being_written_and_nothing_else(tmp_path):
    _fill(tmp_path / "whole")
    whole = (tmp_path / "whole" / "records-0001.jsonl").read_bytes()
    (tmp_path / "cut").mkdir()
    for length in range(0, len(whole), 37):
        (tmp_path / "cut" / "records-0001.jsonl").write_bytes(whole[:length])
        found, index = _found(tmp_path / "cut")
        assert len(found) == max(whole[:length].count(b"\n") - 1, 0)
        assert all(CONTENT[number] == content for number, content in found.items())
        assert index.notices() == [], "a kill is no damage"


def test_every_flipped_byte_is_noticed(tmp_path):
    _fill(tmp_path, [0, 1, 2])
    path = tmp_path / "records-0001.jsonl"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        found, index = _found(tmp_path)
        assert all(CONTENT[number] == content for number, content in found.items())
        assert len(found) >= 1
        assert index.notices() or len(found) == 2, "a lost newline may look like a kill; nothing else does"


def test_the_later_counts_and_what_succeeded_counts_over_what_failed(tmp_path):
    _fill(tmp_path, [0, 1])
    with writing_to(str(tmp_path)) as writer:
        writer.add("cell", 1, as_json({"failed": "late"}))
        writer.add("cell", 2, as_json({"failed": "first"}))
        writer.add("cell", 2, as_json({"failed": "then"}))
        writer.add("cell", 0, as_json(["computed again"]))
    found, index = _found_with_failures(tmp_path)
    assert found == {0: ["computed again"], 1: CONTENT[1], 2: {"failed": "then"}}
    assert (list(index.done_of("cell")), list(index.failed_of("cell"))) == ([(0, 2)], [(1, 3)])
    merge(Folder(tmp_path))
    assert _names(tmp_path) == ["records-0003.jsonl"]
    assert _found_with_failures(tmp_path)[0] == found


def _found_with_failures(folder):
    import json

    index = Index([Folder(folder)]).refresh()
    return {line.number: json.loads(line.content) for line in index.ordered("cell", 0, 9)}, index


def test_merging_keeps_what_is_whole_in_one_file(tmp_path):
    _fill(tmp_path, [0, 1])
    _fill(tmp_path, [2])
    path = tmp_path / "records-0001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"cell-1", b"cell-9"))
    merge(Folder(tmp_path))
    assert _names(tmp_path) == ["records-0003.jsonl"]
    found, index = _found(tmp_path)
    assert found == {0: CONTENT[0], 2: CONTENT[2]}
    assert index.notices() == []
    before = (tmp_path / "records-0003.jsonl").stat()
    merge(Folder(tmp_path))
    assert (tmp_path / "records-0003.jsonl").stat().st_mtime_ns == before.st_mtime_ns, "nothing to merge"


def test_a_kill_between_the_new_file_and_the_removal_of_the_old_ones_changes_nothing(tmp_path, monkeypatch):
    _fill(tmp_path, [0, 1])
    _fill(tmp_path, [2])

    def killed(path, missing_ok=False):
        if path.name.startswith("records-"):
            raise KeyboardInterrupt
        os.unlink(path)

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            merge(Folder(tmp_path))
    assert len(_names(tmp_path)) == 3
    assert len(_found(tmp_path)[0]) == 3
    merge(Folder(tmp_path))
    assert len(_names(tmp_path)) == 1
    assert len(_found(tmp_path)[0]) == 3


def test_a_file_another_run_writes_to_is_left_alone(tmp_path):
    _fill(tmp_path, [0])
    code = (
        "import sys; from sim.running.records import writing_to\n"
        "with writing_to(sys.argv[1]) as writer:\n"
        "    writer.add('cell', 1, '[1]'); print('ready', flush=True); input()\n"
        "    writer.add('cell', 2, '[2]')"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert running.stdout.readline() == "ready\n"
    _fill(tmp_path, [3])
    merge(Folder(tmp_path))
    assert "records-0002.jsonl" in _names(tmp_path)
    running.communicate("\n")
    assert running.returncode == 0
    assert set(_found(tmp_path)[0]) == {0, 1, 2, 3}
    merge(Folder(tmp_path))
    assert len(_names(tmp_path)) == 1


def test_a_process_goes_on_in_its_file_unless_that_was_merged_away(tmp_path, monkeypatch):
    monkeypatch.undo()
    for number in range(3):
        _fill(tmp_path, [number])
    assert _names(tmp_path) == ["records-0001.jsonl"]
    (tmp_path / "records-0001.jsonl").rename(tmp_path / "records-0007.jsonl")
    _fill(tmp_path, [3])
    assert _names(tmp_path) == ["records-0007.jsonl", "records-0008.jsonl"]
    assert len(_found(tmp_path)[0]) == 4


def test_what_a_full_disk_took_of_a_line_stays_the_end_of_its_file(tmp_path, monkeypatch):
    monkeypatch.undo()
    _fill(tmp_path, [0])

    class Full:
        def __init__(self, file):
            self._file, self.fileno = file, file.fileno

        def write(self, line):
            self._file.write(line[:30])
            raise OSError(28, "No space left on device")

        def close(self):
            self._file.close()

    opened = FolderWriter._taken_up
    with monkeypatch.context() as patched:
        patched.setattr(FolderWriter, "_taken_up", lambda writer: Full(opened(writer)))
        with pytest.raises(
            InputError, match="finished work cannot be written \\(No space left on device\\); make room"
        ):
            _fill(tmp_path, [1])
    _fill(tmp_path, [1, 2])
    found, index = _found(tmp_path)
    assert (set(found), index.notices()) == ({0, 1, 2}, [])


def test_other_formats(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.running.records.VERSION", 9)
    _fill(tmp_path / "later")
    monkeypatch.setattr("sim.running.records.VERSION", 2)
    _fill(tmp_path / "before")
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"records-0001\.jsonl: holds finished tasks of format 9, this"):
        Index([Folder(tmp_path / "later")]).refresh()
    (line,) = Index([Folder(tmp_path / "before")]).refresh().notices()
    assert "finished tasks of format 2 are not read; it may be deleted" in line


def test_a_number_that_json_has_not_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json([float("nan")])


def test_intervals_are_sets():
    """Against Python's sets, on random intervals."""
    draw = random.Random(1)
    for _ in range(200):
        ranges, numbers = Ranges(), set()
        for _ in range(draw.randrange(12)):
            start = draw.randrange(30)
            stop = start + draw.randrange(6)
            ranges.add(start, stop)
            numbers |= set(range(start, stop))
        assert {number for start, stop in ranges for number in range(start, stop)} == numbers
        assert all(later[0] > earlier[1] for earlier, later in zip(list(ranges), list(ranges)[1:], strict=False))
        low, high = draw.randrange(20), draw.randrange(15, 40)
        assert {n for start, stop in ranges.gaps(low, high) for n in range(start, stop)} == set(
            range(low, high)
        ) - numbers
        assert ranges.count(low, high) == len(numbers & set(range(low, high)))
        assert [number in ranges for number in range(40)] == [number in numbers for number in range(40)]


def test_what_is_held_does_not_grow_with_the_tasks(tmp_path):
    """Twelve times the tasks, and no more memory but that of a few stretches."""
    import tracemalloc

    held = []
    for count in (1000, 12_000):
        with writing_to(str(tmp_path / str(count))) as writer:
            for number in range(count):
                writer.add("cell", number, '[["method","metric",0.123456789,0.0,"ok"]]')
        tracemalloc.start()
        index = Index([Folder(tmp_path / str(count))]).refresh()
        assert sum(1 for _ in index.ordered("cell", 0, count)) == count
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert held[1] < held[0] + 4000
