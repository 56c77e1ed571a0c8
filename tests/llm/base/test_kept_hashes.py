"""A hash that is kept is believed of exactly the files it was taken of, and of no others."""

import json
import os
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from llm.base import kept_hashes  # noqa: E402
from llm.base.folder_format import stamped  # noqa: E402
from llm.base.identity import folder_hash, weights_hash  # noqa: E402
from llm.base.kept_hashes import kept_hash  # noqa: E402


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of hashes, with every file large enough and old enough to be kept."""
    monkeypatch.setenv("PLURALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_hashes, "_LARGE_BYTES", 1)
    monkeypatch.setattr(kept_hashes, "_SETTLED_NS", 0)
    return tmp_path / "cache" / "hashes"


class Reader:
    """What is hashed: the file's content. reads: how often."""

    def __init__(self, file, name="weights"):
        self.file, self.name, self.reads = file, name, 0

    def __call__(self):
        def compute():
            self.reads += 1
            return self.file.read_text()

        return kept_hash({self.file: self.name}, compute)


@pytest.fixture
def reader(tmp_path, cache):
    file = tmp_path / "model.safetensors"
    file.write_text("first")
    own = Reader(file)
    assert own() == "first"
    assert own() == "first"
    assert own.reads == 1
    assert len(list(cache.iterdir())) == 1
    return own


def _with_times_of_before(reader, content):
    before = reader.file.stat()
    reader.file.write_text(content)
    os.utime(reader.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = reader.file.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)


def _replaced(reader, content):
    before, fresh = reader.file.stat(), reader.file.with_suffix(".fresh")
    fresh.write_text(content)
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(fresh, reader.file)


@pytest.mark.parametrize(
    "change",
    [lambda reader, content: reader.file.write_text(content), _with_times_of_before, _replaced],
    ids=["written over", "time set back", "another file"],
)
def test_a_file_that_changed_is_read(reader, change):
    for number, content in enumerate(("other", "fifth"), 2):
        change(reader, content)
        assert [reader(), reader()] == [content, content]
        assert reader.reads == number


def test_other_names_and_other_places_are_read(reader, tmp_path):
    renamed = Reader(reader.file, "inside/weights")
    assert renamed() == "first"
    assert renamed.reads == 1
    linked = tmp_path / "elsewhere.safetensors"
    linked.symlink_to(reader.file)
    other = Reader(linked)
    assert other() == "first"
    assert other.reads == 1
    assert reader() == "first"
    assert reader.reads == 1


def test_damaged_and_foreign_entries_are_not_believed(reader, cache):
    entry = next(cache.iterdir())
    whole = entry.read_bytes()
    content = json.loads(whole)
    content.pop("checksum")
    content.pop("format")
    foreign = stamped({**content, "files": [[*content["files"][0][:-1], 0]]})
    wrong = {**json.loads(whole), "hash": "second"}
    for number, damage in enumerate(
        (b"", whole[:-9], b"\0" * len(whole), b"[]", json.dumps(wrong).encode(), json.dumps(foreign).encode()), 2
    ):
        entry.write_bytes(damage)
        assert [reader(), reader()] == ["first", "first"]
        assert reader.reads == number, damage
        assert entry.read_bytes() == whole


def test_a_file_that_is_being_written_is_not_kept(tmp_path, cache, monkeypatch):
    file = tmp_path / "model.safetensors"
    file.write_text("first")

    def written_meanwhile():
        found = file.read_text()
        file.write_text("other")
        return found

    assert kept_hash({file: "weights"}, written_meanwhile) == "first"
    assert not cache.exists()
    # A moment ago: the next change may carry the same time.
    monkeypatch.setattr(kept_hashes, "_SETTLED_NS", 10**15)
    own = Reader(file)
    assert [own(), own()] == ["other", "other"]
    assert own.reads == 2
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_none(tmp_path, cache):
    cache.parent.mkdir()
    cache.write_text("no folder")
    file = tmp_path / "model.safetensors"
    file.write_text("first")
    own = Reader(file)
    assert [own(), own()] == ["first", "first"]
    assert own.reads == 2


def test_a_model_is_read_once_and_its_hash_is_what_it_was(tmp_path, cache, monkeypatch):
    folder, opened, open_file = tmp_path / "model", [], Path.open
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for part in ("a", "b"):
        (folder / f"{part}.safetensors").write_bytes(part.encode() * 1000)

    def counted(path, *arguments, **options):
        opened.extend([path.name] if path.suffix == ".safetensors" else [])
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    first = weights_hash(folder)
    assert weights_hash(folder) == first
    assert opened == ["a.safetensors", "b.safetensors"]
    assert folder_hash(folder) == folder_hash(folder)
    shutil.rmtree(cache)
    assert weights_hash(folder) == first
    monkeypatch.setattr(kept_hashes, "_LARGE_BYTES", 1 << 40)
    assert weights_hash(folder) == first
    assert opened.count("a.safetensors") == 4
    (folder / "b.safetensors").write_bytes(b"c" * 1000)
    assert weights_hash(folder) != first
