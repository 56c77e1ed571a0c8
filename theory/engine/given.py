"""A claim that is given as it is, on its way to workers: with the code that it has here.

Workers live on from call to call, and each has the modules that it imported first: by its module's name a claim would
be there what its file held then. So its own modules are sent by their contents. What is ours, Python's or of an
installed package is the same everywhere, and sent by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from sim.errors import InputError
from sim.plugin_sources import own_modules
from theory.engine.identity import sent_from
from theory.engine.theorem import Theorem

# joblib has it within, and from 1.6 on beside itself.  What it packs goes to workers of this process and back; no file
# of it is ever written or read.
try:
    _CLOUDPICKLE: Any = importlib.import_module("joblib.externals.cloudpickle")
except ImportError:
    _CLOUDPICKLE = importlib.import_module("cloudpickle")


class Given:
    """theorem: the object itself, in this process as in a worker.  Its pickle is made once."""

    def __init__(self, theorem: Theorem[Any]) -> None:
        self.theorem = theorem
        self._modules: tuple[str, ...] = ()
        self._content: bytes | None = None
        self._arrived = False

    def packed(self) -> None:
        """Make its pickle, now that it can still be said in a line that there is none.  InputError."""
        if self._content is not None:
            return
        for variant in self.theorem.SETTINGS.values():
            variant.setting.key()  # Refused here where it has none: a worker takes names of what was sent on trust.
        own = own_modules()
        try:
            with _by_value(own):
                self._content = _CLOUDPICKLE.dumps(self.theorem)
        except Exception as error:  # whatever an object raises that cannot be copied
            text = " ".join(str(error).split()) or "no message"
            raise InputError(
                f"claim '{self.theorem.claim_id}': cannot be sent to workers ({type(error).__name__}: {text})",
                fix="check it in this process (workers=1), or let its module make where it is used what cannot be sent",
            ) from error
        self._modules = ("__main__", *(module.__name__ for module in own))

    def __reduce__(self) -> Any:
        self.packed()
        return _received, (self._content, self._modules)

    @contextmanager
    def here(self) -> Iterator[Theorem[Any]]:
        """The claim; inside, functions of its settings go by the names that they have where it comes from."""
        with sent_from(self._modules if self._arrived else ()):
            yield self.theorem


def _received(content: bytes, modules: tuple[str, ...]) -> Given:
    given = Given(_CLOUDPICKLE.loads(content))
    given._content, given._modules, given._arrived = content, modules, True
    return given


@contextmanager
def _by_value(modules: list[ModuleType]) -> Iterator[None]:
    registered: list[ModuleType] = []
    try:
        for module in modules:
            if module.__name__ not in _CLOUDPICKLE.list_registry_pickle_by_value():
                _CLOUDPICKLE.register_pickle_by_value(module)
                registered.append(module)
        yield
    finally:
        for module in registered:
            _CLOUDPICKLE.unregister_pickle_by_value(module)
