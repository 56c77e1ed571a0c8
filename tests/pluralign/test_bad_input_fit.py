"""Bad input to `convert` and `fit`, as typed: one line, exit code 2, no traceback, nothing half-written."""

import gzip
import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from pluralign.__main__ import main
from sim.files.preference_files import read_pairs, write_pairs
from sim.fitting import save
from sim.streams import Stream

MOVIES = "movieId,title,genres\n" + "".join(
    f"{m},Film {m} ({1950 + m}),{'Drama|War' if m % 2 else 'Comedy'}\n" for m in range(1, 31)
)
RATINGS = "userId,movieId,rating\n" + "".join(f"{u},{m},{(u * m) % 5 + 1}\n" for u in range(1, 9) for m in range(1, 31))


def _type(monkeypatch, capsys, *words):
    """(exit code, stdout, stderr) of `pluralign WORDS`."""
    monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
    code = main()
    out, err = capsys.readouterr()
    return code, out, err


def _rows(people=8, answers=12, **extra):
    stream = Stream(5, "bad-input")
    features = stream.child("features").normals((20, 2)).round(6)
    first = stream.child("first").integers(20, people * answers)
    second = (first + 1 + stream.child("second").integers(19, people * answers)) % 20
    return [
        {
            "prompt": "which?", "chosen": f"item {a}", "rejected": f"item {b}", "annotator_id": f"u{j // answers}",
            "chosen_features": features[a].tolist(), "rejected_features": features[b].tolist(), **extra,
        }
        for j, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True))
    ]  # fmt: skip


def _write(folder, rows):
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _changed(row, **changes):
    rows = _rows()
    rows[row - 1] = {name: value for name, value in {**rows[row - 1], **changes}.items() if value is not ...}
    return rows


FILES = {
    "missing column": ([{k: v for k, v in row.items() if k != "rejected"} for row in _rows()], "field 'rejected'"),
    "misspelt column": ([{**{k: v for k, v in r.items() if k != "chosen"}, "chosn": 1} for r in _rows()], "'chosn'"),
    "a tie in words": (_changed(3, tie="yes"), "row 3, field 'tie'"),
    "infinite feature": (_changed(4, chosen="new", chosen_features=[float("inf"), 0.0]), "row 4"),
    "chosen is not a number": (_changed(2, chosen=float("nan"), rejected=1.5), "row 2, field 'chosen'"),
    "integer no float holds": (_changed(4, chosen="new", chosen_features=[10**400, 0.0]), "row 4"),
    "no annotator": (_changed(5, annotator_id=None), "row 5, field 'annotator_id'"),
    "weight of zero": (_changed(6, weight=0), "field 'weight'"),
    "weight in a later row alone": (_changed(6, weight=2.0), "row 1, field 'weight'"),
    "split in a later row alone": (_changed(6, split="test"), "row 1, field 'split'"),
    "weights no sum survives": (_rows(weight=1e300), "row 1, field 'weight'"),
    "unseen also in train": (_changed(1, split="unseen")[:1] + _rows(split="train")[1:], "and in unseen"),
    "features in some rows": (_changed(7, chosen="new", chosen_features=...), "row 7"),
    "constant features": (
        [{**row, "chosen_features": [0.1], "rejected_features": [0.1]} for row in _rows()],
        "constant",
    ),
    "no features, few answers": (
        [{k: v for k, v in row.items() if not k.endswith("_features")} for row in _rows()],
        "add columns chosen_features",
    ),
    "empty": ([], "the file is empty"),
}


def _refused(code, out, err, folder, kept):
    errors = [line for line in err.splitlines() if not line.startswith(("[", "compiling kernels"))]
    assert code == 2
    assert out == ""
    assert len(errors) == 1, err
    assert errors[0].startswith("pluralign: error: ")
    assert {path.name for path in folder.iterdir()} == kept
    return errors[0]


@pytest.mark.parametrize("name", FILES)
def test_bad_preferences(tmp_path, monkeypatch, capsys, name):
    rows, expected = FILES[name]
    path = _write(tmp_path, rows)
    answer = _type(monkeypatch, capsys, "fit", path, "--out", tmp_path / "out", "--json")
    line = _refused(*answer, tmp_path, {"pairs.jsonl"})
    assert expected in line
    assert "pairs.jsonl" in line
    assert "; " in line  # what to do


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--method", "em-dop"], "em-dpo"),
        (["--typs", "2"], "--types"),
        (["--types", "0"], "at least 1 type"),
        (["--types", "two"], "a number of types or auto"),
        (["--types", "9"], "9 types and only"),
        (["--beta", "nan"], "--beta"),
        (["--beta", "0"], "--beta"),
        (["--ridge", "inf"], "--ridge"),
        (["--ridge", "-1"], "--ridge"),
        (["--priorities", "1,x"], "--priorities"),
        (["--types", "2", "--priorities", "1,nan"], "positive"),
        (["--types", "2", "--priorities", "1,2,3"], "expected 2 numbers"),
    ],
)
def test_bad_requests(tmp_path, monkeypatch, capsys, options, expected):
    path = _write(tmp_path, _rows())
    answer = _type(monkeypatch, capsys, "fit", path, "--out", tmp_path / "out", "--json", *options)
    assert expected in _refused(*answer, tmp_path, {"pairs.jsonl"})


