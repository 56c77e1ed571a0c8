"""Hostile result folders and programs of other people's, and names shown in a notebook."""

from __future__ import annotations

import json

from hostile_asked import Asked
from hostile_rows import ANSWERS, FAST, features_of
from hostile_settings import table_of
from hostile_values import as_json, as_lines, damaged, planted
from hypothesis import strategies as st
from places import ROOT


@st.composite
def saved(draw, made):
    """A result folder with one of its files damaged.  made: name -> (folder, words to type)."""
    kind = draw(st.sampled_from(list(made)))
    folder, commands = made[kind]
    inside = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".png", ".svg"))
    path = inside[draw(st.integers(0, len(inside) - 1))]
    data = path.read_bytes()
    if path.suffix == ".json" and draw(st.integers(0, 3)):
        data = as_json(draw(planted(json.loads(data))))
    elif path.suffix == ".npz" and draw(st.integers(0, 3)):
        return Asked(_other_arrays(draw, folder, data), draw(st.sampled_from(commands)), kept=("saved",))
    else:
        data = draw(damaged(data))
    words = draw(st.sampled_from(commands))
    # Figures of a folder that is redrawn, and pieces of work that is taken up again.
    return Asked(
        {"saved": folder, f"saved/{path.relative_to(folder)}": data, "items.jsonl": ITEMS}, words, kept=("saved",)
    )


ITEMS = as_lines([{"item": f"i{k}", "features": features_of(k)} for k in range(4)])


def _other_arrays(draw, folder, data):
    """Arrays of another shape or kind, and the checksum that goes with them: a folder that somebody sent."""
    import hashlib
    import io

    import numpy as np

    with np.load(io.BytesIO(data)) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(found)))
        own = found[name]
        odd = [np.zeros(0), np.array(np.nan), np.full(own.shape, np.nan) if own.dtype.kind == "f" else own[..., None],
               own.ravel()[:1], np.array(["<script>alert(1)</script>", "\x1b[2J"]), np.full((3, 3), 1e308),
               own.astype(str), np.array(-1), own[None], np.array([10**9], dtype=np.int64)]  # fmt: skip
        if draw(st.integers(0, 4)) == 0:
            del found[name]
            if not found:
                break
        else:
            found[name] = odd[draw(st.integers(0, len(odd) - 1))]
    buffer = io.BytesIO()
    np.savez(buffer, **found)
    summary = json.loads((folder / "fit.json").read_text())
    summary["model_checksum"] = hashlib.blake2b(buffer.getvalue(), digest_size=16).hexdigest()
    return {"saved": folder, "saved/model.npz": buffer.getvalue(), "saved/fit.json": as_json(summary),
            "saved/checksums.json": as_json({"blake2b": {}}), "items.jsonl": ITEMS}  # fmt: skip


ODD_RESULTS = [
    "None", "'text'", "3", "[]", "{}", "float('nan')", "[None]", "object()", "np.zeros(0)", "np.zeros((2, 2, 2))", "()",
    "np.full(7, np.nan)", "np.array(['a', 'b'])", "np.array([None])", "1e308", "1j", "np.zeros(7, dtype=complex)",
    "True",
    "[1e308] * 7", "10 ** 400", "lambda: 1", "iter([1, 2])", "np.inf", "'\\x1b[31m' * 1000", "(_ for _ in ())",
]  # fmt: skip
ODD_DEEDS = [
    "raise ValueError('\\x1b[31m<b>')", "raise SystemExit(0)", "raise KeyError", "raise RecursionError('deep')",
    "raise AssertionError", "raise TypeError('x' * 5000)", "raise MemoryError", "1 / 0", "raise StopIteration",
    "raise OSError(28, 'No space left')", "raise type('Odd', (Exception,), {})('own')",
    "raise UnicodeDecodeError('utf-8', b'', 0, 1, 'x')", "import nowhere_at_all", "raise Exception(None)",
    "raise FileNotFoundError(2, 'none', 'x')", "raise BrokenPipeError", "import sys; sys.exit('\\x1b[31m')",
]  # fmt: skip
PLUGINS = {
    "rule": (("axioms", "--trials", 10, "--rule", "plug:RULE"),),
    "method": (("fit", "p.jsonl", "--method", "plug:METHOD", *FAST, "--out", "out"),),
    "converter": (("convert", "plug:CONVERTER", "raw.jsonl", "--out", "o.jsonl"),),
    "experiment": (("study", "plug.yaml", "--engine", "local", "--out", "out"),),
    "environment": (("study", "e.yaml", "--engine", "local", "--out", "out"),),
    "claim": (("check", "plug:CLAIMS", "--engine", "local", "--workers", 1, "--out", "out"), ("show", "plug:CLAIMS")),
}  # fmt: skip


