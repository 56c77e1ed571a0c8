"""How kernels are put together: what an entry kernel calls is part of it, once and privately.

numba keeps a function that kernels call twice: compiled alone, and as a weak copy inside each of its callers. Where a
process holds several such copies, calls go to the one that came first: the run that compiles a kernel called pieces
optimised alone, and the runs that load it pieces optimised inside the kernel, or inside another one that was loaded
before. Sums were added in another order, and last digits depended on the state of the cache.

Here an entry kernel's copies are its own, so that what it computes depends on nothing else in the process. Pieces, and
the bodies of parallel loops, are not compiled alone at all: most of a first use went into code that nobody called.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from numba import njit
from numba.core import codegen
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.environment import lookup_environment
from numba.core.registry import cpu_target
from numba.core.typed_passes import NativeLowering

_WRAPPER = "_GufuncWrapper object"
_SHARED = {
    llvm.Linkage.linkonce_any, llvm.Linkage.linkonce_odr, llvm.Linkage.weak_any, llvm.Linkage.weak_odr,
}  # fmt: skip


class KernelLibrary(codegen.JITCodeLibrary):
    """A kernel with all it calls."""

    _kept: tuple[str, ...] = ()

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage in _SHARED and not function.name.startswith(self._kept):
                function.linkage = llvm.Linkage.internal
        super()._optimize_final_module()

    def _finalize_specific(self):
        super()._finalize_specific()
        # What pieces raise and refer to lies in environments, which only an executable kernel can be given.
        for variable in self._final_module.global_variables:
            environment = lookup_environment(variable.name)
            if environment is not None:
                self._codegen.set_env(variable.name, environment)


class PieceLibrary(KernelLibrary):
    """What kernels link in: kept as it was lowered, and optimised and turned into machine code with them alone."""

    _alone = False

    def enable_object_caching(self):
        # Said of every function, but of the wrapper of a generalised ufunc only if that one is nobody's loop.
        super().enable_object_caching()
        if _WRAPPER in self.name:
            self._alone, self._kept = True, ("__gufunc__",)

    def _optimize_final_module(self):
        # Of a piece, with the kernel it becomes part of.
        if self._alone:
            super()._optimize_final_module()

    def _finalize_final_module(self):
        if self._alone:
            super()._finalize_final_module()
            return
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name):
        """Called from Python, a piece refuses."""
        return super().get_pointer_to_function(name) if self._alone else _refusal()


@njit
def called_by_kernels_only():
    raise TypeError("a piece of kernels is called by kernels only")


def _refusal() -> int:
    """Address of a wrapper that raises, whatever it is called with."""
    if not called_by_kernels_only.overloads:
        called_by_kernels_only.compile("()")
    (compiled,) = called_by_kernels_only.overloads.values()
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cpython_wrapper_name))


@register_pass(mutates_CFG=True, analysis_only=False)
class _PieceLowering(NativeLowering):
    _name = "piece_lowering"

    def run_pass(self, state):
        state.library = PieceLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_cpython_wrapper = state.flags.no_cfunc_wrapper = True
        return super().run_pass(state)


class Piece(CompilerBase):
    """numba's own pipeline, its result kept in a `PieceLibrary`."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes[:] = [(_PieceLowering if own is NativeLowering else own, why) for own, why in passes.passes]
        passes.finalize()
        return [passes]


class KernelCodegen(codegen.JITCPUCodegen):
    """Of this process, once `install` was called."""

    _library_class = KernelLibrary

    def create_library(self, name, **kwargs):
        # The body of a parallel loop, and the wrapper that hands it its share.
        parallel = "__numba_parfor_gufunc" in name or _WRAPPER in name
        return (PieceLibrary if parallel else KernelLibrary)(self, name, **kwargs)

    def set_env(self, env_name, env):
        if self._engine.is_symbol_defined(env_name):
            super().set_env(env_name, env)


def install() -> None:
    """From here on numba compiles this way."""
    cpu_target.target_context.codegen().__class__ = KernelCodegen