def _told(rows):
    """Each annotator's number and its square root: two contexts."""
    return [
        {
            **row,
            "annotator_features": {"age": int(row["annotator_id"][1:]), "root": int(row["annotator_id"][1:]) ** 0.5},
        }
        for row in rows
    ]


def _untold(rows, row, value=...):
    changed = {**rows[row - 1], "annotator_features": value}
    rows[row - 1] = {name: v for name, v in changed.items() if v is not ...}
    return rows


CONTEXTS = {
    "nothing known of anybody": (_rows(), [], "field 'annotator_features': the column is missing"),
    "nothing known of one": (
        [row for row in _told(_rows()) if row["annotator_id"] != "u3"] + _rows()[36:48],
        [], "row 85, field 'annotator_features': annotator u3 has no features",
    ),
    "two things known of one": (
        _untold(_told(_rows()), 5, {"age": 99, "root": 1}), [],
        "row 5, field 'annotator_features': annotator u0 has other",
    ),
    "infinite": (_untold(_told(_rows()), 7, {"age": float("inf"), "root": 1}), [], "row 7, field 'annotator_features'"),
    "another name": (_untold(_told(_rows()), 14, {"age": 1, "roof": 1}), [], "row 14, field 'annotator_features'"),
    "rank too large": (_told(_rows()), ["--types", "3"], "--types: rank 3 and at most 2 is possible"),
    "a region nobody named": (_told(_rows()), ["--shift", "Drama"], "--shift: no item feature is called 'Drama'"),
    "a region without a border": (_told(_rows()), ["--shift", "feature 1"], "--shift: 'feature 1' is not 0 or 1"),
    "an empty region": (_told(_rows()), ["--shift", "feature 1>1e9"], "--shift: no item lies in"),
    "a region nobody can be served": (_told(_rows()), ["--shift", "feature 1>0"], "--shift: nobody has 3 items"),
    "a network": (_told(_rows()), ["--network"], "--network: belongs to"),
    "priorities": (_told(_rows()), ["--priorities", "1,2"], "--priorities: only policies"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTEXTS)
def test_bad_contexts(tmp_path, monkeypatch, capsys, name):
    rows, options, expected = CONTEXTS[name]
    path = _write(tmp_path, rows)
    words = ["fit", path, "--method", "low-rank", "--out", tmp_path / "out", "--json", *options]
    line = _refused(*_type(monkeypatch, capsys, *words), tmp_path, {"pairs.jsonl"})
    assert expected in line
    assert "; " in line


def test_a_region_belongs_to_low_rank(tmp_path, monkeypatch, capsys):
    path = _write(tmp_path, _told(_rows()))
    for method in ("em-dpo", "shared"):
        words = ["fit", path, "--method", method, "--shift", "feature 1>0", "--out", tmp_path / "out"]
        assert "--shift: belongs to" in _refused(*_type(monkeypatch, capsys, *words), tmp_path, {"pairs.jsonl"})


def test_contexts_alike_or_tied_are_said_and_left_out(tmp_path, monkeypatch, capsys):
    rows = [{**row, "annotator_features": [1.0, float(row["annotator_id"][1:]), 2.5]} for row in _rows(30, 12)]
    words = ["fit", _write(tmp_path, rows), "--method", "low-rank", "--out", tmp_path / "out", "--json"]
    code, out, err = _type(monkeypatch, capsys, *words)
    assert code == 0, err
    assert json.loads(out)["unidentified"]["context_constant"] == ["annotator feature 1", "annotator feature 3"]
    assert "warning: context feature 'annotator feature 1' does not vary" in err


@pytest.mark.parametrize("ending", [".parquet", ".jsonl.gz"])
def test_a_file_cut_in_the_middle(tmp_path, monkeypatch, capsys, ending):
    whole, cut = tmp_path / f"whole{ending}", tmp_path / f"cut{ending}"
    write_pairs(whole, read_pairs(_write(tmp_path, _rows())))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    kept = {path.name for path in tmp_path.iterdir()}
    answer = _type(monkeypatch, capsys, "fit", cut, "--out", tmp_path / "out")
    assert cut.name in _refused(*answer, tmp_path, kept)


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [
        ("userId,movieId,stars\n1,1,2\n", "field 'rating'"),
        (RATINGS + "1,2,bad\n", "row 242, field 'rating'"),
        (RATINGS + "1,77,3\n", "row 242, field 'movieId': user 1 rated film 77"),
        (RATINGS + "1,2,3\n", "row 242, field 'movieId': user 1 rated film 2 before"),
        (RATINGS + "1,31", "row 242"),
        ("", "the column is missing"),
        ("userId,movieId,rating\n" + "".join(f"1,{m},3\n" for m in range(1, 31)), "different ratings"),
    ],
)
def test_bad_ratings(tmp_path, monkeypatch, capsys, ratings, expected):
    (tmp_path / "r.csv").write_text(ratings)
    (tmp_path / "m.csv").write_text(MOVIES)
    words = ["convert", "movielens", "--ratings", tmp_path / "r.csv", "--movies", tmp_path / "m.csv"]
    answer = _type(monkeypatch, capsys, *words, "--out", tmp_path / "pairs.parquet", "--json")
    assert expected in _refused(*answer, tmp_path, {"r.csv", "m.csv"})
    # Nor is work done for a file nobody could write.
    (tmp_path / "r.csv").write_text(RATINGS)
    assert "pairs.csv" in _refused(
        *_type(monkeypatch, capsys, *words, "--out", tmp_path / "pairs.csv"), tmp_path, {"r.csv", "m.csv"}
    )


