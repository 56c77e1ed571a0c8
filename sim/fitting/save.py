"""A fit's result folder: it appears whole, or not at all, and is read back in another process."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
import yaml

from sim.arguments import float_array, index_array
from sim.distinct import present
from sim.errors import InputError
from sim.files.atomic import Json, parents_of, require_place, write_json, write_text
from sim.files.checksums import NAME as CHECKSUMS
from sim.files.checksums import require_unchanged, write_checksums
from sim.files.own_folder import lies_at, take_place
from sim.fitting.head_errors import head_errors, read_errors
from sim.fitting.method import Fits, Method
from sim.fitting.methods import METHODS, find_method, has_changed
from sim.fitting.own_methods import require_restored, table_of
from sim.fitting.prepare import Prepared, Scales
from sim.fitting.saved import FORMAT, ContextScales, SavedFit
from sim.fitting.text_features.asked_prompts import asked_prompts, read_asked_prompts
from sim.fitting.text_features.saved_text import TextPart, has_heads, read_text_part
from sim.fitting.with_levels import THRESHOLDS, WithLevels
from sim.plugins import blaming
from sim.preferences import AnyArray
from sim.reading import load_json
from sim.running.fingerprint import versions

OURS = {
    "fit.json",
    "resolved.yaml",
    "mixture.json",
    "parameters.json",
    "model.npz",
    "annotators.parquet",
    "figures",
    "report.html",
    CHECKSUMS,
    # of earlier formats
    "responsibilities.parquet",
    "rewards.parquet",
}


class Report(Protocol):
    """What is written of a fit: a `sim.fitting.report.FitReport`."""

    @property
    def prepared(self) -> Prepared: ...

    @property
    def fits(self) -> Fits: ...

    @property
    def model(self) -> Any: ...

    @property
    def text_part(self) -> TextPart | None: ...

    def as_json(self) -> dict[str, Json]: ...


def require_writable(out: str | Path) -> None:
    """Refuse a folder that holds something else or cannot be made, before any work is done."""
    target = Path(out)
    if target.exists() and not target.is_dir():
        raise InputError("exists and is not a folder", file=target, fix="name another folder")
    require_place(target)
    if not target.is_dir():
        return
    here = {path.name for path in target.iterdir() if not path.name.startswith(".")}
    if here and "fit.json" not in here:
        raise InputError("is not empty and holds no earlier fit", file=target, fix="name another folder")
    foreign = sorted(here - OURS)
    if foreign:
        # An earlier fit is replaced whole: whatever else lies there would go with it.
        raise InputError(
            f"holds '{foreign[0]}', which is not of a fit", file=target, fix="move it, or name another folder"
        )


def replace_folder(out: str | Path, fill: Callable[[Path], None]) -> None:
    """A folder that `fill` writes beside its place and that then takes it, whole; an earlier fit goes."""
    require_writable(out)
    # Absolute: Arrow takes a folder that is called ~ for somebody's home.
    target = lies_at(out)
    with parents_of(target):
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            fresh.chmod(0o755)
            fill(fresh)
            take_place(fresh, target)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise


def save_fit(out: str | Path, report: Report) -> None:
    """fit.json (what `--json` prints, less what is of that run), model.npz (all that a fit needs to be used again).

    And for readers: resolved.yaml, parameters.json, mixture.json (types) and annotators.parquet (a row an annotator);
    model.npz has its checksum in fit.json, the others theirs in checksums.json.
    """

    def fill(folder: Path) -> None:
        model = _model_bytes(report)
        (folder / "model.npz").write_bytes(model)
        summary = report.as_json()
        write_json(folder / "fit.json", {**summary, "model_checksum": _checksum(model)})
        resolved = {
            "command": "fit",
            "preferences": Path(report.prepared.table.source).name,
            "settings": json.loads(json.dumps(summary["settings"])),
            "versions": versions(),
        }
        write_text(folder / "resolved.yaml", yaml.safe_dump(resolved, sort_keys=False))
        write_json(folder / "parameters.json", _readable(report))
        if "regret" in summary:
            weights = summary["regret"]["minmax_weights"]
            write_json(folder / "mixture.json", {"groups": summary["mixture"], "minmax_weights": weights})
        _write_annotators(folder / "annotators.parquet", report)
        write_checksums(folder, OURS - {"model.npz", CHECKSUMS})

    replace_folder(out, fill)


def _model_bytes(report: Report) -> bytes:
    """The arrays of a zip file without pickled objects; the same bytes for the same fit."""
    fit = usable_fit(report)
    scales, context = fit.scales, fit.context
    arrays: dict[str, Any] = {
        "features": np.array(scales.names),
        "feature_mean": scales.mean,
        "feature_scale": scales.scale,
        "feature_kept": scales.kept,
        "further": np.array(scales.further),
        "annotators": np.array(fit.annotators),
        "trained": fit.trained,
        "items_are_features": np.array(fit.items_are_features),
    }
    if context is not None:
        arrays |= {
            "context_names": np.array(context.names),
            "context_mean": context.mean,
            "context_scale": context.scale,
            "context_kept": context.kept,
            "contexts": context.contexts,
        }
    if fit.text is not None:
        arrays |= fit.text.arrays()
    if fit.errors is not None:
        arrays |= fit.errors.arrays()
    if fit.asked is not None:
        arrays |= fit.asked.arrays()
    own = _parameters(fit.method, fit.model)
    require_restored(fit.method, fit.model, dict(own), report.prepared.answers(report.prepared.train))
    arrays |= {f"model/{name}": values for name, values in own.items() if values is not None}
    none = [name for name, values in own.items() if values is None]
    if none:
        arrays["model_none"] = np.array(none)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def usable_fit(report: Report) -> SavedFit:
    """A fit just made, to be used without being written: what `load_fit` gives after `save_fit`."""
    prepared, known = report.prepared, report.prepared.known
    context = None
    if known is not None:
        context = ContextScales(known.file_names, known.mean, known.scale, np.asarray(known.people.kept),
                                known.contexts)  # fmt: skip
    return SavedFit(
        method=report.fits.asked,
        model=report.model,
        scales=prepared.scales,
        annotators=prepared.table.annotators,
        trained=prepared.trained,
        items_are_features=prepared.table.features is None,
        context=context,
        summary=report.as_json(),
        text=report.text_part,
        errors=head_errors(report.fits, prepared) if has_heads(report.text_part) else None,
        asked=asked_prompts(prepared.table.items) if has_heads(report.text_part) else None,
    )


def _parameters(method: Method[Any], model: Any) -> dict[str, AnyArray | None]:
    """What `restore` needs; arrays of Python objects would be written as code, which nobody reads back."""
    with blaming(f"method {method.name}: parameters"):
        told = dict(method.parameters(model))
        found = {str(name): None if values is None else np.asarray(values) for name, values in told.items()}
    for name, values in found.items():
        if values is not None and values.dtype.kind not in "fiubUS":
            raise InputError(f"parameters of {method.name}: '{name}' must hold numbers or texts (got {values.dtype})")
    return found


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _readable(report: Report) -> dict[str, Json]:
    """Parameters of every fitted method, those with a row an annotator left out, for a reader of JSON."""
    prepared, asked = report.prepared, report.fits.asked

    def own(method: Method[Any], model: Any) -> dict[str, Json]:
        return {
            name: values.tolist() for name, values in _parameters(method, model).items()
            if values is not None and name not in method.per_annotator
        }  # fmt: skip

    told: dict[str, Json] = {
        "features": list(prepared.feature_names),
        "units": "standard deviations of the training items",
        "pooled_theta": report.fits.centre.tolist(),
        **own(asked, report.model),
        "beside": {name: own(*pair) for name, pair in report.fits.fitted.items() if name != asked.name},
    }
    if prepared.known is not None:
        told["context"] = list(prepared.known.names)
        told["context_units"] = "standard deviations over the training annotators; the intercept is a constant"
    return told


def _write_annotators(path: Path, report: Report) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    prepared, method = report.prepared, report.fits.asked
    columns: Mapping[str, Any] = {}
    with suppress(InputError):  # said as a warning of the fit, which is whole without
        columns = table_of(method, report.model, prepared.n_annotators)
    if not columns and prepared.known is not None:
        columns = method.table_of_contexts(report.model, prepared.known.contexts)
        rows = present(prepared.annotator, prepared.n_annotators)
    else:
        rows = prepared.trained
    found: dict[str, Any] = {"annotator_id": [prepared.table.annotators[i] for i in rows]}
    for name, values in columns.items():
        found[name] = list(np.asarray(values)[rows])
    pq.write_table(pa.table(found), path)


def read_summary(folder: str | Path) -> dict[str, Json]:
    """The object of a folder's fit.json, of this format and as it was written, or refused by name."""
    path = Path(folder) / "fit.json"
    try:
        content = load_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", file=path, fix="give a folder written by pluralign fit"
        ) from error
    except ValueError as error:
        raise InputError(f"is not whole JSON ({error})", file=path, fix="run `pluralign fit` again") from error
    found = content.get("format", 1) if isinstance(content, dict) else None
    if found != FORMAT:
        raise InputError(
            f"is a fit of format {found}, and this version reads format {FORMAT}", file=path, field="format",
            fix="run `pluralign fit` again",
        )  # fmt: skip
    assert isinstance(content, dict)
    require_unchanged(folder, "fit.json")
    return content


