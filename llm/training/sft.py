"""A policy to start from, offline: next-token training of a small Mistral, or of a pretrained model, on plain text."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from llm.base.device import pick_device
from llm.base.folder_format import FORMAT, read_stamped, stamped
from llm.base.identity import versions
from llm.base.journal import Journal, fingerprint
from llm.base.plain_text import passages, read_documents
from llm.base.progress import Progress
from llm.base.small_mistral import SIZES, load_base, new_mistral, train_tokenizer
from llm.training.batches import step_batches
from sim.errors import InputError
from sim.files.atomic import write_json
from sim.settings import resolved
from sim.streams import Stream


@dataclass(frozen=True)
class SftSettings:
    """data: .jsonl[.gz] with `text`.  size: shape of a new model; model: a folder to continue instead.

    Documents are cut into passages of whole sentences (about `passage_words` words), each <s> ... </s>, at most
    `length` tokens.  held_out: share of the documents the model is judged on and never trained on.
    steps: optimiser steps, None for `epochs` passes.  tokenizer_documents: how many the tokenizer learns from.
    """

    data: str = ""
    model: str | None = None
    size: str = "tiny"
    length: int = 96
    passage_words: int = 50
    batch: int = 64
    epochs: float = 1.0
    steps: int | None = None
    rate: float = 3e-3
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    held_out: float = 0.02
    limit: int | None = None
    tokenizer_documents: int = 5_000
    checkpoint_steps: int = 200
    threads: int | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.model is None and self.size not in SIZES:
            raise InputError(f"unknown size '{self.size}'", field="size", fix=f"choose one of {', '.join(SIZES)}")
        for name in ("length", "passage_words", "batch", "epochs", "rate", "clip", "checkpoint_steps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive (got {getattr(self, name)})")
        if not 0 < self.held_out < 1 or not 0 <= self.warmup < 1:
            raise ValueError(f"held_out must lie in (0, 1), warmup in [0, 1) (got {self.held_out}, {self.warmup})")
        if self.seed < 0 or (self.steps is not None and self.steps < 1) or (self.limit is not None and self.limit < 2):
            raise ValueError("seed must not be negative, steps at least 1, limit at least 2")


@dataclass(frozen=True)
class SftSummary:
    """sft.json without the settings.

    held_out_loss: nats a token on documents nothing was trained on, over `held_out_tokens`; perplexity is its
    exponential, and bits_per_byte does not depend on the tokenizer.
    """

    parameters: int
    steps: int
    tokens_seen: int
    tokens_per_second: int | None
    held_out_documents: int
    held_out_tokens: int
    held_out_loss: float
    perplexity: float
    bits_per_byte: float
    versions: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


_Parameters: TypeAlias = Mapping[str, torch.nn.Parameter]
_FREE = ("threads", "device", "checkpoint_steps")


def train_sft(settings: SftSettings, out: str | Path, progress: Progress = lambda text: None) -> SftSummary:
    """Train, and write a model folder with sft.json; a finished one is returned, an interrupted one resumed."""
    out = Path(out)
    same = {key: value for key, value in resolved(settings).items() if key not in _FREE}
    finished = _finished(out, same)
    if finished is not None:
        progress(f"{out} is finished; nothing to do")
        return finished
    if out.exists() and any(out.iterdir()):
        raise InputError("exists and is no model of this command", file=out, fix="choose another --out")
    if not settings.data:
        raise InputError("no data", field="data", fix="give a file of texts (--data FILE)")
    device = pick_device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    stream = Stream(settings.seed, "sft")
    documents = read_documents(settings.data, settings.limit)
    judged = np.zeros(len(documents), dtype=np.bool_)
    judged[
        stream.child("held-out").permutation(len(documents))[: max(1, round(settings.held_out * len(documents)))]
    ] = True
    training = [text for text, held in zip(documents, judged, strict=True) if not held]
    if settings.model is None:
        size = SIZES[settings.size]
        progress(
            f"tokenizer of {size.vocabulary} tokens from {min(len(training), settings.tokenizer_documents)} documents"
        )
        tokenizer = train_tokenizer(training[: settings.tokenizer_documents], size.vocabulary)
        model = new_mistral(size, max(512, settings.length), stream.child("model"), device)
    else:
        model, tokenizer = load_base(settings.model, device)
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    rows = _windows(training, tokenizer, settings, start, end)
    held = _windows([t for t, h in zip(documents, judged, strict=True) if h], tokenizer, settings, start, end)
    if len(rows) < settings.batch:
        raise InputError(
            f"{len(rows)} passages do not fill a batch of {settings.batch}", file=settings.data,
            fix="give more text or a smaller batch",
        )  # fmt: skip
    steps = settings.steps or max(1, round(settings.epochs * len(rows) / settings.batch))
    count = sum(p.numel() for p in model.parameters())
    progress(f"{count:,} parameters; {len(rows):,} passages, {sum(map(len, rows)):,} tokens; {steps} steps")
    journal = Journal(out.parent / f".{out.name}-unfinished")
    key = f"sft-{fingerprint(FORMAT, same)}"
    seen, seconds = _descend(model, rows, steps, settings, stream, journal, key, end if pad is None else pad, progress)
    loss, text_bytes = held_out_loss(model, held, end if pad is None else pad, tokenizer)
    tokens = sum(len(row) - 1 for row in held)
    summary = SftSummary(
        parameters=count,
        steps=steps,
        tokens_seen=seen,
        tokens_per_second=round(seen / seconds) if seconds > 0 else None,
        held_out_documents=int(judged.sum()),
        held_out_tokens=tokens,
        held_out_loss=loss,
        perplexity=math.exp(loss),
        bits_per_byte=loss * tokens / math.log(2) / text_bytes,
        versions=versions(),
    )
    _save(model, tokenizer, out, {**summary.as_json(), "settings": same})
    journal.clear()
    return summary


def _finished(out: Path, same: Mapping[str, Any]) -> SftSummary | None:
    path = out / "sft.json"
    if not path.is_file():
        return None
    content = read_stamped(path, "run `pluralign llm sft` again, with another --out")
    stored = content.pop("settings", None)
    if stored != json.loads(json.dumps(same)):
        raise InputError("holds a model trained with other settings", file=out, fix="choose another --out")
    try:
        return SftSummary(**content)
    except TypeError as error:
        raise InputError(f"is no summary of this version ({error})", file=path, fix="choose another --out") from error


def _windows(
    documents: list[str], tokenizer: Any, settings: SftSettings, start: int | None, end: int
) -> list[NDArray[Any]]:
    """Passages as token rows <s> ... </s>; one that is longer than `length` is cut and then has no end."""
    texts = [part for document in documents for part in passages(document, settings.passage_words)]
    rows = []
    for lo in range(0, len(texts), 4096):
        for ids in tokenizer(texts[lo : lo + 4096], add_special_tokens=False)["input_ids"]:
            row = [*([] if start is None else [start]), *ids, end][: settings.length]
            if len(row) > 2:
                rows.append(np.array(row, dtype=np.int32))
    return rows


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


def _order(n: int, batch: int, lengths: NDArray[Any], epoch: int, stream: Stream) -> list[NDArray[Any]]:
    full = step_batches(lengths, batch, stream.child(f"epoch/{epoch}"))
    return [rows for rows in full if len(rows) == batch]


def _descend(
    model: Any, rows: list[NDArray[Any]], steps: int, settings: SftSettings, stream: Stream, journal: Journal, key: str,
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
    found = journal.read(key)
    if found is not None:
        step, seen = _resume(found, parameters, optimizer)
        progress(f"resumed at step {step}")
    first, began, fresh = step, time.monotonic(), 0
    epoch, done = 0, 0
    smooth = float("nan")
    while step < steps:
        for chosen in _order(len(rows), settings.batch, lengths, epoch, stream):
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
            loss.backward()  # type: ignore[no-untyped-call]
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
                _keep(journal, key, parameters, optimizer, step, seen)
        epoch += 1
    took = time.monotonic() - began
    return seen, took * seen / fresh if fresh else 0.0


def _keep(
    journal: Journal,
    key: str,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    step: int,
    seen: int,
) -> None:
    tensors = {f"parameter/{name}": value.detach().clone() for name, value in parameters.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": torch.as_tensor(value).clone() for name, value in moments.items()}
    journal.write(key, tensors, {"step": step, "seen": seen})


def _resume(found: Any, parameters: _Parameters, optimizer: torch.optim.Optimizer) -> tuple[int, int]:
    tensors, notes = found
    state: dict[int, dict[str, torch.Tensor]] = {}
    with torch.no_grad():
        for name, value in tensors.items():
            kind, rest = name.split("/", 1)
            if kind == "parameter":
                parameters[rest].copy_(value)
            else:
                number, moment = rest.split("/")
                state.setdefault(int(number), {})[moment] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(notes["step"]), int(notes["seen"])


def held_out_loss(model: Any, rows: list[NDArray[Any]], pad: int, tokenizer: Any) -> tuple[float, int]:
    """Mean nats a token on rows the model was not trained on, and the bytes of their text."""
    device = next(model.parameters()).device
    model.eval()
    total, count, text_bytes = 0.0, 0, 0
    with torch.inference_mode():
        for lo in range(0, len(rows), 64):
            part = rows[lo : lo + 64]
            losses = _token_losses(model, *_batch(part, pad, device))
            total, count = total + float(losses.double().sum()), count + losses.numel()
            text_bytes += sum(len(t.encode()) for t in tokenizer.batch_decode(part, skip_special_tokens=True))
    return total / count, text_bytes


def _save(model: Any, tokenizer: Any, out: Path, summary: Mapping[str, Any]) -> None:
    """The whole folder under a temporary name, then one rename."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        model.save_pretrained(temporary, safe_serialization=True)
        tokenizer.save_pretrained(temporary)
        write_json(temporary / "sft.json", stamped(summary))
        temporary.chmod(0o755)
        if out.exists():
            out.rmdir()
        os.replace(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
