"""Which answers of a training step each of several processes takes."""

from __future__ import annotations

import numpy as np

from llm.base.processes import processes
from llm.training.batches import micro_batches
from sim.preferences import IntArray


def own_pieces(rows: IntArray, lengths: IntArray, tokens: int, sequences: IntArray) -> list[tuple[IntArray, float]]:
    """This process's pieces of a step's answers `rows`, and what each counts; the rest as of `micro_batches`.

    Answers are dealt by length, so that processes have the same number of them, of like lengths, up to one.  Each has
    as many pieces as the others: where one has too few it takes the shortest answer again, which then counts 0 and
    not 1.  It changes nothing, and a sharded base has all processes in every pass.
    """
    ours = processes()
    if ours.world == 1:
        return [(piece, 1.0) for piece in micro_batches(rows, lengths, tokens, sequences)]
    dealt = rows[np.argsort(lengths[rows], kind="stable")[::-1]]
    by_process = [
        list(micro_batches(dealt[rank :: ours.world], lengths, tokens, sequences)) for rank in range(ours.world)
    ]
    own = by_process[ours.rank]
    missing = max(map(len, by_process)) - len(own)
    return [*((piece, 1.0) for piece in own), *((dealt[-1:], 0.0) for _ in range(missing))]
