"""One process a planted fault: the changed source is imported in the file's place, and claims are checked.

Run as `python -m theory.mutation.worker`. Speaks lines of JSON: the first one in says what is planted, each later one
names a claim; one line out answers each, the first whether it is in its place. Nothing of ours is imported before the
fault is in its place: names bound early, methods, dataclasses and kernels all carry it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from types import CodeType, FrameType, ModuleType
from typing import Any

# Of packages whose lines a trace keeps.
OURS = ("sim", "theory")


class _Loader(importlib.machinery.SourceFileLoader):
    """A file's module from another text, or with its kernels kept in another folder."""

    def __init__(self, name: str, path: str, text: str | None, kernels: str | None) -> None:
        super().__init__(name, path)
        self._text, self._kernels = text, kernels

    def get_code(self, fullname: str) -> CodeType | None:
        # Never the cached bytecode, nor written to it.
        if self._text is None:
            return super().get_code(fullname)
        return compile(self._text, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        if self._kernels is None:
            super().exec_module(module)
            return
        from numba import config

        before, config.CACHE_DIR = config.CACHE_DIR, self._kernels
        try:
            super().exec_module(module)
        finally:
            config.CACHE_DIR = before


class _Planted(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, path: str, text: str, kernels: dict[str, str], folder: str) -> None:
        self._module, self._path, self._text, self._kernels, self._folder = module, path, text, kernels, folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        at = self._path if fullname == self._module else self._kernels.get(fullname)
        if at is None:
            return None
        loader = _Loader(
            fullname, at, self._text if fullname == self._module else None,
            self._folder if fullname in self._kernels else None,
        )  # fmt: skip
        inside = [os.path.dirname(at)] if os.path.basename(at) == "__init__.py" else None
        return importlib.util.spec_from_file_location(fullname, at, loader=loader, submodule_search_locations=inside)


def plant(module: str, path: str, text: str, kernels: dict[str, str], folder: str) -> None:
    """From now on `module` is imported from `text`; kernels: module -> file of those that are compiled anew, into
    `folder`, because the fault stands in them or in what they call.

    Errors: RuntimeError where one of them has been imported before.
    """
    early = [name for name in (module, *kernels) if name in sys.modules]
    if early:
        raise RuntimeError(f"imported before the fault was planted: {', '.join(early)}")
    sys.meta_path.insert(0, _Planted(module, path, text, kernels, folder))
    if kernels and "sim.compiled.jit" not in kernels:
        # It chooses the folder of all the other kernels when it is imported: before any of them.
        importlib.import_module("sim.compiled.jit")


def traced(claim: str, profile: Any, seed: int) -> dict[str, list[int]]:
    """The lines of ours that the claim's measurements execute, two replicates of each setting."""
    import dataclasses

    from theory.engine.registry import find

    own: Any = type(find(claim))
    small, before = own.at_profile, own.__dict__.get("at_profile")

    def two(self: Any, setting: Any, at: Any) -> Any:
        full = small(self, setting, at)
        return dataclasses.replace(full, replicates=min(full.replicates, 2))

    found: dict[str, set[int]] = {}
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
    names: dict[str, str | None] = {}

    def name_of(file: str) -> str | None:
        if file not in names:
            inside = file.startswith(root) and file[len(root) :].partition(os.sep)[0] in OURS
            parts = file[len(root) :].removesuffix(".py").split(os.sep)
            names[file] = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) if inside else None
        return names[file]

    def calls(frame: FrameType, event: str, argument: Any) -> Any:
        name = name_of(frame.f_code.co_filename)
        # Modules that are first imported here execute lines of their own, which are no measurement's.
        if name is None or frame.f_code.co_name == "<module>":
            return None
        own = found.setdefault(name, set())
        own.add(frame.f_lineno)

        def lines(frame: FrameType, event: str, argument: Any) -> Any:
            own.add(frame.f_lineno)
            return lines

        return lines

    own.at_profile = two
    try:
        _forget()
        sys.settrace(calls)
        try:
            check_one(claim, profile, seed)
        finally:
            sys.settrace(None)
    finally:
        if before is None:
            del own.at_profile
        else:
            own.at_profile = before
    return {name: sorted(lines) for name, lines in found.items()}


def _forget() -> None:
    """What an earlier claim left in a `functools.cache` would not be executed again."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in OURS:
            for value in list(vars(module).values()):
                if callable(getattr(value, "cache_clear", None)) and name != "theory.engine.registry":
                    value.cache_clear()


def check_one(claim: str, profile: Any, seed: int) -> list[Any]:
    from sim.running.threads import one_thread
    from theory.engine.checks import check_theorem
    from theory.engine.registry import find

    with one_thread(openmp=True):
        return check_theorem(find(claim), profile, seed)


def noticed(claim: str, profile: Any, seed: int) -> str:
    """Why the claim's result is not what it should be; empty where it is.

    A verdict that is not the one expected, a control that escapes, or an error while it is measured.
    """
    try:
        checks = check_one(claim, profile, seed)
    except Exception as error:  # A fault may raise anything, and a check that stops with it has noticed.
        return f"error: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    for check in checks:
        if not check.as_expected:
            return f"verdict: {check.variant} {check.verdict} where {check.expected} is expected"
        for control in check.controls:
            if not control.caught:
                return f"control: {check.variant}: '{control.name}' escapes"
    return ""


def main() -> None:
    """Answers until the input ends."""
    # What a claim prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    begin = json.loads(sys.stdin.readline())
    if begin.get("bytes"):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (begin["bytes"], begin["bytes"]))
    failed = ""
    if begin["planted"] is not None:
        try:
            plant(**begin["planted"])
        except Exception as error:  # Whatever it is, nothing was planted, and nothing may count as noticed.
            failed = f"{type(error).__name__}: {error}"

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    say({"unplanted": failed})
    for line in sys.stdin if not failed else ():
        asked = json.loads(line)
        began = time.monotonic()
        answer: dict[str, Any] = {}
        if asked["what"] == "trace":
            answer = {"lines": traced(asked["claim"], asked["profile"], asked["seed"])}
        else:
            answer = {"noticed": noticed(asked["claim"], asked["profile"], asked["seed"])}
        answer["seconds"] = round(time.monotonic() - began, 3)
        say(answer)


if __name__ == "__main__":
    main()
