"""What a kernel adds up does not depend on where its arrays lie.

A loop that adds up and also stores is compiled twice, with vectors and without: which of the two runs is decided by
how far apart its arrays lie, another distance in every call where they are small, and the two add in another order.
"""

import ast
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import WelfareRule
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.low_rank import fit_low_rank

# Adds zeros up, or something that is no number: in any order.
IN_ANY_ORDER = {("tiles.py", "take_rows")}
# Stores into rows of at least TILE numbers, near which no other array begins: see `add_hessian`.
FAR_APART = {("tiles.py", "_add_corner")}


def _names(node):
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _scalar(node):
    """Of whole arrays, which numba loops over, there is no telling: `a += b[chunk]`, what functions do to their own."""
    return not any(
        isinstance(each, ast.Call) and getattr(each.func, "id", "").endswith("_pass") for each in ast.walk(node)
    )


def _mixed(source):
    """(function, line) of innermost loops that both add up and store, or add up in an array's one place."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        if not any("njit" in ast.unparse(each) for each in function.decorator_list):
            continue
        for loop in ast.walk(function):
            if not isinstance(loop, ast.For) or not ast.unparse(loop.iter).startswith(("range", "prange")):
                continue
            inside = [each for line in loop.body for each in ast.walk(line)]
            if any(isinstance(each, ast.For | ast.While) for each in inside):
                continue
            added = [
                each for each in inside
                if isinstance(each, ast.AugAssign) and not isinstance(each.value, ast.Constant) and _scalar(each.value)
            ]  # fmt: skip
            sums = [each for each in added if isinstance(each.target, ast.Name)]
            stored = [each for each in inside if isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Store)]
            in_place = [
                each for each in added
                if isinstance(each.target, ast.Subscript) and not _names(each.target.slice) & _names(loop.target)
            ]  # fmt: skip
            if (sums and stored) or in_place:
                yield function.name, loop.lineno


# The loops over parts add whole arrays up, part by part.
PARTS = {
    ("bilinear_large.py", "shared_moments"),
    ("choice_pass.py", "parallel_choice_pass"),
    ("em_pass.py", "parallel_pass"),
}


def test_a_loop_adds_up_or_stores():
    found = {
        (path.name, function): line
        for path in sorted(Path(ROOT, "sim", "compiled").glob("*.py"))
        for function, line in _mixed(path.read_text("utf-8"))
    }
    assert set(found) == IN_ANY_ORDER | FAR_APART | PARTS, found


MIXED = """
@njit
def kernel(x, y):
    total = 0.0
    for i in range(x.size):
        total += x[i]
        y[i] = {}
    for i in range(x.size):
        y[{}] += x[i]
    for i in range(x.size):
        for j in range(x.size):
            y[i] += x[j] * y[j]
    return total
"""


def test_the_loops_it_finds():
    assert list(_mixed(MIXED.format("x[i]", "i"))) == [("kernel", 5), ("kernel", 11)]
    assert list(_mixed(MIXED.replace("        y[i] = {}\n", "").format("0"))) == [("kernel", 7), ("kernel", 10)]


def _pairs():
    draws = np.random.default_rng(0)
    return draws.normal(size=(9, 3)), draws.normal(size=(30, 4)), draws.normal(size=(30, 5)), draws.uniform(0.5, 2, 9)


@pytest.mark.parametrize("case", ["lottery", "Bradley-Terry", "weights", "low rank"])
def test_the_same_bits_wherever_arrays_lie(case):
    """Objects of other sizes are made and given back between the calls, as the rest of a program does."""
    x, left, right, weight = _pairs()
    table = np.random.default_rng(1).uniform(0.1, 5.0, size=(20, 5))
    answer = {
        "lottery": lambda: best_lotteries(table[None], WelfareRule(-0.5)).probabilities,
        "Bradley-Terry": lambda: fit_bradley_terry(x, ridge=0.1).theta,
        "weights": lambda: fit_bradley_terry(x, ridge=0.1, weights=weight).theta,
        "low rank": lambda: fit_low_rank(left, right, 2, ridge=0.1).theta,
    }[case]
    draws, kept, found = np.random.default_rng(2), [], set()
    for size in draws.integers(1, 400, 300):
        kept.append(bytearray(int(size)))
        if len(kept) > 60:
            kept.pop(int(draws.integers(60)))
        found.add(np.asarray(answer()).tobytes())
    assert len(found) == 1
