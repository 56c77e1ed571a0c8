"""Beginning anew: what counts afterwards is what was computed for it, in whatever file and order it lies."""

import random

import pytest

from sim.running.generations import named
from sim.running.index import Index, begin_anew, merge
from sim.running.places import Folder, Store
from sim.running.records import as_json, checked, header


def _index(place):
    return Index([place]).refresh()


def _counting(index):
    """number -> content."""
    return {line.number: line.content for line in index.ordered("cell", 0, 99)}


@pytest.mark.parametrize("seed", range(8))
def test_what_counts_is_what_was_written_since_the_number_was_begun_anew(tmp_path, seed):
    """Against a list of what happened; lines of any time lie in files of any age, some of runs that were overtaken."""
    draw = random.Random(seed)
    files = {f"records-{number:04d}.jsonl": [header()] for number in range(1, 6)}
    begun: dict[int, int] = {}  # number -> generation
    tasks: list[tuple[int, int, bool]] = []  # number, generation, went well
    generation = 0
    for time in range(60):
        if draw.random() < 0.1:
            generation += 1
            start = draw.randrange(12)
            stop = start + 1 + draw.randrange(8)
            begun |= dict.fromkeys(range(start, stop), generation)
            line = checked(named("cell", generation), as_json([start, stop]))
        else:
            number, of, well = draw.randrange(20), draw.choice((generation, draw.randint(0, generation))), draw.random()
            tasks.append((number, of, well < 0.7))
            content = as_json([time, number, of] if well < 0.7 else {"failed": "so"})
            line = checked(f"{named('cell', of)}-{number}", content)
        draw.choice(list(files.values())).append(line)
    for name, lines in files.items():
        (tmp_path / name).write_bytes(b"".join(lines))
    count = [(number, well) for number, of, well in tasks if of >= begun.get(number, 0)]
    done, failed = ({number for number, well in count if well is which} for which in (True, False))
    for again in range(2):
        index = _index(Folder(tmp_path))
        assert {number for low, high in index.done_of("cell") for number in range(low, high)} == done
        assert {number for low, high in index.failed_of("cell") for number in range(low, high)} >= failed - done
        found = _counting(index)
        assert {number for number, content in found.items() if content.startswith("[")} == done
        assert set(found) == done | failed
        assert index.generation("cell") == generation or again
        merge(Folder(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


def _keep(place, number, content, generation=0):
    line = checked(f"{named('cell', generation)}-{number}", as_json(content))
    path = place.path / "records-0001.jsonl"
    path.write_bytes((path.read_bytes() if path.exists() else header()) + line)


def test_a_line_that_comes_late_or_is_merged_later_does_not_count(tmp_path):
    """A worker of the run before, which goes on in its file; its file is merged when the mark has been, too."""
    place = Folder(tmp_path)
    _keep(place, 0, ["old"])
    index = _index(place)
    begin_anew(place, {"cell": (0, 9)})
    _keep(place, 1, ["late"])
    assert list(index.refresh().done_of("cell")) == [], "one that had read it before sees it too"
    late = (tmp_path / "records-0001.jsonl").read_bytes()
    (tmp_path / "records-0001.jsonl").unlink()
    merge(place)
    (tmp_path / "records-0001.jsonl").write_bytes(late)
    assert _counting(_index(place)) == {}
    _keep(place, 1, ["new"], 1)
    assert _counting(_index(place)) == {1: '["new"]'}
    merge(place)
    assert _counting(_index(place)) == {1: '["new"]'}
    text = (tmp_path / next(iter(place.sizes()))).read_text()
    assert not {"old", "late"} & set(text.split('"')), "what does not count is not kept for ever"


def test_marks_take_a_line_a_series_however_often_it_is_begun_anew(tmp_path):
    place = Folder(tmp_path)
    for _ in range(20):
        begin_anew(place, {"cell": (0, 9), "other": (3, 5)})
    merge(place)
    (name,) = place.sizes()
    assert (tmp_path / name).read_text().count("\n") == 3
    assert [_index(place).generation(series) for series in ("cell", "other", "third")] == [20, 20, 0]


def test_a_share_begins_its_own_numbers_anew_and_no_others(tmp_path):
    place = Folder(tmp_path)
    for number in range(4):
        _keep(place, number, ["old"])
    begin_anew(place, {"cell": (2, 4)})
    assert list(_index(place).done_of("cell")) == [(0, 2)]


def test_a_store_without_order_knows_it_too():
    place = Store("memory://generations")
    place.put("records-5000-00000000000000ff.jsonl", header() + checked("cell-0", '["old"]'))
    begin_anew(place, {"cell": (0, 9)})
    # A machine whose clock is behind, and one whose clock is ahead.
    place.put("records-1000-00000000000000ff.jsonl", header() + checked("cell+1-0", '["new"]'))
    place.put(f"records-{10**30}-00000000000000ff.jsonl", header() + checked("cell-0", '["late"]'))
    assert _counting(_index(place)) == {0: '["new"]'}


def test_a_mark_that_is_damaged_was_about_everything(tmp_path):
    place = Folder(tmp_path)
    _keep(place, 0, ["old"])
    begin_anew(place, {"cell": (0, 9)})
    _keep(place, 1, ["new"], 1)
    path = tmp_path / "records-0002.jsonl"
    path.write_bytes(path.read_bytes().replace(b"[0,9]", b"[0,8]"))
    index = _index(place)
    assert _counting(index) == {1: '["new"]'}
    assert index.generation("cell") == 1
    assert "1 damaged lines" in index.notices()[0]


def test_a_kill_while_the_marks_are_written_leaves_none(tmp_path, monkeypatch):
    place = Folder(tmp_path)
    _keep(place, 0, ["old"])

    def killed(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr("sim.running.records._link", killed)
    with pytest.raises(KeyboardInterrupt):
        begin_anew(place, {"cell": (0, 9), "other": (0, 9)})
    assert list(place.sizes()) == ["records-0001.jsonl"]
    assert _counting(_index(place)) == {0: '["old"]'}
