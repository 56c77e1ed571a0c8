"""The sources of `sim` and `theory` as text: functions, imports, which kernels a line can reach, a fault put in."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sim.errors import InputError
from theory.mutation.fault import Fault

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sim", "theory")


@dataclass(frozen=True, eq=False)
class Function:
    """A function, method or class of a module.  first, last: its lines from 1, decorators included."""

    name: str
    first: int
    last: int
    node: ast.AST
    compiled: bool


def _is_compiled(node: ast.AST) -> bool:
    """Whether numba compiles it: its lines are then seen by no tracer."""
    decorators = getattr(node, "decorator_list", ())
    return any("njit" in ast.unparse(one) or "intrinsic" in ast.unparse(one) for one in decorators)


def _mentioned(node: ast.AST) -> tuple[str, ...]:
    """A name, or a part of what a name stands for."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return (f"{node.value.id}.{node.attr}",)
    return ()


class Module:
    """One module's text and what it defines."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.text = path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Parsed when it is asked for: most runs look into a few modules, and all of them take two seconds."""
        return ast.parse(self.text)

    @cached_property
    def functions(self) -> dict[str, Function]:
        found: dict[str, Function] = {}

        def walk(node: ast.AST, above: str) -> None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.FunctionDef | ast.ClassDef):
                    name = f"{above}{child.name}"
                    first = min((one.lineno for one in child.decorator_list), default=child.lineno)
                    found[name] = Function(name, first, child.end_lineno or first, child, _is_compiled(child))
                    walk(child, f"{name}.")
                else:
                    walk(child, above)

        walk(self.tree, "")
        return found

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """Name in this module -> (module, name there), for imports from anywhere, inside functions too."""
        found: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                for alias in node.names:
                    found[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name.partition(".")[0]] = (alias.name, "")
        return found

    @cached_property
    def imports(self) -> set[str]:
        """Every module named in an import, and every name taken from one, which may be a module: two functions may
        give one name to two of them."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        return found

    @cached_property
    def names_of_line(self) -> dict[int, set[str]]:
        """Line -> the names it mentions, those of a module's parts as module.part."""
        found: dict[int, set[str]] = {}
        for node in ast.walk(self.tree):
            for name in _mentioned(node):
                found.setdefault(node.lineno, set()).add(name)  # type: ignore[attr-defined]
        return found

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Name at the top level -> the function here that it stands for: `g = f`, or `g = njit(...)(f)`."""
        found: dict[str, str] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                value = node.value
                wrapped = isinstance(value, ast.Call) and "njit" in ast.unparse(value.func) and len(value.args) == 1
                value = value.args[0] if isinstance(value, ast.Call) and wrapped else value
                if isinstance(value, ast.Name):
                    found[node.targets[0].id] = value.id
        return found

    @cached_property
    def compiled(self) -> frozenset[str]:
        """Functions that numba compiles: decorated, or wrapped in an assignment."""
        wrapped = {
            node.value.args[0].id
            for node in self.tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args
            and "njit" in ast.unparse(node.value.func) and isinstance(node.value.args[0], ast.Name)
        }  # fmt: skip
        return frozenset(name for name, own in self.functions.items() if own.compiled or name in wrapped)

    @cached_property
    def digest(self) -> str:
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()


class Sources:
    """Every module of `sim` and `theory`, read once."""

    def __init__(self, root: Path = ROOT, packages: Iterable[str] = PACKAGES) -> None:
        self.root = root
        self.modules = {
            name: Module(name, path)
            for package in packages
            for path in sorted((root / package).rglob("*.py"))
            for name in (_name(root, path),)
        }
        self._closures: dict[str, frozenset[str]] = {}

    def module(self, fault: Fault) -> Module:
        if fault.module not in self.modules:
            raise InputError(f"fault '{fault.id}': there is no module {fault.module}", fix="mend its place")
        return self.modules[fault.module]

    def span(self, fault: Fault) -> tuple[int, int]:
        """Where `old` stands in the module's text, as offsets.

        Errors: InputError where there is no such function, or the text is not there, or more than once.
        """
        module = self.module(fault)
        low, high = 0, len(module.text)
        if fault.qualname:
            if fault.qualname not in module.functions:
                raise InputError(f"fault '{fault.id}': {fault.module} has no {fault.qualname}", fix="mend its place")
            own = module.functions[fault.qualname]
            starts = _line_starts(module.text)
            low, high = starts[own.first - 1], starts[own.last]
        found = list(_occurrences(module.text[low:high], fault.old))
        if not found:
            raise InputError(f"fault '{fault.id}': {fault.place} does not have {fault.old!r}", fix="mend its text")
        if fault.nth is None and len(found) > 1:
            raise InputError(f"fault '{fault.id}': {fault.place} has {fault.old!r} {len(found)} times",
                             fix="give more of the line, or nth")  # fmt: skip
        if fault.nth is not None and not 0 <= fault.nth < len(found):
            raise InputError(f"fault '{fault.id}': {fault.place} has {fault.old!r} {len(found)} times, not more",
                             fix="mend its nth")  # fmt: skip
        at = low + found[fault.nth or 0]
        return at, at + len(fault.old)

    def planted(self, fault: Fault) -> str:
        """The module's text with the fault in it; it still compiles.

        Errors: InputError as `span`, or where the changed text is no Python or is what it was.
        """
        text = self.module(fault).text
        low, high = self.span(fault)
        changed = text[:low] + fault.new + text[high:]
        if changed == text:
            raise InputError(f"fault '{fault.id}': changes nothing", fix="mend its text")
        try:
            compile(changed, str(self.module(fault).path), "exec", dont_inherit=True)
        except SyntaxError as error:
            raise InputError(f"fault '{fault.id}': is no Python ({error.msg})", fix="mend its new text") from error
        return changed

    def lines(self, fault: Fault) -> range:
        """The lines it changes, from 1: those of `old` that are not the same in `new`."""
        low, _ = self.span(fault)
        first = self.module(fault).text.count("\n", 0, low) + 1
        old, new = fault.old.split("\n"), fault.new.split("\n")
        same = 0
        while same < min(len(old), len(new)) - 1 and old[same] == new[same]:
            same += 1
        return range(first + same, first + len(old))

    def closure(self, module: str) -> frozenset[str]:
        """The module and all of ours it imports, directly or not, packages' `__init__` included."""
        if module not in self._closures:
            seen: set[str] = set()
            waiting = [module]
            while waiting:
                name = waiting.pop()
                if name in seen or name not in self.modules:
                    continue
                seen.add(name)
                waiting.append(name.rpartition(".")[0])
                waiting += self.modules[name].imports
            self._closures[module] = frozenset(seen)
        return self._closures[module]

    def dependents(self, module: str) -> frozenset[str]:
        """The modules whose closure has this one."""
        return frozenset(name for name in self.modules if module in self.closure(name))

    def digest(self, module: str) -> str:
        """Of everything `module` can execute: what it measured before is still what it measures."""
        parts = [f"{name}:{self.modules[name].digest}" for name in sorted(self.closure(module))]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()

    def _kernel_calls(self, module: str, name: str) -> set[tuple[str, str]]:
        """The compiled functions that this one's source names."""
        node = self.modules[module].functions[name].node
        return self.compiled_of(module, {mentioned for own in ast.walk(node) for mentioned in _mentioned(own)})

    def compiled_of(self, module: str, names: Iterable[str]) -> set[tuple[str, str]]:
        """Which compiled functions these names stand for in that module."""
        own, found = self.modules[module], set()
        for name in names:
            first, _, part = name.partition(".")
            source, attribute = own.imported.get(first, (module, first))
            if part:
                # A part of a module: `from sim.compiled import descent`, then `descent.descend`.
                source, attribute = f"{source}.{attribute}" if attribute else source, part
            for _ in range(5):  # From alias to alias, and through a name that is imported on.
                target = self.modules.get(source)
                if target is None:
                    break
                attribute = target.aliases.get(attribute, attribute)
                if attribute in target.compiled:
                    found.add((source, attribute))
                if attribute in target.functions or attribute not in target.imported:
                    break
                source, attribute = target.imported[attribute]
        return found

    def reached(self, executed: dict[str, set[int]]) -> dict[str, set[int]]:
        """Executed lines, and every line of the kernels that these lines can call: no tracer sees inside those, so
        that a branch of a kernel that no claim takes counts as executed."""
        lines = {module: set(own) for module, own in executed.items()}
        waiting: list[tuple[str, str]] = []
        for module, own in executed.items():
            if module in self.modules:
                names = {name for line in own for name in self.modules[module].names_of_line.get(line, ())}
                waiting += self.compiled_of(module, names)
        seen: set[tuple[str, str]] = set()
        while waiting:
            kernel = waiting.pop()
            if kernel not in seen:
                seen.add(kernel)
                function = self.modules[kernel[0]].functions[kernel[1]]
                lines.setdefault(kernel[0], set()).update(range(function.first, function.last + 1))
                waiting += self._kernel_calls(*kernel)
        return lines


def _name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _line_starts(text: str) -> list[int]:
    """Offset of each line, and of the end."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _occurrences(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while part and at >= 0:
        yield at
        at = text.find(part, at + 1)
