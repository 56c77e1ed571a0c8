"""`pl.conditional_logit` and `pl.mixed_logit`: files, rows and arrays are the same; what is printed and refused."""

import json

import numpy as np
import pandas as pd
import pytest
from looks import looks
from planted_choices import planted_choices
from real_files import real_file
from scipy.optimize import minimize
from typed_commands import typed, typed_json

import pluralign as pl
from sim.estimators.clustered_errors import conditional_logit
from sim.streams import Stream


@pytest.fixture(scope="module")
def planted():
    thetas = np.array([1.0, -0.8]) + [[0.8, 0.0]] * Stream(1).normals((40, 1))
    return planted_choices(1, 40, 5, thetas, sizes=(3, 4))


def _long(listed):
    """The table as a file has it, a row an alternative; who took what as TRUE."""
    return pd.DataFrame(
        [
            {"choice": str(j == taken).upper(), "id": f"p{who}", "alt": j + 1, "a": a, "b": b, "chid": number}
            for number, (who, x, taken) in enumerate(listed) for j, (a, b) in enumerate(x)
        ]
    )  # fmt: skip


def _rows(listed):
    return [
        {"annotator_id": f"p{who}", "choice": taken, "features": [{"a": x[0], "b": x[1]} for x in features]}
        for who, features, taken in listed
    ]


def test_files_rows_and_arrays_are_the_same(planted, tmp_path):
    arrays, listed = planted
    _long(listed).to_csv(tmp_path / "long.csv", index=False)
    direct = conditional_logit(**arrays)
    named = np.array([f"p{who}" for who in arrays["annotator"]])
    for found in (
        pl.conditional_logit(tmp_path / "long.csv"),
        pl.conditional_logit(_rows(listed)),
        pl.conditional_logit(rows=arrays["rows"], starts=arrays["starts"], annotator=named, feature_names=["a", "b"]),
    ):
        assert found.theta == pytest.approx(direct.theta, rel=1e-6)
        assert found.errors == pytest.approx(direct.errors, rel=1e-6)
        assert found.clustered_errors == pytest.approx(direct.clustered_errors, rel=1e-6)
        assert found.null_log_likelihood == pytest.approx(direct.null_log_likelihood)
        assert found.features == ("a", "b")
        assert sorted(found.annotators) == sorted(set(named))
    looks(found, tmp_path)


def test_attributes_that_repeat_within_a_choice_are_the_same_too(tmp_path):
    """A choice of which two alternatives are equal: the likelihood by hand, e^v1 / (e^v1 + 2 e^v2 + ...)."""
    drawn = (Stream(5).normals((120, 4, 2)) > 0.3).astype(float)
    listed = [(e % 12, x, int(np.argmax(x @ [1.0, -0.5] + Stream(6 + e).normals(4)))) for e, x in enumerate(drawn)]
    listed = [answer for answer in listed if len(np.unique(answer[1], axis=0)) > 1]
    assert min(len(np.unique(x, axis=0)) for _, x, _ in listed) == 2
    _long(listed).to_csv(tmp_path / "long.csv", index=False)
    found, by_rows = pl.conditional_logit(tmp_path / "long.csv"), pl.conditional_logit(_rows(listed))
    assert found.n_choices == by_rows.n_choices == len(listed)
    assert found.left_out == {}
    assert (found.theta, found.errors) == (pytest.approx(by_rows.theta), pytest.approx(by_rows.errors))

    def loss(theta):
        return -sum((x @ theta)[taken] - np.log(np.exp(x @ theta).sum()) for _, x, taken in listed)

    assert found.theta == pytest.approx(minimize(loss, np.zeros(2), tol=1e-12).x, abs=1e-5)
    assert found.log_likelihood == pytest.approx(-loss(found.theta))


def test_columns_of_other_names(planted, tmp_path):
    _, listed = planted
    table = _long(listed).rename(columns={"id": "who", "chid": "task"})
    table.to_csv(tmp_path / "long.csv", index=False)
    found = pl.conditional_logit(tmp_path / "long.csv", person="who", situation="task")
    assert found.n_choices == len(listed)
    with pytest.raises(pl.InputError, match="no option 'persons'"):
        pl.conditional_logit(tmp_path / "long.csv", persons="who")


def test_mixed(planted, tmp_path):
    arrays, listed = planted
    found = pl.mixed_logit(_rows(listed), random=["a"], draws=64, seed=3)
    by_number = pl.mixed_logit(**arrays, random=[0], draws=64, seed=3)
    for number in (0, np.int64(0), np.array([0])):
        assert np.array_equal(pl.mixed_logit(**arrays, random=number, draws=64, seed=3).theta, by_number.theta)
    assert found.theta == pytest.approx(by_number.theta)
    assert found.deviations[0] > 0.3
    assert found.deviations[1] == 0
    assert found.conditional_means.shape == (40, 2)
    told = found.as_dict()
    assert told["random"] == ["a"]
    assert told["deviation_errors"][1] is None
    assert list(told["conditional_means"]) == [f"p{i}" for i in range(40)]
    json.dumps(told, allow_nan=False)
    assert "64 draws a person; with twice as many, fresh," in repr(found)
    assert "columns more" not in repr(found)
    looks(found, tmp_path)
    every = pl.mixed_logit(_rows(listed), draws=32, correlated=True)
    assert every.as_dict()["random"] == ["a", "b"]
    assert every.title == "mixed logit, correlated"


