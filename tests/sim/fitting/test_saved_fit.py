"""A fit is saved, read in another process, and used: new items in the user's units, new annotators."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from opposed import opposed_types
from places import ROOT
from tastes import table_of_tastes

from pluralign.__main__ import main
from sim.errors import InputError
from sim.files.preference_files import read_pairs, write_pairs
from sim.fitting.predict import assign_pairs
from sim.fitting.report import fit
from sim.fitting.save import load_fit, read_summary, save_fit
from sim.fitting.scores import no_rows
from sim.fitting.settings import FitSettings

METHODS = ("em-dpo", "dpo", "cluster-dpo", "pooled", "personal", "shared", "cluster", "low-rank")
SIZED = {"em-dpo": 2, "cluster-dpo": 2, "shared": 2, "cluster": 2, "low-rank": 2}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """method -> (report, fit read back); a table whose features have units of their own."""
    folder, found = tmp_path_factory.mktemp("saved"), {}
    table = opposed_types(groups=False)
    object.__setattr__(table, "features", table.features * [100.0, 1.0, 0.01] + [5.0, -3.0, 0.0])
    tastes = table_of_tastes(tmp_path_factory, people=60, answers=40)
    for method in METHODS:
        own = tastes if method == "low-rank" else table
        report = fit(own, FitSettings(method, n_types=SIZED.get(method), restarts=2))
        save_fit(folder / method, report)
        found[method] = (report, load_fit(folder / method))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_it_predicts_as_the_fit_did(saved, method):
    """Held-out answers of known and of unseen annotators, given by features in the file's units."""
    report, read = saved[method]
    prepared, table = report.prepared, report.prepared.table
    stranger = report.fits.asked.adapt(report.model, prepared.answers(no_rows(prepared)))
    told = table.annotator_features
    for mask, model, known in ((prepared.test, report.model, True), (prepared.unseen, stranger, False)):
        rows = np.flatnonzero(mask)
        assert len(rows) > 50
        names = [table.annotators[i] for i in table.annotator[rows]] if known else None
        shown = None if told is None or known else told[table.annotator[rows]]
        chance = read.predict_proba(
            table.features[table.chosen[rows]], table.features[table.rejected[rows]], names, annotator_features=shown
        )
        expected = report.fits.asked.log_likelihood(model, prepared.answers(mask))
        assert np.log(chance) == pytest.approx(expected, abs=1e-10)


def test_items_are_scored_by_the_reward(saved):
    """<theta_i, phi(item)> in the fit's units; for types the log-odds of the annotator's mixture, by hand."""
    report, read = saved["personal"]
    who = int(report.prepared.trained[3])
    new = np.array([[120.0, -2.0, 0.003], [0.0, 0.0, 0.0]])
    standard = report.prepared.scales.standard("items", new)
    theta = report.model.theta[who]
    assert read.score_items(new, read.annotators[who]) == pytest.approx(standard @ theta)
    assert read.score_items(new[0], read.annotators[who]) == pytest.approx(standard[:1] @ theta)
    report, read = saved["em-dpo"]
    gamma, theta = report.model.responsibilities[who], report.model.theta
    win = (gamma / (1 + np.exp(-standard @ theta.T))).sum(axis=1)
    assert read.score_items(new, read.annotators[who]) == pytest.approx(np.log(win / (1 - win)), abs=1e-9)


@pytest.mark.parametrize("method", ["em-dpo", "cluster-dpo", "personal", "shared", "cluster"])
def test_new_annotators_are_assigned_by_the_methods_own_rule(saved, method):
    report, read = saved[method]
    prepared, table = report.prepared, report.prepared.table
    rows = prepared.unseen
    names = [table.annotators[i] for i in table.annotator[rows]]
    chosen, rejected = table.features[table.chosen[rows]], table.features[table.rejected[rows]]
    assigned = read.assign(chosen, rejected, names)
    people = np.unique(table.annotator[rows])
    assert set(assigned.annotators) == {table.annotators[i] for i in people}
    adapted = report.fits.asked.adapt(report.model, prepared.answers(rows))
    order = [table.annotators.index(name) for name in assigned.annotators]
    for column, values in report.fits.asked.table(adapted).items():
        assert assigned.table[column] == pytest.approx(values[order], abs=1e-7), column
    # From then on she is known, and her own answers are likelier than a stranger's.
    chance = assigned.fit.predict_proba(chosen, rejected, names)
    assert np.log(chance).mean() > np.log(read.predict_proba(chosen, rejected)).mean() + 0.05


