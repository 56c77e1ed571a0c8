"""Each call of the API: the numbers of the command's --json, of a formula or another solver, and what is shown."""

import html
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from looks import looks
from scipy.optimize import linprog, minimize
from typed_commands import typed, typed_json

import pluralign as pl
from pluralign.skeletons.environment import ShortOrWarm

ROOT = Path(__file__).resolve().parents[2]
TABLE = pd.DataFrame(
    [[1.0, 0.0, 0.7, 0.2], [0.0, 1.0, 0.6, 0.2], [3.0, 2.0, 1.0, 5.0]], index=["ann", "bob", "cy"], columns=list("ABCD")
)


@pytest.fixture
def csv(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv(tmp_path / "table.csv")
    return tmp_path / "table.csv"


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 2.0, -np.inf])
def test_aggregate(csv, monkeypatch, capsys, alpha):
    found = pl.aggregate(TABLE, alpha)
    assert found.as_dict() == typed_json(monkeypatch, capsys, "aggregate", csv, "--alpha", alpha)
    values = TABLE.to_numpy()
    direct = {0.0: values.mean(axis=0), -np.inf: values.min(axis=0)}.get(alpha)
    if direct is None:
        direct = np.log(np.exp(alpha * values).mean(axis=0)) / alpha
    assert found.values == pytest.approx(direct)
    assert found.choice == "ABCD"[int(np.argmax(direct))]
    looks(found, csv.parent)