@st.composite
def plugins(draw):
    """A skeleton of ours in which one line does something else."""
    kind = draw(st.sampled_from([*PLUGINS, "rule", "method", "converter"]))
    source = (ROOT / "pluralign" / "skeletons" / f"{kind}.py").read_text()
    lines = source.splitlines()
    told = [number for number, line in enumerate(lines) if line.strip().startswith(("return ", "yield {"))]
    number = draw(st.sampled_from(told))
    indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
    what = draw(st.sampled_from(["result"] * 4 + ["deed"] * 3 + ["missing", "text", "attribute"]))
    if what == "result":
        end = _end_of(lines, number)
        word = lines[number].split()[0]
        lines[number : end + 1] = [f"{indent}{word} {draw(st.sampled_from(ODD_RESULTS))}"]
    elif what == "deed":
        lines.insert(number, indent + draw(st.sampled_from(ODD_DEEDS)))
    elif what == "missing":
        lines = lines[: -draw(st.integers(1, 10))]
    elif what == "attribute":
        name = draw(st.sampled_from(["name", "title", "claim_id", "paper", "beside", "SETTINGS", "options", "n_types"]))
        lines = [f"{line[: len(line) - len(line.lstrip())]}{name} = {draw(st.sampled_from(ODD_RESULTS))}"
                 if line.strip().startswith(f"{name} = ") else line for line in lines]  # fmt: skip
    text = "\n".join(["import numpy as np", *lines]) if "import numpy" not in source else "\n".join(lines)
    data = text.encode() if what != "text" else draw(damaged(text.encode()))
    yaml = (ROOT / "pluralign" / "skeletons" / "experiment.yaml").read_text().replace("skeleton:", "plug:")
    raw = [{"who": f"p{k % 3}", "question": f"q{k}", "options": ["a", "b"], "picked": k % 2} for k in range(6)]
    held = {"plug.py": data, "p.jsonl": as_lines(ANSWERS["pairs"]), "raw.jsonl": as_lines(raw),
            "plug.yaml": yaml.replace("50", "2").encode(),
            "e.yaml": b"experiment: types\nreplicates: 1\n"
                      b"settings: {n_annotators: 8, environment: 'plug:ENVIRONMENT'}\n"}  # fmt: skip
    # A figure that cannot be drawn takes no number that was computed before with it.
    return Asked(held, draw(st.sampled_from(PLUGINS[kind])), kept=("out",) if kind == "experiment" else ("out/cells",))


def _end_of(lines, number):
    """Where the statement that begins on a line ends: its brackets are closed."""
    depth = 0
    for place in range(number, len(lines)):
        depth += sum(lines[place].count(mark) for mark in "([{") - sum(lines[place].count(mark) for mark in ")]}")
        if depth <= 0:
            return place
    return number


@st.composite
def shown_as_html(draw):
    """Names of rows and columns as a notebook shows them."""
    name = st.sampled_from(["<script>alert(1)</script>", "<b>x", "\x1b[31m", "a&b", "$\\frac{", "'\"", "</td>", "<!--"])
    rows = [["", draw(name), "B"], [draw(name) + "1", 0.25, 0.75], ["y", 0.5, 0.5]]
    return Asked(
        {"t.csv": table_of(rows)}, reader=(_html, draw(st.sampled_from(["aggregate", "minmax", "pool", "welfare"])))
    )


def _html(call):
    import re

    import pluralign

    more = {"minmax": {"rounds": 10}, "welfare": {"zero": "worst"}}.get(call, {})
    text = getattr(pluralign, call)("t.csv", **more)._repr_html_()
    assert not re.search(r"<(script|b>x|!--)", text), text
    assert "\x1b" not in text
    return text
