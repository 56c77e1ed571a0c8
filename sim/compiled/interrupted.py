"""Ctrl-C while LLVM works: the process ends there and then, where it would not come back to Python for seconds.

LLVM holds Python's lock, so that no handler of Python's runs before a pass is over. While something is compiled the
signal therefore goes to a function of a few machine instructions, which says a line and leaves with a code. Whatever is
on disk is whole: it survives being killed.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from typing import Any

_IR = """
@line = private constant [{size} x i8] c"{text}"
declare i64 @write(i32, ptr, i64)
declare void @_exit(i32)
define void @leave(i32 %signal) {{
  %written = call i64 @write(i32 2, ptr @line, i64 {size})
  call void @_exit(i32 {code})
  ret void
}}
"""


class Leaving:
    """begin() and end() around a compilation; they may be nested. Nothing where this system has no such thing."""

    def __init__(self, line: str, code: int) -> None:
        self._line, self._code = f"{line}\n".encode(), code
        self._depth = 0
        self._engine: Any = None
        self._before: int | None = None

    def begin(self) -> None:
        self._depth += 1
        if self._depth > 1 or threading.current_thread() is not threading.main_thread():
            return
        # Ignored, as in a background job or a worker: stays so.
        if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL, None):
            return
        self._before = _signal(ctypes.CDLL(None), self._address())

    def end(self) -> None:
        self._depth -= 1
        if self._depth == 0 and self._before is not None:
            _signal(ctypes.CDLL(None), self._before)
            self._before = None

    def _address(self) -> int:
        from llvmlite import binding

        if self._engine is None:
            text = "".join(f"\\{byte:02x}" for byte in self._line)
            module = binding.parse_assembly(_IR.format(size=len(self._line), text=text, code=self._code))
            machine = binding.Target.from_default_triple().create_target_machine(jit=True)
            self._engine = binding.create_mcjit_compiler(module, machine)
            self._engine.finalize_object()
        return int(self._engine.get_function_address("leave"))


def _signal(libc: Any, handler: int) -> int:
    """The handler of SIGINT as C knows it; returns the one before."""
    libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    return int(libc.signal(signal.SIGINT, handler) or 0)
