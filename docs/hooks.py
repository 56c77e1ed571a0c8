"""MkDocs hook: the API page holds every name of `pluralign.__all__`, under the name a user writes, and every result."""

import importlib
import inspect
import pkgutil
import re
from typing import Any

FUNCTIONS, CLASSES, RESULTS = "<!-- every function -->", "<!-- every class -->", "<!-- every result -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    for place, entries in ((FUNCTIONS, _functions), (CLASSES, _classes), (RESULTS, _results)):
        if place in markdown:
            markdown = markdown.replace(place, "\n".join(entries()))
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """A docstring's scalar product, <theta, phi>, is no element of HTML: it is shown as it was written."""
    return re.sub(r"<(/?\w+,[^<>]*)>", r"&lt;\1&gt;", html)


def _entry(found: Any, heading: str) -> str:
    where = f"{found.__module__}.{found.__qualname__}"
    return f'::: {where}\n    options:\n      heading: "{heading}"\n      toc_label: "{heading.rpartition(".")[2]}"\n'


def _public() -> dict[str, Any]:
    import pluralign

    return {name: getattr(pluralign, name) for name in pluralign.__all__}


def _functions() -> list[str]:
    return [_entry(found, f"pluralign.{name}") for name, found in _public().items() if inspect.isfunction(found)]


def _classes() -> list[str]:
    entries = [_entry(found, f"pluralign.{name}") for name, found in _public().items() if inspect.isclass(found)]
    for name, found in _public().items():
        if inspect.ismodule(found):
            entries.append(
                f'::: {found.__name__}\n    options:\n      heading: "pluralign.{name}"\n      toc_label: "{name}"\n'
            )
    return entries


def _results() -> list[str]:
    """The classes of what the functions return: they are met as values and are no names of `pluralign`."""
    import pluralign.api
    from pluralign.api.shown import Shown

    entries = []
    for module in sorted(pkgutil.iter_modules(pluralign.api.__path__), key=lambda module: module.name):
        for name, value in vars(importlib.import_module(f"pluralign.api.{module.name}")).items():
            own = inspect.isclass(value) and value.__module__ == f"pluralign.api.{module.name}"
            if own and issubclass(value, Shown) and value is not Shown and not name.startswith("_"):
                entries.append(_entry(value, name))
    return entries
