"""A model folder opened as a shared base, and a finished run opened on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llm.base.device import choose_arithmetic, own_device, pick_device, pick_dtype
from llm.base.folder_format import read_stamped, require_unchanged
from llm.base.four_bit import require_four_bit
from llm.base.generation import Sampling
from llm.base.identity import base_hash, tokenizer_change, tokenizer_hash
from llm.base.joining import asked_to_shard
from llm.base.journal import Journal
from llm.base.model_folder import end_tokens, longest_input
from llm.base.processes import processes
from llm.base.progress import Progress
from llm.base.sharding import FIELD, mesh_of_all, sharded
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import load_base
from llm.base.tokens import TokenStore
from llm.data.preference_text import DataSettings, TextPreferences, load_preferences
from llm.runs.run_folder import TRAIN_AGAIN, MixtureFile, read_mixture
from llm.runs.run_origin import Origin, computed_in, find_same_data, read_origin
from llm.runs.run_settings import RunSettings
from llm.training.adapter_policy import AdapterPolicy
from sim.errors import InputError
from sim.settings import settings_from
from sim.streams import Stream


def open_base(
    model: str, settings: RunSettings, progress: Progress = lambda text: None
) -> tuple[SharedBase, Any, dict[str, str]]:
    """(shared base, tokenizer, hashes of base and tokenizer) of a model folder."""
    import torch

    if not model:
        raise InputError("no model", field="model", fix="give the folder of a causal language model (--model FOLDER)")
    ours, whole = processes(), not _shards(settings)
    device = own_device(pick_device(settings.device))
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    if settings.four_bit:
        require_four_bit(device)
    choose_arithmetic(device)
    dtype = pick_dtype(settings.dtype, device)
    # A base that does not fit into a device need not fit into memory once a process either.
    mesh = None if whole else mesh_of_all(device)
    with ours.in_turn(one_by_one=not whole):
        network, tokenizer = load_base(model, device if whole else "cpu", dtype, progress, four_bit=settings.four_bit)
        network = network if whole else sharded(network, device, mesh)
        found = {"base": base_hash(model, settings.four_bit), "tokenizer": tokenizer_hash(model)}
    end = tokenizer.eos_token_id
    if end is None:
        raise InputError("its tokenizer has no end token", file=model, fix="set eos_token in tokenizer_config.json")
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    base = SharedBase(
        network, TokenStore(), pad=pad, end=end, ends=end_tokens(network, tokenizer), lora=settings.lora,
        identity=found["base"], eval_tokens=settings.eval_tokens, scoring=settings.scoring,
    )  # fmt: skip
    return base, tokenizer, found


def _shards(settings: RunSettings) -> bool:
    """Whether the base is spread over the processes."""
    if settings.sharding == "full" and processes().world == 1:
        raise InputError(
            "one process has nobody to share a base with", field=FIELD,
            fix="start several with torchrun or accelerate launch, or leave it out",
        )  # fmt: skip
    return settings.sharding == "full" or (settings.sharding == "auto" and processes().world > 1 and asked_to_shard())


def window_of(base: SharedBase, settings: DataSettings) -> int:
    longest = longest_input(base.model.config)
    if settings.window is not None and longest is not None and settings.window > longest:
        raise InputError(
            f"the model reads {longest} tokens, the window is {settings.window}", field="data.window", fix="lower it"
        )
    return settings.window or min(512, longest or 512)


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A finished run: its policies on a shared base, its mixture, the settings it was made with."""

    folder: Path
    base: SharedBase
    tokenizer: Any
    policies: tuple[AdapterPolicy, ...]
    mixture: MixtureFile
    settings: RunSettings
    origin: Origin
    trained_on: tuple[str, ...] = ()

    def preferences(self, data: DataSettings | None = None) -> TextPreferences:
        """The run's own data with its own split (refused if it is not what the run was trained on), or other data."""
        if data is None:
            data = find_same_data(self.origin, self.settings.data, self.folder, self.trained_on)
        stream = Stream(self.settings.seed, "llm")
        return load_preferences(data, self.tokenizer, self.base.store, self.mixture.window, stream)


def run_settings(folder: str | Path) -> RunSettings:
    """The settings a run was made with."""
    return read_config(folder)[0]


