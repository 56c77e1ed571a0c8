"""`pluralign VERB ...`: finds the verb, runs it, and turns a user's bad input into one line and exit 2."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import Any

import click

from pluralign import __version__

# Help lines stand here so that `pluralign --help` imports no command; a test compares them with the commands.
VERBS = {
    "check": "Check a paper's claims numerically and print the verdict table.",
    "list": "List the claims that can be checked.",
    "show": "Show one claim: statement, source, variants, bounds and controls.",
    "replay": "Recompute a saved witness and say whether it is reproduced.",
    "study": "Run a simulation study from a YAML file; resumes if killed.",
    "convert": "Convert public data sets to pairwise preferences.",
    "fit": "Find the groups hidden in a file of preferences, and a policy for all of them.",
    "report": "Draw tables and figures from a result folder.",
    "minmax": "Solve min-max regret for your own regret matrix (CSV).",
    "doctor": "Say what is installed, what is missing, and what this machine can do.",
}


class LazyGroup(click.Group):
    """Loads a verb's module only when that verb runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"pluralign.commands.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(VERBS)}"
            raise click.UsageError(f"no command '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 all hold, 1 a check failed, 2 bad usage or input, 3 inconclusive.",
)
@click.version_option(__version__, prog_name="pluralign")
def command() -> None:
    """Simulate, check and use methods that align models to many people's preferences.

    Start with `pluralign check unobserved_types`: every claim of EM-DPO and MinMax-DPO with a verdict.
    """


def main() -> Any:
    """Entry point of the console script."""
    try:
        return command.main(prog_name="pluralign", standalone_mode=False) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        click.echo("pluralign: interrupted; run the same command again to resume", err=True)
        return 130
    except click.ClickException as error:
        _say(error.format_message(), error.ctx if isinstance(error, click.UsageError) else None)
        return 2
    except ValueError as error:
        if type(error).__name__ != "InputError":
            raise
        _say(str(error), None)
        return 2


def _say(message: str, ctx: click.Context | None) -> None:
    hint = f" (see '{ctx.command_path} --help')" if ctx is not None else ""
    click.echo("pluralign: error: " + " ".join(message.split()) + hint, err=True)


if __name__ == "__main__":
    sys.exit(main())
