"""Fits of texts through the command line: saved, read in another process, used on texts nobody has seen."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from made_texts import BAD, GOOD, rows_of_made_texts
from places import ROOT

import pluralign as pl
from pluralign.__main__ import main
from sim.compiled.jit import cache_in_use
from sim.errors import InputError
from sim.fitting.save import load_fit

NEW = ("A superb, moving and witty train", "loud crude bloody train", "a train of brave and moving people", "nothing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """made.jsonl and the fit of its words, em-dpo with two types."""
    place = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        (place / "made.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of_made_texts(people=24)))
        pl.fit(place / "made.jsonl", n_types=2, restarts=2, features="words").save(place / "fit")
    return place


@pytest.fixture(autouse=True)
def own_cache(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


def _run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, words)])
    code = main()
    out, err = capsys.readouterr()
    return code, out, err


def _items(folder, texts=NEW):
    path = folder / "new.jsonl"
    path.write_text("".join(json.dumps({"item": text}) + "\n" for text in texts))
    return path


def test_another_process_scores_new_texts_alike(folder):
    items = _items(folder)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(cache_in_use())}
    words = ["-m", "pluralign", "predict", folder / "fit", items, "--annotator", "p0", "--annotator", "p1", "--json"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env, check=True)
    found = json.loads(done.stdout)["predictions"]
    fit = pl.load_fit(folder / "fit")
    assert [row["score"] for row in found] == pytest.approx(fit.predict(items, ["p0", "p1"]).value.tolist(), abs=1e-9)
    score = {(row["annotator_id"], row["item"]): row["score"] for row in found}
    assert score["p0", NEW[0]] > score["p0", NEW[3]] > score["p0", NEW[1]]
    assert score["p1", NEW[1]] > score["p1", NEW[3]] > score["p1", NEW[0]]


def test_texts_get_the_fits_own_features(folder):
    """By hand: tf-idf of what was saved, its directions, the scales; and the answers of the file as in the fit."""
    saved = load_fit(folder / "fit")
    made = saved.text.made
    own = np.zeros(len(made.vocabulary))
    for word in ("superb", "moving", "witty", "train"):
        own[made.vocabulary.index(word)] = made.idf[made.vocabulary.index(word)]
    phi = own / np.linalg.norm(own) @ made.directions
    by_text = saved.score_items(list(NEW[:1]), "p0")
    assert by_text == pytest.approx(saved.score_items(phi[None], "p0"))
    answers = pl.load_fit(folder / "fit").predict(folder / "made.jsonl")
    with_split = pl.read_pairs(folder / "made.jsonl")
    known = with_split.rows_of("test")
    expected = json.loads((folder / "fit" / "fit.json").read_text())["test"]["known_users"]["log_likelihood"]
    assert np.log(answers.value[known]).mean() == pytest.approx(expected, abs=1e-9)


def test_somebody_new_is_assigned_by_texts(folder):
    fit = pl.load_fit(folder / "fit")
    rows = [{"annotator_id": "new", "chosen": f"a {good} day", "rejected": f"a {bad} day"}
            for good, bad in zip(GOOD, BAD, strict=True)]  # fmt: skip
    assigned = fit.assign(rows)
    assert assigned.table["group_1"].max() > 0.9 or assigned.table["group_2"].max() > 0.9
    scores = assigned.predict(_items(folder), ["new"]).value
    assert scores[0] > scores[3] > scores[1]
    chance = assigned.predict_proba(NEW[0], NEW[1], "new")
    assert chance > 0.8


def test_the_file_s_own_features_do_not_stand_in_the_way(folder):
    path = folder / "numbers.jsonl"
    path.write_text("".join(json.dumps({"item": text, "features": [1.0]}) + "\n" for text in NEW))
    fit = pl.load_fit(folder / "fit")
    assert fit.predict(path, ["p0"]).value == pytest.approx(fit.predict(_items(folder), ["p0"]).value)


@pytest.mark.parametrize("sides", [(1, 2), ([1.0], [2.0])])
def test_numbers_are_no_texts(folder, sides):
    """A vector would be scored by the name it is given, `item 1`."""
    rows = [{"annotator_id": "new", "chosen": sides[0], "rejected": sides[1]}]
    fit = pl.load_fit(folder / "fit")
    for use in (fit.predict, fit.assign):
        with pytest.raises(
            InputError, match="features: the fit's features are made of texts, and the answers here are"
        ):
            use(rows)


def test_what_is_printed(folder, monkeypatch, capsys):
    """Examples of each group in the users' own texts, and what would turn a terminal red written out."""
    rows = rows_of_made_texts(people=16)
    for row in rows:
        for side in ("chosen", "rejected"):
            row[side] = "\x1b[31m<b>" + row[side] + "</b>"
    path = folder / "red.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("fit", path, "--types", 2, "--restarts", 2, "--features", "words", "--out", folder / "red")
    code, out, _ = _run(monkeypatch, capsys, *words)
    assert code == 0
    assert "features: words, " in out
    assert "what they carry, known users (nats an answer more than a coin)" in out
    assert out.count("    more: ") == out.count("    less: ") == 6
    assert r"more: \x1b[31m<b>" in out
    assert "\x1b" not in out
    assert "words_1" not in out
    code, again, _ = _run(monkeypatch, capsys, "report", folder / "red")
    assert code == 0
    assert [line for line in again.splitlines() if "    more: " in line] == [
        line for line in out.splitlines() if "    more: " in line
    ]


