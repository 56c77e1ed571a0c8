"""A YAML mapping and KEY=VALUE texts in, a checked frozen dataclass out; unknown keys are refused by name."""

from __future__ import annotations

import difflib
import os
import re
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from sim.errors import InputError, short
from sim.reading import read_text

T = TypeVar("T")
# Settings are written by hand.
LARGEST_YAML = 1 << 24
MOST_VALUES = 1_000_000


def read_settings(
    kind: type[T], file: str | Path | None = None, overrides: Sequence[str] = (), given: Mapping[str, Any] | None = None
) -> T:
    """`kind` (a dataclass, its fields dataclasses or plain values) from a YAML file, then `overrides`, then `given`.

    overrides: texts KEY=VALUE, the key dotted (`training.rate=1e-4`), the value YAML.  given: the same keys as
    a mapping, for named options; entries that are None are left out.  Whatever is absent keeps its default.
    Raises InputError naming the file, or the text of `overrides`, and the key.
    """

    def read(texts: Sequence[str]) -> T:
        content = read_mapping(file) if file is not None else {}
        for text in texts:
            put(content, *parse_override(text))
        for key, value in (given or {}).items():
            if value is not None:
                put(content, key, value)
        return settings_from(kind, content, file)

    return blaming_overrides(read, overrides)


def blaming_overrides(read: Callable[[Sequence[str]], T], overrides: Sequence[str]) -> T:
    """`read(overrides)`; where one of them is what it refuses, the message names that text in place of the file."""
    try:
        return read(overrides)
    except InputError as error:
        if error.file is None:
            raise
        # Of several for one key the last counts.
        last = {text.partition("=")[0].strip(): text for text in overrides}
        for key, text in last.items():
            if not (error.field is not None and f"{error.field}.".startswith(f"{key}.")):
                try:
                    read([other for other in last.values() if other is not text])
                except InputError:
                    continue
            raise InputError(
                error.problem, file=short(text), row=error.row, field=error.field, fix=error.fix
            ) from error
        raise


