"""Sentiment of a response: a classifier trained on labelled reviews, and a lexicon that needs no data."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm.base.folder_format import checksums, read_stamped, require_unchanged, stamped
from llm.base.plain_text import tidy
from sim.errors import InputError, require_whole
from sim.files.atomic import replacing, write_json
from sim.install import install_line
from sim.preferences import FloatArray, IntArray
from sim.reading import bounded, load_json
from sim.streams import Stream

# The format of sentiment.json before it and its arrays had checksums; such a file is read as it is.
_BEFORE = 1
_AGAIN = "run make-imdb again"
_CROP_WORDS = 30


def read_reviews(path: str | Path, limit: int | None = None) -> tuple[list[str], IntArray]:
    """(texts, labels 1 for pos and 0 for neg) of a .jsonl or .jsonl.gz file with `text` and `label`."""
    place = Path(path)
    if not place.is_file():
        raise InputError("no such file", file=place, fix="check the path")
    texts: list[str] = []
    labels: list[int] = []
    opener = gzip.open if place.name.endswith(".gz") else open
    row = 0
    try:
        with opener(place, "rt", encoding="utf-8") as lines:
            for row, line in enumerate(bounded(lines, place), start=1):
                if limit is not None and len(texts) >= limit:
                    break
                content = load_json(line)
                if not isinstance(content, dict) or not isinstance(content.get("text"), str):
                    raise InputError("expected a text", file=place, row=row, field="text", fix="fill it in")
                if content.get("label") not in ("pos", "neg"):
                    raise InputError(
                        f"expected pos or neg, got {content.get('label')!r}", file=place, row=row, field="label",
                        fix="give a file of labelled reviews",
                    )  # fmt: skip
                require_whole(content["text"], {"file": place, "row": row, "field": "text"})
                texts.append(tidy(content["text"]))
                labels.append(int(content["label"] == "pos"))
    except InputError:
        raise
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"cannot be read ({error})", file=place, row=row, fix="copy it again") from error
    return texts, np.array(labels, dtype=np.int64)


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    p, s = right / n, z * z / n
    half = z * np.sqrt(p * (1 - p) / n + s / (4 * n))
    return float((p + s / 2 - half) / (1 + s)), float((p + s / 2 + half) / (1 + s))


@dataclass(frozen=True, eq=False)
class SentimentScorer:
    """Log-odds of "positive" of a response: TF-IDF of words and word pairs, logistic regression (scikit-learn).

    accuracy, accuracy_crops: on reviews that were not trained on, whole and in windows of 30 words, each
    (share, low, high).  Trained on whole reviews and such windows, because responses are short.
    """

    vectorizer: Any
    coefficients: FloatArray
    intercept: float
    accuracy: tuple[float, float, float]
    accuracy_crops: tuple[float, float, float]
    name: str = "sentiment"

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> FloatArray:
        """(n,) log-odds; the prompt, common to both responses of a pair, is not looked at."""
        return np.asarray(self.vectorizer.transform(list(responses)) @ self.coefficients + self.intercept)

    @staticmethod
    def train(
        texts: Sequence[str], labels: IntArray, stream: Stream, held_out: float = 0.2, features: int = 60_000
    ) -> SentimentScorer:
        """Fit on 1 - held_out of the reviews and judge on the rest."""
        from sklearn.linear_model import LogisticRegression

        if len(texts) < 20 or len(np.unique(labels)) < 2:
            raise InputError(
                f"a sentiment classifier needs at least 20 reviews of both labels (got {len(texts)})", fix="give more"
            )
        order = stream.child("held-out").permutation(len(texts))
        judged, taught = np.split(order, [max(1, round(held_out * len(texts)))])
        crops = _crops(texts, stream.child("crops"))
        whole = [texts[j] for j in taught] + [crops[j] for j in taught]
        vectorizer = _vectorizer(features, min_df=3 if len(taught) > 1000 else 1)
        matrix = vectorizer.fit_transform(whole)
        fitted = LogisticRegression(C=4.0, max_iter=200).fit(matrix, np.concatenate([labels[taught]] * 2))
        coefficients, intercept = fitted.coef_[0].copy(), float(fitted.intercept_[0])

        def accuracy(rows: Sequence[str]) -> tuple[float, float, float]:
            guess = vectorizer.transform(rows) @ coefficients + intercept > 0
            right = int((guess == (labels[judged] == 1)).sum())
            return right / len(judged), *wilson(right, len(judged))

        return SentimentScorer(
            vectorizer, coefficients, intercept, accuracy([texts[j] for j in judged]),
            accuracy([crops[j] for j in judged]),
        )  # fmt: skip

    def save(self, folder: str | Path) -> None:
        """sentiment.json (vocabulary, accuracies) and sentiment.npz (idf, coefficients): no pickle."""
        place = Path(folder)
        with replacing(place / "sentiment.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, idf=self.vectorizer.idf_, coefficients=self.coefficients)
        write_json(place / "sentiment.json", stamped({
            "files": checksums(place, ["sentiment.npz"]),
            "intercept": self.intercept,
            "accuracy": self.accuracy,
            "accuracy_crops": self.accuracy_crops,
            "vocabulary": {word: int(column) for word, column in self.vectorizer.vocabulary_.items()},
        }))  # fmt: skip

    @staticmethod
    def load(folder: str | Path) -> SentimentScorer:
        """A saved scorer; its scores are equal to the original's."""
        place = Path(folder)
        try:
            content = _read(place)
            with np.load(place / "sentiment.npz", allow_pickle=False) as arrays:
                idf, coefficients = arrays["idf"], arrays["coefficients"]
            if len(idf) != len(content["vocabulary"]) or len(coefficients) != len(idf):
                raise ValueError("sizes differ")
            vectorizer = _vectorizer(None, 1, content["vocabulary"])
            vectorizer.idf_ = idf
            return SentimentScorer(
                vectorizer, coefficients, float(content["intercept"]), tuple(content["accuracy"]),
                tuple(content["accuracy_crops"]),
            )  # fmt: skip
        except InputError:
            raise
        except OSError as error:
            raise InputError("holds no saved sentiment scorer", file=place, fix=_AGAIN) from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"is not a sentiment scorer of this version ({error})", file=place) from error


