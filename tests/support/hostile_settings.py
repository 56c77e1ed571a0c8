"""Hostile tables of numbers, values of options, study files and settings."""

from __future__ import annotations

import json
from pathlib import Path

from hostile_asked import Asked
from hostile_rows import ANSWERS, FAST
from hostile_values import as_lines, damaged, files, odd_word, planted
from hypothesis import strategies as st
from places import EXPERIMENTS

TABLE = [["", "A", "B", "C"], ["x", 0, 3, 1], ["y", 2, 0, 4], ["z", 5, 1, 0]]
_SAID = (("a", 0.25), ("b", 0.75))
LONG = [["annotator_id", "prompt_id", "candidate", "prob"],
        *([who, f"q{q}", name, p] for who in "xy" for q in range(2) for name, p in _SAID)]  # fmt: skip
SHARES = [["", "A", "B"], ["x", 0.25, 0.75], ["y", 0.5, 0.5]]


def table_of(rows, separator=","):
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    for row in rows:
        writer.writerow([_shown(cell) for cell in row] if isinstance(row, list) else [_shown(row)])
    return text.getvalue().encode(errors="replace")


def _shown(cell):
    return cell if isinstance(cell, str) else "" if cell is None else json.dumps(cell)


@st.composite
def _table(draw, base):
    rows = draw(planted(base)) if draw(st.integers(0, 3)) else base
    data = table_of(rows, draw(st.sampled_from([",", ",", ";", "\t"])))
    return draw(damaged(data)) if rows is base or draw(st.integers(0, 4)) == 0 else data


@st.composite
def tables(draw):
    words = draw(st.sampled_from([
        ("minmax", "--regret", "t.csv", "--rounds", 50), ("minmax", "--regret", "t.csv", "--rounds", 50, "--json"),
        ("minmax", "--regret", "t.csv", "--rounds", 20, "--priorities", "1,2,4"),
        ("welfare", "t.csv"), ("welfare", "t.csv", "--zero", "worst", "--lottery"), ("welfare", "t.csv", "--zero", "A"),
        ("welfare", "t.csv", "--rule", "leximin", "--json"), ("welfare", "t.csv", "--rule", "utilitarian", "--lottery"),
        ("welfare", "t.csv", "--rule", "alpha=-2", "--zero", "worst"), ("aggregate", "t.csv"),
        ("aggregate", "t.csv", "--alpha", "-1", "--json"), ("aggregate", "t.csv", "--alpha", "1e300"),
        ("aggregate", "t.csv", "--alpha", "-inf"),
    ]))  # fmt: skip
    return Asked({"t.csv": draw(_table(TABLE))}, words)


@st.composite
def table_options(draw):
    """Odd values of options beside a table that is as it should be."""
    flag = draw(st.sampled_from([
        ("minmax", "--regret", "t.csv", "--priorities"), ("minmax", "--regret", "t.csv", "--rounds"),
        ("welfare", "t.csv", "--rule"), ("welfare", "t.csv", "--zero"), ("aggregate", "t.csv", "--alpha"),
        ("pool", "o.csv", "--alpha"), ("pool", "o.csv", "--mechanism", "--distance-alpha"),
        ("fit", "p.jsonl", "--method"), ("fit", "p.jsonl", "--shift"), ("fit", "p.jsonl", "--priorities"),
        ("fit", "p.jsonl", "--ridge"), ("fit", "p.jsonl", "--features"), ("fit", "p.jsonl", "--seed"),
        ("fit", "p.jsonl", "--types"), ("convert", "columns", "p.jsonl", "--out", "o.jsonl", "--chosen"),
        ("convert", "hh", "p.jsonl", "--out"), ("convert", "hh", "p.jsonl", "--out", "o.jsonl", "--set"),
        ("show",), ("list",), ("list", "--search"), ("power",), ("study",), ("study", "s.yaml", "--set"),
        ("replay",), ("report",), ("check",), ("axioms", "--trials", 10, "--rule"), ("new", "rule"), ("mutate",),
        ("predict", "p.jsonl"), ("convert",), ("choice-model",), ("fit", "p.jsonl", "--beside"),
        ("llm", "plan", "--set"),
        ("fit", "p.jsonl", "--likelihood", "davidson", "--priorities"), ("fit", "p.jsonl", "--out"),
        ("study", "s.yaml", "--engine", "local", "--out"),
    ]))  # fmt: skip
    numbers = ["1e308", "-1e308", "1e-320", "nan", "inf", "-inf", "1,2", "1e308,1e308,1e308", "0,0,0", "9" * 400, "1_0",
               "0x1", "１", "1,,2", "-", "--", "-h", "~", "~/x", "a=b", "a.b.c=1", "n=[", "seed=1e400", "replicates=-1",
               "parties=1000000000", "parties=[1,2]", "x=!!python/object/apply:os.system [ls]", "rules:", ":x",
               "os:system", "sys:exit", "rules:__doc__", "Agg[nan]", "Agg[1e308]", "Agg[", "alpha=nan", "alpha=1e308",
               "alpha=-1e308",
               "alpha=2", "Drama", "feature 1>1e999", "feature 1>nan", ">", "/dev/null", "/dev/zero",
               "/proc/self/mem", "."]  # fmt: skip
    value = odd_word(draw) if draw(st.integers(0, 2)) == 0 else draw(st.sampled_from(numbers))
    held = {"t.csv": table_of(TABLE), "o.csv": table_of(SHARES), "p.jsonl": as_lines(ANSWERS["pairs"]),
            "s.yaml": b"experiment: profiles\nreplicates: 1\n",
            "rules.py": b"def rule(rewards):\n    return rewards[:, 0]\n"}  # fmt: skip
    fast = FAST[:2] if "--types" in flag else FAST  # what nothing reads beside the number of types is refused
    more = {"fit": (*fast, "--out", "out") if "--out" not in flag else fast, "check": ("--out", "out"),
            "mutate": ("--list",), "convert": ("--out", "o2.jsonl") if flag == ("convert",) else (),
            "study": ("--engine", "local") if "--out" in flag else ("--engine", "local", "--out", "out")}  # fmt: skip
    own = more.get(flag[0], ())
    words = (*flag, value, *own) if not value.startswith("-h") else (*flag, value)
    return Asked(held, words, kept=("out/cells",))


