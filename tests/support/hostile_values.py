"""Odd things planted into valid inputs, and files of every form written of them: strategies of hypothesis."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
import math

from hypothesis import strategies as st

NAMES = [
    "", " ", "nan", "NaN", "None", "null", "inf", "1e999", "-0", "1.0", "\x1b[31mred\x1b]0;pwned\x07", "\x9b2J",
    "<script>alert(1)</script>", "<b>&amp;", "$\\frac{", "\u202eabc", "\ud800", "\udcff", "\x00",
    "a\nb\r\nc", "\ufeffx", "=1+1",
    "é́" * 3, "x" * 5000, "../../etc/passwd", "/", "a,b;c\td", '"', "'", "[1, 2", '{"a":', "[[[[", "[NaN]", "true",
    "%s%n", "{0}", "__proto__", "annotator_id", "-1", "0", "1e308",
]  # fmt: skip
HUGE = [10**30, 10**400, -(10**400), 2**63, -(2**63) - 1, 2**64]
NUMBERS = [0, 1, -1, 2, 101, 1.5, -0.0, 1e308, -1e308, 1e-320, 1e100, 1e9, math.nan, math.inf, -math.inf, *HUGE]
OBJECTS = [
    [], {}, [[]], [None], [{}], [1, "a"], [math.nan], [1e308, -1e308], {"a": 1}, {"": {}}, [True, False], ["a"] * 3,
    [[1.0, 2.0], [3.0]], {"role": "user"}, [{"role": "user", "content": None}], [{"role": "user", "content": "hi"}],
    [{"role": "tool", "content": [{"type": "image"}]}], [{"role": 1, "content": "x"}], [0] * 2000,
]  # fmt: skip


def deep(times: int, opening: str = "[", closing: str = "]") -> str:
    return opening * times + closing * times


VALUES = st.one_of(
    st.sampled_from(NAMES), st.sampled_from(NUMBERS), st.sampled_from(OBJECTS), st.sampled_from([None, True, False]),
    st.sampled_from(HUGE),
    st.just(json.loads(deep(100))), st.just("y" * 150_000),
).map(copy.deepcopy)  # fmt: skip


def places(tree, depth=0):
    """(container, key) of everything inside a tree of lists and objects."""
    if depth > 12:
        return
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from places(tree[key], depth + 1)


@st.composite
def planted(draw, base, most=3):
    """The tree with one to `most` odd things in it."""
    tree = copy.deepcopy(base)
    for _ in range(draw(st.integers(1, most))):
        found = list(places(tree))
        if not found:
            return tree
        container, key = found[draw(st.integers(0, len(found) - 1))]
        what = draw(
            st.sampled_from(["value"] * 5 + ["everywhere"] * 3 + ["gone", "renamed", "again", "more", "wrapped"])
        )
        if what == "value":
            container[key] = draw(VALUES)
        elif what == "everywhere":
            value = draw(VALUES)
            for other, name in found:
                if name == key and type(other) is type(container) and (isinstance(key, str) or other is container):
                    other[name] = copy.deepcopy(value)
        elif what == "gone":
            del container[key]
        elif what == "wrapped":
            container[key] = [container[key]]
        elif isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]) if what == "again" else draw(VALUES))
        elif what == "more":
            container[draw(st.sampled_from(NAMES))] = draw(VALUES)
        else:
            name = draw(st.sampled_from([*NAMES, str(key).upper(), f"{key}s", f" {key}"]))
            container[name] = container[key] if what == "again" else container.pop(key)
    return tree


def as_json(tree) -> bytes:
    return json.dumps(tree).encode()


def as_lines(rows) -> bytes:
    return b"".join(as_json(row) + b"\n" for row in rows)


def _cell(value):
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def as_csv(rows, separator=",") -> bytes:
    """Lone surrogates become question marks: no encoding has them."""
    named = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in named for name in row))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(names)
    for row in named:
        writer.writerow([_cell(row.get(name)) for name in names])
    return text.getvalue().encode(errors="replace")


def as_parquet(rows) -> bytes:
    """As Arrow takes these rows; what it does not take becomes text, column by column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    named = [row for row in rows if isinstance(row, dict)]
    columns = {}
    for name in dict.fromkeys(name for row in named for name in row):
        values = [row.get(name) for row in named]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            columns[name] = pa.array([json.dumps(value) for value in values])
    sink = io.BytesIO()
    try:
        pq.write_table(pa.table(columns), sink)
    except (pa.ArrowException, UnicodeEncodeError):
        return as_lines(rows)
    return sink.getvalue()


