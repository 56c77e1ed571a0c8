"""Annotators whose rewards live in one low-dimensional subspace, and populations where that fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sim.arguments import float_array, require_choice, require_count, require_not_negative, require_positive
from sim.environments.trajectory_pool import sign_answers
from sim.preferences import FloatArray
from sim.streams import Stream

# diverse: heads uniform on the sphere.  line: all heads on one line (assumption A2 fails).  deficient: heads in k - 1
# of the k dimensions (A2 fails too).  independent: no common subspace at all (A1 fails).
Layout = Literal["diverse", "line", "deficient", "independent"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


@dataclass(frozen=True, eq=False)
class SharedRepresentation:
    """subspace (d, k), orthonormal columns; theta (N, d) = heads @ subspace.T, each of one length."""

    subspace: FloatArray
    theta: FloatArray

    def __post_init__(self) -> None:
        float_array("subspace", self.subspace, ("d", "k"))
        float_array("theta", self.theta, ("N", len(self.subspace)))

    @property
    def heads(self) -> FloatArray:
        return np.asarray(self.theta @ self.subspace)

    @property
    def diversity(self) -> float:
        """sigma_k(Theta)^2 k / N, assumption A2's constant; at most the squared length of a head."""
        k = self.subspace.shape[1]
        return float(np.linalg.svd(self.heads, compute_uv=False)[k - 1] ** 2 * k / len(self.theta))

    def answers(self, per_annotator: int, stream: Stream) -> FloatArray:
        """Signed feature differences of Bradley-Terry answers about N(0, I) differences; (N, per_annotator, d)."""
        require_count("per_annotator", per_annotator)
        generator = stream.child("differences").generator()
        shape = (len(self.theta), per_annotator, self.theta.shape[1])
        return sign_answers(generator.standard_normal(shape), self.theta, stream)


def random_subspace(d: int, k: int, stream: Stream) -> FloatArray:
    """Uniform over k-dimensional subspaces; (d, k) with orthonormal columns."""
    require_count("d", d)
    require_count("k", k, 1, d)
    return np.asarray(np.linalg.qr(stream.normals((d, k)))[0])


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def shared_population(
    n_annotators: int, d: int, k: int, stream: Stream, *, length: float = 1.5, layout: Layout = "diverse"
) -> SharedRepresentation:
    """N annotators with |theta_i| = `length`; see `Layout` for which assumption of the paper a layout breaks."""
    require_count("n_annotators", n_annotators)
    require_positive(length=length)
    require_choice("layout", layout, LAYOUTS)
    subspace = random_subspace(d, k, stream.child("subspace"))
    if layout == "independent":
        return SharedRepresentation(subspace, length * _unit(stream.child("theta").normals((n_annotators, d))))
    heads = stream.child("heads").normals((n_annotators, k))
    if layout == "line":
        heads[:, 1:] = 0.0
    elif layout == "deficient":
        heads[:, k - 1] = 0.0
    return SharedRepresentation(subspace, length * _unit(heads) @ subspace.T)


def clustered_heads(
    n_annotators: int, n_clusters: int, stream: Stream, *, length: float = 1.5, spread: float = 0.15
) -> FloatArray:
    """Heads in the plane around equally spaced centres on a circle, annotator i in cluster i mod K; (N, 2)."""
    require_count("n_annotators", n_annotators)
    require_count("n_clusters", n_clusters)
    require_not_negative(length=length, spread=spread)
    angle = 2.0 * np.pi * (np.arange(n_annotators) % n_clusters) / n_clusters
    centres = length * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(centres + spread * stream.child("spread").normals((n_annotators, 2)))
