"""What an encoder makes of a text, in its leading directions over the training texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sim.errors import InputError
from sim.files.atomic import Json
from sim.fitting.text_features.cache import cached
from sim.fitting.text_features.words import settled, with_signs
from sim.preferences import AnyArray, FloatArray


class TextEncoder(Protocol):
    """Texts as numbers, learned elsewhere and used as it is.

    kind: embedding or hidden.  place: the model's name or folder, for readers.  identity: what makes two encoders the
    same one, a digest of the model among it.
    """

    @property
    def kind(self) -> str: ...

    @property
    def place(self) -> str: ...

    @property
    def identity(self) -> Mapping[str, Json]: ...

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(n, width)."""
        ...


def encoded(encoder: TextEncoder, texts: Sequence[str]) -> FloatArray:
    """`encoder.encode`, each list of texts once (`cached`); (n, width).

    Errors: InputError where a number is not finite.
    """
    # What models compute in; half the room in the cache.
    made = cached(encoder.identity, (texts,), lambda: {"encoded": np.asarray(encoder.encode(texts), dtype=np.float32)})
    found = made["encoded"].astype(np.float64)
    if not np.isfinite(found).all():
        odd = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise InputError(
            f"features: the model makes no finite numbers of a text ('{' '.join(texts[odd].split())[:40]}')",
            file=encoder.place, fix="give another model, or leave the text out",
        )  # fmt: skip
    return found


@dataclass(frozen=True, eq=False)
class EncodedFeatures:
    """phi_j = (e_j - mean)' V; mean (width,), directions V (width, d) float32, strongest first."""

    encoder: TextEncoder
    mean: FloatArray
    directions: AnyArray

    @property
    def dimension(self) -> int:
        return int(self.directions.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.encoder.kind}_{j + 1}" for j in range(self.dimension))

    def of(self, texts: Sequence[str]) -> FloatArray:
        """(n, d)."""
        found = encoded(self.encoder, texts)
        if found.shape[1] != len(self.mean):
            raise InputError(
                f"features: the model gives {found.shape[1]} numbers a text, and the fit knows {len(self.mean)}",
                file=self.encoder.place, fix="give the model of the fit",
            )  # fmt: skip
        return np.asarray((found - self.mean) @ self.directions.astype(np.float64))

    def first(self, dimension: int) -> EncodedFeatures:
        """Only the strongest directions."""
        return replace(self, directions=self.directions[:, :dimension])

    def arrays(self) -> dict[str, AnyArray]:
        return {"mean": self.mean, "directions": self.directions}


def learn_directions(encoder: TextEncoder, vectors: FloatArray, largest: int) -> EncodedFeatures:
    """Mean and up to `largest` principal directions of what the encoder made of the training texts, (n, width)."""
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    if len(centred) > centred.shape[1]:
        squares, rows = np.linalg.eigh(centred.T @ centred)
        values, rows = np.sqrt(np.maximum(squares[::-1], 0.0)), rows.T[::-1]
    else:
        _, values, rows = np.linalg.svd(centred, full_matrices=False)
    # A square root of rounding errors is no direction.
    kept = values > 1e-6 * max(float(np.abs(vectors).max()), 1e-300)
    return EncodedFeatures(encoder, mean, with_signs(settled(values[kept], rows[kept], largest).T).astype(np.float32))
