"""Responses as texts, as they stand behind their prompts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def plain_text(tokenizer: Any, tokens: Iterable[int]) -> str:
    """What stands at the beginning: a prompt, or part of one. Special tokens are left out."""
    return str(tokenizer.decode(list(map(int, tokens)), skip_special_tokens=True))


def response_text(tokenizer: Any, prompt: Iterable[int], response: Iterable[int]) -> str:
    """What the response adds to the text of its prompt; special tokens are left out.

    Decoded alone, the first word of a response loses its space where the tokenizer takes one off the beginning of every
    text (SentencePiece's: Llama 2, Mistral), and prompt and response together make one word of two.  Where the prompt
    ends within a character its text alone is none of the whole's beginning; then the response is decoded alone.
    """
    before = plain_text(tokenizer, prompt)
    whole = plain_text(tokenizer, [*prompt, *response])
    return whole[len(before) :] if whole.startswith(before) else plain_text(tokenizer, response)


def response_texts(tokenizer: Any, prompts: Iterable[Iterable[int]], responses: Iterable[Iterable[int]]) -> list[str]:
    """Of each response behind its prompt."""
    return [response_text(tokenizer, *both) for both in zip(prompts, responses, strict=True)]
