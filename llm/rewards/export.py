"""A head as a sequence classifier that transformers loads by itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import torch

from llm.base.folder_format import stamped
from llm.base.new_folder import new_folder
from llm.base.progress import Progress
from llm.base.small_mistral import load_base
from llm.base.tokens import embeddings_of
from llm.data.rendered_tokens import RenderedTokens
from sim.errors import InputError
from sim.files.atomic import require_place, write_json
from sim.preferences import FloatArray

HEAD = "reward.json"


def export_head(
    name: str, weight: FloatArray, base: str | Path, folder: str | Path, told: Mapping[str, Any],
    progress: Progress = lambda text: None,
) -> Path:  # fmt: skip
    """Write the base with a head on it: logits are <weight, h> at the last token, the reward up to a constant.

    weight: (hidden,).  base: the model's folder.  told: how texts become tokens, and where the head is from, for
    `reward.json`.  An existing folder is refused.
    """
    target = Path(folder)
    if target.exists():
        raise InputError("exists already", file=target, fix="name another folder")
    require_place(target)
    network, tokenizer = load_base(base, progress=progress, head=False)
    model = classifier_of(network, base)
    with torch.no_grad():
        model.score.weight.copy_(torch.from_numpy(weight)[None])
    _give_pad(tokenizer, model, target)
    model.config.id2label, model.config.label2id = {0: name}, {name: 0}
    with new_folder(target) as fresh:
        model.save_pretrained(fresh, safe_serialization=True)
        tokenizer.save_pretrained(fresh)
        write_json(fresh / HEAD, stamped({"head": name, **told}))
    return target


def classifier_of(network: Any, place: str | Path) -> Any:
    """The sequence classifier of one label with the network's own decoder, its head yet to be filled."""
    from transformers import AutoModelForSequenceClassification

    try:
        config = copy.deepcopy(network.config)
        config.num_labels = 1
        model = AutoModelForSequenceClassification.from_config(config)
    except (ValueError, KeyError) as error:
        kind = network.config.model_type
        raise InputError(f"transformers has no sequence classifier of {kind}", file=place) from error
    if not isinstance(getattr(model, "score", None), torch.nn.Linear) or model.score.bias is not None:
        raise InputError(
            f"its sequence classifier, {type(model).__name__}, has a head of another form than <w, h>", file=place,
            fix="use the fit itself (pluralign predict)",
        )  # fmt: skip
    try:
        model.base_model.load_state_dict(network.base_model.state_dict())
    except RuntimeError as error:
        raise InputError(f"its sequence classifier, {type(model).__name__}, has another decoder", file=place) from error
    return model.to(torch.float32).eval()


def _give_pad(tokenizer: Any, model: Any, target: Path) -> None:
    """Have both pad with one token, on the right, that ends no text.

    A classifier takes the last token that is not the pad. Were the pad what items end with, as GPT-2's and Qwen2.5's
    is, it would take the token before, which the head was not fitted on. Where the tokenizer has no other, it gets one
    of its own, which no text is written in, and the model an embedding of it where it has none to spare.
    """
    pad = tokenizer.pad_token_id
    if pad is None or pad in _ends(tokenizer):
        pad = _new_token(tokenizer, target)
    if (embeddings := embeddings_of(model)) is not None and pad >= embeddings:
        model.resize_token_embeddings(pad + 1, mean_resizing=False)
        with torch.no_grad():  # no token that is read sees it
            model.get_input_embeddings().weight[embeddings:] = 0.0
    # Positions that are counted from the left (GPT-2's) are those of the fit on the left alone.
    tokenizer.padding_side = "right"
    for config in (model.config, model.config.get_text_config()):
        config.pad_token_id = int(pad)


def _ends(tokenizer: Any) -> set[int]:
    """Tokens that items end with: the end token, and what a conversation ends with in the chat template."""
    ends = {tokenizer.eos_token_id}
    if getattr(tokenizer, "chat_template", None):
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "a"}]
        # A template that wants other turns is asked with those of the data, and says nothing here.
        with suppress(InputError):
            ends |= set(RenderedTokens(tokenizer).conversation(turns, asks=False, options={}, where=dict)[-1:])
    return ends


def _new_token(tokenizer: Any, target: Path) -> int:
    """The number of a token added for padding."""
    known = tokenizer.get_vocab()
    name = next(name for k in count() if (name := f"<|pad_{k}|>") not in known)
    try:
        tokenizer.add_special_tokens({"pad_token": name})
        pad = tokenizer.pad_token_id
    except (NotImplementedError, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"cannot be padded: {type(tokenizer).__name__} has no pad token but its end token, and takes no other",
            file=target, fix="give the model's folder a tokenizer with a pad token, or use the fit (pluralign predict)",
        ) from error  # fmt: skip
    if pad is None or pad in known.values():
        raise InputError(
            f"cannot be padded: a token added to its tokenizer came out as number {pad}, which is another's",
            file=target, fix="give the model's folder a tokenizer with a pad token",
        )  # fmt: skip
    return int(pad)
