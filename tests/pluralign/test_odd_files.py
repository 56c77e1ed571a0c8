"""Files of odd but likely forms, as typed: read as what they are, or one line that says what to do."""

import csv
import json

import pytest
from typed_commands import typed, typed_json

from sim.errors import InputError
from sim.files.preference_files import read_pairs

VECTORS = [[0.1 * (7 * k % 13), 0.1 * (5 * k % 11)] for k in range(60)]


def _lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _refused(monkeypatch, capsys, tmp_path, *words):
    """The one line."""
    code, out, err = typed(monkeypatch, capsys, *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("pluralign: error: ")
    assert not (tmp_path / "out").exists()
    return err


class _Special(InputError):
    """A kind of its own, as readers have them."""


def test_every_kind_of_input_error_is_one_line(tmp_path, monkeypatch, capsys):
    def refuse(*arguments, **keys):
        raise _Special("expected this, got that", file="f.csv", row=3, fix="do so")

    monkeypatch.setattr("pluralign.api.frames.read_number_table", refuse)
    told = _refused(monkeypatch, capsys, tmp_path, "minmax", "--regret", "f.csv")
    assert told == "pluralign: error: f.csv, row 3: expected this, got that; do so\n"


def _answer(kind, number, names):
    """An answer to question `number` whose responses have the names and features of their own."""
    own = VECTORS[4 * number : 4 * number + len(names)]
    said = {
        "pairs": {"chosen": names[0], "rejected": names[1], "chosen_features": own[0], "rejected_features": own[1]},
        "choices": {"responses": names, "features": own, "choice": number % 3},
        "rankings": {"responses": names, "features": own, "ranking": [2, 1, 4, 3]},
        "ratings": {"responses": names, "features": own, "scores": [5, 3, 4, 1]},
        "grades": {"response": names[0], "features": own[0], "score": number % 5},
    }
    return {"annotator_id": f"p{number % 3}", **said[kind]}


KINDS = ("pairs", "choices", "rankings", "ratings", "grades")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("kind", KINDS)
def test_responses_called_a_to_d_in_every_question(tmp_path, monkeypatch, capsys, kind, ending):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_answer(kind, number, list("ABCD")) for number in range(12)]
    path = tmp_path / f"answers.{ending}"

    def put(own):
        pq.write_table(pa.Table.from_pylist(own), path) if ending == "parquet" else _lines(path, own)
        return ("fit", path, "--method", "pooled", "--out", tmp_path / "out")

    told = _refused(monkeypatch, capsys, tmp_path, *put(rows))
    field = "chosen_features" if kind == "pairs" else "features"
    assert f"row 2, field '{field}': item 'A' has other features here than before; give an item one feature" in told
    assert "a column prompt that numbers the questions" in told
    told = _refused(monkeypatch, capsys, tmp_path, *put([{**row, "prompt": "which?"} for row in rows]))
    assert "than before under the same prompt; give an item one feature vector; where" in told
    assert "every question a prompt of its own" in told
    fitted = typed_json(monkeypatch, capsys, *put([{**row, "prompt": number} for number, row in enumerate(rows)]))
    assert fitted["method"] == "pooled"


@pytest.mark.parametrize("kind", ["choices", "rankings", "ratings"])
@pytest.mark.parametrize("asked", [{}, {"prompt": "q"}])
def test_responses_of_one_name_in_one_question(tmp_path, monkeypatch, capsys, kind, asked):
    rows = [{**_answer(kind, number, [f"{name}{number}" for name in "abac"]), **asked} for number in range(12)]
    told = _refused(monkeypatch, capsys, tmp_path, "fit", _lines(tmp_path / "a.jsonl", rows), "--out", tmp_path / "out")
    assert "row 1, field 'responses': responses 1 and 3 are both called 'a0' and have different features; give" in told


PAIRS = [_answer("pairs", number, [f"a{number}", f"b{number}"]) for number in range(12)]


def _with_packed_parquet(folder):
    _lines(folder / "a.jsonl", PAIRS)
    (folder / "b.parquet.gz").write_bytes(b"x")


def _only_split(folder, splits=("train",)):
    folder.mkdir()
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))


