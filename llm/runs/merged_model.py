"""One group's adapter in the weights of its base: a model that serves like any other, of one policy.

The ensemble is no such model. It draws a policy for each response; no weights say that, and a weighted mean of updates
is another policy (`merged_adapter` is the baseline that shows it).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from llm.base.device import choose_arithmetic, pick_device
from llm.base.float32_arithmetic import SHORT
from llm.base.folder_format import file_checksum, require_unchanged, stamped
from llm.base.gguf_models import plain_folder
from llm.base.identity import hash_of_files, tokenizer_change, tokenizer_hash, versions, weights_hash
from llm.base.model_folder import base_folder, into_weights, with_adapter
from llm.base.new_folder import new_folder
from llm.base.progress import Progress
from llm.base.small_mistral import load_base
from llm.runs.minmax_runs import direct_adapter
from llm.runs.open_run import base_of
from llm.runs.run_folder import TRAIN_AGAIN, MixtureFile, read_mixture
from sim.errors import InputError
from sim.files.atomic import require_place, write_json
from sim.reading import load_json

MERGED = "merged.json"
_DIRECT = "direct"
# Names under which people ask for the ensemble.
_ENSEMBLE = ("mixture", "ensemble", "all", "minmax")
# Largest difference of logits that float32 may make between the two orders of arithmetic, in units of the largest.
TOLERANCE = 1e-4
_PROBE_TOKENS = 64


@dataclass(frozen=True)
class MergedModel:
    """What was written, and what it moved, on a probe of 64 tokens.

    dtype: of the weights in the folder.  merging: largest change of a logit between base with adapter and the merged
    weights, both in float32.  rounding: the same between the merged weights in float32 and in `dtype`; and
    rounding_log_probability of a next token's log-probability, nats (0 of a float32 base).  largest_logit: to compare.
    """

    group: str
    folder: str
    base_hash: str
    tokenizer_hash: str
    adapter: str
    dtype: str
    merging: float
    rounding: float
    rounding_log_probability: float
    largest_logit: float
    versions: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def merge_group_model(
    run: str | Path, group: str | int, out: str | Path, *, model: str | Path | None = None, device: str = "auto",
    progress: Progress = lambda text: None,
) -> MergedModel:  # fmt: skip
    """Write base plus adapter as a plain folder of transformers: safetensors, tokenizer, generation config, template.

    group: an adapter of the run (group_0 or 0), or direct.  model: where the base lies now, if it was moved.
    Weights are merged in float32 and stored in the dtype that the base has them in.
    Errors: InputError where the run was changed, has no such group, or was trained on another base; where `out` exists;
    and of the ensemble, which is no one model.
    """
    folder, target = Path(run), Path(out)
    mixture = read_mixture(folder)
    require_unchanged(folder, mixture.files, TRAIN_AGAIN)
    name, adapter = _adapter_of(folder, mixture, group)
    if os.path.lexists(target):
        raise InputError("exists already", file=target, fix="name another folder")
    require_place(target)
    given = base_of(mixture, folder, model)
    place = plain_folder(given, progress)
    other = "base" if hash_of_files(mixture.base_hash) != weights_hash(given) else ""
    if other := other or tokenizer_change(mixture.tokenizer_hash, tokenizer_hash(given)):
        raise InputError(
            f"the {other} in {given} is not the one this run was trained on", file=folder,
            fix="give the right one with --model",
        )  # fmt: skip
    if hash_of_files(mixture.base_hash) != mixture.base_hash:
        progress("note: this run was trained on the base in 4 bits; merged into the whole one it is another policy")
    choose_arithmetic(pick_device(device))
    network, tokenizer = load_base(place, pick_device(device), progress=progress)
    dtype = stored_dtype(place)
    progress(f"merging {name} into {sum(value.numel() for value in network.parameters()):,} parameters ({dtype})")
    moved, merged = _merge(network, adapter, dtype)
    told = MergedModel(
        group=name, folder=str(target), base_hash=mixture.base_hash, tokenizer_hash=mixture.tokenizer_hash,
        adapter=file_checksum(adapter / "adapter_model.safetensors"), dtype=str(dtype).removeprefix("torch."),
        versions=versions(), **moved,
    )  # fmt: skip
    content = {key: value for key, value in told.as_json().items() if key != "folder"}
    _save(merged, tokenizer, base_folder(place), target, content)
    return told


def _adapter_of(folder: Path, mixture: MixtureFile, group: str | int) -> tuple[str, Path]:
    """(name, folder) of the adapter that was asked for."""
    name = f"group_{group}" if isinstance(group, int) or group.isdecimal() else group
    if name in mixture.adapters:
        return name, folder / name
    if name == _DIRECT and (direct := direct_adapter(folder)) is not None:
        return name, direct
    there = ", ".join(mixture.adapters)
    if name in _ENSEMBLE:
        raise InputError(
            f"group: the ensemble of {folder} is no one model: it draws one of {there} for each response, and a mean "
            "of their weights is another policy",
            fix="merge one of them, or serve all beside each other (docs/serving.md)",
        )  # fmt: skip
    raise InputError(f"group: no '{name}' in {folder}", fix=f"choose one of {there}")


def stored_dtype(place: Path) -> torch.dtype:
    """Of a model folder's weights, by its configuration; float32 where that says nothing."""
    content = load_json((base_folder(place) / "config.json").read_text(encoding="utf-8"))
    known = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    text = content.get("text_config") or {}
    named = (own.get(key) for own in (content, text) for key in ("dtype", "torch_dtype"))
    return known.get(next((name for name in named if name), ""), torch.float32)


