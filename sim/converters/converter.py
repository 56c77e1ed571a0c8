"""What a converter is: other people's files in, rows of pairwise answers out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.files.preference_files import table_of_rows
from sim.plugins import Door, blaming

# Ours with options of their own are commands of `pluralign convert`; these and one's own are found by name.
CONVERTERS = Door("converter", {})


@dataclass(frozen=True)
class Converter:
    """One public data set's way to pairwise answers.

    rows(files, **options) -> mappings with the columns of a file of pairwise answers: chosen, rejected, annotator_id,
    and where there are any prompt, group_id, weight, split, chosen_features, rejected_features, annotator_features.
    schema: what the files must hold.  licence: of the data.  loses: what of the data does not come through.
    options: name -> default; what a caller may set.
    """

    rows: Callable[..., Iterable[Mapping[str, Any]]]
    schema: str
    licence: str
    loses: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def convert(
        self, files: Sequence[str | Path], name: str = "converter", options: Mapping[str, Any] | None = None
    ) -> PairTable:
        """The answers of these files, checked row by row as a file's are.

        Errors: InputError for a file that is not there, an option there is none of, a row that is no answer, and for
        whatever `rows` raises, with the line it came from.
        """
        paths = [Path(file) for file in files]
        for path in paths:
            if not path.exists():
                raise InputError("no such file", file=path, fix="check the path")
        given = dict(options or {})
        for option in given:
            if option not in self.options:
                known = ", ".join(self.options) or "none"
                raise InputError(f"converter '{name}': no option '{option}'", fix=f"its options: {known}")
        with blaming(f"converter '{name}'"):
            found = [dict(row) for row in self.rows(paths, **{**self.options, **given})]
        if not found:
            raise InputError(
                f"converter '{name}' found no answers", file=" ".join(map(str, paths)), fix=f"it reads {self.schema}"
            )
        return table_of_rows(found, f"what converter '{name}' makes of {' '.join(path.name for path in paths)}")


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
