"""A folder that is there whole or not at all, whatever ends its writing."""

import errno
from pathlib import Path

import pytest
from places import ROOT

torch = pytest.importorskip("torch")

from safetensors import SafetensorError  # noqa: E402
from tokenizers import Tokenizer, models  # noqa: E402

from llm.base.new_folder import new_folder  # noqa: E402
from llm.base.tensor_files import disk_errors  # noqa: E402


def test_a_folder_comes_whole_and_readable(tmp_path):
    with new_folder(tmp_path / "a" / "b") as fresh:
        (fresh / "one").write_text("x")
        assert not (tmp_path / "a" / "b").exists()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b"]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "b" / "one").stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_what_a_tokenizer_says_of_a_full_disk():
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"), disk_errors("/dev/full"):
        tokenizer.save("/dev/full")


def test_other_errors_are_as_they_were():
    for error in (ValueError("of theirs (os error 28)"), Exception("of theirs")):
        with pytest.raises(type(error), match="of theirs"), disk_errors("x"):
            raise error


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    Exception("No space left on device (os error 28)"),
])  # fmt: skip
def test_a_full_disk_is_the_systems_error_and_leaves_nothing(tmp_path, error):
    def written():
        with new_folder(tmp_path / "b") as fresh:
            (fresh / "one").write_text("half")
            raise error

    with pytest.raises(OSError, match="No space left") as caught:
        written()
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_what_others_write_is_written_where_a_full_disk_is_said():
    for path in (ROOT / "llm").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert ".save_pretrained(" not in text or "disk_errors(" in text or "new_folder(" in text, path
