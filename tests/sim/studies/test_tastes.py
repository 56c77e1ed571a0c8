"""The study of tastes where what must come out is known: features that carry the tastes, people of two minds."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from figure_texts import require_words_apart

from sim.errors import InputError
from sim.files.scored_questions import ScoredQuestions, write_questions
from sim.streams import Stream
from sim.studies.cells import run_study
from sim.studies.experiments.tastes.answers import asked_of
from sim.studies.experiments.tastes.experiment import run_tastes
from sim.studies.experiments.tastes.setting import TastesSetting
from sim.studies.experiments.tastes.tables import tastes_table, winners
from sim.studies.report import StudyReport
from sim.studies.results import Results
from sim.studies.spec import load_spec

SMALL = {
    "annotators": 16,
    "answers": 30,
    "new_annotators": 12,
    "shown": (0, 5, 20),
    "draws": 3,
    "largest": 2,
    "restarts": 2,
}


def _write(path, n=300, opposed=True, d=4):
    """Two tastes over features that carry them: opposite ones, or one and the same."""
    features = np.random.default_rng(0).normal(size=(n, 2, d))
    first = features[..., 0]
    scores = np.stack([first, -first if opposed else first], axis=2)
    texts = tuple((f"a{j}", f"b{j}") for j in range(n))
    write_questions(
        path, ScoredQuestions(tuple(f"p{j}" for j in range(n)), texts, ("up", "down"), scores, features, "words")
    )
    return str(path)


def _found(setting, replicate=0):
    rows = run_tastes(setting, Stream(5, "tastes", replicate), {})
    return {(row.method, row.metric): row.value for row in rows}


def _results(rows):
    names = ("method", "metric", "value", "wall_s", "status")
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    return Results(
        {"cell_id": ["c"] * len(rows), "replicate": [0] * len(rows), "seed_key": [""] * len(rows), **columns}
    )


@pytest.fixture(scope="module")
def opposed(tmp_path_factory):
    return _write(tmp_path_factory.mktemp("tastes") / "opposed.parquet")


def test_people_of_opposite_tastes_need_more_than_one_reward(opposed):
    rows = run_tastes(TastesSetting(questions=opposed, **SMALL), Stream(5, "tastes"), {})
    found = {(row.method, row.metric): row.value for row in rows}
    for where in ("answers", "prompts", "after_20"):
        assert found["pooled", f"{where}/accuracy"] < 0.6
        for method in ("cluster", "low_rank", "truth"):
            assert found[method, f"{where}/accuracy"] > 0.7, (where, method)
        gap = found["cluster", f"{where}/log_likelihood"] - found["pooled", f"{where}/log_likelihood"]
        assert found["cluster", f"{where}/over_pooled"] == pytest.approx(gap)
        assert gap > found["cluster", f"{where}/over_pooled/half"] > 0
    assert found["cluster", "after_0/accuracy"] < 0.6 < 0.7 < found["low_rank", "after_0/accuracy"], (
        "who has answered nothing is served from what is known of her alone"
    )
    assert found["cluster", "after_5/log_likelihood"] > found["cluster", "after_0/log_likelihood"]
    results = _results(rows)
    assert winners(results, "after_0") == ["low_rank"]
    assert "pooled" not in winners(results, "prompts")
    table = tastes_table(results, ())
    assert "new annotators, 5 answers" in table
    assert table.count("\n") == 2 + 5


def test_recipes_of_others_stand_beside(opposed):
    others = ("maxmin-rlhf", "pal", "pal-distance", "vpl", "vpl-encoder")
    found = _found(TastesSetting(questions=opposed, baselines=others, **SMALL))
    for method in others:
        for where in ("answers", "prompts", "after_20"):
            gap = found[method, f"{where}/log_likelihood"] - found["pooled", f"{where}/log_likelihood"]
            assert found[method, f"{where}/over_pooled"] == pytest.approx(gap)
            assert gap > found[method, f"{where}/over_pooled/half"], (method, where)
        assert found[method, "after_0/over_pooled"] < 0.1, "nothing is known of her"


def test_where_all_are_alike_one_reward_is_as_good(tmp_path):
    """The control."""
    alike = _write(tmp_path / "alike.parquet", opposed=False)
    found = _found(TastesSetting(questions=alike, context_noise=None, **SMALL))
    assert ("low_rank", "prompts/accuracy") not in found
    assert found["pooled", "prompts/accuracy"] > 0.7
    for method in ("personal", "shared", "cluster"):
        assert found[method, "prompts/over_pooled"] < found[method, "prompts/over_pooled/half"] + 0.01


def test_what_is_held_out_is_held_out(opposed):
    setting = TastesSetting(questions=opposed, **SMALL)
    asked = asked_of(setting, Stream(5, "tastes"))
    prepared, table = asked.prepared, asked.prepared.table
    train, prompts = prepared.train, set(table.prompt[prepared.train].tolist())
    sets = [train, asked.held["answers"], asked.held["prompts"], asked.pool, asked.reserved]
    assert (np.sum(sets, axis=0) == 1).all(), "each answer is in one place"
    assert not prompts & set(table.prompt[asked.held["prompts"] | asked.reserved].tolist())
    assert not set(prepared.annotator[train].tolist()) & set(prepared.annotator[asked.pool | asked.reserved].tolist())
    pairs = list(zip(prepared.annotator.tolist(), table.prompt.tolist(), strict=True))
    assert len(pairs) == len(set(pairs)), "nobody is asked twice"
    n = len(prepared.trained)
    assert [int(own.sum()) for own in sets] == [n * 30, n * 20, n * 20, 12 * 40, 12 * 20]
    changed = asked_of(dataclasses.replace(setting, answers=20), Stream(5, "tastes"))
    assert (changed.truth[changed.reserved] == asked.truth[asked.reserved]).mean() > 0.99


def test_answers_are_bradley_terry(opposed):
    """Mean log-probability and share of the likelier response, against their expectations under the margins."""
    setting = TastesSetting(questions=opposed, **{**SMALL, "annotators": 150, "sharpness": 2.0})
    asked = asked_of(setting, Stream(6, "tastes"))
    p = np.exp(asked.truth)
    assert np.mean(p) == pytest.approx(np.mean(p**2 + (1 - p) ** 2), abs=0.01)
    assert np.mean(p > 0.5) == pytest.approx(np.mean(np.maximum(p, 1 - p)), abs=0.015)


def _answers(path, people=6, per_person=40, features=True):
    """Real answers: everybody likes many of the word good; the first people answer more."""
    rng, rows = np.random.default_rng(1), []
    for i in range(people):
        for j in range(per_person - 4 * i):
            words = [
                f"{'good ' * k}{'dull ' * (3 - k)}film {rng.integers(50)}"
                for k in (int(k) for k in rng.choice(4, 2, False))
            ]
            better = max(words, key=lambda text: text.count("good"))
            row = {
                "prompt": f"p{j}",
                "annotator_id": f"w{i}",
                "chosen": better,
                "rejected": min(words, key=lambda text: text.count("good")),
            }
            if features:
                row |= {
                    f"{side}_features": [float(row[side].count("good")), float(len(row[side]))]
                    for side in ("chosen", "rejected")
                }
            rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("features", [True, False])
def test_real_answers(features, tmp_path):
    file = _answers(tmp_path / "real.jsonl", features=features)
    keys = {
        "annotators": 3,
        "new_annotators": 2,
        "answers": 20,
        "test_answers": 8,
        "shown": (0, 5),
        "draws": 2,
        "largest": 2,
    }
    asked = asked_of(TastesSetting(answers_file=file, **keys), Stream(1, "tastes"))
    assert asked.truth is None
    names = asked.prepared.table.annotators
    assert {names[i] for i in asked.prepared.trained} == {"w0", "w1", "w2"}, "those with the most answers"
    assert {names[i] for i in asked.prepared.annotator[asked.pool]} == {"w3", "w4"}
    counts = np.bincount(asked.prepared.annotator[asked.prepared.train])
    assert counts.max() <= 20
    found = _found(TastesSetting(answers_file=file, **keys))
    assert found["pooled", "prompts/accuracy"] > 0.9
    assert {method for method, _ in found} == {"pooled", "personal", "shared", "cluster"}
    with pytest.raises(InputError, match=r"real.jsonl, field 'annotators': 6 annotators have 6 answers or more, and 9"):
        asked_of(TastesSetting(answers_file=file, annotators=9), Stream(1, "tastes"))


def test_a_study_file(opposed, tmp_path):
    """From the file to table and figures; finished pieces are found again, and not those of other questions."""
    study = tmp_path / "mine.yaml"
    settings = {**SMALL, "shown": [0, 5], "draws": 1, "largest": 1, "restarts": 1, "context_noise": None}
    (tmp_path / "q.parquet").write_bytes(Path(opposed).read_bytes())
    study.write_text(json.dumps({
        "experiment": "tastes", "title": "Mine", "replicates": 1, "settings": settings,
        "grid": {"questions": [str(tmp_path / "q.parquet")], "people": ["single", "mixed"]},
    }))  # fmt: skip
    spec = load_spec(study)
    run = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    assert (run.failed, run.resumed) == ((), 0)
    report = StudyReport(run, None)
    drawn = report.draw(tmp_path)
    require_words_apart(report.draw, tmp_path)
    assert {path.name for path in drawn} >= {"tastes.png", "few_shot.png"}
    assert "q" in report.overview
    assert "mixed" in report.overview
    assert run_study(spec, {}, cells=tmp_path / "cells", engine="local").resumed == 2
    _write(tmp_path / "q.parquet", opposed=False)
    assert run_study(spec, {}, cells=tmp_path / "cells", engine="local").resumed == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "questions: missing; name a file"),
        ({"questions": "none.parquet"}, "none.parquet: no such file; make it: pluralign llm make-tastes"),
        ({"questions": "a", "answers_file": "b"}, "answers_file must not be given beside questions"),
        ({"questions": "a", "shown": [5, 0]}, "shown must be numbers from 0 on"),
        ({"questions": "a", "sharpness": 0.0}, "sharpness must be positive"),
        ({"questions": "a", "context_noise": -1.0}, "context_noise must not be negative"),
        ({"questions": "a", "new_prompts": 1.5}, "new_prompts"),
        ({"questions": "a", "baselines": ["pal", "pal"]}, "baselines must be given once each"),
        ({"questions": "a", "baselines": ["dpo"]}, "baselines"),
    ],
)
def test_bad_settings(settings, words, tmp_path):
    (tmp_path / "s.yaml").write_text(json.dumps({"experiment": "tastes", "replicates": 1, "settings": settings}))
    with pytest.raises(InputError, match=words):
        run_study(load_spec(tmp_path / "s.yaml"), {}, cells=tmp_path / "cells", engine="local")


def test_too_few_questions(opposed):
    with pytest.raises(
        InputError, match=r"opposed.parquet: 320 answers of one annotator to known prompts, and there are 240"
    ):
        asked_of(TastesSetting(questions=opposed, answers=300), Stream(1, "tastes"))
