"""`groups.prompt_laws` on adapters: annotators whose types meet different prompts are told apart by these."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from llm.data.answer_sets import AnswerSet, TextPreferences  # noqa: E402
from llm.runs.tiny_twin import TinyTwin, collect, fresh_policies, tiny_twin  # noqa: E402
from llm.training.group_training import GroupSettings, fit_groups  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from sim.partitions import adjusted_rand_index  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

# Networks of this size are slower on several threads than on one.
torch.set_num_threads(1)


def _apart(twin, n, answers):
    """n annotators of each type; the first type meets the first half of the prompts, the second the other."""
    half = len(twin.space.prompts) // 2
    parts = [
        collect(
            TinyTwin(twin.space, twin.rewards, np.eye(2)[z]), n, answers, Stream(7, str(z)), half * z + np.arange(half)
        )
        for z in range(2)
    ]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("contexts", "chosen", "rejected")
    }
    annotator = np.concatenate([parts[0].annotator, n + parts[1].annotator])
    return PreferencePairs(**columns, annotator=annotator, n_annotators=2 * n)


def test_groups_that_meet_different_prompts():
    tastes = np.array([[0, 0, 0, 1.5, -1.0, 0], [0, 0, 0, -1.5, 1.0, 0.5]])
    twin = tiny_twin(tastes, np.array([0.5, 0.5]), 8, 2, Stream(4))
    pairs = _apart(twin, 20, 3)
    names = tuple(f"a{i}" for i in range(40))
    truth = ("one",) * 20 + ("two",) * 20
    nothing = AnswerSet(pairs.select(np.zeros(0, dtype=np.int64)), names, truth)
    data = TextPreferences(AnswerSet(pairs, names, truth), nothing, nothing, nothing, nothing, ())
    found = {}
    for strength in (5.0, None):
        policies = fresh_policies(
            twin, ["one", "two"], 0.5, DPOTraining(rate=2e-2, epochs=2, settled=0.0, batch=64), Stream(5)
        )
        fitted = fit_groups(
            "em-dpo", policies, data, GroupSettings(start="random", rounds=6, prompt_laws=strength), Stream(6),
            features=None,
        )  # fmt: skip
        found[strength] = adjusted_rand_index(truth, fitted.responsibilities.argmax(axis=1))
    assert found[5.0] == 1.0
    assert found[None] < 0.7


def test_a_strength_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"groups.prompt_laws must be positive, or null \(got 0.0\)"):
        GroupSettings(prompt_laws=0.0)
