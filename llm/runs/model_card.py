"""README.md beside an adapter, as PEFT's folders have one: what the run says of it, and what its group is not.

It names no annotator and no place on the machine. Nobody reads it back: people may edit it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.runs.run_folder import MixtureFile
from llm.runs.run_settings import RunSettings
from llm.training.group_training import GroupRecord
from sim.preferences import FloatArray, IntArray
from sim.settings import resolved

# Letters that Markdown obeys somewhere in a line.
_OBEYED = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")
_TITLES = {
    "em-dpo": "one of {n} groups of annotators that EM found in their answers (EM-DPO)",
    "cluster-dpo": "one of {n} clusters of annotators by what they chose (Cluster-DPO)",
    "dpo": "everybody's answers (DPO)",
    "group-dpo": "everybody, the worst-served of known groups first (group-robust DPO)",
}
_FOUND = """\
It is what explains answers, found from answers alone: no demographic group, no opinion that somebody has stated, and
no judgement of a person. Annotators belong to it with probabilities, and to other groups with the rest; another seed,
or other answers, may cut groups elsewhere. Its number says nothing, and its share is that of the annotators who
answered, not of any population."""
_ALL = """\
It stands for no one annotator, and for no group of them: those who disagree with most are served by it as far as the
loss of all allows."""
_KNOWN = """\
The groups are those of the file's group_id, whatever they stand for there. The adapter serves the worst of them on the
training answers; it is no policy of any one of them."""
_HELD_OUT = """
Held-out numbers are mean nats an answer, of all adapters of the run together: each annotator is predicted by her
groups' policies, weighed by how probably she is in them.
"""
_MEMBER = """
It is one member of an ensemble: `mixture.json` in the folder above has the members' shares and, once there are any,
their MinMax weights. The ensemble draws a member for each response; a mean of weights is another policy.
"""


@dataclass(frozen=True)
class RunNumbers:
    """What a run says of all of its adapters.

    seen, new: mean nats a held-out answer to prompts that were seen, and to new ones; seen_coin, new_coin: a coin's.
    ended: which round was kept, and why it was the last.
    """

    n_annotators: int
    n_answers: int
    n_held_out: int
    n_new_prompts: int
    seen: float | None
    new: float | None
    seen_coin: float | None
    new_coin: float | None
    ended: str
    groups: tuple[GroupRecord, ...] = ()


def adapter_cards(
    settings: RunSettings, mixture: MixtureFile, numbers: RunNumbers, responsibilities: FloatArray, answers: IntArray,
    versions: Mapping[str, str],
) -> tuple[str, ...]:  # fmt: skip
    """A card for each adapter of a run.  responsibilities: (n_annotators, K).  answers: (n_annotators,) in training."""
    own = responsibilities.argmax(axis=1)
    return tuple(
        _card(
            name, mixture, [
                ("method", settings.method),
                ("groups", str(len(mixture.adapters))),
                ("share of the annotators", f"{mixture.mixture[k]:.3f}"),
                ("annotators most probably in it", f"{int((own == k).sum())} of {numbers.n_annotators}"),
                ("training answers, by the chance that they are its own",
                 f"{float(answers @ responsibilities[:, k]):.1f} of {numbers.n_answers}"),
                *_held_out(numbers),
                ("kept", numbers.ended),
                ("beta", f"{settings.beta:g}"),
                ("seed", str(settings.seed)),
            ], _of_groups(numbers.groups), _meaning(settings.method), _settings(settings), versions,
        )
        for k, name in enumerate(mixture.adapters)
    )  # fmt: skip


def direct_card(
    mixture: MixtureFile, rows: Sequence[tuple[str, str]], settings: Mapping[str, Any], versions: Mapping[str, str]
) -> str:
    """Of the one policy of `llm minmax --direct`."""
    return _card("direct", mixture, rows, "", _ALL, settings, versions)


def escaped(text: str) -> str:
    """Text of a file as Markdown shows it: letters that it or HTML would obey are written out, in one line."""
    return _OBEYED.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _card(
    name: str, mixture: MixtureFile, rows: Sequence[tuple[str, str]], groups: str, meaning: str,
    settings: Mapping[str, Any], versions: Mapping[str, str],
) -> str:  # fmt: skip
    base = Path(mixture.base).name
    head = [
        f"base_model: {json.dumps(base)}", "library_name: peft", "pipeline_tag: text-generation", "tags:",
        *(f"- {json.dumps(tag)}" for tag in (f"base_model:adapter:{base}", "lora", "dpo", mixture.method, "pluralign")),
    ]  # fmt: skip
    served = "the worst of a run's groups (direct MinMax-DPO)" if name == "direct" else _TITLES[mixture.method]
    prompts = f"turns of a conversation, in the tokenizer's chat template{_rendering(mixture)}"
    prompts = prompts if mixture.chat else "plain texts"
    table = "\n".join(f"| {key} | {value} |" for key, value in rows)
    # A fence ends with its own letters, wherever they stand.
    told = "\n".join(f"{key}: {json.dumps(value)}" for key, value in settings.items()).replace("`", "\\u0060")
    used = ", ".join(f"{package} {version}" for package, version in versions.items())
    member = _MEMBER if name != "direct" and len(mixture.adapters) > 1 else ""
    return f"""---
{chr(10).join(head)}
---

