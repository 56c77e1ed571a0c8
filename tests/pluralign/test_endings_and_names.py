"""What is written has the ending of its kind, and features that need names are told so."""

import json
from pathlib import Path

import pytest
from typed_commands import typed, typed_json

import pluralign as pl
from sim.errors import InputError


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted") / "fit"
    pl.fit("examples/pairs.jsonl.gz", method="pooled").save(folder)
    return folder


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out", "out.parquet.gz"])
def test_rows_go_to_parquet(fitted, tmp_path, monkeypatch, capsys, name):
    out = tmp_path / name
    code, _, err = typed(monkeypatch, capsys, "predict", fitted, "examples/items.jsonl", "--out", out)
    assert (code, out.exists()) == (2, False)
    assert f"{name}: expected a file ending in .parquet; name it so" in err
    with pytest.raises(InputError, match=r"expected a file ending in \.parquet"):
        pl.load_fit(fitted).predict("examples/items.jsonl").save(out)
    assert (
        typed(monkeypatch, capsys, "predict", fitted, "examples/items.jsonl", "--out", tmp_path / "O.PARQUET")[0] == 0
    )


def test_a_page_is_html(fitted, tmp_path, monkeypatch, capsys):
    code, _, err = typed(monkeypatch, capsys, "report", fitted, "--out", tmp_path / "page.csv")
    assert (code, (tmp_path / "page.csv").exists()) == (2, False)
    assert "page.csv: expected a file ending in .html or .htm; name it so" in err


def test_features_without_names_are_told_the_names(fitted, tmp_path):
    row = json.loads(Path("examples/items.jsonl").read_text().partition("\n")[0])
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({**row, "features": list(row["features"].values())}))
    with pytest.raises(InputError) as told:
        pl.load_fit(fitted).predict(items)
    assert str(told.value).endswith(
        "items.jsonl, field 'features': the 4 features have no names, and those of the fit are called length, warmth, "
        "examples, caution; give them as an object name -> number, or name them in Parquet's schema"
    )
    del row["features"]["warmth"]
    items.write_text(json.dumps(row))
    with pytest.raises(InputError, match="feature 'warmth' of the fit is missing; give every feature it used"):
        pl.load_fit(fitted).predict(items)


def test_the_file_of_a_fit_is_the_object_less_what_is_of_the_run(tmp_path, monkeypatch, capsys):
    """As docs/file_formats.md says."""
    out = tmp_path / "fit"
    printed = typed_json(monkeypatch, capsys, "fit", "examples/pairs.jsonl.gz", "--method", "pooled", "--out", out)
    written = json.loads((out / "fit.json").read_text())
    assert set(printed) - set(written) == {"seed", "seconds", "out"}
    assert set(written) - set(printed) == {"model_checksum"}
    assert all(written[name] == printed[name] for name in set(written) & set(printed))
