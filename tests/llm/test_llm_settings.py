"""Settings from YAML and overrides: values, types, and unknown keys by name."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from llm.settings import read_settings, resolved
from sim.errors import InputError


@dataclass(frozen=True)
class Inner:
    rate: float = 1e-4
    steps: int = 3

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate must be positive (got {self.rate})")


@dataclass(frozen=True)
class Outer:
    name: str = "x"
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    flag: bool = False
    inner: Inner = field(default_factory=Inner)


def test_file_then_overrides_then_options(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("name: file\nlimit: 4\ninner:\n  rate: 5e-7\n")
    found = read_settings(Outer, path, ["inner.steps=9", "name=set"], {"name": "option", "kind": None})
    assert found == Outer("option", "a", 4, False, Inner(5e-7, 9))
    assert resolved(found)["inner"] == {"rate": 5e-7, "steps": 9}
    assert read_settings(Outer, path, ["limit=null"]).limit is None
    assert read_settings(Outer) == Outer()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae: x", "unknown key 'nmae'; did you mean 'name'?"),
        ("inner:\n  rte: 1", "unknown key 'inner.rte'; did you mean 'inner.rate'?"),
        ("inner: 3", "field 'inner': expected a section"),
        ("kind: c", "field 'kind': expected one of a, b, got 'c'"),
        ("limit: 1.5", "field 'limit': expected a whole number, got 1.5"),
        ("limit: true", "expected a whole number, got True"),
        ("flag: 1", "expected true or false, got 1"),
        ("inner:\n  rate: fast", "expected a number, got 'fast'"),
        ("inner:\n  rate: .inf", "expected a finite number"),
        ("inner:\n  rate: -1", "rate must be positive (got -1.0)"),
        ("- a", "expected a mapping of settings, got list"),
        ("a: [", "is not YAML"),
    ],
)
def test_mistakes(tmp_path, text, message):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_settings(Outer, path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_bad_overrides_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="expected key=value"):
        read_settings(Outer, None, ["name"])
    with pytest.raises(InputError, match="is not a section"):
        read_settings(Outer, None, ["name=x", "name.y=3"])
    with pytest.raises(InputError, match="cannot be read"):
        read_settings(Outer, tmp_path / "none.yaml")
