"""`llm plan`: live bytes against hand counts, and planned memory against a measured run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

from llm.base.small_mistral import SIZES  # noqa: E402
from llm.planning.live_bytes import LiveBytes  # noqa: E402
from llm.planning.plan import count_data, plan  # noqa: E402
from llm.planning.plan_settings import PlanSettings  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from sim.errors import InputError  # noqa: E402


def test_live_bytes_by_hand():
    with FakeTensorMode(), LiveBytes() as count:
        a = torch.zeros(1000)
        assert (count.live, count.peak) == (4000, 4000)
        b = a + a
        view = b[:10]
        assert count.live == 8000
        del b
        assert count.live == 8000, "a view keeps its storage"
        del view
        assert (count.live, count.peak) == (4000, 8000)
        count.restart()
        assert count.peak == 4000


def test_plan_counts_parameters_and_work():
    for name, size in SIZES.items():
        found = plan(PlanSettings(size=name, types=1), flops=1e12)
        assert found.parameters == size.parameters
        assert found.memory_bytes.weights == pytest.approx(4 * size.parameters, rel=0.02)
    seven = plan(PlanSettings(device="h200", types=3))
    assert seven.parameters == 7_248_023_552
    # q and o: 4096 x 4096; k and v: 4096 x 1024; gate, up and down: 4096 x 14336; rank 8, 32 layers.
    assert seven.adapter_parameters == 32 * 8 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    assert seven.memory_bytes.adapters == pytest.approx(3 * 4 * seven.adapter_parameters, rel=0.01)
    more = plan(PlanSettings(size="tiny", types=3, rounds=17), flops=1e12)
    less = plan(PlanSettings(size="tiny", types=3, rounds=8), flops=1e12)
    assert more.hours.soft == pytest.approx(2 * less.hours.soft, rel=0.05)
    assert less.hours.sharp < less.hours.soft
    whole, merging = (_work_of(merge) for merge in (False, True))
    assert merging.data == whole.data
    # One fit of two passes: a third of the answers is trained on.
    assert whole.sharp - merging.sharp == pytest.approx(whole.data * 2 * 2 * (1 - 1 / 3))


def _work_of(merge):
    training = DPOTraining(epochs=2, merge=merge)
    return plan(PlanSettings(size="mini", rounds=1, pairs=300, alike=100, training=training), flops=1e12).tokens


def test_gradient_checkpointing_needs_less_memory():
    def peak(**training):
        settings = PlanSettings(size="small", training=DPOTraining(**training))
        return plan(settings, flops=1e12).memory_bytes.training_peak

    assert peak(gradient_checkpointing=True) < 0.7 * peak()


_MEASURE = """
import json, sys
import numpy as np, torch
torch.set_num_threads(1)
from transformers import AutoModelForCausalLM
from peft import LoraConfig, get_peft_model
from llm.training.adapter_policy import AdapterPolicy
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import SIZES, new_mistral
from llm.base.tokens import TokenStore
from llm.training.passes import DPOTraining
from sim.preferences import PreferencePairs
from sim.streams import Stream

def memory(name):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(name)) * 1024

def run(size, pairs):
    base = SharedBase(new_mistral(SIZES[size], 512, Stream(0)), TokenStore(), pad=0, end=2, eval_tokens=4096)
    rng = np.random.default_rng(0)
    rows = [base.store.add_all(rng.integers(3, 500, (pairs, n))) for n in (20, 44, 44)]
    data = PreferencePairs(*rows, np.arange(pairs) % 4, 4)
    for k in range(2):
        base.add_adapter(f"g{k}", Stream(k))
        policy = AdapterPolicy(base, f"g{k}", beta=.1, training=DPOTraining(batch=32, epochs=1))
        policy.fit(data, np.ones(pairs))
        policy.implicit_reward(data.contexts, data.chosen)
run("mini", 4)                       # libraries' own memory is there before counting
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
run("small", 64)
print(json.dumps(memory("VmHWM") - before))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc to measure a peak")
def test_planned_memory_is_within_15_percent_of_a_measured_run():
    settings = PlanSettings(
        size="small", types=2, prompt_tokens=20, response_tokens=44, training=DPOTraining(batch=32), eval_tokens=4096
    )
    planned = plan(settings, flops=1e12).memory_bytes.peak
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE], capture_output=True, text=True, check=True, cwd=ROOT,
        # Freed blocks go back to the system at once; otherwise the peak is glibc's, not the run's.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    measured = json.loads(done.stdout.splitlines()[-1])
    assert planned == pytest.approx(measured, rel=0.15)


def test_data_are_counted_and_mistakes_named(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(
        json.dumps({"prompt": "x" * 40, "chosen": "y" * 80, "rejected": "z" * 120, "annotator_id": "a"}) + "\n"
    )
    assert count_data(str(path)) == (1, 1, 10, 25)
    path.write_text(
        path.read_text() * 3 + json.dumps({"prompt": "x", "chosen": "y", "rejected": "z", "annotator_id": "a"}) + "\n"
    )
    assert count_data(str(path))[:2] == (4, 2)
    with pytest.raises(InputError, match="do not fit the model's 512 positions"):
        plan(PlanSettings(size="tiny", prompt_tokens=500))
    with pytest.raises(InputError, match=r"holds no config\.json"):
        plan(PlanSettings(model=str(tmp_path)))
