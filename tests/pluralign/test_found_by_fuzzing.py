"""What thousands of hostile inputs (tests/fuzz) found, one small input each: one line, exit 2, nothing written."""

import gzip
import hashlib
import io
import json
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed_commands import typed

from pluralign import aggregate
from sim import reading
from sim.errors import InputError
from sim.files.figure_files import save_figure, subplots
from sim.files.preference_files import read_pairs
from sim.files.ranking_files import read_rankings
from sim.settings import read_settings

ANSWERS = [
    {"annotator_id": f"p{k % 3}", "chosen": f"a{k}", "rejected": f"b{k}", "chosen_features": [k % 5 - 2.0, k % 3 / 2],
     "rejected_features": [k % 4 - 1.0, k % 2]}
    for k in range(12)
]  # fmt: skip
HUGE = 10**400
APART = "who,A,B\nx,0.000001,0.999999\ny,0.999999,0.000001\n"
CONSTANT = "choice,id,alt,price,time,chid\n" + "".join(
    f"{alt == 1},1,{alt},5,{alt * situation},{situation}\n" for situation in (1, 2) for alt in (1, 2, 3)
)


def _lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def _plugin(kind, **changes):
    """Our skeleton with lines put in the place of others."""
    from places import ROOT

    source = (ROOT / "pluralign" / "skeletons" / f"{kind}.py").read_text()
    for before, after in changes.values():
        assert before in source
        source = source.replace(before, after, 1)
    return source


