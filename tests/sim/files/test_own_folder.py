"""A folder that takes an earlier one's place."""

import os

import pytest

from sim.files.own_folder import lies_at, take_place
from sim.fitting.save import replace_folder


def _fill(text):
    return lambda folder: (folder / "fit.json").write_text(text)


def test_behind_a_link_lies_what_is_replaced(tmp_path):
    """Results on another disk: the link stays, and nothing of an earlier fit is left behind it."""
    (tmp_path / "disk" / "fits").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "fits")
    for text in ("first", "second"):
        replace_folder(tmp_path / "link", _fill(text))
        assert os.path.islink(tmp_path / "link")
        assert (tmp_path / "disk" / "fits" / "fit.json").read_text() == text
    assert sorted(os.listdir(tmp_path / "disk")) == ["fits"]


def test_a_folder_is_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lies_at("here") == tmp_path / "here"
    (tmp_path / "to").symlink_to("nowhere")
    assert lies_at("to") == tmp_path / "to"


@pytest.mark.parametrize("earlier", [False, True])
def test_hidden_files_stay(tmp_path, earlier):
    fresh, target = tmp_path / "fresh", tmp_path / "target"
    fresh.mkdir()
    (fresh / "fit.json").touch()
    if earlier:
        target.mkdir()
        (target / ".gitkeep").touch()
        (target / "old.json").touch()
    take_place(fresh, target)
    assert sorted(os.listdir(target)) == ([".gitkeep", "fit.json"] if earlier else ["fit.json"])
