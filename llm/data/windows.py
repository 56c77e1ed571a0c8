"""Pairs that are too long for the window: refused, dropped, or cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Tokens = list[int]
TooLong = Literal["error", "drop", "truncate"]


@dataclass(frozen=True)
class TokenPair:
    """A context and two responses in tokens. cut_prompt, cut_response: whether they were cut.

    merged: whether the end of the prompt is part of the responses' tokens.
    """

    context: Tokens
    chosen: Tokens
    rejected: Tokens
    merged: bool = False
    cut_prompt: bool = False
    cut_response: bool = False

    def excess(self, window: int) -> str:
        """The part that is too long: "prompt" where it leaves no room, else chosen or rejected; "" where all fits."""
        if len(self.context) >= window:
            return "prompt"
        room = window - len(self.context)
        return "chosen" if len(self.chosen) > room else "rejected" if len(self.rejected) > room else ""


def cut(pair: TokenPair, window: int, begin: int | None) -> TokenPair:
    """The pair in a window: the prompt gives way first, from the left (its begin token stays), down to half the window;
    then the responses, at their ends.

    The two responses keep one context, whichever of them is too long.
    """
    longest = max(len(pair.chosen), len(pair.rejected))
    room = max(window - longest, window // 2)
    context = pair.context
    if len(context) > room:
        kept = room - 1 if context[0] == begin and room > 1 else room
        context = [*context[: room - kept], *context[len(context) - kept :]]
    left = window - len(context)
    return replace(
        pair, context=context, chosen=pair.chosen[:left], rejected=pair.rejected[:left],
        cut_prompt=len(context) < len(pair.context), cut_response=longest > left,
    )  # fmt: skip


@dataclass(frozen=True)
class TokenSet:
    """A context and all responses to it in tokens. cut_prompt, cut_responses: whether they were cut."""

    context: Tokens
    responses: tuple[Tokens, ...]
    cut_prompt: bool = False
    cut_responses: tuple[bool, ...] = ()

    def excess(self, window: int) -> bool:
        """Whether a response does not fit behind the context."""
        return len(self.context) + max(map(len, self.responses)) > window


def cut_set(tokens: TokenSet, window: int, begin: int | None) -> TokenSet:
    """The same as `cut`, for any number of responses: one context for all."""
    longest = max(tokens.responses, key=len)
    pair = cut(TokenPair(tokens.context, longest, longest), window, begin)
    left = window - len(pair.context)
    return TokenSet(
        pair.context, tuple(response[:left] for response in tokens.responses), pair.cut_prompt,
        tuple(len(response) > left for response in tokens.responses),
    )  # fmt: skip
