"""Counter-based random streams: every number is a function of (seed, cell, replicate, role, index).

Philox4x32-10 under a 64-bit key, the BLAKE2b digest of (seed, cell, role); the 128-bit counter holds the
index (64 bits) and the replicate (64 bits). Within a key no two numbers share a counter, by construction;
two of N keys coincide with probability about N^2 / 2^65. Nothing depends on threads, workers or order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from sim.arguments import whole_number
from sim.preferences import FloatArray, IntArray

_MASK = (1 << 32) - 1
# Below this size the start of a parallel region costs more than it saves.
_PARALLEL_FROM = 1 << 17


@dataclass(frozen=True)
class Stream:
    """A stream's identity. `replicate` is a number from 0; `cell` and `role` are free text."""

    seed: int = 0
    cell: str = ""
    replicate: int = 0
    role: str = ""

    def __post_init__(self) -> None:
        # True and 1.0 would be seeds of their own, other than 1's.
        if type(self.seed) is not int:
            object.__setattr__(self, "seed", whole_number("seed", self.seed))
        if self.replicate < 0 or self.replicate >= 1 << 64:
            raise ValueError(f"replicate must lie in 0..2^64-1 (got {self.replicate})")

    def at(self, *, cell: str | None = None, replicate: int | None = None, role: str | None = None) -> Stream:
        """The stream with the named keys replaced."""
        return replace(
            self,
            cell=self.cell if cell is None else cell,
            replicate=self.replicate if replicate is None else replicate,
            role=self.role if role is None else role,
        )

    def child(self, role: str) -> Stream:
        """A stream of its own for one use inside this role."""
        return replace(self, role=f"{self.role}/{role}")

    @property
    def key(self) -> tuple[int, int]:
        """The two 32-bit words of Philox's key."""
        digest = int.from_bytes(self._digest(8), "little")
        return digest & _MASK, digest >> 32

    def _digest(self, size: int) -> bytes:
        # Lengths stand before the texts, so that no two identities write the same bytes.
        identity = f"{self.seed}:{len(self.cell)}:{self.cell}:{len(self.role)}:{self.role}"
        return hashlib.blake2b(identity.encode(), digest_size=size).digest()

    def uniforms(self, shape: int | tuple[int, ...], start: int = 0) -> FloatArray:
        """Uniform on (0, 1), 53 bits; the i-th number depends on start + i alone."""
        # Imported at the first draw: the command line's help needs no compiled code.
        from sim.compiled.philox import fill_parallel, fill_serial

        k0, k1 = self.key
        out = np.empty(prod(shape) if isinstance(shape, tuple) else shape)
        fill = fill_parallel if out.size >= _PARALLEL_FROM else fill_serial
        fill(out, start, np.uint64(self.replicate), np.uint64(k0), np.uint64(k1))
        return out.reshape(shape)

    def normals(self, shape: int | tuple[int, ...], start: int = 0) -> FloatArray:
        """Standard normal, by the inverse distribution function (one uniform a number)."""
        from scipy.special import ndtri

        return np.asarray(ndtri(self.uniforms(shape, start)))

    def gumbels(self, shape: int | tuple[int, ...], start: int = 0) -> FloatArray:
        """Standard Gumbel: -log(-log U)."""
        return -np.log(-np.log(self.uniforms(shape, start)))

    def integers(self, high: int, shape: int | tuple[int, ...], start: int = 0) -> IntArray:
        """Uniform on 0..high-1 (bias below high / 2^53)."""
        if high < 1:
            raise ValueError(f"high must be at least 1 (got {high})")
        return np.minimum((self.uniforms(shape, start) * high).astype(np.int64), high - 1)

    def choice(self, probabilities: FloatArray, shape: int | tuple[int, ...], start: int = 0) -> IntArray:
        """Index k with probability probabilities[k], by the inverse distribution function."""
        edges = np.cumsum(probabilities)
        if not (edges.size and 0 < edges[-1] < np.inf and np.min(probabilities) >= 0):
            raise ValueError(f"probabilities must be (n,), none negative, of positive sum (got {probabilities!r})")
        drawn = np.searchsorted(edges / edges[-1], self.uniforms(shape, start), side="right")
        return np.asarray(np.minimum(drawn, len(edges) - 1), dtype=np.int64)

    def permutation(self, n: int) -> IntArray:
        """A uniform permutation of 0..n-1 (the order of n uniforms)."""
        return np.argsort(self.uniforms(n), kind="stable")

    def generator(self) -> np.random.Generator:
        """A NumPy generator (Philox4x64) keyed by the same identity, for library calls."""
        digest = hashlib.blake2b(self._digest(16) + self.replicate.to_bytes(8, "little"), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))

    def integer_seed(self) -> int:
        """A seed in 0..2^31-1 for libraries that want an integer."""
        return int(self.generator().integers(0, 2**31))
