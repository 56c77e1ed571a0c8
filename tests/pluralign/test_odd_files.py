"""Files of odd but likely forms, as typed: read as what they are, or one line that says what to do."""

import json

import pytest
from typed_commands import typed, typed_json

from sim.errors import InputError

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
    assert "than before under the same prompt; give an item one feature vector, or " in told
    assert "every question a prompt of its own" in told
    fitted = typed_json(monkeypatch, capsys, *put([{**row, "prompt": number} for number, row in enumerate(rows)]))
    assert fitted["method"] == "pooled"
