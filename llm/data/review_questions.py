"""Questions out of reviews alone, without a model: how a review begins, and two ways in which it goes on."""

from __future__ import annotations

from collections.abc import Sequence

from llm.base.plain_text import sentences
from sim.streams import Stream

# Sentences of a passage, least and most; different numbers, or length would be no matter of taste.
_LEAST, _MOST = 1, 4


def questions_of_reviews(texts: Sequence[str], wanted: int, stream: Stream) -> tuple[list[tuple[str, str, str]], int]:
    """(prompt, first, second) of up to `wanted` reviews, and how many reviews were read for them.

    The prompt is the first sentence. The responses are two passages of one to four sentences each, that do not overlap,
    from random places of the rest, in random order. Reviews of too few sentences, and those whose first sentence was
    met before, are passed over.
    """
    found: list[tuple[str, str, str]] = []
    met: set[str] = set()
    # Sizes of two passages, the gaps before and between them, and which is shown first.
    draws = stream.uniforms((len(texts), 5))
    for read, (text, own) in enumerate(zip(texts, draws.tolist(), strict=True)):
        if len(found) == wanted:
            return found, read
        opening, *rest = sentences(text) or [""]
        sizes = [_LEAST + int(u * (_MOST - _LEAST + 1)) for u in own[:2]]
        spare = len(rest) - sum(sizes)
        if spare < 0 or opening in met:
            continue
        met.add(opening)
        # Two uniform gaps in order.
        before, until = sorted(int(u * (spare + 1)) for u in own[2:4])
        early = " ".join(rest[before : before + sizes[0]])
        start = until + sizes[0]
        late = " ".join(rest[start : start + sizes[1]])
        if early == late:
            continue
        found.append((opening, early, late) if own[4] < 0.5 else (opening, late, early))
    return found, len(texts)
