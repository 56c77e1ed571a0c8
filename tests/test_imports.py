"""The arrows of the design, read from the imports; and what importing a package may load."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from blind_measures import Module

ROOT = Path(__file__).parent.parent
# A package may import itself and these.
ALLOWED = {
    "sim": set(),
    "theory": {"sim"},
    "llm": {"sim"},
    "pluralign": {"sim", "theory", "llm"},
}
# llm sees only the algorithm core of sim, preferences in files, the intervals over annotators, and what stands on
# nothing else: distinct rows, partitions, restarts, weighted means.
CORE = (
    "sim.algorithms", "sim.policies", "sim.preferences", "sim.streams", "sim.errors", "sim.arrays", "sim.arguments",
    "sim.likelihoods", "sim.choice_sets", "sim.answer_kinds", "sim.settings", "sim.files", "sim.estimators.bootstrap",
    "sim.reading", "sim.install", "sim.distinct", "sim.partitions", "sim.restarts", "sim.weighted_means",
)  # fmt: skip

# The floors of `sim`, from the bottom: a room imports itself, and what stands above it in this list.
FLOORS = (
    ("errors", "arrays", "cones", "counted", "install", "printable", "plugin_sources"),
    ("code_in_memory",),
    ("arguments", "distinct", "named_columns", "plugins", "reading"),
    ("preferences",),
    ("likelihoods", "settings", "compiled", "restarts", "partitions", "weighted_means"),
    ("streams", "choice_sets"),
    ("files", "running"),
    ("answer_kinds",),
    ("estimators",),
    ("policies",),
    ("environments",),
    ("populations",),
    ("algorithms",),
    ("converters", "tables", "fitting", "studies"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    """Of the file's tree; a dozen tests ask for those of all files."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def _imports(path: Path) -> set[str]:
    found = set()
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found


