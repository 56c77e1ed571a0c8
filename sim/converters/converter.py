"""What a converter is: other people's files in, rows of answers out."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.converters.answers import EVERYBODY, POOLED, Converted, Item, LeftOut, Noted
from sim.converters.people import CHANGED, complete
from sim.errors import InputError, short
from sim.files.answer_checks import check_answer
from sim.files.answer_files import write_answers
from sim.files.pair_table import PairTable
from sim.files.plain_values import plain
from sim.files.preference_files import table_of_rows, write_pairs
from sim.plugins import Door, blaming

# Ours that take files, one line a data set; movielens, whose files have different roles, is a command of its own.
CONVERTERS = Door(
    "converter",
    {
        "arena": "sim.converters.arena:CONVERTER",
        "choices": "sim.converters.choices:CONVERTER",
        "collective-alignment": "sim.converters.collective_alignment:CONVERTER",
        "columns": "sim.converters.columns:CONVERTER",
        "community-alignment": "sim.converters.community_alignment:CONVERTER",
        "dices": "sim.converters.dices:CONVERTER",
        "helpsteer3": "sim.converters.helpsteer3:CONVERTER",
        "hh": "sim.converters.hh:CONVERTER",
        "multipref": "sim.converters.multipref:CONVERTER",
        "oasst": "sim.converters.oasst:CONVERTER",
        "preflib": "sim.converters.preflib:CONVERTER",
        "prism": "sim.converters.prism:CONVERTER",
        "shp": "sim.converters.shp:CONVERTER",
        "tldr": "sim.converters.tldr:CONVERTER",
        "ultrafeedback": "sim.converters.ultrafeedback:CONVERTER",
    },
)


@dataclass(frozen=True)
class Converter:
    """One public data set's way to answers.

    rows(files, **options) -> mappings with the columns of an answer file.  Pairs: chosen, rejected, annotator_id, and
    where there are any prompt, tie, strength, group_id, weight, split, chosen_features, rejected_features,
    annotator_features.  Choices: responses and choice, rankings: responses and ranking, ratings: responses and scores,
    or response and score, in the place of chosen and rejected.  In the place of an answer it may give LeftOut(why),
    beside one Noted(what), and for a row that is bad the InputError that names it: these are counted and told.
    schema: what the files must hold.  licence: of the data.  loses: what of the data does not come through.
    options: name -> default; what a caller may set.
    """

    rows: Callable[..., Iterable[Item]]
    schema: str
    licence: str
    loses: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def answers(
        self,
        files: Sequence[str | Path],
        name: str = "converter",
        options: Mapping[str, Any] | None = None,
        skip_bad: bool = False,
    ) -> Converted:
        """The answers of these files, of whatever kind they are, and what was left out, counted.

        skip_bad: leave bad rows out and count them, instead of refusing the first one.
        Errors: InputError for a file that is not there, an option there is none of, a row that is no answer, answers of
        two kinds, which are no one file, and for whatever `rows` raises, with the line it came from.
        """
        rows: list[dict[str, Any]] = []
        kinds: dict[str, int] = {}
        left_out, noted, skipped = Counter[str](), Counter[str](), []
        for item in self._items(files, name, options):
            if isinstance(item, LeftOut):
                left_out[item.kind] += 1
            elif isinstance(item, Noted):
                noted[item.kind] += 1
            else:
                try:
                    row, kind = _checked(item, {"file": _made_of(files, name), "row": len(rows) + 1})
                except InputError as bad:
                    if not skip_bad:
                        raise
                    skipped.append(bad)
                    left_out[f"bad row, field '{bad.field}'" if bad.field else "bad row"] += 1
                else:
                    rows.append(row)
                    kinds.setdefault(kind, len(rows))
        if len(kinds) > 1:
            raise InputError(
                f"these files hold {' and '.join(kinds)}", file=_made_of(files, name), fix="convert them one by one"
            )
        if not rows:
            raise self._nothing(files, name, left_out, skipped)
        _put_in_form(rows)
        if changed := complete(rows):
            noted[CHANGED] += changed
        people = {row["annotator_id"] for row in rows}
        notes = (POOLED,) if people == {EVERYBODY} else ()
        return Converted(next(iter(kinds)), rows, dict(left_out), dict(noted), notes)

    def _items(self, files: Sequence[str | Path], name: str, options: Mapping[str, Any] | None) -> Iterable[Item]:
        paths = [Path(file) for file in files]
        for path in paths:
            if not path.exists():
                raise InputError("no such file", file=path, fix="check the path")
        given = dict(options or {})
        for option in given:
            if option not in self.options:
                known = ", ".join(self.options) or "none"
                raise InputError(f"converter '{name}': no option '{option}'", fix=f"its options: {known}")
        given = {option: _of_kind(value, self.options[option], name, option) for option, value in given.items()}
        with blaming(f"converter '{name}'"):
            ours = CONVERTERS.is_ours(name)
            for item in self.rows(paths, **{**self.options, **given}):
                if isinstance(item, LeftOut | Noted | InputError) or (ours and isinstance(item, Mapping)):
                    yield item
                else:
                    # Who computes features has NumPy's numbers.
                    yield plain(dict(item))

    def _nothing(
        self, files: Sequence[str | Path], name: str, left_out: Mapping[str, int] | None = None,
        bad: Sequence[InputError] = (),
    ) -> InputError:  # fmt: skip
        why = [f"{count} left out: {kind}" for kind, count in (left_out or {}).items()]
        said = f" ({'; '.join(why)})" if why else ""
        first = f"; the first bad row: {bad[0]}" if bad else ""
        return InputError(
            f"converter '{name}' found no answers{said}", file=" ".join(map(str, files)),
            fix=f"it reads {self.schema}{first}",
        )  # fmt: skip


def convert_files(
    name: str, files: Sequence[str | Path], options: Mapping[str, Any], skip_bad: bool, out: str | Path | None
) -> tuple[Converted, PairTable | None]:
    """What converter `name` makes of files, written to `out` where there is one; and of a converter that is not ours as
    a table, which checks the answers as a file's are."""
    converter = find_converter(name)
    made = converter.answers(files, name, options, skip_bad)
    table = None if CONVERTERS.is_ours(name) else _table_of(made, _made_of(files, name))
    if out is not None and table is not None and made.kind == "pairs":
        write_pairs(out, table)
    elif out is not None:
        write_answers(out, made.rows, made.kind)
    return made, table


