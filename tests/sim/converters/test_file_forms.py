"""Every public set in every form of file, packed or not, and in folders: the same answers."""

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from converting import put

from sim.converters.converter import find_converter
from sim.errors import InputError

SETS = Path(__file__).parents[3] / "examples" / "sets"
FILES = {
    "arena": ["arena.jsonl"],
    "choices": ["choices_long.csv"],
    "collective-alignment": ["collective_alignment_comparisons.jsonl", "collective_alignment_annotators.jsonl"],
    "community-alignment": ["community_alignment.jsonl"],
    "dices": ["dices.csv"],
    "helpsteer3": ["helpsteer3.jsonl"],
    "hh": ["hh.jsonl"],
    "multipref": ["multipref.jsonl"],
    "oasst": ["oasst.jsonl"],
    "prism": ["prism_conversations.jsonl", "prism_survey.jsonl"],
    "shp": ["shp.jsonl"],
    "tldr": ["tldr.jsonl"],
    "ultrafeedback": ["ultrafeedback.jsonl"],
}
FORMS = (".jsonl", ".json", ".parquet", ".csv", ".tsv", ".csv.gz", ".csv.zst", ".jsonl.gz", ".jsonl.zst", ".json.zst")


def _rows(name):
    text = (SETS / name).read_text(encoding="utf-8")
    return (
        list(csv.DictReader(io.StringIO(text))) if name.endswith(".csv") else list(map(json.loads, text.splitlines()))
    )


def _written(folder, name, form):
    rows, stem = _rows(name), name.split(".")[0]
    plain = put(folder, rows, stem + form.removesuffix(".zst").replace(".tsv", ".csv"))
    if form == ".tsv":
        plain = plain.rename(folder / f"{stem}.tsv")
        lines = io.StringIO()
        csv.writer(lines, delimiter="\t").writerows(csv.reader(io.StringIO(plain.read_text(encoding="utf-8"))))
        plain.write_text(lines.getvalue(), encoding="utf-8")
    if form.endswith(".zst"):
        packed = folder / f"{stem}{form}"
        packed.write_bytes(pa.compress(plain.read_bytes(), codec="zstd", asbytes=True))
        plain.unlink()
        return packed
    return plain


def _made(name, files):
    found = find_converter(name).answers(files, name)
    return found.kind, found.rows, found.left_out, found.noted


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FILES)
def test_the_same_answers_from_every_form(tmp_path, name, form):
    there = [_written(tmp_path, file, form) for file in FILES[name]]
    assert _made(name, there) == _made(name, [SETS / file for file in FILES[name]])


@pytest.mark.parametrize("name", FILES)
def test_a_folder_is_its_files(tmp_path, name):
    for file in FILES[name]:
        _written(tmp_path, file, ".jsonl.gz")
    kind, rows, *_ = _made(name, [tmp_path])
    assert (kind, rows) == _made(name, sorted(tmp_path.iterdir()))[:2]
    assert sorted(map(str, rows)) == sorted(map(str, _made(name, [SETS / file for file in FILES[name]])[1]))


def test_shards_are_read_in_the_order_of_their_names_and_named(tmp_path):
    rows = _rows("tldr.jsonl")
    put(tmp_path, rows[1:], "b.jsonl.gz")
    put(tmp_path, rows[:1], "a.jsonl")
    assert _made("tldr", [tmp_path]) == _made("tldr", [SETS / "tldr.jsonl"])
    put(tmp_path, [{**rows[0], "choice": 7}], "c.jsonl")
    with pytest.raises(InputError, match=r"c\.jsonl, row 1, field 'choice'"):
        _made("tldr", [tmp_path])
    (tmp_path / "inner").mkdir()
    put(tmp_path / "inner", rows, "d.jsonl")
    with pytest.raises(InputError, match=r"holds files of answers in folders inside it \(inner/d\.jsonl\)"):
        _made("tldr", [tmp_path])


def test_a_folder_that_datasets_saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(_rows("tldr.jsonl")).save_to_disk(str(tmp_path / "saved"), num_shards=2)
    assert _made("tldr", [tmp_path / "saved"]) == _made("tldr", [SETS / "tldr.jsonl"])


def test_elections_of_a_folder(tmp_path):
    text = (SETS / "council.toi").read_bytes()
    (tmp_path / "a.toi").write_bytes(text)
    (tmp_path / "b.toi.gz").write_bytes(gzip.compress(text))
    (tmp_path / "info.csv").write_text("a,b\n")
    assert _made("preflib", [tmp_path]) == _made("preflib", [tmp_path / "a.toi", tmp_path / "b.toi.gz"])


@pytest.mark.parametrize(
    ("name", "file", "field"), [("prism", "prism_survey.jsonl", "stated_prefs"),
                                ("collective-alignment", "collective_alignment_annotators.jsonl", "demographics")],
)  # fmt: skip
def test_a_cell_that_is_no_json_is_named(tmp_path, name, file, field):
    rows = [{**row, field: str(row[field])} for row in _rows(file)]
    told = put(tmp_path, rows, "people.csv")
    with pytest.raises(InputError, match=rf"people\.csv, row 2, field '{field}': expected an object, got .*as JSON"):
        _made(name, [SETS / FILES[name][0], told])


def test_packed_parquet_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist(_rows("hh.jsonl")), path)
    with pytest.raises(
        InputError, match=r"is of a kind that is not read; give \.jsonl, \.json, \.csv \(each also \.gz"
    ):
        _made("hh", [path.rename(tmp_path / "t.parquet.zst")])