def _zst(data: bytes) -> bytes:
    import pyarrow as pa

    return pa.Codec("zstd").compress(data, asbytes=True)


# Ending -> the bytes of rows in that form.
FORMS = {
    ".jsonl": as_lines,
    ".csv": as_csv,
    ".parquet": as_parquet,
    ".jsonl.gz": lambda rows: gzip.compress(as_lines(rows)),
    ".jsonl.zst": lambda rows: _zst(as_lines(rows)),
    ".csv.gz": lambda rows: gzip.compress(as_csv(rows)),
    ".tsv": lambda rows: as_csv(rows, "\t"),
    ".json": as_json,
}
_LINES = [
    b"", b" ", b"{}", b"[]", b"null", b"1", b'"text"', b"{", b"}", b"[1, 2", b"\xff\xfe", b"\x00", b'{"a": 1} {"b": 2}',
    b'{"annotator_id": 1, "annotator_id": 2}', b",,,", b'"', b"# comment", b"---", deep(5000).encode(),
    deep(3000, '{"a":[', "]}").encode(), b"\xef\xbb\xbf",
]  # fmt: skip
_BYTES = st.sampled_from(
    [b"\x00", b"\xff", b"\n", b"\r", b'"', b"{", b"]", b",", b";", b"\t", b"9", b"\\", b"\x1b", b"e"]
)


@st.composite
def damaged(draw, data: bytes):
    """The bytes with one or two of them flipped, cut, doubled, put in, or the whole in another encoding."""
    for _ in range(draw(st.integers(1, 2))):
        what = draw(st.sampled_from(["flip", "flip", "cut", "put", "line", "double", "swap", "encoding"]))
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        if what == "flip" and data:
            data = data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
        elif what == "cut":
            data = data[:place] if draw(st.booleans()) else data[place:]
        elif what == "put":
            data = data[:place] + draw(_BYTES) * draw(st.sampled_from([1, 1, 3, 300])) + data[place:]
        elif what == "line":
            lines = data.split(b"\n")
            lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(_LINES)))
            data = b"\n".join(lines)
        elif what == "double":
            data = data[:place] + data[place : place + draw(st.integers(1, 200))] * 2 + data[place:]
        elif what == "swap":
            other = draw(st.integers(0, max(len(data) - 1, 0)))
            begin, end = sorted((place, other))
            data = data[:begin] + data[end:] + data[begin:end]
        elif what == "encoding":
            data = draw(st.sampled_from([
                b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n"), data.replace(b"\n", b"\r"), b"\n\n" + data, b"",
                data.decode("latin-1").encode("utf-16"), data.decode("latin-1").encode(), data + data,
            ]))  # fmt: skip
    return data


@st.composite
def files(draw, base, endings=tuple(FORMS), name="input"):
    """(name, bytes) of a file of rows with odd things planted, or of valid rows whose bytes are damaged, or both."""
    ending = draw(st.sampled_from(endings))
    what = draw(st.sampled_from(["planted"] * 6 + ["damaged"] * 2 + ["both"]))
    data = FORMS[ending](base if what == "damaged" else draw(planted(base)))
    if what != "planted":
        data = draw(damaged(data))
    return name + ending, data


@st.composite
def texts(draw, base: str):
    """Bytes of a text whose lines are damaged, or whose words are odd ones."""
    if draw(st.booleans()):
        return draw(damaged(base.encode()))
    words = base.split(" ")
    for _ in range(draw(st.integers(1, 3))):
        value = draw(VALUES)
        words[draw(st.integers(0, len(words) - 1))] = value if isinstance(value, str) else json.dumps(value)
    return " ".join(words).encode(errors="replace")


def odd_word(draw) -> str:
    """What can stand on a command line: no zero byte, no half of a character but what other bytes become."""
    known = [name for name in NAMES if "\0" not in name and name != "\ud800" and len(name) < 5000]
    return draw(st.sampled_from(known))
