"""Compiler flags and the few scalar functions every kernel shares.

The packaged llvmlite has no SVML, so `math.exp` is a scalar call that stops vectorisation; `exp` below is
a branch-free polynomial (Cody-Waite reduction, degree 12), relative error below 1e-14 on [-700, 700].
"""
# mypy: disable-error-code="no-any-return"
# (what numba decorates is Any to mypy, so that one kernel's answer is Any in the next)

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from numba import config, njit
from numba.core import event, types
from numba.core.caching import NullCache
from numba.extending import intrinsic

from sim.compiled import first_use, forks, turns
from sim.compiled.borrowed import simplex_files
from sim.compiled.linking import Piece, install


def cache_folder() -> Path:
    """A cache folder per state of the sources.

    numba's cache key holds the kernel's own file but not the functions it calls in other files, so an
    edited helper would leave stale kernels: the folder's name carries a digest of all of them, workspaces (whose fields
    a kernel reads by place) and what is borrowed of a library included.
    """
    digest = hashlib.blake2b(digest_size=8)
    compiled = Path(__file__).resolve().parent
    for source in sorted(compiled.parent.rglob("*.py")):
        text = source.read_bytes()
        if source.is_relative_to(compiled) or b"njit" in text:
            digest.update(source.name.encode() + text)
    for borrowed in simplex_files():
        digest.update(borrowed.read_bytes())
    return cache_root() / f"numba-{digest.hexdigest()}"


def cache_root() -> Path:
    """Where everything is kept that can be made again."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "pluralign"


# Set on numba itself and not in the environment: numba may have been imported before us, and it reads the
# environment only then. It looks here again at each decorated function.
if not os.environ.get("NUMBA_CACHE_DIR"):
    config.CACHE_DIR = str(cache_folder())


def cache_in_use() -> str:
    """The folder kernels are kept in, ours or the one `NUMBA_CACHE_DIR` names."""
    return str(config.CACHE_DIR)


class _FirstUse(event.Listener):
    """Says when a kernel that would be kept is compiled: numba compiles only what it did not find in the cache."""

    def on_start(self, event: Any) -> None:
        first_use.begin()
        if not isinstance(getattr(event.data["dispatcher"], "_cache", None), NullCache | None):
            first_use.compiling()

    def on_end(self, event: Any) -> None:
        first_use.end()


event.register("numba:compile", _FirstUse())

# Flags of the entry kernels, those called from Python. Each is called with one signature only: two processes
# that save different signatures of one kernel at the same time can swap their files.
# error_model="numpy": the default inserts a zero-division branch into every division (8x on a sigmoid).
JIT: Final[dict[str, Any]] = {"cache": True, "error_model": "numpy", "nogil": True}
# Reassociation only: it lets reductions use SIMD lanes. Never the full `fastmath=True`, which assumes away
# NaN and infinity and folds rounding tricks. Not for kernels that check a bound or an identity.
FAST: Final[dict[str, Any]] = {**JIT, "fastmath": {"reassoc", "contract", "nsz"}}
# Only ever called from Python: a kernel that calls a parallel kernel loaded from the cache is saved without
# the start of the threads, and the next process that loads it dies.
FAST_PARALLEL: Final[dict[str, Any]] = {**FAST, "parallel": True}
# Functions that only other kernels call: part of their callers' files, never saved alone.
INNER: Final[dict[str, Any]] = {**FAST, "cache": False, "pipeline_class": Piece}
install()
turns.install()
forks.install()

_LOG2E = 1.4426950408889634
_LN2_HIGH = 6.93145751953125e-1
_LN2_LOW = 1.42860682030941723212e-6


@intrinsic
def _float_from_bits(typingctx: Any, bits: Any) -> Any:
    """Reinterpret the bits of an int64 as a float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), codegen


@njit(inline="always", error_model="numpy")
def exp(x: float) -> float:
    """e^x for |x| <= 708 (clamped beyond): 2^k e^r, k = floor(x log2(e) + 1/2), r from a two-part ln 2.

    floor and not the magic-number rounding: under reassociation the latter folds away, silently.
    """
    x = min(max(x, -708.0), 708.0)
    k = math.floor(x * _LOG2E + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    return (p * r * r + r + 1.0) * _float_from_bits((np.int64(k) + 1023) << 52)


# The product of two numbers from here on is a normal one, with room for a feature or a step of 1e-8.
_FAINT = -345.0


@njit(inline="always", error_model="numpy")
def faint_exp(x: float) -> float:
    """e^x, and 0 below e^-345 (1.5e-150): of probabilities and weights, which are multiplied with each other and summed
    beside numbers of size 1.

    Products below 2.2e-308 are denormal numbers, which some processors compute in microcode: Hedge took 608 ns a round
    and game instead of 44 once the weights of hopeless actions had sunk there.
    """
    return exp(x) if x >= _FAINT else 0.0


@njit(inline="always", error_model="numpy")
def sigmoid(t: float) -> float:
    """1 / (1 + e^-t), without overflow: e^-|t| is at most 1.  0 below t = -345."""
    e = faint_exp(-abs(t))
    s = 1.0 / (1.0 + e)
    return s if t >= 0.0 else e * s


@njit(inline="always", error_model="numpy")
def log1p_unit(e: float) -> float:
    """log(1 + e) for 0 <= e <= 1: 2 artanh(z), z = e / (2 + e) <= 1/3, by its odd series to z^29."""
    z = e / (2.0 + e)
    q = z * z
    p = 1.0 / 29.0
    p = p * q + 1.0 / 27.0
    p = p * q + 1.0 / 25.0
    p = p * q + 1.0 / 23.0
    p = p * q + 1.0 / 21.0
    p = p * q + 1.0 / 19.0
    p = p * q + 1.0 / 17.0
    p = p * q + 1.0 / 15.0
    p = p * q + 1.0 / 13.0
    p = p * q + 1.0 / 11.0
    p = p * q + 1.0 / 9.0
    p = p * q + 1.0 / 7.0
    p = p * q + 1.0 / 5.0
    p = p * q + 1.0 / 3.0
    return 2.0 * z * (1.0 + q * p)


@njit(inline="always", error_model="numpy")
def log1pexp(t: float) -> float:
    """log(1 + e^t) = max(t, 0) + log(1 + e^-|t|).  0 below t = -345."""
    return max(t, 0.0) + log1p_unit(faint_exp(-abs(t)))


@njit(inline="always", error_model="numpy")
def log_sigmoid(t: float) -> float:
    """log sigma(t) = min(t, 0) - log(1 + e^-|t|).  0 above t = 345."""
    return min(t, 0.0) - log1p_unit(faint_exp(-abs(t)))