def resolved(settings: Any) -> dict[str, Any]:
    """All settings of a dataclass as plain values, defaults included: what lies beside every result."""
    return {key: _plain(item) for key, item in asdict(settings).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


class _Exponents(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3, which has no dot, as a text; YAML 1.2 and everybody else read a number."""


_Exponents.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_mapping(
    file: str | Path, expected: str = "a mapping of settings", *, exponents: bool = False
) -> dict[str, Any]:
    """The content of a YAML file; an empty file is an empty mapping.  exponents: see `load_yaml`.

    Raises InputError, naming the file, where it cannot be read, is not YAML, or does not hold `expected`.
    """
    content = load_yaml(read_text(file, "check the path", largest=LARGEST_YAML), file, exponents=exponents)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"expected {expected}, got {type(content).__name__}", file=file)
    return content


def load_yaml(text: str, file: str | Path | None = None, *, exponents: bool = False) -> Any:
    """The value YAML text holds; InputError where it holds none, or one that is larger than its text says.

    exponents: 1e-3 is a number, where nothing says of what kind a value must be (a dataclass does: `settings_from`).

    An alias is a few letters and may stand for a list of aliases: ten lines can say a list of 10^9 numbers.
    """
    try:
        content = yaml.load(text, Loader=_Exponents if exponents else yaml.SafeLoader)
        size = _expanded(content, {})
    except yaml.YAMLError as error:
        raise InputError("is not YAML: " + " ".join(str(error).split())[:300], file=file) from error
    except (ValueError, OverflowError) as error:  # 2001-99-99 looks like a date and is none
        raise InputError(f"is not YAML: {error}", file=file, fix="quote what is meant as text") from error
    except RecursionError as error:
        raise InputError("is nested too deeply", file=file, fix="write it flat") from error
    if size > MOST_VALUES:
        raise InputError(
            f"its aliases stand for {size:,} values, more than {MOST_VALUES:,}",
            file=file,
            fix="write out what you mean",
        )
    return content


def _expanded(value: Any, known: dict[int, int]) -> int:
    """How many values there are with every alias written out; each alias's is counted once."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        # Met again before it is counted: it holds itself.
        known[id(value)] = MOST_VALUES + 1
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_expanded(item, known) for item in inner)
    return known[id(value)]


def parse_override(text: str, example: str = "training.rate=1e-4", *, exponents: bool = False) -> tuple[str, Any]:
    """(key, value) of a text KEY=VALUE, the value YAML (exponents: see `load_yaml`). Raises InputError naming the
    text."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{short(text)}: expected key=value", fix=f"for example {example}")
    try:
        return key.strip(), load_yaml(value, exponents=exponents)
    except InputError as error:
        problem = "is not YAML; quote it" if error.fix is None else str(error)
        raise InputError(f"{short(text)}: the value {problem}") from error


def put(content: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of nested mappings; sections that are missing are made."""
    *sections, last = key.split(".")
    for section in sections:
        inner = content.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(
                f"'{section}' is not a section (in '{key}')", fix="write the key as the config file has it"
            )
        content = inner
    content[last] = value


def require_known(
    key: Any, known: Sequence[str], file: str | Path | None = None, *, section: str = "", prefix: str = ""
) -> None:
    """Raises InputError, offering the nearest of `known`, where the key is not one of them.

    section: named after the key (`unknown key 'x' in 'grid'`).  prefix: put before it and before the one offered.
    """
    if key in known:
        return
    near = difflib.get_close_matches(str(key), known, n=1)
    fix = f"did you mean '{prefix}{near[0]}'?" if near else f"choose one of {', '.join(known)}"
    place = f" in '{section}'" if section else ""
    raise InputError(f"unknown key '{prefix}{key}'{place}", file=file, fix=fix)


def settings_from(kind: type[T], content: Mapping[str, Any], file: str | Path | None = None, prefix: str = "") -> T:
    """The dataclass `kind` from a mapping; `file` and the dotted `prefix` are what messages name.

    A value must be of its field's kind: a plain type, an optional one, a Literal, tuple[KIND, ...] or a dataclass.
    Texts that are paths below a home are written out (`in_home`).
    A ValueError of the dataclass itself becomes an InputError with the file and the section.
    """
    hints, names = get_type_hints(kind), [field.name for field in fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in content.items():
        require_known(key, names, file, prefix=prefix)
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


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _convert(hint: Any, value: Any, file: str | Path | None, key: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_option(get_args(hint), value, file, key)
    if origin is Literal:
        if value in get_args(hint):
            return value
        choices = ", ".join(str(item) for item in get_args(hint))
        raise InputError(f"expected one of {choices}, got {short(value)}", file=file, field=key)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"expected a list, got {short(value)}", file=file, field=key)
        inner = get_args(hint)[0]
        return tuple(_convert(inner, item, file, f"{key}[{j}]") for j, item in enumerate(value))
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise InputError(f"expected a section of settings, got {short(value)}", file=file, field=key)
        return settings_from(hint, value, file, f"{key}.")  # type: ignore[arg-type]
    if hint is float:
        value = _number(value)
    if hint is float and isinstance(value, float) and not abs(value) < float("inf"):
        raise InputError(f"expected a finite number, got {value}", file=file, field=key)
    if hint is str and isinstance(value, str):
        return in_home(value)
    if (isinstance(value, bool) and hint is not bool) or not isinstance(value, hint):
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[hint]
        raise InputError(f"expected {expected}, got {short(value)}", file=file, field=key)
    return value


def in_home(text: str) -> str:
    """A text that is a path below somebody's home, `~/x` or `~name/x`, written out; any other as it is.

    Nobody else does it: the shell expands what stands alone on the command line, not what stands in a YAML file or
    behind KEY=. What is kept of the settings then names one place, whoever reads it.
    """
    return os.path.expanduser(text) if text == "~" or (text.startswith("~") and "/" in text) else text


def _convert_option(options: tuple[Any, ...], value: Any, file: str | Path | None, key: str) -> Any:
    """The first of several kinds that fits; the last one's complaint where none does."""
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


def _number(value: Any) -> Any:
    if isinstance(value, str):
        # YAML reads 5e-7 as text because it has no dot.
        with suppress(ValueError):
            return float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # a whole number that no float can hold
            return float("inf") if value > 0 else float("-inf")
    return value
