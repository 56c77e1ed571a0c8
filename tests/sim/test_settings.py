"""Settings from YAML and overrides: values, types, and unknown keys by name."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
import yaml

from sim.errors import InputError
from sim.settings import load_yaml, parse_override, read_mapping, read_settings, require_known, resolved


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


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["name=y", "inner.rte=1"], "'inner.rte=1': unknown key 'inner.rte'; did you mean 'inner.rate'?"),
        (["kind=c"], "'kind=c', field 'kind': expected one of a, b, got 'c'"),
        (["inner.rate=-1", "limit=4"], "'inner.rate=-1', field 'inner': rate must be positive (got -1.0)"),
    ],
)
def test_an_override_is_blamed_and_not_the_file(tmp_path, texts, message):
    path = tmp_path / "s.yaml"
    path.write_text("limit: 3")
    with pytest.raises(InputError) as error:
        read_settings(Outer, path, texts)
    assert str(error.value) == message
    path.write_text("limit: x\nkind: c")
    with pytest.raises(InputError, match=r"s\.yaml, field 'kind'"):
        read_settings(Outer, path, ["limit=3"])
    with pytest.raises(InputError, match=r"^'limit=y', field 'limit'"):
        read_settings(Outer, path, ["kind=a", "limit=y", "limit=y"])
    path.write_text("limt: 3")
    with pytest.raises(InputError, match=r"s\.yaml: unknown key 'limt'"):
        read_settings(Outer, path, ["name=y"])


def test_reading_names_what_was_expected(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("- a")
    with pytest.raises(InputError, match="expected a study, got list"):
        read_mapping(path, "a study")
    path.write_text("")
    assert read_mapping(path) == {}


def test_an_unknown_key_is_refused_with_the_nearest_one():
    require_known("seed", ("seed", "title"))
    for given, message in (
        ({"section": "grid"}, "f.yaml: unknown key 'sede' in 'grid'; did you mean 'seed'?"),
        ({"prefix": "run."}, "f.yaml: unknown key 'run.sede'; did you mean 'run.seed'?"),
    ):
        with pytest.raises(InputError) as error:
            require_known("sede", ("seed", "title"), "f.yaml", **given)
        assert str(error.value) == message
    with pytest.raises(InputError, match="unknown key 'x'; choose one of seed, title"):
        require_known("x", ("seed", "title"))


def test_override_texts():
    assert parse_override(" a.b =[1, 2]") == ("a.b", [1, 2])
    assert parse_override("a=b=c") == ("a", "b=c")
    with pytest.raises(InputError, match="'a': expected key=value; for example n=3"):
        parse_override("a", "n=3")
    with pytest.raises(InputError, match="the value is not YAML; quote it"):
        parse_override("a=[")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("~/a/b", "/home/of/x/a/b"), ("~", "/home/of/x"), ("a/~/b", "a/~/b"), ("~ or so", "~ or so"), ("", "")],
)
def test_paths_below_home_are_written_out_wherever_they_come_from(tmp_path, monkeypatch, text, wanted):
    monkeypatch.setenv("HOME", "/home/of/x")
    path = tmp_path / "settings.yaml"
    path.write_text(f"name: '{text}'\n")
    assert read_settings(Outer, path).name == wanted
    assert read_settings(Outer, None, [f"name='{text}'"]).name == wanted
    assert read_settings(Outer, None, (), {"name": text}).name == wanted
    assert resolved(read_settings(Outer, path))["name"] == wanted


@pytest.mark.parametrize("text", ["1e-3", "-2E+5", "5.e3", ".5e1", "1_000", "1.5e3", "7", "0x1F", "true", "2020-01-01"])
def test_numbers_with_exponents_are_numbers_where_nothing_says_of_what_kind(text):
    """The others stay what YAML 1.1 makes of them, and what is quoted stays a text."""
    key, value = parse_override(f"k={text}", exponents=True)
    is_exponent = "e" in text.lower() and text != "true"
    assert (key, value) == ("k", float(text) if is_exponent else yaml.safe_load(text))
    assert load_yaml(f"[{text}, '{text}']", exponents=True) == [value, text]
    assert load_yaml("[1e, e5, 12e4f, 1e5x]", exponents=True) == ["1e", "e5", "12e4f", "1e5x"]
