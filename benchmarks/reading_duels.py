"""Reading answers against Arrow's own read of the same file: ours does that and checks, numbers and gathers besides."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.json as pj
import pyarrow.parquet as pq
from duel import Candidate, Duel
from made_up_pairs import OFFERED, Size, made_up_choices, write_made_up

from sim.files.preference_files import read_pairs


def _folder() -> Path:
    """Removed with the process: its files outlive the functions that write them."""
    place = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(place)


def _reading(name: str, size: Size, arrow: Callable[[Path], Any]) -> Duel:
    folder = _folder()
    path = write_made_up(folder / name, size)

    def ours() -> Any:
        return read_pairs(folder / name)

    def agree(ours: Any, name: str, theirs: Any) -> None:
        assert len(ours) == len(theirs)
        some = slice(0, len(theirs), len(theirs) // 50)
        assert [ours.items[j] for j in ours.chosen[some]] == theirs.column("chosen").to_pylist()[some]
        assert [ours.annotators[i] for i in ours.annotator[some]] == theirs.column("annotator_id").to_pylist()[some]
        first = theirs.column("rejected_features").slice(0, 1).to_pylist()[0]
        assert ours.features[ours.rejected[0]].tolist() == first

    return Duel(
        f"{size.pairs:,} answers read from {path.suffix.removeprefix('.')}, {size.features} features an item",
        Candidate(ours),
        {"Arrow's own read": (Candidate(lambda: arrow(path)), 0.0)},
        agree,
        repeats=5,
    )


def read_parquet() -> Duel:
    return _reading("answers.parquet", Size(1_000_000, 20_000), pq.read_table)


def read_jsonl() -> Duel:
    return _reading("answers.jsonl", Size(200_000, 20_000), pj.read_json)


def read_choices() -> Duel:
    size = Size(300_000, 6_000)
    folder = _folder()
    path = write_made_up(folder / "choices.parquet", size, make=made_up_choices)

    def ours() -> Any:
        return read_pairs(folder / path.name)

    def agree(ours: Any, name: str, theirs: Any) -> None:
        assert len(ours) == len(theirs)
        offered = theirs.column("responses").to_pylist()
        for j in range(0, len(theirs), len(theirs) // 50):
            assert ours.items[ours.chosen[j]] == offered[j][theirs.column("choice")[j].as_py()]

    return Duel(
        f"{size.pairs:,} choices out of {OFFERED} read from parquet, {size.features} features an item",
        Candidate(ours),
        {"Arrow's own read": (Candidate(lambda: pq.read_table(path)), 0.0)},
        agree,
        repeats=5,
    )


READING_DUELS: dict[str, Callable[[], Duel]] = {
    "read-parquet": read_parquet, "read-jsonl": read_jsonl, "read-choices": read_choices,
}  # fmt: skip
