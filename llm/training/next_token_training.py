"""Next-token training of a whole model on passages of text, with checkpoints, and its loss on other passages."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from llm.base.journal import Journal
from llm.base.plain_text import Document, cuts, passages
from llm.base.progress import Progress
from llm.base.texts import response_text
from llm.data.rendered_tokens import RenderedTokens
from llm.training.batches import step_batches
from llm.training.finite import require_finite
from llm.training.optimiser_state import as_tensors, put_back
from llm.training.sft_settings import SftSettings
from sim.errors import InputError
from sim.streams import Stream

_Parameters: TypeAlias = Mapping[str, torch.nn.Parameter]


@dataclass(frozen=True, eq=False)
class Checkpoints:
    """Where an unfinished training lies, and under which key."""

    journal: Journal
    key: str


def token_rows(
    documents: Sequence[Document], tokenizer: Any, settings: SftSettings, start: int | None, end: int
) -> list[NDArray[Any]]:
    """Passages as token rows <s> ... </s>; one that is longer than `length` is cut and then has no end.

    A text that was rendered before, and holds these tokens itself, gets no second ones.
    """
    parts = passages if settings.tidy else cuts
    texts = [part for text in documents if isinstance(text, str) for part in parts(text, settings.passage_words)]
    found: list[list[int]] = []
    for lo in range(0, len(texts), 4096):
        for ids in tokenizer(texts[lo : lo + 4096], add_special_tokens=False)["input_ids"]:
            first = [] if start is None or ids[:1] == [start] else [start]
            found.append([*first, *ids, *([] if ids[-1:] == [end] else [end])])
    rendered, where = RenderedTokens(tokenizer), {"file": settings.data, "field": "messages"}
    for messages in documents:
        if not isinstance(messages, str):
            found.append(rendered.conversation(messages, asks=False, options={}, where=lambda: where))
    rows = [ids[: settings.length] for ids in found]
    return [np.array(row, dtype=np.int32) for row in rows if len(row) > 2]


def _batch(rows: list[NDArray[Any]], pad: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    real = np.zeros((len(rows), width), dtype=np.bool_)
    for j, row in enumerate(rows):
        ids[j, : len(row)] = row
        real[j, : len(row)] = True
    return torch.from_numpy(ids).to(device), torch.from_numpy(real).to(device)


def _token_losses(model: Any, ids: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of every real token after the first; padding stands on the right and is never seen."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1][real[:, 1:]]
    return functional.cross_entropy(logits.float(), ids[:, 1:][real[:, 1:]], reduction="none")


def descend(
    model: Any, rows: list[NDArray[Any]], steps: int, settings: SftSettings, stream: Stream, kept: Checkpoints,
    pad: int, progress: Progress,
) -> tuple[int, float]:  # fmt: skip
    """AdamW with warm-up and cosine decay; (tokens seen, seconds of this process's share scaled to all)."""
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=settings.rate, weight_decay=settings.weight_decay, betas=(0.9, 0.95), fused=True
    )
    device = next(model.parameters()).device
    lengths = np.array([len(row) for row in rows])
    model.train()
    step, seen = 0, 0
    found = kept.journal.read(kept.key)
    if found is not None:
        step, seen = _resume(found, parameters, optimizer)
        progress(f"resumed at step {step}")
    first, began, fresh = step, time.monotonic(), 0
    epoch, done = 0, 0
    smooth = float("nan")
    while step < steps:
        for chosen in step_batches(lengths, settings.batch, stream.child(f"epoch/{epoch}")):
            if step >= steps:
                break
            done += 1
            if done <= step:
                continue
            warm = math.ceil(settings.warmup * steps)
            factor = (
                (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
            )
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * max(factor, 0.02)
            ids, real = _batch([rows[j] for j in chosen], pad, device)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                loss = _token_losses(model, ids, real).mean()
            loss.backward()
            norm = float(torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clip))
            value = float(loss.detach())
            if not math.isfinite(value) or not math.isfinite(norm):
                raise InputError(
                    f"training diverged at step {step + 1} of {steps}: loss {value}, gradient norm {norm}",
                    field="rate", fix=f"lower it (now {settings.rate:g})",
                )  # fmt: skip
            optimizer.step()
            step += 1
            tokens = int(real.sum())
            seen, fresh = seen + tokens, fresh + tokens
            smooth = value if math.isnan(smooth) else 0.95 * smooth + 0.05 * value
            if step % 100 == 0 or step == steps:
                left = (time.monotonic() - began) / (step - first) * (steps - step)
                progress(f"step {step}/{steps}: loss {smooth:.3f}; about {left:.0f} s left")
            if step % settings.checkpoint_steps == 0 and step < steps:
                require_finite(parameters, "training", "rate", settings.rate)
                _keep(kept, parameters, optimizer, step, seen)
        epoch += 1
    require_finite(parameters, "training", "rate", settings.rate)
    took = time.monotonic() - began
    return seen, took * seen / fresh if fresh else 0.0


def _keep(kept: Checkpoints, parameters: _Parameters, optimizer: torch.optim.Optimizer, step: int, seen: int) -> None:
    kept.journal.write(kept.key, as_tensors(parameters, optimizer), {"step": step, "seen": seen})


def _resume(found: Any, parameters: _Parameters, optimizer: torch.optim.Optimizer) -> tuple[int, int]:
    tensors, notes = found
    put_back(tensors, parameters, optimizer)
    return int(notes["step"]), int(notes["seen"])


def held_out_loss(model: Any, rows: list[NDArray[Any]], pad: int, tokenizer: Any) -> tuple[float, int]:
    """Mean nats a token on rows the model was not trained on, and the bytes of what these tokens say.

    A row's first token is given and not scored; where it is text, its bytes count no more than its nats.
    """
    device = next(model.parameters()).device
    model.eval()
    total, count, text_bytes = 0.0, 0, 0
    with torch.inference_mode():
        for lo in range(0, len(rows), 64):
            part = rows[lo : lo + 64]
            losses = _token_losses(model, *_batch(part, pad, device))
            total, count = total + float(losses.double().sum()), count + losses.numel()
            text_bytes += sum(len(response_text(tokenizer, row[:1], row[1:]).encode()) for row in part)
    loss = total / count
    if not math.isfinite(loss):
        raise InputError(f"the loss on held-out documents is {loss}", field="rate", fix="lower it")
    return loss, text_bytes
