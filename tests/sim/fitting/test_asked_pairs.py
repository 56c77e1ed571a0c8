"""Pairs that are predicted: a value a row, in the order of the file, whatever the rows say of answers."""

import json

import numpy as np
import pytest

import pluralign as pl
from sim.files.preference_files import table_of_rows
from sim.fitting.asked_pairs import OF_ANSWERS, pairs_of_rows
from sim.streams import Stream

NAMES = ("wit", "length")
VECTORS = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (0.5, -1.0), "d": (-1.0, 0.25)}


def _row(who, chosen, rejected, **more):
    sides = {"chosen": chosen, "rejected": rejected}
    features = {f"{side}_features": dict(zip(NAMES, VECTORS[own], strict=True)) for side, own in sides.items()}
    return {**sides, **features, "annotator_id": who, **more}


@pytest.fixture(scope="module")
def model():
    drawn = Stream(5, cell="asked pairs").integers(4, (200, 2)).tolist()
    rows = [_row(f"p{j % 5}", "abcd"[min(a, b)], "abcd"[max(a, b)]) for j, (a, b) in enumerate(drawn) if a != b]
    return pl.fit(rows, method="dpo")


ASKED = [_row("p1", "a", "b"), _row("p1", "c", "c"), _row("p2", "d", "a"), _row("p9", "b", "b"), _row("p3", "c", "d")]
SAID = [
    {"weight": 0, "split": "test", "group_id": "g"}, {"weight": 2.0, "split": "unseen", "group_id": "h"},
    {"weight": None, "split": None, "group_id": None}, {"weight": 1, "split": "soon", "group_id": 3},
    {"weight": -1, "split": "train", "group_id": "k"},
]  # fmt: skip


def _forms(folder, rows):
    import pandas as pd
    import pyarrow as pa

    path = folder / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"file": path, "rows": rows, "columns": {name: [row[name] for row in rows] for name in rows[0]},
            "arrow": pa.table({name: [str(row[name]) if name in ("weight", "group_id") else row[name] for row in rows]
                               for name in rows[0]}),
            "pandas": pd.DataFrame(rows)}  # fmt: skip


def _by_hand(model, rows):
    """1 / (1 + exp(r(rejected) - r(chosen))), from the scores of the two items."""
    items = [{"item": name, "features": dict(zip(NAMES, own, strict=True))} for name, own in VECTORS.items()]
    score = {row["item"]: row["score"] for row in model.predict(items).rows}
    return [1 / (1 + np.exp(score[row["rejected"]] - score[row["chosen"]])) for row in rows]


@pytest.mark.parametrize("said", [False, True], ids=["bare", "of answers"])
def test_a_value_a_row_in_order(model, tmp_path, said):
    """Rows of weight 0 and pairs of one item gave none, and values stood beside other rows of the file."""
    rows = [{**row, **more} for row, more in zip(ASKED, SAID, strict=True)] if said else ASKED
    expected = _by_hand(model, ASKED)
    assert expected[1] == expected[3] == 0.5
    for form, data in _forms(tmp_path, rows).items():
        found = model.predict(data)
        assert found.value == pytest.approx(expected, abs=1e-12), form
        assert [(row["annotator_id"], row["chosen"], row["rejected"]) for row in found.rows] == [
            (row["annotator_id"], row["chosen"], row["rejected"]) for row in ASKED
        ], form


@pytest.mark.parametrize("split", ["test", "unseen"])
def test_a_file_of_held_out_answers_is_predicted(model, tmp_path, split):
    """It was refused: no row is in train."""
    for form, data in _forms(tmp_path, [{**ASKED[0], "split": split}]).items():
        assert len(model.predict(data).value) == 1, form


def test_what_is_read_of_answers_is_not_read_of_pairs_that_are_asked_about():
    rows = [{**_row("p", "a", "b"), "tie": "perhaps", "strength": -4}, {**_row("p", "b", "c"), "tie": True}]
    table = pairs_of_rows(rows, "asked")
    assert (len(table), table.tie, table.strength) == (2, None, None)
    # What stands in their place is what a row that says nothing has.
    bare = table_of_rows([_row("p", "a", "b"), _row("p", "b", "c")], "asked")
    assert set(OF_ANSWERS) == {"weight", "split", "group_id", "tie", "strength"}
    assert (table.items, table.group, bare.group) == (bare.items, None, None)
    # Beside `weight`, a column `weights` is nobody's concern; alone it may be meant.
    assert len(pairs_of_rows([{**_row("p", "a", "b"), "weight": 1, "weights": 2}], "asked")) == 1
