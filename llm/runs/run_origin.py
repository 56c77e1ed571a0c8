"""What a run's numbers come from beside its settings: its data, its base, and the numbers it is computed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from llm.base.embeddings import sentence_folder
from llm.base.folder_format import file_checksum
from llm.base.identity import folder_hash, require_same_model, tokenizer_change
from llm.base.shared_base import SharedBase
from llm.data.data_settings import DataSettings
from sim.errors import InputError
from sim.files.answer_sources import parts_of


@dataclass(frozen=True)
class Origin:
    """base, tokenizer: hashes of their files.  data: "train" (and "test") -> checksum of the file's bytes, or of a
    folder's files; "embedding" -> of the sentence model's folder, where responses are embedded by one.  dtype, device:
    of the base's weights; of a GPU, its name too.  scoring: dtype of scores.  start: of the adapters that the run's
    begin at.  folder: where relative paths of the settings count from, "" where that was not kept."""

    base: str
    tokenizer: str
    data: Mapping[str, str]
    dtype: str
    device: str
    scoring: str
    start: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""

    def as_json(self) -> dict[str, Any]:
        """Without `folder`, of which no number comes."""
        return {key: value for key, value in asdict(self).items() if key != "folder"}


def origin_of(
    base: SharedBase, hashes: Mapping[str, str], settings: DataSettings, embedding: str, start: Mapping[str, str]
) -> Origin:
    data = {name: data_checksum(path) for name, path in _files(settings).items()}
    if embedding != "hidden":
        data["embedding"] = folder_hash(sentence_folder(embedding))
    return Origin(base=hashes["base"], tokenizer=hashes["tokenizer"], data=data, start=start, **base.computed_in)


def read_origin(content: Any, file: Path, fix: str) -> Origin:
    """The `origin` of a config.json or run.json."""
    try:
        # Runs begun before scores had a dtype of their own have that of the base.
        return Origin(**{"scoring": content["dtype"], **content})
    except (TypeError, KeyError) as error:
        raise InputError(f"is not a run of this version ({error})", file=file, fix=fix) from error


def data_checksum(path: str) -> str:
    """Checksum of everything that is read of a path: a file, or the parts of a folder in their order."""
    parts = [part.path for part in parts_of(path)]
    found = [file_checksum(part) for part in parts]
    return found[0] if not Path(path).is_dir() else "+".join(
        f"{part.name}:{checksum}" for part, checksum in zip(parts, found, strict=True)
    )  # fmt: skip


def require_same_data(origin: Origin, settings: DataSettings, folder: Path) -> None:
    """InputError where a file that a run was trained on is gone, or is not what it was."""
    for name, path in _files(settings).items():
        field = f"data.{name}"
        if not Path(path).exists():
            raise InputError(f"is not there, and {folder} was trained on it", file=path, field=field, fix="put it back")
        if data_checksum(path) != origin.data.get(name):
            raise InputError(
                f"was changed since {folder} was trained on it", file=path, field=field,
                fix="put the old one back, or train with another --out",
            )  # fmt: skip


def find_same_data(origin: Origin, settings: DataSettings, folder: Path, named: Sequence[str] = ()) -> DataSettings:
    """The settings with the places where the files of training lie now: one named anew, else as it was given, seen
    from here or from the folder the run was trained in.  InputError where none of them holds what it was trained on.
    """
    sums = {place: data_checksum(place) for place in named}
    for place, own in sums.items():
        if own not in origin.data.values():
            raise InputError(
                f"is not what {folder} was trained on", file=place, field="--trained-on",
                fix="name the file of training, unchanged",
            )  # fmt: skip
    found = {}
    for name, path in _files(settings).items():
        wanted = origin.data.get(name)
        places = list(dict.fromkeys([path, str(Path(origin.folder, path)) if origin.folder else path]))
        there = [place for place in places if Path(place).exists()]
        same = [place for place, own in sums.items() if own == wanted]
        same = same or [place for place in there if data_checksum(place) == wanted]
        if not same:
            looked = " and ".join(dict.fromkeys(str(Path(place).absolute()) for place in places))
            why = "was changed since" if there else "is not there, and"
            raise InputError(
                f"{why} {folder} was trained on it", file=path, field=f"data.{name}",
                fix=f"put the old one back, or say where it lies with --trained-on FILE (looked for {looked})",
            )  # fmt: skip
        found[name] = same[0]
    return replace(settings, **found)


def require_same_models(origin: Origin, model: str, embedding: str, folder: Path) -> None:
    """InputError where the base, or the sentence model, that a finished run was trained with is another one now."""
    require_same_model(model, origin.base, origin.tokenizer, folder)
    wanted = origin.data.get("embedding")
    if wanted is None:
        return
    try:
        place = sentence_folder(embedding)
    except InputError:  # its package is gone, and not needed any more
        return
    if Path(place).exists() and folder_hash(place) != wanted:
        raise InputError(
            f"was changed since {folder} was trained with it", file=place, field="groups.embedding",
            fix="put the old one back, or train with another --out",
        )  # fmt: skip


def require_same_origin(before: Origin, now: Origin, folder: Path) -> None:
    """InputError where an unfinished run would go on with other data, another base, or in other numbers."""
    fix = "give what it began with, or delete the folder, or choose another --out"
    for name, same in (
        ("data", before.data == now.data), ("base", before.base == now.base),
        ("tokenizer", not tokenizer_change(before.tokenizer, now.tokenizer)), ("lora.start", before.start == now.start),
    ):  # fmt: skip
        if not same:
            raise InputError(f"holds an unfinished run; its {name} changed since it began", file=folder, fix=fix)
    if computed_in(before) != computed_in(now):
        raise InputError(
            f"holds an unfinished run, begun {computed_in(before)}, and this is {computed_in(now)}", file=folder,
            fix="set dtype, scoring and --device as they were, or delete the folder, or choose another --out",
        )  # fmt: skip


def computed_in(origin: Origin) -> str:
    scored = f", scored in {origin.scoring}" if origin.scoring != origin.dtype else ""
    return f"in {origin.dtype} on {origin.device}{scored}"


def _files(settings: DataSettings) -> dict[str, str]:
    return {name: path for name, path in (("train", settings.train), ("test", settings.test)) if path}