def _of_kind(value: Any, default: Any, name: str, option: str) -> Any:
    """An option's value where it is of the kind of its default: true or false, a number, or (of ours) a text.

    What others' options may be besides their default, their texts do not say.  A column may be called by a number.
    """
    if isinstance(default, bool):
        expected, fits = "true or false", isinstance(value, bool)
    elif isinstance(default, int | float):
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        expected, fits = "a number", is_number and value == value
    elif isinstance(default, str) and CONVERTERS.is_ours(name):
        value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        expected, fits = "text", isinstance(value, str)
    else:
        return value
    if not fits:
        fix = "quote it" if isinstance(default, str) else f"for example {option}={default!r}"
        raise InputError(f"converter '{name}': {option}: expected {expected}, got {short(value)}", fix=fix)
    return value


def _table_of(made: Converted, source: str) -> PairTable:
    table = table_of_rows(made.rows, source)
    left_out, noted = Counter(made.left_out), Counter(made.noted)
    left_out.update(dict(table.left_out))
    noted.update(dict(table.noted))
    return replace(table, left_out=tuple(left_out.items()), noted=tuple(noted.items()))


def _checked(item: Mapping[str, Any] | InputError, place: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """An answer and its kind.  Raises what is wrong with it."""
    if isinstance(item, InputError):
        raise item
    return dict(item), check_answer(item, place)


def _made_of(files: Sequence[str | Path], name: str) -> str:
    return f"what converter '{name}' makes of {' '.join(Path(file).name for file in files)}"


def _put_in_form(rows: Sequence[dict[str, Any]]) -> None:
    """One form a column: prompts that are texts become messages where others are; a column of ties that holds none,
    and a column that is empty, is none.  Changes the rows."""
    if any(isinstance(row.get("prompt"), list) for row in rows):
        for row in rows:
            if isinstance(row.get("prompt"), str):
                row["prompt"] = [{"role": "user", "content": row["prompt"]}]
    empty = {name for row in rows for name in row} - {
        name for row in rows for name, value in row.items() if value is not None and not (name == "tie" and not value)
    }
    for row in rows:
        for name in empty:
            row.pop(name, None)


def find_converter(name: str, folder: str | Path | None = None) -> Converter:
    """A converter of an installed package, or one's own as module:NAME.

    folder: where a module is looked for first; None: the working directory.
    """
    found = CONVERTERS.find(name, folder)
    if not isinstance(found, Converter):
        what = found.__name__ if inspect.isroutine(found) or isinstance(found, type) else type(found).__name__
        raise InputError(f"converter '{name}': expected a Converter, got {what}",
                         fix="write NAME = Converter(rows, schema=..., licence=..., loses=...)")  # fmt: skip
    return found
