"""`aggregate`, `pool` and `axioms` as typed: the numbers, and one clear line for what is wrong."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pluralign.__main__ import main
from sim.algorithms.aggregation import aggregate
from sim.algorithms.pooling import pool_opinions
from sim.files.opinion_files import read_opinions


@pytest.fixture
def type_(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return run


MATRIX = "who,x,y,z\nann,0.5,0.3,0.2\nbob,0.1,0.8,0.1\ncat,0.2,0.2,0.6\n"
P = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
LONG = "annotator_id,prompt_id,candidate,prob\n" + "".join(
    f"{who},q1,{name},{P[i, a]}\n" for i, who in enumerate(("ann", "bob", "cat")) for a, name in enumerate("xyz")
)


@pytest.mark.parametrize("alpha", ["-inf", "-1", "0", "1.5", "inf"])
def test_aggregate(type_, tmp_path, alpha):
    rewards = np.array([[1.0, 0.0, -1.0], [0.5, 0.2, 0.0], [-2.0, 0.1, 0.0]])
    (tmp_path / "r.csv").write_text("who,a,b,c\n" + "".join(
        f"n{i}," + ",".join(map(str, row)) + "\n" for i, row in enumerate(rewards)))  # fmt: skip
    code, out, _ = type_("aggregate", "r.csv", "--alpha", alpha, "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["aggregate"] == pytest.approx(aggregate(rewards, float(alpha)), abs=1e-12)
    assert answer["choice"] == "abc"[int(np.argmax(answer["aggregate"]))]
    assert sum(answer["weights_at_choice"]) == pytest.approx(1.0)
    assert float(answer["alpha"]) == float(alpha)
    assert type_("aggregate", "r.csv", "--alpha", alpha)[0] == 0


def _write(kind, path):
    rows = [{"annotator_id": who, "prompt_id": "q1", "candidates": list("xyz"), "probs": P[i].tolist()}
            for i, who in enumerate(("ann", "bob", "cat"))]  # fmt: skip
    # Another order of the candidates is the same opinion.
    rows[1] = {**rows[1], "candidates": list("zxy"), "probs": [P[1, 2], P[1, 0], P[1, 1]]}
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(MATRIX if kind == "matrix" else LONG)
    return path


@pytest.mark.parametrize(
    ("kind", "name"), [("jsonl", "o.jsonl"), ("parquet", "o.parquet"), ("matrix", "o.csv"), ("long", "l.csv")]
)
def test_every_form_of_file_says_the_same(tmp_path, kind, name):
    (question,) = read_opinions(_write(kind, tmp_path / name))
    assert question.candidates == ("x", "y", "z")
    assert question.annotators == ("ann", "bob", "cat")
    assert question.opinions == pytest.approx(P, abs=1e-15)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 1.0])
def test_pool_with_the_mechanism(type_, tmp_path, alpha):
    (tmp_path / "o.csv").write_text(MATRIX)
    code, out, err = type_("pool", "o.csv", "--alpha", alpha, "--mechanism", "--json")
    answer = json.loads(out)
    assert code == 0
    assert not err
    assert list(answer["consensus"]["all"].values()) == pytest.approx(pool_opinions(P, alpha), abs=1e-12)
    assert set(answer["costs"]) == {"ann", "bob", "cat"}
    assert min(answer["costs"].values()) >= 0
    assert max(answer["best_misreport_gain"].values()) <= 1e-8
    assert max(answer["misreport_gain_at_most"].values()) <= 1e-9
    free = json.loads(type_("pool", "o.csv", "--alpha", alpha, "--mechanism", "--no-costs", "--json")[1])
    assert max(free["best_misreport_gain"].values()) > 1e-3
    assert free["misreports"]


def test_prompts_are_apart_and_costs_add_up(type_, tmp_path):
    rows = [{"annotator_id": who, "prompt_id": q, "candidates": ["a", "b"], "probs": [p, 1 - p]}
            for who, q, p in (("u", "q1", 0.2), ("v", "q1", 0.7), ("u", "q2", 0.5), ("w", "q2", 0.9))]  # fmt: skip
    (tmp_path / "o.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = json.loads(type_("pool", "o.jsonl", "--alpha", "1", "--mechanism", "--json")[1])
    assert answer["consensus"]["q1"]["a"] == pytest.approx(0.45)
    assert answer["consensus"]["q2"]["a"] == pytest.approx(0.7)
    by = answer["costs_by_prompt"]
    assert answer["costs"]["u"] == pytest.approx(by["q1"]["u"] + by["q2"]["u"])


def test_zeros_veto_below_zero_and_say_so(type_, tmp_path):
    (tmp_path / "o.csv").write_text("who,x,y,z\na,0.5,0.5,0\nb,0.2,0.2,0.6\n")
    code, out, err = type_("pool", "o.csv", "--alpha", "-1", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["consensus"]["all"]["z"] == 0.0
    assert answer["vetoed"] == {"all": ["z"]}
    assert "one zero vetoes a candidate" in err
    assert json.loads(type_("pool", "o.csv", "--alpha", "1", "--json")[1])["consensus"]["all"]["z"] == 0.3


BAD = {
    "sum.csv": ("who,x,y,z\nann,0.5,0.3,0.3\n", "row 2, field 'probs': the probabilities sum to 1.1"),
    "negative.csv": ("who,x,y\nann,1.5,-0.5\n", "the probability of 'y' is negative (-0.5)"),
    "nothing.csv": ("who,x,y\nann,0,0\n", "the annotator gave no candidate anything"),
    "blank.csv": ("who,x,y\nann,,\nbob,1,0\n", "annotator 'ann' has no numbers"),
    "column.csv": ("who,x,y,z\nann,0.5,0.5,0\nbob,1,0,0\n", "nobody gives candidate 'z'"),
    "veto.csv": ("who,x,y\nann,1,0\nbob,0,1\n", "no candidate is left"),
    "text.csv": ("who,x,y\nann,0.5,half\n", "row 2, field 'column 3': expected a finite number, got 'half'"),
    "one.csv": ("who,x\nann,1\n", "one candidate"),
    "empty.csv": ("", "the file is empty"),
    "twice.csv": ("who,x,y\nann,0.5,0.5\nann,0.1,0.9\n", "annotator 'ann' stands twice, first in row 2"),
    "list.jsonl": ('{"annotator_id": "a", "candidates": "x", "probs": [1]}\n', "field 'candidates': expected a list"),
    "length.jsonl": ('{"annotator_id": "a", "candidates": ["x", "y"], "probs": [1]}\n', "expected 2 numbers"),
    "nobody.jsonl": ('{"candidates": ["x", "y"], "probs": [1, 0]}\n', "field 'annotator_id': the column is missing"),
    "odd.jsonl": (
        '{"annotator_id": "a", "candidates": ["x", "y"], "probs": [1, 0]}\n'
        '{"annotator_id": "b", "candidates": ["x", "w"], "probs": [1, 0]}\n',
        "row 2, field 'candidates': candidate 'w'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_opinions(type_, tmp_path, name):
    text, message = BAD[name]
    (tmp_path / name).write_text(text)
    code, out, err = type_("pool", name, "--alpha", "-1")
    assert code == 2
    assert not out
    assert message in err
    assert name in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pool", "o.csv", "--alpha", "x"), "expected a number, -inf or inf, got 'x'"),
        (("aggregate", "o.csv", "--alpha", "nan"), "expected a number, -inf or inf, got 'nan'"),
        (("pool", "o.csv", "--alpha", "-inf", "--mechanism"), "no distance has the min or the max rule"),
        (("pool", "o.csv", "--no-costs"), "belong to --mechanism"),
        (("pool", "o.csv", "--mechanism", "--distance-alpha", "inf"), "expected a finite number"),
        (("pool", "none.csv"), "cannot be read"),
        (("aggregate", "none.csv"), "cannot be read"),
        (("axioms", "--rule", "nonsense"), "rule: there is none called 'nonsense'; choose one of Agg[-inf]"),
        (("axioms", "--rule", "no_such_module:rule"), "no_such_module"),
    ],
)
def test_bad_usage(type_, tmp_path, words, message):
    (tmp_path / "o.csv").write_text(MATRIX)
    code, out, err = type_(*words)
    assert code == 2
    assert not out
    assert message in err


def test_axioms_of_ones_own_rule(type_, tmp_path):
    (tmp_path / "my_rules_here.py").write_text(
        "def worst_two(r):\n    r.sort(axis=1)\n    return r[:, :2].sum(axis=1)\n"
    )
    answer = json.loads(type_("axioms", "--rule", "my_rules_here:worst_two", "--trials", "200", "--json")[1])
    (row,) = answer["rules"]
    assert row["satisfied"]["symmetry"] == 1.0
    assert row["satisfied"]["pigou-dalton (weak)"] == 1.0
    assert row["satisfied"]["monotonicity"] < 1.0
    assert set(row["witnesses"]["monotonicity"]) == {"better", "worse"}
    code, out, _ = type_("axioms", "--trials", "50")
    assert code == 0
    assert "pigou-dalton (printed)" in out
