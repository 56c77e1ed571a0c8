"""Best of n by a learned reward: the shipped files run and draw; greed over-optimises where answers say little."""

import numpy as np
import pytest
from figure_texts import require_words_apart
from places import EXPERIMENTS
from sklearn.linear_model import LogisticRegression

from sim.errors import InputError
from sim.fitting.text_features.cache import cache_folder, cache_key, cached
from sim.streams import Stream
from sim.studies.cells import run_study
from sim.studies.experiments.best_of_n.experiment import draw_replicate, run_best_of_n
from sim.studies.experiments.best_of_n.responses import Spectrum, stored
from sim.studies.experiments.best_of_n.setting import BestOfNSetting
from sim.studies.report import StudyReport
from sim.studies.spec import load_spec

FILES = {
    "best_of_n": ["n=[1, 4, 16]", "answers=[300, 600]"],
    "best_of_n_radius": ["scale=[0.1, 1.0]", "n=8", "answers=300"],
}


@pytest.mark.parametrize("name", FILES)
def test_shipped_files_run_and_draw(name, tmp_path):
    small = ["replicates=2", "targets=10", "pool=20", *FILES[name]]
    spec = load_spec(EXPERIMENTS / "best_of_n" / f"{name}.yaml", small)
    run = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    assert np.isfinite(run.results.values()).all()
    figures = StudyReport(run, None).draw(tmp_path / "figures")
    require_words_apart(StudyReport(run, None).draw, tmp_path)
    assert figures
    assert all(path.stat().st_size > 5000 for path in figures)


def test_every_shipped_study_is_tested():
    assert {path.stem for path in (EXPERIMENTS / "best_of_n").glob("*.yaml")} == set(FILES)


def scores(replicates, **keys):
    found = {}
    for r in range(replicates):
        for row in run_best_of_n(BestOfNSetting(**keys), Stream(5, "test", r), {}):
            found.setdefault((row.method, row.metric), []).append(row.value)
    return {key: np.array(values) for key, values in found.items()}


def test_greed_picks_what_logistic_regression_on_products_picks():
    """The full-rank greedy head against scikit-learn on vec(x z') and a loop over prompts."""
    setting = BestOfNSetting(contexts=3, directions=5, rare=2, answers=300, n=7, pool=9, targets=12, ridge=1e-3)
    drawn = draw_replicate(setting, Stream(3, "test"))
    product = np.einsum("nx,np->nxp", drawn.contexts, drawn.differences).reshape(300, -1)
    sign = np.where(np.arange(300) % 2 == 0, 1.0, -1.0)
    model = LogisticRegression(C=1 / (300 * 1e-3), fit_intercept=False, tol=1e-12, max_iter=10000)
    theta = model.fit(product * sign[:, None], sign > 0).coef_[0].reshape(3, 5)
    gains, odd = [], []
    for j in range(12):
        pick = max(range(7), key=lambda a: drawn.asked[j] @ theta @ drawn.candidates[j, a])
        gains.append(drawn.asked[j] @ drawn.theta @ drawn.candidates[j, pick] - drawn.rewards[j].mean())
        odd.append(drawn.odd[j, pick])
    rows = {(row.method, row.metric): row.value for row in run_best_of_n(setting, Stream(3, "test"), {})}
    assert rows["full/greedy", "score"] == pytest.approx(np.mean(gains), abs=1e-9)
    assert rows["full/greedy", "odd"] == pytest.approx(np.mean(odd))
    assert drawn.theta[:, 3:].max() == 0.0


def test_more_candidates_hurt_greed_where_answers_say_little_and_pessimism_costs_elsewhere():
    keys = {"answers": 500, "targets": 30, "pool": 128}
    uncovered, one = (scores(6, n=n, **keys) for n in (128, 1))
    covered = scores(6, n=128, prompts="covered", **keys)
    prs, greedy = ("low/distributional", "score"), ("low/greedy", "score")
    assert (uncovered[prs] - uncovered[greedy]).mean() > 0.5
    assert (covered[prs] - covered[greedy]).mean() < -0.05
    assert covered["low/greedy", "odd"].max() == 0.0
    assert uncovered["low/greedy", "odd"].mean() > 5 * uncovered["low/distributional", "odd"].mean() / 2
    # With one candidate there is nothing to choose.
    assert np.ptp([values for (_, metric), values in one.items() if metric == "score"], axis=0).max() == 0.0
    assert uncovered["low/greedy", "promise"].mean() > 1.3 * uncovered[greedy].mean()
    assert (uncovered["low/distributional", "promise"] < uncovered[prs]).all()
    rewarding = scores(6, n=128, prompts="rewarding", **keys)
    assert (rewarding["best", "score"] >= uncovered["best", "score"] - 0.1).all()


