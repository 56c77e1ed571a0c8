"""Words as features: tf-idf, and the leading directions of the training texts.

    w_tj = (1 + log n_tj) (1 + log((1 + N) / (1 + N_t))),   each text's w of length 1,   phi_j = w_j' V

n_tj: how often word t stands in text j; N_t: how many of the N training texts have it; V: right singular vectors of the
training texts' w. Nothing is learned from any other text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from sim.preferences import AnyArray, FloatArray

# A word that was met once in training tells one answer, and no other.
LEAST_MET, MOST_WORDS = 2, 10_000
# A longer run of letters is no word, and an array of words gives each as much room as the longest.
_LONGEST = 40
_WORD = re.compile(r"\w+(?:['’]\w+)*")
# Values, and entries, whose relative difference is below it are equal.
_EQUAL = 1e-8
_DENSE = 500


def words_of(text: str) -> list[str]:
    """Letters, digits and apostrophes inside, in lower case; longer ones by their first 40 letters."""
    return [word[:_LONGEST] for word in _WORD.findall(text.lower())]


@dataclass(frozen=True, eq=False)
class WordFeatures:
    """vocabulary (n_words,), idf (n_words,), directions (n_words, d) float32, strongest first."""

    vocabulary: tuple[str, ...]
    idf: FloatArray
    directions: AnyArray

    @property
    def dimension(self) -> int:
        return int(self.directions.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"words_{j + 1}" for j in range(self.dimension))

    def of(self, texts: Sequence[str]) -> FloatArray:
        """(n, d); a text without a known word is zero."""
        weights = tf_idf(texts, self.vocabulary, self.idf)
        return np.asarray(weights @ self.directions.astype(np.float64))

    def first(self, dimension: int) -> WordFeatures:
        """Only the strongest directions."""
        return replace(self, directions=self.directions[:, :dimension])

    def arrays(self) -> dict[str, AnyArray]:
        return {"vocabulary": np.array(self.vocabulary), "idf": self.idf, "directions": self.directions}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray]) -> WordFeatures:
        return cls(tuple(arrays["vocabulary"].tolist()), arrays["idf"], arrays["directions"])


def learn_words(texts: Sequence[str], largest: int, uses: Sequence[int] | None = None) -> WordFeatures:
    """Vocabulary, idf and up to `largest` directions of these texts alone; fewer where they do not span as many.

    uses: how many answers each text is in, once if None.  Words of a single use are left out unless all are, and beyond
    10,000 those of the fewest texts.
    """
    own = [set(words_of(text)) for text in texts]
    seen: Counter[str] = Counter(word for words in own for word in words)
    met: Counter[str] = Counter()
    for words, count in zip(own, [1] * len(own) if uses is None else uses, strict=True):
        met.update(dict.fromkeys(words, count))
    often = [word for word in seen if met[word] >= LEAST_MET] or list(seen)
    vocabulary = tuple(sorted(sorted(often, key=lambda word: (-seen[word], word))[:MOST_WORDS]))
    share = np.array([seen[word] for word in vocabulary], dtype=np.float64)
    idf = 1.0 + np.log((1.0 + len(texts)) / (1.0 + share))
    weights = tf_idf(texts, vocabulary, idf)
    return WordFeatures(vocabulary, idf, leading_directions(weights, largest).astype(np.float32))


def tf_idf(texts: Iterable[str], vocabulary: Sequence[str], idf: FloatArray) -> Any:
    """(n, n_words) sparse, rows of length 1 or zero."""
    place = {word: number for number, word in enumerate(vocabulary)}
    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for text in texts:
        counts = Counter(place[word] for word in words_of(text) if word in place)
        own = {column: (1.0 + np.log(count)) * idf[column] for column, count in sorted(counts.items())}
        length = float(np.sqrt(sum(value * value for value in own.values())))
        columns += own
        values += [value / length for value in own.values()]
        ends.append(len(columns))
    shape = (len(ends) - 1, len(vocabulary))
    return csr_array((np.array(values), np.array(columns, dtype=np.int64), np.array(ends)), shape=shape)


def leading_directions(weights: Any, largest: int) -> FloatArray:
    """(n_words, d) right singular vectors, the largest value first, each with its largest entry positive; those of no
    variance left out, so that d <= min(largest, rank)."""
    if min(weights.shape) == 0:
        return np.zeros((weights.shape[1], 0))
    dense = max(_DENSE, largest + 1)
    if weights.shape[1] <= dense:
        # However many texts there are.
        squares, columns = np.linalg.eigh((weights.T @ weights).toarray())
        values, rows = np.sqrt(np.maximum(squares[::-1], 0.0)), columns.T[::-1]
    elif weights.shape[0] <= dense:
        _, values, rows = np.linalg.svd(weights.toarray(), full_matrices=False)
    else:
        start = np.ones(min(weights.shape)) / np.sqrt(min(weights.shape))
        _, values, rows = svds(weights, k=largest, v0=start)
        order = np.argsort(-values, kind="stable")
        values, rows = values[order], rows[order]
    kept = values > 1e-7 * max(values.max(), 1e-300)
    return with_signs(settled(values[kept], rows[kept], largest).T)


def settled(values: FloatArray, rows: FloatArray, largest: int) -> FloatArray:
    """The first `largest` of singular vectors (k, width), but those of equal values turned into a basis that the space
    alone decides.

    Where words are met equally often and apart, as in texts from a template, values are equal; which vectors of that
    space a decomposition gives is a matter of rounding, and the number of directions kept would cut it anywhere.
    """
    found = rows.copy()
    ends = np.flatnonzero(-np.diff(values) > _EQUAL * values[:-1]) + 1
    for own in np.split(np.arange(len(values)), ends):
        if len(own) > 1 and own[0] < largest:
            found[own] = _basis(rows[own])
    return found[:largest]


def _basis(rows: FloatArray) -> FloatArray:
    """An orthonormal basis of the span of orthonormal rows: in turn the coordinate axis that lies nearest to it, the
    first of those that lie alike, projected on it, and taken out of it."""
    left, found = rows.copy(), np.empty_like(rows)
    for number in range(len(rows)):
        sizes = np.einsum("ij,ij->j", left, left)
        axis = left[:, int(np.argmax(sizes >= (1.0 - _EQUAL) * sizes.max()))]
        found[number] = axis @ left / np.linalg.norm(axis @ left)
        # Twice, so that what is left is orthogonal to it but for rounding.
        for _ in range(2):
            left = left - np.outer(left @ found[number], found[number])
    return found


def with_signs(directions: FloatArray) -> FloatArray:
    """The same with the largest entry of each column, the first of those that are alike, positive: a decomposition
    leaves signs open."""
    if directions.size == 0:
        return directions
    size = np.abs(directions)
    largest = directions[np.argmax(size >= (1.0 - _EQUAL) * size.max(axis=0), axis=0), np.arange(directions.shape[1])]
    return np.asarray(directions * np.where(largest < 0, -1.0, 1.0))
