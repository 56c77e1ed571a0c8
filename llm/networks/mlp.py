"""The torch MLP of Table 1 (arXiv 2405.15065) behind the protocol of `sim.policies`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

from sim.arguments import require_positive, weight_array
from sim.policies.finite import RewardPolicy
from sim.preferences import AnyArray, FloatArray, Observations, PreferencePairs
from sim.streams import Stream


@dataclass(frozen=True)
class MLPTraining:
    """How `MLPPolicy.fit` runs.

    normalised: loss = -sum_j v_j LS_j / sum_j v_j, equal strength for a large and a small group; otherwise
    -sum_j v_j LS_j / n over all n answers, the plain sum up to a constant.  l2: adds 0.5 l2 ||parameters||^2.
    Adam at `rate`, full batch, at most `epochs`, until the loss changes by less than `tolerance`.
    keep_best: end at the lowest loss seen, the start included, so that a fit never makes its loss worse.
    """

    normalised: bool = True
    l2: float = 1e-3
    rate: float = 0.01
    epochs: int = 1000
    tolerance: float = 1e-6
    keep_best: bool = True

    def __post_init__(self) -> None:
        require_positive(rate=self.rate)
        if not self.l2 >= 0 or not self.tolerance >= 0:
            raise ValueError(f"l2 and tolerance must not be negative (got {self.l2}, {self.tolerance})")
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1 (got {self.epochs})")


LITERAL = MLPTraining(normalised=False, l2=0.0, keep_best=False)
"""Table 1 as printed. Activation, tolerance, start and batch are not given there: ReLU, 1e-6, torch's default
initialisation and the full batch are this package's reading."""


