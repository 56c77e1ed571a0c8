"""One training step and one evaluation batch on tensors that have shapes and no values: how much memory they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from llm.base.sequences import SequenceBatch
from llm.base.shared_base import SharedBase
from llm.base.shared_prompts import Placement
from llm.base.tokens import TokenStore
from llm.training.live_bytes import LiveBytes
from llm.planning.plan_settings import PlanSettings
from llm.planning.planned_answers import PlannedAnswers
from llm.training.losses import margins, weighted_dpo_loss
from llm.training.passes import DPOTraining, make_optimizer, start_gradient_checkpointing
from sim.streams import Stream


@dataclass(frozen=True)
class Rehearsal:
    """Numbers of parameters (all, the embedding's, one adapter's), and bytes."""

    parameters: int
    embedding: int
    adapter_parameters: int
    weights: int
    adapters: int
    training_peak: int
    evaluation_peak: int


def rehearse(
    config: Any,
    dtype: torch.dtype,
    settings: PlanSettings,
    answers: PlannedAnswers,
    pairs_at_once: int,
    rows_at_once: int,
) -> Rehearsal:
    """The peaks of a training step of `pairs_at_once` pairs and of an evaluation batch of `rows_at_once` responses."""
    from transformers import AutoModelForCausalLM

    prompt, response = answers.prompt_tokens, answers.response_tokens
    with _without_moving(), FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as bytes_:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        parameters = sum(p.numel() for p in model.parameters())
        embedding = model.get_input_embeddings().weight.numel()
        base = SharedBase(model, TokenStore(), pad=0, end=0, lora=settings.lora, probe=False, scoring=settings.scoring)
        weights = bytes_.live
        for k in range(settings.types):
            base.add_adapter(f"group_{k}", Stream(role=str(k)))
        adapters = bytes_.live - weights
        own = base.parameters_of("group_0")
        # The guard's copy of the adapter in training, and the copies of the best round.
        copies = [[p.detach().clone() for p in own.values()] for _ in range(settings.types + 1)]
        with base.scoring_as("group_0"), torch.inference_mode():
            bytes_.restart()
            base.scorer(_batch(rows_at_once, prompt, response))
            evaluation = bytes_.peak
        bytes_.restart()
        _step(base, own, settings.training, pairs_at_once, prompt, response)
        training = bytes_.peak
        del copies
    return Rehearsal(
        parameters, embedding, sum(p.numel() for p in own.values()), weights, adapters, training, evaluation
    )


@contextmanager
def _without_moving() -> Iterator[None]:
    """PEFT moves new adapters to their layer's device; tensors without values refuse that, and are there already."""
    from unittest.mock import patch

    with patch.object(torch.nn.Module, "to", lambda module, *_, **__: module):
        yield


def _batch(rows: int, prompt: int, response: int, each: int = 1) -> SequenceBatch:
    """Of `rows` responses, `each` of them behind one prompt."""
    shape, n = (rows // each, prompt + each * response), rows * response
    ids, column = torch.zeros(shape, dtype=torch.int64), torch.zeros(n, dtype=torch.int64)
    where = Placement(torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64))
    return SequenceBatch(ids, column, column, column, column, rows, where if each > 1 else None)


def _step(
    base: SharedBase,
    own: Mapping[str, torch.nn.Parameter],
    training: DPOTraining,
    pairs: int,
    prompt: int,
    response: int,
) -> None:
    """One optimiser step of the training loop, without anything that needs values."""
    with base.using("group_0"):
        if training.gradient_checkpointing:
            start_gradient_checkpointing(base)
        for parameter in own.values():
            parameter.requires_grad_(True)
        optimizer = make_optimizer([list(own.values())], training)
        each = 2 if base.scorer.shares_up_to(prompt + 2 * response) else 1
        scores = base.scorer(_batch(2 * pairs, prompt, response, each))
        reference = torch.zeros(2, pairs)
        margin = margins(scores[:pairs], scores[pairs:], reference[0], reference[1], 0.1)
        weighted_dpo_loss(margin, torch.ones(pairs), float(pairs)).backward()
        optimizer.step()
