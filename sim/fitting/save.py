"""A fit's result folder: it appears whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sim.errors import InputError
from sim.files.atomic import write_json, write_text
from sim.files.pair_table import PairTable
from sim.fitting.fit import FitReport
from sim.fitting.low_rank import INTERCEPT
from sim.fitting.low_rank_report import LowRankReport
from sim.fitting.personal_report import PersonalReport

OURS = {
    "fit.json",
    "resolved.yaml",
    "mixture.json",
    "parameters.json",
    "responsibilities.parquet",
    "rewards.parquet",
    "figures",
}


def require_writable(out: str | Path) -> None:
    """Refuse a folder that holds something else, before any work is done."""
    target = Path(out)
    if target.exists() and not target.is_dir():
        raise InputError("exists and is not a folder", file=target, fix="name another --out")
    if not target.is_dir():
        return
    here = {path.name for path in target.iterdir()}
    if here and "fit.json" not in here:
        raise InputError("is not empty and holds no earlier fit", file=target, fix="name another --out")
    foreign = sorted(here - OURS)
    if foreign:
        # An earlier fit is replaced whole: whatever else lies there would go with it.
        raise InputError(
            f"holds '{foreign[0]}', which is not of a fit", file=target, fix="move it, or name another --out"
        )


def replace_folder(out: str | Path, fill: Callable[[Path], None]) -> None:
    """A folder that `fill` writes beside its place and that then takes it, whole; an earlier fit goes."""
    target = Path(out)
    require_writable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fresh.chmod(0o755)
        fill(fresh)
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent)) if target.exists() else None
        if old is not None:
            os.replace(target, old / "fit")
        os.replace(fresh, target)
        if old is not None:
            shutil.rmtree(old)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _write_summary(folder: Path, summary: dict[str, Any], table: PairTable) -> None:
    """fit.json and resolved.yaml."""
    write_json(folder / "fit.json", summary)
    packages = ("numpy", "scipy", "numba", "scikit-learn", "pyarrow")
    resolved = {
        "command": "fit",
        "preferences": Path(table.source).name,
        "settings": json.loads(json.dumps(summary["settings"])),
        "versions": {name: metadata.version(name) for name in packages},
    }
    write_text(folder / "resolved.yaml", yaml.safe_dump(resolved, sort_keys=False))


def save_fit(out: str | Path, report: FitReport, table: PairTable) -> None:
    """fit.json, resolved.yaml, mixture.json, parameters.json, responsibilities.parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    model, prepared = report.model, report.prepared

    def fill(folder: Path) -> None:
        _write_summary(folder, report.summary, table)
        write_json(
            folder / "mixture.json",
            {"groups": model.mixture.tolist(), "minmax_weights": report.summary["regret"]["minmax_weights"]},
        )
        write_json(
            folder / "parameters.json",
            {
                "features": list(prepared.feature_names),
                "units": "standard deviations of the training items",
                "theta": model.theta.tolist(),
                "pooled_theta": report.pooled.theta[0].tolist(),
                "ridge": model.ridge,
            },
        )
        trained = np.unique(prepared.annotator[prepared.train])
        columns = {"annotator_id": [prepared.table.annotators[i] for i in trained]}
        for k in range(model.n_types):
            columns[f"group_{k + 1}"] = model.responsibilities[trained, k].tolist()
        pq.write_table(pa.table(columns), folder / "responsibilities.parquet")

    replace_folder(out, fill)


def save_personal(out: str | Path, report: PersonalReport, table: PairTable) -> None:
    """fit.json, resolved.yaml, parameters.json (pooled reward, subspace, clusters), rewards.parquet (one each)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    model, prepared = report.model, report.prepared

    def fill(folder: Path) -> None:
        _write_summary(folder, report.summary, table)
        write_json(
            folder / "parameters.json",
            {
                "features": list(prepared.feature_names),
                "units": "standard deviations of the training items",
                "pooled_theta": model.centre.tolist(),
                "subspace": None if model.subspace is None else model.subspace.tolist(),
                "cluster_departures": None if model.departures is None else model.departures.tolist(),
                "ridge": model.ridge,
            },
        )
        trained = np.unique(prepared.annotator[prepared.train])
        names = [prepared.table.annotators[i] for i in trained]
        columns: dict[str, Any] = {"annotator_id": names, "theta": list(model.theta[trained])}
        if model.label is not None:
            columns["cluster"] = (model.label[trained] + 1).tolist()
        pq.write_table(pa.table(columns), folder / "rewards.parquet")

    replace_folder(out, fill)


def save_low_rank(out: str | Path, report: LowRankReport, table: PairTable) -> None:
    """fit.json, resolved.yaml, parameters.json (Theta, low-rank and full, its rows and columns), rewards.parquet (each
    annotator's reward from her context, unseen ones too)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    prepared, known = report.prepared, report.known

    def fill(folder: Path) -> None:
        _write_summary(folder, report.summary, table)
        write_json(
            folder / "parameters.json",
            {
                "features": list(prepared.feature_names),
                "units": "standard deviations of the training items",
                "context": list(known.names),
                "context_units": "standard deviations over the training annotators; the intercept is a constant "
                f"{INTERCEPT:g}",
                "theta": report.fit.theta.tolist(),
                "full_theta": report.full.tolist(),
                "pooled_theta": report.pooled.tolist(),
                "rank": report.fit.rank,
                "ridge": report.summary["selection"]["chosen"]["low-rank"]["ridge"],
            },
        )
        used = np.unique(prepared.annotator)
        names = [prepared.table.annotators[i] for i in used]
        rewards = list(known.contexts[used] @ report.fit.theta)
        pq.write_table(pa.table({"annotator_id": names, "theta": rewards}), folder / "rewards.parquet")

    replace_folder(out, fill)
