"""A wheel and an sdist, built from what the repository tracks, installed away from it: commands, shipped studies, fits,
skeletons, the API, and an installed package that opens every door by name.

The environment is fresh but for its dependencies, which are those of the environment the tests run in (what is declared
as needed is what `make check` installs, from the same file).
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from markdown_blocks import blocks_of, difference
from places import ROOT

TOY = {
    "claims": "toy_claim:CLAIMS", "experiments": "toy_experiment:EXPERIMENT", "methods": "toy_method:METHOD",
    "converters": "toy_converter:CONVERTER", "rules": "toy_rule:RULE", "environments": "toy_environment:ENVIRONMENT",
}  # fmt: skip


def _run(*words, cwd, expected=0, **more):
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(list(map(str, words)), cwd=cwd, env={**env, **more}, capture_output=True, text=True,
                          check=False, timeout=600)  # fmt: skip
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout


def _pip(python, *words, cwd):
    return _run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *words, cwd=cwd)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(wheel, sdist) of a copy of the sources: building leaves folders behind."""
    place = tmp_path_factory.mktemp("built")
    source = place / "source"
    source.mkdir()
    for name in ("sim", "theory", "llm", "pluralign"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", place, source, cwd=place)
    return next(place.glob("*.whl")), next(place.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder of programs of an environment that has the wheel, and an empty folder to work in."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place / "env", with_pip=False, symlinks=True)
    programs = place / "env" / ("Scripts" if os.name == "nt" else "bin")
    site = next((place / "env").rglob("site-packages"))
    # Dependencies from here; .pth files of that folder are not read, so that the checkout is not found by them.
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    _pip(sys.executable, "--python", programs / "python", "install", "--no-deps", built[0], cwd=place)
    (place / "work").mkdir()
    return programs, place / "work"


def test_what_is_shipped_is_in_both(built):
    wheel, sdist = built
    tracked = [path.relative_to(ROOT) for name in ("sim", "theory", "llm", "pluralign")
               for path in (ROOT / name).rglob("*")
               if path.suffix in (".py", ".yaml", ".typed", ".json", ".html", ".css", ".js")
               and "__pycache__" not in path.parts]  # fmt: skip
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {path.as_posix() for path in tracked} <= held
    assert {path.as_posix() for path in tracked} <= packed
    assert not [name for name in held if name.startswith(("tests", "benchmarks", "docs"))]


@pytest.mark.slow
def test_it_is_the_installed_one_and_it_works(installed):
    programs, work = installed
    place = _run(programs / "python", "-c", "import sim, pluralign; print(sim.__file__)", cwd=work).strip()
    assert not Path(place).is_relative_to(ROOT)
    tell = programs / "pluralign"
    assert "no problems found" in _run(tell, "doctor", cwd=work)
    assert "party_scaling" in _run(tell, "study", "--list", cwd=work)
    answer = json.loads(_run(tell, "check", "mixture-linear", "--workers", "1", "--json", cwd=work))
    assert answer["all_as_expected"]
    # The README's lines of Python, by `python -c`, in a folder that has the sample inputs and nothing else.
    block = next(block for block in blocks_of(ROOT / "README.md") if block.language == "python")
    shutil.copytree(ROOT / "examples", work / "examples")
    printed = _run(programs / "python", "-c", block.text, cwd=work)
    assert difference(block.output, printed) is None, printed
    # What follows uses the kernels that these lines compiled.
    answers = work / "examples" / "pairs.jsonl.gz"
    fitted = json.loads(_run(tell, "fit", answers, "--method", "pooled", "--out", "fit", "--json", cwd=work))
    assert fitted["method"] == "pooled"
    _run(tell, "study", "types", "--set", "replicates=2", "--set", "answers=[5]", "--set", "annotators=20",
         "--set", "environment=opposed_tastes", "--workers", "1", "--out", "types", cwd=work)  # fmt: skip


def test_the_sdist_installs_too_and_names_what_it_needs(built, tmp_path):
    """Every package that the sources import, outside the extras, is among the dependencies."""
    here = ("--no-deps", "--no-build-isolation", "--target", tmp_path / "site", built[1])
    _pip(sys.executable, "install", *here, cwd=tmp_path)
    assert (tmp_path / "site" / "sim" / "studies" / "experiments" / "types" / "types.yaml").is_file()
    told = next((tmp_path / "site").glob("pluralign-*.dist-info")) / "METADATA"
    needed = {
        re.split(r"[ <>=!~;\[]", line.partition(": ")[2])[0].lower()
        for line in told.read_text().splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line
    }  # fmt: skip
    imported = set()
    for room in ("sim", "theory", "pluralign"):
        for path in (tmp_path / "site" / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                imported |= {name.partition(".")[0] for name in names}
    optional = {
        "torch",
        "transformers",
        "dask",
        "distributed",
        "fsspec",
        "pandas",
        "polars",
        "datasets",
        "psutil",
        "IPython",
        "llm",
    }
    foreign = imported - set(sys.stdlib_module_names) - {"sim", "theory", "pluralign"} - optional
    called = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
    assert {called.get(name, name) for name in foreign} <= needed


def test_an_installed_package_opens_every_door_by_name(installed):
    programs, work = installed
    tell, project = programs / "pluralign", work / "toy"
    project.mkdir()
    code = "import pluralign as pl\nfor group, place in %r: pl.new(group, place)" % [
        (place.partition(":")[0].removeprefix("toy_"), place.partition(":")[0]) for place in TOY.values()
    ]
    _run(programs / "python", "-c", code, cwd=project)
    points = "\n".join(f'[project.entry-points."pluralign.{group}"]\ntoy = "{place}"' for group, place in TOY.items())
    modules = ", ".join(f'"{place.partition(":")[0]}"' for place in TOY.values())
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "toy"\nversion = "1.0"\n{points}\n[tool.setuptools]\npy-modules = [{modules}]\n'
    )
    here = ("--python", programs / "python", "install", "--no-deps", "--no-build-isolation")
    _pip(sys.executable, *here, project, cwd=work)
    answer = json.loads(_run(tell, "check", "toy", "--workers", "2", "--json", cwd=work))
    assert [row["claim_id"] for row in answer["verdicts"]] == ["toy-claim-mean"]
    (work / "mine.yaml").write_text("experiment: toy\nreplicates: 4\ngrid: {n: [5, 20]}\n")
    (work / "raw.jsonl").write_text('{"who": "a", "question": "Which?", "options": ["x", "y"], "picked": 0}\n')
    # One process for the other doors: to begin takes longer than what it does.
    code = (
        "import sys\n"
        "import pluralign as pl\n"
        "from pluralign.__main__ import main\n"
        "def typed(line):\n"
        "    print('>', line, flush=True)\n"
        "    sys.argv = ['pluralign', *line.split()]\n"
        "    assert main() == 0, line\n"
        "if __name__ == '__main__':\n"
        "    typed('list toy')\n"
        "    typed('study mine.yaml --workers 2 --out mine')\n"
        "    typed('convert toy raw.jsonl --out converted.jsonl')\n"
        "    typed('axioms --rule toy --trials 50')\n"
        "    pairs = pl.simulate('toy', n_annotators=12, answers=20, seed=1)\n"
        "    print('> fit')\n"
        "    print(pl.fit(pairs, method='toy').as_dict()['method'])\n"
    )
    (work / "doors.py").write_text(code)
    _, listed, _, _, compared, fitted = _run(programs / "python", "doors.py", cwd=work).split("> ")
    assert "toy-claim-mean" in listed
    assert (work / "mine" / "results.parquet").is_file()
    assert (work / "converted.jsonl").is_file()
    assert "toy" in compared.partition("\n")[2]
    assert fitted.split() == ["fit", "toy_method"]
