"""`train`: preferences and a base in, a run folder out; and a run folder opened again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from llm.base.device import pick_device, pick_dtype
from llm.base.embeddings import hidden_state_embeddings, sentence_embeddings
from llm.base.folder_format import read_stamped, stamped
from llm.base.generation import Sampling
from llm.base.identity import tokenizer_hash, versions, weights_hash
from llm.base.journal import Journal
from llm.base.shared_base import LoraSettings, SharedBase
from llm.base.small_mistral import load_base
from llm.base.tokens import TokenStore
from llm.data.preference_text import AnswerSet, DataSettings, TextPreferences, load_preferences
from llm.runs.run_folder import TRAIN_AGAIN, MixtureFile, read_mixture, save_metrics, save_run
from llm.training.adapter_policy import AdapterPolicy
from llm.training.adapter_training import DPOTraining, FitReport
from llm.training.group_training import GroupFit, GroupSettings, Method, adjusted_rand_index, fit_groups
from sim.errors import InputError
from sim.files.atomic import write_json
from sim.preferences import FloatArray
from sim.settings import resolved, settings_from
from sim.streams import Stream

Progress = Callable[[str], None]


@dataclass(frozen=True)
class RunSettings:
    """All of a training run; see the sections' own docstrings.

    model: folder of the base.  beta: temperature of the policies against the reference.  keep_journal: keep the
    finished pieces that a restart would read; they are removed at the end otherwise.
    """

    model: str = ""
    method: Method = "em-dpo"
    beta: float = 0.1
    data: DataSettings = field(default_factory=DataSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: DPOTraining = field(default_factory=DPOTraining)
    groups: GroupSettings = field(default_factory=GroupSettings)
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int | None = None
    eval_tokens: int | None = None
    keep_journal: bool = False

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ValueError(f"beta must be positive (got {self.beta})")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative (got {self.seed})")


# What changes neither the path nor the result of a run.
_FREE = ("device", "threads", "keep_journal")


def open_base(
    model: str, settings: RunSettings, hashes: dict[str, str] | None = None
) -> tuple[SharedBase, Any, dict[str, str]]:
    """(shared base, tokenizer, hashes of base and tokenizer) of a model folder."""
    import torch

    if not model:
        raise InputError("no model", field="model", fix="give the folder of a causal language model (--model FOLDER)")
    device = pick_device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    network, tokenizer = load_base(model, device, pick_dtype(settings.dtype, device))
    found = {"base": weights_hash(model), "tokenizer": tokenizer_hash(model)}
    end = tokenizer.eos_token_id
    if end is None:
        raise InputError("its tokenizer has no end token", file=model, fix="set eos_token in tokenizer_config.json")
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    base = SharedBase(
        network, TokenStore(), pad=pad, end=end, lora=settings.lora, identity=found["base"],
        eval_tokens=settings.eval_tokens,
    )  # fmt: skip
    return base, tokenizer, found


def window_of(base: SharedBase, settings: DataSettings) -> int:
    longest = int(getattr(base.model.config, "max_position_embeddings", 512) or 512)
    if settings.window is not None and settings.window > longest:
        raise InputError(
            f"the model reads {longest} tokens, the window is {settings.window}", field="data.window", fix="lower it"
        )
    return settings.window or min(512, longest)


def train_run(settings: RunSettings, out: str | Path, progress: Progress = lambda text: None) -> dict[str, Any]:
    """Fit the policies of a run and write its folder; a finished one is returned, an interrupted one resumed."""
    out = Path(out)
    plain = resolved(settings)
    same = {key: value for key, value in plain.items() if key not in _FREE}
    finished = _finished(out, same)
    if finished is not None:
        progress(f"{out} is finished; nothing to do")
        return finished
    base, tokenizer, hashes = open_base(settings.model, settings)
    stream = Stream(settings.seed, "llm")
    window = window_of(base, settings.data)
    data = load_preferences(settings.data, tokenizer, base.store, window, stream)
    for note in data.notes:
        progress(f"note: {note}")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "config.json", stamped({**plain, "versions": versions()}))
    journal = Journal(out / "journal")
    _prepare_reference(base, data, hashes, out, journal, progress)
    rows: list[dict[str, Any]] = []
    candidates = (
        [1] if settings.method == "dpo"
        else [settings.groups.types] if settings.groups.types is not None
        else list(range(1, settings.groups.max_types + 1))
    )  # fmt: skip
    if max(candidates) > data.train.pairs.n_annotators:
        raise InputError(
            f"{max(candidates)} types need at least as many annotators ({data.train.pairs.n_annotators} train)",
            field="groups.types", fix="ask for fewer",
        )  # fmt: skip
    if len(candidates) > 1 and not len(data.held_out):
        raise InputError("choosing types needs held-out answers", field="data.held_out", fix="set it above 0")
    fits: dict[int, GroupFit] = {}
    for n_types in candidates:
        fits[n_types] = _fit_candidate(
            n_types, settings, base, tokenizer, data, stream, journal, out, rows, progress, many=len(candidates) > 1
        )
    best = max(fits, key=lambda k: fits[k].held_out) if len(fits) > 1 else candidates[0]
    fit = fits[best]
    mixture = MixtureFile(
        base=str(settings.model), base_hash=hashes["base"], tokenizer_hash=hashes["tokenizer"], beta=settings.beta,
        method=settings.method, adapters=tuple(f"group_{k}" for k in range(best)),
        mixture=tuple(fit.mixture.tolist()), append_end=settings.data.append_end, window=window,
    )  # fmt: skip
    counts = np.bincount(data.train.pairs.annotator, minlength=data.train.pairs.n_annotators)
    save_run(out, base, fit, mixture, data.train.annotators, counts)
    summary = _summary(settings, fit, best, fits, data, mixture)
    write_json(out / "run.json", stamped({**summary, "settings": same}))
    if not settings.keep_journal:
        journal.clear()
    return summary


def _finished(out: Path, same: Mapping[str, Any]) -> dict[str, Any] | None:
    # An unfinished run of another format is refused like a finished one: its journal would be read as if it were ours.
    for name in ("config.json", "run.json"):
        if (out / name).is_file():
            content = read_stamped(out / name, TRAIN_AGAIN)
    path = out / "run.json"
    if not path.is_file():
        return None
    try:
        stored = content.pop("settings")
    except KeyError as error:
        raise InputError("is not a run of this version", file=path, fix="choose another --out") from error
    if stored != json.loads(json.dumps(same)):
        changed = sorted(key for key in same if stored.get(key) != json.loads(json.dumps(same[key])))
        raise InputError(
            f"holds a run with other settings ({', '.join(changed)})", file=out, fix="choose another --out"
        )
    return content


def _prepare_reference(
    base: SharedBase, data: TextPreferences, hashes: dict[str, str], out: Path, journal: Journal, progress: Progress
) -> None:
    sets = (data.train, data.held_out)
    contexts = np.concatenate([s.pairs.contexts for s in sets for _ in range(2)])
    responses = np.concatenate([column for s in sets for column in (s.pairs.chosen, s.pairs.rejected)])
    # Distinct rows only: annotators share pairs.
    rows = np.unique(np.stack([contexts, responses], axis=1), axis=0)
    keys = {**hashes, "data": base.store.digest(rows[:, 0], rows[:, 1])}
    progress(f"reference scores of {len(rows)} responses")
    if base.prepare_reference(out / "reference.safetensors", keys, rows[:, 0], rows[:, 1], journal):
        progress(f"reference scores were read from {out / 'reference.safetensors'}")


def _fit_candidate(
    n_types: int,
    settings: RunSettings,
    base: SharedBase,
    tokenizer: Any,
    data: TextPreferences,
    stream: Stream,
    journal: Journal,
    out: Path,
    rows: list[dict[str, Any]],
    progress: Progress,
    many: bool,
) -> GroupFit:
    own = stream.child(f"types/{n_types}")
    state = {"round": 0}

    def on_fit(name: str, report: FitReport) -> None:
        head = {"phase": "fit", "types": n_types, "round": state["round"], "adapter": name}
        rows.extend({**head, **step} for step in report.record)
        rows.append({
            **head, "phase": "fit_end", "steps": report.steps, "n_answers": report.n_answers,
            "skipped_share": report.skipped_share,
            # Beside it the bound: |F - G| <= skipped_share * max(loss kept, loss skipped).
            "loss_last": report.record[-1]["loss"] if report.record else None,
        })  # fmt: skip

    def on_round(row: Mapping[str, Any]) -> None:
        state["round"] = int(row["round"]) + 1
        rows.append({"phase": "round", "types": n_types, **row})
        save_metrics(out / "metrics.jsonl", rows)
        held = row["held_out_log_likelihood"]
        shares = ", ".join(f"{share:.2f}" for share in row["mixture"])
        agreement = f", adjusted Rand index {row['adjusted_rand_index']:.2f}" if "adjusted_rand_index" in row else ""
        progress(
            f"{'K = ' + str(n_types) + ', ' if many else ''}round {row['round']}: shares {shares}; log-likelihood "
            f"{row['log_likelihood']:.1f}; held out {'-' if held is None else format(held, '.4f')}{agreement}"
        )

    policies = []
    for k in range(n_types):
        name = f"group_{k}" if not many else f"k{n_types}_group_{k}"
        role = own.child(f"group/{k}")
        base.add_adapter(name, role.child("start"))
        policies.append(
            AdapterPolicy(
                base, name, beta=settings.beta, training=settings.training, stream=role, sampling=settings.sampling,
                journal=journal, on_fit=on_fit,
            )
        )  # fmt: skip

    def features() -> FloatArray:
        return chosen_embeddings(base, tokenizer, data.train, settings.groups.embedding)

    return fit_groups(
        settings.method, policies, data.train, data.held_out, settings.groups, own, features=features,
        truth=data.train.group, on_round=on_round,
    )  # fmt: skip


def chosen_embeddings(base: SharedBase, tokenizer: Any, answers: AnswerSet, embedding: str) -> FloatArray:
    """Embedding of each chosen response; "hidden" is the base's own mean hidden state, else a sentence model."""
    pairs = answers.pairs
    rows, back = np.unique(np.stack([pairs.contexts, pairs.chosen], axis=1), axis=0, return_inverse=True)
    if embedding == "hidden":
        return hidden_state_embeddings(base, rows[:, 0], rows[:, 1])[back]
    texts = [tokenizer.decode(base.store[r], skip_special_tokens=True) for r in rows[:, 1].tolist()]
    return sentence_embeddings(texts, embedding, str(base.device))[back]


