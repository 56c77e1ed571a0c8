"""Group-robust DPO on adapters: weights by hand and against `sim`, balanced DPO without steps, pieces, resuming."""

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_llm import open_tiny, random_rows, tiny  # noqa: E402, F401

from llm.base.journal import Journal  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from llm.training.adapter_training import fit_adapter, fit_adapter_robustly, merged_by_group  # noqa: E402
from llm.training.batches import step_batches  # noqa: E402
from llm.training.group_weights import GroupWeights, RobustObjective  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from sim.algorithms.group_robust_dpo import group_robust_dpo  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

# Networks of this size are slower on several threads than on one.
torch.set_num_threads(1)

# Of 24 answers sixteen are of one group and eight of the other: masses whose quotients floats hold.
GROUP = np.repeat([0, 1], [16, 8])
NAMES = ("many", "few")


def _pairs(base, n=24, seed=0):
    contexts, chosen = random_rows(base, n, seed)
    _, rejected = random_rows(base, n, seed + 1)
    return PreferencePairs(contexts, chosen, rejected, np.arange(n), n)


def _fresh(folder):
    base, _ = open_tiny(folder)
    base.add_adapter("one", Stream(1))
    return base, _pairs(base)


def _state(base):
    return {key: value.detach().clone() for key, value in base.parameters_of("one").items()}


def _margins(base, pairs, beta):
    rewards = AdapterPolicy(base, "one", beta=beta).implicit_reward
    return rewards(pairs.contexts, pairs.chosen) - rewards(pairs.contexts, pairs.rejected)


def _alpha_after(alpha, margins, v, group, rows, step):
    """One step of the weights, written from the paper: N l / N_g of each answer, averaged over the batch."""
    moved = np.array(alpha, dtype=float)
    for g in range(len(moved)):
        loss = 0.0
        for j in rows:
            if group[j] == g:
                loss += (
                    len(v)
                    * v[j]
                    * math.log1p(math.exp(-margins[j]))
                    / sum(v[i] for i in range(len(v)) if group[i] == g)
                )
        moved[g] *= math.exp(step * loss / len(rows))
    return moved / moved.sum()


def test_weights_of_three_steps_by_hand(tiny):  # noqa: F811
    """Batches of 12 in a first pass, where policies are the reference and l = log 2, then one of all."""
    v, beta = 0.5 + Stream(2).uniforms(24), 0.5
    start = GroupWeights.even(NAMES, GROUP, 0.7)
    base, pairs = _fresh(tiny)
    training = DPOTraining(rate=1e-2, batch=12, epochs=1, warmup=0.0, bucket=False)
    report, ended = fit_adapter_robustly(base, "one", pairs, v, start, beta, training, Stream(3))
    first, second = step_batches(np.zeros(24), 12, Stream(3).child("epoch/0"), bucket=False)
    base, pairs = _fresh(tiny)
    # After the first batch alone: the same batch is all there is.
    alpha = _alpha_after([0.5, 0.5], _margins(base, pairs, beta), v, GROUP, first, 0.7)
    # Steps and scoring sum float32 log-probabilities in batches of their own: each of a margin's four scores is off by
    # an ulp or so, which moves a loss by half the margin, and alpha by a quarter of the step times the losses' gap.
    scores = np.abs(base.reference(pairs.contexts, pairs.chosen)).max()
    rounding = 0.25 * 0.7 * 2 * 0.5 * beta * 4 * np.finfo(np.float32).eps * scores
    assert list(report.record[0]["group_weights"].values()) == pytest.approx(alpha, abs=rounding)
    assert rounding < 1e-3 * abs(alpha[0] - 0.5)
    assert alpha[0] != pytest.approx(0.5, abs=1e-3), "a batch that says nothing tests nothing"
    stopped = []

    def stop(step, total):
        if step == 1:
            stopped.append(_state(base))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_adapter_robustly(base, "one", pairs, v, start, beta, training, Stream(3), on_step=stop)
    base, pairs = _fresh(tiny)
    with torch.no_grad():
        for key, value in base.parameters_of("one").items():
            value.copy_(stopped[0][key])
    margins = _margins(base, pairs, beta)
    assert np.abs(margins).max() > 0.1, "the first step should have moved the policy"
    alpha = _alpha_after(alpha, margins, v, GROUP, second, 0.7)
    assert ended.alpha == pytest.approx(alpha, rel=1e-5)
    again, _ = fit_adapter_robustly(
        base, "one", pairs, v, ended, beta, DPOTraining(rate=1e-2, batch=24, epochs=1), Stream(4)
    )
    alpha = _alpha_after(alpha, margins, v, GROUP, range(24), 0.7)
    assert list(again.record[0]["group_weights"].values()) == pytest.approx(alpha, rel=1e-5)
    assert again.record[0]["loss"] == pytest.approx(
        sum(alpha[GROUP[j]] * v[j] / v[GROUP[j] == GROUP].sum() * math.log1p(math.exp(-margins[j])) for j in range(24)),
        rel=1e-5,
    )


