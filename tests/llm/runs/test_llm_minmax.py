"""MinMax, the direct saddle point, margins, regrets and the tabular twin on adapters."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_llm import open_tiny, random_rows, tiny  # noqa: E402, F401

from llm.base.generation import Sampling  # noqa: E402
from llm.base.journal import Journal  # noqa: E402
from llm.data.preference_text import AnswerSet  # noqa: E402
from llm.runs.margins import infer_groups, match_groups, summarise  # noqa: E402
from llm.runs.minmax_runs import direct_regrets, weight_intervals  # noqa: E402
from llm.runs.quality import PromptMeans  # noqa: E402
from llm.runs.twin import Twin, compare_with_run, simulate_twin  # noqa: E402
from llm.runs.unsolved_games import unsolved  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from llm.training.direct_saddle_point import SaddleSettings, _gradient, direct_saddle_point, leave_one_out  # noqa: E402
from sim.algorithms.minmax_dpo import minmax_dpo, weigh  # noqa: E402
from sim.algorithms.regret import SampledDiscrepancy, error_of_mean  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402


def _policy(base, name, seed, scale=0.05, sampling=None):
    base.add_adapter(name, Stream(seed))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in base.parameters_of(name).values():
            value.add_(scale * torch.randn(value.shape, generator=generator))
    return AdapterPolicy(base, name, beta=0.5, sampling=sampling or Sampling(2, batch=256))


def test_sampled_discrepancies_against_exact_sums(tiny):  # noqa: F811
    """Responses of one token: E_{y ~ pi_k} log(pi_z / pi_ref) is a sum over the vocabulary."""
    base, _ = open_tiny(tiny)
    policies = [_policy(base, f"p{k}", k + 1, sampling=Sampling(1, batch=512)) for k in range(2)]
    contexts = random_rows(base, 4)[0]
    result = minmax_dpo(policies, contexts, beta=0.5, samples=600, stream=Stream(3))
    log_p = {}
    prompts = [torch.from_numpy(base.store[c].astype(np.int64))[None] for c in contexts]
    for name in (None, "p0", "p1"):
        with base.using(name) as model, torch.no_grad():
            log_p[name] = np.stack([torch.log_softmax(model(p).logits[0, -1].double(), -1) for p in prompts])
    exact = np.array([
        [(np.exp(log_p[f"p{k}"]) * (log_p[f"p{z}"] - log_p[None])).sum(axis=1).mean() for k in range(2)]
        for z in range(2)
    ])  # fmt: skip
    # Four prompts are this test's whole population: the error of their mean given the prompts is smaller still.
    spread = np.sqrt(np.array([[(np.exp(log_p[f"p{k}"]) * (log_p[f"p{z}"] - log_p[None]) ** 2).sum(axis=1).mean()
                                for k in range(2)] for z in range(2)]) / 2400)  # fmt: skip
    assert (np.abs(result.regret.discrepancy - exact) < 4 * spread + 1e-4).all()
    assert result.value - result.lp_value <= result.gap + 1e-9
    assert result.weights.sum() == pytest.approx(1.0)
    again = weigh(policies, result.regret.discrepancy, beta=0.5, priorities=[1, 4])
    assert again.regret.values[2] == pytest.approx(4 * result.regret.values[2])


def test_weight_intervals_hold_the_weights_and_widen():
    matrix = np.array([[4.0, 0.5], [1.0, 3.0]])
    from sim.algorithms.hedge import game_value
    from sim.algorithms.regret import regret_matrix

    w = game_value(regret_matrix(matrix, 0.1).values).weights
    low, high = weight_intervals(_sampled(matrix, 0.2), 0.1, [1.0, 1.0], Stream(1))
    assert (low < w).all()
    assert (w < high).all()
    narrow = weight_intervals(_sampled(matrix, 0.02), 0.1, [1.0, 1.0], Stream(1))
    assert ((narrow[1] - narrow[0]) < 0.3 * (high - low)).all()
    # What a context adds to all of a row changes no regret, and no weight.
    shared = _sampled(matrix, 0.02)
    moved = shared.by_context + 5.0 * Stream(3).normals((2, 1, 400))
    same = weight_intervals(SampledDiscrepancy(moved.mean(axis=2), error_of_mean(moved), moved), 0.1, [1, 1], Stream(1))
    assert np.array(same) == pytest.approx(np.array(narrow), abs=0.01)
    few = np.stack([matrix, matrix + np.array([[0.1, 0.0], [0.0, 0.0]])], axis=2)
    for n in (1, 2):
        said = SampledDiscrepancy(matrix, np.full((2, 2), np.inf), few[:, :, :n])
        assert [limit.tolist() for limit in weight_intervals(said, 0.1, [1.0, 1.0], Stream(1))] == [[0, 0], [1, 1]]


@pytest.mark.parametrize(("truth", "n"), [((3.0, 3.0), 3), ((5.0, 3.0), 5)])
def test_weight_intervals_over_few_prompts_hold_the_true_weight(monkeypatch, truth, n):
    """Two groups whose regrets under each other's policy are `truth`: w_1 = a / (a + b), which the oracle solves for
    each draw.  Normal draws with the estimated covariance held it 81 times in 100 of three prompts."""
    import llm.runs.minmax_runs as own
    from sim.algorithms.hedge import game_value
    from sim.algorithms.regret import regret_matrix

    class Solved:
        def __init__(self, values):
            a, b = max(values[1, 1], 0.0), max(values[2, 0], 0.0)
            first = a / (a + b) if a + b > 0 else 0.5
            self.weights = np.array([first, 1 - first])

    L = np.array([[truth[0], 0.0], [0.0, truth[1]]])
    wanted = truth[0] / sum(truth)
    assert Solved(regret_matrix(L, 0.1).values).weights == pytest.approx([wanted, 1 - wanted])
    assert game_value(regret_matrix(L, 0.1).values).weights == pytest.approx([wanted, 1 - wanted])
    monkeypatch.setattr(own, "game_value", Solved)
    monkeypatch.setattr(own, "_DRAWS", 100)
    rng, held = np.random.default_rng(5), []
    for number in range(200):
        by_context = L[:, :, None] + 1.5 * rng.normal(size=(2, 2, n))
        sampled = SampledDiscrepancy(by_context.mean(axis=2), error_of_mean(by_context), by_context)
        low, high = weight_intervals(sampled, 0.1, [1.0, 1.0], Stream(number))
        held.append(low[0] <= wanted <= high[0])
    assert np.mean(held) > 0.92


def test_weights_far_from_the_best_are_said():
    """Priorities that make the range of the game a million times its value: the rounds that do without do not do."""
    policies, L = [None, None], np.array([[3.0, 0.5], [-1.0, 2.0]])
    # R_1 = (0, .25) and R_2 = (.3, 0) of the two columns: equal at w c_1 .25 = (1 - w) c_2 .3 for the weight w of the
    # second, and the value there.
    for priorities, far in (((1.0, 1.0), False), ((1.0, 30.0), False), ((1.0, 1e6), True)):
        played = weigh(policies, L, beta=0.1, priorities=priorities)
        w = priorities[1] * 0.3 / (priorities[0] * 0.25 + priorities[1] * 0.3)
        assert played.lp_value == pytest.approx(priorities[0] * 0.25 * w)
        assert (played.value > 1.1 * played.lp_value) == far
        told = unsolved(played.value, played.lp_value, priorities, played.regret.values.tolist(), 10_000)
        assert bool(told) == far
    assert told.startswith("after 10000 rounds the weights of priorities 1,1e+06 have a worst weighted regret of ")
    assert f" where the best have {played.lp_value:.3g}: give more --rounds" in told
    # Rounds that are too few are said of any priorities, and a game that has nothing to win is solved.
    few = weigh(policies, L, beta=0.1, rounds=2)
    assert unsolved(few.value, few.lp_value, (1.0, 1.0), few.regret.values.tolist(), 2)
    assert not unsolved(0.0, 0.0, (1.0, 1.0), np.zeros((3, 2)).tolist(), 2)


def _sampled(matrix, error):
    """400 contexts whose mean is `matrix`, with independent entries of that standard error."""
    noise = Stream(2).normals((2, 2, 400))
    noise = (noise - noise.mean(axis=2, keepdims=True)) / noise.std(axis=2, ddof=1, keepdims=True)
    values = matrix[:, :, None] + error * np.sqrt(400) * noise
    return SampledDiscrepancy(matrix, error_of_mean(values), values)


def test_the_error_of_a_direct_regret_is_its_spread_over_repeats():
    """Both means are over the same contexts, and samples of one context share it."""
    found = []
    for r in range(400):
        draw = Stream(4, replicate=r)
        level = draw.child("contexts").normals(60)
        own = level + 0.3 * draw.child("own").normals((1, 1, 60))
        ratios = -0.5 * level[None, :, None] + 0.5 * draw.child("direct").normals((1, 60, 3))
        sampled = SampledDiscrepancy(own.mean(axis=2), error_of_mean(own), own)
        found.append(np.ravel(direct_regrets(sampled, ratios.reshape(1, 180), 2.0)))
    regret, error = np.array(found).T
    exact = 2.0 * np.sqrt((1.5**2 + 0.3**2 + 0.5**2 / 3) / 60)
    assert error.mean() == pytest.approx(exact, rel=0.02)
    assert regret.std(ddof=1) == pytest.approx(exact, rel=0.1)


def test_leave_one_out_by_hand():
    assert leave_one_out(np.array([[1.0, 2.0, 6.0]])) == pytest.approx(np.array([[1 - 4.0, 2 - 3.5, 6 - 1.5]]))


def test_reinforce_gradient_against_exact_expectation(tiny):  # noqa: F811
    """One-token responses: the exact gradient of E_pi r is a sum over the vocabulary; REINFORCE must average to it."""
    base, _ = open_tiny(tiny)
    policy = _policy(base, "one", 1, sampling=Sampling(1, batch=512))
    context = random_rows(base, 1)[0]
    reward = Stream(5).normals(int(base.model.config.vocab_size))
    parameters = base.parameters_of("one")
    prompt = torch.from_numpy(base.store[context[0]].astype(np.int64))[None]
    with base.using("one") as model:
        for value in parameters.values():
            value.requires_grad_(True)
        p = torch.softmax(model(prompt).logits[0, -1], dim=-1)
        exact = torch.autograd.grad(-(p * torch.from_numpy(reward).float()).sum(), list(parameters.values()))
    repeated = np.repeat(context, 4000)
    drawn = policy.sample(repeated, Stream(6))
    values = reward[[base.store[r][0] for r in drawn]].reshape(1, -1)
    found = _gradient(base, "one", parameters, repeated, drawn, leave_one_out(values).ravel())
    a = torch.cat([g.reshape(-1) for g in exact])
    b = torch.cat([found[key].reshape(-1) for key in parameters])
    assert float(torch.dot(a, b) / (a.norm() * b.norm())) > 0.95
    assert float(b.norm() / a.norm()) == pytest.approx(1.0, abs=0.15)


def test_direct_saddle_point_lowers_the_worst_regret_and_resumes(tiny, tmp_path):  # noqa: F811
    def fresh():
        base, _ = open_tiny(tiny)
        groups = [_policy(base, f"p{k}", k + 1, 0.15, Sampling(3, batch=256)) for k in range(2)]
        contexts = base.store.add_all([[1, 40 + j] for j in range(12)])
        # As the command does, begun or begun again: the groups know scores of its samples before the first step.
        return base, groups, contexts, minmax_dpo(groups, contexts, beta=0.5, samples=8, stream=Stream(2))

    base, groups, contexts, result = fresh()
    own = np.diag(result.regret.discrepancy).copy()
    settings = SaddleSettings(steps=24, prompts=8, samples=4, rate=2e-2, checkpoint_steps=6)
    done = direct_saddle_point(base, groups, own, contexts, settings, Stream(4), journal=Journal(tmp_path / "whole"))
    worst = [row.worst for row in done.record]
    assert np.mean(worst[-6:]) < np.mean(worst[:6])
    assert done.adversary.sum() == pytest.approx(1.0)
    assert done.record[-1].kl > done.record[0].kl
    base, groups, contexts, _ = fresh()
    journal = Journal(tmp_path / "cut")

    class Killed(Exception):
        pass

    def stop(text):
        if "12/24" in text:
            raise Killed

    with pytest.raises(Killed):
        direct_saddle_point(base, groups, own, contexts, settings, Stream(4), journal=journal, progress=stop)
    base, groups, contexts, _ = fresh()
    # How often it is kept does not make it another.
    told, oftener = [], replace(settings, checkpoint_steps=4)
    again = direct_saddle_point(base, groups, own, contexts, oftener, Stream(4), journal=journal, progress=told.append)
    assert told[0] == "direct saddle point resumed at step 12"
    assert again.record == done.record


def test_summaries_by_hand():
    margin, who = np.array([1.0, -2.0, 0.0, 3.0]), np.array([0, 0, 1, 1])
    row = summarise(margin, who, Stream(1))
    assert row.accuracy == pytest.approx(2.5 / 4)
    assert row.margin == pytest.approx(0.5)
    assert row.n_annotators == 2
    # Sums apart from the mean are -2 and 2: s = sqrt(2 * 8) / 4, times t of one degree of freedom.
    assert row.margin_interval == pytest.approx([0.5 - 12.7062, 0.5 + 12.7062], abs=1e-4)
    assert summarise(margin[:2], who[:2], Stream(1)).margin_interval is None


def test_groups_are_matched_and_inferred():
    gamma = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.7, 0.3]])
    assert match_groups(["b", "b", "a", "b"], gamma) == {"a": 1, "b": 0}
    assert match_groups(["b", "", "a", ""], gamma) == {"a": 1, "b": 0}, "those without a group are none"

    class Table:
        def __init__(self, reward):
            self.reward = np.array(reward)

        def implicit_reward(self, contexts, responses):
            return self.reward[responses]

    n = 40
    wins = np.tile([0, 1], n // 2)
    annotator = np.repeat([0, 1], n // 2)
    chosen = np.where(annotator == 0, 0, 1)
    pairs = PreferencePairs(np.arange(n), chosen, 1 - chosen, annotator, 2)
    answers = AnswerSet(pairs, ("x", "y"), ("", ""))
    group, used = infer_groups([Table([1.0, 0.0]), Table([0.0, 1.0])], np.array([0.5, 0.5]), answers, Stream(2))
    assert group.tolist() == [0, 1]
    assert used.sum() == n // 2
    assert wins.size == n


def test_an_ensemble_has_its_members_mean_numbers():
    part = PromptMeans(np.ones((2, 3)), {"s": np.ones(3)}, np.ones(3))
    other = PromptMeans(np.zeros((2, 3)), {"s": np.zeros(3)}, np.zeros(3))
    mixed = PromptMeans.mixed([part, other], np.array([0.25, 0.75]))
    assert mixed.scores["s"] == pytest.approx(np.full(3, 0.25))
    assert mixed.log_ratio == pytest.approx(np.full((2, 3), 0.25))


def test_twin_predicts_the_game_it_is_built_on():
    """Two opposed groups, 3 to 1 in stakes: the twin's weights must be near those of its own exact game."""
    from sim.algorithms.minmax_dpo import minmax_dpo as play
    from sim.policies.softmax_table import SoftmaxTable

    rewards = np.array([[1.5, 0.0, -1.5], [-0.5, 0.0, 0.5]])
    twin = Twin(np.array([0.3, 0.4, 0.3]), rewards, np.array([0.6, 0.4]), 0.5, 60, 40)
    found = simulate_twin(twin, 6, Stream(1))
    exact = play(
        [SoftmaxTable(twin.reference[None], beta=0.5, rewards=row[None]) for row in rewards],
        np.zeros(1, dtype=np.int64), beta=0.5,
    )  # fmt: skip
    assert found.weights.median == pytest.approx(exact.weights, abs=0.08)
    compared = compare_with_run(found, exact.weights, {"minmax_regret": exact.group_regret})
    assert compared.larger_weight_agrees
    assert all(sum(pair) > 0 for pair in itertools.chain(found.minmax_regret.interval))
