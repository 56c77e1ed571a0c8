"""Compiler flags and the few scalar functions every kernel shares.

The packaged llvmlite has no SVML, so `math.exp` is a scalar call that stops vectorisation; `exp` below is
a branch-free polynomial (Cody-Waite reduction, degree 12), relative error below 1e-14 on [-700, 700].
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Final


def _cache_folder() -> str:
    """A cache folder per state of the sources.

    numba's cache key holds the kernel's own file but not the functions it calls in other files, so an
    edited helper would leave stale kernels: the folder's name carries a digest of all of them.
    """
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        text = source.read_bytes()
        if b"njit" in text:
            digest.update(source.name.encode() + text)
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return str(Path(root) / "pluralign" / f"numba-{digest.hexdigest()}")


os.environ.setdefault("NUMBA_CACHE_DIR", _cache_folder())

from numba import njit  # noqa: E402  (numba reads NUMBA_CACHE_DIR when it is imported)
from numba.core import types  # noqa: E402
from numba.extending import intrinsic  # noqa: E402

# error_model="numpy": the default inserts a zero-division branch into every division (8x on a sigmoid).
JIT: Final[dict[str, Any]] = {"cache": True, "error_model": "numpy", "nogil": True}
# Reassociation only: it lets reductions use SIMD lanes. Never the full `fastmath=True`, which assumes away
# NaN and infinity and folds rounding tricks. Not for kernels that check a bound or an identity.
FAST: Final[dict[str, Any]] = {**JIT, "fastmath": {"reassoc", "contract", "nsz"}}
FAST_PARALLEL: Final[dict[str, Any]] = {**FAST, "parallel": True}

_LOG2E = 1.4426950408889634
_LN2_HIGH = 6.93145751953125e-1
_LN2_LOW = 1.42860682030941723212e-6


@intrinsic
def _as_float(typingctx: Any, bits: Any) -> Any:
    """Reinterpret the bits of an int64 as a float64."""
    signature = types.float64(types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return signature, codegen
