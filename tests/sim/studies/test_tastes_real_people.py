"""The study of tastes on real answers: seeds are no more people, answers count by their weights, people by what they
have shown."""

import json

import numpy as np
import pytest
from scipy import stats

from pluralign.page.studies import _measures
from sim.streams import Stream
from sim.studies.experiment import Measurement
from sim.studies.experiments.tastes.experiment import run_tastes
from sim.studies.experiments.tastes.setting import TastesSetting
from sim.studies.experiments.tastes.tables import mean_and_half, tastes_table, winners
from sim.studies.results import Results
from sim.studies.target import Errors

KEYS = {"annotators": 4, "answers": 60, "test_answers": 20, "new_annotators": 1, "largest": 1, "restarts": 1}


def _results(seeds):
    """seeds: a list of measurements each."""
    rows = [(seed, row) for seed, found in enumerate(seeds) for row in found]
    names = ("method", "metric", "value", "wall_s", "status")
    columns = {name: [getattr(row, name) for _, row in rows] for name in names}
    n = len(rows)
    return Results({"cell_id": ["c"] * n, "replicate": [seed for seed, _ in rows], "seed_key": [""] * n, **columns})


def _write(path, counts, weights=False, seed=0):
    """People who weigh two features by tastes of their own, counts[i] answers each; weights: of every answer there is
    also the opposite, which counts for next to nothing."""
    rng, rows = np.random.default_rng(seed), []
    tastes = 2.0 * rng.normal(size=(len(counts), 2))
    for i, count in enumerate(counts):
        for j in range(count):
            a, b = rng.normal(size=(2, 2))
            wins = rng.random() < 1 / (1 + np.exp(-(a - b) @ tastes[i]))
            for low in (False, True) if weights else (False,):
                first, second = (a, b) if wins != low else (b, a)
                row = {
                    "prompt": f"p{i}-{j}{low}", "annotator_id": f"w{i}", "chosen": f"{i}-{j}-{wins != low}",
                    "rejected": f"{i}-{j}-{wins == low}", "chosen_features": first.tolist(),
                    "rejected_features": second.tolist(),
                }  # fmt: skip
                rows.append(row | ({"weight": 1e-6 if low else 1.0} if weights else {}))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _by_hand(values):
    """values: (seeds, people), all of one weight."""
    for own in values:
        rows = [Measurement("pooled", "answers/accuracy", own.mean()),
                Measurement("pooled", "answers/accuracy/half", 0.1)]  # fmt: skip
        for i, value in enumerate(own):
            rows += [Measurement("pooled", f"answers/share/of/{i}", 1 / len(own)),
                     Measurement("pooled", f"answers/accuracy/of/{i}", value)]  # fmt: skip
        yield rows


def test_seeds_of_the_same_people_are_no_more_people():
    """Student's of each person's mean over seeds; limits by seed, taken for independent ones, held .63 of the time."""
    rng, held = np.random.default_rng(0), 0
    for number in range(150):
        values = rng.binomial(100, rng.beta(7, 3, 5), size=(3, 5)) / 100
        mean, half = mean_and_half(_results(_by_hand(values)), "pooled", "answers/accuracy")
        held += abs(mean - 0.7) <= half
        if not number:
            low, high = stats.ttest_1samp(values.mean(axis=0), 0.0).confidence_interval(0.95)
            assert (mean - half, mean + half) == pytest.approx((low, high))
    assert held >= 0.9 * 150


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    file = _write(tmp_path_factory.mktemp("real") / "a.jsonl", (100, 96, 92, 40))
    return [run_tastes(TastesSetting(answers_file=file, **KEYS), Stream(5, "tastes", r), {}) for r in range(2)]


def test_people_make_up_the_means(seeds):
    for found in seeds:
        value = {(row.method, row.metric): row.value for row in found}
        for metric in ("accuracy", "log_likelihood", "over_pooled"):
            own = {name.rpartition("/")[2]: v for (m, name), v in value.items()
                   if m == "personal" and name.startswith(f"prompts/{metric}/of/")}  # fmt: skip
            share = {i: value["personal", f"prompts/share/of/{i}"] for i in own}
            assert len(own) == value["personal", "prompts/people"] == 4
            assert sum(share.values()) == pytest.approx(1.0)
            assert sum(share[i] * own[i] for i in own) == pytest.approx(value["personal", f"prompts/{metric}"])


def test_parts_are_kept_and_shown_nowhere_else(seeds):
    results, errors = _results(seeds), Errors()
    for found in seeds:
        errors.add(found)
    shown = {measure.metric for measure in _measures(results, ())}
    assert shown == {metric for _, metric in errors.moments}
    assert shown == {name for name in results["metric"] if "/of/" not in name}
    assert "prompts/accuracy" in shown
    assert any("/of/" in name for name in results["metric"])


def test_one_interval_over_people_in_the_table_and_for_who_wins(seeds):
    results = _results(seeds)
    one, two = (mean_and_half(_results([found]), "personal", "prompts/accuracy")[1] for found in seeds)
    assert mean_and_half(results, "personal", "prompts/accuracy")[1] > np.sqrt(one**2 + two**2) / 2
    mean, half = mean_and_half(results, winners(results, "prompts")[0], "prompts/over_pooled")
    assert ("pooled" in winners(results, "prompts")) == (not mean > half)


def test_answers_count_by_their_weights(tmp_path):
    """Opposite answers of a millionth, of which there are as many: counted alike they would leave a coin."""
    file = _write(tmp_path / "w.jsonl", (100, 96, 92, 88), weights=True)
    found = run_tastes(TastesSetting(answers_file=file, **KEYS), Stream(5, "tastes"), {})
    value = {(row.method, row.metric): row.value for row in found}
    assert value["personal", "prompts/accuracy"] > 0.7
    assert value["personal", "prompts/over_pooled"] > 0.05


def test_new_annotators_have_shown_what_is_said(tmp_path):
    file = _write(tmp_path / "new.jsonl", (100, 96, 92, 88, 80, 12))
    keys = {**KEYS, "new_annotators": 2, "shown": (0, 5, 20, 500), "draws": 2}
    found = run_tastes(TastesSetting(answers_file=file, **keys), Stream(5, "tastes"), {})
    value = {(row.method, row.metric): row.value for row in found}
    people = {name.partition("/")[0]: v for (m, name), v in value.items() if m == "pooled" and name.endswith("/people")}
    assert people == {"answers": 4, "prompts": 4, "after_0": 2, "after_5": 2, "after_20": 1}, "nobody shows 500"
    table = tastes_table(_results([found]), ())
    assert "new annotators, 20 answers (1 of 2 people)" in table
    assert "nan" not in table
    assert value["pooled", "after_20/accuracy/half"] is None
