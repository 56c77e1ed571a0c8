"""Kernels and their pieces, which only kernels call, made callable for tests."""

from functools import cache
from types import FunctionType

from numba import njit

from sim.compiled.jit import FAST
from sim.compiled.linking import Piece


@cache
def alone(piece):
    """The piece as an entry kernel."""
    assert _is_piece(piece)
    return njit(**{**FAST, "cache": False})(piece.py_func)


@cache
def in_python(kernel):
    """The kernel without a compiler, and so its pieces."""
    function = kernel.py_func
    named = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    pieces = {name: in_python(value) for name, value in named.items() if _is_piece(value)}
    return FunctionType(function.__code__, {**function.__globals__, **pieces}, function.__name__, function.__defaults__)


def _is_piece(value):
    return getattr(getattr(value, "_compiler", None), "pipeline_class", None) is Piece
