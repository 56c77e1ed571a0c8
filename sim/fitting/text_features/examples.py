"""Groups by examples: responses that one prefers more than the common reward does, in the users' own texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim.fitting.described import Examples, Group
from sim.fitting.prepare import Prepared
from sim.fitting.text_features.texts import response_texts, shown_text
from sim.preferences import FloatArray

_SHOWN = 3


def with_examples(groups: Sequence[Group], departures: FloatArray | None, prepared: Prepared) -> tuple[Group, ...]:
    """Each group with the training items of largest and of least <theta_k - theta, phi>, three each way; those that
    are the common reward again have none.  departures: (n_groups, d), None where they are no vectors."""
    if departures is None or len(departures) != len(groups):
        return tuple(groups)
    table, train = prepared.table, prepared.train
    used = np.unique(np.concatenate([table.chosen[train], table.rejected[train]]))
    shown = [shown_text(text) for text in response_texts([table.items[j] for j in used], table.kind)]
    # One text under two prompts is shown once, and one without a letter not at all.
    first = {text: number for number, text in reversed(list(enumerate(shown))) if text}
    kept = np.array(sorted(first.values()), dtype=np.int64)
    return tuple(
        replace(group, examples=_extreme(prepared.features[used[kept]] @ own, [shown[j] for j in kept]))
        if np.abs(own).max(initial=0.0) > 1e-9 else group
        for group, own in zip(groups, departures, strict=True)
    )  # fmt: skip


def _extreme(values: FloatArray, texts: Sequence[str]) -> Examples:
    most = min(_SHOWN, len(texts) // 2)
    order = np.argsort(-values, kind="stable")
    return Examples(tuple(texts[j] for j in order[:most]), tuple(texts[j] for j in order[::-1][:most]))
