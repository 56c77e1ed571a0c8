"""Where `sim`'s prepared preferences meet `llm`'s network: neither knows the other."""

from __future__ import annotations

import numpy as np

from llm.networks.shared_network import NetworkFit, NetworkSettings, fit_shared_network
from sim.fitting.prepare import Prepared, effective_weights, hold_out
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream


def fit_prepared(
    prepared: Prepared, rows: BoolArray, rank: int, ridge: float, centre: FloatArray, stream: Stream
) -> NetworkFit:
    """`fit_shared_network` on a prepared table, with the number of epochs that a third of each
    annotator's items, held out of the masked answers, asks for; the pooled reward `centre` is given."""

    def fit(own: BoolArray, held: BoolArray | None, settings: NetworkSettings) -> NetworkFit:
        return fit_shared_network(
            prepared.features, prepared.table.chosen, prepared.table.rejected, prepared.annotator,
            prepared.n_annotators, rank, stream, weights=effective_weights(prepared.table, own),
            offset=prepared.differences @ centre, ridge=ridge, settings=settings, held=held,
        )  # fmt: skip

    kept, held = hold_out(prepared.table, rows, 1 / 3, stream.child("validation"))
    settings = NetworkSettings()
    if kept.any() and held.any():
        trace = fit(kept, held, settings).held_out
        settings = NetworkSettings(epochs=int(np.argmax(trace)) + 1)
    return fit(rows, None, settings)