def test_items_are_told_apart_by_their_names(tmp_path):
    """Eighty items of eight kinds: by features alone (items - 1) / answers would shrink, and with it every weight."""
    table = opposed_types(groups=False, n_annotators=24, answers=40)
    object.__setattr__(table, "features", np.sign(table.features))
    report = fit(table, FitSettings("em-dpo", n_types=2, restarts=2))
    prepared, read = report.prepared, report.saved()
    t, rows = prepared.table, prepared.unseen
    names = [t.annotators[i] for i in t.annotator[rows]]
    sides = t.features[t.chosen[rows]], t.features[t.rejected[rows]]
    items = [t.items[j] for j in t.chosen[rows]], [t.items[j] for j in t.rejected[rows]]
    adapted = report.fits.asked.adapt(report.model, prepared.answers(rows)).responsibilities

    def shares(assigned):
        order = [t.annotators.index(name) for name in assigned.annotators]
        return assigned.table["group_1"] - adapted[order, 0]

    assert np.abs(shares(read.assign(*sides, names, items=items))).max() < 1e-9
    assert np.abs(shares(read.assign(*sides, names))).max() > 1e-3
    path = tmp_path / "new.parquet"
    unseen = {name: getattr(t, name)[rows] for name in ("prompt", "chosen", "rejected", "annotator")}
    write_pairs(path, replace(t, split=None, **unseen))
    assert np.abs(shares(assign_pairs(read, read_pairs(path)))).max() < 1e-9
    with pytest.raises(ValueError, match=r"items must have one feature vector each \(got two of 'same'\)"):
        read.assign(*sides, names, items=(["same"] * len(names), items[1]))
    for bad in ((items[0][1:], items[1]), (items[0],), ("ab", "cd")):
        with pytest.raises(ValueError, match=f"items must be two lists of {len(names)} names"):
            read.assign(*sides, names, items=bad)


@pytest.mark.parametrize("method", METHODS)
def test_a_fit_in_memory_is_the_one_read_back(saved, method):
    report, read = saved[method]
    own, table = report.saved(), report.prepared.table
    x, y = table.features[:6], table.features[6:12]
    who = [own.annotators[i] for i in own.trained[:6]]
    assert np.array_equal(own.predict_proba(x, y, who), read.predict_proba(x, y, who))
    told = None if table.annotator_features is None else table.annotator_features[:6]
    assert np.array_equal(
        own.score_items(x, annotator_features=told), read.score_items(x, annotator_features=told)
    )  # fmt: skip
    assert {**own.summary, "model_checksum": read.summary["model_checksum"]} == json.loads(json.dumps(read.summary))


def test_names_are_matched_as_texts(saved):
    _, read = saved["em-dpo"]
    numbered = replace(read, annotators=tuple(str(i) for i in range(len(read.annotators))))
    x, who = np.zeros((2, 3)), int(read.trained[0])
    expected = numbered.score_items(x, str(who))
    assert np.array_equal(numbered.score_items(x, who), expected)
    assert np.array_equal(numbered.score_items(x, np.int64(who)), expected)
    assert np.array_equal(numbered.score_items(x, [who, who]), expected)
    assert numbered.assign(np.eye(3)[:2], x, [7, 7]).annotators == ("7",)


def test_weights_of_new_answers_reach_a_method_of_ones_own(saved):
    _, read = saved["personal"]
    seen = {}

    class Kept(type(read.method)):
        def adapt(self, model, answers):
            seen["given"] = answers.given_weights
            return super().adapt(model, answers)

    x = np.arange(6.0).reshape(2, 3)
    replace(read, method=Kept()).assign(x, x[::-1], ["a", "a"], weights=[0.5, 2.0])
    assert seen["given"].tolist() == [0.5, 2.0]


def test_strangers_by_what_is_known_of_them(saved):
    report, read = saved["low-rank"]
    told = report.prepared.table.annotator_features[:2]
    x = report.prepared.table.features[:2]
    with pytest.raises(ValueError, match="annotator_features must be given"):
        read.score_items(x)
    scores = read.score_items(x, annotator_features=told)
    x2, twice = np.vstack([x[:1] + 1, x[:1]]), ["z", "z"]
    with pytest.raises(ValueError, match="annotator_features must be the same in all rows of annotator 'z'"):
        read.assign(x2, x2[::-1], twice, annotator_features=told)
    assert read.assign(x2, x2[::-1], twice, annotator_features=told[[0, 0]]).annotators == ("z",)
    with pytest.raises(ValueError, match="annotator_features must have 2 rows"):
        read.score_items(x, annotator_features=told[:1])
    contexts = report.prepared.known.contexts[:2]
    expected = ((contexts @ report.model.theta) * report.prepared.features[:2]).sum(axis=1)
    assert scores == pytest.approx(expected, abs=1e-9)


