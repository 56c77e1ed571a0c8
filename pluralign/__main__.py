"""`pluralign VERB ...`: finds the verb, runs it, and turns a user's bad input into one line and exit 2."""

from __future__ import annotations

import sys
from typing import Any

import click

from pluralign import __version__
from pluralign.lazy import LazyVerbs

# Help lines stand here so that `pluralign --help` imports no command; a test compares them with the commands.
VERBS = {
    "check": "Check a paper's claims numerically and print the verdict table.",
    "list": "List the claims that can be checked.",
    "show": "Show one claim: statement, source, variants, bounds and controls.",
    "replay": "Recompute a saved witness and say whether it is reproduced.",
    "study": "Run a simulation study from a YAML file; resumes if killed.",
    "convert": "Convert public data sets to pairwise preferences.",
    "fit": "Find the groups hidden in a file of preferences, and a policy for all of them.",
    "predict": "Use a saved fit on new items, pairs and annotators.",
    "report": "Draw tables and figures from a result folder.",
    "aggregate": "Aggregate a table of rewards (CSV) into one number a response, and choose.",
    "pool": "Pool probabilistic opinions; with --mechanism, costs that make truth best.",
    "welfare": "Choose for many parties: Nash, utilitarian, leximin; options or lotteries (CSV).",
    "axioms": "Test rules of aggregation against the axioms, with counter-examples.",
    "new": "Write a skeleton of a claim, experiment, method, converter, rule or environment of your own.",
    "minmax": "Solve min-max regret for your own regret matrix (CSV).",
    "llm": "The same algorithms on language models: sft, make-imdb, train, minmax, eval, generate, plan.",
    "doctor": "Say what is installed, what is missing, and what this machine can do.",
}


class Verbs(LazyVerbs):
    verbs = VERBS


@click.group(
    cls=Verbs,
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
