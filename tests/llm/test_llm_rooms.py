"""The rooms of `llm`: imports run downward only, no two files import each other, and every name says one thing."""

import ast
from pathlib import Path

LLM = Path(__file__).parent.parent.parent / "llm"
# A room may import itself and the rooms before it.
FLOORS = ("base", "scorers", "data", "training", "runs", "planning", "rewards", "networks")


def _modules() -> dict[str, Path]:
    return {
        f"llm.{path.parent.name}.{path.stem}": path for path in sorted(LLM.glob("*/*.py")) if path.stem != "__init__"
    }


def _imported(path: Path) -> set[str]:
    """Every module of llm a file names in an import, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("llm"):
            found |= {node.module} if node.module.count(".") == 2 else {f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("llm")}
    return found


def test_every_module_lives_in_a_room():
    assert {path.name for path in LLM.glob("*.py")} == {"__init__.py"}
    assert {path.parent.name for path in _modules().values()} == set(FLOORS)


def test_no_import_runs_upward():
    for name, path in _modules().items():
        floor = FLOORS.index(path.parent.name)
        for other in _imported(path):
            room = other.split(".")[1]
            assert FLOORS.index(room) <= floor, f"{name} imports {other}"


def test_no_circle_between_files():
    imports = {name: _imported(path) for name, path in _modules().items()}
    while imports:
        free = {name for name, others in imports.items() if not others & set(imports)}
        assert free, f"a circle among {sorted(imports)}"
        imports = {name: others for name, others in imports.items() if name not in free}


def test_names_of_modules():
    rooms = {path.parent.name for path in _modules().values()}
    stems = [path.stem for path in _modules().values()]
    assert len(set(stems)) == len(stems)
    assert not set(stems) & (rooms | {"llm"}), "a module has the name of a package"


def test_nothing_private_is_imported_from_another_file():
    for name, path in _modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("llm"):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{name} imports {private} from {node.module}"