def test_bad_arguments_are_named(saved):
    _, read = saved["em-dpo"]
    x = np.zeros((2, 3))
    for call, message in (
        (lambda: read.predict_proba(x, x[:1]), "chosen has 2 rows and rejected 1"),
        (lambda: read.predict_proba(x[:, :2], x), r"chosen must be \(n, 3\)"),
        (lambda: read.predict_proba(x * np.nan, x), "chosen must be finite"),
        (lambda: read.score_items(x, "nobody"), "annotator must be one of the"),
        (lambda: read.score_items(x, ["person 0"] * 3), "annotator must be one name, 2 names, or None"),
        (lambda: read.assign(x, x, ["a"]), "annotator must name one annotator an answer, 2"),
        (lambda: read.assign(x, x, ["a", "b"], weights=[1.0]), r"weights must be \(2,\)"),
        (lambda: read.score_items(x, annotator_features=x), "does not use what is known of annotators"),
        (lambda: read.score_items(x, read.annotators[int(read.trained[0])], annotator_features=x), "does not use what"),
        (lambda: read.score_items(x, "nobody", unknown="strangr"), "unknown must be one of refuse, stranger"),
        (lambda: read.predict_proba(x, x, unknown="strangr"), "unknown must be one of refuse, stranger"),
        (lambda: read.score_items(x, 414), r"annotator must be one of the .*\(got '414'\)"),
        (lambda: read.assign(x, x, 414), "annotator must name one annotator an answer, 2"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert read.score_items(x, "nobody", unknown="stranger") == pytest.approx(read.score_items(x))


def test_another_process_reads_the_same(saved, tmp_path):
    report, read = saved["shared"]
    x = report.prepared.table.features[:4].tolist()
    who = read.annotators[int(read.trained[0])]
    code = (
        "import json, sys, numpy as np\nfrom sim.fitting.save import load_fit\n"
        f"fit = load_fit({str(read.folder)!r})\nprint(json.dumps(fit.score_items(np.array({x}), {who!r}).tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == read.score_items(np.array(x), who).tolist()


def test_other_formats_and_altered_files_are_refused(saved, tmp_path, monkeypatch, capsys):
    report, _ = saved["dpo"]
    save_fit(tmp_path / "fit", report)
    path = tmp_path / "fit" / "model.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    with pytest.raises(InputError, match="not the file that was saved"):
        load_fit(tmp_path / "fit")
    path.unlink()
    with pytest.raises(InputError, match="is not whole"):
        load_fit(tmp_path / "fit")
    summary = json.loads((tmp_path / "fit" / "fit.json").read_text())
    for version in (None, 1, 3):
        if version is None:
            summary.pop("format")
        else:
            summary["format"] = version
        (tmp_path / "fit" / "fit.json").write_text(json.dumps(summary))
        with pytest.raises(InputError, match=f"format {version or 1}, and this version reads format 2"):
            read_summary(tmp_path / "fit")
        for words in (["report", tmp_path / "fit"], ["predict", tmp_path / "fit", tmp_path / "x.jsonl"]):
            monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
            assert main() == 2
            assert "run `pluralign fit` again" in capsys.readouterr().err


def test_items_without_features_are_named(tmp_path):
    table = opposed_types(n_items=12, opposed=False, groups=False)
    object.__setattr__(table, "features", None)
    save_fit(tmp_path / "fit", fit(table, FitSettings("dpo")))
    read = load_fit(tmp_path / "fit")
    scores = read.score_items(np.array(table.items))
    assert scores == pytest.approx(read.score_items(np.eye(12)))
    with pytest.raises(ValueError, match="item 'item 99' is not one of the fit's 12"):
        read.score_items(np.array(["item 99"]))
    assert read.score_items("item 1") == pytest.approx(scores[table.items.index("item 1")])
    assert read.predict_proba("item 1", "item 2").shape == (1,)
    sides = np.array(table.items[:3]), np.array(table.items[3:6])
    assert read.assign(*sides, ["new"] * 3).annotators == ("new",)


def _type(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
    code = main()
    out, err = capsys.readouterr()
    return code, out, err


def test_predict_as_typed(saved, tmp_path, monkeypatch, capsys):
    report, read = saved["em-dpo"]
    table, folder = report.prepared.table, read.folder
    names = table.feature_names
    who = read.annotators[int(read.trained[0])]
    items = tmp_path / "items.jsonl"
    # By name, in another order than the fit's.
    rows = [{"item": f"new {j}", "features": dict(zip(names[::-1], x[::-1], strict=True))}
            for j, x in enumerate(table.features[:3].tolist())]  # fmt: skip
    items.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = _type(monkeypatch, capsys, "predict", folder, items, "--annotator", who, "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["kind"] == "items"
    scores = [row["score"] for row in answer["predictions"]]
    assert scores == pytest.approx(read.score_items(table.features[:3], who).tolist())
    pairs, result = tmp_path / "pairs.parquet", tmp_path / "chances.parquet"
    write_pairs(pairs, table)
    code, out, err = _type(monkeypatch, capsys, "predict", folder, pairs, "--out", result)
    assert code == 0, err
    assert "annotators are not in the fit: predicted as strangers" in err
    found = pq.read_table(result).to_pydict()
    assert len(found["probability"]) == len(table)
    code, _, err = _type(monkeypatch, capsys, "predict", folder, pairs, "--answers", pairs)
    assert code == 0
    assert "strangers" not in err, "adapted to their own answers, all are known"
    code, _, err = _type(monkeypatch, capsys, "predict", folder, items, "--annotator", "nobody")
    assert code == 2
    assert "--annotator must be one of the" in err
    items.write_text(json.dumps({"item": "a", "features": {"plot": 1.0}}) + "\n")
    code, _, err = _type(monkeypatch, capsys, "predict", folder, items)
    assert code == 2
    assert "feature 'music' of the fit is missing" in err
