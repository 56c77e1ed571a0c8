"""Rows picked out by level, factor and cell, against plain Python."""

import numpy as np
import pytest

from sim.errors import InputError
from sim.studies.results import COLUMNS, Results


def _rows():
    rng = np.random.default_rng(0)
    return [
        {"cell_id": f"{n}{rule}", "replicate": r, "method": method, "metric": metric, "seed_key": f"0/{r}",
         "value": None if (n, method) == (2, "b") else float(rng.normal()), "wall_s": float(r), "status": "ok",
         "n": n, "rule": rule}
        for n in (10, 2) for rule in ("nash", "leximin") for r in range(3) for method in "ab"
        for metric in ("regret", "value")
    ]  # fmt: skip


ROWS, RESULTS = _rows(), Results.from_rows(_rows())


def test_where_by_and_values_are_those_of_a_loop():
    chosen = [row for row in ROWS if row["n"] == 10 and row["metric"] == "regret"]
    found = RESULTS.where(n=10, metric="regret", rule=None)
    assert list(found.rows()) == chosen
    assert found.values().tolist() == [row["value"] for row in chosen]
    assert len(RESULTS.where(n=3)) == 0
    assert len(RESULTS.where(absent=3)) == 0
    groups = {}
    for row in chosen:
        groups.setdefault((row["rule"], row["method"]), []).append(row)
    assert {key: list(own.rows()) for key, own in found.by("rule", "method").items()} == groups
    assert list(found.by("rule", "method")) == list(groups), "in the order of appearance"
    assert list(RESULTS.by("n")) == [10, 2]
    assert RESULTS.by("absent") == {}


def test_groups_come_in_the_order_in_which_they_appear():
    pairs = [("a", "x"), ("b", "y"), ("a", "y"), ("b", "x")]
    rows = [{"f": f, "g": g, "value": float(i)} for i, (f, g) in enumerate(pairs)]
    assert list(Results.from_rows(rows).by("f", "g")) == pairs


def test_levels_measured_and_cells():
    assert RESULTS.levels("n") == [2, 10]
    assert RESULTS.levels("absent") == []
    assert RESULTS.factors == ("n", "rule")
    assert RESULTS.replicates == 3
    assert len(RESULTS.measured()) == sum(row["value"] is not None for row in ROWS)
    assert RESULTS.cells(rule="nash") == ["10nash", "2nash"]
    assert RESULTS.of("10nash", "a", "value").tolist() == [
        row["value"] for row in ROWS if (row["cell_id"], row["method"], row["metric"]) == ("10nash", "a", "value")
    ]
    assert RESULTS.of("2nash", "b", "value").size == 0
    assert RESULTS.seconds("10nash", "a") == 1.0


def test_means_on_a_grid():
    found = RESULTS.where(method="b", metric="regret").means("n", "rule")
    expected = [row["value"] for row in ROWS if row["cell_id"] == "10leximin" and row["method"] == "b"
                and row["metric"] == "regret"]  # fmt: skip
    assert np.isnan(found[0]).all()
    assert found[1, 0] == np.mean(expected)


def test_added_columns_do_not_touch_the_others():
    twice = RESULTS.where(n=10).with_columns(n=[20] * 24, extra=list(range(24)))
    assert twice.levels("n") == [20]
    assert twice["extra"] == list(range(24))
    assert RESULTS.levels("n") == [2, 10]


def test_files_give_back_what_was_written(tmp_path):
    RESULTS.write(tmp_path / "results.parquet")
    again = Results.read(tmp_path / "results.parquet")
    assert list(again.rows()) == [{name: row[name] for name in (*COLUMNS, "n", "rule")} for row in ROWS]
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(tmp_path / "results.parquet").drop(["status"]), tmp_path / "short.parquet")
    with pytest.raises(InputError, match="field 'status': missing column"):
        Results.read(tmp_path / "short.parquet")


@pytest.mark.parametrize("levels", [[(1, 2), None, (3,)], [1, "auto", 2.5], [None, "a", "b"], [True, None, False]])
def test_levels_of_any_kind_come_back_from_a_file(tmp_path, levels):
    rows = [{**row, "kind": levels[row["replicate"]]} for row in ROWS]
    results = Results.from_rows(rows)
    results.write(tmp_path / "r.parquet")
    again = Results.read(tmp_path / "r.parquet")
    for own in (results, again):
        assert own["kind"] == [row["kind"] for row in rows]
        for level in levels:
            expected = [row["value"] for row in rows if row["kind"] == level and row["value"] is not None]
            assert own.where(kind=level).values().tolist() == expected, level
    with_none = [level for level in levels if level is None]
    if with_none and len({type(level) for level in levels}) == 2 and not isinstance(levels[0], tuple):
        assert np.isfinite(again.where(method="a").means("kind")).all()