FOLDERS = {
    "files beside a folder of files": (
        lambda folder: [_lines(folder / name, PAIRS) for name in ("a.jsonl", "sub/b.jsonl")],
        "holds files of answers in folders inside it (sub/b.jsonl); put the files of one table into one folder",
    ),
    "files deeper": (
        lambda folder: [_lines(folder / name, PAIRS) for name in ("a.jsonl", "x/y/b.csv.gz")],
        "holds files of answers in folders inside it (x/y/b.csv.gz); put the files of one table into one folder",
    ),
    "only a folder of files": (
        lambda folder: _lines(folder / "data" / "a.jsonl", PAIRS),
        "holds files of answers in folders inside it (data/a.jsonl); give one of them, ",
    ),
    "a folder a value": (
        lambda folder: [_lines(folder / f"annotator_id={name}" / "a.jsonl", PAIRS) for name in "ab"],
        "holds a folder a value of a column (annotator_id=a), which the files inside do not have; write one table with "
        "the column 'annotator_id' in it",
    ),
    "packed Parquet": (_with_packed_parquet, "holds a file that is not read (b.parquet.gz); unpack it"),
    "several splits": (
        lambda folder: _only_split(folder, ("dev", "test")), "holds several splits; give one of them, for example ",
    ),
    "no splits": (lambda folder: _only_split(folder, ()), "names no split; save it again"),
    "a split elsewhere": (lambda folder: _only_split(folder, ("../x",)), "names a split outside its folder (../x)"),
    "nothing": (lambda folder: folder.mkdir(), "holds no file ending in .parquet, or .jsonl or .csv (these also .gz"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), FOLDERS.values(), ids=FOLDERS)
@pytest.mark.parametrize("words", [("fit",), ("convert", "columns", "--chosen", "chosen", "--rejected", "rejected")])
def test_no_file_of_a_folder_is_left_out_without_a_word(tmp_path, monkeypatch, capsys, make, message, words):
    make(tmp_path / "folder")
    out = tmp_path / ("out" if words == ("fit",) else "out.jsonl")
    told = _refused(monkeypatch, capsys, tmp_path, *words, tmp_path / "folder", "--out", out)
    assert told.startswith(f"pluralign: error: {tmp_path / 'folder'}")
    assert f": {message}" in told
    assert not out.exists()