def test_pool(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    opinions = pd.DataFrame([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], index=["ann", "bob"], columns=list("xyz"))
    opinions.to_csv("opinions.csv")
    found = pl.pool(opinions, 0.5, mechanism=True, seed=3)
    words = ("pool", "opinions.csv", "--alpha", 0.5, "--mechanism", "--seed", 3)
    assert found.as_dict() == typed_json(monkeypatch, capsys, *words)
    power = (opinions.to_numpy() ** 0.5).sum(axis=0) ** 2
    assert list(found.consensus["all"].values()) == pytest.approx(power / power.sum())
    assert max(found.mechanism["best_misreport_gain"].values()) < 1e-7
    looks(found, tmp_path)
    free = pl.pool("opinions.csv", 1.0, mechanism=True, charged=False)
    assert max(free.mechanism["best_misreport_gain"].values()) > 0.01
    assert set(free.costs.values()) == {0.0}


def test_pool_refuses_in_arguments():
    with pytest.raises(pl.InputError, match=r"^mechanism: no distance .* give a finite alpha, or distance_alpha"):
        pl.pool([[0.5, 0.5]], np.inf, mechanism=True)
    with pytest.raises(pl.InputError, match="distance_alpha: expected a finite number"):
        pl.pool([[0.5, 0.5]], 1.0, mechanism=True, distance_alpha=np.inf)
    with pytest.raises(pl.InputError, match="belong to mechanism=True"):
        pl.pool([[0.5, 0.5]], 1.0, charged=False)
    with pytest.raises(pl.InputError, match=r"^list: prompt 'all': no candidate is left"):
        pl.pool([[1.0, 0.0], [0.0, 1.0]], 0.0)


@pytest.mark.parametrize("lottery", [False, True])
def test_welfare(csv, monkeypatch, capsys, lottery):
    found = pl.welfare(TABLE, "nash", lottery=lottery, zero="worst")
    words = ["welfare", csv, "--rule", "nash", "--zero", "worst", *(["--lottery"] if lottery else [])]
    assert found.as_dict() == typed_json(monkeypatch, capsys, *words)
    gains = (TABLE - TABLE.min(axis=1).to_numpy()[:, None]).to_numpy()
    if not lottery:
        assert found.choice == "ABCD"[int(gains.prod(axis=0).argmax())]
        assert found.utilities == pytest.approx(TABLE[found.choice].to_numpy())
    else:
        assert found.choice is None

        def loss(z):
            p = np.exp(z - z.max())
            return -np.log(gains @ (p / p.sum())).sum()

        best = minimize(loss, np.zeros(4), method="BFGS")
        assert np.log(gains @ found.lottery).sum() == pytest.approx(-best.fun, abs=1e-6)
    looks(found, csv.parent)


def test_welfare_refuses_in_arguments():
    with pytest.raises(pl.InputError, match=r"DataFrame, row 1, field 'b': nash needs .*zero='worst'"):
        pl.welfare(pd.DataFrame({"a": [1.0], "b": [-1.0]}))
    with pytest.raises(pl.InputError, match="rule: unknown rule 'nsh'"):
        pl.welfare([[1.0, 2.0]], "nsh")


def test_minmax(csv, monkeypatch, capsys):
    found = pl.minmax(TABLE, priorities=[1, 2, 0.5], rounds=2000)
    words = ("minmax", "--regret", csv, "--priorities", "1,2,0.5", "--rounds", 2000)
    assert found.as_dict() == typed_json(monkeypatch, capsys, *words)
    game = TABLE.to_numpy() * np.array([[1.0], [2.0], [0.5]])
    exact = linprog([0] * 4 + [1], A_ub=np.c_[game, -np.ones(3)], b_ub=np.zeros(3), A_eq=[[1] * 4 + [0]], b_eq=[1],
                    bounds=[(0, None)] * 4 + [(None, None)]).fun  # fmt: skip
    assert found.lp_value == pytest.approx(exact)
    assert -1e-12 <= found.value - exact <= found.gap + 1e-12
    assert found.regret_per_group == pytest.approx(TABLE.to_numpy() @ found.weights)
    looks(found, csv.parent)
    with pytest.raises(ValueError, match="priorities must be 3 numbers"):
        pl.minmax(TABLE, priorities=[1, 2])


def test_hedge(tmp_path):
    """The game whose only equilibrium is (2/5, 3/5)."""
    found = pl.hedge([[2.0, -1.0], [-1.0, 1.0]], rounds=5000)
    assert found.weights == pytest.approx([0.4, 0.6], abs=1e-3)
    assert found.adversary == pytest.approx([0.4, 0.6], abs=1e-3)
    assert found.value == pytest.approx(0.2, abs=1e-3)
    assert found.lp_value == pytest.approx(0.2)
    # Algorithm 2, written out.
    R, h = np.array([[2.0, -1.0], [-1.0, 1.0]]), 1 / 3
    w, p = np.full(2, 0.5), np.full(2, 0.5)
    lw, lp, sw = np.log(w), np.log(p), np.zeros(2)
    before = R.T @ p, R @ w
    for _ in range(5000):
        now = R.T @ p, R @ w
        lw, lp, before = lw - h * (2 * now[0] - before[0]), lp + h * (2 * now[1] - before[1]), now
        w, p = np.exp(lw - np.logaddexp(*lw)), np.exp(lp - np.logaddexp(*lp))
        sw += w
    assert found.weights == pytest.approx(sw / 5000, abs=1e-10)
    assert pl.hedge(R, rounds=5000, optimistic=False).gap > 3 * found.gap
    looks(found, tmp_path)


def test_von_neumann(tmp_path):
    rock = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
    found = pl.von_neumann(pd.DataFrame(rock, columns=["rock", "scissors", "paper"]))
    assert found.names == ("rock", "scissors", "paper")
    assert found.policy == pytest.approx(np.full((1, 3), 1 / 3))
    assert (found.policy[0] @ rock).min() == pytest.approx(found.value[0], abs=1e-12)
    looks(found, tmp_path)
    several = pl.von_neumann(np.stack([rock, [[0, 1, 1], [-1, 0, 1], [-1, -1, 0]]]))
    assert several.policy[1] == pytest.approx([1.0, 0.0, 0.0])
    looks(several, tmp_path)
    wins = np.zeros((1, 2, 2))
    wins[0, 0, 1], wins[0, 1, 0] = 90, 10
    assert pl.von_neumann(wins=wins, stance="plain").value[0] == pytest.approx(0.0)
    assert pl.von_neumann(wins=wins, stance="plain").policy[0] == pytest.approx([1.0, 0.0])
    with pytest.raises(pl.InputError, match="preferences or wins must be given"):
        pl.von_neumann()
    for wrong, words in (
        ([[0, 2], [-2, 0]], "between -1 and 1, got 2 and -2"), ([[0, 0.5], [0.5, 0]], "minus what it is"),
        ([[0.1, 0], [0, 0]], "minus what it is"), ([[[0, 0], [0, 0]], [[0, 1], [1, 0]]], "in state 2 must be minus"),
    ):  # fmt: skip
        with pytest.raises(pl.InputError, match=words):
            pl.von_neumann(np.array(wrong, dtype=float))


def test_axioms(tmp_path, monkeypatch, capsys):
    found = pl.axioms(trials=60, n_annotators=3, seed=2)
    assert found.as_dict() == typed_json(
        monkeypatch, capsys, "axioms", "--trials", 60, "--annotators", 3, "--seed", 2
    )  # fmt: skip
    assert found.satisfied["Agg[-1]"]["pigou-dalton"] == 1.0
    looks(found, tmp_path)

    def greedy(rewards):
        return rewards.max(axis=1)

    own = pl.axioms(greedy, -1.0, "median", trials=60)
    assert list(own.satisfied) == ["greedy", "Agg[-1]", "median"]
    assert own.satisfied["greedy"]["monotonicity"] < 0.9
    witness = own.witnesses["greedy"]["monotonicity"]
    assert max(witness["better"]) <= max(witness["worse"])
    with pytest.raises(pl.InputError, match="must return one number a row"):
        pl.axioms(lambda rewards: rewards, trials=20)


@pytest.fixture(scope="module")
def pairs():
    return pl.simulate("opposed_tastes", n_annotators=60, answers=24, strength=2.0, seed=3)


def test_simulate(pairs):
    again = pl.simulate("opposed_tastes", n_annotators=60, answers=24, strength=2.0, seed=3)
    assert np.array_equal(again.chosen, pairs.chosen)
    assert set(pairs.group) == {"type 1", "type 2"}
    assert pairs.n_annotators == 60
    assert not np.array_equal(pl.simulate(n_annotators=60, answers=24, seed=4).chosen, pairs.chosen)
    # Bradley-Terry on the types' own rewards: 2 (+-y_1 + y_3 / 2).
    sign = np.where(np.array(pairs.group) == "type 1", 1.0, -1.0)[pairs.annotator]
    reward = lambda item: 2.0 * (sign * pairs.features[item, 0] + 0.5 * pairs.features[item, 2])  # noqa: E731
    margin = reward(pairs.chosen) - reward(pairs.rejected)
    # E[margin-sign] by its own law: P(|m| chosen) = sigma(|m|).
    chance = 1 / (1 + np.exp(-np.abs(margin)))
    error = np.sqrt((chance * (1 - chance)).sum())
    assert abs((margin > 0).sum() - chance.sum()) < 4 * error
    skewed = pl.simulate(n_annotators=300, answers=2, mixture=[0.9, 0.1], seed=1)
    assert 0.8 < np.mean([own == "type 1" for own in skewed.group]) < 0.97


@pytest.mark.parametrize("name", ["majority_bandit", "compromise_arm", "maxmin_example", "low_rank", "two_attributes"])
def test_simulated_worlds(name):
    found = pl.simulate(name, n_annotators=12, answers=6, seed=1)
    assert len(found) == 72
    assert len(found.group) == 12
    assert (found.annotator_features is not None) == (name in ("low_rank", "two_attributes"))
    # What a file of it would hold is read as the same.
    if found.annotator_features is not None:
        assert found.annotator_features.shape[0] == 12


def test_simulate_refuses_in_arguments():
    with pytest.raises(pl.InputError, match="environment: there is none called 'bandit'"):
        pl.simulate("bandit")
    with pytest.raises(ValueError, match="mixture must be"):
        pl.simulate(mixture=[0.5, 0.2, 0.3])
    with pytest.raises(ValueError, match="n_annotators must be a whole number"):
        pl.simulate(n_annotators=0)
    with pytest.raises(pl.InputError, match="n_typs"):
        pl.simulate("low_rank", n_typs=3)


def test_a_world_whose_responses_are_all_alike_has_no_answers():
    class Constant(ShortOrWarm):
        def features_of(self, contexts, responses):
            return np.ones((*responses.shape[:2], 2))

    with pytest.raises(
        pl.InputError, match="environment: each of the 12 answers is to two responses of equal features"
    ):
        pl.simulate(Constant(), n_annotators=3, answers=4)


def _differences(pairs):
    return pairs.features[pairs.chosen] - pairs.features[pairs.rejected]


def test_bradley_terry(pairs, tmp_path):
    found = pl.bradley_terry(pairs, ridge=0.5)
    d = _differences(pairs)
    direct = minimize(lambda t: np.logaddexp(0, -d @ t).sum() + 0.25 * t @ t, np.zeros(d.shape[1]), method="BFGS")
    assert found.theta[0] == pytest.approx(direct.x, abs=1e-4)
    assert found.score_items(pairs.features[:3])[0] == pytest.approx(pairs.features[:3] @ found.theta[0])
    looks(found, tmp_path)
    plain = pl.bradley_terry([{"chosen": "a", "rejected": "b", "annotator_id": "x"}], ridge=1.0)
    assert plain.features == ("a", "b")
    assert plain.theta[0, 0] > 0 > plain.theta[0, 1]


def test_em_dpo(pairs, tmp_path):
    found = pl.em_dpo(pairs, 2, ridge=0.01, restarts=3, seed=1)
    d, person = _differences(pairs), pairs.annotator
    S = np.stack([np.bincount(person, -np.logaddexp(0, -d @ theta)) for theta in found.theta], axis=1)
    joint = S + np.log(found.mixture)
    total = np.logaddexp.reduce(joint, axis=1)
    assert found.log_likelihood == pytest.approx(total.sum(), abs=1e-4)
    assert found.responsibilities == pytest.approx(np.exp(joint - total[:, None]), abs=1e-4)
    assert found.mixture == pytest.approx(found.responsibilities.mean(axis=0), abs=1e-4)
    assert found.mixture[0] >= found.mixture[1]
    # Each theta is the maximum of its own weighted, penalised likelihood.
    for k, theta in enumerate(found.theta):
        w = found.responsibilities[person, k]
        slope = d.T @ (w / (1 + np.exp(d @ theta))) - 0.01 * w.sum() * theta
        assert np.abs(slope).max() < 0.02 * w.sum() ** 0.5
    # The types are those that answered.
    truth = np.array(pairs.group) == "type 1"
    agree = (found.responsibilities[:, 0] > 0.5) == truth
    assert max(agree.mean(), 1 - agree.mean()) > 0.9
    assert np.array_equal(pl.em_dpo(pairs, 2, ridge=0.01, restarts=3, seed=1).theta, found.theta)
    looks(found, tmp_path)
    hard = pl.em_dpo(pairs, 2, assignment="hard", restarts=3).responsibilities
    assert set(np.unique(hard)) <= {0.0, 1.0}
    with pytest.raises(ValueError, match="assignment must be one of soft, hard"):
        pl.em_dpo(pairs, 2, assignment="firm")
    with pytest.raises(ValueError, match=r"n_types must be a whole number, 1\.\.60"):
        pl.em_dpo(pairs, 61)


def test_weights_of_answers_count(pairs):
    from dataclasses import replace

    twice = replace(pairs, weights=np.where(np.arange(len(pairs)) < 300, 2.0, 1.0))
    doubled = np.concatenate([np.arange(len(pairs)), np.arange(300)])
    copied = replace(pairs, chosen=pairs.chosen[doubled], rejected=pairs.rejected[doubled],
                     annotator=pairs.annotator[doubled], prompt=pairs.prompt[doubled])  # fmt: skip
    assert pl.bradley_terry(twice).theta == pytest.approx(pl.bradley_terry(copied).theta, abs=1e-6)
    assert pl.em_dpo(twice, 2, restarts=1).log_likelihood == pytest.approx(
        pl.em_dpo(copied, 2, restarts=1).log_likelihood, rel=1e-6
    )


def test_cluster_dpo(pairs, tmp_path):
    found = pl.cluster_dpo(pairs, 2, ridge=0.01)
    assert set(np.unique(found.responsibilities)) == {0.0, 1.0}
    assert found.mixture == pytest.approx(found.responsibilities.mean(axis=0))
    d = _differences(pairs)
    for k, theta in enumerate(found.theta):
        own = d[found.responsibilities[pairs.annotator, k] == 1]
        penalty = 0.005 * len(own)
        direct = minimize(lambda t, x=own, c=penalty: np.logaddexp(0, -x @ t).sum() + c * t @ t, np.zeros(d.shape[1]))
        assert theta == pytest.approx(direct.x, abs=1e-3)
    looks(found, tmp_path)


def test_cluster_dpo_counts_an_answer_by_its_weight():
    """Nine to one for A, and nine to one for B: a log odds of log 9 over the difference of two strengths, shrunk."""
    rows, repeated = [], []
    for person in range(8):
        for chosen, rejected, weight in (("A", "B", 1 + 8 * (person < 4)), ("B", "A", 9 - 8 * (person < 4))):
            row = {"chosen": chosen, "rejected": rejected, "annotator_id": f"p{person}"}
            rows.append({**row, "weight": float(weight)})
            repeated += [row] * weight
    found, other = pl.cluster_dpo(rows, 2), pl.cluster_dpo(repeated, 2)
    assert np.array_equal(found.responsibilities, other.responsibilities)
    assert found.theta == pytest.approx(other.theta, abs=1e-6)
    assert np.abs(found.theta[:, 0] - found.theta[:, 1]) == pytest.approx([np.log(9)] * 2, abs=0.02)


def test_shared_and_low_rank_rewards(pairs, tmp_path):
    shared = pl.shared_rewards(pairs, 2, ridge=0.1)
    assert shared.theta.shape == (60, 4)
    assert np.linalg.matrix_rank(shared.theta, tol=1e-8) == 2
    looks(shared, tmp_path)
    known = pl.simulate("low_rank", n_annotators=80, answers=20, rank=1, seed=5)
    low = pl.low_rank_rewards(known, 1, ridge=0.001)
    assert np.linalg.matrix_rank(low.theta, tol=1e-8) == 1
    x, z = known.annotator_features[known.annotator], _differences(known)

    def loss(theta):
        return np.logaddexp(0, -((x @ theta) * z).sum(axis=1)).mean() + 0.0005 * (theta**2).sum()

    u, s, v = np.linalg.svd(low.theta)
    for step in (1e-2, -1e-2):
        for other in (np.outer(u[:, 0] + step * u[:, 1], s[0] * v[0]), np.outer(u[:, 0] * s[0], v[0] + step * v[1])):
            assert loss(other) > loss(low.theta)
    looks(low, tmp_path)
    with pytest.raises(pl.InputError, match="field 'annotator_features': the annotators have no features"):
        pl.low_rank_rewards(pairs, 1)


def test_regret_matrix_and_minmax_dpo(pairs, tmp_path):
    types = pl.em_dpo(pairs, 2, restarts=2)
    reward = pairs.features @ types.theta.T
    policy = np.exp(reward - np.logaddexp.reduce(reward, axis=0))
    h = np.log(policy * len(pairs.items))
    L = h.T @ policy
    direct = np.diag(L)[:, None] - L
    found = pl.regret_matrix(types)
    assert found.values == pytest.approx(np.concatenate([np.zeros((1, 2)), direct]))
    assert pl.regret_matrix(policy.T).values == pytest.approx(found.values)
    doubled = pl.regret_matrix(policy.T, beta=2.0, priorities=[1.0, 3.0]).values
    assert doubled[1:] == pytest.approx(2.0 * np.array([[1.0], [3.0]]) * direct)
    sampled = pl.regret_matrix(types, np.zeros(4000, dtype=int), samples=1, seed=2)
    assert sampled.values == pytest.approx(found.values, abs=0.2)
    looks(found, tmp_path)
    ensemble = pl.minmax_dpo(types, rounds=4000)
    # Two types: the weights level their regrets.
    one, other = direct[0, 1], direct[1, 0]
    assert ensemble.weights == pytest.approx([one / (one + other), other / (one + other)], abs=1e-3)
    assert ensemble.value == pytest.approx(one * other / (one + other), abs=1e-3)
    assert ensemble.gap < 0.01
    looks(ensemble, tmp_path)
    with pytest.raises(ValueError, match="policies and reference must be positive"):
        pl.regret_matrix([[1.0, 0.0], [0.5, 0.5]])
    with pytest.raises(ValueError, match="contexts must be given"):
        pl.minmax_dpo(types.policies())


@pytest.fixture(scope="module")
def fitted(pairs):
    return pl.fit(pairs, n_types=2, restarts=2, seed=5)


def test_fit_is_the_command(pairs, fitted, tmp_path, monkeypatch, capsys):
    pl.write_pairs(tmp_path / "pairs.parquet", pairs)
    words = ("fit", tmp_path / "pairs.parquet", "--types", 2, "--restarts", 2, "--seed", 5, "--out", tmp_path / "fit")
    printed = typed_json(monkeypatch, capsys, *words)
    ours = json.loads(json.dumps(fitted.as_dict()))
    assert printed.pop("seconds") >= 0
    assert printed.pop("out") == str(tmp_path / "fit")
    assert (ours.pop("out"), ours.pop("seconds") >= 0) == (None, True)
    assert list(printed) == list(ours)
    for key, value in printed.items():
        assert ours[key] == value, key


def test_a_fresh_fit_is_used_as_a_saved_one(pairs, fitted, tmp_path):
    fitted.save(tmp_path / "fit")
    assert fitted.folder == tmp_path / "fit"
    read = pl.load_fit(tmp_path / "fit")
    first, second = pairs.features[pairs.chosen[:50]], pairs.features[pairs.rejected[:50]]
    who = [pairs.annotators[i] for i in pairs.annotator[:50]]
    for annotator in (who, None):
        options = {"unknown": "stranger"}
        assert np.array_equal(
            fitted.predict_proba(first, second, annotator, **options),
            read.predict_proba(first, second, annotator, **options),
        )
        assert np.array_equal(
            fitted.score_items(first, annotator, **options), read.score_items(first, annotator, **options)
        )
    assert fitted.annotators == read.annotators
    assert np.array_equal(fitted.mixture, read.mixture)
    assert np.array_equal(fitted.table["group_1"], read.table["group_1"])
    saved = json.loads((tmp_path / "fit" / "fit.json").read_text())
    saved.pop("model_checksum")
    assert json.loads(json.dumps({**read.as_dict(), "seed": None, "out": None})) == {**saved, "seed": None, "out": None}
    assert read.warnings == fitted.warnings
    with pytest.raises(pl.InputError, match="only a fresh fit can be saved"):
        read.save(tmp_path / "other")
    for result in (fitted, read):
        for figure in ("scores", "gains", "groups", "regret"):
            looks(result, tmp_path, figure=figure)
    with pytest.raises(pl.InputError, match="figure: there is none called 'pie'"):
        fitted.plot("pie")
    with pytest.raises(pl.InputError, match="nothing to show in 'serving'"):
        fitted.plot("serving")


def test_predict_is_the_command(pairs, fitted, tmp_path, monkeypatch, capsys):
    fitted.save(tmp_path / "fit")
    pl.write_pairs(tmp_path / "pairs.parquet", pairs)
    printed = typed_json(monkeypatch, capsys, "predict", tmp_path / "fit", tmp_path / "pairs.parquet")
    found = fitted.predict(pairs)
    assert found.as_dict() == printed
    assert pl.load_fit(tmp_path / "fit").predict(tmp_path / "pairs.parquet").as_dict() == printed
    looks(found, tmp_path)
    named = [dict(zip(pairs.feature_names, row, strict=True)) for row in pairs.features[:25].tolist()]
    items = [{"item": f"new {i}", "features": own} for i, own in enumerate(named)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in items))
    words = ("predict", tmp_path / "fit", tmp_path / "items.jsonl", "--annotator")
    known = next(name for name in pairs.annotators if not pl_raises(fitted, name))
    printed = typed_json(monkeypatch, capsys, *words, known)
    scored = fitted.predict(pd.DataFrame(items), [known])
    assert scored.as_dict() == printed
    assert scored.value == pytest.approx(fitted.score_items(pairs.features[:25], known))
    looks(scored, tmp_path)
    scored.save(tmp_path / "scores.parquet")
    assert len(pd.read_parquet(tmp_path / "scores.parquet")) == 25
    with pytest.raises(pl.InputError, match="annotators: the file's own column says"):
        fitted.predict(pairs, [known])
    text = typed(monkeypatch, capsys, *words, known)[1]
    assert "(20 of 25 rows" in text


