"""Small tokenizers with chat templates of real families, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHATML = (
    "{% if tools %}{{ '<|im_start|>system\n' + tools | tojson + '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content or m.tool_calls | tojson }}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}{{ '<|h|>' + m.role + '<|e|>\n\n' + m.content | trim + '<|eot|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|h|>assistant<|e|>\n\n' }}{% endif %}"
)
TEXTS = ["Say something on bread and tea, please. A kind reply. A rude reply. Hello there, what is it?"] * 3


def chat_tokenizer(family: str | None) -> Any:
    """chatml, llama, or None for a tokenizer without a template; all of the same words."""
    from llm.base.small_mistral import train_tokenizer

    tokenizer = train_tokenizer(TEXTS, 420)
    if family == "chatml":
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"], "eos_token": "<|im_end|>"})
        tokenizer.chat_template = CHATML
    if family == "llama":
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|h|>", "<|e|>"], "eos_token": "<|eot|>"})
        tokenizer.chat_template = LLAMA
    return tokenizer


def chat_folder(folder: Path, family: str | None = "chatml") -> Path:
    """A random model of two layers with such a tokenizer, as a folder."""
    from llm.base.small_mistral import SIZES, new_mistral
    from sim.streams import Stream

    new_mistral(SIZES["mini"], 256, Stream(0, "chat")).save_pretrained(folder, safe_serialization=True)
    chat_tokenizer(family).save_pretrained(folder)
    return folder
