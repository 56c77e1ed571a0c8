"""The scalar functions under every set of flags that kernels use, and the rules that keep the cache safe."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from scipy.special import expit, log_expit

from sim.compiled import jit

GRID = np.concatenate([np.linspace(-700, 700, 200_001), np.linspace(-1, 1, 20_001), [0.0]])
# The others are 0 where they would be below e^-345.
FAINT = GRID[np.abs(GRID) <= 345]


def _apply(scalar, flags, grid):
    # Compiled here and not cached: the flags are what is tested.
    options = {name: value for name, value in flags.items() if name != "cache"}

    @njit(**options)
    def loop(x):
        out = np.empty_like(x)
        for i in range(x.size):
            out[i] = scalar(x[i])
        return out

    return loop(grid)


@pytest.mark.parametrize("flags", [jit.JIT, jit.FAST], ids=["JIT", "FAST"])
@pytest.mark.parametrize(
    ("scalar", "reference", "grid"),
    [
        (jit.exp, np.exp, GRID),
        (jit.faint_exp, np.exp, FAINT),
        (jit.sigmoid, expit, FAINT),
        (jit.log_sigmoid, log_expit, FAINT),
        (jit.log1pexp, lambda t: -log_expit(-t), FAINT),
    ],
    ids=["exp", "faint_exp", "sigmoid", "log_sigmoid", "log1pexp"],
)
def test_relative_error(scalar, reference, grid, flags):
    got, expected = _apply(scalar, flags, grid), reference(grid)
    assert np.max(np.abs(got - expected) / np.abs(expected)) < 1e-13


def test_clamped_beyond_the_range():
    assert jit.exp(-1e6) == pytest.approx(np.exp(-708.0), rel=1e-13)
    assert jit.log_sigmoid(-1e6) == -1e6
    assert jit.faint_exp(-346.0) == jit.sigmoid(-346.0) == jit.log_sigmoid(346.0) == jit.log1pexp(-346.0) == 0.0
    assert jit.sigmoid(1e6) == 1.0


def _kernels(path):
    """name -> (flags, names it calls) of the functions of a file that numba compiles, by decorator or call."""
    tree, found, bodies = ast.parse(path.read_text()), {}, {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            bodies[node.name] = {
                c.func.id for c in ast.walk(node) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)
            }
            flags = [ast.unparse(d) for d in node.decorator_list if "njit" in ast.unparse(d)]
            if flags:
                found[node.name] = (flags[0], bodies[node.name])
        elif isinstance(node, ast.Assign) and "njit" in ast.unparse(node.value):
            # name = njit(**FLAGS)(function), or (made(kernel, ...)), which will call the kernel it is given
            call, names = node.value, set()
            for own in (n.id for n in ast.walk(call.args[0]) if isinstance(n, ast.Name)):
                names |= bodies.get(own, {own}) | ({own} if isinstance(call.args[0], ast.Call) else set())
            found[node.targets[0].id] = (ast.unparse(call.func), names)
    return found


def _all_kernels():
    kernels = {}
    for path in Path(jit.__file__).parent.rglob("*.py"):
        if "njit" in path.read_text():
            kernels |= _kernels(path)
    return kernels


def test_parallel_kernels_are_called_from_python_only():
    """A cached kernel that calls a parallel kernel loaded from the cache crashes the next process."""
    kernels = _all_kernels()
    parallel = {name for name, (flags, _) in kernels.items() if "PARALLEL" in flags}
    assert len(parallel) >= 5
    assert not {caller: called & parallel for caller, (_, called) in kernels.items() if called & parallel}


def test_kernels_lie_in_the_cache_folder_whoever_imports_numba_first(tmp_path):
    code = "import numba; from sim.streams import Stream; Stream().uniforms(3)"
    places = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    places.pop("NUMBA_CACHE_DIR", None)
    subprocess.run([sys.executable, "-c", code], env=places, check=True)
    assert list(tmp_path.glob("pluralign/numba-*/*/philox*.nbi"))


def _sums_beside_stores(source):
    """(function, line) of innermost loops that add to a number, store into an array, and index arrays otherwise than by
    the loop's own counter from 0."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef) or "njit" not in "".join(
            map(ast.unparse, function.decorator_list)
        ):
            continue
        for loop in (node for node in ast.walk(function) if isinstance(node, ast.For)):
            inside = [node for part in loop.body for node in ast.walk(part)]
            if any(isinstance(node, ast.For | ast.While) for node in inside):
                continue
            adds = any(isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) for node in inside)
            stored = [
                place
                for node in inside if isinstance(node, ast.Assign | ast.AugAssign)
                for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
                for place in ast.walk(target) if isinstance(place, ast.Subscript)
            ]  # fmt: skip
            from_zero = isinstance(loop.iter, ast.Call) and len(loop.iter.args) == 1
            counter = ast.unparse(loop.target)
            shifted = any(isinstance(part, ast.BinOp) and counter in ast.unparse(part)
                          for place in stored for part in ast.walk(place.slice))  # fmt: skip
            if adds and stored and (not from_zero or shifted):
                found.append((function.name, loop.lineno))
    return found


# Sums of numbers that are vectors' counts, or arrays that are summed whole: no order to change.
_COUNTS = {"shared_moments", "parallel_pass", "parallel_choice_pass"}


def test_no_order_of_a_sum_depends_on_where_arrays_lie():
    """A loop that sums and stores is vectorised behind a test of whether its arrays overlap. Where an index might be
    negative for all the compiler knows, that test takes in what lies behind the arrays, and with it what malloc did:
    one fit in twenty differed in its last digits."""
    bad = {
        (path.name, *where)
        for path in sorted(Path(jit.__file__).parent.glob("*.py"))
        for where in _sums_beside_stores(path.read_text(encoding="utf-8")) if where[0] not in _COUNTS
    }  # fmt: skip
    assert not bad
    loop = "    for e in range(a, b):\n        x[e - a] = y[e]\n        s += y[e]\n"
    told = f"@njit\ndef f(x, y, a, b):\n    s = 0.0\n{loop}"
    assert _sums_beside_stores(told) == [("f", 4)]
