"""`fit --method personal|shared|cluster|pooled` on simulated people, and as typed."""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pluralign.__main__ import main
from sim.files.preference_files import table_of_rows, write_pairs
from sim.fitting.method import Task
from sim.fitting.methods import find_method
from sim.fitting.prepare import prepare
from sim.fitting.report import fit
from sim.fitting.reward_model import pooled_reward
from sim.fitting.settings import FitSettings
from sim.populations.shared_representation import shared_population
from sim.streams import Stream


def _rows(people=60, answers=80, layout="diverse", n_items=400):
    """Two directions of taste in six features, every item met about once."""
    stream = Stream(3, "personal")
    theta = shared_population(people, 6, 2, stream, length=2.0, layout=layout).theta
    features = stream.child("features").normals((n_items, 6)).round(6)
    rows = []
    for i in range(people):
        a = stream.child(f"a/{i}").integers(n_items, answers)
        b = (a + 1 + stream.child(f"b/{i}").integers(n_items - 1, answers)) % n_items
        chance = 1 / (1 + np.exp(-(features[a] - features[b]) @ theta[i]))
        wins = stream.child(f"w/{i}").uniforms(answers) < chance
        for j in range(answers):
            c, r = (a[j], b[j]) if wins[j] else (b[j], a[j])
            rows.append({
                "chosen": f"item {c}", "rejected": f"item {r}", "annotator_id": f"p{i}",
                "chosen_features": features[c].tolist(), "rejected_features": features[r].tolist(),
            })  # fmt: skip
    return rows, theta


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rows, _ = _rows()
    path = tmp_path_factory.mktemp("personal") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table_of_rows(rows, path)


@pytest.fixture(scope="module")
def report(table):
    return fit(table, FitSettings("shared"))


def test_the_shared_subspace_wins_where_there_is_one(report):
    summary = report.as_json()
    assert summary["rank"] == 2
    gain = {name: row["known_users"]["log_likelihood"] for name, row in summary["against_pooled"].items()}
    assert gain["shared"] > gain["personal"] > 0.02
    assert gain["shared"] > gain["cluster"]
    assert summary["differences"]["pooled"]["known_users"]["log_likelihood_interval"][0] > 0
    assert summary["baselines"]["coin"]["known_users"]["log_likelihood"] == pytest.approx(np.log(0.5))
    new = summary["new_users"]
    assert [row["answers_shown"] for row in new] == [0, 5, 10, 20, 40]
    assert new[-1]["shared"]["gain_over_pooled_interval"][0] > 0
    assert new[-1]["shared"]["gain_over_pooled"] > new[1]["shared"]["gain_over_pooled"]
    assert len({row["shared"]["n_pairs"] for row in new}) == 1, "the same reserved answers at every number shown"


def test_sizes_are_chosen_without_test_answers(table, report):
    """Turning every test and unseen answer round changes scores and no choice, no reward."""
    from dataclasses import replace

    split = prepare(table, Stream(0, cell="fit")).table
    other = split.split != 0
    turned = replace(
        split,
        chosen=np.where(other, split.rejected, split.chosen),
        rejected=np.where(other, split.chosen, split.rejected),
    )
    straight = fit(split, FitSettings("shared"))
    reversed_ = fit(turned, FitSettings("shared"))
    assert straight.as_json()["selection"] == reversed_.as_json()["selection"]
    trained = np.unique(straight.prepared.annotator[straight.prepared.train])
    assert np.array_equal(straight.model.theta[trained], reversed_.model.theta[trained])
    known = [r.as_json()["test"]["known_users"]["accuracy"] for r in (straight, reversed_)]
    assert known[0] == pytest.approx(1 - known[1])


