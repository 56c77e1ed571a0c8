"""Settings of the LLM commands: dataclasses filled from YAML and KEY=VALUE overrides, unknown keys refused by name."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from sim.errors import InputError

T = TypeVar("T")


def read_settings(
    kind: type[T], file: str | Path | None = None, overrides: Sequence[str] = (), given: Mapping[str, Any] | None = None
) -> T:
    """`kind` (a dataclass, its fields dataclasses or plain values) from a YAML file, then `overrides`, then `given`.

    overrides: texts KEY=VALUE, the key dotted (`training.rate=1e-4`), the value YAML.  given: the same keys as
    a mapping, for named options; entries that are None are left out.  Whatever is absent keeps its default.
    Raises InputError naming the file and the key.
    """
    content = _load(Path(file)) if file is not None else {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text}: expected key=value", fix="for example --set training.rate=1e-4")
        try:
            _put(content, key.strip(), yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise InputError(f"--set {text}: the value is not YAML", fix="quote it") from error
    for key, value in (given or {}).items():
        if value is not None:
            _put(content, key, value)
    return settings_from(kind, content, str(file) if file is not None else None, "")


def resolved(settings: Any) -> dict[str, Any]:
    """All settings as plain values, defaults included: what lies beside every result."""
    return _plain(asdict(settings))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _load(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file, fix="check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError("is not YAML: " + " ".join(str(error).split()), file=file) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"expected a mapping of settings, got {type(content).__name__}", file=file)
    return content


def _put(content: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        inner = content.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(
                f"'{section}' is not a section (in '{key}')", fix="write the key as the config file has it"
            )
        content = inner
    content[last] = value


def settings_from(kind: type[T], content: Mapping[str, Any], file: str | None = None, prefix: str = "") -> T:
    """`kind` from a mapping; `file` and the dotted `prefix` are what messages name."""
    hints, names = get_type_hints(kind), [field.name for field in fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            fix = f"did you mean '{prefix}{near[0]}'?" if near else f"choose one of {', '.join(names)}"
            raise InputError(f"unknown key '{prefix}{key}'", file=file, fix=fix)
        values[key] = _convert(hints[key], value, file, f"{prefix}{key}")
    try:
        return kind(**values)
    except InputError:
        raise
    except TypeError as error:
        missing = [f.name for f in fields(kind) if f.name not in values and _required(f)]  # type: ignore[arg-type]
        if not missing:
            raise
        raise InputError("missing", file=file, field=prefix + missing[0], fix="set it") from error
    except ValueError as error:
        raise InputError(str(error), file=file, field=prefix.rstrip(".") or None) from error


def _required(field: Any) -> bool:
    from dataclasses import MISSING

    return field.default is MISSING and field.default_factory is MISSING


def _convert(hint: Any, value: Any, file: str | None, key: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        options = get_args(hint)
        if value is None and type(None) in options:
            return None
        problem: InputError | None = None
        for option in options:
            if option is type(None):
                continue
            try:
                return _convert(option, value, file, key)
            except InputError as error:
                problem = error
        assert problem is not None
        raise problem
    if origin is Literal:
        if value in get_args(hint):
            return value
        choices = ", ".join(str(item) for item in get_args(hint))
        raise InputError(f"expected one of {choices}, got {value!r}", file=file, field=key)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"expected a list, got {value!r}", file=file, field=key)
        inner = get_args(hint)[0]
        return tuple(_convert(inner, item, file, f"{key}[{j}]") for j, item in enumerate(value))
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise InputError(f"expected a section of settings, got {value!r}", file=file, field=key)
        return settings_from(hint, value, file, f"{key}.")
    if hint is float and isinstance(value, str):
        # YAML reads 5e-7 as text because it has no dot.
        with suppress(ValueError):
            value = float(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is float and isinstance(value, float) and not abs(value) < float("inf"):
        raise InputError(f"expected a finite number, got {value}", file=file, field=key)
    if (isinstance(value, bool) and hint is not bool) or not isinstance(value, hint):
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]
        raise InputError(f"expected {expected}, got {value!r}", file=file, field=key)
    return value