def load_fit(folder: str | Path) -> SavedFit:
    """A saved fit, ready for new items and new annotators.

    Errors: InputError where the folder is of another format, cut short or altered (its checksum), holds what no fit
    can be used with, or where a method of one's own cannot be imported or restored.  Warns where such a method was
    edited since.
    """
    summary = read_summary(folder)
    path = Path(folder) / "model.npz"
    try:
        content = path.read_bytes()
        if _checksum(content) != summary["model_checksum"]:
            raise InputError("is not the file that was saved (checksum)", file=path, fix="run `pluralign fit` again")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        read, own = _from_arrays(found, summary, Path(folder))
        name = str(summary["settings"]["method"])
        if METHODS.is_ours(name):
            whole = replace(read, model=read.method.restore(own))
            _require_usable(whole)
            return whole
    except InputError:
        raise
    except _NOT_WHOLE as error:
        raise InputError(f"is not whole ({error})", file=path, fix="run `pluralign fit` again") from error
    if has_changed(name, summary.get("method_code")):
        warnings.warn(f"method {name} has other sources than when {folder} was saved", stacklevel=2)
    with blaming(f"method {read.method.name}: restore"):
        return replace(read, model=read.method.restore(own))


# What comes of a file whose checksum was made to fit.
_NOT_WHOLE = (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, AssertionError,
              EOFError, BadZipFile)  # fmt: skip


