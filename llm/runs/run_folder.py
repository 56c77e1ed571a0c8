"""A training run as a folder: adapters that plain PEFT loads, the mixture, who belongs where, and how it went."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llm.base.folder_format import checksums, file_checksum, read_stamped, require_unchanged, stamped
from llm.base.journal import Journal
from llm.base.progress import Progress
from llm.base.shared_base import SharedBase
from llm.base.tensor_files import disk_errors
from llm.training.group_training import GroupFit
from sim.errors import InputError
from sim.files.atomic import replacing, write_json, write_text
from sim.files.locks import held
from sim.preferences import FloatArray, IntArray

TRAIN_AGAIN = "run `pluralign llm train` again, with another --out"
RESPONSIBILITIES = "responsibilities.parquet"
EVAL_AGAIN = "run `pluralign llm eval` again"
# What an evaluation takes MinMax weights and the direct policy from.
_JUDGED = ("minmax.json", "direct.json")
MINMAX_AGAIN = "run `pluralign llm minmax` again"


@dataclass(frozen=True)
class MixtureFile:
    """mixture.json: the groups' adapters in order, their shares eta, and MinMax weights once there are any.

    chat: whether prompts are turns of a conversation.  rendering: what the chat template is given beside messages: the
    `tools` and `chat_template_kwargs` of all training answers, None where these differ ({} in runs of before).
    files: name in the folder -> checksum, of everything else that a finished run is read from.
    """

    base: str
    base_hash: str
    tokenizer_hash: str
    beta: float
    method: str
    adapters: tuple[str, ...]
    mixture: tuple[float, ...]
    weights: tuple[float, ...] | None = None
    priorities: tuple[float, ...] | None = None
    append_end: bool = True
    window: int = 512
    chat: bool = False
    rendering: Mapping[str, Any] | None = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def save_adapter(base: SharedBase, name: str, folder: Path, card: str = "") -> None:
    """One PEFT folder, loadable alone by `PeftModel.from_pretrained`.  card: its README.md.

    A new folder is there whole or not at all. In one that is there each file takes its predecessor's place: there is an
    adapter at every moment, and whether its files belong together is what their checksums are for.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        with disk_errors(folder):
            base.peft.save_pretrained(
                temporary, selected_adapters=[name], safe_serialization=True, save_embedding_layers=False
            )
        written = Path(temporary) / name if (Path(temporary) / name).is_dir() else Path(temporary)
        # Of PEFT's own card only headings are filled in.
        (written / "README.md").unlink(missing_ok=True)
        if card:
            (written / "README.md").write_text(card, encoding="utf-8")
        _in_one_order(written / "adapter_config.json")
        if folder.is_dir():
            _replace_files(written, folder)
            return
        written.chmod(0o755)
        os.replace(written, folder)
        Path(temporary).mkdir(exist_ok=True)


def _in_one_order(config: Path) -> None:
    """PEFT writes the layers as a set, whose order differs from process to process: equal adapters, equal files."""
    content = json.loads(config.read_text(encoding="utf-8"))
    for name, value in content.items():
        if name.endswith("_modules") and isinstance(value, list):
            content[name] = sorted(value)
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _replace_files(written: Path, folder: Path) -> None:
    names = {path.name for path in written.iterdir()}
    for name in sorted(names):
        os.replace(written / name, folder / name)
    for old in folder.iterdir():
        if old.name not in names and old.is_file():
            old.unlink()


