"""What a training step takes, against a step that is run; and that training recomputes where it does not fit."""

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_architectures import CONFIGURATIONS, new_model  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

from llm.base.lora_settings import LoraSettings  # noqa: E402
from llm.base.shared_base import SharedBase  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from llm.training.adapter_training import fit_adapter, fit_adapters_together  # noqa: E402
from llm.training.answer_sizes import LargestAnswer  # noqa: E402
from llm.training.device_memory import (  # noqa: E402
    GIB,
    choose_checkpointing,
    fits_together,
    free_of_machine,
    usable,
)
from llm.training.four_bit_shapes import pack_linear_layers  # noqa: E402
from llm.training.joint_passes import JointFit, Sharing  # noqa: E402
from llm.training.live_bytes import LiveBytes  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from llm.training.rehearsal import StepShape, rehearse  # noqa: E402
from llm.training.step_record import StepRecord  # noqa: E402
from llm.training.steps import StepTotals  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

PAIRS, PROMPT, RESPONSE = 12, 10, 20
LORA = LoraSettings(rank=2)
LARGEST = LargestAnswer(PROMPT, RESPONSE)


def _base(model, lora=LORA):
    return SharedBase(model, TokenStore(), pad=0, end=2, lora=lora)


def _counted(architecture, training, types=2, together=False, lora=LORA):
    """Bytes at the peak of a fit of one step a pass with real tensors, its base and adapters included."""
    with LiveBytes() as count:
        base = _base(new_model(architecture), lora)
        weights = sum(value.nbytes for value in base.model.parameters())
        rng = np.random.default_rng(0)
        rows = [base.store.add_all(rng.integers(3, 270, (PAIRS, n))) for n in (PROMPT, RESPONSE, RESPONSE)]
        pairs = PreferencePairs(*rows, np.arange(PAIRS) % 2, 2)
        for k in range(types):
            base.add_adapter(f"g{k}", Stream(k))
        base.reference(pairs.contexts, pairs.chosen), base.reference(pairs.contexts, pairs.rejected)
        before = count.live
        count.restart()
        if together:
            fits = [JointFit(f"g{k}", Stream(1)) for k in range(types)]
            fit_adapters_together(base, fits, pairs, [np.ones(PAIRS)] * types, 0.1, training, Sharing())
        else:
            fit_adapter(base, "g0", pairs, np.ones(PAIRS), 0.1, training, Stream(1))
        # What lies around beside the weights (the probe's buffers, tensors made for tests) is not the step's.
        return count.peak - before + weights


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "gpt2", "gpt-neox", "mixtral", "falcon"])
def test_a_planned_step_takes_what_a_step_takes(architecture, recompute):
    training = DPOTraining(batch=PAIRS, epochs=1, gradient_checkpointing=recompute)
    measured = _counted(architecture, training)
    shape = StepShape(PROMPT, RESPONSE, PAIRS, 1)
    seen = rehearse(
        CONFIGURATIONS[architecture](), torch.float32, shape, lora=LORA, training=training, types=2, recompute=recompute
    )
    assert seen.training_peak == pytest.approx(measured, rel=0.15)
    assert seen.training_peak > 1.3 * seen.weights, "a peak that is all weights tests nothing"


def test_a_planned_step_of_all_adapters_takes_what_it_takes():
    """Of four adapters larger than their base, with moments from the second pass on."""
    architecture = "llama"
    training, lora = DPOTraining(batch=PAIRS, epochs=2, settled=0.0), LoraSettings(rank=512)
    measured = _counted(architecture, training, 4, together=True, lora=lora)

    def planned(together):
        return rehearse(
            CONFIGURATIONS[architecture](), torch.float32, StepShape(PROMPT, RESPONSE, 4 * PAIRS, 1), lora=lora,
            training=training, types=4, together=together,
        )  # fmt: skip

    # A fit alone makes none of the copies of policies that a run has: one of the guard's, one of the best round's each.
    copies = 8 * 4 * planned(True).adapter_parameters
    assert measured <= planned(True).training_peak - copies <= 1.06 * measured
    alone = planned(False).training_peak - copies * 5 / 8
    assert alone < 0.97 * measured, "as many pairs of one adapter take less"


