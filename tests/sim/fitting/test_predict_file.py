"""`predict`: known and new annotators side by side, and every refusal with its file and field."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opposed import opposed_types
from tastes import rows_of_tastes

from pluralign.__main__ import main
from sim.errors import InputError
from sim.files.preference_files import read_pairs, table_of_rows, write_pairs
from sim.fitting.diagnostics import spectrum
from sim.fitting.predict import assign_pairs, predict_file
from sim.fitting.report import fit
from sim.fitting.save import load_fit, save_fit
from sim.fitting.settings import FitSettings

NAMES = ("plot", "music", "length")


@pytest.fixture(scope="module")
def types(tmp_path_factory):
    """(table, fit read back) of a small em-dpo fit."""
    folder = tmp_path_factory.mktemp("types")
    table = opposed_types(n_annotators=30, answers=30, groups=False)
    save_fit(folder / "fit", fit(table, FitSettings("em-dpo", n_types=2, restarts=1, ridge=0.1)))
    return table, load_fit(folder / "fit")


@pytest.fixture(scope="module")
def tastes(tmp_path_factory):
    """(rows, fit read back) of a small low-rank fit."""
    folder, rows = tmp_path_factory.mktemp("tastes"), rows_of_tastes(people=30, answers=20, n_items=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrum, "PERMUTATIONS", 3)
        save_fit(folder / "fit", fit(table_of_rows(rows, folder / "pairs.jsonl"), FitSettings("low-rank", n_types=1)))
    return rows, load_fit(folder / "fit")


def _lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _pairs(table, of, name=None):
    """Rows of the annotators numbered `of`, perhaps under another name."""
    vectors = [dict(zip(NAMES, x, strict=True)) for x in table.features.tolist()]
    return [
        {"chosen": table.items[c], "rejected": table.items[r], "annotator_id": name or table.annotators[i],
         "chosen_features": vectors[c], "rejected_features": vectors[r]}
        for c, r, i in zip(table.chosen, table.rejected, table.annotator, strict=True) if i in of
    ]  # fmt: skip


def _turned(rows):
    """Of the opposite taste."""
    swap = {"chosen": "rejected", "rejected": "chosen", "chosen_features": "rejected_features",
            "rejected_features": "chosen_features"}  # fmt: skip
    return [{swap.get(name, name): value for name, value in row.items()} for row in rows]


def _type(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
    code = main()
    out, err = capsys.readouterr()
    return code, out, err


def test_annotators_of_the_fit_stay_known_beside_new_ones(types, tmp_path, monkeypatch, capsys):
    table, read = types
    known = read.annotators[int(read.trained[0])]
    new = _lines(tmp_path / "new.jsonl", _pairs(table, {1}, "newcomer"))
    items = _lines(
        tmp_path / "items.jsonl", [{"item": "a", "features": dict(zip(NAMES, (1.0, 2.0, 3.0), strict=True))}]
    )
    both = assign_pairs(read, read_pairs(new)).fit
    x = np.array([[1.0, 2.0, 3.0]])
    assert both.score_items(x, known) == pytest.approx(read.score_items(x, known), abs=0)
    assert both.score_items(x, "newcomer") != pytest.approx(read.score_items(x), abs=1e-3)
    assert both.known == read.known | {"newcomer"}
    code, out, err = _type(
        monkeypatch, capsys, "predict", read.folder, items, "--answers", new, "--annotator", known, "--annotator",
        "newcomer", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert [row["score"] for row in json.loads(out)["predictions"]] == [
        both.score_items(x, who)[0] for who in (known, "newcomer")
    ]


def test_each_row_is_predicted_by_whoever_knows_its_name(types, tmp_path):
    """Known, assigned, assigned although known, and stranger, in one file and in any order."""
    table, read = types
    one, two = (int(i) for i in read.trained[:2])
    new = [*_pairs(table, {4}, "newcomer"), *_turned(_pairs(table, {two}))]
    both = assign_pairs(read, read_pairs(_lines(tmp_path / "new.jsonl", new))).fit
    rows = [*_pairs(table, {one})[:3], *_pairs(table, {4}, "newcomer")[:3], *_pairs(table, {two})[:3],
            *_pairs(table, {4}, "nobody")[:3]][::-1]  # fmt: skip
    found = predict_file(both, _lines(tmp_path / "pairs.jsonl", rows))
    assert found.strangers == ("nobody",)
    chosen, rejected = (
        np.array([[*row[side].values()] for row in rows]) for side in ("chosen_features", "rejected_features")
    )
    known = read.predict_proba(chosen, rejected, read.annotators[one])
    stranger = read.predict_proba(chosen, rejected)
    own = {who: both.predict_proba(chosen, rejected, who) for who in ("newcomer", read.annotators[two])}
    expected = [stranger, own[read.annotators[two]], own["newcomer"], known]
    assert found.value == pytest.approx(np.concatenate([expected[k][3 * k : 3 * k + 3] for k in range(4)]), abs=1e-12)
    # The later word holds.
    assert own[read.annotators[two]] != pytest.approx(read.predict_proba(chosen, rejected, read.annotators[two]))


def test_a_second_assignment_forgets_nobody(types):
    table, read = types
    x, y = table.features[:4], table.features[4:8]
    first = read.assign(x, y, ["a"] * 4).fit
    second = first.assign(y, x, ["b"] * 4).fit
    assert second.score_items(x, "a") == pytest.approx(first.score_items(x, "a"), abs=0)
    assert second.score_items(x, "b") == pytest.approx(read.assign(y, x, ["b"] * 4).fit.score_items(x, "b"), abs=0)
    assert second.score_items(x) == pytest.approx(read.score_items(x), abs=0)


def _without_features(rows, name):
    return [{**{k: v for k, v in row.items() if k != "annotator_features"}, "annotator_id": name} for row in rows]


def test_strangers_without_what_is_known_of_them_are_refused(tastes, tmp_path, monkeypatch, capsys):
    rows, read = tastes
    bare = _lines(tmp_path / "bare.jsonl", _without_features(rows[:5], "newbie"))
    items = _lines(tmp_path / "items.jsonl", [{"item": "a", "features": rows[0]["chosen_features"]}])
    for words in ((bare,), (items, "--answers", bare)):
        code, out, err = _type(monkeypatch, capsys, "predict", read.folder, *words, "--json")
        assert (code, out) == (2, "")
        assert "bare.jsonl, field 'annotator_features': the column is missing" in err
        assert "newbie" in err
    known = next(row["annotator_id"] for row in rows if row["annotator_id"] in read.known)
    own = _lines(tmp_path / "own.jsonl", _without_features(rows[:5], known))
    assert len(predict_file(read, own).value) == 5, "of known annotators nothing more is asked"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (json.dumps([*NAMES, "war", "indicator"]), "has 5 feature names and 2 features; name each feature once"),
        ("5", "is not a JSON list of names"),
        ("[1, 2]", "is not a JSON list of names"),
        ("[", "is not a JSON list of names"),
    ],
)
def test_names_that_do_not_fit_the_features(types, tmp_path, monkeypatch, capsys, names, message):
    _, read = types
    path = tmp_path / "short.parquet"
    columns = pa.table({"item": ["a"], "features": [[1.0, 2.0]]})
    pq.write_table(columns.replace_schema_metadata({b"pluralign.feature_names": names}), path)
    code, _, err = _type(monkeypatch, capsys, "predict", read.folder, path)
    assert code == 2
    assert "short.parquet, field 'pluralign.feature_names'" in err
    assert message in err


@pytest.mark.parametrize("name", [None, "", []])
def test_an_item_without_a_name(types, tmp_path, name):
    path = _lines(tmp_path / "items.jsonl", [{"item": name, "features": [1.0, 2.0, 3.0]}])
    with pytest.raises(InputError, match=r"row 1, field 'item': expected a name or number.*; name the item$"):
        predict_file(types[1], path)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(types, tmp_path, monkeypatch, capsys):
    table, read = types
    pairs, blocked = tmp_path / "pairs.parquet", tmp_path / "file"
    write_pairs(pairs, table)
    blocked.write_text("in the way")
    for out in ("/proc/nowhere/x.parquet", blocked / "x.parquet"):
        code, _, err = _type(monkeypatch, capsys, "predict", read.folder, tmp_path / "missing.jsonl", "--out", out)
        assert code == 2
        assert "cannot be written" in err
        code, _, err = _type(
            monkeypatch, capsys, "fit", tmp_path / "missing.parquet", "--out", Path(out).parent / "fit"
        )
        assert code == 2
        assert "cannot be written" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pairs.parquet"]


def test_a_score_far_outside_the_fit_is_a_number_and_no_number_is_said(tmp_path):
    """exp(log sigma) underflows at margins of 745: strangers to a fit of clusters had scores of infinity."""
    table = opposed_types(n_annotators=24, answers=20, groups=False)
    read = fit(table, FitSettings("cluster", n_types=2, restarts=1, ridge=100.0)).saved()
    x = np.array([[0.0, 1.0, 0.0]])
    near, far, farther = (read.score_items(size * x)[0] for size in (1e2, 1e4, 1e6))
    assert np.isfinite([near, far, farther]).all()
    # Both clusters like it: the log-odds grow as the smaller margin does.
    assert farther / far == pytest.approx(100.0, rel=1e-2)

    class Odd(type(read.method)):
        def log_likelihood(self, model, answers):
            return np.full(len(answers), np.nan)

    object.__setattr__(read, "method", Odd())
    path = _lines(tmp_path / "items.jsonl", [{"item": "a", "features": dict(zip(NAMES, (1.0, 2.0, 3.0), strict=True))}])
    with pytest.raises(InputError, match=r"items\.jsonl: the score of 'a' is no finite number \(nan\)"):
        predict_file(read, path)