def pl_raises(fit, name):
    """Whether the fit does not know the annotator."""
    try:
        fit.score_items(np.zeros((1, 4)), name)
    except ValueError:
        return True
    return False


def test_new_annotators_are_assigned(pairs, fitted):
    known = [i for i, name in enumerate(pairs.annotators) if not pl_raises(fitted, name)]
    rows = np.flatnonzero(pairs.annotator == known[0])
    answers = [
        {"chosen": f"a{j}", "rejected": f"b{j}", "annotator_id": "newcomer",
         "chosen_features": pairs.features[pairs.chosen[j]].tolist(),
         "rejected_features": pairs.features[pairs.rejected[j]].tolist()}
        for j in rows
    ]  # fmt: skip
    for answer in answers:
        for side in ("chosen_features", "rejected_features"):
            answer[side] = dict(zip(pairs.feature_names, answer[side], strict=True))
    found = fitted.assign(answers)
    assert found.annotators == ("newcomer",)
    # Bayes on the fit's own scales: each difference by the standard deviation of its feature, weights (items - 1) / n.
    d = _differences(pairs)[rows] / fitted._usable.scales.scale
    items = len({*pairs.chosen[rows], *pairs.rejected[rows]})
    share = min(1.0, (2 * len(rows) - 1) / len(rows))
    joint = np.log(fitted.mixture) - share * np.logaddexp(0, -d @ fitted.model.theta.T).sum(axis=0)
    gamma = np.exp(joint - np.logaddexp.reduce(joint))
    assert items >= 2
    assert [found.table[f"group_{k}"][0] for k in (1, 2)] == pytest.approx(gamma, abs=1e-9)