def test_columns_are_what_they_were(folder, monkeypatch, capsys):
    examples = ROOT / "examples" / "pairs.jsonl.gz"
    words = ("fit", examples, "--method", "pooled", "--json", "--out", folder / "columns")
    told = [json.loads(_run(monkeypatch, capsys, *words, *more)[1]) for more in ((), ("--features", "columns"))]
    assert {**told[0], "seconds": 0} == {**told[1], "seconds": 0}
    assert "features" not in told[0]
    assert load_fit(folder / "columns").text is None


@pytest.mark.parametrize(
    ("rows", "features", "message"),
    [
        (None, "word", "--features: there is neither a kind nor a folder called 'word'; give columns, words,"),
        (None, "./no/such/folder", "--features: there is neither a kind nor a folder called './no/such/folder'"),
        ([{"chosen": 1, "rejected": 2}], "words", "--features: words are made of texts, and the answers here are num"),
        ([{"chosen": [1.0], "rejected": [2.0]}], "words", "the answers here are lists of numbers; give the responses"),
        ([{"chosen": ".", "rejected": "!"}], "words", "texts of training answers are all empty or say the same"),
        ([{"chosen": "so", "rejected": "so."}], "words", "texts of training answers are all empty or say the same"),
    ],
)
def test_one_line_says_what_is_wrong(folder, monkeypatch, capsys, rows, features, message):
    path = folder / "made.jsonl"
    if rows is not None:
        path = folder / "odd.jsonl"
        written = [{**row, "annotator_id": f"a{i % 4}"} for row in rows for i in range(20)]
        path.write_text("".join(json.dumps(row) + "\n" for row in written))
    code, out, err = _run(monkeypatch, capsys, "fit", path, "--features", features, "--out", folder / "never")
    assert (code, out) == (2, "")
    assert message in err
    assert err.strip().splitlines()[-1].startswith("pluralign: error: ")
    assert not (folder / "never").exists()


def test_who_has_only_texts_is_told_of_words(folder, monkeypatch, capsys):
    code, _, err = _run(monkeypatch, capsys, "fit", folder / "made.jsonl", "--out", folder / "never")
    assert code == 2
    assert "or make them of the texts (--features words)" in err
    with pytest.raises(InputError, match=r"or make them of the texts \(features='words'\)"):
        pl.fit(folder / "made.jsonl")


def test_a_damaged_folder_is_refused(folder):
    (folder / "cut").mkdir()
    for path in (folder / "fit").iterdir():
        if path.is_file():
            (folder / "cut" / path.name).write_bytes(path.read_bytes())
    content = (folder / "fit" / "model.npz").read_bytes()
    place = content.index(b"text/idf.npy") + 200
    (folder / "cut" / "model.npz").write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    with pytest.raises(InputError, match=r"model.npz: is not the file that was saved \(checksum\)"):
        pl.load_fit(folder / "cut")
