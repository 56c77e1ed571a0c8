"""A stranger's package named `llm` is noticed, without being imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

ASK = (
    "import sys; from pluralign.ownership import llm_owner_problem; "
    "print(llm_owner_problem()); print('llm' in sys.modules)"
)


def _ask(*search, program=ASK):
    start = f"import sys; sys.path[:0] = {[str(p) for p in search]!r}; "
    done = subprocess.run([sys.executable, "-c", start + program], capture_output=True, text=True, cwd="/", check=False)
    return done.stdout.splitlines(), done


def test_our_own_is_no_problem():
    lines, done = _ask(ROOT)
    assert lines == ["None", "False"], done.stderr


@pytest.mark.parametrize("form", ["package", "module", "namespace"])
def test_a_stranger_in_front_is_named_and_not_run(tmp_path, form):
    harmful = "raise SystemExit('the stranger was imported')\n"
    if form == "module":
        (tmp_path / "llm.py").write_text(harmful)
    else:
        (tmp_path / "llm").mkdir()
        if form == "package":
            (tmp_path / "llm" / "__init__.py").write_text(harmful)
    # A folder without __init__ loses against ours wherever it stands: only alone is it found.
    search = (tmp_path, ROOT)
    lines, done = _ask(*search)
    assert done.returncode == 0, done.stderr
    assert lines[1] == "False"
    if form == "namespace":
        assert lines[0] == "None"
    else:
        assert "another installed package owns the import name 'llm'" in lines[0]
        assert str(tmp_path) in lines[0]
        assert "pip uninstall llm" in lines[0]


def test_a_command_that_needs_llm_stops_with_the_same_line(tmp_path):
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "__init__.py").write_text("")
    program = (
        "from pluralign.ownership import require_own_llm\n"
        "from sim.errors import InputError\n"
        "try:\n    require_own_llm()\nexcept InputError as e:\n    print(e)\n"
    )
    start = f"import sys; sys.path[:0] = {[str(tmp_path), str(ROOT)]!r}\n"
    done = subprocess.run([sys.executable, "-c", start + program], capture_output=True, text=True, check=False)
    assert "another installed package owns" in done.stdout, done.stderr


def test_importing_the_package_llm_alone_needs_no_torch():
    lines, done = _ask(ROOT, program="import llm, sys; print(llm.__file__); print('torch' in sys.modules)")
    assert Path(lines[0]) == ROOT / "llm" / "__init__.py", done.stderr
    assert lines[1] == "False"
