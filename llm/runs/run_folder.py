"""A training run as a folder: adapters that plain PEFT loads, the mixture, who belongs where, and how it went."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.base.folder_format import read_stamped, stamped
from llm.base.shared_base import SharedBase
from llm.training.group_training import GroupFit
from sim.errors import InputError
from sim.files.atomic import replacing, write_json, write_text
from sim.preferences import FloatArray, IntArray

TRAIN_AGAIN = "run `pluralign llm train` again, with another --out"
EVAL_AGAIN = "run `pluralign llm eval` again"
MINMAX_AGAIN = "run `pluralign llm minmax` again"


@dataclass(frozen=True)
class MixtureFile:
    """mixture.json: the groups' adapters in order, their shares eta, and MinMax weights once there are any."""

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


def save_adapter(base: SharedBase, name: str, folder: Path) -> None:
    """One PEFT folder, loadable alone by `PeftModel.from_pretrained`; whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        base.peft.save_pretrained(
            temporary, selected_adapters=[name], safe_serialization=True, save_embedding_layers=False
        )
        written = Path(temporary) / name if (Path(temporary) / name).is_dir() else Path(temporary)
        (written / "README.md").unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        shutil.move(str(written), folder)
        folder.chmod(0o755)
        Path(temporary).mkdir(exist_ok=True)


def save_responsibilities(path: Path, annotators: Sequence[str], gamma: FloatArray, answers: IntArray) -> None:
    """responsibilities.parquet: annotator_id, n_answers, group_0 .. group_{K-1}."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"annotator_id": list(annotators), "n_answers": answers}
    columns |= {f"group_{k}": gamma[:, k] for k in range(gamma.shape[1])}
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def save_metrics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """metrics.jsonl, rewritten whole: one row a step, a round or an evaluation."""
    write_text(path, "".join(json.dumps(dict(row)) + "\n" for row in rows))


def save_run(
    out: Path, base: SharedBase, fit: GroupFit, mixture: MixtureFile, annotators: Sequence[str], answers: IntArray
) -> None:
    """Adapters, mixture.json and responsibilities.parquet of a finished fit."""
    for name, policy in zip(mixture.adapters, fit.policies, strict=True):
        save_adapter(base, policy.name, out / name)
    save_responsibilities(out / "responsibilities.parquet", annotators, fit.responsibilities, answers)
    save_mixture(out, mixture)


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
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"is not a mixture of this version ({error})", file=path, fix="train again") from error
    if len(mixture.adapters) != len(mixture.mixture) or not mixture.adapters:
        raise InputError(
            f"names {len(mixture.adapters)} adapters and {len(mixture.mixture)} shares", file=path, fix="train again"
        )
    return mixture


def read_written(folder: Path) -> dict[str, dict[str, Any]]:
    """What `train` and `eval` wrote about a run: the contents of run.json and eval.json, those that are there."""
    read_mixture(folder)
    fixes = {"run": TRAIN_AGAIN, "eval": EVAL_AGAIN}
    return {
        name: read_stamped(folder / f"{name}.json", fix)
        for name, fix in fixes.items()
        if (folder / f"{name}.json").is_file()
    }
