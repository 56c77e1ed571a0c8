"""`pluralign VERB ...`: finds the verb, runs it, and turns a user's bad input into one line and exit 2."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import nullcontext
from typing import Any

from pluralign.interrupts import EXIT_CODE, LINE, guarded_imports, insistent_interrupts, say_interrupted

with guarded_imports():
    import click

    from pluralign import __version__
    from pluralign.launched import ends_with
    from pluralign.lazy import LazyVerbs
    from pluralign.progress import note
    from pluralign.terminal import answers_alone, escaped_output
    from sim.compiled import first_use
    from sim.errors import InputError
    from sim.printable import printable

# A line that a reader takes in; whole cells and names may stand in what is said of a file.
_LONGEST, _END = 900, 250
# 128 + SIGPIPE, as of a program that nobody reads any more.
NOBODY_READS = 141
# What is wrong with a place on disk, not with the program.
_OF_THE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP,
    errno.ENAMETOOLONG, errno.EFBIG, errno.EIO, errno.EEXIST, errno.EMFILE, errno.ENOENT, errno.ESTALE, errno.ETXTBSY,
}  # fmt: skip

# Help lines stand here so that `pluralign --help` imports no command; a test compares them with the commands.
VERBS = {
    "check": "Check a paper's claims numerically and print the verdict table.",
    "list": "List the claims that can be checked.",
    "show": "Show one claim: statement, source, variants, bounds and controls.",
    "replay": "Recompute a saved witness and say whether it is reproduced.",
    "mutate": "Plant faults one at a time and see whether the claims notice.",
    "power": "Plan how many replicates the check of a claim needs.",
    "study": "Run a simulation study from a YAML file; resumes if killed.",
    "convert": "Convert public data sets to answers: pairs, choices, rankings, ratings.",
    "fit": "Find the groups hidden in a file of preferences, and a policy for all of them.",
    "predict": "Use a saved fit on new items, pairs and annotators.",
    "choice-model": "Logit of choices among several, one taste for all or each her own, with errors.",
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


class _Interrupted(Exception):
    """Ctrl-C on its way past click, which would print an empty line first."""


class _NobodyReads(Exception):
    """The reader of our output has gone, on its way past click, which would exit with 1: a check failed."""


class Verbs(LazyVerbs):
    verbs = VERBS

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted from None
        except BrokenPipeError:
            raise _NobodyReads from None


@click.group(
    cls=Verbs,
    # color: click leaves the text as it is; what a file's names would do to a terminal `escaped_output` writes out.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "color": True},
    epilog="Exit codes: 0 all hold, 1 a check failed, 2 bad usage or input, 3 inconclusive, 130 interrupted.",
)
@click.version_option(__version__, prog_name="pluralign")
def command() -> None:
    """Simulate, check and use methods that align models to many people's preferences.

    Start with `pluralign check unobserved_types`: every claim of EM-DPO and MinMax-DPO with a verdict.
    """


def main() -> Any:
    """Entry point of the console script."""
    code = _ended()
    ends_with(code)
    return code


def _ended() -> Any:
    try:
        compiling = first_use.announced(_say_compiling, (LINE, EXIT_CODE))
        alone = answers_alone() if _wants_json() else nullcontext()
        with insistent_interrupts(), escaped_output(), compiling, alone:
            return _run()
    except (KeyboardInterrupt, _Interrupted, click.Abort):
        return say_interrupted()
    except (_NobodyReads, BrokenPipeError):
        _forget_output()
        return NOBODY_READS


def _wants_json() -> bool:
    """Whether standard output is for a JSON object alone."""
    asked = {*sys.argv[1:]}
    return "--json" in asked and not asked & {"--help", "-h", "--version"}


def _run() -> Any:
    try:
        code = command.main(prog_name="pluralign", standalone_mode=False) or 0
        sys.stdout.flush()
        return code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        return _refuse(error.format_message(), error.ctx if isinstance(error, click.UsageError) else None)
    except InputError as error:
        return _refuse(str(error))
    except MemoryError as error:
        return _refuse(f"out of memory{f' ({error})' if str(error) else ''}; ask for less, or for fewer --workers")
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.errno not in _OF_THE_DISK:
            raise
        if error.filename is None:
            code = _refuse(f"cannot write ({error.strerror}); check the space left where the output goes")
        else:
            code = _refuse(f"{os.fspath(error.filename)}: cannot be read or written ({error.strerror}); check the path")
        _forget_output()
        return code


def _refuse(message: str, ctx: click.Context | None = None) -> int:
    hint = f" (see '{ctx.command_path} --help')" if ctx is not None else ""
    click.echo("pluralign: error: " + _readable(message) + hint, err=True, color=True)
    return 2


def _readable(message: str) -> str:
    """One line, its middle left out where it is longer than anybody reads."""
    line = printable(" ".join(message.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - _END]} ... {line[-_END:]}"


def _say_compiling() -> None:
    from sim.compiled.jit import cache_in_use

    note(f"compiling kernels for first use, up to a minute, once; they are kept in {cache_in_use()}")


def _forget_output() -> None:
    """What is left in the buffer goes nowhere: at its end Python would try once more and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
