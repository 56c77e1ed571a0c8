"""JSON as Arrow reads it: lines of a file, and cells of a comma-separated one."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.files.answer_sources import Part
from sim.files.arrow_values import require
from sim.files.json_depth import is_shallow
from sim.reading import bounded_bytes

_BLOCK = 1 << 24
# The only lists that may hold nulls.
_MAY_LACK = "ranking"


def json_lines(part: Part) -> Any:
    """A file of JSON lines as a table."""
    import pyarrow as pa

    if part.packed:
        return _whole(pa.py_buffer(bounded_bytes(part.path, part.packed)))
    with pa.memory_map(str(part.path)) as file:
        return _whole(file.read_buffer())


def json_cells(name: str, column: Any) -> Any:
    """A column of cells, each a number or list that JSON writes, or nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lines = []
    begin, end, nothing = (pa.scalar(text, pa.large_string()) for text in (f'{{"{name}":', "}\n", ""))
    for chunk in column.chunks:
        texts = pc.binary_join_element_wise(begin, chunk.fill_null("null"), end, nothing)
        # All of a column's texts lie one behind the other.
        _, ends, whole = texts.buffers()
        lines.append(whole.slice(0, int(np.frombuffer(ends, dtype=np.int64)[len(texts)])))
    data = pa.py_buffer(b"".join(lines))
    require(data.size)
    table = _whole(data)
    # A cell that ends its own object and begins another is no cell of JSON.
    require(table.column_names == [name] and table.num_rows == len(column))
    return table[name]


def _whole(data: Any) -> Any:
    """Arrow loses the nulls that the first list of a block begins with (apache/arrow issue 51305) unless it knows the
    type; what it then returns is no sound array, and later nulls are elsewhere."""
    import pyarrow as pa

    require(is_shallow(data))
    table = _read(pa.BufferReader(data), None)
    if _MAY_LACK in table.column_names and not is_sound(table[_MAY_LACK]):
        table = _read(pa.BufferReader(data), pa.schema([(_MAY_LACK, pa.list_(pa.float64()))]))
    return table


def _read(source: Any, schema: Any) -> Any:
    import pyarrow.json as pj

    return pj.read_json(
        source, read_options=pj.ReadOptions(block_size=_BLOCK),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"),
    )  # fmt: skip


def is_sound(column: Any) -> bool:
    """Whether lists end where their values do."""
    import pyarrow as pa

    if not pa.types.is_nested(column.type):
        return True
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