def test_adapters_that_share_no_pass_hold_what_they_would_hold():
    """Of six adapters two have rows in the pass: as many bytes as six in the model, whose others have none."""
    training = DPOTraining(batch=1)

    def planned(types, answers):
        return rehearse(
            CONFIGURATIONS["llama"](), torch.float32, StepShape(PROMPT, RESPONSE, answers, 1), lora=LORA,
            training=training, types=types, together=True,
        )  # fmt: skip

    two, six = planned(2, 1), planned(6, 1)
    own = 4 * six.adapter_parameters
    assert six.adapters == pytest.approx(6 * own, rel=0.01)
    # Parameter, gradient, two moments, two copies.
    assert six.training_peak - two.training_peak == pytest.approx(4 * 6 * own, rel=0.02)
    assert planned(6, 3).training_peak > six.training_peak


def test_groups_share_a_pass_where_a_step_of_all_fits():
    base = _base(new_model("llama"))
    training = DPOTraining(batch=PAIRS)
    seen = rehearse(
        base.model.config, torch.float32, StepShape(PROMPT, RESPONSE, 3 * PAIRS, 1), lora=LORA, training=training,
        types=3, together=True,
    )  # fmt: skip
    needed = seen.training_peak - seen.weights
    assert fits_together(base, 3, LARGEST, training, 1e12)
    assert fits_together(base, 3, LARGEST, training, needed)
    assert not fits_together(base, 3, LARGEST, training, needed - 1)
    assert fits_together(base, 2, LARGEST, training, needed - 1), "fewer groups need less"
    small = replace(training, micro_tokens=100)
    assert fits_together(base, 3, LARGEST, small, needed / 3), "a pass has so many tokens whoever shares it"


def test_activations_are_recomputed_where_a_step_does_not_fit_otherwise():
    base = _base(new_model("llama"))
    training = DPOTraining(batch=PAIRS)
    plain, again = (
        rehearse(
            base.model.config, torch.float32, StepShape(PROMPT, RESPONSE, PAIRS, 1), lora=LORA, training=training,
            types=2, recompute=recompute,
        )
        for recompute in (False, True)
    )  # fmt: skip
    needs = [seen.training_peak - seen.weights for seen in (plain, again)]
    assert needs[1] < 0.7 * needs[0]

    def chosen(free, **options):
        asked = DPOTraining(batch=PAIRS, **options)
        return choose_checkpointing(base, 2, LARGEST, asked, free)

    assert not chosen(1e12)
    assert not chosen(needs[0])
    assert chosen(needs[0] - 1)
    assert chosen(needs[1])
    with pytest.raises(InputError, match=r"a training step of 12 answers of 50 tokens takes .* are free") as caught:
        chosen(needs[1] - 1)
    assert "training.micro_tokens" in str(caught.value)
    assert not choose_checkpointing(base, 2, LARGEST, DPOTraining(batch=PAIRS), 1e13)
    # Of pieces that the largest answer does not fill: 120 tokens are two answers of 50 and more, not two.
    small = DPOTraining(batch=PAIRS, micro_tokens=120)
    three = rehearse(
        base.model.config, torch.float32, StepShape(PROMPT, RESPONSE, 3, 1), lora=LORA, training=small, types=2
    )
    assert choose_checkpointing(base, 2, LARGEST, small, three.training_peak - three.weights - 1)
    assert chosen(1e12, gradient_checkpointing=True)
    assert not chosen(1, gradient_checkpointing=False), "what is asked for is done"


def test_a_step_that_cannot_be_rehearsed_is_recomputed_where_it_may_not_fit(monkeypatch):
    import llm.training.device_memory as own

    def refuses(*args, **kwargs):
        raise RuntimeError("asks for a value")

    monkeypatch.setattr(own, "rehearse", refuses)
    base = _base(new_model("llama"))
    for free, again in ((1e15, False), (1e4, True)):
        assert choose_checkpointing(base, 2, LARGEST, DPOTraining(), free) == again
    # Gemma 3n has a width a layer, others none that is called so: what cannot be read may be anything.
    vars(base.model.config)["intermediate_size"] = [24, 32]
    assert not choose_checkpointing(base, 2, LARGEST, DPOTraining(), 1e15)
    vars(base.model.config)["hidden_size"] = None
    assert choose_checkpointing(base, 2, LARGEST, DPOTraining(), 1e15)