def _merge(network: Any, adapter: Path, dtype: torch.dtype) -> tuple[dict[str, float], Any]:
    """What merging moves, and the model with the adapter in its weights, in `dtype`.  network: float32, taken over."""
    probe = _probe(network)
    wrapped = with_adapter(network, adapter)
    wanted = _logits(wrapped, probe)
    merged = into_weights(wrapped, adapter)
    found = _logits(merged, probe)
    largest, merging = float(wanted.abs().max()), float((found - wanted).abs().max())
    if not merging <= TOLERANCE * max(1.0, largest):
        raise InputError(
            f"the merged weights give other logits than base and adapter, by {merging:.3g} of {largest:.3g}",
            file=adapter, fix="serve the adapter beside its base",
        )  # fmt: skip
    moved = {"merging": merging, "largest_logit": largest, "rounding": 0.0, "rounding_log_probability": 0.0}
    if dtype in SHORT:
        # Rounded, and computed in float32 once more: what storing alone moves. Buffers are no part of what is stored.
        for value in merged.parameters():
            value.data = value.data.to(dtype).float()
        rounded = _logits(merged, probe)
        moved["rounding"] = float((rounded - found).abs().max())
        moved["rounding_log_probability"] = float((rounded.log_softmax(-1) - found.log_softmax(-1)).abs().max())
        for value in merged.parameters():
            value.data = value.data.to(dtype)
    return moved, merged


def _logits(model: Any, probe: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=probe, use_cache=False).logits
    return logits.float()


def _probe(network: Any) -> torch.Tensor:
    """Token numbers all over the vocabulary; (1, 64), the same for everybody."""
    size = int(network.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, size, (1, _PROBE_TOKENS), generator=generator).to(next(network.parameters()).device)


def _save(model: Any, tokenizer: Any, base: Path, target: Path, told: Mapping[str, Any]) -> None:
    own = base / "generation_config.json"
    with new_folder(target) as fresh:
        model.save_pretrained(fresh, safe_serialization=True)
        tokenizer.save_pretrained(fresh)
        if own.is_file():
            # As the base has it: what transformers writes leaves out what it does not know.
            shutil.copyfile(own, fresh / own.name)
        write_json(fresh / MERGED, stamped(told))
