"""`pluralign list`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pluralign.terminal import print_answer

if TYPE_CHECKING:
    from pluralign.api.checks import Claim


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
    from pluralign.api.checks import claims
    from theory.engine.registry import papers

    words = " ".join(search).casefold().split()
    found = claims(*names, search=" ".join(words))
    if as_json:
        print_answer(json.dumps(found.as_dict(), indent=2))
        return
    if not found:
        asked = f" has {' and '.join(repr(word) for word in words)}" if words else " is there"
        click.echo(f"no claim{' of ' + ', '.join(names) if names else ''}{asked}; `pluralign list` shows all")
        return
    known = papers()
    for paper in dict.fromkeys(own.paper for own in found):
        own = [claim for claim in found if claim.paper == paper]
        about = known.get(paper)
        head = paper if about is None else f"{paper}: {about.title} ({about.authors}; {about.source})"
        click.echo("\n".join([*textwrap.wrap(head, _width()), f"{len(own)} claims"]) + "\n")
        click.echo(_claims(own, "" if about is None else about.source) + "\n")


def _width() -> int:
    from pluralign.terminal import columns

    return min(columns(), 100)


def _claims(found: Sequence[Claim], of_paper: str) -> str:
    """Name and source, and below them the statement and the variants."""
    lines = []
    for claim in found:
        # The paper's own source stands above.
        source = claim.source.removeprefix(of_paper).lstrip(" ,;:")
        variants = ", ".join(name.replace("_", " ") for name in claim.variants)
        lines += textwrap.wrap(
            f"{claim.claim_id}  ({source})" if source else claim.claim_id, _width(),
            initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        lines += textwrap.wrap(
            f"{claim.statement} [{variants}{', arithmetic' if claim.theorem.arithmetic else ''}]",
            _width(),
            initial_indent="      ",
            subsequent_indent="      ",
        )
    return "\n".join(lines)