@st.composite
def opinions(draw):
    rows = [{"annotator_id": who, "prompt_id": f"q{q}", "candidates": ["a", "<b>b"], "probs": [0.25, 0.75]}
            for who in ("x", "y", "z") for q in range(2)]  # fmt: skip
    if draw(st.booleans()):
        name, data = draw(files(rows, (".jsonl", ".parquet", ".jsonl.gz")))
    else:
        name, data = "o.csv", draw(_table(draw(st.sampled_from([LONG, SHARES]))))
    more = draw(st.sampled_from([
        (), ("--alpha", 0), ("--alpha", "-inf"), ("--mechanism",), ("--json",), ("--alpha", 40),
        ("--mechanism", "--alpha", 0.5, "--json"), ("--mechanism", "--alpha", "1e308"),
    ]))  # fmt: skip
    return Asked({name: data}, ("pool", name, *more))


STUDIES = {
    "profiles": {"experiment": "profiles", "title": "t", "seed": 1, "replicates": 1, "settings": {"options": 4},
                 "grid": {"parties": [2, 3]}, "figure": None},
    "bandit": {"experiment": "bandit", "seed": 0, "replicates": 2, "settings": {}, "grid": {}},
    "types": {"experiment": "types", "replicates": 1, "settings": {"n_annotators": 8}, "grid": {"n_types": [2]}},
}  # fmt: skip
ODD_YAML = [
    "seed: 2001-99-99", "!!python/object/apply:os.system [ls]", "replicates: 1e999", "seed: 0x" + "f" * 400, "<<: *a",
    "&a [*a]", "? [a, b]\n: c", "\tseed: 1", "seed: !!binary aaaa", "replicates: 12:30:45", "title: \"\\e[31m\"",
    "grid: {parties: [&x [1, 2], *x]}", "settings: {parties: .nan}", "settings: {parties: -.inf}", "seed: 1\nseed: 2",
    "grid: {parties: " + "[" * 400 + "]" * 400 + "}", "a: &a [x]\nb: [*a, *a]", "--- \n---", "%YAML 9.9", "seed: ~",
    "...",
]  # fmt: skip


@st.composite
def study_files(draw):
    base = draw(st.sampled_from(["profiles", "bandit", "types", *(path for path in SHIPPED)]))
    return Asked({"s.yaml": draw(_yaml(STUDIES.get(base) or _shipped(base)))}, reader=(_load_spec, "s.yaml"))


SHIPPED = tuple(sorted(str(path) for path in EXPERIMENTS.glob("*/*.yaml") if "reference" not in path.name))


def _shipped(path: str):
    import yaml

    return yaml.safe_load(Path(path).read_text())


def _load_spec(path):
    from sim.studies.spec import load_spec

    spec = load_spec(path)
    spec.resolved()
    return spec


@st.composite
def _yaml(draw, base):
    import yaml

    tree = draw(planted(base))
    try:
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    except yaml.YAMLError:
        text = json.dumps(tree)
    if draw(st.integers(0, 2)) == 0:
        lines = text.splitlines()
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(ODD_YAML)))
        text = "\n".join(lines)
    data = text.encode(errors="replace")
    return draw(damaged(data)) if draw(st.integers(0, 4)) == 0 else data


@st.composite
def studies_run(draw):
    """Small ones, which take less than a second."""
    data = draw(_yaml(STUDIES["profiles"]))
    return Asked({"s.yaml": data}, reader=(_run_small, "s.yaml"))


def _run_small(path):
    from hostile_contract import check_command

    spec = _load_spec(path)
    whole = [value for _, setting in spec.cells() for value in vars(setting).values() if isinstance(value, int)]
    if spec.replicates * max(len(list(spec.cells())), 1) <= 4 and max(whole, default=0) <= 200:
        check_command(Path(), ("study", path, "--engine", "local", "--out", "out"), kept=("out/cells",))
    return spec


@st.composite
def settings_files(draw):
    kinds = {"RunSettings": "llm.runs.run_settings", "SftSettings": "llm.training.sft_settings",
             "ImdbSettings": "llm.data.imdb_settings", "PlanSettings": "llm.planning.plan_settings",
             "SaddleSettings": "llm.training.direct_saddle_point"}  # fmt: skip
    kind = draw(st.sampled_from(list(kinds)))
    return Asked({"c.yaml": draw(_yaml(_defaults(kind, kinds[kind])))}, reader=(_settings, "c.yaml", kind, kinds[kind]))


def _defaults(kind, module):
    import importlib

    from sim.settings import resolved

    return resolved(getattr(importlib.import_module(module), kind)())


def _settings(path, kind, module):
    import importlib

    from sim.settings import read_settings, resolved

    return resolved(read_settings(getattr(importlib.import_module(module), kind), path))
