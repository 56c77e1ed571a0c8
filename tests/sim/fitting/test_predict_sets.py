"""Sets of responses by a fit: shares by hand from its rewards, of everybody and of each type; pairs are sets of two."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from tastes import rows_of_tastes

from pluralign import load_fit as load
from pluralign.__main__ import main
from sim.errors import InputError
from sim.files.pair_table import NONE_OF_THEM
from sim.files.preference_files import table_of_rows
from sim.fitting.diagnostics import spectrum
from sim.fitting.predict import predict_pairs, predict_sets
from sim.fitting.predict_sets import sets_of_rows
from sim.fitting.report import fit
from sim.fitting.save import load_fit, save_fit
from sim.fitting.settings import FitSettings

NAMES = ("price", "quality")


def _choices(people=24, per=20, none=True):
    """Two opposite tastes for price and quality, among three or none of them."""
    draw, rows = np.random.default_rng(5), []
    for person in range(people):
        sign = 1.0 if person % 2 else -1.0
        for number in range(per):
            x = draw.normal(size=(3, 2)) * [10.0, 1.0] + [100.0, 5.0]
            worth = np.append((x - [100.0, 5.0]) @ [-0.1 * sign, 0.8 * sign], 0.4 if none else -np.inf)
            taken = int((worth + draw.gumbel(size=4)).argmax())
            rows.append({
                "annotator_id": f"p{person}", "prompt": f"q{number}", "responses": [str(a) for a in x.tolist()],
                "choice": taken if taken < 3 else -1,
                "features": [dict(zip(NAMES, own, strict=True)) for own in x.tolist()],
            })  # fmt: skip
    return rows


SETS = [
    {"prompt": "one", "responses": ["cheap", "dear", "best"],
     "features": [{"price": 80.0, "quality": 4.0}, {"price": 120.0, "quality": 5.0}, {"price": 130.0, "quality": 7.0}]},
    {"prompt": "two", "responses": ["dear", "cheap"],
     "features": [{"quality": 5.0, "price": 120.0}, {"quality": 4.0, "price": 80.0}]},
]  # fmt: skip


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "fit"
    save_fit(folder, fit(table_of_rows(_choices(), "t"), FitSettings("em-dpo", n_types=2, restarts=2, ridge=0.05)))
    return load_fit(folder)


def _by_hand(fit, theta, values):
    """exp(<theta, x_j>) / (sum of them + e^constant) in the fit's own units."""
    worth = fit.scales.standard("values", values) @ theta
    worth = np.exp(np.append(worth, theta[-1]))
    return worth / worth.sum()


def _known(fit):
    return [fit.annotators[i] for i in fit.trained]


def _predicted(fit, rows, annotators=()):
    table, named = sets_of_rows(rows, "sets")
    return predict_sets(fit, table, annotators, named=named)


@pytest.mark.parametrize("who", [False, True], ids=["nobody", "somebody"])
def test_shares_are_those_of_the_mixture_and_none_is_one_of_them(read, who):
    who = _known(read)[0] if who else None
    found = _predicted(read, SETS, [who] if who else [])
    model = read.model
    gamma = model.mixture if who is None else model.responsibilities[read.annotators.index(who)]
    expected = [
        gamma @ [_by_hand(read, theta, np.array([[own[name] for name in NAMES] for own in row["features"]]))
                 for theta in model.theta]
        for row in SETS
    ]  # fmt: skip
    np.testing.assert_allclose(found.value, np.concatenate(expected), atol=1e-12)
    assert [row["response"] for row in found.rows()] == ["cheap", "dear", "best", NONE_OF_THEM, "dear", "cheap",
                                                         NONE_OF_THEM]  # fmt: skip
    assert [(row["set"], row["prompt"]) for row in found.rows()] == [(1, "one")] * 4 + [(2, "two")] * 3
    assert set(found.annotators) == {who}


def test_types_are_asked_as_people_are(read):
    found = _predicted(read.by_type(), SETS)
    assert found.annotators[::7] == ("type 1", "type 2")
    one, other = found.value.reshape(2, 7)
    np.testing.assert_allclose(
        read.model.mixture @ [one, other], _predicted(read, SETS).value, atol=1e-12
    )  # of the mixture
    assert np.abs(one - other).max() > 0.3
    # Whom a file names is asked nothing where types are.
    named = [{**row, "annotator_id": "p3", "choice": 1} for row in SETS]
    np.testing.assert_array_equal(_predicted(read.by_type(), named, read.by_type().annotators).value, found.value)


def test_what_was_answered_is_not_read_and_rows_say_whom_they_ask(read):
    one, other, *_ = _known(read)
    rows = [{**SETS[0], "annotator_id": who, "ranking": [None, 1, 2], "weight": 0.0} for who in (one, "nobody", other)]
    found = _predicted(read, rows)
    assert found.strangers == ("nobody",)
    for place, who in enumerate(([one], [], [other])):
        np.testing.assert_allclose(
            found.value[4 * place : 4 * place + 4], _predicted(read, SETS[:1], who).value, atol=1e-15
        )


