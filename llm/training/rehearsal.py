"""A training step and batches of evaluation and of sampling on tensors without values: how much memory they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from llm.base.generation import Sampling
from llm.base.lanes import Lane, Lanes
from llm.base.lora_settings import LoraSettings
from llm.base.sequences import SequenceBatch
from llm.base.sharding import decoder_layers
from llm.base.shared_base import Scoring, SharedBase
from llm.base.shared_prompts import Placement
from llm.base.tokens import TokenStore
from llm.training.adapter_dropout import AdapterDropout
from llm.training.four_bit_shapes import pack_linear_layers
from llm.training.live_bytes import LiveBytes
from llm.training.losses import margins, weighted_dpo_loss
from llm.training.passes import DPOTraining, make_optimizer, ready_to_train
from llm.training.sampling_rehearsal import sampling_peak
from sim.streams import Stream


@dataclass(frozen=True)
class StepShape:
    """Tokens of a prompt and of a response, answers in a forward pass of training (of all adapters in it), responses in
    one of evaluation.  responses: of an answer, two of a pair.  alone: each has a sequence of its own in training,
    whatever the model allows."""

    prompt: int
    response: int
    answers: int
    rows: int
    responses: int = 2
    alone: bool = False


@dataclass(frozen=True)
class Rehearsal:
    """Numbers of parameters (all, the embedding's, one adapter's), and bytes.

    layers: of the decoder's layers together, and of the largest.  sampling_peak: 0 where sampling was not asked for.
    """

    parameters: int
    embedding: int
    adapter_parameters: int
    weights: int
    adapters: int
    training_peak: int
    evaluation_peak: int
    layers: tuple[int, int]
    sampling_peak: int = 0


def rehearse(
    config: Any,
    dtype: torch.dtype,
    shape: StepShape,
    *,
    lora: LoraSettings,
    training: DPOTraining,
    types: int,
    scoring: Scoring = "same",
    recompute: bool = False,
    four_bit: bool = False,
    together: bool = False,
    sampling: Sampling | None = None,
) -> Rehearsal:
    """The peaks of a training step, of an evaluation batch of this shape and of a batch of sampled responses to prompts
    of its length, of a model of this configuration.

    recompute: activations, in the backward pass.  four_bit: its linear layers are packed (see `four_bit_shapes`).
    together: the step is one of all adapters, whose answers share its forward pass.
    """
    from transformers import AutoModelForCausalLM

    with _without_moving(), FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as bytes_:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        parameters = sum(p.numel() for p in model.parameters())
        embedding = model.get_input_embeddings().weight.numel()
        if four_bit:
            pack_linear_layers(model, dtype)
        base = SharedBase(model, TokenStore(), pad=0, end=0, lora=lora, probe=False, scoring=scoring)
        weights = bytes_.live
        # Those that a pass is of.  PEFT's time is in the square of their number, and others are bytes alone.
        names = [f"group_{k}" for k in range(min(types, shape.answers * shape.responses) if together else 1)]
        for k, name in enumerate(names):
            base.add_adapter(name, Stream(role=str(k)))
        own, others = base.parameters_of("group_0"), types - len(names)
        beside = _times(own, others)
        adapters = bytes_.live - weights
        sampled = 0 if sampling is None else sampling_peak(base, "group_0", shape.prompt, sampling, bytes_)
        # The guard's copies of the adapters in training, and those of the best round.
        copies = _times(own, types + (types if together else 1))
        with base.scoring_as("group_0"), torch.inference_mode():
            bytes_.restart()
            base.scorer(_batch(shape.rows, shape.prompt, shape.response))
            evaluation = bytes_.peak
        bytes_.restart()
        # Of an adapter in training that has no row in this pass: its gradient and its optimiser's moments.
        waiting = _times(own, 3 * others if together else 0)
        _step(base, names, training, shape, recompute)
        training_peak = bytes_.peak
        layers = _largest_layer(model)
        del copies, beside, waiting
    return Rehearsal(
        parameters, embedding, sum(p.numel() for p in own.values()), weights, adapters, training_peak, evaluation,
        layers, sampled,
    )  # fmt: skip


def _times(own: Mapping[str, torch.Tensor], n: int) -> list[torch.Tensor]:
    """What an adapter's parameters hold, n times."""
    return [torch.empty_like(value, requires_grad=False) for _ in range(n) for value in own.values()]