# {name}

A LoRA adapter of {escaped(base)}, trained on answers by pluralign. It serves
{served.format(n=len(mixture.adapters))}.

| | |
|---|---|
{table}
| hash of the base's weights | {mixture.base_hash} |
| prompts | {prompts}, of at most {mixture.window} tokens with the answer |
{groups}
## What it is not

{meaning}
{member}
## How to load it

With BASE the folder of {escaped(base)} (its weights have the hash above), and ADAPTER the folder of this file:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("BASE")
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("BASE"), "ADAPTER")
```

## Settings

```yaml
{told}
```

Made with {used}.
"""


def _rendering(mixture: MixtureFile) -> str:
    """What the template is given beside messages."""
    if mixture.rendering is None:
        return " (its tools and chat_template_kwargs differ from answer to answer)"
    found = mixture.rendering.get("chat_template_kwargs", {})
    told = [f"{key}={json.dumps(value)}" for key, value in found.items()]
    if tools := mixture.rendering.get("tools"):
        told.append(f"{len(tools)} tools")
    return f" with {escaped(', '.join(told))}" if told else ""


def _held_out(numbers: RunNumbers) -> list[tuple[str, str]]:
    found = []
    for what, value, n, coin in (
        ("held-out answers to prompts that were seen, of the run", numbers.seen, numbers.n_held_out, numbers.seen_coin),
        ("held-out answers to new prompts, of the run", numbers.new, numbers.n_new_prompts, numbers.new_coin),
    ):
        beside = "" if coin is None else f"; a coin: {coin:.4f}"
        found.append((what, "none were held out" if value is None else f"{value:.4f} nats ({n} answers{beside})"))
    return found


def _of_groups(groups: Sequence[GroupRecord]) -> str:
    """What held-out numbers are, and a table of known groups where there are some."""
    if not groups:
        return _HELD_OUT
    rows = [
        f"| {escaped(own.name)} | {own.weight:.3f} | {own.log_likelihood:.4f} | "
        + " | ".join("-" if value is None else f"{value:.4f}"
                     for value in (own.held_out_log_likelihood, own.new_prompts_log_likelihood)) + " |"
        for own in groups
    ]  # fmt: skip
    head = ("| known group | weight | training | held out | new prompts |", "|---|---|---|---|---|")
    return "\n".join([_HELD_OUT, *head, *rows, ""])


def _meaning(method: str) -> str:
    return {"dpo": _ALL, "group-dpo": _KNOWN}.get(method, _FOUND)


def _settings(settings: RunSettings) -> dict[str, Any]:
    """What decides a fit, by dotted name; of what is a path the last part."""
    found: dict[str, Any] = {}
    for section in ("lora", "training", "groups"):
        found |= {f"{section}.{key}": value for key, value in resolved(settings)[section].items()}
    starts = found["lora.start"]
    names = [starts] if isinstance(starts, str) else starts or []
    found["lora.start"] = ["/".join(Path(place).parts[-2:]) for place in names] or None
    found["groups.embedding"] = Path(found["groups.embedding"]).name
    return found