def test_who_took_none_is_left_out_and_said(planted):
    _, listed = planted
    rows = _rows(listed)
    found = pl.conditional_logit([*rows, {**rows[0], "choice": -1}])
    assert found.left_out == {"choices of none": 1}
    assert "left out: 1 choices of none" in repr(found)
    assert found.theta == pytest.approx(pl.conditional_logit(rows).theta)


def _choice(**changed):
    return {"annotator_id": "a", "choice": 0, "features": [{"x": 1.0}, {"x": 0.0}], **changed}


def _pair(**changed):
    return {"annotator_id": "a", "chosen_features": {"x": 1.0}, "rejected_features": {"x": 0.0}, **changed}


@pytest.mark.parametrize(("row", "message"), [
    (_pair(annotator_id=None), "field 'annotator_id': is empty; give rows with"),
    ({name: part for name, part in _pair().items() if name != "annotator_id"}, "'annotator_id': the column is missing"),
    (_choice(annotator_id=None), "field 'annotator_id': is empty"),
    (_choice(annotator_id=True), "field 'annotator_id': expected a name or number, got True; name the annotator"),
    (_choice(annotator_id=""), "field 'annotator_id': expected a name or number, got ''"),
    (_choice(features=[[1.0, 2.0], [0.0, 1.0]]), r"'features': expected an object name -> number .*, got \[1.0, 2.0\]"),
    (_choice(features=[{"x": 1.0}]), "field 'features': expected a list of two or more alternatives"),
    (_choice(features="x"), "field 'features': expected a list of two or more alternatives, got 'x'"),
    (_choice(features=[{"x": None}, {"x": 1}]), r"field 'features': 'x' is no finite number \(None\); drop the row"),
    (_choice(features=[{"x": "big"}, {"x": 1}]), r"field 'features': 'x' is no finite number \('big'\)"),
    (_choice(features=[{"x": float("nan")}, {"x": 1}]), r"'x' is no finite number \(nan\)"),
    (_choice(features=[{"x": 10**400}, {"x": 1}]), "'x' is no finite number"),
    (_pair(chosen_features=[1.0]), "field 'chosen_features': expected an object name -> number"),
    (_pair(rejected_features={"x": "low"}), "field 'rejected_features': 'x' is no finite number"),
    (_choice(choice=0.7), "field 'choice': expected the number of one of 2 alternatives, got 0.7; number from 0"),
    (_choice(choice=True), "field 'choice': expected the number of one of 2 alternatives, got True"),
    (_choice(choice="b"), "field 'choice': expected the number of one of 2 alternatives, got 'b'"),
    (_choice(choice=-2), "field 'choice': expected the number of one of 2 alternatives, got -2"),
    (_choice(weight=None), "field 'weight': expected a positive number, got None"),
    (_choice(weight=-1), "field 'weight': expected a positive number, got -1"),
    (_pair(weight="much"), "field 'weight': expected a positive number, got 'much'"),
    (_pair(tie="perhaps"), "field 'tie': expected true or false, got 'perhaps'"),
])  # fmt: skip
def test_a_bad_row_is_named(row, message):
    good = _pair() if "chosen_features" in row else _choice()
    with pytest.raises(pl.InputError, match=f"list, row 3, .*{message}"):
        pl.conditional_logit([good, good, row], ridge=0.1)


def test_ties_say_which_of_two_was_taken_as_little_as_none_does():
    """They counted as wins of the side that was written first."""
    rows = [_pair(), _pair(annotator_id="b", chosen_features={"x": 0.0}, rejected_features={"x": 1.0}, tie=False)]
    tied = pl.conditional_logit([*rows, _pair(tie=True), _pair(tie=1), _pair(weight=0)], ridge=0.1)
    assert (tied.n_choices, tied.left_out) == (2, {"ties": 2, "of weight 0": 1})
    assert tied.theta == pytest.approx([0.0], abs=1e-9)


def test_1_and_1_0_are_one_person_and_nobody_is_called_none():
    rows = [_choice(annotator_id=name) for name in (1, 1.0, np.int64(1), np.float32(1.0))] + [_choice(annotator_id=2.5)]
    assert pl.conditional_logit(rows, ridge=0.1).annotators == ("1", "2.5")
    with pytest.raises(pl.InputError, match="row 6, field 'annotator_id': expected a name or number, got 'None'"):
        pl.conditional_logit([*rows, _choice(annotator_id="None")], ridge=0.1)


