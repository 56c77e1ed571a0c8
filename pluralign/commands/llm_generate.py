"""`pluralign llm generate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

import click

from pluralign.commands.llm_options import clock, training_warnings
from pluralign.terminal import print_answer


@click.command("generate")
@click.argument("run", type=click.Path(file_okay=False))
@click.option(
    "--prompt", "prompts", multiple=True, help="A prompt; repeatable (default: one a line from standard input)."
)
@click.option(
    "--chat/--no-chat", default=None, help="Whether prompts are turns of a conversation (default: as in training)."
)
@click.option(
    "--chat-template-kwargs", metavar="JSON",
    help='What the chat template is given, e.g. {"enable_thinking": false} (default: as in training).',
)  # fmt: skip
@click.option("--tools", metavar="JSON", help="The tools it is given, a list (default: as in training).")
@click.option(
    "--group", help="An adapter (group_0, ...), reference, or mixture (default: MinMax weights, else shares)."
)
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True, help="Responses a prompt.")
@click.option("--max-new-tokens", type=click.IntRange(1), help="Where responses are cut (default: the run's).")
@click.option("--temperature", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True)
@click.option("--model", type=click.Path(), help="Where the base lies now, if it was moved.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", help="auto, cpu or cuda (default: the run's).")
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(
    run: str,
    prompts: tuple[str, ...],
    chat: bool | None,
    chat_template_kwargs: str | None,
    tools: str | None,
    group: str | None,
    samples: int,
    max_new_tokens: int | None,
    temperature: float,
    model: str | None,
    seed: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Sample responses from a run's ensemble or from one of its groups.

    From the ensemble the member is drawn once a response, which then answers alone: that is the paper's policy.
    A seed gives the same n-th response to a prompt, up to rounding of the model, whatever else is asked; with more
    --max-new-tokens it goes on from there. Of a run trained on conversations a prompt is
    one turn of the user, or a list of messages as JSON, and the tokenizer's chat template renders it, with the tools
    and chat_template_kwargs that all of its answers had.

    Example: pluralign llm generate run --prompt "This film is" --group group_1
    """
    import numpy as np

    from llm.base.generation import Sampling, own_streams, sample_responses
    from llm.base.model_folder import longest_input
    from llm.base.texts import response_text
    from llm.data.chat_prompts import asked_rendering, messages_of
    from llm.data.data_settings import DataSettings
    from llm.data.tokeniser import Tokeniser
    from llm.runs.open_run import open_run, run_settings
    from llm.runs.run_folder import read_mixture
    from sim.errors import InputError, require_whole
    from sim.streams import Stream

    mixture = read_mixture(run)
    # A number is a group's, as for `merge`.
    group = f"group_{group}" if group is not None and group.isdecimal() else group
    known = (*mixture.adapters, "reference", "mixture")
    if group is not None and group not in known:
        raise InputError(f"--group: no '{group}' in {run}", fix=f"choose one of {', '.join(known)}")
    given = {"tools": tools, "chat_template_kwargs": chat_template_kwargs}
    chats = mixture.chat if chat is None else chat
    if not chats and any(text is not None for text in given.values()):
        raise InputError(
            "--chat-template-kwargs and --tools are for turns of a conversation", fix="leave them out, or give --chat"
        )
    rendering = asked_rendering(mixture.rendering, given) if chats else {}
    asked = list(prompts) or _lines(sys.stdin)
    if not asked:
        raise InputError("no prompts", fix="give --prompt TEXT, or one prompt a line on standard input")
    require_whole(asked, {"field": "prompt"})
    made_with = run_settings(run).sampling
    sampling = Sampling(max_new_tokens or made_with.max_new_tokens, temperature, made_with.batch)
    with training_warnings():
        opened = open_run(run, model=model, device=device, sampling=sampling, progress=clock())
        room = opened.mixture.window
        tokeniser = Tokeniser(opened.tokenizer, opened.base.store, room, DataSettings())
        if chats:
            first = [
                tokeniser.chat_prompt(messages_of(text), rendering, lambda: {"field": "prompt"})[0] for text in asked
            ]
        else:
            first = [tokeniser.prompt(text)[0] for text in asked]
        contexts = np.repeat(np.array(first, dtype=np.int64), samples)
        longest = int(opened.base.store.lengths(contexts).max())
        most = longest_input(opened.base.model.config)
        if most is not None and longest + sampling.max_new_tokens > most:
            raise InputError(
                f"a prompt of {longest} tokens and {sampling.max_new_tokens} new ones do not fit the model",
                fix="shorten the prompt or --max-new-tokens",
            )
        own = own_streams(opened.base, contexts, Stream(seed, "generate"))
        if group == "reference" or group in mixture.adapters:
            members = [-1 if group == "reference" else mixture.adapters.index(group)] * len(contexts)
        else:
            weights = np.array(mixture.weights or mixture.mixture)
            members = [int(each.child("member").choice(weights / weights.sum(), 1)[0]) for each in own]
        drawn = np.empty(len(contexts), dtype=np.int64)
        for k in dict.fromkeys(members):
            its = [j for j, member in enumerate(members) if member == k]
            drawn[its] = sample_responses(
                opened.base, None if k < 0 else opened.policies[k].name, contexts[its],
                [own[j].child("tokens") for j in its], sampling,
            )  # fmt: skip
    store = opened.base.store
    rows = [
        {
            "prompt": asked[j // samples],
            "response": response_text(opened.tokenizer, store[int(contexts[j])], store[number]),
            "policy": "reference" if members[j] < 0 else mixture.adapters[members[j]],
        }
        for j, number in enumerate(drawn.tolist())
    ]
    if as_json:
        print_answer(json.dumps({"responses": rows, "seed": seed, "temperature": temperature}, indent=2))
        return
    for row in rows:
        click.echo(f"[{row['policy']}] {row['prompt']}{row['response']}")


def _lines(text: Iterable[str]) -> list[str]:
    """Lines that say something, without their ends: outside Windows Python leaves its carriage returns in standard
    input."""
    bare = (line.rstrip("\r\n").removeprefix("\ufeff") for line in text)
    return [line for line in bare if line.strip()]