def test_memory_that_is_free_is_the_least_of_machine_and_control_group(tmp_path, monkeypatch):
    import os

    assert 2**20 < free_of_machine(tmp_path) < 2**50, "no account of Linux's: the physical memory"
    with monkeypatch.context() as patched:
        patched.delattr(os, "sysconf")
        assert free_of_machine(tmp_path) == math.inf
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9999 kB\nMemAvailable:     2048 kB\n")
    assert free_of_machine(tmp_path) == 2048 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("1000\n")
    assert free_of_machine(tmp_path) == 2048 * 1024
    (group / "memory.max").write_text("501000\n")
    assert free_of_machine(tmp_path) == 500_000
    assert usable(80 * GIB) == pytest.approx(75 * GIB)
    assert usable(0.5 * GIB) == 0.0


def test_four_bits_a_weight_by_hand():
    """64 x 512 weights: 16 KiB, 512 scales of a byte, 2 of four bytes."""
    with FakeTensorMode():
        model = new_shape()
        pack_linear_layers(model, torch.bfloat16)
        packed = model.get_decoder().layer.weight
        assert packed.nbytes == pytest.approx(64 * 512 / 2 + 512 + 2 * 4, abs=1)
        assert model.head.weight.nbytes == 4 * 64 * 64, "the head stays as it is"
        x = torch.zeros(3, 512, dtype=torch.bfloat16, requires_grad=True)
        out = model.get_decoder().layer(x)
        assert out.shape == (3, 64)
        out.sum().backward()
        assert x.grad.shape == x.shape


class new_shape(torch.nn.Module):  # a model in three lines
    def __init__(self):
        super().__init__()
        self.decoder = torch.nn.ModuleDict({"layer": torch.nn.Linear(512, 64, bias=False)})
        self.decoder.layer = self.decoder["layer"]
        self.head = torch.nn.Linear(64, 64, bias=False)

    def get_decoder(self):
        return self.decoder

    def get_output_embeddings(self):
        return self.head

    def get_input_embeddings(self):
        return None


def _record(together):
    found = StepRecord("one", 9, torch.device("cpu"), "training.rate", 0.5)
    found._together = together
    return found


def test_steps_that_wait_are_the_rows_of_steps_that_do_not():
    rows = {}
    for together in (1, 4):
        record, fetched = _record(together), []
        for step in range(6):
            sums = torch.tensor([0.5 + step, 2.0 * step, float(step)], dtype=torch.float64)
            fetched.append(record.add(step, sums, torch.tensor(0.1 * step), 4, 1e-3))
        assert fetched == ([True] * 6 if together == 1 else [False, False, False, True, False, False])
        assert record.fetch() == (together == 4)
        assert not record.fetch()
        rows[together] = record.rows
    assert rows[1] == rows[4]
    assert rows[1][3] == {
        "step": 3, "loss": 3.5, "rewards/margins": 1.5, "rewards/accuracies": 0.75,
        "grad_norm": pytest.approx(0.3), "learning_rate": 1e-3,
    }  # fmt: skip


def test_of_steps_that_wait_the_first_that_diverged_is_named():
    record = _record(4)
    for step, loss in enumerate((0.7, math.nan, math.inf)):
        record.add(step, StepTotals(loss, 0.0, 0, {"group_weights": {"a": 1.0}}), torch.tensor(1.0), 4, 1e-3)
    with pytest.raises(InputError, match=r"'one' diverged at step 2 of 9: loss nan.*lower the rate \(now 0.5\)"):
        record.fetch()
    assert [row["step"] for row in record.rows] == [0]
    assert record.rows[0]["group_weights"] == {"a": 1.0}
