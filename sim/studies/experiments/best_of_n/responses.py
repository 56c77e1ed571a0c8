"""Features of a language model's responses: drawn, or a user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.fitting.text_features.cache import kept_arrays
from sim.preferences import BoolArray, FloatArray
from sim.running.fingerprint import content_of
from sim.streams import Stream

# draw(count, odd allowed, stream) -> (features (count, d), which are odd (count,)).
Draw = Callable[[int, bool, Stream], tuple[FloatArray, BoolArray]]


@dataclass(frozen=True)
class Spectrum:
    """The law of drawn responses, see `BestOfNSetting`."""

    directions: int
    rare: int
    odd: float
    tau: float
    reach: float
    decay: float
    tail: float

    def draw(self, count: int, with_odd: bool, stream: Stream) -> tuple[FloatArray, BoolArray]:
        """phi = s (j^(-decay / 2) g_j), s^2 = (tail - 2) / chi2_tail, so that variances do not depend on the tails; the
        last `rare` directions have standard deviation tau, or reach in an odd response, without the factor s."""
        usual = self.directions - self.rare
        sd = np.arange(1, usual + 1, dtype=np.float64) ** (-0.5 * self.decay)
        rng = stream.generator()
        noise = rng.standard_normal((count, self.directions))
        # Without tails s is 1.
        length = np.ones(count)
        if np.isfinite(self.tail):
            length = np.sqrt((self.tail - 2.0) / rng.chisquare(self.tail, count))
        odd = (rng.random(count) < self.odd) & with_odd
        apart = np.where(odd, self.reach, self.tau)
        return np.concatenate([noise[:, :usual] * sd * length[:, None], noise[:, usual:] * apart[:, None]], axis=1), odd


@dataclass(frozen=True, eq=False)
class Stored:
    """Responses somebody has: features (M, d) around the usual ones' mean, and which are odd (M,)."""

    features: FloatArray
    odd: BoolArray

    def draw(self, count: int, with_odd: bool, stream: Stream) -> tuple[FloatArray, BoolArray]:
        """Rows at random, with replacement."""
        rows = np.arange(len(self.odd)) if with_odd else np.flatnonzero(~self.odd)
        own = rows[stream.integers(len(rows), count)]
        return self.features[own], self.odd[own]


def require_features(path: str, directions: int, odd: float) -> None:
    """InputError, or that `stored` can be made of the file."""
    stored(path, directions, 1, odd)


def stored(path: str, directions: int, rare: int, odd: float) -> Stored:
    """`_stored` of what the file holds now: a worker outlives many runs, and files that change between them."""
    return _stored(path, content_of(Path(path)), directions, rare, odd)


@lru_cache(maxsize=4)
def _stored(path: str, content: str, directions: int, rare: int, odd: float) -> Stored:
    """The leading principal directions of a table of features, the first with standard deviation 1; odd are the share
    `odd` of rows whose sum of squares in the last `rare` of them, each by its own variance, is largest.

    content: digest of the file's bytes, by which it is kept.
    """
    table = _read(path)
    if len(table) < max(20, 2 * directions) or table.shape[1] < directions:
        raise InputError(
            f"expected at least {max(20, 2 * directions)} responses with {directions} features, got {len(table)} with "
            f"{table.shape[1]}", file=path, field="file", fix="ask for fewer directions, or give more responses",
        )  # fmt: skip
    if not np.isfinite(table).all():
        raise InputError("a feature is not a finite number", file=path, field="file", fix="leave such responses out")
    centred = table - table.mean(axis=0)
    _, values, rows = np.linalg.svd(centred, full_matrices=False)
    if values[directions - 1] <= 1e-9 * values[0]:
        varied = int((values > 1e-9 * values[0]).sum())
        raise InputError(
            f"responses vary in {varied} directions, and {directions} are asked for", file=path, field="file",
            fix="ask for fewer directions",
        )  # fmt: skip
    found = centred @ rows[:directions].T
    far = ((found / found.std(axis=0))[:, directions - rare :] ** 2).sum(axis=1)
    is_odd = np.zeros(len(far), dtype=bool)
    is_odd[np.argsort(-far, kind="stable")[: round(odd * len(far))]] = True
    found = (found - found[~is_odd].mean(axis=0)) / found[:, 0].std()
    return Stored(found, is_odd)


def _read(path: str) -> FloatArray:
    """(M, d) of a .npy file, or of what the features cache keeps (`encoded`)."""
    fix = "give a .npy file, a row a response, or a file of the features cache"
    if Path(path).suffix == ".arrays":
        kept = kept_arrays(Path(path))
        if kept is None or "encoded" not in kept:
            raise InputError("is no whole file of encoded texts", file=path, field="file", fix=fix)
        table: Any = kept["encoded"]
    else:
        try:
            table = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError("cannot be read as a table of features", file=path, field="file", fix=fix) from error
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind not in "fiu":
        raise InputError("expected a table of numbers, a row a response", file=path, field="file", fix=fix)
    return table.astype(np.float64)
