"""`pluralign llm merge`."""

from __future__ import annotations

import json

import click

from pluralign.commands.llm_options import clock, training_warnings
from pluralign.terminal import print_answer

_FLAGS = {"group": "--group"}


@click.command("merge")
@click.argument("run", type=click.Path(file_okay=False))
@click.option("--group", required=True, help="An adapter of the run (group_0 or 0, ...), or direct.")
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Model folder to write.")
@click.option("--model", type=click.Path(), help="Where the base lies now, if it was moved.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(run: str, group: str, out: str, model: str | None, device: str, as_json: bool) -> None:
    """Write one group's policy as a model that any server loads: its adapter in the weights of the base.

    The folder holds safetensors, tokenizer, generation configuration and chat template. Weights are merged in float32
    and stored in the base's own dtype; what that moves is said, and stands in merged.json. The ensemble is never
    merged: it draws a policy for each response, which no weights do.

    Example: pluralign llm merge run --group 0 --out group_0_model
    """
    from pluralign.api.merged import merge_group
    from pluralign.flags import with_flags

    with training_warnings(), with_flags(_FLAGS):
        found = merge_group(run, group, out, model=model, device=device, progress=clock())
    print_answer(json.dumps(found.as_dict(), indent=2, allow_nan=False) if as_json else str(found))
