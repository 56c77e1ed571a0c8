"""Reads claims' source: what a measurement can reach inside its module, and whether that is the claim's bound."""

import ast
from pathlib import Path

# What produces numbers; a control is a setting that goes through the same ones.
MEASURING = {"draw", "measure", "premises", "witness", "grid"}
HIDDEN = {"bound", "limit", "judge", "largest_possible"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _label(node: ast.AST) -> str:
    """The name a node says, if it says one."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class Module:
    """Functions and classes of one module, and which of them a function refers to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        self.functions = {node.name: node for node in tree.body if isinstance(node, Function)}
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.judges = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "theory.engine.judges"
            for alias in node.names
        } | {name for name, node in self.classes.items() if "judge" in self._own(node)}
        self.values = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    @staticmethod
    def _own(node: ast.ClassDef) -> dict[str, Function]:
        return {part.name: part for part in node.body if isinstance(part, Function)}

    def methods(self, name: str) -> dict[str, list[Function]]:
        """The class's methods with those of its bases in the module, which an overriding one may call."""
        node = self.classes[name]
        found = {own: [part] for own, part in self._own(node).items()}
        for base in node.bases:
            base = base.value if isinstance(base, ast.Subscript) else base
            if isinstance(base, ast.Name) and base.id in self.classes:
                for own, parts in self.methods(base.id).items():
                    found.setdefault(own, []).extend(parts)
        return found

    def peeks(self) -> list[str]:
        """Where something that a measurement reaches refers to a bound, a limit or a judge."""
        found: set[str] = set()
        for name in self.classes:
            methods = self.methods(name)
            if "judge" in methods:
                continue
            open_nodes: list[ast.AST] = [part for own in MEASURING for part in methods.get(own, ())]
            seen: set[int] = set()
            while open_nodes:
                node = open_nodes.pop()
                if id(node) in seen:
                    continue
                seen.add(id(node))
                for part in ast.walk(node):
                    label = _label(part)
                    if not label:
                        continue
                    if (isinstance(part, ast.Attribute) and label in HIDDEN) or label in self.judges:
                        found.add(f"{self.path.name}:{part.lineno} {name} reaches {label}")
                    else:
                        open_nodes += self._named(part, label, methods)
        return sorted(found)

    def _named(self, part: ast.AST, label: str, methods: dict[str, list[Function]]) -> list[ast.AST]:
        """Definitions in the module that this name or attribute may stand for."""
        if isinstance(part, ast.Attribute):
            own = isinstance(part.value, ast.Name) and part.value.id == "self"
            of_super = isinstance(part.value, ast.Call) and getattr(part.value.func, "id", "") == "super"
            if own or of_super:
                return list(methods.get(label, ()))
            # Of another object: any method of that name that the module defines.
            return [m for node in self.classes.values() for n, m in self._own(node).items() if n == label]
        if label in self.functions:
            return [self.functions[label]]
        return [self.values[label]] if label in self.values else []
