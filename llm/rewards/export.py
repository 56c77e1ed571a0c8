"""A head as a sequence classifier that transformers loads by itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from llm.base.folder_format import stamped
from llm.base.new_folder import new_folder
from llm.base.progress import Progress
from llm.base.small_mistral import load_base
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
    model.config.pad_token_id = _pad(tokenizer, model)
    # A classifier takes the last token that is not the pad: the tokenizer must pad with the same one.
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(model.config.pad_token_id)
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


def _pad(tokenizer: Any, model: Any) -> int:
    """A token that ends no text: a classifier looks for the last one that is not the pad."""
    known = tokenizer.pad_token_id
    if known is not None and known != tokenizer.eos_token_id:
        return int(known)
    for other in (tokenizer.bos_token_id, tokenizer.unk_token_id):
        if other is not None and other != tokenizer.eos_token_id:
            return int(other)
    return int(model.config.vocab_size) - 1
