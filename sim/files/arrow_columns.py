"""Lists as Arrow columns and numbers back from them, without pandas: `pyarrow.array` of a list and `to_numpy` import it
where it is installed, which takes as long as a small study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.preferences import AnyArray, IntArray


def arrow_column(values: Sequence[Any], kind: Any) -> Any:
    """`pyarrow.array(values, kind)` of texts, whole numbers or numbers, None where there is none; of other kinds, and
    of values of another type than the kind's, it is asked itself."""
    import pyarrow as pa

    own: dict[Any, set[type]] = {pa.string(): {str}, pa.int64(): {int}, pa.float64(): {float, np.float64}}
    if not {type(value) for value in values if value is not None} <= own.get(kind, set()) or kind not in own:
        return pa.array(values, kind)
    here = np.array([value is not None for value in values], dtype=np.bool_)
    valid = None if here.all() else pa.py_buffer(np.packbits(here, bitorder="little"))
    if kind == pa.string():
        texts = [b"" if value is None else value.encode() for value in values]
        ends = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in texts], out=ends[1:])
        if ends[-1] >= 2**31:
            return pa.array(values, kind)
        data = [pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(texts))]
    else:
        plain = [0 if value is None else value for value in values]
        data = [pa.py_buffer(np.array(plain, np.int64 if kind == pa.int64() else np.float64))]
    return pa.Array.from_buffers(kind, len(values), [valid, *data])


def arrow_kind(values: Sequence[Any]) -> Any:
    """`pyarrow.infer_type(values)`, which imports pandas too, where all are of one kind; elsewhere it is asked."""
    import pyarrow as pa

    plain = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.float64()
    return plain[kinds.pop()] if len(kinds) == 1 and kinds <= plain.keys() else pa.infer_type(values)


def numbers_of(array: Any) -> AnyArray:
    """`to_numpy` of an Arrow array, (n,); numbers with nulls are floats, nan for those.  Of other kinds it is asked."""
    import pyarrow as pa

    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        found: AnyArray = array.to_numpy(zero_copy_only=False)
        return found
    held, data = array.buffers()
    if data is None:  # as only an empty array's may be
        return np.zeros(0, dtype=array.type.to_pandas_dtype())
    own = slice(array.offset, array.offset + len(array))
    values: AnyArray = np.frombuffer(data, dtype=array.type.to_pandas_dtype())[own]
    if not array.null_count:
        return values
    here = np.unpackbits(np.frombuffer(held, dtype=np.uint8), bitorder="little")[own]
    return np.where(here.astype(np.bool_), values, np.nan)


def arrow_numbers(values: IntArray) -> Any:
    """`pyarrow.array` of int64, (n,), which are not copied."""
    import pyarrow as pa

    own = np.ascontiguousarray(values, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(own), [None, pa.py_buffer(own)])
