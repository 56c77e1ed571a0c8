"""Command groups that load a verb's module only when that verb runs."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import ClassVar

import click


class LazyVerbs(click.Group):
    """`verbs` maps a name to its line of help, so that help imports no command; a test compares the two."""

    verbs: ClassVar[Mapping[str, str]] = {}

    def load(self, name: str) -> click.Command:
        command = importlib.import_module(f"pluralign.commands.{name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.load(cmd_name) if cmd_name in self.verbs else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.verbs:
            near = difflib.get_close_matches(args[0], self.verbs, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(self.verbs)}"
            raise click.UsageError(f"no command '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.verbs.items()))
