"""`train`: preferences and a base in, a run folder out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llm.base.folder_format import read_stamped, stamped
from llm.base.identity import hash_of_tokenizer_files, versions
from llm.base.journal import SharedJournal, fingerprint
from llm.base.processes import processes
from llm.base.progress import Progress
from llm.base.sharding import share_held
from llm.base.shared_base import SharedBase
from llm.data.preference_text import TextPreferences, load_preferences
from llm.runs.adapter_start import may_have_seen, require_same_start, start_folders, start_hashes
from llm.runs.model_card import RunNumbers, adapter_cards
from llm.runs.number_of_types import RunInputs, best_types, fit_candidates, require_fitting
from llm.runs.open_run import open_base, read_config, window_of
from llm.runs.run_folder import TRAIN_AGAIN, MixtureFile, read_whole, save_run
from llm.runs.run_origin import (
    Origin,
    origin_of,
    read_origin,
    require_same_data,
    require_same_models,
    require_same_origin,
)
from llm.runs.run_settings import FREE, FREE_IN_TRAINING, RunSettings
from llm.runs.tracking import require_tracker, tracked
from llm.training.group_training import GroupFit, GroupRecord, Method
from sim.answer_kinds.response_choices import ResponseChoices
from sim.errors import InputError
from sim.files.atomic import write_json
from sim.files.locks import held
from sim.files.own_folder import require_own_folder
from sim.partitions import known_rand_index
from sim.preferences import FloatArray, PreferencePairs
from sim.settings import resolved, settings_from
from sim.streams import Stream

_REFERENCE = "reference.safetensors"


@dataclass(frozen=True)
class RunSummary:
    """run.json without the settings: how a run ended.

    held_out_log_likelihood, new_prompts_log_likelihood: mean nats a held-out answer to prompts that were seen and to
    new prompts (None where nothing is held out), at `best_round`, which the first chose, or the second without it (of
    group-dpo those of the worst group).  held_out_coin, new_prompts_coin: the same of a coin, to which every outcome is
    as likely as another (None also in runs of before, which did not say it).
    likelihood, constants: of the answers, and its thresholds between levels or constant of ties by name.
    candidates: the same for each number of types that was tried.  adjusted_rand_index: against known
    groups, of the annotators whose group is known.
    groups: the known ones that group-dpo serves, as at that round (left out where there are none).
    """

    method: Method
    n_types: int
    mixture: tuple[float, ...]
    likelihood: str
    constants: Mapping[str, float]
    held_out_log_likelihood: float | None
    new_prompts_log_likelihood: float | None
    best_round: int
    status: str
    adjusted_rand_index: float | None
    candidates: Mapping[str, float | None]
    n_annotators: int
    n_pairs: int
    n_held_out: int
    n_new_prompts: int
    n_unseen_annotators: int
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    groups: tuple[GroupRecord, ...] = ()
    held_out_coin: float | None = None
    new_prompts_coin: float | None = None

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        if not self.groups:
            del found["groups"]
        return found


def train_run(settings: RunSettings, out: str | Path, progress: Progress = lambda text: None) -> RunSummary:
    """Fit the policies of a run and write its folder; a finished one is returned, an interrupted one resumed.

    Two commands never work in one folder: the second is refused.  Of several processes of one command
    (`llm.base.processes`) all return the summary, and the first has the folder and writes everything in it.
    """
    out, ours = Path(out), processes()
    finished = _finished_for_all(out, settings, progress)
    if finished is not None:
        return finished
    if ours.is_first:
        require_own_folder(out, "run", ("config.json", "journal"))
    with held(out) if ours.is_first else nullcontext():
        # Between the look and the lock another command may have ended it.
        return _finished_for_all(out, settings, progress) or _train(settings, out, progress)


def _finished_for_all(out: Path, settings: RunSettings, progress: Progress) -> RunSummary | None:
    """`_finished`, as the first process sees it."""

    def seen() -> dict[str, Any] | None:
        found = _finished(out, settings, progress)
        return None if found is None else found.as_json()

    content = processes().from_first(seen)
    return None if content is None else _summary_of(content)


def _train(settings: RunSettings, out: Path, progress: Progress) -> RunSummary:
    require_tracker(settings.tracker)
    base, tokenizer, hashes = open_base(settings.model, settings, progress)
    stream = Stream(settings.seed, "llm")
    window = window_of(base, settings.data)
    data = load_preferences(settings.data, tokenizer, base.store, window, stream)
    require_fitting(settings, data, base)
    origin = origin_of(base, hashes, settings.data, settings.groups.embedding, start_hashes(settings.lora))
    ours = processes()
    _require_same_everywhere(settings, origin)
    if ours.is_first:
        _look_at_what_is_there(out, origin, progress)
    for note in [*_who_works(base), *data.notes]:
        progress(f"note: {note}")
    if len(start_folders(settings.lora)) > 1 and settings.method == "em-dpo" and settings.groups.start != "adapters":
        progress(
            f"note: groups begin in the order of groups.start={settings.groups.start}, which knows nothing of whose "
            "lora.start is whose; groups.start=adapters begins with who is served best by which"
        )
    if may_have_seen(settings, origin):
        progress(
            "note: lora.start was made with another seed, on other answers or elsewhere: it may have seen what is held "
            "out here, and held-out numbers are then too good"
        )
    if ours.is_first:
        begun = {
            **resolved(settings),
            "origin": {**origin.as_json(), "folder": str(Path.cwd())},
            "versions": versions(),
        }
        # What is left of an end that was killed: until this one ends there is no mixture to open.
        (out / "mixture.json").unlink(missing_ok=True)
        write_json(out / "config.json", stamped(begun))
    journal = SharedJournal(out / "journal", progress)
    inputs = RunInputs(settings, base, tokenizer, data, stream, journal, out, progress)
    _prepare_reference(inputs, hashes)
    key = fingerprint(_deciding(settings), origin.as_json())
    # Of several processes one tracks.
    tracker = settings.tracker if ours.is_first else "none"
    with tracked(tracker, out, key, resolved(settings), base.device.type, progress) as tracking:
        fits = fit_candidates(replace(inputs, tracking=tracking))
    best = best_types(fits)
    mixture = MixtureFile(
        base=str(settings.model), base_hash=hashes["base"], tokenizer_hash=hashes["tokenizer"], beta=settings.beta,
        method=settings.method, adapters=tuple(f"group_{k}" for k in range(best)),
        mixture=tuple(fits[best].mixture.tolist()), append_end=settings.data.append_end, window=window,
        chat=data.chat, rendering=data.rendering,
    )  # fmt: skip
    summary = _summary(settings.method, fits, best, data)
    if ours.is_first:
        counts = np.bincount(data.train.pairs.annotator, minlength=data.train.pairs.n_annotators)
        cards = adapter_cards(
            settings, mixture, _numbers(summary, data), fits[best].responsibilities, counts, summary.versions
        )
        save_run(out, base, fits[best], mixture, data.train.annotators, counts, cards)
        ended = {**summary.as_json(), "settings": _deciding(settings), "origin": origin.as_json()}
        write_json(out / "run.json", stamped(ended))
        if not settings.keep_journal:
            journal.clear()
    return summary


def _who_works(base: SharedBase) -> list[str]:
    ours = processes()
    if ours.world == 1:
        return []
    held = share_held(base.model)
    return [f"{ours.world} processes share the work" + (f", each with {held:.0%} of the base" if held < 1 else "")]


def _require_same_everywhere(settings: RunSettings, origin: Origin) -> None:
    """InputError where another process was given other settings, or finds another base or other answers."""
    fix = "give every machine the same files and settings"
    for what, value in (
        ("setting", _deciding(settings)), ("base", origin.base), ("tokenizer", origin.tokenizer),
        ("set of answers", dict(origin.data)), ("dtype or device", [origin.dtype, origin.device, origin.scoring]),
        ("version of the libraries", versions()),
    ):  # fmt: skip
        processes().require_same(what, json.dumps(value, sort_keys=True), fix)


def _deciding(settings: RunSettings) -> dict[str, Any]:
    """The settings that decide the result, but for rounding."""
    found = {key: value for key, value in resolved(settings).items() if key not in FREE}
    found["training"] = {key: value for key, value in found["training"].items() if key not in FREE_IN_TRAINING}
    return found


def _look_at_what_is_there(out: Path, origin: Origin, progress: Progress) -> None:
    """Unfinished work of another origin is refused; where nothing was computed yet there is nothing to mix."""
    if not (out / "config.json").is_file() or not ((out / _REFERENCE).exists() or (out / "journal").exists()):
        return
    _, before, made_with = read_config(out)
    require_same_origin(before, origin, out)
    changed = [f"{name} {old} (now {new})" for name, new in versions().items() if (old := made_with.get(name)) != new]
    if changed:
        progress(f"note: {out} was begun with {', '.join(changed)}: a part of its numbers is theirs")


def _finished(out: Path, settings: RunSettings, progress: Progress) -> RunSummary | None:
    """The summary of a run that ended in this folder, as it was and on the same data; None where none has."""
    # An unfinished run of another format is refused like a finished one: its journal would be read as if it were ours.
    content: dict[str, Any] = {}
    for name in ("config.json", "run.json"):
        if (out / name).is_file():
            content = read_stamped(out / name, TRAIN_AGAIN)
    path = out / "run.json"
    if not path.is_file():
        return None
    try:
        stored, origin = content.pop("settings"), read_origin(content.pop("origin"), path, TRAIN_AGAIN)
        summary = _summary_of(content)
    except (KeyError, TypeError) as error:
        raise InputError("is not a run of this version", file=path, fix="choose another --out") from error
    # A setting that there was not yet when the run was made counts as what it is if nobody sets it.
    before = _deciding(settings_from(RunSettings, stored, path))
    same = _deciding(settings)
    changed = sorted(key for key in same if before[key] != same[key])
    if settings.dtype not in ("auto", origin.dtype):
        changed.append("dtype")
    if changed:
        raise InputError(
            f"holds a run with other settings ({', '.join(changed)})", file=out, fix="choose another --out"
        )
    require_same_data(origin, settings.data, out)
    require_same_start(origin.start, settings.lora, out)
    require_same_models(origin, settings.model, settings.groups.embedding, out)
    read_whole(out)
    progress(f"{out} is finished; nothing to do")
    return summary


def _summary_of(content: Mapping[str, Any]) -> RunSummary:
    """What `RunSummary.as_json` wrote."""
    groups = tuple(GroupRecord(**own) for own in content.get("groups", ()))
    lists = {name: tuple(content[name]) for name in ("mixture", "notes")}
    return RunSummary(**{**content, **lists, "groups": groups})


def _prepare_reference(inputs: RunInputs, hashes: Mapping[str, str]) -> None:
    base, file = inputs.base, inputs.out / _REFERENCE
    sets = (inputs.data.train, inputs.data.held_out, inputs.data.new_prompts)
    # Distinct rows only: annotators share pairs.
    rows = np.unique(np.concatenate([np.stack(answers.rows, axis=1) for answers in sets]), axis=0)
    # What the hash holds beside files decides the rows, which are in the key, or nothing of their scores.
    files = hash_of_tokenizer_files(hashes["tokenizer"])
    keys = {**hashes, "tokenizer": files, **base.computed_in, "data": base.store.digest(rows[:, 0], rows[:, 1])}
    inputs.progress(f"reference scores of {len(rows)} responses")
    if base.prepare_reference(file, keys, rows[:, 0], rows[:, 1], inputs.journal, inputs.progress):
        inputs.progress(f"reference scores were read from {file}")


def _summary(method: Method, fits: Mapping[int, GroupFit], best: int, data: TextPreferences) -> RunSummary:
    fit, truth = fits[best], data.train.group
    return RunSummary(
        method=method,
        n_types=best,
        mixture=tuple(fit.mixture.tolist()),
        likelihood=data.likelihood,
        constants=_named(data.train.observations, fit.constants),
        held_out_log_likelihood=_finite(fit.held_out),
        new_prompts_log_likelihood=_finite(fit.new_prompts),
        best_round=fit.best_round,
        status=fit.status,
        adjusted_rand_index=known_rand_index(truth, fit.responsibilities.argmax(axis=1)),
        candidates={str(k): _finite(f.judged) for k, f in fits.items()},
        n_annotators=data.train.pairs.n_annotators,
        n_pairs=len(data.train),
        n_held_out=len(data.held_out),
        n_new_prompts=len(data.new_prompts),
        n_unseen_annotators=data.unseen.pairs.n_annotators,
        notes=tuple(data.notes),
        versions=versions(),
        groups=fit.groups,
        held_out_coin=data.held_out.coin,
        new_prompts_coin=data.new_prompts.coin,
    )


def _numbers(summary: RunSummary, data: TextPreferences) -> RunNumbers:
    """For the adapters' cards."""
    return RunNumbers(
        n_annotators=summary.n_annotators,
        n_answers=summary.n_pairs,
        n_held_out=summary.n_held_out,
        n_new_prompts=summary.n_new_prompts,
        seen=summary.held_out_log_likelihood,
        new=summary.new_prompts_log_likelihood,
        seen_coin=summary.held_out_coin,
        new_coin=summary.new_prompts_coin,
        ended=f"round {summary.best_round}: {summary.status}",
        groups=summary.groups,
    )


def _named(observations: PreferencePairs | ResponseChoices, constants: FloatArray) -> dict[str, float]:
    names = observations.names() if isinstance(observations, ResponseChoices) else ()
    return dict(zip(names, constants.tolist(), strict=True))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