def test_frames_of_choices_are_their_rows(planted):
    rows = _rows(planted[1])
    direct = pl.conditional_logit(rows)
    for frame in (pd.DataFrame(rows), {name: [row[name] for row in rows] for name in rows[0]}, tuple(rows)):
        assert pl.conditional_logit(frame).theta == pytest.approx(direct.theta, abs=0)
    floats = [{**row, "choice": np.float64(row["choice"])} for row in rows]
    assert pl.conditional_logit(floats).theta == pytest.approx(direct.theta, abs=0)
    with pytest.raises(pl.InputError, match="DataFrame, row 1, field 'features': the column is missing"):
        pl.conditional_logit(_long(planted[1]))
    with pytest.raises(pl.InputError, match=r"choices: expected .*, got int"):
        pl.conditional_logit(3)


def test_separated_choices_print_no_errors(planted):
    arrays, _ = planted
    found = pl.conditional_logit(**{**arrays, "rows": np.abs(arrays["rows"])})
    assert found.as_dict()["errors"] == [None, None]
    assert "give a ridge" in found.estimate.status.message
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "choices must be given, or all of rows, starts and annotator"),
        ({"choices": "t.csv", "rows": np.ones((2, 1))}, "rows: choices is given too"),
        ({"choices": "nowhere.csv"}, "no such file"),
        ({"choices": []}, "there is no choice among the rows"),
        ({"choices": [{"choice": 0, "annotator_id": "a"}]}, "row 1, field 'features': the column is missing"),
        ({"choices": [{"choice": 2, "annotator_id": "a", "features": [{"x": 1}, {"x": 2}]}]}, "number of one of 2"),
        ({"choices": [{"choice": 0, "annotator_id": "a", "features": [{"x": 1}, {"y": 2}]}]}, "the features x"),
        ({"rows": np.ones((2, 1)), "starts": [0, 2], "annotator": [0], "person": "who"}, "arrays have no columns"),
        ({"rows": np.ones((2, 1)), "starts": [0, 1], "annotator": [0]}, "starts must rise"),
        ({"rows": np.ones((2, 1)), "starts": [0, 2], "annotator": [0], "feature_names": "ab"}, "feature_names must"),
        ({"rows": np.ones((2, 2)), "starts": [0, 2], "annotator": [0], "feature_names": "ab"}, "features a, b is the"),
    ],
)  # fmt: skip
def test_refused(given, message):
    with pytest.raises(ValueError, match=message):
        pl.conditional_logit(**given)


def test_the_command_says_what_the_functions_do(planted, tmp_path, monkeypatch, capsys):
    _, listed = planted
    _long(listed).rename(columns={"id": "who"}).to_csv(tmp_path / "long.csv", index=False)
    words = ("choice-model", tmp_path / "long.csv", "--person", "who")
    told = typed_json(monkeypatch, capsys, *words)
    assert told == pl.conditional_logit(tmp_path / "long.csv", person="who").as_dict()
    mixed = pl.mixed_logit(tmp_path / "long.csv", random=["a"], draws=64, seed=2, person="who")
    more = ("--random", "a", "--draws", 64, "--seed", 2)
    assert typed_json(monkeypatch, capsys, *words, *more) == mixed.as_dict()
    _, out, _ = typed(monkeypatch, capsys, *words, *more)
    assert out.strip() == repr(mixed)
    both = pl.mixed_logit(tmp_path / "long.csv", correlated=True, draws=32, person="who")
    more = ("--random", "all", "--correlated", "--draws", 32)
    assert typed_json(monkeypatch, capsys, *words, *more) == both.as_dict()
    for bad, message in (
        (("--correlated",), "--correlated belongs to --random"),
        (("--random", "c"), "--random: no feature 'c'"),
        (("--random", "a", "--ridge", 1), "--ridge is of a fit without --random"),
    ):
        code, _, err = typed(monkeypatch, capsys, *words, *bad)
        assert code == 2
        assert message in err


def test_an_unknown_random_feature_is_refused(planted):
    with pytest.raises(pl.InputError, match="random: no feature 'c'; the features: a, b"):
        pl.mixed_logit(_rows(planted[1]), random=["c"])


def test_electricity():
    found = pl.conditional_logit(real_file("choices/electricity.csv.gz"))
    assert found.log_likelihood == pytest.approx(-4958.65, abs=0.01)
    assert found.features == ("pf", "cl", "loc", "wk", "tod", "seas")


def test_what_could_be_anything_is_not_zero_for_certain(planted, tmp_path, monkeypatch, capsys):
    """An age that is the same in all alternatives of every choice: the ridge alone sets it to 0."""
    _, listed = planted
    table = _long(listed)
    table["age"] = table["id"].str[1:].astype(int)
    table.to_csv(tmp_path / "aged.csv", index=False)
    words = ("choice-model", tmp_path / "aged.csv", "--ridge", "0.1")
    found = typed_json(monkeypatch, capsys, *words)
    place = found["features"].index("age")
    assert (found["errors"][place], found["clustered_errors"][place]) == (None, None)
    assert found["not_identified"] == ["age"]
    assert min(error for error in found["clustered_errors"] if error is not None) > 0
    out = typed(monkeypatch, capsys, *words)[1]
    assert [line.split()[2:] for line in out.splitlines() if line.startswith("age")] == [["not", "identified", "-"]]
    assert "decided by the ridge alone: age" in out