def _modules():
    return [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows(path):
    package = path.relative_to(ROOT).parts[0]
    forbidden = set(ALLOWED) - ALLOWED[package] - {package}
    for name in _imports(path):
        assert name.split(".")[0] not in forbidden, f"{path} imports {name}"
        if package == "llm" and name.startswith("sim"):
            assert name.startswith(CORE), f"{path} imports {name}, which is outside the algorithm core"
        if package in ("sim", "theory"):
            assert name.split(".")[0] not in {"torch", "transformers", "peft"}, f"{path} imports {name}"
        assert name not in {"pickle", "dill", "joblib.numpy_pickle"}, f"{path} imports {name}"


@cache
def _graph() -> dict[str, set[str]]:
    """Module -> the modules of ours it imports, anywhere in the file, `from package import module` included."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in _modules()
    }
    graph = {}
    for name, path in files.items():
        found = _imports(path)
        for node in _nodes(path):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        graph[name] = (found & set(files)) - {name}
    return graph


def _upward(graph: dict[str, set[str]]) -> list[str]:
    return [
        f"{name} imports {other}"
        for name, others in graph.items() for other in others
        if name.startswith("sim.") and FLOOR[other.split(".")[1]] > FLOOR[name.split(".")[1]]
    ]  # fmt: skip


def _circles(graph: dict[str, set[str]]) -> list[str]:
    """Modules on a circle or between two: what is left when, again and again, those that import nothing that is left,
    or that nothing left imports, are taken away."""
    left = set(graph)
    while gone := {name for name in left if not graph[name] & left} | {
        name for name in left if not any(name in graph[other] for other in left)
    }:
        left -= gone
    return sorted(left)


def test_no_import_runs_upward():
    assert not _upward(_graph())


def test_the_engine_knows_no_paper():
    """theory.engine stands below the papers, theory.report beside them."""
    for name, others in _graph().items():
        if name.startswith("theory.engine"):
            assert all(other.split(".")[1:2] in ([], ["engine"]) for other in others if other.startswith("theory")), (
                name
            )


def test_no_circle_between_files():
    assert not _circles(_graph())


def test_upward_imports_and_circles_are_found():
    assert _upward({"sim.streams": {"sim.algorithms.hedge"}, "sim.algorithms.hedge": {"sim.streams"}})
    assert not _upward({"sim.algorithms.hedge": {"sim.streams"}, "sim.streams": set()})
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()}) == ["a", "b", "c"]
    assert not _circles({"a": {"b"}, "b": {"c"}, "c": set()})


def _functions(*packages: str):
    for path in _modules():
        if path.relative_to(ROOT).parts[0] in packages:
            for node in _nodes(path):
                if isinstance(node, ast.FunctionDef):
                    yield path.relative_to(ROOT), node


def test_no_function_takes_more_than_nine_arguments_by_position():
    """A kernel takes a workspace, a caller a dataclass; a command's arguments are named by its options."""
    for path, node in _functions("sim", "theory", "llm"):
        assert len(node.args.posonlyargs + node.args.args) <= 9, f"{path}: {node.name}"


def test_kernels_stand_in_one_room():
    for path in _modules():
        if re.search(r"^@njit|import .*\bnjit\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert path.relative_to(ROOT).parts[:2] == ("sim", "compiled"), f"{path} compiles"


def test_messages_of_sim_speak_of_arguments():
    """No text in `sim` names an option of the command line; a command translates."""
    for path in (path for path in _modules() if path.relative_to(ROOT).parts[0] == "sim"):
        raised = (node for node in _nodes(path) if isinstance(node, ast.Raise))
        for node in raised:
            texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            # A whole command to type may stand there, with its options.
            found = [text for text in texts if re.search(r"(^|\s)--[a-z]", text) and "pluralign " not in text]
            assert not found, f"{path}:{node.lineno}"


def test_measure_never_sees_bound():
    """No draw, measure, premises or witness of a theorem refers to its bound, nor a helper of theirs in its module."""
    papers = [path.parent for path in (ROOT / "theory").glob("*/__init__.py") if "PAPER" in path.read_text("utf-8")]
    assert len(papers) >= 4
    beside_the_command = sorted((ROOT / "pluralign").glob("twin_*.py"))
    assert beside_the_command
    for path in [*sorted(module for paper in papers for module in paper.glob("*.py")), *beside_the_command]:
        assert not Module(path).peeks()


_PEEKING = {
    "in the draw": "    def draw(self, setting, stream):\n        return self.bound(setting).limit / 2\n",
    "in the premises": "    def premises(self, setting, stream):\n        return self.largest_possible(setting)\n",
    "in a helper": "    def measure(self, setting, stream):\n        return _near(self)\n",
    "in a method": "    def witness(self, setting, stream):\n        return self._told(setting)\n",
    "in a helper's helper": "    def draw(self, setting, stream):\n        return OTHER(self)\n",
    "by its judge": "    def draw(self, setting, stream):\n        return EveryDraw(1.0).relation\n",
    "in a base class": "",
}
_PEEKING_MODULE = """
from theory.engine.judges import Bound, EveryDraw

class _Base(Theorem):
    def bound(self, setting) -> Bound:
        return EveryDraw(1.0)

    def draw(self, setting, stream):
        return {base}

    def _told(self, setting):
        return super().bound(setting)

def _near(theorem):
    return theorem.bound(None)

OTHER = lambda theorem: _near(theorem)

class Claim(_Base):
    cost = 1.0
"""


@pytest.mark.parametrize("place", _PEEKING)
def test_a_measure_that_reads_its_bound_is_found(tmp_path, place):
    path = tmp_path / "peeking.py"
    base = "self.bound(setting)" if place == "in a base class" else "setting.size"
    path.write_text(_PEEKING_MODULE.format(base=base) + _PEEKING[place])
    found = Module(path).peeks()
    assert found
    assert any("Claim reaches" in line for line in found)
    path.write_text(_PEEKING_MODULE.format(base="setting.size"))
    assert not Module(path).peeks()


def _loaded(code: str) -> set[str]:
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return {name.split(".")[0] for name in out.stdout.split()}


def test_importing_sim_is_light():
    assert not _loaded("import sim, sim.streams, sim.preferences, sim.errors") & {"torch", "numba", "sklearn"}


def test_importing_theory_never_loads_torch():
    assert "torch" not in _loaded("import theory.engine.runner, theory.engine.registry as r; r.all_theorems()")


def test_importing_the_command_line_loads_no_numbers():
    assert not _loaded("import pluralign.__main__") & {"numpy", "numba", "scipy", "torch", "matplotlib"}


def test_help_names_every_verb():
    out = subprocess.run(
        [sys.executable, "-m", "pluralign", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    from pluralign.__main__ import VERBS

    assert all(verb in out for verb in VERBS)


def test_modules_of_commands_load_no_language_model_plugin():
    """Help, and an installation without torch, must neither wait for it nor miss it: it is imported by what runs."""
    names = sorted(path.stem for path in (ROOT / "pluralign" / "commands").glob("*.py") if path.stem != "__init__")
    code = "; ".join(f"import pluralign.commands.{name}" for name in names)
    assert len(names) > 25
    assert not _loaded(code) & {"torch", "transformers", "peft", "llm"}


def test_modules_of_tests_have_names_of_their_own():
    """Of two with one name pytest collects the first alone, and only where both are asked for is that an error."""
    names = sorted(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert names == sorted(set(names))