def test_fit_refuses_in_arguments(pairs):
    for given, message in (
        ({"method": "em-dop"}, "em-dop"),
        ({"priorities": [1, 2], "n_types": 3}, "^priorities: expected 3 numbers"),
        ({"priorities": [1, -2]}, "^priorities: expected positive numbers"),
        ({"priorities": "a"}, "^priorities: expected numbers"),
        ({"priorities": [1, 2], "method": "personal"}, "^priorities: only policies"),
        ({"shift": "Drama"}, "^shift: belongs to method low-rank; leave it out, or ask for low-rank"),
        ({"network": True}, "^network: belongs to method='shared'"),
        ({"ridge": -1.0}, "^ridge must be positive"),
        ({"n_types": 0}, "^n_types must be a whole number"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            pl.fit(pairs, **given)
        assert "--" not in str(caught.value)


def test_fits_of_other_seeds_are_others(pairs):
    one, again, other = (pl.fit(pairs, method="dpo", ridge=0.1, seed=seed).as_dict() for seed in (1, 1, 2))
    assert one["settings"]["seed"] == 1
    assert one["test"] == again["test"]
    assert one["test"] != other["test"]


def test_fit_says_how_far_it_is_only_when_asked(pairs, capsys):
    said = []
    pl.fit(pairs, method="dpo", ridge=0.1, progress=said.append)
    assert any("training answers" in line for line in said)
    assert capsys.readouterr() == ("", "")


def test_report(fitted, tmp_path, monkeypatch, capsys):
    fitted.save(tmp_path / "fit")
    found = pl.report(tmp_path / "fit")
    assert found.as_dict() == typed_json(monkeypatch, capsys, "report", tmp_path / "fit")
    assert all(path.is_file() for path in found.figures)
    looks(found, tmp_path, plot=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(pl.InputError, match=r"holds no verdicts\.json"):
        pl.report(tmp_path / "empty")


def test_convert(tmp_path):
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n"
        + "".join(f"{m},Film {m} ({1950 + m}),{'Drama' if m % 2 else 'Comedy'}\n" for m in range(1, 31))
    )
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating\n" + "".join(f"{u},{m},{(u * m) % 5 + 1}\n" for u in range(1, 9) for m in range(1, 31))
    )
    files = {"ratings": tmp_path / "ratings.csv", "movies": tmp_path / "movies.csv"}
    table = pl.convert("movielens", **files, out=tmp_path / "pairs.parquet")
    assert len(pl.read_pairs(tmp_path / "pairs.parquet")) == len(table) > 100
    with pytest.raises(pl.InputError, match="movies must be given"):
        pl.convert("movielens", ratings=files["ratings"])
    with pytest.raises(pl.InputError, match="pairs_per_uesr"):
        pl.convert("movielens", **files, pairs_per_uesr=3)
    with pytest.raises(pl.InputError, match="movielns"):
        pl.convert("movielns")


def test_doctor(tmp_path, monkeypatch, capsys):
    found = pl.doctor()
    assert found.as_dict() == json.loads(typed(monkeypatch, capsys, "doctor", "--json")[1])
    looks(found, tmp_path, plot=False)


def test_html_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    frame = pd.DataFrame([[1.0, 2.0]], index=[evil], columns=[evil, "b"])
    page = pl.welfare(frame, "utilitarian")._repr_html_()
    assert evil not in page
    assert html.escape(evil) in page


def test_long_tables_are_cut():
    shown = repr(pl.aggregate(np.arange(400.0).reshape(4, 100)))
    assert len(shown.splitlines()) == 15
    assert "... and 88 rows more" in shown
    wide = pl.regret_matrix(np.random.default_rng(0).dirichlet(np.ones(4), 30))
    assert "columns more" in repr(wide)
    assert max(map(len, repr(wide).splitlines())) <= 80


def test_plots_work_with_any_backend(tmp_path):
    """A notebook's backend stays; a script without a screen draws; no window system is asked for."""
    code = (
        "import matplotlib; matplotlib.use('svg'); import pluralign as pl\n"
        "axes = pl.aggregate([[1.0, 2.0], [0.0, 5.0]]).plot()\n"
        "assert matplotlib.get_backend() == 'svg', matplotlib.get_backend()\n"
        "axes.figure.savefig('own.svg')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert (tmp_path / "own.svg").is_file()
