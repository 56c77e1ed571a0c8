"""Where `sim`'s prepared preferences meet `llm`'s network: neither knows the other."""

from __future__ import annotations

import numpy as np

from llm.networks.shared_network import NetworkFit, NetworkSettings, fit_shared_network
from sim.fitting.method import Task
from sim.fitting.methods.shared import Shared
from sim.fitting.prepare import Prepared
from sim.fitting.reward_model import RewardModel
from sim.fitting.splits import effective_weights, hold_out
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream


class SharedNetwork(Shared):
    """A learned representation psi in the place of the linear subspace, at the rank and ridge chosen for that: rewards
    linear in [features, psi], psi's part being one's own."""

    name = "shared-network"
    title = "shared network"
    like = "shared"
    takes_choices = False

    def fit_rows(self, prepared: Prepared, rows: BoolArray, size: int, ridge: float, task: Task) -> RewardModel:
        centre = task.centre
        assert centre is not None
        fitted = fit_prepared(prepared, rows, size, ridge, centre, task.stream.child("network"))
        k = fitted.heads.shape[1]
        wide = np.concatenate([centre, np.zeros(k)])
        subspace = np.vstack([np.zeros((len(centre), k)), np.eye(k)])
        theta = wide + fitted.heads @ subspace.T
        # Nobody has answers of hers here whom the fit did not see: her head is what it started from.
        theta[np.bincount(prepared.annotator[rows], minlength=prepared.n_annotators) == 0] = wide
        return RewardModel(wide, theta, k, ridge, subspace=subspace, represent=fitted.represent)


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

    kept, held = hold_out(prepared.table, rows, 1 / 3, stream.child("validation"), prepared.hold_out)
    settings = NetworkSettings()
    if kept.any() and held.any():
        trace = fit(kept, held, settings).held_out
        settings = NetworkSettings(epochs=int(np.argmax(trace)) + 1)
    return fit(rows, None, settings)