def test_responses_are_drawn_by_the_law_they_say():
    law = Spectrum(directions=6, rare=2, odd=0.2, tau=0.1, reach=2.0, decay=1.0, tail=5.0)
    features, odd = law.draw(200_000, True, Stream(1, "law"))
    assert odd.mean() == pytest.approx(0.2, abs=0.01)
    assert features[:, :4].var(axis=0) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], rel=0.05)
    assert features[odd][:, 4:].std() == pytest.approx(2.0, rel=0.02)
    assert features[~odd][:, 4:].std() == pytest.approx(0.1, rel=0.02)
    first = features[:, 0] / features[:, 0].std()
    assert (first**4).mean() > 4.5  # t with 5 degrees of freedom: 9, slowly reached; a Gaussian's is 3
    assert not law.draw(100, False, Stream(1, "law"))[1].any()


def test_features_of_ones_own(tmp_path, monkeypatch):
    """Planted odd rows are found; a file of the features cache gives the same as a table."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, 8)) * np.array([3, 2.5, 2, 1.8, 1.5, 1.2, 0.05, 0.05])
    planted = np.zeros(400, dtype=bool)
    planted[::20] = True
    table[planted, 6:] += 2.0 * rng.normal(size=(20, 2))
    np.save(tmp_path / "features.npy", table.astype(np.float32))
    found = stored(str(tmp_path / "features.npy"), 8, 2, 0.05)
    assert (found.odd & planted).sum() >= 18
    assert np.abs(found.features[~found.odd].mean(axis=0)).max() < 1e-9
    assert found.features[:, 0].std() == pytest.approx(1.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cached({"kind": "test"}, (["a"],), lambda: {"encoded": table.astype(np.float32)})
    kept = cache_folder() / f"{cache_key({'kind': 'test'}, (['a'],))}.arrays"
    assert np.array_equal(stored(str(kept), 8, 2, 0.05).features, found.features)
    keys = {"file": str(kept), "directions": 8, "rare": 2, "answers": 400, "targets": 20, "pool": 64, "n": 64}
    own = scores(3, **keys)
    assert own["low/greedy", "score"].mean() > 0
    assert own["low/distributional", "odd"].mean() < own["low/greedy", "odd"].mean()


def test_a_file_of_features_that_changed_is_read_again(tmp_path):
    """In one process, as a worker of a pool is; the old features' numbers were kept as the new file's."""
    own = tmp_path / "own.npy"
    tables = [np.random.default_rng(s).normal(size=(60, 12)) * np.linspace(1.0, last, 12)
              for s, last in enumerate((0.3, 3.0))]  # fmt: skip
    keys = {"file": str(own), "directions": 6, "rare": 2, "rank": 2}
    found = []
    for table in (*tables, tables[0]):
        np.save(own, table)
        setting = BestOfNSetting(**keys)
        drawn = draw_replicate(setting, Stream(1, "test"))
        # Independently: variances along the leading directions, in units of the first.
        values = np.linalg.svd(table - table.mean(axis=0), compute_uv=False)[:6]
        assert stored(str(own), 6, 2, 0.0).features.std(axis=0) == pytest.approx(values / values[0])
        found.append(drawn.candidates)
    assert not np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize(("keys", "words"), [
    ({"n": 300}, "n must be at most pool"), ({"rare": 18}, "rare must be below directions"),
    ({"tail": 2.0}, "tail above 2"), ({"rank": 7}, "rank must be at most 6"), ({"tau": 0.0}, "tau must be positive"),
    ({"prompts": "some"}, "prompts must be one of covered, uncovered, rewarding"), ({"delta": 1.0}, "delta"),
])  # fmt: skip
def test_settings_refuse_nonsense(keys, words):
    with pytest.raises(ValueError, match=words):
        BestOfNSetting(**keys)


@pytest.mark.parametrize(("table", "words"), [
    (None, "cannot be read"), (np.zeros(5), "expected a table of numbers"), (np.ones((9, 30)), "at least 36 responses"),
    (np.ones((50, 30)), "vary in 0 directions"), (np.full((50, 30), np.nan), "not a finite number"),
    (np.array([["a"] * 30] * 50), "expected a table of numbers"),
])  # fmt: skip
def test_a_file_that_is_no_table_of_features_is_one_line(table, words, tmp_path):
    path = tmp_path / "own.npy"
    if table is None:
        path.write_bytes(b"not an array")
    else:
        np.save(path, table)
    with pytest.raises(InputError, match=words) as refused:
        BestOfNSetting(file=str(path))
    assert "own.npy" in str(refused.value)
    assert "\n" not in str(refused.value)
