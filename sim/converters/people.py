"""What public data sets say of the people who answered, as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.converters.records import Record

# Told differently in two rows, as where a survey was taken twice.
CHANGED = "rows that tell something else of an annotator than her first one, which counts"


def levels(record: Record, fields: Sequence[str]) -> dict[str, float]:
    """Of each field with an answer, "field: answer" -> 1; whoever has not given it has 0 there (see `complete`)."""
    told = {field: record.value(field) for field in fields}
    return {f"{field}: {value}": 1.0 for field, value in told.items() if value is not None}


def complete(rows: Sequence[dict[str, Any]]) -> int:
    """Give every row of an annotator her one group and her one full vector of features; how many rows told another.

    Changes the rows.  Features that are objects get every name that any annotator has, in alphabetical order, and 0
    where hers has none; lists stay as they are.
    """
    told: dict[Any, Mapping[str, float]] = {}
    groups: dict[Any, Any] = {}
    changed = 0
    for row in rows:
        who, features = row["annotator_id"], row.get("annotator_features")
        if isinstance(features, Mapping):
            changed += told.setdefault(who, features) != features
        if row.get("group_id") is not None:
            changed += groups.setdefault(who, row["group_id"]) != row["group_id"]
    names = sorted({name for features in told.values() for name in features})
    full = {who: {name: features.get(name, 0.0) for name in names} for who, features in told.items()}
    nothing = dict.fromkeys(names, 0.0)
    for row in rows:
        if names:
            row["annotator_features"] = full.get(row["annotator_id"], nothing)
        elif told:
            row.pop("annotator_features", None)  # nobody said anything
        if groups:
            row["group_id"] = groups.get(row["annotator_id"])
    return changed
