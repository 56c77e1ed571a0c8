"""Texts and conversations as tokens of a tokenizer, with one begin and one end token each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sim.errors import InputError

Tokens = list[int]


class RenderedTokens:
    """A tokenizer's tokens of texts and of messages.

    Texts are as TRL's `DPOTrainer` (1.16) has them but for doubled tokens: of a text that was rendered before, and
    begins with the begin token that the tokenizer puts there too, TRL keeps both; and it appends the end token to a
    response that ends with one and a newline, or with another special token that ends a turn.
    doubled, ended: how many texts began or ended with such a token of their own.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._end, self._begin = tokenizer.eos_token_id, tokenizer.bos_token_id
        probe = list(tokenizer("a")["input_ids"])
        self._ends_itself = len(probe) > 1 and probe[-1] == self._end
        self._special = _special_tokens(tokenizer)
        self.doubled = self.ended = 0

    @property
    def begin(self) -> int | None:
        return None if self._begin is None else int(self._begin)

    @property
    def start(self) -> int:
        """What stands before a response to no prompt: it needs a token before it, and some tokenizers give none."""
        return int(self._end if self._begin is None else self._begin)

    def text(self, text: str) -> Tokens:
        """Tokens of a text, without an end token that the text does not hold."""
        tokens = list(self._tokenizer(text)["input_ids"])
        if self._ends_itself and tokens and tokens[-1] == self._end:
            tokens.pop()
        if len(tokens) > 1 and tokens[0] == tokens[1] == self._begin:
            self.doubled += 1
            return tokens[1:]
        return tokens

    def ended_text(self, prompt: str, response: str) -> Tokens:
        """Tokens of prompt and response with one end token after them."""
        bare = response.rstrip()
        own = [number for token, number in self._special.items() if bare.endswith(token)]
        if own:
            tokens = self.text(prompt + response)
            # A tokenizer that spells special tokens out has not ended the text with one.
            if set(own) & set(tokens[-4:]):
                self.ended += 1
                return tokens
        tokens = self.text(prompt + response + self._tokenizer.eos_token)
        return tokens if tokens[-1] == self._end else [*self.text(prompt + response), self._end]

    def conversation(
        self,
        messages: list[dict[str, Any]],
        *,
        asks: bool,
        options: Mapping[str, Any],
        where: Callable[[], Mapping[str, Any]],
    ) -> Tokens:
        """Tokens of messages in the tokenizer's chat template; asks: with the beginning of the answer that is to come.

        where: tells what an InputError names.
        """
        try:
            messages = plain_messages(messages)
        except ValueError as error:
            raise InputError(str(error), fix="drop the row, or the part", **where()) from error
        try:
            found = self._tokenizer.apply_chat_template(
                messages, tokenize=True, return_dict=True, add_generation_prompt=asks, **options
            )
        # Templates are programs of others, and raise what they like.
        except Exception as error:
            if "chat_template is not set" in str(error):
                raise InputError(
                    "the model's tokenizer has no chat template, and the answers are conversations",
                    fix="put its chat_template.jinja into the model's folder, or give texts", **where(),
                ) from error  # fmt: skip
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            problem = f"the model's chat template refuses the conversation ({reason})"
            raise InputError(problem, fix="mend the messages or drop the row", **where()) from error
        return list(found["input_ids"])


def plain_messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose contents are texts: most templates know no lists of parts, and write what Python makes of them.

    Errors: ValueError where a part is no text.
    """
    told = []
    for message in messages:
        if isinstance(content := message.get("content"), list):
            if any(not isinstance(part.get("text"), str) for part in content):
                raise ValueError("holds a part that is no text")
            message = {**message, "content": "".join(part["text"] for part in content)}
        told.append(message)
    return told


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    """Every special token's text and number, those without a name (ends of turns) among them."""
    added = getattr(tokenizer, "added_tokens_decoder", None)
    known = {str(token): number for number, token in added.items() if token.special} if isinstance(added, dict) else {}
    return {**known, str(tokenizer.eos_token): int(tokenizer.eos_token_id)}


def divided(prompt: Tokens, chosen: Tokens, rejected: Tokens) -> int:
    """How many tokens of the prompt stand unchanged before both answers: there the answers begin, as TRL has it.

    The end of a prompt that merges with an answer's first letters is part of the answer's tokens.
    """
    return min(common_length(prompt, chosen), common_length(prompt, rejected))


def common_length(first: Sequence[Any], second: Sequence[Any]) -> int:
    """How much of the beginning of two sequences is the same."""
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))