LEAVES = "import sys; sys.exit(0)"
FILES = {
    "apart.csv": APART,
    "huge.jsonl": _lines([{"annotator_id": "a", "candidates": ["x", "y"], "probs": [0.5, HUGE]}]),
    "score.jsonl": _lines([{"annotator_id": "a", "responses": ["x", "y"], "scores": [1, HUGE]}]),
    "candidates.jsonl": _lines([{"prompt": "q", "responses": ["x", "y"], "ref_logps": [-1.0, -HUGE]}]),
    "constant.csv": CONSTANT,
    "long.jsonl": _lines([{**ANSWERS[0], "annotator_id": "y" * 100_000, "annotator_features": [1.0]},
                          {**ANSWERS[1], "annotator_id": "y" * 100_000, "annotator_features": [2.0]}]),
    "digits.toi": "# ALTERNATIVE NAME 1: A\n# ALTERNATIVE NAME 2: B\n" + "9" * 5000 + ": 1,2\n",
    "superscript.toi": "# ALTERNATIVE NAME 1: A\n# ALTERNATIVE NAME 2: B\n3: ²,1\n",
    "pairs.jsonl": _lines(ANSWERS),
    "leaves.py": "def RULE(rewards):\n    " + LEAVES + "\n",
    "script.py": LEAVES + "\n",
    "untitled.py": _plugin("method", title=('title = "mean difference"', "title = (_ for _ in ())")),
    "unnamed.py": _plugin("method", name=('name = "skeleton"', "name = np.zeros(2)")),
    "unkept.py": _plugin("method", kept=("        return model\n", "        return np.zeros(3)\n")),
    "large.csv": "who,A,B\nx,0,3e19\ny,18446744073709551616,0\n",
    "rewards.csv": "who,A,B\nx,0,1\ny,3,0\n",
    "bound.py": _plugin("claim", bound=("return pl.judges.MeanAtMost", "1 / 0; return pl.judges.MeanAtMost")),
    "empty.py": _plugin("claim", paper=('paper = "skeleton"', "paper = np.zeros(0)")),
    "payload.py": _plugin("claim", payload=("return abs(yes.mean() - setting.share)", "return yes.mean() + 9"),
                          witness=("return {", "return iter([]) or {")),
}  # fmt: skip
REFUSED = [
    (("pool", "apart.csv", "--mechanism", "--alpha", "-60"), "--alpha must lie nearer to 0 and 1"),
    (("pool", "apart.csv", "--mechanism", "--alpha", "1e308"), "--alpha must lie nearer to 0 and 1"),
    (("pool", "apart.csv", "--mechanism", "--distance-alpha", "90"), "--distance-alpha must lie nearer to 0 and 1"),
    (("pool", "huge.jsonl"), "huge.jsonl, row 1, field 'probs': the probability of 'y' is not a number"),
    (("fit", "score.jsonl", "--out", "o"), "score.jsonl, row 1, field 'scores': expected a number, got 1000"),
    (("minmax", "--regret", "rewards.csv", "--rounds", "9" * 400), "--rounds must be a whole number, 1..10000"),
    (("fit", "pairs.jsonl", "--restarts", "9" * 400, "--out", "o"), "--restarts must be"),
    (("choice-model", "constant.csv"), "constant.csv: rows must not be collinear: a combination of the features price"),
    (("fit", "long.jsonl", "--out", "o"), " ... "),
    (("convert", "preflib", "digits.toi", "--out", "o.jsonl"), "digits.toi, row 3: expected 'voters: order', got"),
    (("convert", "preflib", "superscript.toi", "--out", "o.jsonl"), "row 3: expected each alternative once"),
    (("axioms", "--rule", "leaves:RULE"), "rule 'leaves:RULE' raised SystemExit (leaves.py, line 2)"),
    (("axioms", "--rule", "script:RULE"), "rule 'script:RULE': its module raised SystemExit (script.py, line 1)"),
    (("fit", "pairs.jsonl", "--method", "untitled:METHOD", "--out", "o"), "expected a text as its title"),
    (("fit", "pairs.jsonl", "--method", "unnamed:METHOD", "--out", "o"), "expected a text as its name, got array("),
    (("fit", "pairs.jsonl", "--method", "unkept:METHOD", "--out", "o"), "method skeleton: parameters raised TypeError"),
    (("show", "bound:CLAIMS"), "claim 'skeleton-mean': bound raised ZeroDivisionError (bound.py, line "),
    (("show", "empty:CLAIMS"), "does not give its paper"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"), REFUSED, ids=lambda part: " ".join(part)[:80] if type(part) is tuple else ""
)
def test_refused_in_one_line(here, monkeypatch, capsys, arguments, message):
    before = {path for path in here.rglob("*") if "__pycache__" not in path.parts}
    code, out, err = typed(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    # A method may be refused after its first fit, whose kernels nobody compiled before where this test runs alone.
    err = "".join(line for line in err.splitlines(True) if not line.startswith(("compiling kernels ", "[")))
    assert message in err
    assert err.startswith("pluralign: error: ")
    assert err.count("\n") == 1
    assert len(err) <= 1000
    assert {path for path in here.rglob("*") if "__pycache__" not in path.parts} == before


def test_huge_log_probabilities_are_refused(here):
    from sim.files.candidate_files import read_candidates

    with pytest.raises(InputError, match="row 1, field 'ref_logps': expected finite log-probabilities"):
        read_candidates("candidates.jsonl")


@pytest.mark.parametrize("reader", ["answers", "candidates", "records"])
def test_names_of_columns_in_a_file_that_are_no_utf8(tmp_path, reader):
    """pyarrow raises UnicodeDecodeError, which is none of its own, where it lists what is nested."""
    from sim.converters.records import records
    from sim.files.candidate_files import read_candidates

    path = tmp_path / "a.parquet"
    rows = [{"prompt": "q", "responses": ["x", "y"], "annotator_id": "a", "prompt_nested": {"inside": 1}}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    path.write_bytes(path.read_bytes().replace(b"inside", b"\xf2nside"))
    read = {"answers": read_pairs, "candidates": read_candidates, "records": lambda at: list(records(at))}[reader]
    with pytest.raises(InputError, match="is not a whole Parquet file"):
        read(path)


def test_a_witness_that_no_json_holds_is_its_claims_fault(here, monkeypatch, capsys):
    told = ("check", "payload:CLAIMS", "--engine", "local", "--workers", 1, "--out", "o")
    code, _, err = typed(monkeypatch, capsys, *told)
    assert code == 2
    assert err.splitlines()[-1].startswith("pluralign: error: claim 'skeleton-mean' raised TypeError")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_lines_in_another_encoding(tmp_path, monkeypatch, capsys, encoding):
    path = tmp_path / "a.jsonl"
    text = "".join(
        json.dumps({**row, "chosen": f"Größe {k}"}, ensure_ascii=False) + "\n" for k, row in enumerate(ANSWERS)
    )
    path.write_bytes(text.encode(encoding))
    code, out, err = typed(monkeypatch, capsys, "fit", path, "--out", tmp_path / "o")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "a.jsonl, row 1: is not text in UTF-8; save it as UTF-8" in err


@pytest.mark.parametrize("line", [" \n", "\n", "{}\n", '{"annotator_id": 1}\n'])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
def test_one_line_again_and_again_is_not_read_to_the_end(tmp_path, monkeypatch, name, line):
    monkeypatch.setattr(reading, "MOST_ALIKE", 1000)
    path = tmp_path / name
    path.write_bytes(
        gzip.compress((("annotator_id,chosen,rejected\n" if "csv" in name else "") + line * 5000).encode())
    )
    read, seen = [], reading.bounded

    def counted(lines, place):
        for own in seen(lines, place):
            read.append(own)
            yield own

    monkeypatch.setattr("sim.files.answer_sources.bounded", counted)
    with pytest.raises(InputError):
        read_pairs(path)
    assert len(read) <= 1002


@pytest.mark.parametrize("unit", [b"{}\n", b" ", b'{"a": 1}\n'])
def test_a_packed_file_of_one_line_is_not_unpacked_to_the_end_by_columns(tmp_path, unit):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(unit * (200_000_000 // len(unit)), 1))
    with pytest.raises(InputError, match="unpacks to one line, or to the same again and again"):
        reading.bounded_bytes(path, ".gz")


def test_rankings_of_several_forms_name_the_row(tmp_path):
    path, row = tmp_path / "r.jsonl", {"context": [0.5], "responses": [[1.0], [2.0]], "n_ranked": 2, "annotator_id": 1}
    for field, value in (("context", [0.5, 1.0]), ("responses", [[1.0], [2.0, 3.0]]), ("context", [[1], [1, 2]])):
        path.write_text(_lines([row, {**row, field: value}]))
        with pytest.raises(InputError, match=f"row 2, field '{field}': is of another form than in the first row"):
            read_rankings(path)
    path.write_text(_lines([{**row, "n_ranked": "two"}, {**row, "n_ranked": "two"}]))
    with pytest.raises(InputError, match="are no rankings: invalid literal"):
        read_rankings(path)


def test_a_fit_whose_arrays_do_not_go_together(here, monkeypatch, capsys):
    """The checksum is that of what lies there: somebody made the folder so."""
    assert typed(monkeypatch, capsys, "fit", "pairs.jsonl", "--method", "pooled", "--out", "saved")[0] == 0
    summary = json.loads((here / "saved" / "fit.json").read_text())
    with np.load(here / "saved" / "model.npz") as arrays:
        found = {name: arrays[name] for name in arrays.files}
    (here / "items.jsonl").write_text(_lines([{"item": "i", "features": [0.5, 1.0]}]))
    changes = {
        "annotators": [found["annotators"][:, None], np.zeros(3), None], "trained": [np.array([99]), np.array(["a"])],
        "features": [np.zeros(2), found["features"][:1]], "feature_mean": [np.array([np.nan, 0.0]), None],
        "model/centre": [np.zeros(5), np.full(2, np.nan), np.array(["<b>", "x"]), None],
    }  # fmt: skip
    (here / "saved" / "checksums.json").unlink()
    for name, others in changes.items():
        for other in others:
            odd = {key: value for key, value in {**found, name: other}.items() if value is not None}
            buffer = io.BytesIO()
            np.savez(buffer, **odd)
            (here / "saved" / "model.npz").write_bytes(buffer.getvalue())
            own = {**summary, "model_checksum": hashlib.blake2b(buffer.getvalue(), digest_size=16).hexdigest()}
            (here / "saved" / "fit.json").write_text(json.dumps(own))
            code, out, err = typed(monkeypatch, capsys, "predict", "saved", "items.jsonl")
            assert (code, out, err.count("\n")) == (2, "", 1), (name, other)
            assert "model.npz: is not whole (" in err


def test_whole_numbers_beyond_any_float_in_settings():
    from llm.planning.plan_settings import PlanSettings

    with pytest.raises(InputError, match="field 'memory': expected a finite number, got inf"):
        read_settings(PlanSettings, overrides=(f"memory={HUGE}",))


def test_an_alpha_of_any_size_is_the_maximum(monkeypatch, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, out, err = typed(monkeypatch, capsys, "axioms", "--rule", "Agg[1e308]", "--trials", 10)
    assert (code, err) == (0, "")
    assert "Agg[1e+308]" in out


def test_names_command_neither_a_notebook_nor_a_prompt(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("who,\x1b[31mred,<script>alert(1)</script>\nx\x1b[2J,1,2\ny,2,1\n")
    found = aggregate(path)
    for shown in (repr(found), found._repr_html_()):
        assert "\x1b" not in shown
        assert r"\x1b[31mred" in shown
    assert "<script>" not in found._repr_html_()


def test_a_name_longer_than_its_figure_and_letters_without_a_font_are_no_warnings(tmp_path):
    figure, axis = subplots(figsize=(3, 3), layout="constrained")
    axis.set_ylabel("y" * 5000)
    axis.set_title("\u4e2d\u6587")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(save_figure(figure, tmp_path, "f")) == 2


def test_texts_of_parquet_that_are_no_utf_8(tmp_path, monkeypatch, capsys):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, out = tmp_path / "a.parquet", tmp_path / "o.jsonl"
    odd = pa.Array.from_buffers(pa.string(), 2, pa.array([b"Gr\xf6\xdfe", b"x"]).buffers())
    pq.write_table(pa.table({"chosen": odd, "rejected": ["y", "z"], "annotator_id": ["p", "q"]}), path)
    columns = ("columns", path, "--chosen", "chosen", "--rejected", "rejected", "--out", out)
    for words in (("fit", path, "--features", "words", "--out", tmp_path / "o"), ("convert", *columns)):
        code, told, err = typed(monkeypatch, capsys, *words)
        assert (code, told, err.count("\n")) == (2, "", 1)
        assert "a.parquet: is not a whole Parquet file (" in err


@pytest.mark.parametrize("alpha", ["1e308", "-1e308"])
def test_at_an_alpha_of_any_size_the_extreme_annotator_has_the_whole_share(here, monkeypatch, capsys, alpha):
    code, out, err = typed(monkeypatch, capsys, "aggregate", "rewards.csv", "--alpha", alpha)
    assert (code, err) == (0, "")
    assert [line.split()[-1] for line in out.splitlines() if line[:2] in ("x ", "y ")] == (
        ["0.000", "1.000"] if alpha[0] != "-" else ["1.000", "0.000"]
    )


def test_regrets_beyond_what_the_lp_solver_takes_for_infinite(here, monkeypatch, capsys):
    code, out, err = typed(monkeypatch, capsys, "minmax", "--regret", "large.csv", "--rounds", 10, "--json")
    assert (code, err) == (0, "")
    # By hand: a of A and 1 - a of B with 2^64 a = 3e19 (1 - a).
    assert json.loads(out)["lp_value"] == pytest.approx(1 / (1 / 2**64 + 1 / 3e19), rel=1e-9)


def test_a_folder_called_like_a_home_and_none_left_where_the_work_fails(here, monkeypatch, capsys):
    words = ("fit", "pairs.jsonl", "--method", "pooled", "--out", "~/x")
    assert typed(monkeypatch, capsys, *words)[0] == 0
    assert (here / "~" / "x" / "annotators.parquet").is_file()
    monkeypatch.setattr("sim.fitting.save._write_annotators", lambda *arguments: [][0])
    with pytest.raises(IndexError):
        typed(monkeypatch, capsys, *words[:-1], "new/folder/x")
    assert not (here / "new").exists()


@pytest.mark.parametrize("content", [{"verdicts": "nan"}, {"verdicts": [3]}, {"verdicts": [[["a", 1]]]}, []])
def test_verdicts_of_other_kinds(tmp_path, monkeypatch, capsys, content):
    (tmp_path / "verdicts.json").write_text(json.dumps(content))
    code, out, err = typed(monkeypatch, capsys, "report", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "is not a verdict file of this version" in err or (content == [] and "expected a JSON object" in err)


def test_names_with_control_characters_make_an_svg_that_opens(tmp_path):
    from xml.etree import ElementTree

    name = "\x1b[31mred\x07"
    figure, axis = subplots(figsize=(4, 3), layout="constrained")
    axis.barh([0, 1], [1.0, 2.0], label=name)
    axis.set_yticks([0, 1], [name, "<script>alert(1)</script>"], parse_math=False)
    axis.set_title(name)
    axis.legend()
    drawn = next(path for path in save_figure(figure, tmp_path, "f") if path.suffix == ".svg")
    text = drawn.read_text()
    ElementTree.fromstring(text)
    assert "\x1b" not in text
    assert text.count(r"\x1b[31mred\x07") == 3
    assert "<script>" not in text


@pytest.mark.parametrize("role", ["read", "written"])
def test_names_that_are_no_text(tmp_path, monkeypatch, capsys, role):
    """Bytes that are not UTF-8 name a file to Linux, and to Arrow nothing: one line, also where JSON lines would do."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(_lines(ANSWERS))
    odd = "\udcff"
    if role == "read":
        pq.write_table(pa.Table.from_pylist(ANSWERS), "a.parquet")
        (tmp_path / "a.parquet").rename(tmp_path / f"{odd}.parquet")
        commands = [("fit", f"{odd}.parquet", "--out", "new"), ("convert", "columns", f"{odd}.parquet", "--out", "new")]
    else:
        commands = [
            ("fit", "a.jsonl", "--out", odd),
            ("check", "mixture-linear", "--out", odd),
            ("convert", "columns", "a.jsonl", "--out", f"{odd}.parquet"),
            ("report", "a.jsonl", "--out", odd),
        ]
    for words in commands:
        before = sorted(place.name for place in tmp_path.iterdir())
        code, _, err = typed(monkeypatch, capsys, *words)
        assert (code, err.count("\n")) == (2, 1), (words, err)
        assert sorted(place.name for place in tmp_path.iterdir()) == before