class Linear:
    """log sigma(<theta, x_j>): answers whose gradients are known."""

    def __init__(self, x, theta):
        self._x, self._theta = torch.from_numpy(x), theta
        self.lengths = np.ones(len(x), dtype=np.int64)
        self.sequences = np.ones(len(x), dtype=np.int64)

    def log_likelihood(self, rows):
        margin = self._x[rows] @ self._theta
        return torch.nn.functional.logsigmoid(margin), margin.detach()


@pytest.mark.parametrize("tokens", [1000, 4, 1])
def test_gradient_is_that_at_the_new_weights(tokens):
    """In one piece, in several pieces a group, and in one an answer."""
    x, v = Stream(1).normals((10, 3)), 0.5 + Stream(2).uniforms(10)
    group, rows = np.array([0, 1, 2, 0, 1, 0, 0, 2, 0, 1]), np.array([8, 0, 1, 3, 4, 9])
    theta = torch.nn.Parameter(torch.from_numpy(Stream(3).normals(3)))
    game = RobustObjective(Linear(x, theta), v, GroupWeights.even(("a", "b", "c"), group, 1.5))
    totals = game.accumulate(rows, len(rows), tokens, [theta])
    at = theta.detach().numpy()
    alpha = _alpha_after([1 / 3] * 3, x @ at, v, group, rows, 1.5)
    assert game.groups.alpha == pytest.approx(alpha, rel=1e-9)
    wanted = np.zeros(3)
    for j in rows:
        unit = 10 * v[j] / (len(rows) * v[group == group[j]].sum())
        wanted -= alpha[group[j]] * unit * x[j] / (1 + np.exp(x[j] @ at))
    # The weights of answers enter the loss in single precision.
    assert theta.grad.numpy() == pytest.approx(wanted, rel=1e-6)
    assert totals.beside["group_losses"]["c"] == 0.0, "no answer of the third group is in the batch"
    assert totals.right == int((x[rows] @ at > 0).sum())


def test_the_game_ends_where_the_certified_one_of_sim_does():
    """Three groups of unlike sizes, batches of a tenth: averages over steps against worst-case weights."""
    stream, sizes = Stream(5), (120, 30, 50)
    group = np.repeat([0, 1, 2], sizes)
    taste = np.array([[1.5, 0.0, 0.5], [-1.0, 1.0, 0.0], [0.5, 0.5, -1.0]])
    x = stream.child("x").normals((200, 3))
    right = stream.child("answers").uniforms(200) < 1 / (1 + np.exp(-(x * taste[group]).sum(axis=1)))
    x = np.where(right[:, None], x, -x)
    wanted = group_robust_dpo(x, group, 3, ridge=0.1)
    theta = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    game = RobustObjective(Linear(x, theta), np.ones(200), GroupWeights.even(("a", "b", "c"), group, 0.05))
    alphas, thetas = [], []
    for epoch in range(200):
        for rows in step_batches(np.ones(200), 20, stream.child(f"epoch/{epoch}"), bucket=False):
            theta.grad = None
            game.accumulate(rows, 20, 1000, [theta])
            with torch.no_grad():
                theta -= 0.1 * (theta.grad + 0.1 * theta)
            alphas.append(game.groups.alpha)
            thetas.append(theta.detach().numpy().copy())
    half = len(alphas) // 2
    assert np.mean(alphas[half:], axis=0) == pytest.approx(wanted.weights, abs=0.05)
    assert np.mean(thetas[half:], axis=0) == pytest.approx(wanted.theta, abs=0.05)
    assert wanted.weights.max() - wanted.weights.min() > 0.2, "even weights would be the answer of no game"


