"""A folder that is there whole or not at all, whatever ends its writing."""

import errno

import pytest

torch = pytest.importorskip("torch")

from safetensors import SafetensorError  # noqa: E402

from llm.base.new_folder import new_folder  # noqa: E402


def test_a_folder_comes_whole_and_readable(tmp_path):
    with new_folder(tmp_path / "a" / "b") as fresh:
        (fresh / "one").write_text("x")
        assert not (tmp_path / "a" / "b").exists()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b"]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "b" / "one").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
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
