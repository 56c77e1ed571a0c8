"""PrefLib: ballots with ties and gaps."""

import gzip

import pytest
from converting import printed

from sim.converters.converter import find_converter
from sim.errors import InputError

HEAD = """# FILE NAME: 00001-00000001.toi
# TITLE: Town council
# DATA TYPE: toi
# NUMBER ALTERNATIVES: 4
# NUMBER VOTERS: 4
# NUMBER UNIQUE ORDERS: 2
# ALTERNATIVE NAME 1: Ada
# ALTERNATIVE NAME 2: Ben
# ALTERNATIVE NAME 3: Cy
# ALTERNATIVE NAME 4: Cy
"""


def made_of(folder, orders, name="council.toi", **options):
    path = folder / name
    data = (HEAD + orders).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return find_converter("preflib").answers([path], "preflib", options)


@pytest.mark.parametrize("name", ["council.toi", "council.soc", "council.toc", "council.soi.gz"])
def test_row_by_row(tmp_path, name):
    made = made_of(tmp_path, "3: 2,{1,4}\n1: 3,2,1,4\n", name)
    assert made.kind == "rankings"
    assert [(r["ranking"], r["annotator_id"]) for r in made.rows] == [
        ([2, 1, None, 2], "council voter 1"), ([2, 1, None, 2], "council voter 2"),
        ([2, 1, None, 2], "council voter 3"), ([3, 2, 1, 4], "council voter 4"),
    ]  # fmt: skip
    assert made.rows[0]["responses"] == ["Ada", "Ben", "Cy", "Cy (4)"]
    assert {r["prompt"] for r in made.rows} == {"Town council"}


def test_orders_with_weights(tmp_path):
    made = made_of(tmp_path, "3: 2,{1,4}\n1: 3,2,1,4\n", voters="weights")
    assert [r["weight"] for r in made.rows] == [3.0, 1.0]


@pytest.mark.parametrize(("line", "said"), [
    ("2: 1,5", "got '5'"), ("2: 1,{2,1}", "got '1'"), ("x: 1,2", "expected 'voters: order'"),
    ("1,2,3", "expected 'voters: order'"), ("2: ", "ranks nothing"),
])  # fmt: skip
def test_bad_lines_are_named(tmp_path, line, said):
    with pytest.raises(InputError, match=f"council.toi, row 12: .*{said}"):
        made_of(tmp_path, f"1: 1\n{line}\n")
    out = printed(tmp_path, "preflib", tmp_path / "council.toi", "--out", tmp_path / "o.parquet", "--skip-bad")
    assert "left out 1: bad row" in out
    assert "see its page on preflib.org" in out


def test_other_files_are_refused(tmp_path):
    (tmp_path / "old.soc").write_text("3\n1,Ada\n2,Ben\n3,Cy\n1,1,1\n1,1,2,3\n")
    with pytest.raises(InputError, match=r"old\.soc, row 1: has no alternatives in its head"):
        find_converter("preflib").answers([tmp_path / "old.soc"], "preflib")
    (tmp_path / "t.csv").write_text("a\n")
    with pytest.raises(InputError, match="is of a kind that is not read; give a file ending in"):
        find_converter("preflib").answers([tmp_path / "t.csv"], "preflib")


def test_a_count_that_no_election_has_is_refused_before_a_row_is_made(tmp_path):
    path = tmp_path / "t.soc"
    path.write_text("# ALTERNATIVE NAME 1: a\n# ALTERNATIVE NAME 2: b\n4000000000000: 1,2\n")
    with pytest.raises(InputError, match=r"row 3: has more than 10,000,000 voters.*set voters to weights"):
        find_converter("preflib").answers([path], "preflib")
    assert find_converter("preflib").answers([path], "preflib", {"voters": "weights"}).rows[0]["weight"] == 4e12
