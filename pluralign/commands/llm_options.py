"""What the LLM commands share: their options, their clock, and quiet libraries."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from pluralign.launched import is_first
from pluralign.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])


def config_options(function: F) -> F:
    """--config, --set and --json."""
    function = click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")(function)
    function = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting (dotted key); repeatable."
    )(function)
    return click.option("--config", type=click.Path(dir_okay=False), help="YAML file of settings.")(function)


# What the reader is to know when the run has ended, too.
_STAYS = re.compile(r"note: |.*\b(resumed|nothing to do|were read from|round \d)")


def clock() -> Callable[[str], None]:
    """Progress on standard error until the command has ended: what is being done now, and lines that stay.

    Of several processes the first one speaks.
    """
    if not is_first():
        return lambda text: None
    progress = click.get_current_context().with_resource(Progress())

    def say(text: str) -> None:
        if _STAYS.match(text):
            progress.note(text)
        else:
            progress.show(text)

    return say


@contextmanager
def training_warnings() -> Iterator[None]:
    """Libraries' progress bars and advice off; the hub is never asked."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    yield


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Positive numbers separated by commas, or a clear refusal."""
    from sim.errors import InputError

    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option}: expected numbers, got '{text}'", fix="write e.g. 1,4") from None
    if not all(0 < value < float("inf") for value in values):
        raise InputError(f"{option}: expected positive numbers, got '{text}'", fix="write e.g. 1,4")
    return values
