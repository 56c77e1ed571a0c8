"""Faults nobody thought of: one sign, constant, comparison or count of an executed line, a seeded sample of them."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from theory.mutation.argued import ARGUED
from theory.mutation.fault import Fault
from theory.mutation.sources import Module, Sources

OPERATORS = ("sign", "constant", "comparison", "off by one")
# What judges, draws and reports the claims has its own faults in the catalogue.
APART = ("theory.engine", "theory.mutation", "theory.report")

_SIGNS = {ast.Add: "-", ast.Sub: "+"}
_COMPARISONS = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
}  # fmt: skip


@dataclass(frozen=True)
class _Edit:
    """Offsets of the text it replaces, in the module."""

    low: int
    high: int
    new: str
    operator: str
    what: str


def sample(sources: Sources, executed: Mapping[str, set[int]], size: int, seed: int) -> list[Fault]:
    """`size` faults on executed lines of `sim` and of the papers' claims.

    executed: module -> lines. Which ones is decided by a digest of each fault's own text and the seed, so that a
    change elsewhere does not change the sample. Left out: lines that only refuse bad input (a claim gives none),
    messages, annotations and default arguments.
    """
    found = [
        fault
        for name, module in sources.modules.items()
        if executed.get(name) and not name.startswith(APART)
        for fault in _faults(module, executed[name])
    ]

    def place(fault: Fault) -> bytes:
        text = f"{seed}\0{fault.place}\0{fault.old}\0{fault.new}\0{fault.nth}"
        return hashlib.blake2b(text.encode(), digest_size=8).digest()

    return sorted(sorted(found, key=place)[:size], key=lambda fault: fault.id)


def _faults(module: Module, lines: set[int]) -> Iterator[Fault]:
    starts = [0]
    for line in module.text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    raw = module.text.encode()
    spans = [own for own in module.functions.values() if isinstance(own.node, ast.FunctionDef)]
    outer = [own for own in spans if not any(_inside(own.name, other.name) for other in spans)]
    paper = module.name.split(".")[1] if module.name.startswith("theory.") else "sim"
    for function in outer:
        assert isinstance(function.node, ast.FunctionDef)
        # The whole of it is searched by `span`, decorators included: occurrences are counted from there.
        low, high = starts[function.first - 1], starts[function.last]
        for edit in _edits(function.node.body, raw, starts, lines):
            # The text around it until it stands only once, or its number among equals.
            old = raw[edit.low : edit.high].decode()
            before = raw[low : edit.low].decode()
            alone = _count(raw[low:high].decode(), old) == 1
            fault = Fault(
                id="", paper=paper, place=f"{module.name}:{function.name}", old=old, new=edit.new,
                what=f"{edit.what} in: {_short(_line(raw, edit.low))}",
                nth=None if alone else _count(before + old, old) - 1, kind=edit.operator,
            )  # fmt: skip
            name = edit.operator.replace(" ", "-")
            own = f"{name}-{fault.digest[:10]}"
            yield replace(fault, id=own, equivalent=ARGUED.get(own, ""))


def _inside(name: str, other: str) -> bool:
    return name.startswith(f"{other}.")


def _count(text: str, part: str) -> int:
    """Occurrences, overlapping ones too, as `Sources.span` counts them."""
    return sum(text.startswith(part, at) for at in range(len(text)))


def _edits(body: list[ast.stmt], raw: bytes, starts: list[int], lines: set[int]) -> Iterator[_Edit]:
    for statement in body:
        for node in _measured(statement):
            if getattr(node, "lineno", None) in lines:
                yield from _of_node(node, raw, starts)


def _measured(node: ast.AST) -> Iterator[ast.AST]:
    """What computes: no refusals of bad input, messages, annotations, docstrings or defaults."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.If) and all(isinstance(own, ast.Raise) for own in node.body) and not node.orelse:
        return
    if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("require_", "checked_")):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "args") and isinstance(node, ast.FunctionDef | ast.AnnAssign | ast.Lambda):
            continue
        if name == "decorator_list":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _measured(child)


def _of_node(node: ast.AST, raw: bytes, starts: list[int]) -> Iterator[_Edit]:
    def span(own: ast.expr) -> tuple[int, int]:
        return (starts[own.lineno - 1] + own.col_offset, starts[(own.end_lineno or own.lineno) - 1]
                + (own.end_col_offset or 0))  # fmt: skip

    def text(own: ast.expr) -> str:
        low, high = span(own)
        return raw[low:high].decode()

    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        low, high = span(node)
        between, end = span(node.left)[1], span(node.right)[0]
        new_sign, old_sign = _SIGNS[type(node.op)], "+" if isinstance(node.op, ast.Add) else "-"
        middle = raw[between:end].decode()
        new = raw[low:between].decode() + middle.replace(old_sign, new_sign, 1) + raw[end:high].decode()
        yield _Edit(low, high, new, "sign", f"{_short(text(node))}: {old_sign} becomes {new_sign}")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        low, high = span(node)
        yield _Edit(low, high, text(node.operand), "sign", f"{_short(text(node))} without its sign")
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        low, high = span(node)
        left, right = span(node.left)[1], span(node.comparators[0])[0]
        sign = _COMPARISONS[type(node.ops[0])]
        old = raw[left:right].decode()
        new = raw[low:left].decode() + f" {sign} " + raw[right:high].decode()
        yield _Edit(low, high, new, "comparison", f"{_short(text(node))}: {old.strip()} becomes {sign}")
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        low, high = span(node)
        value = node.value
        if isinstance(value, float):
            new = repr(2.0 * value if value else 1.0)
            yield _Edit(low, high, new, "constant", f"{text(node)} becomes {new}")
        else:
            yield _Edit(low, high, repr(value + 1), "off by one", f"{text(node)} becomes {value + 1}")


def _line(raw: bytes, at: int) -> str:
    return raw[raw.rfind(b"\n", 0, at) + 1 : raw.find(b"\n", at)].decode()


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 60 else plain[:57] + "..."