def save_responsibilities(path: Path, annotators: Sequence[str], gamma: FloatArray, answers: IntArray) -> None:
    """responsibilities.parquet: annotator_id, n_answers, group_0 .. group_{K-1}."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"annotator_id": list(annotators), "n_answers": answers}
    columns |= {f"group_{k}": gamma[:, k] for k in range(gamma.shape[1])}
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_annotators(folder: Path) -> list[str]:
    """Whose answers a run was trained on."""
    import pyarrow.parquet as pq

    names: list[str] = pq.read_table(folder / RESPONSIBILITIES, columns=["annotator_id"])["annotator_id"].to_pylist()
    return names


def save_metrics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """metrics.jsonl, rewritten whole: one row a step, a round or an evaluation."""
    write_text(path, "".join(json.dumps(dict(row)) + "\n" for row in rows))


def save_run(
    out: Path, base: SharedBase, fit: GroupFit, mixture: MixtureFile, annotators: Sequence[str], answers: IntArray,
    cards: Sequence[str],
) -> None:  # fmt: skip
    """Adapters with their cards, responsibilities.parquet and, after them, mixture.json with their checksums."""
    for name, policy, card in zip(mixture.adapters, fit.policies, cards, strict=True):
        save_adapter(base, policy.name, out / name, card)
    save_responsibilities(out / RESPONSIBILITIES, annotators, fit.responsibilities, answers)
    written = checksums(out, [*mixture.adapters, RESPONSIBILITIES, "metrics.jsonl", "config.json"])
    save_mixture(out, replace(mixture, files=written))


def save_mixture(out: Path, mixture: MixtureFile) -> None:
    write_json(out / "mixture.json", stamped(vars(mixture)))


def read_mixture(folder: str | Path) -> MixtureFile:
    """mixture.json of a run, checked."""
    path = Path(folder) / "mixture.json"
    try:
        content = read_stamped(path, TRAIN_AGAIN)
    except OSError as error:
        raise InputError(
            "holds no mixture.json", file=folder, fix="give a folder written by pluralign llm train"
        ) from error
    try:
        lists = {name: None if content.get(name) is None else tuple(content[name])
                 for name in ("adapters", "mixture", "weights", "priorities")}  # fmt: skip
        mixture = MixtureFile(**{**content, **lists})
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"is not a mixture of this version ({error})", file=path, fix="train again") from error
    if len(mixture.adapters) != len(mixture.mixture) or not mixture.adapters:
        raise InputError(
            f"names {len(mixture.adapters)} adapters and {len(mixture.mixture)} shares", file=path, fix="train again"
        )
    return mixture


def read_whole(folder: str | Path) -> MixtureFile:
    """`read_mixture` of a run whose other files are as they were written."""
    mixture = read_mixture(folder)
    require_unchanged(Path(folder), mixture.files, TRAIN_AGAIN)
    return mixture


@contextmanager
def samples_journal(folder: str | Path, command: str, progress: Progress) -> Iterator[Journal]:
    """Where a command keeps what it sampled from finished policies and scored: `samples/<command>` of the run.

    Nothing is lost when it is killed, and nothing sampled again when it is called again. When it ends, what other
    options had left there goes: an answer is kept until another question is asked.
    """
    journal = Journal(Path(folder) / "samples" / command, progress)
    yield journal
    journal.keep_used()


@contextmanager
def held_run(folder: str | Path) -> Iterator[None]:
    """A finished run's folder for this process alone; another is refused, and so is a folder that holds no run."""
    read_mixture(folder)
    with held(folder):
        yield


def judged_files(folder: Path) -> dict[str, str]:
    """Checksums of what an evaluation takes weights and policies from that may be made anew beside it."""
    return {name: file_checksum(folder / name) for name in _JUDGED if (folder / name).is_file()}


def outdated(folder: Path, evaluation: Mapping[str, Any]) -> str | None:
    """Which of these are not those that the evaluation judged; None where all are, or it kept no checksums."""
    before = evaluation.get("judged")
    if not isinstance(before, dict):
        return None
    now = judged_files(folder)
    newer = [name for name, found in now.items() if before.get(name) != found]
    gone = [name for name in before if name not in now]
    if not newer and not gone:
        return None
    told = [
        f"{', '.join(names)} {words}" for names, words in ((newer, "was made after it"), (gone, "is gone")) if names
    ]
    what = "the evaluation (eval.json) is of other MinMax weights or another direct policy"
    return f"{what}: {'; '.join(told)}; {EVAL_AGAIN}"


def read_written(folder: Path) -> dict[str, dict[str, Any]]:
    """What `train` and `eval` wrote about a run: the contents of run.json and eval.json, those that are there."""
    read_whole(folder)
    fixes = {"run": TRAIN_AGAIN, "eval": EVAL_AGAIN}
    return {
        name: read_stamped(folder / f"{name}.json", fix)
        for name, fix in fixes.items()
        if (folder / f"{name}.json").is_file()
    }