@pytest.mark.parametrize(
    "method", ["pooled", "personal", "cluster", "shared", "dpo", "em-dpo", "cluster-dpo", "low-rank"]
)
def test_two_responses_are_a_pair(method, monkeypatch):
    monkeypatch.setattr(spectrum, "PERMUTATIONS", 3)
    rows = rows_of_tastes(people=30, answers=16, n_items=30)
    table = table_of_rows(rows, "pairs")
    usable = fit(table, FitSettings(method, n_types=None if method in ("pooled", "personal", "dpo") else 1)).saved()
    asked = [
        {"responses": [row["chosen"], row["rejected"]], "annotator_id": row["annotator_id"],
         "features": [row["chosen_features"], row["rejected_features"]],
         **{name: row[name] for name in ("annotator_features",) if name in row}}
        for row in rows[:40]
    ]  # fmt: skip
    asked[0]["annotator_id"], rows[0]["annotator_id"] = "new", "new"
    pairs = predict_pairs(usable, replace(table_of_rows(rows[:40], "pairs"), split=None))
    found = _predicted(usable, asked)
    np.testing.assert_allclose(found.value[0::2], pairs.value, atol=1e-9)
    np.testing.assert_allclose(found.value[0::2] + found.value[1::2], 1.0, atol=1e-9)
    assert "new" in found.strangers
    assert found.strangers == pairs.strangers


def test_clusters_are_asked_as_people_are():
    usable = fit(table_of_rows(_choices(none=False), "t"), FitSettings("cluster", n_types=2)).saved()
    found = _predicted(usable.by_type(), SETS[:1])
    assert found.annotators == ("cluster 1",) * 3 + ("cluster 2",) * 3
    label = dict(zip(usable.annotators, usable.model.label.tolist(), strict=True))
    for k in (0, 1):
        who = next(name for name, own in label.items() if own == k)
        np.testing.assert_allclose(found.value[3 * k : 3 * k + 3], _predicted(usable, SETS[:1], [who]).value)


def test_a_fit_of_pairs_takes_sets_at_its_rewards_and_has_no_none():
    pairs = [
        {"annotator_id": row["annotator_id"], "chosen": row["responses"][row["choice"]],
         "rejected": row["responses"][row["choice"] - 1], "chosen_features": row["features"][row["choice"]],
         "rejected_features": row["features"][row["choice"] - 1]}
        for row in _choices(none=False)
    ]  # fmt: skip
    usable = fit(table_of_rows(pairs, "t"), FitSettings("pooled", ridge=0.1)).saved()
    found = _predicted(usable, SETS)
    values = np.array([[own[name] for name in NAMES] for own in SETS[0]["features"]])
    worth = np.exp(usable.scales.standard("values", values) @ usable.model.centre)
    np.testing.assert_allclose(found.value[:3], worth / worth.sum(), atol=1e-12)
    assert len(found.value) == 5


@pytest.mark.parametrize(("rows", "said"), [
    ([{**SETS[0], "responses": ["a", "b"]}], "row 1, field 'features': expected features of each of 2 responses"),
    ([{**SETS[0], "responses": ["a"], "features": [{"price": 1.0, "quality": 1.0}]}], "list of 2 or more responses"),
    ([SETS[0], {**SETS[1], "responses": ["a", "a"], "features": [SETS[1]["features"][0]] * 2}], "a response twice"),
    ([{"responses": ["a", "b"]}], "the items have no features"),
    ([{"responses": ["a", "b"], "features": [{"price": 1.0}, {"price": 2.0}]}], "feature 'quality' of the fit"),
])  # fmt: skip
def test_what_is_wrong_is_said(read, rows, said):
    with pytest.raises(InputError, match=said):
        _predicted(read, rows)


def test_names_that_the_fit_does_not_know_are_refused(read):
    with pytest.raises(InputError, match="annotators: the fit does not know 'x'"):
        _predicted(read, SETS, ["x"])


def test_the_command_and_python_say_the_same(read, tmp_path, monkeypatch, capsys):
    path = tmp_path / "sets.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in SETS))

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["pluralign", "predict", str(read.folder), str(path), *words])
        code = main()
        return code, *capsys.readouterr()

    code, out, err = typed("--by-type", "--json", "--out", str(tmp_path / "shares.parquet"))
    assert code == 0, err
    told = json.loads(out)
    frame = load(read.folder).by_type().predict(SETS)
    assert (told["kind"], told["predictions"]) == ("sets", frame.rows)
    assert told["predictions"] == load(read.folder).by_type().predict(path).rows
    assert "set" in repr(frame)
    code, out, _ = typed("--annotator", _known(read)[0])
    assert "set 1    none of them" in out
    code, _, err = typed("--annotator", "p3", "--by-type")
    assert (code, "error: --by-type: annotators are given too" in err) == (2, True)
