"""The study of prompts that depend on the type: what it measures, where laws of prompts pay, and where they do not."""

import numpy as np
import pytest

from sim.streams import Stream
from sim.studies.experiments.prompts.experiment import _answers, _regrets, _world, run_prompts
from sim.studies.experiments.prompts.setting import PromptsSetting


def _several(replicates, **keys):
    found = {}
    for r in range(replicates):
        for row in run_prompts(PromptsSetting(**keys), Stream(3, "prompts", r), {}):
            found.setdefault((row.method, row.metric), []).append(row.value)
    return {key: np.mean(values) for key, values in found.items()}


def test_prompts_follow_their_laws():
    setting = PromptsSetting(correlation=0.6, annotators=300, answers=60, mixture=(0.5, 0.3, 0.2))
    world = _world(setting, Stream(1))
    assert world.laws.sum(axis=1) == pytest.approx(np.ones(3))
    pairs = _answers(setting, world, Stream(2))
    for z in range(3):
        asked = pairs.contexts[pairs.group[pairs.annotator] == z]
        assert np.bincount(asked, minlength=20) / len(asked) == pytest.approx(world.laws[z], abs=0.012)
    assert (pairs.chosen // 5 == pairs.contexts).all()
    assert (pairs.rejected // 5 == pairs.contexts).all()


def test_laws_pay_where_prompts_depend_on_the_type():
    apart = _several(8, correlation=1.0, answers=6, strengths=(50.0,))
    assert apart["prompts_50", "adjusted_rand"] > apart["em_dpo", "adjusted_rand"] + 0.2
    assert apart["prompts_50", "regret"] < apart["em_dpo", "regret"] - 0.02
    assert abs(apart["prompts_50", "regret"] - apart["true_types", "regret"]) < 0.02


def test_a_weak_prior_costs_where_they_do_not():
    alike = _several(8, correlation=0.0, answers=4, strengths=(1.0, 1e9))
    assert alike["prompts_1", "adjusted_rand"] < alike["em_dpo", "adjusted_rand"] - 0.05
    assert alike["prompts_1e+09", "adjusted_rand"] == pytest.approx(alike["em_dpo", "adjusted_rand"], abs=0.02)


def test_regret_is_beta_kl():
    """V_z(pi_z*) - V_z(pi) = beta KL(pi || pi_z*), prompt by prompt, by hand."""
    setting = PromptsSetting(beta=0.7)
    world = _world(setting, Stream(4))
    theta = Stream(5).normals((2, 3))
    found = _regrets(setting, world, theta)
    for z in range(2):
        for k in range(2):
            own, best = world.features @ theta[k] / 0.7, world.table.rewards[z] / 0.7
            p, q = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) for logits in (own, best))
            assert found[z, k] == pytest.approx(0.7 * (p * np.log(p / q)).sum(axis=1).mean(), abs=1e-10)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"correlation": 1.2}, "correlation must lie in 0..1"),
        ({"mixture": (1.0,)}, "mixture must be 2 to"),
        ({"mixture": (0.9, 0.3)}, "sum to 1"),
        ({"prompts": 1}, "prompts must be at least 2, one a type"),
        ({"strengths": ()}, "strengths"),
        ({"strengths": (0.0,)}, "strengths"),
        ({"responses": 1}, "responses"),
    ],
)
def test_settings_are_checked(keys, message):
    with pytest.raises(ValueError, match=message):
        PromptsSetting(**keys)