def _read(place: Path) -> dict[str, Any]:
    """sentiment.json, as it and sentiment.npz were written."""
    path = place / "sentiment.json"
    content = load_json(path.read_text(encoding="utf-8"))
    if isinstance(content, dict) and content.get("format") == _BEFORE:
        return content
    content = read_stamped(path, _AGAIN)
    require_unchanged(place, content["files"], _AGAIN)
    return content


def _vectorizer(features: int | None, min_df: int, vocabulary: dict[str, int] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, min_df=min_df, max_features=features, vocabulary=vocabulary,
        token_pattern=r"(?u)\b\w[\w']*\b",
    )  # fmt: skip


def _crops(texts: Sequence[str], stream: Stream) -> list[str]:
    """A window of 30 words of each text, at a random place."""
    places = stream.uniforms(len(texts))
    out = []
    for text, place in zip(texts, places.tolist(), strict=True):
        words = text.split()
        start = int(place * max(1, len(words) - _CROP_WORDS + 1))
        out.append(" ".join(words[start : start + _CROP_WORDS]))
    return out


class LexiconSentiment:
    """VADER's compound score in [-1, 1] (Hutto and Gilbert 2014): needs no data, and is weaker."""

    name = "lexicon"

    def __init__(self) -> None:
        try:
            from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
        except ImportError as error:
            raise InputError("the lexicon scorer needs vaderSentiment", fix=install_line("llm")) from error
        self._analyzer = SentimentIntensityAnalyzer()

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> FloatArray:
        return np.array([self._analyzer.polarity_scores(text)["compound"] for text in responses])