def test_ratings_cut_in_the_middle(tmp_path, monkeypatch, capsys):
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(RATINGS.encode())[:-40])
    (tmp_path / "m.csv").write_text(MOVIES)
    words = ["convert", "movielens", "--ratings", tmp_path / "r.csv.gz", "--movies", tmp_path / "m.csv"]
    answer = _type(monkeypatch, capsys, *words, "--out", tmp_path / "pairs.parquet")
    assert "ends or breaks after row" in _refused(*answer, tmp_path, {"r.csv.gz", "m.csv"})


@pytest.mark.parametrize(("people", "answers"), [(1, 1), (2, 1), (1, 20), (3, 2)])
@pytest.mark.parametrize("method", ["em-dpo", "cluster-dpo"])
def test_very_few_answers_are_fitted_with_one_type_and_said(tmp_path, monkeypatch, capsys, people, answers, method):
    path = _write(tmp_path, _rows(people, answers, split="train"))
    words = ["fit", path, "--method", method, "--restarts", 2, "--out", tmp_path / "out", "--json"]
    code, out, err = _type(monkeypatch, capsys, *words)
    assert code == 0, err
    answer = json.loads(out)
    assert answer["test"]["known_users"]["n_pairs"] == 0
    assert answer["test"]["known_users"]["accuracy"] is None
    assert any("no held-out answers" in warning for warning in answer["warnings"])
    assert np.isfinite(answer["regret"]["value"])


def test_as_many_types_as_annotators(tmp_path, monkeypatch, capsys):
    path = _write(tmp_path, _rows(4, 3, split="train"))
    words = ["fit", path, "--types", 4, "--restarts", 2, "--out", tmp_path / "out", "--json"]
    code, out, err = _type(monkeypatch, capsys, *words)
    assert code == 0, err
    assert json.loads(out)["n_types"] == 4


def test_a_failed_write_leaves_the_earlier_fit_whole(tmp_path, monkeypatch, capsys):
    path = _write(tmp_path, _rows(split="train"))
    words = ["fit", path, "--types", 2, "--restarts", 2, "--ridge", 0.1, "--out", tmp_path / "out", "--json"]
    assert _type(monkeypatch, capsys, *words)[0] == 0
    before = (tmp_path / "out" / "fit.json").read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="no space"):
        _type(monkeypatch, capsys, *words, "--seed", 1)
    monkeypatch.undo()
    assert {found.name for found in tmp_path.iterdir()} == {"pairs.jsonl", "out"}
    assert (tmp_path / "out" / "fit.json").read_bytes() == before


def test_a_foreign_folder_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    path = _write(tmp_path, _rows())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    monkeypatch.setattr(save, "save_fit", None)
    answer = _type(monkeypatch, capsys, "fit", path, "--out", tmp_path / "mine")
    assert "no earlier fit" in _refused(*answer, tmp_path, {"pairs.jsonl", "mine"})