def _largest_layer(model: Any) -> tuple[int, int]:
    """(bytes of all layers of the decoder, of the largest), without adapters."""
    sizes = [
        sum(value.nbytes for name, value in layer.named_parameters() if "lora_" not in name)
        for layer in decoder_layers(model)
    ]
    return sum(sizes), max(sizes)


@contextmanager
def _without_moving() -> Iterator[None]:
    """PEFT moves new adapters to their layer's device; tensors without values refuse that, and are there already.

    torch has shapes of grouped products of experts for bfloat16 alone; transformers' own have them for all.
    """
    from contextlib import ExitStack
    from unittest.mock import patch

    from transformers.integrations import moe

    with ExitStack() as stack:
        stack.enter_context(patch.object(torch.nn.Module, "to", lambda module, *_, **__: module))
        if hasattr(moe, "_can_use_grouped_mm"):
            stack.enter_context(patch.object(moe, "_can_use_grouped_mm", lambda *_: False))
        yield


def _batch(rows: int, prompt: int, response: int, each: int = 1) -> SequenceBatch:
    """Of `rows` responses, `each` of them behind one prompt."""
    shape, n = (rows // each, prompt + each * response), rows * response
    ids, column = torch.zeros(shape, dtype=torch.int64), torch.zeros(n, dtype=torch.int64)
    where = Placement(torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64))
    return SequenceBatch(ids, column, column, column, column, rows, where if each > 1 else None)


def _step(
    base: SharedBase, names: Sequence[str], training: DPOTraining, shape: StepShape, recompute: bool
) -> None:  # fmt: skip
    """One optimiser step of the training loop, without anything that needs values, of these adapters."""
    prompt, response, responses = shape.prompt, shape.response, shape.responses
    parameters = [list(base.parameters_of(name).values()) for name in names]
    # Dropout keeps what it dropped until the backward pass.
    dropout = [AdapterDropout(base, name, Stream()) for name in names]
    with base.using(names[0]), ready_to_train(base, [value for own in parameters for value in own], recompute):
        optimizers = [make_optimizer([own], training) for own in parameters]
        behind = not shape.alone and base.scorer.shares_up_to(prompt + responses * response)
        batch = _batch(responses * shape.answers, prompt, response, responses if behind else 1)
        # Of several adapters the moments of their optimisers count, which are there from the second step on.
        moments = [torch.empty_like(value) for own in parameters for value in 2 * own if len(names) > 1]
        with dropout[0].of_step(0) if len(names) == 1 else _lanes(base, names, dropout, batch):
            scores = base.scorer(batch)
            # Each response against none: what an answer's likelihood makes of its rewards takes little beside them.
            none = torch.zeros(len(scores))
            weighted_dpo_loss(margins(scores, none, none, none, 0.1), torch.ones(len(scores)), 1.0).backward()
        del moments
        for optimizer in optimizers:
            optimizer.step()


def _lanes(
    base: SharedBase, names: Sequence[str], dropout: Sequence[AdapterDropout], batch: SequenceBatch
) -> AbstractContextManager[None]:
    """The batch's sequences dealt to the adapters, as evenly as they can be."""
    sequences, width = batch.input_ids.shape
    counts = [len(range(k, sequences, len(names))) for k in range(len(names))]
    return Lanes(base.peft).of([
        Lane(name, n, width, own.as_function(0)) for name, n, own in zip(names, counts, dropout, strict=True) if n
    ])  # fmt: skip