def _summary(
    settings: RunSettings,
    fit: GroupFit,
    n_types: int,
    fits: Mapping[int, GroupFit],
    data: TextPreferences,
    mixture: MixtureFile,
) -> dict[str, Any]:
    truth = data.train.group
    return {
        "method": settings.method,
        "n_types": n_types,
        "mixture": list(mixture.mixture),
        "held_out_log_likelihood": fit.held_out if math.isfinite(fit.held_out) else None,
        "best_round": fit.best_round,
        "status": fit.status,
        "adjusted_rand_index": adjusted_rand_index(truth, fit.responsibilities) if any(truth) else None,
        "candidates": {str(k): (f.held_out if math.isfinite(f.held_out) else None) for k, f in fits.items()},
        "n_annotators": data.train.pairs.n_annotators,
        "n_pairs": len(data.train),
        "n_held_out": len(data.held_out),
        "n_unseen_annotators": data.unseen.pairs.n_annotators,
        "notes": list(data.notes),
        "versions": versions(),
    }


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A finished run: its policies on a shared base, its mixture, the settings it was made with."""

    folder: Path
    base: SharedBase
    tokenizer: Any
    policies: tuple[AdapterPolicy, ...]
    mixture: MixtureFile
    settings: RunSettings

    def preferences(self, data: DataSettings | None = None) -> TextPreferences:
        """The run's own data with its own split, or other data."""
        stream = Stream(self.settings.seed, "llm")
        return load_preferences(
            data or self.settings.data, self.tokenizer, self.base.store, self.mixture.window, stream
        )


