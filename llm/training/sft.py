"""A policy to start from, offline: next-token training of a small Mistral, or of a pretrained model, on plain text."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llm.base.device import pick_device
from llm.base.folder_format import FORMAT, checksums, file_checksum, read_stamped, require_unchanged, stamped
from llm.base.identity import require_same_model, tokenizer_hash, versions, weights_hash
from llm.base.journal import Journal, fingerprint
from llm.base.plain_text import Document, read_documents
from llm.base.progress import Progress
from llm.base.small_mistral import SIZES, load_base, new_mistral, train_tokenizer
from llm.base.tensor_files import computed_in, disk_errors
from llm.base.texts import response_text
from llm.base.tokens import embeddings_of, require_embedded
from llm.training.batches import CUT, n_batches
from llm.training.next_token_training import Checkpoints, descend, held_out_loss, token_rows
from llm.training.sft_settings import SftSettings
from sim.errors import InputError
from sim.files.atomic import write_json
from sim.files.locks import held
from sim.files.own_folder import lies_at, take_place
from sim.settings import resolved
from sim.streams import Stream


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


_FREE = ("threads", "device", "checkpoint_steps")
_AGAIN = "run `pluralign llm sft` again, with another --out"


def train_sft(settings: SftSettings, out: str | Path, progress: Progress = lambda text: None) -> SftSummary:
    """Train, and write a model folder with sft.json; a finished one is returned, an interrupted one resumed.

    Two processes never work at one folder: the second is refused.
    """
    out = Path(out)
    finished = _finished(out, settings, progress)
    if finished is not None:
        return finished
    unfinished = out.parent / f".{out.name}-unfinished"
    with held(unfinished):
        # Between the look and the lock another process may have ended it.
        summary = _finished(out, settings, progress) or _train(settings, out, Journal(unfinished, progress), progress)
    with suppress(OSError):  # of a training that was killed and ended now
        unfinished.rmdir()
    return summary


def _train(settings: SftSettings, out: Path, journal: Journal, progress: Progress) -> SftSummary:
    if out.exists() and (not out.is_dir() or any(not own.match(".*") for own in out.iterdir())):
        raise InputError("exists and is no model of this command", file=out, fix="choose another --out")
    if not settings.data:
        raise InputError("no data", field="data", fix="give a file of texts (--data FILE)")
    device = pick_device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    stream = Stream(settings.seed, "sft")
    training, judged = _split(
        read_documents(settings.data, settings.limit, tidied=settings.tidy), settings.held_out, stream
    )
    data = file_checksum(Path(settings.data))
    if settings.model is None:
        texts = [text for text in training if isinstance(text, str)]
        if len(texts) < len(training):
            raise InputError(
                "conversations need a model with a chat template", file=settings.data, field="messages",
                fix="give --model FOLDER, or texts",
            )  # fmt: skip
        size = SIZES[settings.size]
        progress(
            f"tokenizer of {size.vocabulary} tokens from {min(len(training), settings.tokenizer_documents)} documents"
        )
        tokenizer = train_tokenizer(texts[: settings.tokenizer_documents], size.vocabulary)
        model = new_mistral(size, max(512, settings.length), stream.child("model"), device)
    else:
        model, tokenizer = load_base(settings.model, device, progress=progress)
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    rows = token_rows(training, tokenizer, settings, start, end)
    held_rows = token_rows(judged, tokenizer, settings, start, end)
    if (embeddings := embeddings_of(model)) is not None:
        for row in (*rows, *held_rows):
            require_embedded(row, embeddings, str(settings.model or ""))
    if not any(response_text(tokenizer, row[:1], row[1:]) for row in held_rows):
        raise InputError(
            f"the {len(judged)} held-out documents are too short to be judged by (no passage has three tokens)",
            file=settings.data, field="held_out", fix="raise it, or take another seed",
        )  # fmt: skip
    if len(rows) < settings.batch:
        raise InputError(
            f"{len(rows)} passages do not fill a batch of {settings.batch}", file=settings.data,
            fix="give more text or a smaller batch",
        )  # fmt: skip
    steps = settings.steps or max(1, round(settings.epochs * n_batches(len(rows), settings.batch)))
    count = sum(p.numel() for p in model.parameters())
    progress(f"{count:,} parameters; {len(rows):,} passages, {sum(map(len, rows)):,} tokens; {steps} steps")
    hashes = () if settings.model is None else (weights_hash(settings.model), tokenizer_hash(settings.model))
    origin = {"data": data, "base": list(hashes), **computed_in(model)}
    kept = Checkpoints(journal, f"sft-{fingerprint(FORMAT, CUT, _deciding(settings), origin)}")
    _look_at_what_is_there(kept, progress)
    # Padding is never seen, so any token will do: some tokenizers were given a pad that the model was not.
    pad = end if pad is None or (embeddings is not None and pad >= embeddings) else pad
    seen, seconds = descend(model, rows, steps, settings, stream, kept, pad, progress)
    loss, text_bytes = held_out_loss(model, held_rows, pad, tokenizer)
    tokens = sum(len(row) - 1 for row in held_rows)
    summary = SftSummary(
        parameters=count,
        steps=steps,
        tokens_seen=seen,
        tokens_per_second=round(seen / seconds) if seconds > 0 else None,
        held_out_documents=len(judged),
        held_out_tokens=tokens,
        held_out_loss=loss,
        perplexity=math.exp(loss),
        bits_per_byte=loss * tokens / math.log(2) / text_bytes,
        versions=versions(),
    )
    _save(model, tokenizer, out, {**summary.as_json(), "settings": _deciding(settings), "origin": origin})
    journal.clear()
    return summary


def _deciding(settings: SftSettings) -> dict[str, Any]:
    """The settings that decide the result."""
    return {key: value for key, value in resolved(settings).items() if key not in _FREE}


def _look_at_what_is_there(kept: Checkpoints, progress: Progress) -> None:
    """Unfinished work of other settings, data, dtype or device has another key: it is left behind, and said to be."""
    folder = kept.journal.folder
    assert folder is not None
    others = [path for path in folder.glob("sft-*.safetensors") if path.stem != kept.key]
    if others and not (folder / f"{kept.key}.safetensors").is_file():
        progress(f"note: what {folder} holds is of other settings, data or device, and is not continued")


def _split(documents: list[Document], held_out: float, stream: Stream) -> tuple[list[Document], list[Document]]:
    """(documents to train on, documents to be judged on), each in the file's order.

    All copies of a document are on one side: `held_out` is the share of different documents.
    """
    written = [json.dumps(document, sort_keys=True) for document in documents]
    number = {text: j for j, text in enumerate(dict.fromkeys(written))}
    if len(documents) > 1 and len(number) == 1:
        raise InputError(
            f"its {len(documents)} documents are copies of one: nothing is left to be judged by", field="data",
            fix="give different texts",
        )  # fmt: skip
    chosen = np.zeros(len(number), dtype=np.bool_)
    chosen[stream.child("held-out").permutation(len(number))[: max(1, round(held_out * len(number)))]] = True
    judged = chosen[[number[text] for text in written]]
    return (
        [text for text, held in zip(documents, judged, strict=True) if not held],
        [text for text, held in zip(documents, judged, strict=True) if held],
    )


def _finished(out: Path, settings: SftSettings, progress: Progress) -> SftSummary | None:
    """The summary of a training that ended in this folder, as it was and on the same data; None where none has."""
    path = out / "sft.json"
    if not path.is_file():
        return None
    content = read_stamped(path, _AGAIN)
    stored, origin, files = (content.pop(name, None) for name in ("settings", "origin", "files"))
    if stored != json.loads(json.dumps(_deciding(settings))):
        raise InputError("holds a model trained with other settings", file=out, fix="choose another --out")
    try:
        summary, data = SftSummary(**content), origin["data"]
        base = dict(zip(("weights", "tokenizer"), origin["base"], strict=False))
        require_unchanged(out, files, _AGAIN)
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"is no summary of this version ({error})", file=path, fix="choose another --out") from error
    if not Path(settings.data).is_file():
        raise InputError(f"is not there, and {out} was trained on it", file=settings.data, field="data",
                         fix="put it back")  # fmt: skip
    if file_checksum(Path(settings.data)) != data:
        raise InputError(
            f"was changed since {out} was trained on it", file=settings.data, field="data",
            fix="put the old one back, or train with another --out",
        )  # fmt: skip
    if settings.model is not None:
        require_same_model(settings.model, base.get("weights", ""), base.get("tokenizer", ""), out)
    progress(f"{out} is finished; nothing to do")
    return summary


def _save(model: Any, tokenizer: Any, out: Path, summary: Mapping[str, Any]) -> None:
    """The whole folder under a temporary name, then one rename."""
    out = lies_at(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        with disk_errors(out):
            model.save_pretrained(temporary, safe_serialization=True)
            tokenizer.save_pretrained(temporary)
        files = checksums(temporary, sorted(path.name for path in temporary.iterdir()))
        write_json(temporary / "sft.json", stamped({**summary, "files": files}))
        temporary.chmod(0o755)
        take_place(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