def read_config(folder: str | Path) -> tuple[RunSettings, Origin, dict[str, str]]:
    """(settings, origin, versions) of the run that began in a folder."""
    path = Path(folder) / "config.json"
    try:
        content = read_stamped(path, TRAIN_AGAIN)
    except OSError as error:
        raise InputError(
            "holds no config.json", file=folder, fix="give a folder written by pluralign llm train"
        ) from error
    versions, origin = content.pop("versions", {}), content.pop("origin", None)
    return settings_from(RunSettings, content, str(path)), read_origin(origin, path, TRAIN_AGAIN), versions


def base_of(mixture: MixtureFile, folder: Path, model: str | Path | None) -> str:
    """Where the base of a run lies: the one given, or where it was when the run was made; InputError if it is gone."""
    if model is None and not Path(mixture.base).exists():
        raise InputError(
            f"its base, {mixture.base}, is not here (seen from the folder it was trained in)", file=folder,
            fix="give the base's folder with --model",
        )  # fmt: skip
    return str(model or mixture.base)


def open_run(
    folder: str | Path,
    *,
    model: str | None = None,
    device: str | None = None,
    sampling: Sampling | None = None,
    beside: OpenRun | None = None,
    prefix: str = "",
    trained_on: Sequence[str] = (),
    journal: Journal | None = None,
    progress: Progress = lambda text: None,
) -> OpenRun:
    """Load a run's adapters on its base, or on that of an open run (`beside`) under names that begin with `prefix`.

    model, trained_on: where the base and the files of training lie now, if they were moved.  journal: finished samples
    and scores of the policies (see `samples_journal`).  The base is refused if its hash differs from the run's, and so
    is the tokenizer; the folder if a file of it is not as it was written.  Other numbers than those of training, and
    texts read otherwise than those of `beside`, are said to `progress`.
    """
    folder = Path(folder)
    mixture, (settings, origin, _) = read_mixture(folder), read_config(folder)
    require_unchanged(folder, mixture.files, TRAIN_AGAIN)
    # What several processes trained one may use.
    settings = replace(settings, device=device or settings.device, sharding="none")
    if beside is None:
        shared, tokenizer, hashes = open_base(base_of(mixture, folder, model), settings, progress)
        other = "base" if hashes["base"] != mixture.base_hash else ""
        if other := other or tokenizer_change(mixture.tokenizer_hash, hashes["tokenizer"]):
            raise InputError(
                f"the {other} in {model or mixture.base} is not the one this run was trained on", file=folder,
                fix="give the right one with --model",
            )  # fmt: skip
    else:
        shared, tokenizer = beside.base, beside.tokenizer
        if shared.identity != mixture.base_hash:
            raise InputError("was trained on another base", file=folder, fix="compare runs of one base only")
        if tokenizer_change(mixture.tokenizer_hash, beside.mixture.tokenizer_hash):
            raise InputError(
                f"was trained with another tokenizer than {beside.folder}: the same text is other tokens to it",
                file=folder, fix="compare runs of one tokenizer only",
            )  # fmt: skip
        if differs := _read_otherwise(mixture, beside.mixture):
            progress(f"note: {folder} is judged on texts as {beside.folder} reads them: {differs}")
    own = shared.computed_in
    here = replace(origin, dtype=own["dtype"], device=own["device"], scoring=own["scoring"])
    if here != origin:
        progress(f"note: {folder} was trained {computed_in(origin)}, and is used {computed_in(here)}")
    policies = []
    for name in mixture.adapters:
        shared.load_adapter(prefix + name, folder / name)
        policies.append(
            AdapterPolicy(
                shared, prefix + name, beta=mixture.beta, sampling=sampling or settings.sampling, journal=journal
            )
        )
    return OpenRun(folder, shared, tokenizer, tuple(policies), mixture, settings, origin, tuple(trained_on))


def _read_otherwise(mixture: MixtureFile, beside: MixtureFile) -> str:
    """How a run's prompts and responses were made of texts, where another's were made otherwise; "" where they were
    not."""
    differs = []
    for name in ("chat", "append_end", "window", "rendering"):
        its, ours = getattr(mixture, name), getattr(beside, name)
        if its != ours:
            differs.append(f"{name} {_said(ours)} (its own is {_said(its)})")
    return ", ".join(differs)


def _said(value: object) -> str:
    """Tools and templates' arguments may be long."""
    text = json.dumps(value) if value is not None else "as each answer says"
    return text if len(text) <= 60 else text[:57] + "..."
