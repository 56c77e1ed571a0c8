"""`pluralign list`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from theory.engine.theorem import Theorem


@click.command("list")
@click.argument("names", nargs=-1, metavar="[PAPER|CLAIM]...")
@click.option(
    "--search", multiple=True, metavar="WORD",
    help="Only claims with this word in their name, statement or source; repeatable, all must be there.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(names: tuple[str, ...], search: tuple[str, ...], as_json: bool) -> None:
    """List the claims that can be checked, by paper, with source, statement and variants.

    Examples:

    \b
      pluralign list multi_party
      pluralign list --search pessimism --search "theorem 2"
    """
    from theory.engine.registry import papers, select

    words = [word.casefold() for text in search for word in text.split()]
    found = [theorem for theorem in select(names) if _has(theorem, words)]
    if as_json:
        click.echo(json.dumps({"claims": [_row(theorem) for theorem in found]}, indent=2))
        return
    if not found:
        asked = f" has {' and '.join(repr(word) for word in words)}" if words else " is there"
        click.echo(f"no claim{' of ' + ', '.join(names) if names else ''}{asked}; `pluralign list` shows all")
        return
    known = papers()
    for paper in dict.fromkeys(theorem.paper for theorem in found):
        own = [theorem for theorem in found if theorem.paper == paper]
        about = known.get(paper)
        head = paper if about is None else f"{paper}: {about.title} ({about.authors}; {about.source})"
        click.echo("\n".join([*textwrap.wrap(head, _width()), f"{len(own)} claims"]) + "\n")
        click.echo(_claims(own, "" if about is None else about.source) + "\n")


def _width() -> int:
    from pluralign.terminal import columns

    return min(columns(), 100)


def _claims(theorems: Sequence[Theorem[Any]], of_paper: str) -> str:
    """Name and source, and below them the statement and the variants."""
    lines = []
    for theorem in theorems:
        # The paper's own source stands above.
        source = theorem.source.removeprefix(of_paper).lstrip(" ,;:")
        variants = ", ".join(name.replace("_", " ") for name in theorem.SETTINGS)
        lines += textwrap.wrap(
            f"{theorem.claim_id}  ({source})" if source else theorem.claim_id, _width(),
            initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        lines += textwrap.wrap(
            f"{theorem.statement} [{variants}]", _width(), initial_indent="      ", subsequent_indent="      "
        )
    return "\n".join(lines)


def _has(theorem: Theorem[Any], words: Sequence[str]) -> bool:
    text = " ".join((theorem.claim_id, theorem.statement, theorem.source)).casefold()
    return all(word in text for word in words)


def _row(theorem: Theorem[Any]) -> dict[str, Any]:
    return {
        "claim_id": theorem.claim_id,
        "paper": theorem.paper,
        "source": theorem.source,
        "statement": theorem.statement,
        "variants": list(theorem.SETTINGS),
    }