def test_without_steps_it_is_balanced_dpo_bit_for_bit(tiny):  # noqa: F811
    training = DPOTraining(rate=1e-2, batch=8, epochs=2, settled=0.0)
    base, pairs = _fresh(tiny)
    report, ended = fit_adapter_robustly(
        base, "one", pairs, np.ones(24), GroupWeights.even(NAMES, GROUP, 0.0), 0.1, training, Stream(3)
    )
    robust = _state(base)
    base, pairs = _fresh(tiny)
    balanced = fit_adapter(base, "one", pairs, np.where(GROUP == 0, 1 / 16, 1 / 8), 0.1, training, Stream(3))
    assert all(torch.equal(robust[key], value) for key, value in _state(base).items())
    assert [row["grad_norm"] for row in report.record] == [row["grad_norm"] for row in balanced.record]
    assert ended.alpha == pytest.approx([0.5, 0.5], abs=1e-12)
    base, pairs = _fresh(tiny)
    fit_adapter(base, "one", pairs, np.ones(24), 0.1, training, Stream(3))
    assert not all(torch.equal(robust[key], value) for key, value in _state(base).items()), "nor is it plain DPO"


def test_pieces_of_a_batch_add_up_to_the_batch(tiny):  # noqa: F811
    results = []
    for tokens in (64, 100_000):
        base, pairs = _fresh(tiny)
        training = DPOTraining(rate=1e-3, batch=12, micro_tokens=tokens, warmup=0.0)
        report, ended = fit_adapter_robustly(
            base, "one", pairs, Stream(2).uniforms(24), GroupWeights.even(NAMES, GROUP, 1.0), 0.1, training, Stream(3)
        )
        results.append((report, ended, _state(base)))
    (first, one, a), (second, other, b) = results
    assert [row["loss"] for row in first.record] == pytest.approx([row["loss"] for row in second.record], abs=1e-5)
    assert one.alpha == pytest.approx(other.alpha, abs=1e-5)
    assert all(torch.allclose(a[key], b[key], atol=1e-5) for key in a)


def test_answers_alike_are_merged_inside_their_groups(tiny):  # noqa: F811
    """Every answer three times in its own group, and six of the first group's in the second too."""
    results = []
    for merge in (False, True):
        base, pairs = _fresh(tiny)
        rows = np.concatenate([np.tile(np.arange(24), 3), np.arange(6)])
        group = np.concatenate([np.tile(GROUP, 3), np.ones(6, dtype=int)])
        training = DPOTraining(rate=1e-3, batch=100, epochs=3, settled=0.0, warmup=0.0, merge=merge)
        report, ended = fit_adapter_robustly(
            base, "one", pairs.select(rows), 0.5 + Stream(2).uniforms(78), GroupWeights.even(NAMES, group, 1.0), 0.1,
            training, Stream(3),
        )  # fmt: skip
        results.append((report, ended, _state(base)))
    (first, one, a), (second, other, b) = results
    assert (first.n_answers, second.n_answers) == (78, 30)
    for name in ("group_losses", "group_weights"):
        for row, same in zip(first.record, second.record, strict=True):
            assert list(row[name].values()) == pytest.approx(list(same[name].values()), rel=1e-5)
    assert one.alpha == pytest.approx(other.alpha, rel=1e-5)
    assert all(torch.allclose(a[key], b[key], atol=1e-5) for key in a)


