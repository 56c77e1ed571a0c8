"""MkDocs hook: the API page says every name of `pluralign.__all__`, in its order, under the name a user writes."""

from typing import Any

PLACE = "<!-- every public name -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    return markdown.replace(PLACE, "\n".join(_entries())) if PLACE in markdown else markdown


def _entries() -> list[str]:
    import pluralign

    entries = []
    for name in pluralign.__all__:
        found = getattr(pluralign, name)
        if not callable(found):  # __version__ and the like say themselves
            continue
        entries.append(f"::: {found.__module__}.{found.__qualname__}")
        entries.append(f'    options:\n      heading: "pluralign.{name}"\n      toc_label: "{name}"\n')
    return entries