def test_what_is_hidden_or_no_answer_is_left_alone(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "folder"
    for name, own in (("b.jsonl", PAIRS[8:]), ("a.jsonl", PAIRS[:8]), (".cache/c.jsonl", PAIRS), ("_x/c.jsonl", PAIRS)):
        _lines(folder / name, own)
    (folder / "README.md").write_text("Answers.")
    (folder / "docs").mkdir()
    (folder / "docs" / "about.txt").write_text("Answers.")
    told = []
    for path in (folder, _lines(tmp_path / "whole.jsonl", PAIRS)):
        fitted = typed_json(monkeypatch, capsys, "fit", path, "--method", "pooled", "--out", tmp_path / "out")
        told.append(json.dumps({**fitted, "seconds": 0}).replace(str(path), "PATH"))
    assert told[0] == told[1]


def test_several_files_belong_into_a_folder(tmp_path, monkeypatch, capsys):
    told = _refused(monkeypatch, capsys, tmp_path, "fit", "a.jsonl", "b.jsonl", "--out", tmp_path / "out")
    assert "expected one path, got 2; put the files into a folder and give that" in told


@pytest.mark.parametrize("packed", ["gz", "zst"])
def test_packed_parquet_is_told_what_is_read(tmp_path, monkeypatch, capsys, packed):
    path = tmp_path / f"a.parquet.{packed}"
    path.write_bytes(b"x")
    told = _refused(monkeypatch, capsys, tmp_path, "fit", path, "--out", tmp_path / "out")
    assert "ending in .parquet, or .jsonl or .csv (these also .gz or .zst); unpack it: Parquet is packed inside" in told


@pytest.mark.parametrize("nobody", ["NaN", "nan", "NA", "None", "null", "N/A", "<NA>"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_empty_cell_in_words_is_nobody_among_numbers(tmp_path, monkeypatch, capsys, nobody, kind, ending):
    rows = [_answer(kind, number, [f"{name}{number}" for name in "abcd"]) for number in range(12)]
    names = [0, 1.0, "2", nobody] if ending == "jsonl" else ["0.0", "1", "-2", nobody]

    def put(called):
        own = [{**row, "user_id": called[j % 4]} for j, row in enumerate(rows)]
        path = _lines(tmp_path / f"a.{ending}", [{k: v for k, v in row.items() if k != "annotator_id"} for row in own])
        if ending == "csv":
            cells = [[json.dumps(v) if isinstance(v, list) else v for v in row.values()] for row in own]
            with path.open("w", newline="") as lines:
                csv.writer(lines).writerows([list(own[0]), *cells])
        return ("fit", path, "--method", "pooled", "--out", tmp_path / "out")

    rows = [{k: v for k, v in row.items() if k != "annotator_id"} for row in rows]
    told = _refused(monkeypatch, capsys, tmp_path, *put(names))
    row = 5 if ending == "csv" else 4
    assert f"row {row}, field 'user_id': expected a name or number, got '{nobody}', and all others are numbers" in told
    if nobody == "NaN":
        assert typed(monkeypatch, capsys, *put(["ann", *names[1:]]))[0] == 0


def test_opinions_of_nobody(tmp_path, monkeypatch, capsys):
    path = tmp_path / "o.csv"
    path.write_text("annotator_id,candidate,prob\n1,yes,.5\n1,no,.5\nnan,yes,.2\nnan,no,.8\n")
    told = _refused(monkeypatch, capsys, tmp_path, "pool", path)
    assert "row 4, field 'annotator_id': expected a name or number, got 'nan', and all others are numbers" in told


@pytest.mark.parametrize("words", [("fit",), ("fit", "--features", "words")])
@pytest.mark.parametrize("scores", [("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating")])
def test_scores_that_tell_ties_are_not_left_out_without_a_word(tmp_path, monkeypatch, capsys, scores, words):
    first, second = scores
    rows = [{"prompt": "q", "chosen": f"a{k}", "rejected": f"b{k}", "annotator_id": "x", first: 5.0, second: 5.0}
            for k in range(9)]  # fmt: skip
    path = _lines(tmp_path / "a.jsonl", rows)
    told = _refused(monkeypatch, capsys, tmp_path, *words, path, "--out", tmp_path / "out")
    assert f"columns {first} and {second} tell ties, and are not read here; keep them by pluralign convert" in told
    assert " ultrafeedback FILE --out ANSWERS" in told
    made = tmp_path / "made.jsonl"
    assert typed(monkeypatch, capsys, "convert", "ultrafeedback", path, "--out", made)[0] == 0
    assert {json.loads(line)["tie"] for line in made.read_text().splitlines()} == {True}
    _lines(path, [{**row, "tie": False} for row in rows])
    assert len(read_pairs(path)) == len(rows)


@pytest.mark.parametrize("ending", [".toi", ".soc.gz", ".soi.zst"])
def test_ballots_name_their_converter(tmp_path, monkeypatch, capsys, ending):
    path = tmp_path / f"council{ending}"
    path.write_bytes(b"x")
    told = _refused(monkeypatch, capsys, tmp_path, "fit", path, "--out", tmp_path / "out")
    assert "convert it: pluralign convert preflib FILE --out ANSWERS" in told


def test_the_help_of_fit_names_every_kind_of_answer(monkeypatch, capsys):
    code, out, _ = typed(monkeypatch, capsys, "fit", "--help")
    assert code == 0
    for column in ("chosen", "rejected", "tie", "strength", "responses", "choice", "ranking", "scores", "score"):
        assert column in out.partition("Options:")[0]


def test_predict_says_what_to_do_with_grades(tmp_path, monkeypatch, capsys):
    rows = [_answer("grades", number, [f"a{number}", f"b{number}"]) for number in range(12)]
    path = _lines(tmp_path / "grades.jsonl", rows)
    assert typed(monkeypatch, capsys, "fit", path, "--method", "pooled", "--out", tmp_path / "saved")[0] == 0
    told = _refused(monkeypatch, capsys, tmp_path, "predict", tmp_path / "saved", path)
    assert "is a file of grades (response and score), and predict takes pairs, sets or items; rename" in told
    _lines(path, [{"item": row["response"], "features": row["features"]} for row in rows])
    code, out, _ = typed(monkeypatch, capsys, "predict", tmp_path / "saved", path)
    assert (code, len(out.splitlines())) == (0, len(rows))


@pytest.mark.parametrize("strength", [0, 101, 10**6, 1.5])
def test_both_bounds_of_a_strength_are_said(tmp_path, monkeypatch, capsys, strength):
    path = _lines(tmp_path / "a.jsonl", [{**row, "strength": strength} for row in PAIRS])
    told = _refused(monkeypatch, capsys, tmp_path, "fit", path, "--out", tmp_path / "out")
    assert f"row 1, field 'strength': expected a whole number from 1 to 100, got {strength}" in told