def test_merged_by_group_by_hand():
    pairs = PreferencePairs(np.full(5, 3), np.array([1, 1, 1, 2, 1]), np.array([2, 2, 2, 1, 2]), np.arange(5), 5)
    found, weights, group = merged_by_group(pairs, np.array([1.0, 2.0, 4.0, 8.0, 16.0]), np.array([1, 0, 1, 1, 0]))
    told = list(zip(found.chosen, found.rejected, weights, group, strict=True))
    assert told == [(1, 2, 5.0, 1), (1, 2, 18.0, 0), (2, 1, 8.0, 1)]


class Killed(Exception):
    pass


def test_a_killed_fit_goes_on_with_its_weights(tiny, tmp_path):  # noqa: F811
    training = DPOTraining(rate=5e-3, batch=4, epochs=2, checkpoint_steps=5)
    start = GroupWeights.even(NAMES, GROUP, 0.5)

    def fitted(base, pairs, **more):
        return fit_adapter_robustly(base, "one", pairs, np.ones(24), start, 0.1, training, Stream(3), **more)

    base, pairs = _fresh(tiny)
    whole, ended = fitted(base, pairs)
    wanted = _state(base)

    def stop(step, total):
        if step == 8:
            raise Killed

    base, pairs = _fresh(tiny)
    with pytest.raises(Killed):
        fitted(base, pairs, journal=Journal(tmp_path), key="k", on_step=stop)
    base, pairs = _fresh(tiny)
    seen = []
    again, later = fitted(
        base, pairs, journal=Journal(tmp_path), key="k", on_step=lambda step, total: seen.append(step)
    )
    assert seen[0] == 6, "it should begin after the checkpoint of step 5"
    assert again.record == whole.record
    assert (later.log_weights == ended.log_weights).all()
    assert all(torch.equal(wanted[key], value) for key, value in _state(base).items())


def test_finished_fits_are_read_with_their_weights(tiny, tmp_path, monkeypatch):  # noqa: F811
    def run(step=0.5):
        base, pairs = _fresh(tiny)
        policy = AdapterPolicy(
            base, "one", beta=0.1, training=DPOTraining(rate=5e-3), stream=Stream(4), journal=Journal(tmp_path)
        )
        return policy.fit_robustly(pairs, np.ones(24), GroupWeights.even(NAMES, GROUP, step)), _state(base)

    first, a = run()
    monkeypatch.setattr("llm.training.adapter_policy.fit_adapter_robustly", None)
    again, b = run()
    assert (first.log_weights == again.log_weights).all()
    assert first.alpha[0] != pytest.approx(0.5, abs=1e-4)
    assert all(torch.equal(a[key], b[key]) for key in a)
    with pytest.raises(TypeError):
        run(step=0.6)


def test_a_group_whose_answers_weigh_nothing_is_refused(tiny):  # noqa: F811
    base, pairs = _fresh(tiny)
    weights = np.where(GROUP == 1, 1e-4, 1.0)
    start = GroupWeights.even(NAMES, GROUP, 0.5)
    with pytest.raises(InputError, match=r"field 'training.skip_below': no answer of group 'few' weighs as much"):
        fit_adapter_robustly(base, "one", pairs, weights, start, 0.1, DPOTraining(), Stream(3))


def test_weights_that_are_all_light_are_trained_on(tiny):  # noqa: F811
    base, pairs = _fresh(tiny)
    weights = np.where(GROUP == 1, 2e-4, 5e-4)
    start = GroupWeights.even(NAMES, GROUP, 0.5)
    light = replace(pairs, weights=weights)
    report, _ = fit_adapter_robustly(base, "one", light, weights, start, 0.1, DPOTraining(epochs=1), Stream(3))
    assert (report.n_answers, report.skipped_share) == (24, 0.0)


def test_divergence_stops_with_a_message(tiny):  # noqa: F811
    base, pairs = _fresh(tiny)
    with torch.no_grad():
        next(iter(base.parameters_of("one").values())).fill_(float("nan"))
    start = GroupWeights.even(NAMES, GROUP, 0.5)
    with pytest.raises(InputError, match="diverged at step 1 of 1"):
        fit_adapter_robustly(base, "one", pairs, np.ones(24), start, 0.1, DPOTraining(batch=24, epochs=1), Stream(3))