class MLPPolicy(RewardPolicy):
    """log pi(a|x) = f_a(x) - logsumexp f(x) with f an MLP: `dimension`, two hidden layers of 10, `n_actions`.

    The reference is uniform, so beta log(pi / pi_ref) = beta f_a(x) up to a term in x alone. Contexts (n, d)
    and responses (n,) cross the border as NumPy arrays and numbers come back in float64; the network computes
    in `dtype`. All parameters are one vector: a snapshot is a copy, the penalty one product, Adam one step.
    """

    def __init__(
        self,
        dimension: int,
        n_actions: int,
        *,
        beta: float = 1.0,
        hidden: int = 10,
        training: MLPTraining | None = None,
        stream: Stream | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """stream: keys torch's default initialisation; the process's own torch generator is left alone."""
        require_positive(beta=beta)
        if min(dimension, hidden) < 1 or n_actions < 2:
            raise ValueError(
                f"need dimension and hidden of at least 1 and two actions (got {dimension}, {hidden}, {n_actions})"
            )
        self.beta, self.n_actions, self.dimension = beta, n_actions, dimension
        self.training = training or MLPTraining()
        self._shapes = ((hidden, dimension), (hidden,), (hidden, hidden), (hidden,), (n_actions, hidden), (n_actions,))
        self.parameters = _default_start((dimension, hidden, hidden, n_actions), stream or Stream(role="mlp"), dtype)
        self.epochs_run = 0
        self._answers_fitted = 0
        self._prepared: tuple[Observations, torch.Tensor, torch.Tensor] | None = None

    def _outputs(self, parameters: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        parts = torch.split(parameters, [int(np.prod(shape)) for shape in self._shapes])
        w1, b1, w2, b2, w3, b3 = (part.view(shape) for part, shape in zip(parts, self._shapes, strict=True))
        inner = functional.relu(functional.linear(contexts, w1, b1))
        inner = functional.relu(functional.linear(inner, w2, b2))
        return functional.linear(inner, w3, b3)

    def rewards(self, contexts: AnyArray) -> FloatArray:
        """beta f(x); (n, n_actions)."""
        with torch.no_grad(), _one_thread():
            outputs = self._outputs(self.parameters, torch.as_tensor(contexts, dtype=self.parameters.dtype))
        return np.asarray(self.beta * outputs.numpy().astype(np.float64))

    def implicit_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """beta f_a(x), which is beta log(pi / pi_ref) up to a term in x alone; (n,)."""
        return np.asarray(self.rewards(contexts)[np.arange(len(responses)), responses])

    def reference_log_probabilities(self, contexts: AnyArray) -> FloatArray:
        return np.full((len(contexts), self.n_actions), -np.log(self.n_actions))

    def fit(self, observations: Observations, weights: FloatArray) -> None:
        """Weighted DPO from the present parameters with a fresh Adam; `epochs_run` says how long it took."""
        weights = weight_array("weights", weights, len(observations))
        if not weights.any():
            return
        contexts, offered = self._tensors(observations)
        n_ranked = 1 if isinstance(observations, PreferencePairs) else observations.n_ranked
        # Answers of weight zero add nothing to the loss and would cost as much as any other.
        kept = torch.from_numpy(np.flatnonzero(weights))
        contexts, offered = contexts[kept], offered[kept]
        mass = torch.as_tensor(weights, dtype=self.parameters.dtype)[kept]
        total = float(weights.sum()) if self.training.normalised else float(len(weights))
        self._answers_fitted = len(observations)
        with _one_thread():
            self._descend(contexts, offered, mass / total, n_ranked)

    def _descend(self, contexts: torch.Tensor, offered: torch.Tensor, share: torch.Tensor, n_ranked: int) -> None:
        training, parameters = self.training, self.parameters.clone().requires_grad_(True)
        # The fused step is one call for the one vector: epochs are dominated by overhead at this size.
        adam = torch.optim.Adam([parameters], lr=training.rate, fused=True)
        best, lowest, last = self.parameters, np.inf, np.inf
        for epoch in range(training.epochs + 1):
            adam.zero_grad(set_to_none=True)
            utility = self.beta * self._outputs(parameters, contexts).gather(1, offered)
            loss = -(share @ _log_likelihood(utility, n_ranked))
            if training.l2 > 0:
                loss = loss + 0.5 * training.l2 * (parameters @ parameters)
            value = float(loss.detach())
            if training.keep_best and value < lowest:
                best, lowest = parameters.detach().clone(), value
            if epoch == training.epochs or abs(value - last) < training.tolerance:
                break
            last = value
            loss.backward()
            adam.step()
        self.epochs_run = epoch
        self.parameters = best if training.keep_best else parameters.detach().clone()

    def _tensors(self, observations: Observations) -> tuple[torch.Tensor, torch.Tensor]:
        """Contexts (n, d) and offered actions (n, J), kept: EM fits every round on the same answers."""
        if self._prepared is None or self._prepared[0] is not observations:
            offered = (
                np.stack([observations.chosen, observations.rejected], axis=1)
                if isinstance(observations, PreferencePairs)
                else observations.responses
            )
            contexts = torch.as_tensor(observations.contexts, dtype=self.parameters.dtype)
            self._prepared = (observations, contexts, torch.as_tensor(offered, dtype=torch.int64))
        return self._prepared[1:]

    def penalty(self, group_mass: float) -> float:
        """0.5 l2 ||parameters||^2 times the loss's denominator: the group's mass, or all answers if literal."""
        scale = group_mass if self.training.normalised else float(self._answers_fitted)
        return 0.5 * self.training.l2 * scale * float(self.parameters @ self.parameters)

    def snapshot(self) -> torch.Tensor:
        return self.parameters.clone()

    def restore(self, state: torch.Tensor) -> None:
        self.parameters = state.clone()


def _log_likelihood(utility: torch.Tensor, n_ranked: int) -> torch.Tensor:
    """Plackett-Luce of utilities in ranked order (n, J); pairs are log sigma of the difference."""
    if utility.shape[1] == 2:
        return functional.logsigmoid(utility[:, 0] - utility[:, 1])
    places = range(min(n_ranked, utility.shape[1] - 1))
    return torch.stack([utility[:, s] - torch.logsumexp(utility[:, s:], dim=1) for s in places]).sum(dim=0)


def _default_start(widths: tuple[int, ...], stream: Stream, dtype: torch.dtype) -> torch.Tensor:
    """torch's default start of `Linear` layers as one vector, drawn from the stream's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream.integer_seed())
        layers = [torch.nn.Linear(a, b, dtype=dtype) for a, b in pairwise(widths)]
        return torch.cat([p.detach().reshape(-1) for layer in layers for p in (layer.weight, layer.bias)])


@contextmanager
def _one_thread() -> Iterator[None]:
    """A network this small loses time, and on a shared machine stalls, with more than one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
