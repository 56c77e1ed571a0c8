"""Questions that scorers have answered: two responses to a prompt, what each is worth by every taste, and its features.

One Parquet file, a row a question: prompt, first, second (texts); first_scores, second_scores (a number a taste);
first_features, second_features (frozen, whatever made them). `pluralign llm make-tastes` writes it; a study draws
annotators over it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError, require_utf8
from sim.files.atomic import replacing
from sim.preferences import FloatArray
from sim.weighted_means import spread_or_one

FORMAT = 1
_KEY = b"pluralign.tastes"
_TEXTS = ("prompt", "first", "second")
_SIDES = ("first", "second")
_FIX = "write it again: pluralign llm make-tastes"


@dataclass(frozen=True, eq=False)
class ScoredQuestions:
    """prompts (n,); texts (n, 2) of the responses; scores (n, 2, n_tastes), larger is better; features (n, 2, d).

    tastes: names (n_tastes,).  made_by: what made the features, for readers: words, or an encoder and its model.
    """

    prompts: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]
    tastes: tuple[str, ...]
    scores: FloatArray
    features: FloatArray
    made_by: str

    def __len__(self) -> int:
        return len(self.prompts)

    def __repr__(self) -> str:
        """What is in it, not the arrays."""
        told = f"{len(self.tastes)} tastes, {self.features.shape[2]} features ({self.made_by})"
        return f"<Questions: {len(self)} prompts with two responses each, {told}>"

    @property
    def advantages(self) -> FloatArray:
        """(n, n_tastes): score of the first response minus that of the second, divided by its standard deviation, by 1
        where all are as far apart."""
        gaps = self.scores[:, 0] - self.scores[:, 1]
        return np.asarray(gaps / spread_or_one(gaps, axis=0))


def write_questions(path: str | Path, questions: ScoredQuestions) -> None:
    """Whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"prompt": list(questions.prompts)}
    for side, name in enumerate(_SIDES):
        columns[name] = [pair[side] for pair in questions.texts]
        columns[f"{name}_scores"] = pa.array(list(questions.scores[:, side]), pa.list_(pa.float64()))
        # What models compute in; half the room.
        own = questions.features[:, side].astype(np.float32)
        columns[f"{name}_features"] = pa.array(list(own), pa.list_(pa.float32()))
    told = {"format": FORMAT, "tastes": list(questions.tastes), "made_by": questions.made_by}
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(told).encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def read_questions(path: str | Path) -> ScoredQuestions:
    """What `write_questions` wrote.  Errors: InputError names the file, and the row and field of what is wrong."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = Path(path)
    if not place.is_file():
        raise InputError("no such file", file=place, fix="make it: pluralign llm make-tastes")
    require_utf8(place)
    try:
        table = pq.read_table(place)
        told = json.loads((table.schema.metadata or {})[_KEY])
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']}")
        tastes, made_by = tuple(map(str, told["tastes"])), str(told["made_by"])
        columns = {name: table[name].to_pylist() for name in _TEXTS}
        numbers = {
            kind: [table[f"{side}_{kind}"].to_pylist() for side in _SIDES] for kind in ("scores", "features")
        }  # fmt: skip
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowInvalid) as error:
        raise InputError(f"are no scored questions of this version ({error})", file=place, fix=_FIX) from error
    if not len(table):
        raise InputError("holds no question", file=place, fix=_FIX)
    for name, values in columns.items():
        for row, value in enumerate(values, start=1):
            if not isinstance(value, str):
                raise InputError(f"expected a text, got {value!r}", file=place, row=row, field=name, fix=_FIX)
    width = len(numbers["features"][0][0] or ())
    return ScoredQuestions(
        tuple(columns["prompt"]),
        tuple(zip(columns["first"], columns["second"], strict=True)),
        tastes,
        _numbers(place, "scores", numbers["scores"], len(tastes)),
        _numbers(place, "features", numbers["features"], width),
        made_by,
    )


def _numbers(place: Path, kind: str, sides: list[list[Any]], width: int) -> FloatArray:
    """(n, 2, width), finite."""
    for side, rows in zip(_SIDES, sides, strict=True):
        for row, values in enumerate(rows, start=1):
            came = 0 if values is None else len(values)
            if came != width or width == 0:
                raise InputError(
                    f"expected {max(width, 1)} numbers, got {came}", file=place, row=row, field=f"{side}_{kind}",
                    fix=_FIX,
                )  # fmt: skip
    found = np.stack([np.array(rows, dtype=np.float64) for rows in sides], axis=1)
    if not np.isfinite(found).all():
        at, which = (int(axis[0]) for axis in np.nonzero(~np.isfinite(found).all(axis=2)))
        raise InputError("expected finite numbers", file=place, row=at + 1, field=f"{_SIDES[which]}_{kind}", fix=_FIX)
    return found