def test_each_method_is_what_it_says(table):
    prepared = prepare(table, Stream(0, cell="fit"))
    answers = prepared.answers(prepared.train)
    centre = pooled_reward(answers, 0.03)
    task = Task(Stream(1), centre, 10, final=True)
    models = {
        method: find_method(method).fit(answers, size, 3.0, task)
        for method, size in (("pooled", 0), ("personal", 0), ("shared", 2), ("cluster", 3))
    }
    trained = np.unique(prepared.annotator[prepared.train])
    assert np.ptp(models["pooled"].theta, axis=0).max() == 0.0
    assert np.linalg.matrix_rank(models["shared"].theta - centre, tol=1e-8) == 2
    assert len(np.unique(models["cluster"].theta[trained].round(10), axis=0)) == 3
    assert np.linalg.matrix_rank(models["personal"].theta[trained] - centre, tol=1e-8) == 6
    # adapted to her own training answers, a known annotator gets the reward the fit gave her
    for method in ("personal", "shared", "cluster"):
        again = find_method(method).adapt(models[method], answers).theta
        assert again[trained] == pytest.approx(models[method].theta[trained], abs=1e-5)


def test_as_typed(table, tmp_path, monkeypatch, capsys):
    path = tmp_path / "pairs.parquet"
    write_pairs(path, table)
    for method in ("cluster", "personal"):
        out = tmp_path / method
        types = [] if method == "personal" else ["--types", "2"]
        words = ["pluralign", "fit", str(path), "--method", method, *types, "--out", str(out), "--json"]
        monkeypatch.setattr(sys, "argv", words)
        assert main() == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["method"] == method
        assert set(answer["test"]) == {"known_users", "unseen_users"}
        assert {"n_types", "mixture", "baselines", "groups", "out"} <= set(answer)
        rewards = pq.read_table(out / "annotators.parquet").to_pydict()
        assert len(rewards["theta"][0]) == 6
        assert ("cluster" in rewards) == (method == "cluster")
        monkeypatch.setattr(sys, "argv", ["pluralign", "report", str(out)])
        assert main() == 0
        assert "new users" in capsys.readouterr().out
        assert (out / "figures" / "gains.png").stat().st_size > 10_000


@pytest.mark.parametrize(("people", "answers"), [(1, 12), (2, 2), (5, 6)])
def test_hardly_any_answers(tmp_path, people, answers):
    """Nothing to hold out, or one person: every method still fits, at the smallest size."""
    rows, _ = _rows(people=people, answers=answers)
    table = table_of_rows(rows, tmp_path / "few.jsonl")
    for method in ("personal", "shared", "cluster", "pooled"):
        summary = fit(table, FitSettings(method)).as_json()
        json.dumps(summary, allow_nan=False)
        assert summary["method"] == method
        assert summary["selection"]["chosen"]["cluster"]["size"] <= max(people, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--method", "shared", "--types", "7"], "7 dimensions and at most 6"),
     (["--method", "cluster", "--types", "90"], "90 clusters"),
     (["--method", "shared", "--priorities", "1,2"], "--priorities: only policies")],
)  # fmt: skip
def test_bad_usage(table, tmp_path, monkeypatch, capsys, words, message):
    path = tmp_path / "pairs.parquet"
    write_pairs(path, table)
    monkeypatch.setattr(sys, "argv", ["pluralign", "fit", str(path), "--out", str(tmp_path / "out"), *words])
    assert main() == 2
    out, err = capsys.readouterr()
    assert message in err
    assert not out
    assert not (tmp_path / "out").exists()


def test_heads_are_fitted_on_one_thread(table, monkeypatch):
    """Several would spin between one annotator's few answers and the next one's, ten times the work of the fit."""
    from sim.fitting import reward_model

    prepared = prepare(table, Stream(0))
    answers, threads = prepared.answers(prepared.train), []
    fit_head = reward_model.fit_head

    def watched(*arguments, **named):
        threads.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return fit_head(*arguments, **named)

    monkeypatch.setattr(reward_model, "fit_head", watched)
    with threadpool_limits(2, "blas"):
        find_method("personal").fit(answers, 0, 3.0, Task(Stream(0), np.zeros(6), 1, final=True))
    assert set(threads) == {1}
