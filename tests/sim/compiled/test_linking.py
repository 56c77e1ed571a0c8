"""An entry kernel holds all it calls, privately; pieces are never compiled alone."""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest
from numba import float64, guvectorize, njit, prange, vectorize
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

import sim.compiled
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER
from sim.compiled.linking import PieceLibrary

_PRIVATE = {llvm.Linkage.internal, llvm.Linkage.private}


@njit(**INNER)
def _total(x):
    total = 0.0
    for i in range(x.size):
        total += x[i]
    return total


@njit(**INNER)
def _refuse(x):
    if x[0] < 0.0:
        raise ValueError("below zero")
    return _total(x)


@njit(**{**FAST, "cache": False})
def _entry(x):
    return _total(x) + _refuse(x) + np.sort(x)[0]


@njit(**{**FAST_PARALLEL, "cache": False})
def _parallel_entry(x, out):
    for i in prange(x.shape[0]):
        out[i] = _total(x[i])


@pytest.mark.parametrize(
    ("kernel", "arguments"),
    [(_entry, (np.ones(5),)), (_parallel_entry, (np.ones((3, 5)), np.empty(3)))],
    ids=["entry", "parallel"],
)
def test_nothing_an_entry_kernel_calls_can_be_another_kernels(kernel, arguments):
    """Weak copies of one function are all run as the one that was loaded first: with them, bits depended on whether a
    kernel was compiled or found in the cache."""
    kernel(*arguments)
    (compiled,) = kernel.overloads.values()
    own = {
        compiled.fndesc.llvm_func_name,
        compiled.fndesc.llvm_cpython_wrapper_name,
        compiled.fndesc.llvm_cfunc_wrapper_name,
    }
    shared = {
        function.name for function in compiled.library.get_defined_functions() if function.linkage not in _PRIVATE
    }
    assert shared <= own


def test_pieces_have_no_code_of_their_own():
    assert _entry(np.arange(3.0)) == 6.0
    for piece in (_total, _refuse):
        (compiled,) = piece.overloads.values()
        assert isinstance(compiled.library, PieceLibrary)
        with pytest.raises(TypeError, match="called_by_kernels_only"):
            piece(np.ones(2))


def test_no_kernel_calls_an_entry_kernel():
    """An entry kernel that others call is compiled a second time, alone: a fifth of the first EM's wait."""
    names = [own.name for own in pkgutil.walk_packages(sim.compiled.__path__, "sim.compiled.")]
    kernels = {
        id(kernel): kernel
        for name in names
        for kernel in vars(importlib.import_module(name)).values()
        if isinstance(kernel, Dispatcher) and kernel.py_func.__module__.startswith("sim.")
    }
    entries = {place for place, kernel in kernels.items() if not isinstance(kernel._cache, NullCache)}
    called = {
        (kernel.py_func.__qualname__, name)
        for kernel in kernels.values()
        for name, other in inspect.getclosurevars(kernel.py_func).globals.items()
        if id(other) in entries
    }
    assert len(entries) > 40
    assert not called


def test_what_a_piece_raises_arrives():
    with pytest.raises(ValueError, match="below zero"):
        _entry(np.array([-1.0]))


def test_ufuncs_of_others_are_built_as_ever():
    @guvectorize([(float64[:], float64[:])], "(n)->(n)")
    def doubled(x, out):
        for i in range(x.size):
            out[i] = 2.0 * x[i]

    @vectorize([float64(float64)])
    def more(x):
        return x + 1.0

    assert doubled(np.ones((2, 3))).sum() == more(np.ones(6)).sum() == 12.0


# A rank-constrained fit whose last digits differed in the run that compiled it.
_FIT = """
import numpy as np
from sim.estimators.low_rank import fit_low_rank
from sim.streams import Stream
for replicate in range(40):
    stream = Stream(3, "cold and warm", replicate)
    x, z = stream.child("x").normals((700, 4)), stream.child("z").normals((700, 5))
    theta = stream.child("theta").normals((4, 2)) @ stream.child("more").normals((2, 5))
    won = stream.child("answers").uniforms(700) < 1.0 / (1.0 + np.exp(-((x @ theta) * z).sum(axis=1)))
    z *= np.where(won, 1.0, -1.0)[:, None]
    print(fit_low_rank(x, z, 2, method="quasi_newton", ridge=1e-9, tolerance=1e-12).theta.tobytes().hex())
"""


@pytest.mark.slow
def test_cold_and_warm_caches_give_the_same_bits(tmp_path):
    places = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    places.pop("NUMBA_CACHE_DIR", None)
    runs = [
        subprocess.run([sys.executable, "-c", _FIT], env=places, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] != ""
