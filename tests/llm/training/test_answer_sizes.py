"""The pass that memory is rehearsed for is the largest that training makes, of answers of every kind."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_architectures import new_model  # noqa: E402

import llm.training.device_memory as memory  # noqa: E402
from llm.base.lora_settings import LoraSettings  # noqa: E402
from llm.base.sequences import ResponseScorer  # noqa: E402
from llm.base.shared_base import SharedBase  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from llm.planning.plan import plan  # noqa: E402
from llm.planning.plan_settings import PlanSettings  # noqa: E402
from llm.training.adapter_training import fit_adapter  # noqa: E402
from llm.training.answer_sizes import answer_sizes  # noqa: E402
from llm.training.live_bytes import LiveBytes  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from llm.training.rehearsal import StepShape, rehearse  # noqa: E402
from sim.answer_kinds.kinds import likelihood_of  # noqa: E402
from sim.answer_kinds.response_choices import response_choices  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.files.preference_files import table_of_rows  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

LORA = LoraSettings(rank=2)
PROMPT, RESPONSE, MANY = 4, 2, 13


def _rows(many):
    """Three rankings of two responses to one of `many`."""
    return [
        {
            "prompt": f"q{j}", "annotator_id": f"p{j % 2}", "responses": [f"{j}/{k}" for k in range(n)],
            "ranking": list(range(1, n + 1)),
        }
        for j, n in enumerate([2, many, 2, 2])
    ]  # fmt: skip


def _told(base, many=MANY):
    from dataclasses import replace

    told = likelihood_of(table_of_rows(_rows(many), "memory"), "plackett-luce")
    own, rng = response_choices(told.table, told.likelihood), np.random.default_rng(0)
    prompts = base.store.add_all(rng.integers(3, 270, (4, PROMPT)))
    responses = base.store.add_all(rng.integers(3, 270, (len(told.table.items), RESPONSE)))
    return replace(own, contexts=prompts[own.contexts], responses=responses[own.responses])


def _base(architecture, count=None):
    base = SharedBase(new_model(architecture), TokenStore(), pad=0, end=2, lora=LORA)
    base.add_adapter("one", Stream(1))
    return base


def _largest_pass(monkeypatch, base, observations, training):
    """Padded tokens of the largest pass with gradients, counted where it goes into the model."""
    seen, hidden = [0], ResponseScorer._hidden

    def counted(scorer, batch):
        if torch.is_grad_enabled():
            seen.append(batch.n_tokens)
        return hidden(scorer, batch)

    with monkeypatch.context() as patched:
        patched.setattr(ResponseScorer, "_hidden", counted)
        fit_adapter(base, "one", observations, np.ones(len(observations)), 0.1, training, Stream(1))
    return max(seen)


@pytest.mark.parametrize(("architecture", "behind"), [("llama", True), ("bloom", False)])
@pytest.mark.parametrize("micro_tokens", [8, 10_000])
def test_the_rehearsed_pass_is_the_largest_of_training(monkeypatch, architecture, behind, micro_tokens):
    """Of rankings, one of 13 responses: 4 + 13 x 2 tokens behind one prompt, 13 x (4 + 2) apart."""
    base = _base(architecture)
    choices = _told(base)
    training = DPOTraining(batch=1, epochs=1, micro_tokens=micro_tokens, gradient_checkpointing=False)
    largest = answer_sizes(base.scorer, base.store, choices).largest
    assert largest.alone != behind
    step = memory._largest_step(largest, training, 1)
    rehearsed = step.answers * largest.tokens
    wanted = PROMPT + MANY * RESPONSE if behind else MANY * (PROMPT + RESPONSE)
    assert rehearsed == wanted == _largest_pass(monkeypatch, base, choices, training)


def test_the_rehearsed_pass_of_pairs_is_the_largest_of_training(monkeypatch):
    """Pairs of many lengths: 5 + 7 + 3 tokens are more than 2 + 9 + 1, and three such pieces at once as many."""
    base = _base("llama")
    lengths = [(2, 9, 1), (5, 7, 3), (3, 2, 2)]
    rows = [[base.store.add(np.full(n, 7 + k)) for k, n in enumerate(own)] for own in lengths]
    pairs = PreferencePairs(*np.array(rows).T, np.arange(3) % 2, 2)
    training = DPOTraining(batch=1, epochs=1, gradient_checkpointing=False)
    largest = answer_sizes(base.scorer, base.store, pairs).largest
    assert memory._largest_step(largest, training, 1).answers * largest.tokens == 15
    assert _largest_pass(monkeypatch, base, pairs, training) == 15


@pytest.mark.parametrize("architecture", ["llama", "bloom"])
def test_a_rehearsed_step_of_rankings_takes_what_a_step_takes(architecture):
    training = DPOTraining(batch=1, epochs=1, micro_tokens=8, gradient_checkpointing=False)
    with LiveBytes() as count:
        base = _base(architecture)
        weights = sum(value.nbytes for name, value in base.model.named_parameters() if "lora_" not in name)
        choices = _told(base, 29)
        base.reference(choices.contexts, choices.responses)
        before = count.live
        count.restart()
        fit_adapter(base, "one", choices, np.ones(len(choices)), 0.1, training, Stream(1))
        measured = count.peak - before
    largest = answer_sizes(base.scorer, base.store, choices).largest
    seen = rehearse(
        base.model.config, torch.float32, memory._largest_step(largest, training, 1), lora=LORA, training=training,
        types=1,
    )  # fmt: skip
    assert seen.training_peak - seen.weights - seen.adapters == pytest.approx(measured, rel=0.15), weights
    pair = rehearse(
        base.model.config, torch.float32, StepShape(PROMPT, RESPONSE, 1, 1), lora=LORA, training=training, types=1
    )
    assert pair.training_peak - pair.weights < 0.6 * (seen.training_peak - seen.weights)


def test_where_one_answer_does_not_fit_micro_tokens_are_no_remedy():
    base = _base("llama")
    largest = answer_sizes(base.scorer, base.store, _told(base)).largest
    with pytest.raises(InputError, match=r"one answer of 30 tokens \(13 responses\) takes .* are free") as caught:
        memory.choose_checkpointing(base, 1, largest, DPOTraining(micro_tokens=8), 1.0)
    assert "data.train" in str(caught.value)
    assert "micro_tokens" not in str(caught.value)


def test_a_plan_of_rankings_is_one_for_the_largest(tmp_path):
    """One of 40 responses among eight of two: memory as of such alone, tokens and hours by the mean."""

    def row(j, n):
        return {
            "prompt": 40 * "x", "responses": [f"{j:4}/{k:3}" + 72 * "y" for k in range(n)],
            "ranking": list(range(1, n + 1)), "annotator_id": "p",
        }  # fmt: skip

    def planned(name, sizes):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row(j, n)) + "\n" for j, n in enumerate(sizes)))
        training = DPOTraining(micro_tokens=64, batch=2)
        return plan(PlanSettings(size="mini", types=1, data=str(path), training=training), flops=1e12)

    mixed, alone = planned("mixed.jsonl", [2, 2, 2, 2, 40, 2, 2, 2, 2]), planned("alone.jsonl", [40])
    assert (mixed.longest_tokens, mixed.largest_responses, mixed.pairs_per_forward) == ((10, 20), 40, 1)
    assert mixed.memory_bytes == alone.memory_bytes
    assert mixed.tokens.data < alone.tokens.data * 9 / 5
    few = planned("few.jsonl", [2, 2])
    assert few.memory_bytes.training_peak < 0.9 * mixed.memory_bytes.training_peak