def _from_arrays(
    found: Mapping[str, AnyArray], summary: Mapping[str, Any], folder: Path
) -> tuple[SavedFit, dict[str, AnyArray | None]]:
    """The fit without its model, and the arrays that the model is restored from."""
    method: Method[Any] = find_method(summary["settings"]["method"])
    own: dict[str, AnyArray | None] = dict.fromkeys(found.get("model_none", np.array([], dtype=str)).tolist())
    own |= {name.removeprefix("model/"): values for name, values in found.items() if name.startswith("model/")}
    if THRESHOLDS in own:
        method = WithLevels(method)
    context = None
    if "contexts" in found:
        context = ContextScales(
            tuple(found["context_names"].tolist()), found["context_mean"], found["context_scale"],
            found["context_kept"], found["contexts"],
        )  # fmt: skip
    names, annotators = _names(found["features"]), _names(found["annotators"])
    kept, trained = found["feature_kept"].astype(np.bool_), index_array("trained", found["trained"], len(annotators))
    for name in ("feature_mean", "feature_scale"):
        float_array(name, found[name], (len(names),))
    read = SavedFit(
        method=method,
        model=None,
        scales=Scales(names, found["feature_mean"], found["feature_scale"], kept, int(found.get("further", 0))),
        annotators=annotators,
        trained=trained,
        items_are_features=bool(found["items_are_features"]),
        context=context,
        summary=summary,
        folder=folder,
        text=read_text_part(found),
        errors=read_errors(found),
        asked=read_asked_prompts(found),
    )
    return read, own


def _names(values: AnyArray) -> tuple[str, ...]:
    if values.ndim != 1 or (len(values) and values.dtype.kind != "U"):
        raise ValueError(f"expected names (got {values.dtype} {values.shape})")
    return tuple(values.tolist())


def _require_usable(fit: SavedFit) -> None:
    """ValueError and the like where the mean item has no score: arrays that do not go together, or are no numbers."""
    mean = np.where(fit.scales.kept, fit.scales.mean, 0.0)[None]
    somebody = [None, *(fit.annotators[i] for i in fit.trained[:1])]
    with np.errstate(all="ignore"):
        for who in somebody:
            known = None if fit.context is None or who is not None else fit.context.mean[None]
            if not np.isfinite(fit.score_items(mean, who, annotator_features=known)).all():
                raise ValueError("its parameters are no finite numbers")