def run_settings(folder: str | Path) -> RunSettings:
    """The settings a run was made with."""
    path = Path(folder) / "config.json"
    try:
        content = read_stamped(path, TRAIN_AGAIN)
    except OSError as error:
        raise InputError(
            "holds no config.json", file=folder, fix="give a folder written by pluralign llm train"
        ) from error
    content.pop("versions", None)
    return settings_from(RunSettings, content, str(path))


def open_run(
    folder: str | Path,
    *,
    model: str | None = None,
    device: str | None = None,
    sampling: Sampling | None = None,
    base: tuple[SharedBase, Any] | None = None,
    prefix: str = "",
) -> OpenRun:
    """Load a run's adapters on its base, or on an open one (`base`) under names that begin with `prefix`.

    model: where the base lies now, if it was moved.  The base is refused if its hash differs from the run's.
    """
    folder = Path(folder)
    mixture, settings = read_mixture(folder), run_settings(folder)
    settings = replace(settings, device=device or settings.device)
    if base is None:
        shared, tokenizer, hashes = open_base(model or mixture.base, settings)
        for name, value in (("base", mixture.base_hash), ("tokenizer", mixture.tokenizer_hash)):
            if hashes[name] != value:
                raise InputError(
                    f"the {name} in {model or mixture.base} is not the one this run was trained on", file=folder,
                    fix="give the right one with --model",
                )  # fmt: skip
    else:
        shared, tokenizer = base
        if shared.identity != mixture.base_hash:
            raise InputError("was trained on another base", file=folder, fix="compare runs of one base only")
    policies = []
    for name in mixture.adapters:
        shared.load_adapter(prefix + name, folder / name)
        policies.append(AdapterPolicy(shared, prefix + name, beta=mixture.beta, sampling=sampling or settings.sampling))
    return OpenRun(folder, shared, tokenizer, tuple(policies), mixture, settings)
