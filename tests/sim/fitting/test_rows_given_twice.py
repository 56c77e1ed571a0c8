"""Rows that stand in a file twice: what is held out is the same, and no copy of a row to train on is scored."""

import numpy as np
import pytest

import pluralign as pl
from sim.fitting.splits import items_recur, way_to_hold_out, with_split
from sim.streams import Stream


def _responses(n=240, people=12):
    """Responses that were made for their question: each is met once."""
    normals = np.random.default_rng(3).normal(size=(n, 2, 3))
    return [
        {"chosen": f"a {i}", "rejected": f"b {i}", "annotator_id": f"u{i % people}", "prompt": f"p{i % 30}",
         "chosen_features": normals[i, 0].tolist(), "rejected_features": normals[i, 1].tolist()}
        for i in range(n)
    ]  # fmt: skip


def _films(n=240, people=12, films=9):
    rng = np.random.default_rng(4)
    features, found = rng.normal(size=(films, 3)), []
    for i in range(n):
        one, other = rng.choice(films, 2, replace=False)
        found.append({"chosen": f"film {one}", "rejected": f"film {other}", "annotator_id": f"u{i % people}",
                      "chosen_features": features[one].tolist(),
                      "rejected_features": features[other].tolist()})  # fmt: skip
    return found


def _asked(table, row):
    return (
        table.annotators[table.annotator[row]],
        *sorted((table.items[table.chosen[row]], table.items[table.rejected[row]])),
    )


def _sides(table):
    found = {}
    for row in range(len(table)):
        found.setdefault(_asked(table, row), set()).add(int(table.split[row]))
    return found


TWICE = {
    "after each other": lambda rows: rows + rows,
    "beside each other": lambda rows: [row for row in rows for _ in range(2)],
    "three times": lambda rows: rows * 3,
    "turned": lambda rows: rows + [
        {**row, "chosen": row["rejected"], "rejected": row["chosen"], "chosen_features": row["rejected_features"],
         "rejected_features": row["chosen_features"]} for row in rows
    ],
}  # fmt: skip


@pytest.mark.parametrize("how", TWICE)
@pytest.mark.parametrize(("made", "way"), [(_responses, "answers"), (_films, "items")])
def test_copies_change_nothing_of_what_is_held_out(how, made, way):
    once, twice = pl.read_pairs(made()), pl.read_pairs(TWICE[how](made()))
    assert way_to_hold_out(once) == way_to_hold_out(twice) == way
    one, other = (_sides(with_split(table, Stream(5))) for table in (once, twice))
    assert other == one
    assert all(len(side) == 1 for side in other.values())


def test_items_of_other_questions_recur():
    """The control: as many rows, about the same items, in new pairs."""
    rows = _responses()
    by_person = {
        who: [row for row in rows if row["annotator_id"] == who] for who in {row["annotator_id"] for row in rows}
    }
    further = [
        {**one, "rejected": other["rejected"], "rejected_features": other["rejected_features"]}
        for own in by_person.values() for one, other in zip(own, own[1:] + own[:1], strict=True)
    ]  # fmt: skip
    assert not items_recur(pl.read_pairs(rows))
    assert not items_recur(pl.read_pairs(rows + rows))
    assert items_recur(pl.read_pairs(rows + [{**row, "prompt": "another"} for row in further]))
