"""Groups by examples: responses that one prefers more than the common reward does, in the users' own texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim.fitting.described import Examples, Group
from sim.fitting.prepare import Prepared, Scales
from sim.fitting.text_features.learn import TextFeatures
from sim.fitting.text_features.texts import readable_texts, shown_text
from sim.fitting.text_features.words import WordFeatures
from sim.preferences import FloatArray, IntArray

_SHOWN, _WORDS = 3, 5


def with_examples(
    groups: Sequence[Group], departures: FloatArray | None, prepared: Prepared, made: TextFeatures
) -> tuple[Group, ...]:
    """Each group with the training items of largest and of least <theta_k - theta, phi>, three each way; those that
    are the common reward again have none.  departures: (n_groups, d), None where they are no vectors.  made: what makes
    features of texts; of words also those that add and take away most."""
    if departures is None or len(departures) != len(groups):
        return tuple(groups)
    table = prepared.table
    answer, item = table.shown()
    used = np.unique(item[prepared.train[answer]])
    shown = [shown_text(text) for text in readable_texts([table.items[j] for j in used], table.kind)]
    # One text under two prompts is shown once, and one without a letter not at all.
    first = {text: number for number, text in reversed(list(enumerate(shown))) if text}
    kept = np.array(sorted(first.values()), dtype=np.int64)
    return tuple(
        replace(group, examples=_examples(prepared, used[kept], [shown[j] for j in kept], own, made))
        if np.abs(own).max(initial=0.0) > 1e-9 else group
        for group, own in zip(groups, departures, strict=True)
    )  # fmt: skip


def _examples(
    prepared: Prepared, items: IntArray, texts: Sequence[str], departure: FloatArray, made: TextFeatures
) -> Examples:
    more, less = _extreme(prepared.features[items] @ departure, texts, _SHOWN)
    if not isinstance(made, WordFeatures):
        return Examples(more, less)
    return Examples(more, less, *_extreme(_word_values(departure, prepared.scales, made), made.vocabulary, _WORDS))


def _word_values(departure: FloatArray, scales: Scales, made: WordFeatures) -> FloatArray:
    """(n_words,) what a word adds to <departure, phi>, but for its text's length; constants of no text left out."""
    own = np.zeros(len(scales.names))
    own[scales.kept] = departure[: len(departure) - scales.further] / scales.scale[scales.kept]
    return np.asarray(made.idf * (made.directions @ own))


def _extreme(values: FloatArray, texts: Sequence[str], most: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts of the largest values and of the least."""
    most = min(most, len(texts) // 2)
    order = np.argsort(-values, kind="stable")
    return tuple(texts[j] for j in order[:most]), tuple(texts[j] for j in order[::-1][:most])
