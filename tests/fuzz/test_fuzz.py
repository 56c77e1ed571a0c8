"""Thousands of hostile inputs over every reader and command: each works, or is refused in one line.

A few hundred, always the same, in `make test`; `make fuzz` runs `PLURALIGN_FUZZ` of them (10,000), by a seed of its own
with `--hypothesis-seed`.
"""

import importlib
import os
import resource
import sys
import time
from collections import Counter

import hostile_programs
import hostile_rows
import hostile_settings
import pytest
from hostile_contract import check_command, check_reader, folder_of
from hostile_values import as_lines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.running.memory import machine_memory

# Everyday inputs of each kind, about 300 in all; at night each kind has its share of them all.
SHARES = {
    "answers_read": 40, "answers_fitted": 25, "predicted": 20, "tables": 30, "table_options": 30, "opinions": 20,
    "converted": 40, "choice_models": 10, "study_files": 20, "studies_run": 3, "settings_files": 10, "other_files": 30,
    "saved": 5, "plugins": 12, "shown_as_html": 4,
}  # fmt: skip
NIGHT = int(os.environ.get("PLURALIGN_FUZZ", "10000"))
COUNT: Counter[str] = Counter()
SPENT: Counter[str] = Counter()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders that commands have written, and kernels that are compiled outside any limit."""
    return _made(tmp_path_factory.mktemp("made"))


def _made(folder):
    # What is loaded once is nobody's input: it does not count against the memory of one.
    for module in ("torch", "llm.planning.plan", "llm.base.text_encoders", "sim.running.memory", "matplotlib.pyplot"):
        importlib.import_module(module)
    machine_memory()
    before = os.getcwd()
    os.chdir(folder)
    try:
        return _typed_all(folder)
    finally:
        os.chdir(before)


def _typed_all(folder):
    import contextlib
    import io

    from pluralign.__main__ import main

    def put(*words):
        sys.argv = ["pluralign", *map(str, words)]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
            code = main()
        assert code == 0, err.getvalue()

    argv = sys.argv
    try:
        for kind in hostile_rows.KINDS:
            (folder / f"{kind}.jsonl").write_bytes(as_lines(hostile_rows.ANSWERS[kind]))
        once = hostile_rows.FAST[:2]
        # What a method would not heed is refused.
        for method, types, fast in (
            ("pooled", "auto", hostile_rows.FAST),
            ("em-dpo", 2, once),
            ("personal", "auto", hostile_rows.FAST),
            ("cluster", 2, hostile_rows.FAST),
            ("low-rank", 1, ()),
            ("shared", 1, hostile_rows.FAST),
        ):
            put("fit", "pairs.jsonl", "--method", method, "--types", types, *fast, "--out", method)
        for kind in hostile_rows.KINDS[1:]:
            more = ("--features", "words") if kind in ("texts", "chats") else ()
            put("fit", f"{kind}.jsonl", "--method", "em-dpo", "--types", 2, *once, "--out", kind, *more)
        (folder / "s.yaml").write_text("experiment: profiles\nreplicates: 1\n")
        put("study", "s.yaml", "--engine", "local", "--out", "study")
        put("check", "regret-beta", "--engine", "local", "--workers", 1, "--out", "check")
    finally:
        sys.argv = argv
    used = ("predict", "saved", "items.jsonl")
    found = {
        name: (folder / name, (used, ("report", "saved"), (*used, "--by-type", "--json")))
        for name in ("pooled", "em-dpo", "low-rank", "choices", "texts", "ties")
    }
    found["study"] = (folder / "study", (("report", "saved"), ("report", "saved", "--json")))
    found["check"] = (folder / "check", (("report", "saved"), ("report", "saved", "--json")))
    witnesses = sorted((folder / "check" / "witnesses").glob("*.json"))
    if witnesses:
        found["witness"] = (witnesses[0].parent, (("replay", f"saved/{witnesses[0].name}"),))
    return found


def _strategy(kind, made):
    if kind == "saved":
        return hostile_programs.saved(made)
    if kind == "predicted":
        return st.sampled_from(["pooled", "em-dpo", "low-rank", "choices", "texts"]).flatmap(
            lambda name: hostile_rows.predicted(made[name][0])
        )
    home = next(module for module in (hostile_rows, hostile_settings, hostile_programs) if hasattr(module, kind))
    return getattr(home, kind)()


def _run(kind, made, number, **chosen):
    def one(asked):
        COUNT[kind] += 1
        began = time.process_time()
        with folder_of(asked.files) as folder:
            if asked.reader is not None:
                check_reader(*asked.reader)
            else:
                check_command(folder, asked.words, asked.kept)
        SPENT[kind] += time.process_time() - began

    limits = settings(
        max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck), **chosen
    )
    limits(given(_strategy(kind, made))(one))()


@pytest.mark.parametrize("kind", SHARES)
def test_a_few_hundred(made, kind):
    _run(kind, made, SHARES[kind], derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHARES)
def test_as_many_as_are_asked_for(made, kind):
    before = COUNT[kind]
    _run(kind, made, -(-NIGHT * SHARES[kind] // sum(SHARES.values())))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{kind}: {COUNT[kind] - before} inputs, {SPENT[kind]:.0f} s, {peak:.0f} MiB at most so far")
